"""The Arrow schema of every table, column by column, with the indexes each one has.

Rows as values are in :mod:`lakewatchd.lake.rows`, the way between the two in :mod:`lakewatchd.lake.codec`.
Invariant: a column, once released, keeps its name, type and meaning. New ones are added at the end; a lake
made before them gets them, empty, when it is opened (:mod:`lakewatchd.lake.tables`). What cannot be said by
adding a column raises :data:`SCHEMA_VERSION` and is a step in :mod:`lakewatchd.lake.migrate`.

A new stage whose result can go stale is one more name in :data:`STAGES`: that makes its column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 4

STAGES = ("chunk", "detect", "embed", "tag", "film", "read", "sound", "clips", "speech", "ocr", "caption", "place")
"""The stages whose transform a silver row records, each in a column of its own: "stale" is one comparison."""


@dataclass(frozen=True, slots=True)
class Dims:
    """Numbers per vector. 0: there is no such model, and new tables have no such column."""

    image: int
    text: int

    @classmethod
    def of(cls, spans: pa.Schema) -> Dims:
        """Of the vectors that a table of spans has columns for."""
        lengths = {name: spans.field(name).type.list_size for name in SPANS.vectors if name in spans.names}
        return cls(lengths.get("image_vector", 0), lengths.get("text_vector", 0))


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """An Arrow type by its name in :func:`_arrow_type`."""
    comment: str
    index: str = ""
    """``btree`` and ``words`` from the first row; ``bitmap``, ``labels`` and ``vectors`` once there are enough rows to
    gain."""

    @property
    def index_name(self) -> str:
        """Says how the index was made, so that one that was made otherwise is seen."""
        return f"{self.name}_{_INDEX_NAMES.get(self.index, 'idx')}"


_INDEX_NAMES = {"words": "words", "vectors": "ivf_sq"}


@dataclass(frozen=True, slots=True)
class TableSpec:
    name: str
    key: str
    """The column no two rows share. Empty: rows are only ever added."""
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def vectors(self) -> list[str]:
        return [column.name for column in self.columns if column.type in ("image_vector", "text_vector")]

    def arrow(self, dims: Dims) -> pa.Schema:
        """The columns a table with vectors of ``dims`` has."""
        import pyarrow as pa

        types = ((column.name, _arrow_type(column.type, dims)) for column in self.columns)
        return pa.schema([pa.field(name, type_) for name, type_ in types if type_ is not None])

    def indexed(self, *kinds: str) -> list[Column]:
        return [column for column in self.columns if column.index in kinds]


_REVISION = Column("revision", "int64", "grows with every commit: what readers ask changes by", "btree")
_ASSET = Column("asset_id", "string", "BLAKE3 of the content, 64 hex digits", "btree")
_KIND = Column("kind", "string", "image, video, audio, document, table or other", "bitmap")

OCCURRENCES = TableSpec(
    "bronze_occurrences",
    "occurrence_id",
    (
        Column("occurrence_id", "string", "128 bits of hex over root and path: the key", "btree"),
        Column("root", "string", "name of the watched root"),
        Column("path_text", "string", "path below the root, printable and reversible (core.asset.path_text)"),
        _ASSET,
        _KIND,
        Column("mime", "string", "media type by content and name"),
        Column("size_bytes", "int64", "size when it was read"),
        Column("mtime_ns", "int64", "modification time when it was read, ns since the epoch"),
        Column("inode", "int64", "inode number, 0 in a bucket; 64 unsigned bits kept as signed"),
        Column("device", "int64", "device number, 0 in a bucket; 64 unsigned bits kept as signed"),
        Column("presence", "string", "present, away or gone", "bitmap"),
        Column("first_seen", "float64", "s since the epoch"),
        Column("last_seen", "float64", "s since the epoch, when the facts were last confirmed by reading"),
        _REVISION,
        Column("etag", "string", "what the bucket calls the content; empty for a file"),
        Column("version_id", "string", "of the object, in a bucket with versions"),
        Column("content_type", "string", "media type the object was put with"),
        Column("tags", "pairs", "object tags, as (k, v) by name"),
        Column("metadata", "pairs", "user metadata of the object, as (k, v) by name"),
        Column("family", "string", "128 bits of hex over what the path shares with its companions, or empty", "btree"),
    ),
)

ASSETS = TableSpec(
    "silver_assets",
    "asset_id",
    (
        _ASSET,
        _KIND,
        Column("mime", "string", "media type by content"),
        Column("size_bytes", "int64", "length of the content"),
        Column("width", "int64", "upright pixels"),
        Column("height", "int64", "upright pixels"),
        Column("duration_s", "float64", "play time, s"),
        Column("captured_at", "timestamp", "wall-clock time where it was taken, no zone"),
        Column(
            "captured_from",
            "string",
            "evidence for captured_at: a word of stages.dated or empty; gps and *-utc: in Greenwich",
        ),
        Column("camera", "string", "maker and model"),
        Column("latitude", "float64", "degrees north"),
        Column("longitude", "float64", "degrees east"),
        Column("title", "string", "title the document carries"),
        Column("exif", "pairs", "what the file says of itself, as (k, v) in its order"),
        Column("phash", "int64", "perceptual hash; 64 unsigned bits kept as signed"),
        Column("text_chars", "int64", "characters of text in the whole document"),
        *(Column(f"{stage}_transform", "string", f"transform that made the {stage} part") for stage in STAGES),
        _REVISION,
        Column("language", "string", "ISO 639-1"),
        Column("author", "string", "author, artist or sender the content names"),
        Column("pages", "int64", "pages, slides, sheets, frames of an animation"),
        Column("caption", "string", "one sentence on what is to be seen"),
        Column("caption_tags", "strings", "free tags of the model that wrote the caption"),
        Column("signature", "binary", "fingerprints that near-duplicates are told by"),
        Column("spans", "int64", "number of its spans"),
    ),
)

SPANS = TableSpec(
    "silver_spans",
    "span_id",
    (
        Column("span_id", "string", "asset id, ':' and the span number in 6 digits: the key", "btree"),
        _ASSET,
        Column("span", "int64", "number within the asset, from 0"),
        Column("kind", "string", "image, frame, page, passage, clip, text or speech", "bitmap"),
        Column("text", "string", "the passage", "words"),
        Column("start", "int64", "first character in the document"),
        Column("end", "int64", "character after the last"),
        Column("page", "int64", "page number"),
        Column("start_s", "float64", "begin in the recording, s"),
        Column("end_s", "float64", "end in the recording, s"),
        Column("image_vector", "image_vector", "unit vector in the image-text space", "vectors"),
        Column("text_vector", "text_vector", "unit vector in the text space", "vectors"),
        Column("vector_transform", "string", "what made the vectors; those of two are never compared"),
        Column("objects", "objects", "things seen, with scores and boxes as shares of the picture"),
        _REVISION,
        Column("words", "words", "spoken words with begin and end in the recording, s"),
        Column("speaker", "string", "who speaks, where that is known"),
        Column("language", "string", "ISO 639-1"),
        Column("phash", "int64", "perceptual hash of the picture; 64 unsigned bits kept as signed"),
    ),
)

GOLD = TableSpec(
    "gold_assets",
    "asset_id",
    (
        _ASSET,
        _KIND,
        Column("title", "string", "what to call it"),
        Column("category", "string", "the one main group", "bitmap"),
        Column("category_score", "float64", "0..1"),
        Column("tags", "tags", "labels with score and who said so"),
        Column("tag_names", "strings", "the names in tags, for the index", "labels"),
        Column("caption", "string", "one sentence on what is to be seen"),
        Column("dated_at", "timestamp", "wall-clock time to file it under, no zone", "btree"),
        Column(
            "dated_by",
            "string",
            "evidence for dated_at: sidecar, exif, container, document, gps, name, folder or mtime",
        ),
        Column("text", "string", "searchable text: title, caption, tags, begin of the document", "words"),
        Column("vector", "image_vector", "unit vector in the image-text space"),
        Column("best_root", "string", "root of the occurrence to open", "bitmap"),
        Column("best_path", "string", "its path below the root, as path_text"),
        Column("size_bytes", "int64", "length of the content", "btree"),
        Column("occurrences", "int64", "places that hold it"),
        _REVISION,
        Column("language", "string", "ISO 639-1"),
        Column("country", "string", "where it was taken", "bitmap"),
        Column("city", "string", "where it was taken, or the next one", "bitmap"),
        Column("latitude", "float64", "degrees north"),
        Column("longitude", "float64", "degrees east"),
        Column("duration_s", "float64", "play time, s"),
        Column("duplicate_group", "string", "near-duplicates share one; empty without", "btree"),
        Column("is_representative", "bool", "the one of its group that is shown; true without a group", "bitmap"),
        Column(
            "family", "string", "asset id of what it is a sidecar or a part of; its own for a lone sidecar", "bitmap"
        ),
    ),
)

WORDS = TableSpec(
    "person_words",
    "asset_id",
    (
        _ASSET,
        Column("tags", "strings", "tags that a person gave it"),
        Column("denied", "strings", "tags that a person took away from it"),
        Column("category", "string", "the category that a person filed it under, or empty"),
        _REVISION,
    ),
)
"""Kept by content, and for ever: not derived from anything."""

LEARNED = TableSpec(
    "learned",
    "name",
    (
        Column("name", "string", "what was learned: school is what corrections have taught", "btree"),
        Column("payload", "binary", "as the module that learned it writes it"),
        _REVISION,
    ),
)
"""What rows depend on besides content, places and settings: its digest is part of their transforms."""

GOLD_GONE = TableSpec(
    "gold_gone",
    "",
    (
        Column("asset_id", "string", "an asset that stopped being served; a later gold row overrules it"),
        _REVISION,
    ),
)

LINEAGE = TableSpec(
    "lineage",
    "",
    (
        Column("run_id", "string", "128 bits of hex over subject, transform and start"),
        Column("subject", "string", "asset id, or root:path while the content is not known", "btree"),
        Column("stage", "string", "name of the stage"),
        Column("transform", "string", "stage, version and settings hash"),
        Column("started_at", "float64", "s since the epoch"),
        Column("duration_s", "float64", "s"),
        Column("state", "string", "done, skipped or failed"),
        Column("detail", "string", "the error, why it was skipped, or what was left out of the content"),
        _REVISION,
    ),
)

TABLES = (WORDS, LEARNED, SPANS, ASSETS, OCCURRENCES, GOLD, GOLD_GONE, LINEAGE)
"""In the order they are written."""


def span_id(asset_id: str, span: int) -> str:
    return f"{asset_id}:{span:06d}"


def quoted(text: str) -> str:
    """``text`` as an SQL string literal. Quotes are all that has a meaning inside one."""
    return "'" + text.replace("'", "''") + "'"


def is_in(column: str, values: Iterable[str]) -> str:
    """The SQL condition that ``column`` is one of ``values``; false for none."""
    literals = ", ".join(quoted(value) for value in values)
    return f"{column} IN ({literals})" if literals else "false"


def _arrow_type(name: str, dims: Dims) -> pa.DataType | None:
    import pyarrow as pa

    match name:
        case "image_vector" | "text_vector":
            dim = dims.image if name == "image_vector" else dims.text
            return pa.list_(pa.float32(), dim) if dim else None
        case "timestamp":
            return pa.timestamp("us")
        case "strings":
            return pa.list_(pa.string())
        case "pairs":
            return pa.list_(pa.struct([("k", pa.string()), ("v", pa.string())]))
        case "tags":
            return pa.list_(pa.struct([("name", pa.string()), ("score", pa.float64()), ("origin", pa.string())]))
        case "words":
            return pa.list_(pa.struct([("text", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))
        case "objects":
            corners = [(corner, pa.float64()) for corner in ("left", "top", "right", "bottom")]
            return pa.list_(pa.struct([("name", pa.string()), ("score", pa.float64()), *corners]))
        case _:
            return pa.type_for_alias(name)
