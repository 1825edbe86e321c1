"""Rows as values <-> Arrow tables. Pure; the columns are :mod:`lakewatchd.lake.schema`'s.

Invariant: decoding what was encoded gives the row back, except that vectors are float32, times have no zone,
and free text that is no Unicode has "?" for what is not (paths keep every byte).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lakewatchd.core.asset import (
    NO_LABELS,
    Correction,
    Detected,
    Kind,
    Labels,
    PathKey,
    Tag,
    Version,
    path_text,
    text_path,
)
from lakewatchd.core.companions import family_of
from lakewatchd.core.lineage import StageRun
from lakewatchd.errors import DamagedMedia
from lakewatchd.lake import schema
from lakewatchd.lake.rows import AssetRow, Batch, CorrectionRow, GoldRow, OccurrenceRow, Presence, SpanRow, Vector, Word

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {kind.value: kind for kind in Kind}
_PRESENCES = {presence.value: presence for presence in Presence}

Record = dict[str, Any]
"""One row by column name: lives between a dataclass and Arrow, inside this module."""


def occurrence_record(row: OccurrenceRow) -> Record:
    return {
        "occurrence_id": row.key.occurrence_id,
        "root": _text(row.key.root),
        "path_text": path_text(row.key.path),
        "asset_id": row.asset_id,
        "kind": row.kind.value,
        "mime": _text(row.mime),
        "size_bytes": row.version.size_bytes,
        "mtime_ns": _signed(row.version.mtime_ns),
        "inode": _signed(row.version.inode),
        "device": _signed(row.version.device),
        "presence": row.presence.value,
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
        "etag": _text(row.version.etag),
        "version_id": _text(row.labels.version_id),
        "content_type": _text(row.labels.content_type),
        "tags": _pairs(row.labels.tags),
        "metadata": _pairs(row.labels.metadata),
        "family": family_of(row.key),
    }


def asset_record(row: AssetRow) -> Record:
    return {
        "asset_id": row.asset_id,
        "kind": row.kind.value,
        "mime": _text(row.mime),
        "size_bytes": row.size_bytes,
        "width": row.width,
        "height": row.height,
        "duration_s": row.duration_s,
        "captured_at": _naive(row.captured_at),
        "captured_from": row.captured_from,
        "camera": _text(row.camera),
        "latitude": row.latitude,
        "longitude": row.longitude,
        "title": _text(row.title),
        "exif": _pairs(row.exif),
        "phash": None if row.phash is None else _signed(row.phash),
        "text_chars": row.text_chars,
        "language": _text(row.language),
        "author": _text(row.author),
        "pages": row.pages,
        "caption": _text(row.caption),
        "caption_tags": [_text(tag) for tag in row.caption_tags],
        "signature": row.signature,
        "spans": row.spans,
        **{f"{stage}_transform": row.transforms.get(stage) for stage in schema.STAGES},
    }


def span_record(row: SpanRow) -> Record:
    return {
        "span_id": schema.span_id(row.asset_id, row.span),
        "asset_id": row.asset_id,
        "span": row.span,
        "kind": row.kind,
        "text": _text(row.text),
        "start": row.start,
        "end": row.end,
        "page": row.page,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "image_vector": row.image_vector,
        "text_vector": row.text_vector,
        "vector_transform": row.vector_transform,
        "objects": [
            {"name": _text(o.name), "score": o.score}
            | dict(zip(("left", "top", "right", "bottom"), o.box, strict=True))
            for o in row.objects
        ],
        "words": [{"text": _text(w.text), "start_s": w.start_s, "end_s": w.end_s} for w in row.words],
        "speaker": _text(row.speaker),
        "language": _text(row.language),
        "phash": None if row.phash is None else _signed(row.phash),
    }


def gold_record(row: GoldRow) -> Record:
    return {
        "asset_id": row.asset_id,
        "kind": row.kind.value,
        "title": _text(row.title),
        "category": _text(row.category),
        "category_score": row.category_score,
        "tags": [{"name": _text(tag.name), "score": tag.score, "origin": tag.origin} for tag in row.tags],
        "tag_names": [_text(tag.name) for tag in row.tags],
        "caption": _text(row.caption),
        "dated_at": _naive(row.dated_at),
        "dated_by": row.dated_by,
        "text": _text(row.text),
        "vector": row.vector,
        "best_root": _text(row.best.root),
        "best_path": path_text(row.best.path),
        "size_bytes": row.size_bytes,
        "occurrences": row.occurrences,
        "language": _text(row.language),
        "country": _text(row.country),
        "city": _text(row.city),
        "latitude": row.latitude,
        "longitude": row.longitude,
        "duration_s": row.duration_s,
        "duplicate_group": row.duplicate_group,
        "is_representative": row.is_representative,
        "family": row.family,
    }


def correction_record(row: CorrectionRow) -> Record:
    return {
        "asset_id": row.asset_id,
        "tags": [_text(name) for name in row.correction.tags],
        "denied": [_text(name) for name in row.correction.denied],
        "category": _text(row.correction.category),
    }


def run_record(run: StageRun) -> Record:
    raw = f"{run.subject}\0{run.transform}\0{run.started_at!r}".encode(errors="surrogateescape")
    return {
        "run_id": hashlib.blake2b(raw, digest_size=16).hexdigest(),
        "subject": _text(run.subject),
        "stage": run.stage,
        "transform": run.transform,
        "started_at": run.started_at,
        "duration_s": run.duration_s,
        "state": run.state.value,
        "detail": _text(run.detail),
    }


def encode(records: Sequence[Record], arrow: pa.Schema, revision: int) -> pa.Table:
    """A table of exactly the columns of ``arrow``, all rows with ``revision``.

    Raises ``DamagedMedia`` for a value no column can hold, such as a width of 2**70 that a file claims.
    """
    import pyarrow as pa

    def column(field: pa.Field) -> pa.Array:
        if field.name == "revision":
            return pa.array([revision] * len(records), field.type)
        values = [record[field.name] for record in records]
        return _vectors(values, field.type) if pa.types.is_fixed_size_list(field.type) else pa.array(values, field.type)

    try:
        return pa.Table.from_arrays([column(field) for field in arrow], schema=arrow)
    except (ValueError, TypeError, OverflowError) as exc:
        raise DamagedMedia(f"claims a value that no table can hold: {exc}") from exc


def occurrences(table: pa.Table) -> Iterator[OccurrenceRow]:
    """By columns, as :func:`gold`: a view reads all of them when it starts. Etag and labels may be missing from
    ``table``, or null in rows that are older than the columns: they are then empty."""
    names = (
        "root", "path_text", "asset_id", "kind", "mime", "size_bytes", "mtime_ns", "inode", "device", "presence",
        "first_seen", "last_seen",
    )  # fmt: skip
    has = set(table.schema.names)
    etags = table.column("etag").to_pylist() if "etag" in has else itertools.repeat(None)
    told = _labels(table) if has.issuperset(_LABELS) else itertools.repeat(NO_LABELS)
    for facts, etag, labels in zip(_columns(table, names), etags, told, strict=False):
        root, path, asset, kind, mime, size, mtime, inode, device, presence, first, last = facts
        version = Version(size, mtime, _unsigned(inode), _unsigned(device), etag=etag or "")
        key = PathKey(root, text_path(path))
        yield OccurrenceRow(key, asset, _KINDS[kind], mime, version, _PRESENCES[presence], first, last, labels)


_LABELS = ("tags", "metadata", "content_type", "version_id")


def _labels(table: pa.Table) -> Iterator[Labels]:
    for tags, metadata, content_type, version_id in _columns(table, _LABELS):
        if tags or metadata or content_type or version_id:
            yield Labels(_tuples(tags), _tuples(metadata), content_type or "", version_id or "")
        else:
            yield NO_LABELS


_ASSET_FIELDS = (
    "asset_id", "mime", "size_bytes", "width", "height", "duration_s", "captured_at", "captured_from", "camera",
    "latitude", "longitude", "title", "text_chars", "pages", "signature", "spans",
)  # fmt: skip


def assets(table: pa.Table) -> Iterator[AssetRow]:
    for r in table.to_pylist():
        yield AssetRow(
            kind=_KINDS[r["kind"]],
            exif=_tuples(r["exif"]),
            phash=None if r["phash"] is None else _unsigned(r["phash"]),
            language=r["language"] or "",
            author=r["author"] or "",
            caption=r["caption"] or "",
            caption_tags=tuple(r["caption_tags"] or ()),
            transforms={s: r[f"{s}_transform"] for s in schema.STAGES if r[f"{s}_transform"] is not None},
            **{name: r[name] for name in _ASSET_FIELDS},
        )


_SPAN_FIELDS = ("asset_id", "span", "text", "start", "end", "page", "start_s", "end_s", "vector_transform")


def spans(table: pa.Table) -> Iterator[SpanRow]:
    """What ``table`` lacks of the columns, but for the two of the key, is empty."""
    for r in table.to_pylist():
        boxes = ((o, (o["left"], o["top"], o["right"], o["bottom"])) for o in r.get("objects") or ())
        yield SpanRow(
            kind=r.get("kind", ""),
            image_vector=_vector(r.get("image_vector")),
            text_vector=_vector(r.get("text_vector")),
            objects=tuple(Detected(o["name"], o["score"], box) for o, box in boxes),
            words=tuple(Word(w["text"], w["start_s"], w["end_s"]) for w in r.get("words") or ()),
            speaker=r.get("speaker") or "",
            language=r.get("language") or "",
            phash=None if r.get("phash") is None else _unsigned(r["phash"]),
            **{name: r[name] for name in _SPAN_FIELDS if name in r},
        )


def seen(table: pa.Table) -> Iterator[SpanRow]:
    """What is to be seen in spans, and no text. The vectors are views of ``table``, not copies."""
    names = table.schema.names
    vectors = [_arrays(table.column(name)) if name in names else itertools.repeat(None)
               for name in ("image_vector", "text_vector")]  # fmt: skip
    columns = _columns(table, ("asset_id", "span", "kind", "vector_transform", "objects"))
    for (asset, span, kind, made_by, objects), image, text in zip(columns, *vectors, strict=False):
        boxes = ((o, (o["left"], o["top"], o["right"], o["bottom"])) for o in objects)
        detected = tuple(Detected(o["name"], o["score"], box) for o, box in boxes)
        yield SpanRow(
            asset, span, kind, image_vector=image, text_vector=text, vector_transform=made_by, objects=detected
        )


def _arrays(column: Any) -> Iterator[Any]:
    """A list column of numbers as one array for each row, None where there is none."""
    array = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    length = array.type.list_size
    flat = (
        array.flatten()
        if not array.null_count
        else array.values[array.offset * length : (array.offset + len(array)) * length]
    )
    rows = flat.to_numpy(zero_copy_only=False).reshape(-1, length)
    return (row if is_valid else None for row, is_valid in zip(rows, array.is_valid().to_pylist(), strict=True))


def gold(table: pa.Table) -> Iterator[GoldRow]:
    """``text``, ``vector``, and what :data:`_LESS` and :data:`_LATER` name, may be missing from ``table``: empty."""
    names = (
        "asset_id", "kind", "title", "category", "caption", "dated_at", "best_root", "best_path", "size_bytes",
    )  # fmt: skip
    has = set(table.schema.names)
    texts = table.column("text").to_pylist() if "text" in has else itertools.repeat("")
    vectors = table.column("vector").to_pylist() if "vector" in has else itertools.repeat(None)
    later = zip(*(_or(table, name, default) for name, default in _LATER.items()), strict=False)
    less = zip(*(_or(table, name, default) for name, default in _LESS.items()), strict=False)
    rows = zip(_columns(table, names), less, _tags(table.column("tags")), texts, vectors, later, strict=False)
    for facts, (score, by, places), tags, text, values, more in rows:
        asset, kind, title, category, caption, at, root, path, size = facts
        best, vector = PathKey(root, text_path(path)), _vector(values)
        yield GoldRow(
            asset,
            _KINDS[kind],
            title,
            category,
            score,
            tags,
            caption,
            at,
            by,
            text,
            vector,
            best,
            size,
            places,
            *more,
        )


_LESS: dict[str, Any] = {"category_score": 0.0, "dated_by": "", "occurrences": 0}
"""Columns that some who read gold do without."""
_LATER: dict[str, Any] = {
    "language": "", "country": "", "city": "", "latitude": None, "longitude": None, "duration_s": None,
    "duplicate_group": "", "is_representative": True, "family": "",
}  # fmt: skip
"""Columns that older rows of gold lack, in the order of the fields, and what they are there."""


def _or(table: pa.Table, name: str, default: Any) -> Iterator[Any]:
    if name not in table.schema.names:
        return itertools.repeat(default)
    return (default if value is None else value for value in table.column(name).to_pylist())


def corrections(table: pa.Table) -> Iterator[CorrectionRow]:
    for asset, tags, denied, category in _columns(table, ("asset_id", "tags", "denied", "category")):
        yield CorrectionRow(asset, Correction(tuple(tags), tuple(denied), category))


def check(batch: Batch, dims: schema.Dims) -> None:
    """Raises ``ValueError`` for rows that no table of ours can hold: a bug of whoever made them."""
    for name, vectors, dim in (
        ("image_vector", [span.image_vector for span in batch.spans], dims.image),
        ("text_vector", [span.text_vector for span in batch.spans], dims.text),
        ("vector", [row.vector for row in batch.gold], dims.image),
    ):
        if wrong := {len(vector) for vector in vectors if vector is not None} - {dim}:
            raise ValueError(f"{name} of {wrong.pop()} numbers, the table has {dim}")
    for row in batch.assets:
        if unknown := row.transforms.keys() - set(schema.STAGES):
            raise ValueError(f"no column for the transform of {', '.join(sorted(unknown))}: see lake.schema.STAGES")


def _columns(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as tuples: half the time of ``to_pylist``, which makes a dict of each."""
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)


def _tags(column: pa.ListArray | pa.ChunkedArray) -> Iterator[tuple[Tag, ...]]:
    """The tags of each row, without a dict for each tag."""
    import pyarrow.compute as pc

    names, scores, origins = (pc.struct_field(pc.list_flatten(column), at).to_pylist() for at in range(3))
    tags = itertools.starmap(Tag, zip(names, scores, origins, strict=True))
    return (tuple(itertools.islice(tags, length)) for length in pc.list_value_length(column).to_pylist())


def _vectors(values: Sequence[Vector | None], arrow: pa.FixedSizeListType) -> pa.Array:
    """Through NumPy: ten times as fast as letting Arrow look at each float."""
    import numpy as np
    import pyarrow as pa

    flat = np.zeros((len(values), arrow.list_size), np.float32)
    for at, value in enumerate(values):
        if value is not None:
            flat[at] = value
    mask = pa.array([value is None for value in values])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), type=arrow, mask=mask)


def _vector(values: list[float] | None) -> Vector | None:
    return None if values is None else tuple(values)


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8", "replace")


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[Record]:
    return [{"k": _text(k), "v": _text(v)} for k, v in pairs]


def _tuples(pairs: Sequence[Record] | None) -> tuple[tuple[str, str], ...]:
    return tuple((pair["k"], pair["v"]) for pair in pairs or ())


def _naive(when: dt.datetime | None) -> dt.datetime | None:
    return None if when is None else when.replace(tzinfo=None)


def _signed(value: int) -> int:
    """64 unsigned bits as two's complement, which is what Arrow has an index for."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def _unsigned(value: int) -> int:
    return value & ((1 << 64) - 1)
