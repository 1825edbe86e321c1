"""The words that the lake itself uses: what can be suggested, what a word is a part of, and what a slip of the finger
was meant to be.

Tags, categories and places are counted now and then, not with every letter that is typed; any other word is found by
the index, which finds what is spelt nearly so. Invariant: a word that the lake has is never taken for a mistake.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from lakewatchd.core.clock import Clock
from lakewatchd.core.found import Query, Suggestion
from lakewatchd.lake.finder import Finder, Words
from lakewatchd.lake.listed import Facets
from lakewatchd.lake.schema import quoted
from lakewatchd.views.search import calendar, snippet, words
from lakewatchd.views.search.filters import where

FRESH_S = 30.0
"""As old as counts may be before they are made anew."""
MOST_WORDS = 6
"""Of a question, that are looked up."""
SHORT, LONG = 4, 24
"""Letters of a word that may be misspelt: shorter ones are like too many, and the index reads no longer ones."""
INSIDE = 5
"""Letters of a word that is looked for inside of others: shorter ones are in many by accident."""
MOST_LONGER = 24
"""Words that one may be a part of."""
_ENDINGS = ("en", "er", "e", "n", "s")
"""Of German words, that a compound leaves out."""
_LAST_PART = re.compile(r"[^\W_]+$")
_READ = 12
"""Assets in which a word like it is looked for."""
_NEWEST = 200
"""Assets whose words are known besides."""
_LONGER = 2
"""Letters by which the two may differ in length; they begin with the same one."""
MANY = 8
"""Letters of a word in which two slips may be; in a shorter one, two make another word: riding, residing."""
_ALIKE = 0.74
"""Share of letters that two words have in common (difflib) where one may be the other, misspelt."""


class Vocabulary:
    def __init__(self, finder: Finder, clock: Clock) -> None:
        self._finder = finder
        self._clock = clock
        self._facets: Facets | None = None
        self._counted_at = float("-inf")
        self._counting: asyncio.Task[Facets] | None = None
        self._collecting: asyncio.Task[None] | None = None

    async def facets(self) -> Facets:
        """Of all that is served. While they are counted anew, which takes seconds of a million, the old ones serve."""
        is_old = self._clock.monotonic() - self._counted_at > FRESH_S
        if is_old and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count(), name="facets")
            self._counting.add_done_callback(lambda task: task.cancelled() or task.exception())  # told to who waits
        if self._facets is not None:
            return self._facets
        assert self._counting is not None
        return await asyncio.shield(self._counting)  # who gives up does not end it for the others

    async def _count(self) -> Facets:
        self._facets = await self._finder.listed.facets(where(Query()).gold, top=5000)
        self._counted_at = self._clock.monotonic()
        return self._facets

    async def suggest(self, prefix: str, limit: int, today: dt.date) -> tuple[Suggestion, ...]:
        """What the words that are being typed may become: names that begin so, the most used first, then those with
        a word that begins so, then titles."""
        prefix = words.clean(prefix)
        if not prefix:
            return ()
        known = list(_named(await self.facets()))
        folded = snippet.fold(prefix)
        begin = [one for one in known if snippet.fold(one.text).startswith(folded)]
        within = [one for one in known if f" {folded}" in snippet.fold(one.text)]
        dates = [Suggestion(prefix, "date")] if any(calendar.find(prefix, today)) else []
        found = [*dates, *sorted(begin, key=_by_use), *sorted(within, key=_by_use)]
        if len(found) < limit and len(prefix) >= 2:
            pattern = prefix.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            title = f"lower(title) LIKE {quoted(pattern + '%')} ESCAPE '\\'"
            rows = await self._finder.listed.page(f"{where(Query()).gold} AND {title}", limit=limit)
            found += [Suggestion(row.title, "title", 1) for row in rows]
        unlike = dict[tuple[str, str], Suggestion]()
        for one in found:  # a name may begin so and have another word that does: Cape Canaveral
            unlike.setdefault((one.text, one.kind), one)
        return tuple(unlike.values())[:limit]

    async def longer(self, typed: Sequence[str], unsaid: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Of these words, those that others of the lake begin with, with these; of the ``unsaid`` also such as hold
        them further on, as German compounds do: Einkommensteuer. Of the name of a file, its last part is gone on with.
        """
        candidates = [word for word in typed if word.isalnum() or (word in unsaid and word[-1:].isalnum())]
        await self._collected()
        found = {word: await self._longer(word, word in unsaid) for word in candidates[:MOST_WORDS]}
        return {word: longer for word, longer in found.items() if longer}

    async def _collected(self) -> None:
        """One at a time, for all who ask: whoever gives up would leave a thread behind that waits for the first."""
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.create_task(self._finder.collect(), name="words")
            self._collecting.add_done_callback(lambda task: task.cancelled() or task.exception())  # told to who waits
        await asyncio.shield(self._collecting)

    async def _longer(self, word: str, is_unsaid: bool) -> tuple[str, ...]:
        found = _LAST_PART.search(word)
        if found is None:
            return ()
        before, part = word[: found.start()], found.group()
        if not is_unsaid:  # the index knows its forms
            longer = await self._beginning(part)
            return tuple(one for one in longer if not snippet.is_form_of(one, snippet.fold(word)))
        if before or part.isdigit():
            return tuple(before + one for one in await self._beginning(part))
        stem = next((part[: -len(ending)] for ending in _ENDINGS if part.lower().endswith(ending)), "")
        return tuple(await self._holding(part) or await self._holding(stem))  # impfen: Impfpass

    async def _holding(self, part: str) -> list[str]:
        return await (self._finder.longer(part, MOST_LONGER) if len(part) >= INSIDE else self._beginning(part))

    async def _beginning(self, part: str) -> list[str]:
        return await self._finder.longer(part, MOST_LONGER, inside=False) if len(part) >= SHORT else []

    async def misspelt(self, typed: Sequence[str]) -> dict[str, str]:
        """Of these words, those that nothing says, with one that is spelt nearly so; without those that have none."""
        candidates = [word for word in typed if SHORT <= len(word) <= LONG and word.isalpha()][:MOST_WORDS]
        meant = await asyncio.gather(*map(self._meant, candidates))
        return {word: other for word, other in zip(candidates, meant, strict=True) if other}

    async def _meant(self, word: str) -> str:
        if await self._finder.is_said(word):
            return ""
        known = {part for one in _named(await self.facets()) for part in one.text.lower().split()}
        near = await self._finder.words(Words(nearly=(word,)), _READ)
        newest = await self._finder.listed.page(where(Query()).gold, limit=_NEWEST)  # which no index may have yet
        texts = await self._finder.texts([*(one.asset_id for one in near), *(row.asset_id for row in newest)])
        found = ((one.asset_id, one.span) for one in near if one.span is not None)
        passages = await self._finder.pieces(found, ("text",))
        for text in (*texts.values(), *(piece.text for piece in passages.values())):
            known.update(words.WORD.findall(text.lower()))
        return nearest(word, known)


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that is most like ``word``; empty if none is."""
    folded = snippet.fold(word)
    begin = {other for one in known if (other := snippet.fold(one))[:1] == folded[:1]}
    near = (other for other in begin if abs(len(other) - len(folded)) <= _LONGER)
    close = difflib.get_close_matches(folded, near, n=20, cutoff=_ALIKE)
    alike = [other for other in close if slips(folded, other) <= (1 if len(folded) < MANY else 2)]

    def likeness(other: str) -> tuple[float, bool, str]:  # letters in another order are the likelier slip
        return difflib.SequenceMatcher(a=other, b=folded).ratio(), sorted(other) == sorted(folded), other

    best = max(alike, key=likeness, default="")
    return best if best != folded else ""


def slips(word: str, other: str) -> int:
    """Letters that were left out, added, mistaken or exchanged with the next one, to make one of the other."""
    before, last, row = list[int](), list[int](), list(range(len(other) + 1))
    for at, letter in enumerate(word, 1):
        before, last, row = last, row, [at]
        for to, meant in enumerate(other, 1):
            fewest = min(last[to] + 1, row[to - 1] + 1, last[to - 1] + (letter != meant))
            if at > 1 and to > 1 and (letter, word[at - 2]) == (other[to - 2], meant):
                fewest = min(fewest, before[to - 2] + 1)
            row.append(fewest)
    return row[-1]


def _named(facets: Facets) -> Iterator[Suggestion]:
    for kind, counted in (("tag", facets.tags), ("category", facets.categories), ("kind", facets.kinds),
                          ("place", facets.countries)):  # fmt: skip
        for name, count in counted:
            yield Suggestion(name, kind, count)
    for _, city, count in facets.cities:
        yield Suggestion(city, "place", count)


def _by_use(suggestion: Suggestion) -> tuple[int, str]:
    return -suggestion.assets, suggestion.text
