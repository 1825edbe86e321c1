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

from lakewatchd.core.asset import Detected, Kind, PathKey, Tag, Version, path_text, text_path
from lakewatchd.core.lineage import StageRun
from lakewatchd.errors import DamagedMedia
from lakewatchd.lake import schema
from lakewatchd.lake.rows import AssetRow, Batch, GoldRow, OccurrenceRow, Presence, SpanRow, Vector

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
        "exif": [{"k": _text(k), "v": _text(v)} for k, v in row.exif],
        "phash": None if row.phash is None else _signed(row.phash),
        "text_chars": row.text_chars,
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
    """By columns, as :func:`gold`: a view reads all of them when it starts."""
    names = (
        "root", "path_text", "asset_id", "kind", "mime", "size_bytes", "mtime_ns", "inode", "device", "presence",
        "first_seen", "last_seen",
    )  # fmt: skip
    for root, path, asset, kind, mime, size, mtime, inode, device, presence, first, last in _columns(table, names):
        version = Version(size, mtime, _unsigned(inode), _unsigned(device))
        key = PathKey(root, text_path(path))
        yield OccurrenceRow(key, asset, _KINDS[kind], mime, version, _PRESENCES[presence], first, last)


_ASSET_FIELDS = (
    "asset_id", "mime", "size_bytes", "width", "height", "duration_s", "captured_at", "captured_from", "camera",
    "latitude", "longitude", "title", "text_chars",
)  # fmt: skip


def assets(table: pa.Table) -> Iterator[AssetRow]:
    for r in table.to_pylist():
        yield AssetRow(
            kind=_KINDS[r["kind"]],
            exif=tuple((pair["k"], pair["v"]) for pair in r["exif"]),
            phash=None if r["phash"] is None else _unsigned(r["phash"]),
            transforms={s: r[f"{s}_transform"] for s in schema.STAGES if r[f"{s}_transform"] is not None},
            **{name: r[name] for name in _ASSET_FIELDS},
        )


_SPAN_FIELDS = ("asset_id", "span", "kind", "text", "start", "end", "page", "start_s", "end_s", "vector_transform")


def spans(table: pa.Table) -> Iterator[SpanRow]:
    for r in table.to_pylist():
        boxes = ((o, (o["left"], o["top"], o["right"], o["bottom"])) for o in r["objects"])
        yield SpanRow(
            image_vector=_vector(r.get("image_vector")),
            text_vector=_vector(r.get("text_vector")),
            objects=tuple(Detected(o["name"], o["score"], box) for o, box in boxes),
            **{name: r[name] for name in _SPAN_FIELDS},
        )


def gold(table: pa.Table) -> Iterator[GoldRow]:
    """``text`` and ``vector`` may be missing from ``table``: they are then empty."""
    names = (
        "asset_id", "kind", "title", "category", "category_score", "caption", "dated_at", "dated_by", "best_root",
        "best_path", "size_bytes", "occurrences",
    )  # fmt: skip
    has = set(table.schema.names)
    texts = table.column("text").to_pylist() if "text" in has else itertools.repeat("")
    vectors = table.column("vector").to_pylist() if "vector" in has else itertools.repeat(None)
    rows = zip(_columns(table, names), _tags(table.column("tags")), texts, vectors, strict=False)
    for (asset, kind, title, category, score, caption, at, by, root, path, size, places), tags, text, values in rows:
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
        )


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


def _naive(when: dt.datetime | None) -> dt.datetime | None:
    return None if when is None else when.replace(tzinfo=None)


def _signed(value: int) -> int:
    """64 unsigned bits as two's complement, which is what Arrow has an index for."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def _unsigned(value: int) -> int:
    return value & ((1 << 64) - 1)
