"""Rows of a query as text or as a file, batch by batch: memory does not grow with the answer.

A table for people is the exception: its columns are as wide as what is in them, so only :data:`SHOWN_ROWS` are shown.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from lakewatchd.cli.output import console, safe, say
from lakewatchd.errors import LakewatchError
from lakewatchd.views.sql.values import plain, unique

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_ROWS = 1000
_CELL_CHARS = 400


class Writer(Protocol):
    rows: int

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None:
        """All rows are there."""
        ...


@contextlib.contextmanager
def writing(form: str, out: Path | None, schema: pa.Schema) -> Iterator[Writer]:
    """A writer of ``form`` to the file ``out``, which appears only when all is in it, or to the output."""
    if out is None:
        writer = _WRITERS[form](sys.stdout.buffer, schema)
        yield writer
        writer.close()
        sys.stdout.buffer.flush()
        return
    fresh = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with fresh.open("xb") as file:
            writer = _WRITERS[form](file, schema)
            yield writer
            writer.close()
        fresh.replace(out)
    except OSError as exc:
        raise LakewatchError(f"{out} cannot be written: {exc.strerror}", "choose another --out") from exc
    finally:
        fresh.unlink(missing_ok=True)


class _Csv:
    """RFC 4180, with a header; lists and structures as JSON. NULL is nothing."""

    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self.rows = 0
        self._out = out
        self._put([schema.names])

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self._put([_cell(value) for value in row] for row in _rows(batch))

    def _put(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._out.write(text.getvalue().encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        pass


class _Json:
    """An array of objects, one a line."""

    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self.rows = 0
        self._out, self._names = out, unique(schema.names)
        out.write(b"[")

    def write(self, batch: pa.RecordBatch) -> None:
        for row in _rows(batch):
            value = {name: plain(cell) for name, cell in zip(self._names, row, strict=True)}
            self._out.write(b",\n" if self.rows else b"\n")
            self._out.write(json.dumps(value, ensure_ascii=True).encode())
            self.rows += 1

    def close(self) -> None:
        self._out.write(b"\n]\n")


class _Parquet:
    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self.rows = 0
        self._schema = pa.schema([field.with_name(n) for field, n in zip(schema, unique(schema.names), strict=True)])
        self._writer = pyarrow.parquet.ParquetWriter(out, self._schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self._writer.write_batch(batch.rename_columns(self._schema.names))

    def close(self) -> None:
        self._writer.close()


class _Table:
    """For people; numbers to the right."""

    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema, self._kept, self._out = schema, list[list[Any]](), out

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        if (room := SHOWN_ROWS - len(self._kept)) > 0:
            self._kept += [list(row) for row in _rows(batch.slice(0, room))]

    def close(self) -> None:
        import pyarrow as pa
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for field in self._schema:
            is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
            table.add_column(safe(field.name), justify="right" if is_number else "left", overflow="fold")
        for row in self._kept:
            table.add_row(*(safe(_cell(value)[:_CELL_CHARS]) for value in row))
        if self._out is sys.stdout.buffer:
            console().print(table)
        else:
            self._to_file(table)
        if self.rows > len(self._kept):
            say(f"{self.rows:,} rows, of which {len(self._kept):,} are shown; --format csv gives all")

    def _to_file(self, table: Any) -> None:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=200, highlight=False).print(table)
        self._out.write(text.getvalue().encode())


_WRITERS: dict[str, Any] = {"csv": _Csv, "json": _Json, "parquet": _Parquet, "table": _Table}


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    if not batch.num_columns:
        return iter(())
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    flat = plain(value)
    return flat if isinstance(flat, str) else json.dumps(flat, ensure_ascii=False)
