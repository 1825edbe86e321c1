"""The shape of a table: enough for a program such as DuckDB to read the file in place, with the same columns and types.

Kept as one pair of an asset, ``exif["table"]``, as JSON (of a workbook or a database, one for each of its tables,
``table.2`` and so on)::

    {"format": "csv", "rows": 1200, "columns": [["plz", "text"], ["paid", "number", {"nulls": ["NA"]}]],
     "delimiter": ";", "quote": "\\"", "escape": "\\"", "encoding": "utf-8", "header": true, "skip_lines": 1}

What is left out has its default. The invariant: a type other than ``text`` loses nothing of what the file says; where
that is not certain of each value, the column is text.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

KEY = "table"
JSON_CHARS = 3800
"""At most. A pair must stay below what the wire takes (4096)."""


class Type(enum.StrEnum):
    """What all values of a column are. Of a file that declares its types: the nearest of these."""

    TEXT = "text"
    INTEGER = "integer"
    """64 bit, signed."""
    NUMBER = "number"
    """64 bit, floating."""
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    """A date and a time of day, without a zone."""
    MOMENT = "moment"
    """A timestamp with its offset from UTC."""
    TIME = "time"
    DECIMAL = "decimal"
    BINARY = "binary"
    NESTED = "nested"
    """Lists or structures; in text formats, JSON."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    """No two of a table have the same."""
    type: Type = Type.TEXT
    path: tuple[str, ...] = ()
    """In JSON: the keys that lead from a record to the value. Empty: the name is the key."""
    nulls: tuple[str, ...] = ()
    """Words that stand for no value in this column, beside an empty cell."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How rows are written as text."""

    delimiter: str = ","
    quote: str = '"'
    """Empty: none, a quotation mark is a character like others."""
    escape: str = '"'
    """What stands before a quote that is meant: the quote itself, or a backslash."""
    encoding: str = "utf-8"
    header: bool = True
    skip_lines: int = 0
    """Lines before the first row of data: the header, and what stands above it."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    format: str
    """``csv``, ``json`` (one value), ``ndjson`` (one per line), ``parquet``, ``arrow``, ``sqlite``, ``sheet``."""
    columns: tuple[Column, ...]
    rows: int | None = None
    """None: not counted. An estimate where not ``is_whole``."""
    is_whole: bool = True
    """All rows were looked at. Else rows that were not may contradict the types: a careful reader takes text."""
    name: str = ""
    """Of a sheet, or of a table in a database."""
    within: str = ""
    """In JSON: the key of the outer object whose list the records are."""
    is_columnar: bool = False
    """In JSON: an object of lists, each of which is a column."""
    compression: str = ""
    """``gzip`` or nothing."""
    dialect: Dialect | None = None
    left_out: int = 0
    """Columns at the end that did not fit into :data:`JSON_CHARS`; they are text."""

    def to_json(self) -> str:
        """At most :data:`JSON_CHARS` long."""
        kept, words = len(self.columns), _dump(self)
        while len(words) > JSON_CHARS and kept:
            kept = min(kept - 1, kept * JSON_CHARS // len(words))
            left_out = self.left_out + len(self.columns) - kept
            words = _dump(replace(self, columns=self.columns[:kept], left_out=left_out))
        return words


def _dump(schema: TableSchema) -> str:
    return json.dumps(dict(_fields(schema)), ensure_ascii=False, separators=(",", ":"))


def _fields(schema: TableSchema) -> Iterator[tuple[str, object]]:
    yield "format", schema.format
    if schema.rows is not None:
        yield "rows", schema.rows
    yield "columns", [_column_to_json(column) for column in schema.columns]
    for name in _OPTIONAL:
        if (value := getattr(schema, name)) != _DEFAULTS[name]:
            yield name, value
    if schema.dialect is not None:
        yield from ((name, getattr(schema.dialect, name)) for name in Dialect.__slots__)


_OPTIONAL = ("is_whole", "name", "within", "is_columnar", "compression", "left_out")
_DEFAULTS: dict[str, object] = {
    "is_whole": True, "name": "", "within": "", "is_columnar": False, "compression": "", "left_out": 0,
}  # fmt: skip


def _column_to_json(column: Column) -> list[object]:
    more = {name: value for name, value in (("path", column.path), ("nulls", column.nulls)) if value}
    return [column.name, column.type, more] if more else [column.name, column.type]


def from_json(words: str) -> TableSchema:
    """What :meth:`TableSchema.to_json` wrote. Raises ``ValueError`` for anything else."""
    try:
        found = json.loads(words)
        dialect = {name: found[name] for name in Dialect.__slots__ if name in found}
        return TableSchema(
            format=found["format"],
            columns=tuple(_column_from_json(*column) for column in found["columns"]),
            rows=found.get("rows"),
            dialect=Dialect(**dialect) if dialect else None,
            **{name: found[name] for name in _OPTIONAL if name in found},
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise ValueError(f"not the shape of a table: {exc}") from exc


def _column_from_json(name: str, kind: str, more: dict[str, list[str]] | None = None) -> Column:
    more = more or {}
    return Column(name, Type(kind), tuple(more.get("path", ())), tuple(more.get("nulls", ())))
