"""Workbooks (XLSX, XLS, XLSB, ODS), read by calamine: an extra, loaded late."""

from __future__ import annotations

import importlib.util
import io
import itertools
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.core.table import TableSchema
from lakewatchd.media import exif, files
from lakewatchd.media.table.described import MAX_COLUMNS, MAX_TABLES, NAME_CHARS, SAMPLE_ROWS, Described, Names
from lakewatchd.media.table.typed import TypedColumn, text_of

MIMES = frozenset(
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.ms-excel",
        "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    )
)
NOT_INSTALLED = "sheets are not looked into: python-calamine is not installed (pip install 'lakewatchd[tables]')"
_MOST_UNPACKED_BYTES = 200 << 20
"""Calamine holds a whole sheet in memory, at several times this."""
_MOST_PACKED_BYTES = 64 << 20
_MAX_PREAMBLE = 20
"""Rows above the header: titles, dates, notes."""
_FULL = 0.7
"""The share of the fullest row's cells that makes a row the header, or the first of the data."""
_EXACT = 1e15

Cells = Sequence[object]


def is_available() -> bool:
    return importlib.util.find_spec("python_calamine") is not None


def describe(stream: BinaryIO) -> tuple[list[Described], list[str]]:
    """The sheets of a workbook that have cells, and the names of those that were not looked into.

    Raises :class:`errors.DamagedMedia`, and :class:`errors.TooLarge` for what would not fit into memory.
    """
    import python_calamine

    data = _whole(stream)
    tables: list[Described] = []
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = book.sheet_names
        for name in names[:MAX_TABLES]:
            if (found := _described(name, book.get_sheet_by_name(name).iter_rows())) is not None:
                tables.append(found)
    except python_calamine.PasswordError as exc:
        raise errors.UnsupportedMedia("a password protects it", hint="index a copy without one") from exc
    except (python_calamine.CalamineError, ValueError, OSError) as exc:
        raise errors.DamagedMedia(f"cannot be read as a workbook: {exif.clean(str(exc))}") from exc
    return tables, [exif.clean(name, NAME_CHARS) for name in names[MAX_TABLES:]]


def _whole(stream: BinaryIO) -> bytes:
    with files.translated():
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        data = stream.read() if size <= _MOST_PACKED_BYTES else b""
    unpacked = size
    if data.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                unpacked = sum(member.file_size for member in packed.infolist())
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
            raise errors.DamagedMedia(f"cannot be read as a workbook: {exif.clean(str(exc))}") from exc
    if max(size, unpacked) > _MOST_UNPACKED_BYTES:
        raise errors.TooLarge(f"a workbook of {max(size, unpacked) >> 20} MB", hint="save it as CSV or Parquet")
    return data


def _described(name: str, rows: Iterator[Cells]) -> Described | None:
    """None if nothing is in it."""
    start = list(itertools.islice(rows, _MAX_PREAMBLE))
    filled = [sum(cell != "" for cell in row) for row in start]
    if not any(filled):
        return None
    first = next(at for at, count in enumerate(filled) if count >= _FULL * max(filled))
    header = [cell for cell in start[first] if cell != ""]
    has_header = all(isinstance(cell, str) for cell in header) and len(set(header)) == len(header)
    width = len(start[first])
    names = Names()
    labels = [text_of(cell) for cell in start[first]] if has_header else [""] * width
    columns = [TypedColumn(names.of(label, at)) for at, label in enumerate(labels[:MAX_COLUMNS])]
    samples: list[list[str]] = []
    count = 0
    for row in itertools.chain(start[first + has_header :], rows):
        values = [_value(cell) for cell in row[: len(columns)]]
        if all(value is None for value in values):
            continue
        for column, value in zip(columns, values, strict=False):
            column.add(value)
        count += 1
        if len(samples) < SAMPLE_ROWS:
            samples.append([text_of(value) for value in values])
    schema = TableSchema(
        format="sheet",
        columns=tuple(column.column for column in columns),
        rows=count,
        name=exif.clean(name, NAME_CHARS),
        left_out=max(0, width - len(columns)),
    )
    return Described(schema, [column.facts(count) for column in columns], samples)


def _value(cell: object) -> object:
    """Empty cells are none. Sheets know no integers: what is whole is one."""
    if cell == "":
        return None
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT else cell
