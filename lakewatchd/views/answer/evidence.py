"""The passages that may answer a question, best first.

No model is needed: the engine is asked for the question as it was put, for its words alone, and for the names in it,
and what several of them find comes first. Of a long file, other passages that hold more of the words than the one that
was found come along. Invariant: no more passages and characters than asked for, each a place in a file that a person
can open.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.found import Found, Hit, Query
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import GoldRow
from lakewatchd.lake.schema import SPANS, is_in
from lakewatchd.views.search import snippet
from lakewatchd.views.search.words import KIND_WORDS, NOT_WORDS, is_stop

_HITS = 12
"""That each way of asking may bring."""
_READ_FILES, _READ_SPANS = 6, 1500
"""Files whose other passages are looked at, and how many of them in all."""
_MORE_OF_ONE = 2
"""Passages of one file beside the one that was found."""
_FLAT = 20.0
"""Of reciprocal rank fusion: how little it matters whether something is first or fifth."""
_SHORTEST = 200
"""Less of a passage than this tells nothing."""
_ASKING = frozenset(
    f"{NOT_WORDS} mention mentions mentioned say says said tell tells talk talks about explain explains happen happens "
    "happened many much long often which whose whom why does did can could should would will may might there must "
    "hat haben hatte hatten wurde wird werden kann können soll muss gibt "
    "sagt gesagt erwähnt erzählt warum wieso wessen wieviel viele lange".split()
) | frozenset(" ".join(KIND_WORDS.values()).split())
"""Words that ask, and name nothing that a passage would say."""

_PICTURES = frozenset(f"{KIND_WORDS[Kind.IMAGE]} {KIND_WORDS[Kind.VIDEO]} show shows zeigt zeigen".split())


@dataclass(frozen=True, slots=True)
class Passage:
    """What is quoted, and where it lies. ``n`` is the number it is cited by."""

    n: int
    asset_id: AssetId
    kind: Kind
    title: str
    root: str
    path: str
    """Below the root, as ``path_text``."""
    text: str
    span: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    page: int | None = None

    @property
    def place(self) -> str:
        """``talk.mp3 @ 12:31``, ``manual.pdf p. 4``."""
        if self.start_s is not None:
            minutes, seconds = divmod(int(self.start_s), 60)
            hours, minutes = divmod(minutes, 60)
            return f"{self.path} @ " + (f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}")
        return f"{self.path} p. {self.page}" if self.page is not None else self.path


class Engine(Protocol):
    async def find(self, query: Query) -> Found: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    passages: tuple[Passage, ...]
    advice: tuple[str, ...] = ()


async def gather(question: Query, engine: Engine, lake: LakeReader, *, passages: int, context_chars: int) -> Evidence:
    """For the question in ``question.text``; its filters hold for all. Raises what the engine raises."""
    ranks: defaultdict[tuple[AssetId, int | None], float] = defaultdict(float)
    hits: dict[tuple[AssetId, int | None], Hit] = {}
    advice: list[str] = []
    for text in ways_to_ask(question.text):
        found = await engine.find(dataclasses.replace(question, text=text, limit=_HITS, offset=0))
        advice += found.advice if not found.hits else ()
        for rank, hit in enumerate(found.hits, 1):
            span = hit.piece.span if hit.piece is not None and hit.piece.kind else None
            ranks[hit.asset_id, span] += 1 / (_FLAT + rank)
            hits.setdefault((hit.asset_id, span), hit)
    hits = worth_quoting(hits, question.text)
    words = keywords(question.text)
    best = sorted(hits, key=lambda key: -ranks[key])
    rows = await _spans(lake, [asset_id for asset_id, _ in best])
    facts = {row.asset_id: row for row in await lake.gold_of_many(asset_id for asset_id, _ in best)}
    ordered = _with_others(best, rows, words)
    chosen = _fitting(_passages(ordered, hits, rows, facts), passages, context_chars)
    return Evidence(tuple(chosen), tuple(dict.fromkeys(advice)) if not chosen else ())


def worth_quoting(hits: dict[tuple[AssetId, int | None], Hit], question: str) -> dict[tuple[AssetId, int | None], Hit]:
    """Without pictures that only look like it, beside what says something, unless pictures are asked for."""
    if _PICTURES & set(question.lower().split()):
        return hits
    saying = {key: hit for key, hit in hits.items() if {reason.door for reason in hit.reasons} != {"picture"}}
    return saying or hits


def ways_to_ask(question: str) -> list[str]:
    """As it was put, as its words alone, and as the names in it; quotes and signs that search reads are left out of
    what people write in a sentence."""
    plain = re.sub(r"\s+", " ", re.sub(r"[?!;,]|(?<!\S)-|(?<=\w):(?=\w)", " ", question)).strip()
    ways = [plain, " ".join(keywords(question))]
    names = re.findall(r"[\"“„']([^\"”“']{3,80})[\"”“']|(?<=[\w,] )((?:[A-Z]\w+)(?: [A-Z]\w+)+)", question)
    ways += [f'"{quoted or name}"' for quoted, name in names[:2]]
    return [way for way in dict.fromkeys(ways) if way]


def keywords(question: str) -> list[str]:
    """What a passage that answers is likely to say."""
    words = dict.fromkeys(word for word in re.findall(r"\w[\w'’-]*\w|\w", question))
    return [word for word in words if not is_stop(word) and word.lower() not in _ASKING][:24]


@dataclass(frozen=True, slots=True)
class _Span:
    number: int
    kind: str
    text: str
    page: int | None
    start_s: float | None
    end_s: float | None


async def _spans(lake: LakeReader, asset_ids: Iterable[AssetId]) -> dict[AssetId, dict[int, _Span]]:
    """The texts of the first few files."""
    few = list(dict.fromkeys(asset_ids))
    found: dict[AssetId, dict[int, _Span]] = {asset_id: {} for asset_id in few}
    columns = ["asset_id", "span", "kind", "text", "page", "start_s", "end_s"]
    count = 0
    for asset_id in few:
        async for rows in lake.batches(SPANS, columns, is_in("asset_id", [asset_id])):
            for row in rows.to_pylist():
                if row["text"] and row["text"].strip():
                    span = _Span(row["span"], row["kind"], row["text"], row["page"], row["start_s"], row["end_s"])
                    found[asset_id][span.number] = span
        count += len(found[asset_id])
        if count > _READ_SPANS:
            break
    return found


def _with_others(
    best: Sequence[tuple[AssetId, int | None]], rows: dict[AssetId, dict[int, _Span]], words: Sequence[str]
) -> list[tuple[AssetId, int | None]]:
    """Each with those passages of its file that hold more of the words behind it."""
    ordered: list[tuple[AssetId, int | None]] = []
    for place, (asset_id, number) in enumerate(best):
        ordered.append((asset_id, number))
        if place >= _READ_FILES or not words:
            continue
        spans = rows.get(asset_id, {})
        weights = _weights(spans.values(), words)
        had = _held(spans[number].text, weights) if number in spans else 0.0
        scored = ((_held(span.text, weights), -span.number) for span in spans.values())
        better = sorted((one for one in scored if one[0] > had), reverse=True)[:_MORE_OF_ONE]
        ordered += [(asset_id, -at) for _, at in better]
    return list(dict.fromkeys(ordered))


def _weights(spans: Iterable[_Span], words: Sequence[str]) -> dict[str, float]:
    """The rarer a word is in the file, the more it tells of a passage."""
    texts = [snippet.fold(span.text) for span in spans]
    counts = {word: sum(word in text for text in texts) for word in map(_stem, words)}
    return {word: math.log(1 + len(texts) / count) for word, count in counts.items() if count}


def _held(text: str, weights: dict[str, float]) -> float:
    folded = snippet.fold(text)
    return sum(weight for word, weight in weights.items() if word in folded)


def _stem(word: str) -> str:
    folded = snippet.fold(word)
    return folded[: max(4, len(folded) - 2)]


def _passages(
    ordered: Iterable[tuple[AssetId, int | None]],
    hits: dict[tuple[AssetId, int | None], Hit],
    rows: dict[AssetId, dict[int, _Span]],
    facts: dict[AssetId, GoldRow],
) -> Iterable[Passage]:
    by_asset = {asset_id: hit for (asset_id, _), hit in reversed(hits.items())}
    said: set[str] = set()
    for asset_id, number in ordered:
        span, row = rows.get(asset_id, {}).get(number) if number is not None else None, facts.get(asset_id)
        text = " ".join((span.text if span else _described(row)).split())
        if not text or text in said:
            continue
        said.add(text)
        hit = by_asset[asset_id]
        where = (span.number, span.start_s, span.end_s, span.page) if span else (None, None, None, None)
        yield Passage(0, asset_id, hit.kind, hit.title, hit.root, hit.path, text, *where)


def _described(row: GoldRow | None) -> str:
    """What is known of a file as a whole, in sentences."""
    if row is None:
        return ""
    tags = ", ".join(tag.name for tag in row.tags[:12])
    place = ", ".join(part for part in (row.city, row.country) if part)
    date = f"{row.dated_at:%Y-%m-%d}" if row.dated_at and row.dated_by != "mtime" else ""
    known = (("Title", row.title), ("Shows", row.caption), ("Tags", tags), ("Date", date), ("Place", place))
    return ". ".join(f"{what}: {words}" for what, words in known if words)


def _fitting(passages: Iterable[Passage], count: int, chars: int) -> list[Passage]:
    """The first that fit, numbered; the last of them may be cut."""
    chosen: list[Passage] = []
    for passage in passages:
        if len(chosen) == count or chars < min(_SHORTEST, len(passage.text)):
            break
        text = passage.text if len(passage.text) <= chars else passage.text[: chars - 1].rstrip() + "…"
        chosen.append(dataclasses.replace(passage, n=len(chosen) + 1, text=text))
        chars -= len(text)
    return chosen
