"""JSON that is a table: a list of objects, also in an object of its own (as GeoJSON has it), an object of lists, or an
object in each line.

Objects in objects become columns of their own (``address.city``); lists stay JSON. What has no records is no table: the
caller reads it as text.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from lakewatchd.core.table import TableSchema, Type
from lakewatchd.media import files
from lakewatchd.media.table.delimited import Lines
from lakewatchd.media.table.described import SAMPLE_ROWS, Described, Names
from lakewatchd.media.table.typed import TypedColumn, text_of
from lakewatchd.media.text.plain import read_text

AT_MOST_BYTES = 32 << 20
"""That are looked at; of one object, its whole length."""
_MAX_COLUMNS = 1000
"""An object with more keys is a dictionary, and no record."""
_DEPTH = 3
"""How far objects in objects become columns."""
_FEW = 3
"""Records that make an object around them a table, rather than a letter with an enclosure."""
_MAX_BESIDE = 12
"""Keys of such an object beside its records."""

Record = Mapping[str, Any]


def describe_lines(stream: BinaryIO) -> Described | None:
    """The table in ``stream``, with an object in each line; None if it is none."""
    lines = Lines(stream, "utf-8-sig", AT_MOST_BYTES)
    with files.translated():
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        found = _Records.of(json.loads(line) for line in lines if line.strip())
    if found is None:
        return None
    return found.described("ndjson", found.rows * size // AT_MOST_BYTES if lines.is_cut else None)


def describe(stream: BinaryIO) -> Described | None:
    """The table in ``stream``, which is one JSON value; None if it is none."""
    with files.translated():
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        text, _ = read_text(stream.read(AT_MOST_BYTES), is_cut=size > AT_MOST_BYTES)
    if (start := _LIST.match(text)) is not None:
        found = _Records.of(_elements(text, start.end()))
        estimate = found.rows * size // AT_MOST_BYTES if found and size > AT_MOST_BYTES else None
        return found.described("json", estimate) if found else None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _of_object(value) if isinstance(value, dict) else None


_LIST = re.compile(r"\s*\[\s*(?=\{)")
_NEXT = re.compile(r"\s*(?:,\s*|(\]))")


def _elements(text: str, at: int) -> Iterator[object]:
    """Of the list whose first element starts ``at``. Raises ``ValueError`` where it is cut."""
    decoder = json.JSONDecoder()
    while True:
        value, at = decoder.raw_decode(text, at)
        yield value
        following = _NEXT.match(text, at)
        if following is None:
            raise ValueError("neither a comma nor an end")
        if following[1]:
            return
        at = following.end()


def _of_object(value: Record) -> Described | None:
    lists = {key: inner for key, inner in value.items() if isinstance(inner, list) and inner}
    if len(lists) == len(value) > 1 and len({len(inner) for inner in lists.values()}) == 1:
        rows = zip(*lists.values(), strict=True)
        if not any(isinstance(cell, (list, dict)) for inner in lists.values() for cell in inner):
            found = _Records.of(dict(zip(lists, row, strict=True)) for row in rows)
            return found.described("json", is_columnar=True) if found else None
    records = [key for key, inner in lists.items() if all(isinstance(record, dict) for record in inner)]
    if len(records) != 1 or len(value) > _MAX_BESIDE:
        return None
    [key] = records
    if len(lists[key]) < _FEW and value.get("type") != "FeatureCollection":
        return None
    found = _Records.of(lists[key])
    return found.described("json", within=key) if found else None


class _Records:
    """The records of a table, by and by."""

    def __init__(self) -> None:
        self._columns: dict[tuple[str, ...], TypedColumn] = {}
        self._names = Names()
        self._samples: list[dict[tuple[str, ...], object]] = []
        self.rows = 0
        self._broken = ""

    @classmethod
    def of(cls, records: Iterable[object]) -> _Records | None:
        """None if there are none, or something else is among them. Where ``records`` raises, they end there."""
        found = cls()
        try:
            for record in records:
                if not isinstance(record, dict) or not found._add(record):
                    return None
        except (ValueError, RecursionError):
            found._broken = f"cannot be read as JSON from record {found.rows + 1} on"
        return found if found._columns else None

    def _add(self, record: Record) -> bool:
        """Whether it is one: no dictionary of too many keys."""
        row = dict(itertools.islice(_leaves(record, ()), _MAX_COLUMNS + 1))
        if len(row) > _MAX_COLUMNS:
            return False
        for path, value in row.items():
            column = self._columns.get(path)
            if column is None:
                name = self._names.of(".".join(path), len(self._columns))
                column = self._columns[path] = TypedColumn(name, path)
            column.add(value)
        self.rows += 1
        if len(self._samples) < SAMPLE_ROWS:
            self._samples.append(row)
        return len(self._columns) <= _MAX_COLUMNS

    def described(
        self, form: str, estimate: int | None = None, *, within: str = "", is_columnar: bool = False
    ) -> Described:
        """``estimate``: of all rows, where some were not looked at."""
        inner = {path[:depth] for path in self._columns for depth in range(1, len(path))}
        columns = [
            replace(column.column, type=Type.NESTED) if path in inner else column.column
            for path, column in self._columns.items()
        ]
        schema = TableSchema(
            format=form,
            columns=tuple(columns),
            rows=self.rows if estimate is None else estimate,
            is_whole=estimate is None and not self._broken,
            within=within,
            is_columnar=is_columnar,
        )
        rows = [[text_of(row.get(path)) for path in self._columns] for row in self._samples]
        facts = [column.facts(self.rows) for column in self._columns.values()]
        return Described(schema, facts, rows, [self._broken] if self._broken and estimate is None else [])


def _leaves(record: Record, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in record.items():
        if isinstance(value, dict) and value and len(path) + 1 < _DEPTH:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
