"""Columns of formats whose values have types of their own: JSON, sheets, databases. The nearest type that all fit."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from dataclasses import dataclass, field

from lakewatchd.core.table import Column, Type
from lakewatchd.media import exif
from lakewatchd.media.table.described import ColumnFacts
from lakewatchd.media.table.values import EXAMPLE_CHARS, EXAMPLES, type_of, words_of

_INTEGERS = range(-(1 << 63), 1 << 63)
_LIKE_DATE = re.compile(r"\d{4}-\d\d-")
_DATES = (Type.DATE, Type.TIMESTAMP, Type.MOMENT)


@dataclass(slots=True)
class TypedColumn:
    """What is known of one column, after some of its values."""

    name: str
    path: tuple[str, ...] = ()
    rows: int = 0
    """Of which it had a value."""
    examples: list[str] = field(default_factory=list)
    _types: set[Type] = field(default_factory=set)
    _range: dict[Type, tuple[float | str, float | str]] = field(default_factory=dict)

    def add(self, value: object) -> None:
        """One more value, as its decoder gives it; None and NaN are none."""
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return
        self.rows += 1
        kind = _type(value)
        self._types.add(kind)
        if kind is not Type.TEXT and (key := _key(value, kind)) is not None:
            low, high = self._range.get(kind, (key, key))
            self._range[kind] = (min(low, key), max(high, key))
        if len(self.examples) < EXAMPLES and kind is not Type.BINARY:
            words = exif.clean(text_of(value), EXAMPLE_CHARS)
            if words and words not in self.examples:
                self.examples.append(words)

    @property
    def type(self) -> Type:
        if len(self._types) == 1:
            return next(iter(self._types))
        return Type.NUMBER if self._types == {Type.INTEGER, Type.NUMBER} else Type.TEXT

    @property
    def column(self) -> Column:
        return Column(self.name, self.type, () if self.path == (self.name,) else self.path)

    def facts(self, rows: int) -> ColumnFacts:
        """``rows``: of the table."""
        kinds = self._types & {Type.INTEGER, Type.NUMBER} if self.type is Type.NUMBER else {self.type}
        ranges = [self._range[kind] for kind in kinds if kind in self._range]
        low, high = min((r[0] for r in ranges), default=""), max((r[1] for r in ranges), default="")
        return ColumnFacts(rows - self.rows, words_of(low), words_of(high), self.examples)


def text_of(value: object) -> str:
    """As a cell: JSON for lists and structures."""
    if value is None or isinstance(value, bytes):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return words_of(value) if isinstance(value, float) else str(value)


def _type(value: object) -> Type:
    match value:
        case bool():
            return Type.BOOLEAN
        case int():
            return Type.INTEGER if value in _INTEGERS else Type.TEXT
        case float():
            return Type.NUMBER
        case str():
            kind = type_of([value]) if _LIKE_DATE.match(value) else Type.TEXT
            return kind if kind in _DATES else Type.TEXT
        case dt.datetime():
            return Type.TIMESTAMP if value.tzinfo is None else Type.MOMENT
        case dt.date():
            return Type.DATE
        case dt.time():
            return Type.TIME
        case bytes():
            return Type.BINARY
        case dict() | list():
            return Type.NESTED
    return Type.TEXT


def _key(value: object, kind: Type) -> float | str | None:
    """What to compare by."""
    if kind in (Type.INTEGER, Type.NUMBER) and isinstance(value, (int, float)):
        return value
    return str(value) if kind in _DATES else None
