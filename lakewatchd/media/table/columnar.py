"""Parquet and Arrow files: what they declare, and a few rows. Only the footer and the first pages are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from lakewatchd import errors
from lakewatchd.core.table import Column, TableSchema, Type
from lakewatchd.media import exif, files
from lakewatchd.media.bounded import BoundedReads
from lakewatchd.media.table.described import MAX_COLUMNS, SAMPLE_ROWS, ColumnFacts, Described, Names
from lakewatchd.media.table.typed import text_of
from lakewatchd.media.table.values import EXAMPLE_CHARS, EXAMPLES, words_of

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_READ_BYTES = 128 << 20
"""At once. What wants more lies about its sizes, or its rows are not worth it."""
_SAMPLED_COLUMNS = 40
_MAX_STATISTICS = 20_000


def describe_parquet(stream: BinaryIO) -> Described:
    """Raises :class:`errors.DamagedMedia` where its footer cannot be read."""
    import pyarrow.parquet as pq

    def opened() -> pq.ParquetFile:
        return pq.ParquetFile(BoundedReads(stream, _MOST_READ_BYTES), pre_buffer=False, memory_map=False)

    file = _read(opened)
    metadata = file.metadata
    facts = _statistics(metadata)

    def first() -> pa.RecordBatch | None:
        if not metadata.num_row_groups:
            return None
        names = file.schema_arrow.names[:_SAMPLED_COLUMNS]
        return next(file.iter_batches(SAMPLE_ROWS, row_groups=[0], columns=names, use_threads=False), None)

    return _described("parquet", file.schema_arrow, metadata.num_rows, first, facts)


def describe_arrow(stream: BinaryIO) -> Described:
    """Also Feather. Raises :class:`errors.DamagedMedia` where its footer cannot be read."""
    import pyarrow as pa

    file = _read(lambda: pa.ipc.open_file(BoundedReads(stream, _MOST_READ_BYTES)))
    rows = _read(file.count_rows)

    def first() -> pa.RecordBatch | None:
        return file.get_batch(0).slice(0, SAMPLE_ROWS) if file.num_record_batches else None

    return _described("arrow", file.schema, rows, first, {})


T = TypeVar("T")


def _read(how: Callable[[], T]) -> T:
    """What ``how`` gives. Arrow's errors as ours; a disk that failed is no damage."""
    try:
        with files.translated():
            return how()
    except (errors.LakewatchError, FileNotFoundError, MemoryError):
        raise
    except Exception as exc:
        raise errors.DamagedMedia(f"cannot be read as a table: {exif.clean(str(exc))}") from exc


def _described(
    form: str,
    schema: pa.Schema,
    rows: int,
    first: Callable[[], pa.RecordBatch | None],
    facts: Mapping[str, ColumnFacts],
) -> Described:
    names, warnings = Names(), []
    fields = list(schema)[:MAX_COLUMNS]
    columns = tuple(Column(names.of(field.name, at), _type(field.type)) for at, field in enumerate(fields))
    try:
        samples = _rows(_read(first))
    except (errors.DamagedMedia, errors.TooLarge) as exc:
        samples, warnings = [], [f"its rows were not looked at: {exc.message}"]
    told = [
        replace(facts.get(field.name, ColumnFacts()), examples=_examples(samples, at))
        for at, field in enumerate(fields)
    ]
    left_out = len(schema) - len(columns)
    return Described(TableSchema(form, columns, rows, left_out=left_out), told, samples, warnings)


def _rows(batch: pa.RecordBatch | None) -> list[list[str]]:
    if batch is None:
        return []
    columns = [[_text(value) for value in _without_zone(column)] for column in batch.columns[:_SAMPLED_COLUMNS]]
    return [list(row) for row in zip(*columns, strict=True)]


def _without_zone(column: pa.Array) -> pa.Array:
    """Moments in UTC: a confined process has no database of zones."""
    kind = column.type
    return column.view(f"timestamp[{kind.unit}]") if _type(kind) is Type.MOMENT else column


def _text(value: Any) -> str:
    """Of an Arrow scalar; those that Python has no value for say nothing."""
    try:
        return exif.clean(text_of(value.as_py()))
    except Exception:
        return ""


def _examples(rows: Sequence[Sequence[str]], at: int) -> list[str]:
    cells = dict.fromkeys(row[at][:EXAMPLE_CHARS] for row in rows if at < len(row) and row[at])
    return list(cells)[:EXAMPLES]


def _statistics(metadata: Any) -> dict[str, ColumnFacts]:
    """Of the columns that are no lists or structures, as far as the writer noted them for every row group."""
    facts: dict[str, ColumnFacts] = {}
    if metadata.num_columns * metadata.num_row_groups > _MAX_STATISTICS:
        return facts
    for at in range(metadata.num_columns):
        noted = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
        name = metadata.schema.column(at).path
        if noted and all(noted) and "." not in name:
            facts[name] = _noted(noted)
    return facts


def _noted(statistics: Sequence[Any]) -> ColumnFacts:
    has_nulls = all(one.has_null_count for one in statistics)
    nulls = sum(one.null_count for one in statistics) if has_nulls else None
    try:
        low, high = min(one.min for one in statistics), max(one.max for one in statistics)
    except Exception:  # none, or nothing that Python can compare
        return ColumnFacts(nulls)
    if isinstance(low, (bool, str, bytes)):
        return ColumnFacts(nulls)
    return ColumnFacts(nulls, exif.clean(_plain(low)), exif.clean(_plain(high)))


def _plain(value: object) -> str:
    return words_of(value) if isinstance(value, (int, float)) else str(value)


def _type(kind: pa.DataType) -> Type:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _type(kind.value_type)
    if types.is_timestamp(kind):
        return Type.MOMENT if kind.tz else Type.TIMESTAMP
    tests: tuple[tuple[Callable[[pa.DataType], bool], Type], ...] = (
        (types.is_boolean, Type.BOOLEAN),
        (types.is_integer, Type.INTEGER),
        (types.is_floating, Type.NUMBER),
        (types.is_decimal, Type.DECIMAL),
        (types.is_date, Type.DATE),
        (types.is_time, Type.TIME),
        (types.is_binary, Type.BINARY),
        (types.is_large_binary, Type.BINARY),
        (types.is_fixed_size_binary, Type.BINARY),
        (types.is_nested, Type.NESTED),
    )
    return next((found for test, found in tests if test(kind)), Type.TEXT)
