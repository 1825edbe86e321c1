"""One thing after another in one recording: ``"goal" after "kick-off" within 30s``.

Both sides are asked at every door; in the recordings that both found, each moment of the one is put beside those of the
other. A word is at the second it is said, a scene where it begins. Invariant: what is found comes later than the other,
by no more than was asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from lakewatchd.core.asset import AssetId
from lakewatchd.errors import BadQuery
from lakewatchd.lake.finder import Finder, Near
from lakewatchd.lake.rows import SpanRow, Vector
from lakewatchd.models.base import Role
from lakewatchd.views.search import pieces, snippet
from lakewatchd.views.search.condition import Condition
from lakewatchd.views.search.doors import Answers, Doors
from lakewatchd.views.search.pieces import Wanted
from lakewatchd.views.search.words import Asked

RECORDINGS = 50
"""That both sides found, looked at moment by moment."""
DEPTH = 300
"""Of each side."""
LONGEST_S = 86_400.0
SAID = 1.0
"""What a word that is said counts; a likeness counts its cosine."""


@dataclass(frozen=True, slots=True)
class _Moment:
    at_s: float
    span: int
    score: float


@dataclass(frozen=True, slots=True)
class _Side:
    """What is looked for on one side."""

    asked: Asked
    made_by: frozenset[str]
    """The transforms whose vectors may be compared with ``vectors``."""
    vectors: dict[Role, Vector]
    leasts: dict[Role, float]

    def moments(self, spans: list[SpanRow]) -> Iterator[_Moment]:
        wanted = Wanted(self.asked.words, self.asked.phrases)
        needed = {*wanted.phrases, *(wanted.words if not wanted.phrases else ())}
        for span in spans:
            if span.start_s is None:
                continue
            said = {match[2] for match in snippet.find(span.text, wanted.words, wanted.phrases)} if span.text else set()
            if needed and needed <= said:
                yield from (_Moment(at_s, span.span, SAID) for at_s in pieces.said_at(span, wanted))
            elif (score := self._likeness(span)) is not None:
                yield _Moment(span.start_s, span.span, score)

    def _likeness(self, span: SpanRow) -> float | None:
        import numpy as np

        if span.vector_transform not in self.made_by:
            return None
        for role, vector in ((Role.IMAGE_TEXT, span.image_vector), (Role.TEXT, span.text_vector)):
            mine = self.vectors.get(role)
            if vector is not None and mine is not None and len(mine) == len(vector) and not self.asked.phrases:
                cosine = float(np.dot(mine, vector))
                if cosine >= self.leasts[role]:
                    return cosine
        return None


async def find(finder: Finder, doors: Doors, asked: Asked, earlier: Asked, condition: Condition) -> Answers:
    """The recordings in which ``asked`` comes after ``earlier``, as the one ranking ``time``. Raises :class:`BadQuery`
    for a time that is none."""
    within_s = asked.query.within_s
    if not 0 < within_s <= LONGEST_S:
        raise BadQuery(f"within {within_s:g} s is no time", f"more than 0 and at most {LONGEST_S:g} seconds")
    sides = [_plain(asked), _plain(earlier)]
    found = await asyncio.gather(*(doors.ask(side, condition, DEPTH, None) for side in sides))
    answers = Answers(missing=[*found[0].missing], advice=[*found[0].advice])
    places = [_places(one) for one in found]
    both = sorted(places[0].keys() & places[1].keys(), key=lambda key: (places[0][key] + places[1][key], key))
    made_by = await doors.made_by()
    later, before = [_Side(side, made_by, *await doors.compared(side.text)) for side in sides]
    hits = []
    for asset_id in both[:RECORDINGS]:
        spans = await finder.spans(asset_id)
        best = _best(list(later.moments(spans)), list(before.moments(spans)), within_s)
        if best is not None:
            hits.append(Near(asset_id, best.span, best.score))
            (there,) = (span for span in spans if span.span == best.span)
            # entered at this moment, which need not be the first at which the words are said
            answers.pieces[asset_id, best.span] = dataclasses.replace(there, start_s=best.at_s, words=())
    if hits:
        answers.rankings["time"] = sorted(hits, key=lambda near: (-near.score, near.asset_id))
    return answers


def _plain(asked: Asked) -> Asked:
    return dataclasses.replace(asked, query=dataclasses.replace(asked.query, after="", object=""))


def _places(answers: Answers) -> dict[AssetId, int]:
    """The best rank of each asset at any door."""
    best: dict[AssetId, int] = {}
    for hits in answers.rankings.values():
        for rank, near in enumerate(hits):
            best[near.asset_id] = min(rank, best.get(near.asset_id, rank))
    return best


def _best(later: list[_Moment], before: list[_Moment], within_s: float) -> _Moment | None:
    """The moment of ``later`` in the pair that fits best, of equals the first."""
    pairs = (
        (one.score + other.score, -one.at_s, one.span)
        for one in later
        for other in before
        if 0 < one.at_s - other.at_s <= within_s
    )
    best = max(pairs, default=None)
    return _Moment(-best[1], best[2], best[0]) if best else None
