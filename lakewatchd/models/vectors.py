"""What a vector carries of the models that made it: the transforms of the stages ``embed`` and ``clips``.

Here, below those that make vectors and those that compare them. Invariant: vectors of equal transforms are comparable;
of two others nobody knows, even where they have the same length.
"""

from __future__ import annotations

from lakewatchd.core.lineage import Transform
from lakewatchd.models.base import ModelInfo

MAX_PASSAGES = 256
"""Texts of one asset that get a vector; the rest is found by its words. On one core 256 take about 20 s."""


def embedding(image_text: ModelInfo | None, text: ModelInfo | None) -> Transform:
    """Of pictures and passages."""
    settings = {"image_text": _settings(image_text), "text": _settings(text), "max_passages": MAX_PASSAGES}
    return Transform.of("embed", 2, settings)


def clipping(max_pixels: int, image_text: ModelInfo | None, detector: ModelInfo | None) -> Transform:
    """Of the clips of a film."""
    settings = {"max_pixels": max_pixels, "image_text": _settings(image_text), "detector": _settings(detector)}
    return Transform.of("clips", 1, settings)


def _settings(model: ModelInfo | None) -> dict[str, str | int] | None:
    return model.transform_config if model else None
