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
class Frame:
    """One more picture in it: a page, a frame of an animation, what stands for a clip of a film."""

    picture: Picture
    page: int | None = None
    """From 1."""
    start_s: float | None = None
    end_s: float | None = None
    """Of the clip, counted from the beginning; both the same for the moment of a frame."""
    phash: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What is wanted of a file besides its description."""

    name: str = "describe"
    """``describe``: what is soon told. ``clips``: a film, scene by scene. ``legible``: pictures large enough to be
    read."""
    first: int = 0
    """Of ``legible``: the first page, from 0, and how many at most."""
    count: int = 0


DESCRIBE = Task()


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of what is to be heard, as speech models take it."""

    samples: bytes
    """Signed 16 bit, one channel, little endian."""
    rate: int
    """Samples per second."""
    start_s: float
    """Where in the recording it begins."""
    is_last: bool
    """Nothing comes after it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text. ``start`` and ``end`` are character offsets into the document's whole text."""

    text: str
    start: int
    end: int
    page: int | None = None
    """From 1."""
    start_s: float | None = None
    end_s: float | None = None
    """When it is said, of subtitles and lyrics."""


@dataclass(frozen=True, slots=True)
class Content:
    """All that decoding tells. Fields that a kind does not have stay None or empty."""

    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    captured_at: dt.datetime | None = None
    """Wall-clock time where it was taken, without a zone: what a person would say."""
    captured_from: str = ""
    """The evidence for it: ``exif``, ``container`` (of a video), ``name`` or empty."""
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
    """What the models look at: the whole picture, reduced; of a video, the frame that stands for it."""
    picture_at_s: float | None = None
    """Where in a video that frame is, counted from its beginning."""
    frames: tuple[Frame, ...] = ()
    """Further pictures."""
    signature: bytes | None = None
    """What near-equal recordings are told by: :func:`lakewatchd.media.scenes.signature` of a film."""
    language: str = ""
    """ISO 639-1."""
    author: str = ""
    pages: int | None = None
    """Pages, slides, sheets, frames of an animation."""
    passages: tuple[Passage, ...] = ()
    text_chars: int = 0
    warnings: tuple[str, ...] = ()
    """What was wrong but bearable, such as text cut at a limit."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All that models look at, in order."""
        first = () if self.picture is None else (self.picture,)
        return (*first, *(frame.picture for frame in self.frames))
