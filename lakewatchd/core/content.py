"""What a decoder found in a file, before any model has looked at it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lakewatchd.core.asset import AssetId, Kind, Version


@dataclass(frozen=True, slots=True)
class Identity:
    """Which content lies at a path, and of what kind it is. ``version`` held before and after reading it all."""

    asset_id: AssetId
    version: Version
    kind: Kind
    mime: str
    sample: str = ""
    """Hex hash of head, middle and tail; empty for a file that is small enough to be read whole instead."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Head, middle and tail of a large file, hashed: proof, as good as it gets without reading all, that a file is the
    one that was hashed under another name or before its owner changed."""

    hex: str
    version: Version


@dataclass(frozen=True, slots=True)
class Picture:
    """Upright RGB pixels, 8 bit, row by row: ``len(pixels) == width * height * 3``."""

    width: int
    height: int
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text. ``start`` and ``end`` are character offsets into the document's whole text."""

    text: str
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """All that decoding tells. Fields that a kind does not have stay None or empty."""

    width: int | None = None
    height: int | None = None
    captured_at: dt.datetime | None = None
    """Wall-clock time where it was taken, without a zone: what a person would say."""
    captured_from: str = ""
    """The evidence for it: ``exif``, ``name`` or empty."""
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None
    title: str = ""
    exif: tuple[tuple[str, str], ...] = ()
    phash: int | None = None
    """64-bit perceptual hash of the upright picture."""
    thumbnail: bytes | None = None
    """An encoded image (JPEG or WebP)."""
    picture: Picture | None = None
    """What the models look at: the whole picture, reduced."""
    passages: tuple[Passage, ...] = ()
    text_chars: int = 0
    warnings: tuple[str, ...] = ()
    """What was wrong but bearable, such as text cut at a limit."""
