"""What is near enough to be an answer: without a gate, every question finds twenty pictures.

A known model has a cosine below which nothing it finds is more than an accident, measured by ``python -m
tests.quality.search``. Cosines of an unknown model mean nothing by themselves: there, what is found must fit the
question better than it fits any of some everyday subjects. Invariant: the gate drops hits, it never orders them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd.lake.finder import Near
from lakewatchd.lake.rows import Vector
from lakewatchd.models.base import Role

if TYPE_CHECKING:
    from lakewatchd.lake.rows import SpanRow

LEAST = {
    (Role.IMAGE_TEXT, "efficientnet-lite0+all-MiniLM-L6-v2"): 0.34,
    (Role.TEXT, "all-MiniLM-L6-v2"): 0.31,
}
"""Cosines by model, and what it is used for."""
ALONE = {(Role.TEXT, "all-MiniLM-L6-v2"): 0.40}
"""The same of what no other door found: in a language that a model hardly knows, all is a little like all."""
ASKED = 0.1
"""More than :data:`LEAST`, for a picture where somebody asks when, why or how: no picture shows that."""
WORDY = 16
"""Letters and digits of a text that meaning can be read from: a number plate is near to anything."""
OF_BEST = 0.5
"""Beside a much better hit, this share of its cosine is too little."""
OF_BEST_WORDS = 0.3
"""The same of BM25: what has only the most common of the words."""


@dataclass(frozen=True, slots=True)
class Gate:
    role: Role
    model: str
    neutral: Sequence[Vector] = ()
    """Of everyday subjects, for a model without a known least."""

    @property
    def needs_vectors(self) -> bool:
        return (self.role, self.model) not in LEAST

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns of the pieces that it looks at."""
        vectors = ("image_vector" if self.role is Role.IMAGE_TEXT else "text_vector",) if self.needs_vectors else ()
        return (*vectors, "text") if self.role is Role.TEXT else vectors

    def pass_through(self, found: Sequence[Near], pieces: dict[tuple[str, int], SpanRow] | None = None) -> list[Near]:
        """Those that are near enough. ``pieces`` hold what it :attr:`reads`."""
        least = LEAST.get((self.role, self.model))
        pieces = pieces or {}
        near = []
        for one in found:
            piece = pieces.get((one.asset_id, one.span)) if one.span is not None else None
            if piece is not None and self.role is Role.TEXT and not is_wordy(piece.text):
                continue
            if one.score >= (self._neutral(piece) if least is None else least):
                near.append(one)
        return of_best(near, OF_BEST)

    def _neutral(self, piece: SpanRow | None) -> float:
        """How well the best of the everyday subjects fits it."""
        vector = piece and (piece.image_vector if self.role is Role.IMAGE_TEXT else piece.text_vector)
        if not vector or not self.neutral:
            return -1.0
        import numpy as np

        return float((np.asarray(self.neutral) @ np.asarray(vector)).max())


def alone(role: Role, model: str, *, asks: bool) -> float:
    """The cosine that is enough where no other door found the same; of a model without a known least any is."""
    least = LEAST.get((role, model), -1.0)
    if role is Role.IMAGE_TEXT:
        return least + ASKED if asks else least
    return max(least, ALONE.get((role, model), least))


def of_best(found: Iterable[Near], share: float) -> list[Near]:
    """Without those whose score is less than ``share`` of the best."""
    hits = list(found)
    best = max((near.score for near in hits), default=0.0)
    return [near for near in hits if near.score >= share * best]


def is_wordy(text: str) -> bool:
    return sum(1 for _ in itertools.islice(filter(str.isalnum, text), WORDY)) == WORDY
