"""CSV and its relatives: which delimiter and quotes, whether there is a header, and what the columns hold.

A dialect is taken when it cuts the beginning of the file into rows of one length; of several, the one that leaves
nothing above the header and cuts most rows alike. What no dialect cuts is no table, whatever its name: the caller reads
it as text.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, cast

from lakewatchd import errors
from lakewatchd.core.table import Dialect, TableSchema, Type
from lakewatchd.media import files
from lakewatchd.media.kinds import BYTE_ORDER_MARKS
from lakewatchd.media.table.described import MAX_COLUMNS, SAMPLE_ROWS, Described, Names
from lakewatchd.media.table.values import ColumnGuess, type_of

if TYPE_CHECKING:
    from _csv import Reader

AT_MOST_BYTES = 32 << 20
"""Of text whose every value is looked at: some seconds. What lies behind is estimated."""
SAMPLE_BYTES = 64 << 10
"""By which the dialect is chosen."""

_DELIMITERS = "\t;|,"
"""In doubt the first of them: a comma stands in numbers and texts, the others hardly."""
_ODD_DELIMITERS = "^~ "
"""They stand in prose too: only rows without an exception are proof."""
_ALIKE = 0.9
"""The share of rows that must have as many cells as most have."""
_MAX_PREAMBLE = 20
"""Rows above the header: what banks and instruments write there."""
_MAX_SAMPLE_LINES = 500
_MAX_NAME_CHARS = 64
_CELLS_AT_ONCE = 100_000
_READ_BYTES = 256 << 10

csv.field_size_limit(1 << 20)  # characters of a cell; a quote that is never closed ends there

Row = list[str]


def describe(stream: BinaryIO, *, is_gzip: bool = False) -> Described | None:
    """The table in ``stream``; None if it is none.

    Raises what reading does, and :class:`errors.DamagedMedia` if it should be ``gzip`` and is not.
    """
    try:
        with files.translated():
            head = _plain(stream, is_gzip).read(SAMPLE_BYTES)
            mark = next((codec for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark)), None)
            try:
                return _describe(stream, mark or "utf-8", is_gzip)
            except UnicodeDecodeError:
                return _describe(stream, "cp1252", is_gzip)
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise errors.DamagedMedia(f"cannot be unpacked: {exc}") from exc


def _plain(stream: BinaryIO, is_gzip: bool) -> BinaryIO:
    stream.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_gzip else stream


def _describe(stream: BinaryIO, codec: str, is_gzip: bool) -> Described | None:
    layout = sniff(list(Lines(_plain(stream, is_gzip), codec, SAMPLE_BYTES)))
    if layout is None:
        return None
    lines = Lines(_plain(stream, is_gzip), codec, AT_MOST_BYTES)
    body = _Body(layout)
    body.read(itertools.islice(lines, layout.dialect.skip_lines, None))
    if body.is_broken and not body.rows:
        return None
    rows, warnings = body.rows, body.warnings
    if lines.is_cut:
        rows = 0 if is_gzip else rows * stream.seek(0, io.SEEK_END) // AT_MOST_BYTES
        warnings.append(f"only the first {AT_MOST_BYTES >> 20} MB of the table were read")
    if codec == "cp1252":
        warnings.append("not UTF-8: read as Windows-1252")
    schema = TableSchema(
        format="csv",
        columns=tuple(guess.column for guess in body.guesses),
        rows=rows or None if lines.is_cut else rows,
        is_whole=not (lines.is_cut or body.is_broken),
        compression="gzip" if is_gzip else "",
        dialect=replace(layout.dialect, encoding=codec.removesuffix("-sig")),
        left_out=layout.width - len(body.guesses),
    )
    return Described(schema, [guess.facts for guess in body.guesses], body.samples, warnings)


@dataclass(slots=True)
class Lines:
    """The lines of ``stream``, each with its newline (``\\n``), of which ``at_most`` bytes are read.

    Iterating raises ``UnicodeDecodeError``, for ``cp1252`` never. A last line that may go on is left out.
    """

    stream: BinaryIO
    codec: str
    at_most: int
    is_cut: bool = False
    """There was more. Known after the last line."""

    def __iter__(self) -> Iterator[str]:
        how = "replace" if self.codec == "cp1252" else "strict"
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(self.codec)(how), translate=True)
        rest, left = "", self.at_most
        while left and (chunk := self.stream.read(min(left, _READ_BYTES))):
            left -= len(chunk)
            whole, newline, rest = (rest + decoder.decode(chunk)).rpartition("\n")
            yield from io.StringIO(whole + newline)
        self.is_cut = not left and bool(self.stream.read(1))
        if not self.is_cut and (rest := rest + decoder.decode(b"", final=True)):
            yield rest


# --- which dialect -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is to be read."""

    dialect: Dialect
    width: int
    """Columns."""
    names: Row
    """What the header says; empty without one."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """What a dialect makes of the beginning of a file."""

    dialect: Dialect
    width: int
    """Cells that most rows have."""
    rows: Sequence[Row]
    """From the first one of that width."""
    skipped: int
    """Lines above it."""
    until: int
    """Lines to its end."""
    alike: float
    """Share of ``rows`` that have that width."""

    def layout(self) -> Layout:
        """With the first row as header, if it is one."""
        if _is_header(self.rows, self.width):
            return Layout(replace(self.dialect, skip_lines=self.until), self.width, self.rows[0])
        return Layout(replace(self.dialect, header=False, skip_lines=self.skipped), self.width, [])


def sniff(lines: Sequence[str]) -> Layout | None:
    """How to read a file that starts with ``lines``; None: it is no table."""
    lines = lines[:_MAX_SAMPLE_LINES]
    start = "".join(lines)
    if "\0" in start:
        return None
    if told := re.match(r"sep=(.)\n", start):  # as Excel writes for itself
        cut = next(_cuts(lines[1:], start, told[1]), None)
        return replace(cut, skipped=cut.skipped + 1, until=cut.until + 1).layout() if cut else None
    cuts = list(_cuts(lines, start, _DELIMITERS))
    if not cuts:
        cuts = [*_list(lines)] or list(_cuts(lines, start, _ODD_DELIMITERS))
    best = max(cuts, key=lambda cut: (not cut.skipped, cut.alike), default=None)
    return best.layout() if best else None


def _cuts(lines: Sequence[str], start: str, delimiters: str) -> Iterator[_Cut]:
    """What the possible dialects make of it, the likely ones first."""
    quotes = ['"', ""] if '"' in start else ["'", '"'] if _SINGLE_QUOTED.search(start) else ['"']
    for delimiter in delimiters:
        for quote in quotes if delimiter in start else ():
            escapes = (quote, "\\") if quote and f"\\{quote}" in start else (quote,)
            for escape in escapes:
                cut = _cut(lines, Dialect(delimiter, quote, escape))
                if cut and (delimiter not in _ODD_DELIMITERS or (cut.alike == 1 and len(cut.rows) > 2)):
                    yield cut


_SINGLE_QUOTED = re.compile(r"(?:^|[,;\t|])'[^'\n]*'(?:[,;\t|]|$)", re.MULTILINE)


def _cut(lines: Sequence[str], dialect: Dialect) -> _Cut | None:
    reader = _reader(lines, dialect)
    try:
        found = [(row, reader.line_num) for row in reader if row]
    except csv.Error:
        return None
    widths = Counter(len(row) for row, _ in found)
    width = max(widths, key=lambda width: (widths[width], width), default=0)
    first = next((at for at, (row, _) in enumerate(found) if len(row) == width), 0)
    rows = [row for row, _ in found[first:]]
    alike = sum(len(row) == width for row in rows) / max(1, len(rows))
    if width < 2 or first > _MAX_PREAMBLE or alike < _ALIKE:
        return None
    return _Cut(dialect, width, rows, found[first - 1][1] if first else 0, found[first][1], alike)


def _list(lines: Sequence[str]) -> Iterator[_Cut]:
    """One column of numbers or dates, perhaps with a name. Of words it would be prose."""
    rows = [[line.strip()] for line in lines if line.strip()]
    if len(rows) > 1 and type_of([cell for [cell] in rows[1:]]) is not Type.TEXT:
        yield _Cut(Dialect(), 1, rows, 0, 1, 1.0)


def _reader(lines: Iterable[str], dialect: Dialect) -> Reader:
    is_doubled = dialect.escape == dialect.quote
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        doublequote=is_doubled,
        escapechar=None if is_doubled else dialect.escape,
    )


def _is_header(rows: Sequence[Row], width: int) -> bool:
    """Whether the first row names the others: no value is in it, and there are some below or it looks like names."""
    names, body = [cell.strip() for cell in rows[0]], [row for row in rows[1:] if len(row) == width]
    filled = [name for name in names if name]
    if len(filled) < max(1, width - 1) or any(type_of([name]) is not Type.TEXT for name in filled):
        return False
    columns = list(zip(*body, strict=True))[:MAX_COLUMNS]
    if any(type_of(column) is not Type.TEXT for column in columns):
        return True
    looks_like_names = all(len(name) <= _MAX_NAME_CHARS and any(map(str.isalpha, name)) for name in filled)
    recurs = any(name and name in column for name, column in zip(names, columns, strict=False))
    return looks_like_names and len(set(filled)) == len(filled) and not recurs


# --- what the columns hold ---------------------------------------------------------------------------------


class _Body:
    """All rows of data, by and by."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        names = Names()
        raw = layout.names or [""] * layout.width
        self.guesses = [ColumnGuess(names.of(name, at)) for at, name in enumerate(raw[:MAX_COLUMNS])]
        self.samples: list[Row] = []
        self.rows = 0
        self.warnings: list[str] = []
        self.is_broken = False
        """Some rows at the end could not be read."""

    def read(self, lines: Iterable[str]) -> None:
        rows = _reader(lines, self._layout.dialect)
        at_once, odd = max(1, _CELLS_AT_ONCE // self._layout.width), 0
        try:
            while batch := list(itertools.islice(rows, at_once)):
                odd += self._add(list(filter(None, batch)))
        except csv.Error as exc:
            self.is_broken = True
            self.warnings.append(f"cannot be read as a table from row {self.rows + 1} on: {exc}")
        if odd:
            self.warnings.append(f"{odd} rows have more or fewer cells than the others")

    def _add(self, batch: list[Row]) -> int:
        """How many of them had another number of cells."""
        width = self._layout.width
        odd = sum(count != width for count in map(len, batch))
        if odd:
            batch = [(row + [""] * width)[:width] for row in batch]
        self.rows += len(batch)
        self.samples += batch[: SAMPLE_ROWS - len(self.samples)]
        for guess, cells in zip(self.guesses, zip(*batch, strict=True), strict=False):
            guess.add(cells)
        return odd
