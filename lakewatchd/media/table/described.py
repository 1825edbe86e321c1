"""What is told of a table: in words, for people and for the models, and as the shape that programs read.

The first paragraph says how many rows there are and what the columns hold; after it come rows of the table, each value
with the name of its column. Everything is bounded: columns that are named, characters of a name or value, rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lakewatchd.core import table
from lakewatchd.core.content import Content, Passage
from lakewatchd.core.table import Column, TableSchema, Type
from lakewatchd.media import exif
from lakewatchd.media.text.passages import passages

SAMPLE_ROWS = 8
MAX_TABLES = 20
"""Sheets or tables of one file of which more than the name is told."""
MAX_COLUMNS = 2000
"""What has more is no table but a matrix; the first ones are told of."""
NAME_CHARS = 120
CELL_CHARS = 80
_NAMED_COLUMNS = 100
_SAMPLED_COLUMNS = 40
_FACTS = 40


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What the values of a column are like."""

    nulls: int | None = None
    """Rows in which it says nothing; None where nobody counted."""
    low: str = ""
    high: str = ""
    """Least and greatest, of numbers and dates."""
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """One table. ``rows`` are a few whole ones, as texts by column."""

    schema: TableSchema
    facts: Sequence[ColumnFacts]
    """One for each of ``schema.columns``."""
    rows: Sequence[Sequence[str]] = ()
    warnings: Sequence[str] = ()


@dataclass(slots=True)
class Names:
    """Column names as a table can have them: cleaned, none empty, no two the same."""

    _seen: set[str] = field(default_factory=set)

    def of(self, raw: str, position: int) -> str:
        name = wanted = exif.clean(raw, NAME_CHARS) or f"column {position + 1}"
        number = 2
        while name.casefold() in self._seen:  # as SQL compares them
            name, number = f"{wanted} {number}", number + 1
        self._seen.add(name.casefold())
        return name


def to_content(
    tables: Sequence[Described], name: str, passage_chars: int, passage_overlap: int, *, others: Sequence[str] = ()
) -> tuple[Content, str]:
    """All ``tables`` of the file ``name``, and the text that the passages are slices of. ``others`` are tables that
    were not looked into."""
    title = exif.title_of(name.removesuffix(".gz"))
    text = "\n\n".join(_paragraphs(tables, title, others))
    spans = passages(text, passage_chars, passage_overlap)
    content = Content(
        title=title,
        exif=tuple(_pairs(tables)),
        passages=tuple(Passage(text[start:end], start, end) for start, end in spans),
        text_chars=len(text),
        warnings=tuple(dict.fromkeys(warning for found in tables for warning in found.warnings)),
    )
    return content, text


def _paragraphs(tables: Sequence[Described], title: str, others: Sequence[str]) -> Iterator[str]:
    for found in tables:
        yield _summary(found, title)
        rows = [words for row in found.rows[:SAMPLE_ROWS] if (words := _row(found.schema, row))]
        if rows:
            yield "\n".join(rows)
    if others:
        yield f"Also: {', '.join(others)}."


def _summary(found: Described, title: str) -> str:
    schema = found.schema
    columns = [_column(*both) for both in zip(schema.columns, found.facts, strict=True)]
    more = len(columns) + schema.left_out - _NAMED_COLUMNS
    told = "; ".join(columns[:_NAMED_COLUMNS]) + (f"; and {more} more" if more > 0 else "")
    count = len(columns) + schema.left_out
    size = f"{_count(schema)}{count} {'column' if count == 1 else 'columns'}"
    return f"{f'Table {schema.name or title}'.rstrip()}: {size}. {told}."


def _count(schema: TableSchema) -> str:
    if schema.rows is None:
        return ""
    about = "" if schema.is_whole else "about "
    return f"{about}{schema.rows} {'row' if schema.rows == 1 else 'rows'}, "


def _column(column: Column, facts: ColumnFacts) -> str:
    name, kind = column.name, column.type
    if facts.low and facts.low != facts.high:
        return f"{name} ({kind}, {facts.low} to {facts.high})"
    examples = ", ".join(exif.clean(example, CELL_CHARS) for example in facts.examples)
    return f"{name} ({kind}: {examples})" if examples else f"{name} ({kind})"


def _row(schema: TableSchema, row: Sequence[str]) -> str:
    """``date: 2024-07-12; amount: 12.50``: what says nothing is left out."""
    cells = ((column.name, exif.clean(cell, CELL_CHARS)) for column, cell in zip(schema.columns, row, strict=False))
    named = [f"{name}: {cell}" for (name, cell), _ in zip(cells, range(_SAMPLED_COLUMNS), strict=False) if cell]
    return "; ".join(named)


# --- what the file says of itself --------------------------------------------------------------------------


def _pairs(tables: Sequence[Described]) -> Iterator[tuple[str, str]]:
    for number, found in enumerate(tables):
        yield (table.KEY if number == 0 else f"{table.KEY}.{number + 1}"), found.schema.to_json()
    if len(tables) > 1:
        yield "Tables", str(len(tables))
    for found in tables[:1]:
        schema = found.schema
        if schema.rows is not None:
            yield "Rows", f"{'' if schema.is_whole else 'about '}{schema.rows}"
        yield "Columns", str(len(schema.columns) + schema.left_out)
        if schema.dialect is not None:
            yield "Delimiter", _DELIMITERS.get(schema.dialect.delimiter, schema.dialect.delimiter)
            yield "Encoding", schema.dialect.encoding
        for column, facts in zip(schema.columns[:_FACTS], found.facts, strict=False):
            yield f"Column {column.name}", _facts(column.type, facts, schema)


_DELIMITERS: Mapping[str, str] = {"\t": "tab", " ": "space"}


def _facts(kind: Type, facts: ColumnFacts, schema: TableSchema) -> str:
    """``date, 2020-01-01 to 2024-12-31, 3 % empty``."""
    parts = [str(kind)]
    if facts.low:
        parts.append(facts.low if facts.low == facts.high else f"{facts.low} to {facts.high}")
    if facts.nulls and schema.rows:
        parts.append(f"{100 * min(facts.nulls, schema.rows) / schema.rows:.2g} % empty")
    return ", ".join(parts)
