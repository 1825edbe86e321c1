"""Table rows as values. The Arrow schemas they become are in :mod:`lakewatchd.lake.schema`."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from lakewatchd.core.asset import NO_LABELS, AssetId, Correction, Detected, Kind, Labels, PathKey, Tag, Version
from lakewatchd.core.lineage import StageRun

Vector = tuple[float, ...]
"""Unit length, float32 in the table."""


class Presence(enum.StrEnum):
    PRESENT = "present"
    AWAY = "away"
    """The root is unmounted: still ours, not readable now."""
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class OccurrenceRow:
    """``bronze_occurrences``: a place where content was seen. Key: ``key.occurrence_id``."""

    key: PathKey
    asset_id: AssetId
    kind: Kind
    mime: str
    """Kind and type by content and name: a copy with another extension may be another flavour of text."""
    version: Version
    presence: Presence
    first_seen: float
    last_seen: float
    """Seconds since the epoch; when this row's facts were last confirmed by reading the file."""
    labels: Labels = NO_LABELS
    """Of an object. Unknown, that is empty, in what a view is told."""


@dataclass(frozen=True, slots=True)
class AssetRow:
    """``silver_assets``: content. Key: ``asset_id``."""

    asset_id: AssetId
    kind: Kind
    mime: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    captured_at: dt.datetime | None = None
    captured_from: str = ""
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None
    title: str = ""
    exif: tuple[tuple[str, str], ...] = ()
    phash: int | None = None
    text_chars: int = 0
    transforms: Mapping[str, str] = field(default_factory=dict)
    """Stage name -> :attr:`Transform.id` that made its part; a stage whose id differs today is stale."""
    language: str = ""
    author: str = ""
    pages: int | None = None
    caption: str = ""
    caption_tags: tuple[str, ...] = ()
    signature: bytes | None = None
    """Fingerprints that near-duplicates are told by."""
    spans: int | None = None
    """How many it has: one that was lost can be missed. None in rows that are older than the column."""


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word, and when."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class SpanRow:
    """``silver_spans``: a piece of content. Key: ``asset_id`` + ``span`` (its number within the asset)."""

    asset_id: AssetId
    span: int
    kind: str
    """``image``, ``frame``, ``page``, ``passage``, ``clip``, ``text`` (read in a picture) or ``speech``: see
    :mod:`lakewatchd.stages.spans`."""
    text: str = ""
    start: int | None = None
    end: int | None = None
    page: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    image_vector: Vector | None = None
    text_vector: Vector | None = None
    vector_transform: str = ""
    """What made the vectors. Vectors of two transforms are never compared."""
    objects: tuple[Detected, ...] = ()
    words: tuple[Word, ...] = ()
    speaker: str = ""
    language: str = ""
    phash: int | None = None

    @property
    def is_picture(self) -> bool:
        return self.kind in ("image", "frame", "page", "clip")


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """``person_words``: what a person said of content. Key: ``asset_id``. An empty one is as good as no row."""

    asset_id: AssetId
    correction: Correction


@dataclass(frozen=True, slots=True)
class GoldRow:
    """``gold_assets``: content that is served. Key: ``asset_id``. Exists while a place holds the asset."""

    asset_id: AssetId
    kind: Kind
    title: str
    category: str
    category_score: float
    tags: tuple[Tag, ...]
    caption: str
    dated_at: dt.datetime
    """Wall-clock time to file it under: when it was captured, else the file's modification time."""
    dated_by: str
    """The evidence: ``exif``, ``container`` (of a video), ``name`` or ``mtime``."""
    text: str
    """Searchable text: title, caption, tags, beginning of the document."""
    vector: Vector | None
    best: PathKey
    """The occurrence to open: the first by (first seen, path) of those present."""
    size_bytes: int
    occurrences: int
    language: str = ""
    country: str = ""
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None
    duration_s: float | None = None
    duplicate_group: str = ""
    """Of near-duplicates; empty for an asset that has none."""
    is_representative: bool = True
    """Of its group the one that is shown; so is one without a group."""
    family: AssetId = ""
    """The asset that this one is a sidecar or a part of: shown where it lies, and nowhere else."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that belong together: they are committed in the order of the fields, or not at all acked."""

    occurrences: tuple[OccurrenceRow, ...] = ()
    assets: tuple[AssetRow, ...] = ()
    spans: tuple[SpanRow, ...] = ()
    """All spans of each asset named in ``assets``: older spans of these assets with higher numbers are removed."""
    gold: tuple[GoldRow, ...] = ()
    gold_gone: tuple[AssetId, ...] = ()
    """Assets that nothing holds any more: their gold rows are removed."""
    thumbnails: tuple[tuple[AssetId, bytes], ...] = ()
    runs: tuple[StageRun, ...] = ()
    corrections: tuple[CorrectionRow, ...] = ()
    learned: tuple[tuple[str, bytes], ...] = ()
    """By name, as whoever learned it writes it."""
