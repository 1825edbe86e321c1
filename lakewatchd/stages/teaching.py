"""What corrections teach: for a tag that a person gave or took away several times, how far the model was off.

::

    lesson: a vector, and what a person says of it ─► how much the model's odds were wrong there (nothing if right)
    many lessons, and a sample of the lake where nothing is to change ─► ridge regression ─► a direction for the tag
    any vector ─► the model's odds, corrected by how far it lies in that direction

So the model keeps its word wherever nobody corrected it. One odd correction teaches nothing: a lesson counts only where
others like it say the same, and it takes :data:`MIN_LESSONS` of them. Pure, on frozen vectors; milliseconds for a tag.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakewatchd.stages.background import NO_SAMPLE, Own

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

MIN_LESSONS = 3
"""Corrections of one kind (given, or taken away) that a tag learns from."""
SUPPORT = 0.3
"""A cosine, less what all content has in common: two lessons this much alike bear each other out."""
SURE = 2.0
"""Log-odds that a tag a person gave shall have, and beyond zero the other way round."""
FLOOR = -4.0
"""Log-odds of what the model knows nothing of: a tag without a description, too."""
MOST = 6.0
"""The most that is added to or taken from the model's odds."""
STIFFNESS = 0.3
"""Of the regression: larger trusts single lessons less."""
SAMPLE_WEIGHT = 20.0
"""Of the whole sample, in lessons."""


@dataclass(frozen=True, slots=True)
class Lesson:
    tag: str
    vector: Matrix
    odds: float
    """What the model says of it; log-odds, less the tag's hurdle."""
    is_so: bool


@dataclass(frozen=True, slots=True)
class Learned:
    """Corrections of the odds of some tags in one space of vectors."""

    tags: tuple[str, ...] = ()
    middle: Matrix | None = None
    """What all content has in common."""
    directions: Matrix | None = None
    """One row for each tag."""

    def corrections(self, vectors: Matrix) -> Matrix:
        """To be added to the log-odds: a row for each vector, a column for each tag."""
        import numpy as np

        if self.middle is None or self.directions is None:
            return np.zeros((len(vectors), 0))
        return np.clip(_centred(vectors, self.middle) @ self.directions.T, -MOST, MOST)


def learn(lessons: Sequence[Lesson], sample: Matrix) -> Learned:
    """``sample``: vectors of content that nobody spoke of, at least one."""
    import numpy as np

    if not len(sample):
        return Learned()
    middle = np.asarray(sample.mean(axis=0), dtype=np.float64)
    still = _centred(sample, middle)
    tags, directions = [], []
    for tag in sorted({lesson.tag for lesson in lessons}):
        own = [lesson for lesson in lessons if lesson.tag == tag]
        vectors = _centred(np.stack([lesson.vector for lesson in own]), middle)
        wrong = np.array([_wrong_by(lesson) for lesson in own])
        counts = _counting(vectors, np.array([lesson.is_so for lesson in own]))
        if (wrong[counts] != 0).any():
            tags.append(tag)
            directions.append(_direction(vectors[counts], wrong[counts], still))
    return Learned(tuple(tags), middle, np.stack(directions)) if tags else Learned()


def _wrong_by(lesson: Lesson) -> float:
    """What is to be added to the model's odds; nothing where it is right."""
    odds = max(lesson.odds, FLOOR)
    if lesson.is_so:
        return min(max(SURE - odds, 0.0), MOST)
    return max(min(-SURE - odds, 0.0), -MOST)


def _counting(vectors: Matrix, is_so: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which lessons count: those that enough others like them bear out."""
    import numpy as np

    alike = (vectors @ vectors.T >= SUPPORT) & (is_so[:, None] == is_so[None, :])
    return np.asarray(alike.sum(axis=1) >= MIN_LESSONS)  # each is like itself


def _direction(vectors: Matrix, wrong: Matrix, still: Matrix) -> Matrix:
    """Weighted ridge regression through the middle of all content."""
    import numpy as np

    share = SAMPLE_WEIGHT / len(still)
    square = vectors.T @ vectors + share * (still.T @ still) + STIFFNESS * np.eye(vectors.shape[1])
    return np.asarray(np.linalg.solve(square, vectors.T @ wrong))


def _centred(vectors: Matrix, middle: Matrix) -> Matrix:
    import numpy as np

    apart = np.asarray(vectors, dtype=np.float64) - middle
    return np.asarray(apart / np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-9))


# --- as it is kept ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class School:
    """All that was learned of a lake: from corrections, for pictures and for texts, and what its texts are like."""

    pictures: Learned = Learned()
    texts: Learned = Learned()
    made_of: str = ""
    """Stands for the lessons and the sample it was learned from."""
    background: Own = NO_SAMPLE

    @property
    def digest(self) -> str:
        """Empty when nothing was learned."""
        if not (self.pictures.tags or self.texts.tags or self.background.rows):
            return ""
        own = [self.background.packed()] if self.background.rows else []
        learned = json.dumps([_packed(self.pictures), _packed(self.texts), *own], sort_keys=True)
        return hashlib.blake2b(learned.encode(), digest_size=8).hexdigest()

    def to_bytes(self) -> bytes:
        kept = {
            "pictures": _packed(self.pictures),
            "texts": _packed(self.texts),
            "made_of": self.made_of,
            "background": self.background.packed(),
        }
        return json.dumps(kept, sort_keys=True).encode()

    @property
    def uncorrected(self) -> School:
        """Without what corrections have taught."""
        return School(background=self.background)

    @classmethod
    def of(cls, raw: bytes) -> School:
        """What :meth:`to_bytes` gave; nothing for what cannot be read, which is then learned again."""
        try:
            kept = json.loads(raw)
            own = Own.unpacked(kept["background"]) if "background" in kept else NO_SAMPLE
            return cls(_unpacked(kept["pictures"]), _unpacked(kept["texts"]), str(kept["made_of"]), own)
        except (ValueError, KeyError, TypeError):
            return cls()


def _packed(learned: Learned) -> dict[str, Any]:
    import numpy as np

    if learned.middle is None or learned.directions is None:
        return {"tags": []}
    rows = np.vstack([learned.middle, learned.directions]).astype("<f4")
    return {"tags": list(learned.tags), "rows": base64.b64encode(rows.tobytes()).decode()}


def _unpacked(kept: Mapping[str, Any]) -> Learned:
    import numpy as np

    tags = tuple(str(tag) for tag in kept["tags"])
    if not tags:
        return Learned()
    rows = np.frombuffer(base64.b64decode(kept["rows"], validate=True), "<f4").astype(np.float64)
    rows = rows.reshape(len(tags) + 1, -1)
    return Learned(tags, rows[0], rows[1:])
