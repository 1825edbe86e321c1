"""Which type the texts of a column have: the narrowest that loses nothing, and text when in doubt.

Programs that guess boldly drop the zero of a postal code, read ``1e5`` as a hundred thousand and ``03/04`` as
somebody's idea of a day. The invariant here: writing the typed values out again gives numbers and dates that equal the
texts, and no two texts that differ in more than padding become one value.

What follows from it: no leading zeros, no plus, no thousands separators, no decimal comma; no digits that a double
cannot hold; an exponent only with its sign; decimals that are padded must be padded alike (``1.10`` beside ``1.9`` is
a version); dates only as ISO 8601 writes them; only ``true`` and ``false`` are truth values; and a column that is named
as codes are (``zip``, ``phone``) is text whatever is in it.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from lakewatchd.core.table import Column, Type
from lakewatchd.media import exif
from lakewatchd.media.table.described import ColumnFacts

NULL_WORDS = frozenset(("NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "None", "NaN", "nan", "\\N"))
"""No values beside numbers and dates. In a column of words they are words: NA is Namibia, Null a family's name."""

_CODE = re.compile(
    r"(?:^|[^a-z])(?:zip|zipcode|post(?:al)?[ _-]?code|postcode|plz|phone|telephone|tel|mobile|fax|ean|upc|isbn|issn"
    r"|gtin|iban|bic|ssn|pin|barcode|sku|account(?:[ _-]?(?:no|number))?|card[ _-]?(?:no|number)|version)(?:$|[^a-z])",
    re.IGNORECASE,
)

MAX_DIGITS = 15
"""What an integer may have, and what a double holds of any number; more of it only by chance."""
_INTEGER = re.compile(r"0|-?[1-9]\d{0,14}", re.ASCII)
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d+)?|\.\d+)(?:[eE][+-]\d{1,3})?", re.ASCII)
_BOOLEAN = re.compile(r"true|false|True|False|TRUE|FALSE")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    mantissa, _, exponent = text.lower().partition("e")
    digits, value = mantissa.lstrip("-").replace(".", "").strip("0"), float(text)
    if digits and not sys.float_info.min <= abs(value) <= sys.float_info.max:
        return None
    if len(digits) > MAX_DIGITS:  # as programs print doubles: nothing is lost where printing it again gives the same
        decimals = len(mantissa.partition(".")[2])
        if not decimals or f"{value:.{decimals}{'e' if exponent else 'f'}}" != text.lower():
            return None
    return value


def _boolean(text: str) -> bool | None:
    return text[0] in "tT" if _BOOLEAN.fullmatch(text) else None


def _iso(pattern: re.Pattern[str], parse: Callable[[str], object]) -> Callable[[str], str | None]:
    def value(text: str) -> str | None:
        if not pattern.fullmatch(text):
            return None
        try:
            parse(text)
        except ValueError:
            return None
        return text

    return value


_READERS: tuple[tuple[Type, Callable[[str], float | str | None]], ...] = (
    (Type.BOOLEAN, _boolean),
    (Type.INTEGER, _integer),
    (Type.NUMBER, _number),
    (Type.DATE, _iso(_DATE, dt.date.fromisoformat)),
    (Type.TIMESTAMP, _iso(_TIMESTAMP, dt.datetime.fromisoformat)),
    (Type.MOMENT, _iso(_MOMENT, dt.datetime.fromisoformat)),
)
"""Narrowest first: what is an integer is a number too. Each gives the value to compare by, or None."""

EXAMPLES = 3
EXAMPLE_CHARS = 60


@dataclass(slots=True)
class ColumnGuess:
    """What is known of one column, after some of its values."""

    name: str
    examples: list[str] = field(default_factory=list)
    """The first different values."""
    empty: int = 0
    """Cells without a value."""
    _candidates: list[Type] | None = None
    """Types that all values so far can have. None: there was no value."""
    _range: dict[Type, tuple[float | str, float | str]] = field(default_factory=dict)
    _null_cells: int = 0
    _null_words: set[str] = field(default_factory=set)
    _decimals: set[int] = field(default_factory=set)
    """How many digits stand after the point."""
    _is_padded: bool = False
    """Some of them end with zeros that say nothing, or that make it another version."""

    def add(self, cells: Sequence[str]) -> None:
        """More cells of the column, as the file has them; blanks around a value do not count."""
        distinct = set(cells)
        if any(cell[:1] == " " or cell[-1:] == " " for cell in distinct):
            cells = [cell.strip(" ") for cell in cells]
            distinct = set(cells)
        self.empty += cells.count("") if "" in distinct else 0
        distinct.discard("")
        self._exemplify(cells, distinct)
        words = distinct & NULL_WORDS
        self._null_cells += sum(cells.count(word) for word in words)
        self._null_words |= words
        values = distinct - words
        if values and self._candidates != []:
            self._narrow(values)

    def _exemplify(self, cells: Iterable[str], distinct: Collection[str]) -> None:
        if len(self.examples) >= EXAMPLES or not distinct:
            return
        for cell in dict.fromkeys(cells):
            words = exif.clean(cell, EXAMPLE_CHARS)
            if words and words not in self.examples:
                self.examples.append(words)
                if len(self.examples) == EXAMPLES:
                    return

    def _narrow(self, values: set[str]) -> None:
        candidates = [kind for kind, _ in _READERS] if self._candidates is None else self._candidates
        kept: list[Type] = []
        for kind, read in _READERS:
            is_implied = kind is Type.NUMBER and Type.INTEGER in kept
            if kind in candidates and (is_implied or self._all_are(kind, read, values)):
                kept.append(kind)
        self._candidates = kept
        if Type.INTEGER in kept:
            self._decimals.add(0)
        elif Type.NUMBER in kept:
            self._note_decimals(values)

    def _all_are(self, kind: Type, read: Callable[[str], float | str | None], values: set[str]) -> bool:
        found = []
        for text in values:
            value = read(text)
            if value is None:
                return False
            found.append(value)
        low, high = min(found), max(found)
        if kind in self._range:
            before = self._range[kind]
            low, high = min(low, before[0]), max(high, before[1])
        self._range[kind] = (low, high)
        return True

    def _note_decimals(self, values: set[str]) -> None:
        for text in values:
            mantissa, _, exponent = text.lower().partition("e")
            decimals = mantissa.partition(".")[2]
            if not exponent:
                self._decimals.add(len(decimals))
                self._is_padded |= decimals.endswith("0") and decimals != "0"

    @property
    def type(self) -> Type:
        if not self._candidates or _CODE.search(self.name):
            return Type.TEXT
        is_version = self._is_padded and len(self._decimals) > 1
        if self._candidates == [Type.NUMBER] and is_version:
            return Type.TEXT
        return self._candidates[0]

    @property
    def column(self) -> Column:
        return Column(self.name, self.type, nulls=() if self.type is Type.TEXT else tuple(sorted(self._null_words)))

    @property
    def facts(self) -> ColumnFacts:
        if self.type is Type.TEXT:
            return ColumnFacts(self.empty, examples=self.examples)
        if self.type is Type.BOOLEAN:
            return ColumnFacts(self.empty + self._null_cells, examples=self.examples)
        kinds = (Type.INTEGER, Type.NUMBER) if self.type is Type.NUMBER else (self.type,)
        ranges = [self._range[kind] for kind in kinds if kind in self._range]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        return ColumnFacts(self.empty + self._null_cells, words_of(low), words_of(high), self.examples)


def type_of(cells: Sequence[str]) -> Type:
    """Of a column without a name."""
    guess = ColumnGuess("")
    guess.add(cells)
    return guess.type


def words_of(value: float | str) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
