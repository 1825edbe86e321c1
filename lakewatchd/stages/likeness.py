"""How much a picture or a text is like each description: cosines read as log-odds, with one table per model family.

Similarities of different models have different ranges, so they are read relative to how the *whole* vocabulary fits
this content. What the odds are used for is decided in :mod:`lakewatchd.stages.zero_shot`.

The invariant: a vector that is no number, or that fits everything alike, is like nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd.stages import background as backgrounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Matrix = NDArray[np.float64]
    PromptVectors = Vectors
    """``(N, dim)`` unit rows in the order of :func:`lakewatchd.stages.zero_shot.prompts`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a similarity must be for even odds, and how fast the odds change around it.

    ``z`` is how many spreads a tag stands above the median tag; ``margin`` is the cosine less ``neutral`` times the
    cosine of the best neutral prompt. Both must convince: the smaller log-odds count. ``place`` replaces ``margin``
    for tags of places: what is half a lakeside and half a seashore is by the water, but what is half a dog and half
    a rug may be grass. ``doubt`` is what a detector's silence on its own subject takes from the log-odds. ``lowest`` is
    how far the margin of a tag may be lowered to where its background ends (:mod:`lakewatchd.stages.background`); None
    where that was tried and is no better.
    """

    z: float
    z_step: float
    margin: float
    place: float
    margin_step: float
    neutral: float
    doubt: float
    lowest: float | None = None


EMBEDDED = "efficientnet-lite0+all-MiniLM-L6-v2"
IMAGE_CALIBRATIONS = {
    # EfficientNet-Lite0 class probabilities in MiniLM's space: cosines near 1 for a class it knows, and a
    # wide spread of accidental ones, so that the absolute size says most.
    EMBEDDED: Calibration(z=3.0, z_step=0.4, margin=0.68, place=0.55, margin_step=0.06, neutral=0.5, doubt=1.5),
}
GENERIC = Calibration(z=4.5, z_step=0.5, margin=0.0, place=0.0, margin_step=0.01, neutral=1.0, doubt=0.5)
"""For CLIP-like models, whose cosines all lie close together: only the rank among the vocabulary tells."""
TEXT_CALIBRATION = Calibration(
    z=4.8, z_step=0.5, margin=0.30, place=0.30, margin_step=0.04, neutral=0.0, doubt=0.0, lowest=0.2
)
"""For sentence embedders: the middle of a document against a short topic."""
MIN_SPREAD = 0.01
"""Keeps rounding from becoming a score where all prompts fit alike."""
_AT_ONCE = 1024
"""Contents in one matrix product: a few MB."""


@dataclass(frozen=True, slots=True)
class Odds:
    """One row for each content, one column for each subject. ``-inf`` for what has no description, and in the rows of
    what has no vectors."""

    odds: Matrix
    """Log-odds."""
    z: Matrix
    """How far it stands out."""


@dataclass(frozen=True, slots=True)
class Comparer:
    """The prompts of one side (pictures or texts) and what their similarities mean."""

    rows: Matrix
    """All descriptions of all subjects, then the neutral ones."""
    starts: NDArray[np.intp]
    """The first row of each subject that has descriptions; of the neutral set, the last."""
    described: NDArray[np.intp]
    """The subjects that have descriptions."""
    margins: Matrix
    """For each of all subjects the margin that makes even odds."""
    calibration: Calibration

    @classmethod
    def of(
        cls,
        lists: list[list[str]],
        order: dict[str, int],
        places: list[bool],
        vectors: PromptVectors | None,
        calibration: Calibration,
        background: Matrix | None = None,
    ) -> Comparer | None:
        """``background`` has a row for each content that is about something else."""
        import numpy as np

        if vectors is None:
            return None
        if len(vectors) != len(order):
            raise ValueError(f"{len(vectors)} prompt vectors for {len(order)} prompts")
        rows = vectors[[order[text] for texts in lists for text in texts]].astype(np.float64)
        counts = np.array([len(texts) for texts in lists])
        starts = (np.cumsum(counts) - counts)[counts > 0]
        margins = np.where(places, calibration.place, calibration.margin).astype(np.float64)
        comparer = cls(rows, starts, np.flatnonzero(counts[:-1]), margins, calibration)
        return comparer if background is None else comparer._before(background)

    def _before(self, background: Matrix) -> Comparer:
        """The same, with the margin of each described subject lowered to where its background ends."""
        import numpy as np

        lowest = self.calibration.lowest
        if lowest is None or not self.described.size or background.shape[1] != self.rows.shape[1]:
            return self
        _, likeness = self._likeness(background)
        ends = np.maximum(backgrounds.ends(likeness), lowest)
        margins = self.margins.copy()
        margins[self.described] = np.minimum(margins[self.described], ends)
        return dataclasses.replace(self, margins=margins)

    def odds(self, contents: Sequence[Sequence[Vectors]]) -> Odds:
        """Of the vectors of each content. In double precision, so that it does not matter which contents are asked for
        together."""
        import numpy as np

        empty = np.full((len(contents), self.margins.size), -np.inf)
        has = np.array([at for at, vectors in enumerate(contents) if len(vectors)], dtype=np.intp)
        if not has.size or not self.described.size:
            return Odds(empty, empty.copy())
        found = Odds(empty, empty.copy())
        for at in range(0, has.size, _AT_ONCE):
            part = has[at : at + _AT_ONCE]
            odds, z = self._odds(middles([contents[number] for number in part.tolist()]))
            found.odds[np.ix_(part, self.described)] = odds
            found.z[np.ix_(part, self.described)] = z
        return found

    def _odds(self, middles: Matrix) -> tuple[Matrix, Matrix]:
        import numpy as np

        is_number = np.isfinite(middles).all(axis=1, keepdims=True)
        fits, margin = self._likeness(np.where(is_number, middles, 0.0))
        median = np.median(fits, axis=1, keepdims=True)
        spread = 1.4826 * np.median(np.abs(fits - median), axis=1, keepdims=True)
        z = (fits - median) / np.maximum(spread, MIN_SPREAD)
        scale = self.calibration
        by_margin = (margin - self.margins[self.described]) / scale.margin_step
        odds = np.minimum((z - scale.z) / scale.z_step, by_margin)
        return np.where(is_number, odds, -np.inf), np.where(is_number, z, -np.inf)

    def _likeness(self, vectors: Matrix) -> tuple[Matrix, Matrix]:
        """Of each to every described subject: the best cosine, and what of it the neutral prompts do not explain."""
        import numpy as np

        best = np.maximum.reduceat(vectors @ self.rows.T, self.starts, axis=1)
        fits, neutral = best[:, :-1], best[:, -1:]
        return fits, fits - self.calibration.neutral * np.maximum(neutral, 0.0)


def middles(contents: Sequence[Sequence[Vectors]]) -> Matrix:
    """One row for each content, the mean direction of its vectors. There is at least one content, and in each at least
    one vector."""
    import numpy as np

    flat = np.stack(list(itertools.chain.from_iterable(contents)))
    counts = np.array([len(vectors) for vectors in contents])
    sums = np.add.reduceat(flat, np.cumsum(counts) - counts, axis=0, dtype=np.float64)
    means = sums / counts[:, None]
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12))
