"""How much a picture or a text is like each description: cosines read as log-odds, with one table per model family.

Similarities of different models have different ranges, so they are read relative to how the *whole* vocabulary fits
this content. What the odds are used for is decided in :mod:`lakewatchd.stages.zero_shot`.

The invariant: a vector that is no number, or that fits everything alike, is like nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    PromptVectors = Vectors
    """``(N, dim)`` unit rows in the order of :func:`lakewatchd.stages.zero_shot.prompts`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a similarity must be for even odds, and how fast the odds change around it.

    ``z`` is how many spreads a tag stands above the median tag; ``margin`` is the cosine less ``neutral`` times the
    cosine of the best neutral prompt. Both must convince: the smaller log-odds count. ``place`` replaces ``margin``
    for tags of places: what is half a lakeside and half a seashore is by the water, but what is half a dog and half
    a rug may be grass. ``doubt`` is what a detector's silence on its own subject takes from the log-odds.
    """

    z: float
    z_step: float
    margin: float
    place: float
    margin_step: float
    neutral: float
    doubt: float


EMBEDDED = "efficientnet-lite0+all-MiniLM-L6-v2"
IMAGE_CALIBRATIONS = {
    # EfficientNet-Lite0 class probabilities in MiniLM's space: cosines near 1 for a class it knows, and a
    # wide spread of accidental ones, so that the absolute size says most.
    EMBEDDED: Calibration(z=3.0, z_step=0.4, margin=0.68, place=0.55, margin_step=0.06, neutral=0.5, doubt=1.5),
}
GENERIC = Calibration(z=4.5, z_step=0.5, margin=0.0, place=0.0, margin_step=0.01, neutral=1.0, doubt=0.5)
"""For CLIP-like models, whose cosines all lie close together: only the rank among the vocabulary tells."""
TEXT_CALIBRATION = Calibration(z=4.8, z_step=0.5, margin=0.30, place=0.30, margin_step=0.04, neutral=0.0, doubt=0.0)
"""For sentence embedders: the middle of a document against a short topic."""
MIN_SPREAD = 0.01
"""Keeps rounding from becoming a score where all prompts fit alike."""


@dataclass(frozen=True, slots=True)
class Odds:
    """Per subject: log-odds, and how far it stands out (z). ``-inf`` for what has no description."""

    odds: Sequence[float]
    z: Sequence[float]


@dataclass(frozen=True, slots=True)
class Comparer:
    """The prompts of one side (pictures or texts) and what their similarities mean."""

    rows: Vectors
    """All descriptions of all subjects, then the neutral ones."""
    owners: NDArray[np.intp]
    """Per row the number of its subject; the neutral set counts as the last."""
    margins: NDArray[np.float64]
    """Per subject the margin that makes even odds."""
    calibration: Calibration

    @classmethod
    def of(
        cls,
        lists: list[list[str]],
        order: dict[str, int],
        places: list[bool],
        vectors: PromptVectors | None,
        calibration: Calibration,
    ) -> Comparer | None:
        import numpy as np

        if vectors is None:
            return None
        if len(vectors) != len(order):
            raise ValueError(f"{len(vectors)} prompt vectors for {len(order)} prompts")
        rows = vectors[[order[text] for texts in lists for text in texts]]
        owners = [owner for owner, texts in enumerate(lists) for _ in texts]
        margins = np.where(places, calibration.place, calibration.margin)
        return cls(rows, np.array(owners, dtype=np.intp), margins, calibration)

    def odds(self, vectors: Sequence[Vectors]) -> Odds:
        import numpy as np

        middle = np.mean(np.stack(vectors), axis=0, dtype=np.float64)
        middle /= max(float(np.linalg.norm(middle)), 1e-12)
        best = np.full(self.margins.size + 1, -math.inf)
        np.maximum.at(best, self.owners, self.rows @ middle)
        fits, neutral = best[:-1], best[-1]
        described = fits[np.isfinite(fits)]
        if not described.size:  # nothing to compare, or a vector that is no number
            return Odds([-math.inf] * fits.size, [-math.inf] * fits.size)
        median = np.median(described)
        spread = max(1.4826 * float(np.median(np.abs(described - median))), MIN_SPREAD)
        z = (fits - median) / spread
        scale = self.calibration
        margin = fits - scale.neutral * max(float(neutral), 0.0)
        odds = np.minimum((z - scale.z) / scale.z_step, (margin - self.margins) / scale.margin_step)
        return Odds(odds.tolist(), z.tolist())
