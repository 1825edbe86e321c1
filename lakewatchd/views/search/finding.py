"""The one engine behind every door to search: command line, HTTP, gallery and folders.

A question is taken apart (:mod:`~lakewatchd.views.search.words`), asked at several doors at once
(:mod:`~lakewatchd.views.search.doors`), and their rankings become one (:mod:`~lakewatchd.views.search.fusion`): each
asset once, with the place inside that fits best and the reasons why it was found. Reads the lake and writes nothing.
Invariant: what is found fulfils every filter, typed or given; nothing that is only nearest of all, and not near, is
found.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

from lakewatchd.core.asset import AssetId, path_text
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.found import Found, Hit, Query, Reason, Suggestion
from lakewatchd.core.nearest import nearest
from lakewatchd.errors import BadQuery, ModelUnavailable
from lakewatchd.lake.finder import Finder, Near
from lakewatchd.lake.listed import Cursor
from lakewatchd.lake.rows import GoldRow
from lakewatchd.models.base import Role
from lakewatchd.views.search import example, filters, fusion, pieces, sequence, snippet, words
from lakewatchd.views.search.condition import Condition
from lakewatchd.views.search.doors import Answers, Doors
from lakewatchd.views.search.example import Example, Examples
from lakewatchd.views.search.fusion import Fused
from lakewatchd.views.search.pieces import Wanted
from lakewatchd.views.search.queries import Encoder
from lakewatchd.views.search.vocabulary import Vocabulary
from lakewatchd.views.search.words import Asked

MOST, DEEPEST = 500, 10_000
"""Hits in one answer; how far down an answer may begin."""
DEPTH = 40
"""That each door is asked for at least."""
_DEEPER = 3
"""Times as deep, where the page lies beyond what a depth gives."""
PATIENCE_S = 10.0
"""For the models. When they are still being loaded, the answer comes without them and says so."""

FEW = 5
"""Files that say a word: where they are fewer, those count too that say it as the beginning of a longer one."""
TOLD = 4
"""Longer words that are told."""

_HELP = (
    'say what to look for: a word, a "phrase", dogs -beach, photos of mountains last summer, kind:video tag:wedding, '
    "in:berlin, 2019"
)


class Search:
    """Without ``encoder``, words only; without ``examples``, no likeness of files from outside."""

    def __init__(
        self,
        finder: Finder,
        encoder: Encoder | None = None,
        examples: Examples | None = None,
        *,
        clock: Clock | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._finder = finder
        self._encoder = encoder
        self._examples = examples
        self._clock = clock or SystemClock()
        self._patience_s = patience_s
        self._doors = Doors(finder, encoder, patience_s)
        self._vocabulary = Vocabulary(finder, self._clock)

    async def find(self, query: Query) -> Found:
        """Raises :class:`BadQuery` for what cannot be asked, and what the lake raises."""
        began = time.perf_counter()
        require_bounded(query)
        query = _printable(query)
        found = await self._answer(words.read(query, self._today()))
        if any(field == "every" for field, _, _ in found.understood) and not await self._has_any(query, found):
            # "planting in spring" may be about spring: there is no such day, so the words stay words
            worded = await self._answer(words.read(query, self._today(), every=False))
            if worded.hits:
                told = [typed for field, _, typed in found.understood if field == "every"]
                advice = f"nothing is dated {', '.join(map(repr, told))}: taken as words"
                found = dataclasses.replace(worded, advice=(*worded.advice, advice))
        return dataclasses.replace(found, took_s=time.perf_counter() - began)

    async def _has_any(self, query: Query, found: Found) -> bool:
        """Whether ``query`` so read finds anything, on whatever page: all pages are to be of one reading."""
        if found.hits or not query.offset:
            return bool(found.hits)
        first = dataclasses.replace(query, offset=0, limit=1)
        return bool((await self._answer(words.read(first, self._today()))).hits)

    async def _answer(self, asked: Asked) -> Found:
        condition = filters.where_of(asked)
        if asked.query.after:
            earlier = words.read(Query(text=asked.query.after), self._today())
            answers = await sequence.find(self._finder, self._doors, asked, earlier, condition)
            hits, _ = await self._shown(_fused(answers), asked, answers, asked.query.offset + asked.query.limit)
        elif _is_open(asked):
            return await self._listing(asked, condition)
        else:
            asked, answers, hits = await self._ranked(asked, condition)
        advice = [*asked.advice, *answers.advice]
        if not hits:
            advice += await self._why_nothing(asked, condition)
        return Found(
            hits=tuple(hits[asked.query.offset :]),
            understood=asked.understood,
            advice=tuple(dict.fromkeys(advice)),
            is_partial=tuple(answers.missing),
        )

    async def suggest(self, prefix: str, limit: int = 8) -> tuple[Suggestion, ...]:
        """What the words that are being typed may become."""
        return await self._vocabulary.suggest(prefix, min(limit, MOST), self._today())

    # --- ranked -------------------------------------------------------------------------------------------

    async def _ranked(self, asked: Asked, condition: Condition) -> tuple[Asked, Answers, list[Hit]]:
        """All hits from the best to the end of the page."""
        like = await self._example(asked.query)
        answers, hits = await self._ranking(asked, condition, like)
        if not asked.words:
            return asked, answers, hits
        unseen = _unseen(asked.words, hits[: asked.query.limit])  # of the first page, whichever is looked at
        if longer := await self._longer(asked, unseen, answers):
            asked = _with_longer(asked, longer, unseen)
            answers, hits = await self._ranking(asked, condition, like)
        if asked.query.offset and hits:
            return asked, answers, hits
        misspelt = await self._vocabulary.misspelt([word for word in unseen if word not in longer])
        meant = _corrected(asked, misspelt) if misspelt else asked
        if hits or answers.missing or not misspelt:  # what a model has to say of the word as it is goes first
            return dataclasses.replace(asked, advice=meant.advice), answers, hits
        return meant, *await self._ranking(meant, condition, like, words_door="letters")

    async def _longer(self, asked: Asked, unseen: Sequence[str], answers: Answers) -> dict[str, tuple[str, ...]]:
        """What words are parts of, where they are said by nothing that was found, or by few."""
        is_rare = len(answers.rankings.get("words", ())) < FEW
        typed = asked.words if is_rare else unseen
        if not typed or asked.phrases:
            return {}
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._vocabulary.longer(typed, unseen)
        except TimeoutError:
            answers.advice.append("parts of words are not found yet: the words of the lake are being collected")
            return {}

    async def _ranking(
        self, asked: Asked, condition: Condition, like: Example | None, *, words_door: str = "words"
    ) -> tuple[Answers, list[Hit]]:
        """From the best to the end of the page. Asked deeper, doors rank otherwise: so each depth has its part of the
        list, and the next goes on after it, whichever page is looked at. What one depth gives is good for half of it.
        """
        query = asked.query
        end, depth = query.offset + query.limit, max(DEPTH, 2 * query.limit)
        hits: list[Hit] = []
        tried: set[AssetId] = set()
        while True:
            answers = await self._doors.ask(asked, condition, depth, like)
            answers.rankings = {words_door if door == "words" else door: n for door, n in answers.rankings.items()}
            left = [one for one in _fused(answers) if one.key not in tried]
            wanted = min(end, depth // 2) if answers.has_more else end
            new, looked_at = await self._shown(left, asked, answers, wanted - len(hits))
            hits += new
            tried.update(one.key for one in left[:looked_at])
            if len(hits) >= end or not answers.has_more or depth > DEEPEST:
                return answers, hits
            depth *= _DEEPER

    async def _example(self, query: Query) -> Example | None:
        if query.like:
            spans = await self._finder.spans(query.like)
            return example.of_spans(query.like, spans, await self._doors.made_by())
        if query.picture:
            if self._examples is None or self._encoder is None:
                raise ModelUnavailable("there is no model to compare a file with", "pip install 'lakewatchd[clip]'")
            return await self._examples.read(query.picture, self._encoder)
        if query.but:
            raise BadQuery(f"like what, but {query.but!r}?", "give an example too: --like FILE --but WORDS")
        return None

    async def _shown(
        self, fused: Sequence[Fused[AssetId]], asked: Asked, answers: Answers, count: int
    ) -> tuple[list[Hit], int]:
        """The first ``count`` that can be shown, and how many had to be looked at."""
        shown: list[Hit] = []
        at = 0
        while page := fused[at : at + count - len(shown)]:
            shown += await self._hits(page, asked, answers)
            at += len(page)
        return shown, at

    async def _hits(self, page: Sequence[Fused[AssetId]], asked: Asked, answers: Answers) -> list[Hit]:
        """Facts and pieces of these only."""
        near = {door: {one.asset_id: one for one in hits} for door, hits in answers.rankings.items()}
        spans = {one.key: _span(one, near) for one in page}
        unread = [(key, span) for key, span in spans.items() if span is not None and (key, span) not in answers.pieces]
        facts, read = await asyncio.gather(self._finder.facts(spans), self._finder.pieces(unread, pieces.SHOWN))
        answers.pieces |= read
        wanted = Wanted((*asked.forms, *asked.years), asked.phrases, asked.query.object)
        hits = []
        for one in page:
            if one.key not in facts:  # withdrawn meanwhile
                continue
            span = spans[one.key]
            row = answers.pieces.get((one.key, span)) if span is not None else None
            text = facts[one.key].text if span is None or asked.words else ""
            doors = {door for door, _ in one.ranks}
            is_by_words = doors <= _BY_WORDS or "letters" in doors  # a guess is to fit all the better
            if is_by_words and not _says_enough(f"{text}\n{row.text if row else ''}", asked):
                continue
            quoted = pieces.whole(text, wanted, [tag.name for tag in facts[one.key].tags])
            piece = pieces.piece_of(row, wanted, quoted.snippet if quoted else "") if row else quoted
            reasons = tuple(Reason(door, rank, near[door][one.key].score) for door, rank in one.ranks)
            hits.append(dataclasses.replace(_hit(facts[one.key], one.score), piece=piece, reasons=reasons))
        return hits

    # --- listed -------------------------------------------------------------------------------------------

    async def _listing(self, asked: Asked, condition: Condition) -> Found:
        """Filters only: what fulfils them, newest first. Nothing at all: how to ask."""
        query = asked.query
        if not (_has_filters(query) or asked.every or asked.place or asked.no_kinds or asked.without):
            return Found(advice=(*asked.advice, _HELP))
        end = query.offset + query.limit
        total, rows = await asyncio.gather(
            self._finder.listed.count(condition.gold), self._newest(condition.gold, asked.without, end)
        )
        hits = tuple(_hit(row, 0.0) for row in rows[query.offset : end])
        advice = asked.advice if hits else (*asked.advice, *await self._why_nothing(asked, condition))
        total_known = None if asked.without else total
        return Found(hits, total_known, 0.0, asked.understood, tuple(dict.fromkeys(advice)))

    async def _newest(self, where: str, without: Sequence[str], count: int) -> list[GoldRow]:
        """The first ``count`` that say nothing of ``without``."""
        rows: list[GoldRow] = []
        after, at_once = None, count
        while True:
            page = await self._finder.listed.page(where, after=after, limit=at_once)
            refused = await self._finder.saying(without, [row.asset_id for row in page]) if without else ()
            rows += [row for row in page if row.asset_id not in refused]
            if len(rows) >= count or len(page) < at_once:
                return rows[:count]
            after = Cursor(page[-1].dated_at, page[-1].asset_id)
            at_once = min(2 * at_once, DEEPEST)

    # --- advice -------------------------------------------------------------------------------------------

    async def _why_nothing(self, asked: Asked, condition: Condition) -> list[str]:
        """What stands in the way, most likely first."""
        query, advice = asked.query, []
        facets = await self._vocabulary.facets()
        if not facets.total:
            return ["the lake is empty so far: lakewatchd status tells what is being indexed"]
        for what, names, known in (
            ("tag", (*query.tags, *query.any_tags), [name for name, _ in facets.tags]),
            ("category", (query.category,), [name for name, _ in facets.categories]),
        ):
            for name in names:
                if name and name not in known:
                    near = nearest(name, known)
                    advice.append(f"nothing has the {what} {name!r}{f'; did you mean {near!r}?' if near else ''}")
        things = [name for name, _ in facets.tags]  # what is seen in a picture is a tag of it, as a rule
        if query.object and query.object not in things and (near := nearest(query.object, things)):
            advice.append(f"no {query.object!r} was seen; did you mean {near!r}?")
        if not await self._finder.listed.count(condition.gold):
            typed = dict.fromkeys(words for field, _, words in asked.understood if field in ("since", "until", "every"))
            if typed and await self._finder.listed.count(
                filters.where_of(dataclasses.replace(asked, every=()), dated=False).gold
            ):
                quoted = ", ".join(f'"{words}"' for words in typed)
                advice.append(f"nothing is dated so; in quotes it is not read as a date: {quoted}")
            elif not advice:
                advice.append("no file fulfils these filters together: leave one out")
        elif not advice:
            advice.append("nothing like that here; try other words, or fewer")
        if self._encoder is None:
            advice.append("only words were compared, not what they mean and not what pictures show")
        else:
            for role in (Role.IMAGE_TEXT, Role.TEXT):
                message, hint = await self._encoder.why_missing(role)
                if message and await self._encoder.model(role) is None:
                    advice.append(f"{message}{f': {hint}' if hint else ''}")
        return advice

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock.now(), dt.UTC).astimezone().date()


def require_bounded(query: Query) -> None:
    if not 1 <= query.limit <= MOST:
        raise BadQuery(f"{query.limit} hits cannot be asked for", f"ask for 1 to {MOST}")
    if not 0 <= query.offset <= DEEPEST:
        raise BadQuery(f"an answer cannot begin at {query.offset}", f"0 to {DEEPEST:,}; more words find more surely")


def _printable(query: Query) -> Query:
    """Names without lone surrogates, which no database takes. The text is cleaned where it is read."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(query):
        value = getattr(query, field.name)
        if isinstance(value, str):
            changed[field.name] = value.encode("utf-8", "replace").decode()
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            changed[field.name] = tuple(type(one)(one.encode("utf-8", "replace").decode()) for one in value)
    return dataclasses.replace(query, **changed)


def _is_open(asked: Asked) -> bool:
    """No door has anything to look for."""
    query = asked.query
    return not (asked.text or asked.has_words or query.object or query.like or query.picture or query.but)


def _has_filters(query: Query) -> bool:
    fields = (
        "where",
        "kinds",
        "tags",
        "any_tags",
        "no_tags",
        "category",
        "country",
        "city",
        "root",
        "since",
        "until",
        "near",
    )
    return any(getattr(query, name) for name in fields)


def _fused(answers: Answers) -> list[Fused[AssetId]]:
    return fusion.fuse({door: [near.asset_id for near in hits] for door, hits in answers.rankings.items()})


_BY_SPAN = ("object", "words", "parts", "letters", "time", "text", "picture", "like")
"""Whose piece is shown, where several doors have one: who can say where."""


def _span(one: Fused[AssetId], near: dict[str, dict[AssetId, Near]]) -> int | None:
    doors = [door for door in _BY_SPAN if one.key in near.get(door, ())]
    return next((span for door in doors if (span := near[door][one.key].span) is not None), None)


_BY_WORDS = {"words", "parts", "letters"}
ENOUGH = 2
"""Different words of a question that a hit must say, where nothing but words speaks for it: one is in anything."""


def _says_enough(text: str, asked: Asked) -> bool:
    if asked.phrases or len(asked.words) < ENOUGH:
        return True
    forms = asked.forms
    return len({forms[form] for _, _, form in snippet.find(snippet.fold(text), tuple(forms))}) >= ENOUGH


def _unseen(typed: Sequence[str], hits: Sequence[Hit]) -> list[str]:
    """Words that none of the hits shows: nothing may say them."""
    shown = " ".join(
        f"{hit.title} {hit.caption} {' '.join(hit.tags)} {hit.piece.snippet if hit.piece else ''}" for hit in hits
    )
    seen = {word for _, _, word in snippet.find(snippet.fold(shown), typed)}
    return [word for word in typed if word not in seen]


def _with_longer(asked: Asked, longer: dict[str, tuple[str, ...]], unseen: Sequence[str]) -> Asked:
    """Told is what stands for a word that nothing says by itself."""
    told = (("part of", ", ".join(forms[:TOLD]), word) for word, forms in longer.items() if word in unseen)
    return dataclasses.replace(asked, longer=longer, understood=(*asked.understood, *told))


def _corrected(asked: Asked, misspelt: dict[str, str]) -> Asked:
    def mend(text: str) -> str:
        for word, meant in misspelt.items():
            text = text.replace(word, meant)
        return text

    advice = (f"nothing says {word!r}; did you mean {meant!r}?" for word, meant in misspelt.items())
    return dataclasses.replace(
        asked,
        text=mend(asked.text),
        words=tuple(misspelt.get(word, word) for word in asked.words),
        advice=(*asked.advice, *advice),
    )


def _hit(row: GoldRow, score: float) -> Hit:
    return Hit(
        asset_id=row.asset_id,
        score=score,
        kind=row.kind,
        title=row.title,
        root=row.best.root,
        path=path_text(row.best.path),
        category=row.category,
        tags=tuple(tag.name for tag in row.tags),
        caption=row.caption,
        dated_at=row.dated_at,
        size_bytes=row.size_bytes,
        duration_s=row.duration_s,
    )
