"""Answers of the API about assets, as values."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lakewatchd.core.asset import AssetId, Detected, Kind, Tag
from lakewatchd.lake.rows import Word


@dataclass(frozen=True, slots=True)
class Item:
    """An asset as a list shows it: enough to lay it out before its picture is there."""

    id: AssetId
    kind: Kind
    title: str
    name: str
    """Of the file, printable."""
    dated_at: dt.datetime
    width: int | None = None
    height: int | None = None
    """Upright pixels."""
    duration_s: float | None = None
    is_away: bool = False
    """No place of it can be read now."""


@dataclass(frozen=True, slots=True)
class Page:
    items: tuple[Item, ...]
    next: str | None = None
    """As ``cursor`` it asks for what follows; nothing: this was the last page."""


@dataclass(frozen=True, slots=True)
class Month:
    year: int
    month: int
    count: int


@dataclass(frozen=True, slots=True)
class Place:
    root: str
    path: str
    """Below the root, printable."""
    presence: str
    mtime: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Part:
    """A sidecar, or the moving half of a live photo: shown with the asset it lies beside."""

    id: AssetId
    kind: Kind
    title: str


@dataclass(frozen=True, slots=True)
class Group:
    """Of near-duplicates."""

    group: str
    is_representative: bool
    others: tuple[AssetId, ...]


@dataclass(frozen=True, slots=True)
class Asset:
    """All of one asset but its pieces."""

    id: AssetId
    kind: Kind
    mime: str
    title: str
    category: str
    category_score: float
    tags: tuple[Tag, ...]
    denied: tuple[str, ...]
    """Tags that a person took away."""
    caption: str
    dated_at: dt.datetime
    dated_by: str
    country: str
    city: str
    latitude: float | None
    longitude: float | None
    size_bytes: int
    duration_s: float | None
    width: int | None
    height: int | None
    pages: int | None
    camera: str
    author: str
    language: str
    text_chars: int
    exif: tuple[tuple[str, str], ...]
    places: tuple[Place, ...]
    is_away: bool
    family: AssetId
    """The asset that this one is a part of."""
    parts: tuple[Part, ...]
    duplicates: Group | None
    spans: dict[str, int]
    """How many pieces, by kind."""


@dataclass(frozen=True, slots=True)
class Span:
    span: int
    kind: str
    text: str = ""
    start: int | None = None
    """First character in the document. Passages overlap: what was said before is not said again."""
    end: int | None = None
    page: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    words: tuple[Word, ...] = ()
    objects: tuple[Detected, ...] = ()
    language: str = ""
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Spans:
    items: tuple[Span, ...]
    next: int | None = None
    """The ``offset`` that asks for what follows."""
