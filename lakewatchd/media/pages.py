"""What else is in a picture's file: the pages of a TIFF, moments of an animation.

Which ones depends on the file alone, never on how fast it was read. Everything is bounded: how many are given, and
how many pixels are decoded on the way to them, since an animation is only found by playing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PAGES = 16
SHARES = (0.25, 0.5, 0.75)
"""Where in an animation one looks again, beside its beginning."""
_MAX_PIXELS = 300_000_000
"""Of all that is decoded for this: a dozen scanned pages, or some hundred frames of a large animation."""
_MAX_STEPS = 2000
_SUBFILE, _REDUCED, _MASK = 254, 1, 4
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF"})


@dataclass(frozen=True, slots=True)
class Place:
    """One more picture in the file: its page, counted from 1, or its second in the animation."""

    page: int | None = None
    at_s: float | None = None


def count(image: Image) -> int:
    """How many pictures the file has; 1 for formats whose further ones are not for people, such as thumbnails."""
    if image.format not in _ANIMATED and image.format != "TIFF":
        return 1
    return int(getattr(image, "n_frames", 1))


def more(image: Image) -> Iterator[Place]:
    """Go to the further pictures of it, one after the other. ``image`` stands there, not loaded, as each is given."""
    if count(image) < 2:
        return iter(())
    return pages_of(image, 1, MAX_PAGES - 1) if image.format == "TIFF" else _moments(image)


def pages_of(image: Image, first: int, at_most: int) -> Iterator[Place]:
    """Those of the ``at_most`` pages from ``first``, counted from 0, that are no smaller copies and no masks."""
    pixels = _MAX_PIXELS
    for number in range(first, min(first + at_most, count(image))):
        if pixels <= 0:
            return
        image.seek(number)
        if number and getattr(image, "tag_v2", {}).get(_SUBFILE, 0) & (_REDUCED | _MASK):
            continue
        pixels -= image.width * image.height
        yield Place(page=number + 1)


def _moments(image: Image) -> Iterator[Place]:
    steps = min(count(image), _MAX_STEPS, _MAX_PIXELS // (image.width * image.height))
    wanted = sorted({int(share * steps) for share in SHARES} - {0})
    at_s, number = 0.0, 0
    for number in range(1, steps):
        if number > max(wanted, default=0):
            return
        at_s += _seconds(image)
        image.seek(number)
        if number in wanted:
            yield Place(at_s=at_s)


def _seconds(image: Image) -> float:
    """How long the frame is shown. Browsers take what is too short to be seen for a tenth of a second."""
    shown = image.info.get("duration", 0)
    return float(shown) / 1000 if isinstance(shown, (int, float)) and 10 < shown < 1e6 else 0.1
