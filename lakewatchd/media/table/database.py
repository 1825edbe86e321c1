"""SQLite files: their tables, columns, numbers of rows, and a few of them.

SQLite reads the file itself, as one that never changes: no lock is taken, no journal is looked for, nothing is written.
What a hostile schema could do with it (views, triggers, functions) is not asked for, and each question may take only so
many steps of SQLite's machine: the same answer on a slow and on a fast computer.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from lakewatchd import errors
from lakewatchd.core.table import Column, TableSchema, Type
from lakewatchd.media import exif
from lakewatchd.media.table.described import (
    CELL_CHARS,
    MAX_COLUMNS,
    MAX_TABLES,
    NAME_CHARS,
    SAMPLE_ROWS,
    ColumnFacts,
    Described,
    Names,
)
from lakewatchd.media.table.typed import TypedColumn, text_of

_MAX_NAMES = 1000
_STEPS = 10_000
_COUNT_TURNS = 2000
"""Times ``_STEPS`` steps for counting the rows of one table: some tens of millions of rows."""
_SAMPLE_TURNS = 20
_LONGEST_VALUE = 64 << 20
_SAMPLED_COLUMNS = 40


def describe(fd: int) -> tuple[list[Described], list[str]]:
    """The tables of the database open as ``fd``, and the names of those that were not looked into.

    Raises :class:`errors.DamagedMedia`.
    """
    try:
        with contextlib.closing(_open(fd)) as connection:
            names = list(_names(connection))
            tables = [_described(connection, name) for name in names[:MAX_TABLES]]
    except (sqlite3.Error, OverflowError, UnicodeError) as exc:
        raise errors.DamagedMedia(f"cannot be read as a database: {exif.clean(str(exc))}") from exc
    return tables, [exif.clean(name) for name in names[MAX_TABLES:]]


def _open(fd: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:/proc/self/fd/{fd}?immutable=1&mode=ro", uri=True, isolation_level=None, cached_statements=0
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _names(connection: sqlite3.Connection) -> Iterator[str]:
    """Tables with rows of their own, as the schema lists them: no views, none that an extension computes."""
    question = (
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        f" AND rootpage > 0 LIMIT {_MAX_NAMES}"
    )
    with _turns(connection, _SAMPLE_TURNS):
        yield from (name for (name,) in connection.execute(question).fetchall() if isinstance(name, str))


def _described(connection: sqlite3.Connection, table: str) -> Described:
    quoted, names = _quoted(table), Names()
    with _turns(connection, _SAMPLE_TURNS):
        declared = connection.execute(f"PRAGMA table_info({quoted})").fetchall()
    columns = [TypedColumn(names.of(raw, at)) for at, (_, raw, *_) in enumerate(declared[:MAX_COLUMNS])]
    warnings, samples = [], []
    try:
        rows = _count(connection, quoted)
        with _turns(connection, _SAMPLE_TURNS):
            asked = ", ".join(_value(_quoted(raw)) for _, raw, *_ in declared[:_SAMPLED_COLUMNS])
            samples = connection.execute(f"SELECT {asked} FROM {quoted} LIMIT {SAMPLE_ROWS}").fetchall()
    except (sqlite3.Error, OverflowError) as exc:
        rows, warnings = None, [f"rows of {exif.clean(table)} cannot be read: {exif.clean(str(exc))}"]
    for row in samples:
        for column, value in zip(columns, row, strict=False):
            column.add(value)
    schema = TableSchema(
        format="sqlite",
        columns=tuple(
            Column(column.name, _type(kind, column))
            for column, (_, _, kind, *_) in zip(columns, declared, strict=False)
        ),
        rows=rows,
        name=exif.clean(table, NAME_CHARS),
        left_out=len(declared) - len(columns),
    )
    facts = [ColumnFacts(examples=column.examples) for column in columns]
    return Described(schema, facts, [[text_of(value) for value in row] for row in samples], warnings)


def _count(connection: sqlite3.Connection, quoted: str) -> int | None:
    """None where that would take too long."""
    try:
        with _turns(connection, _COUNT_TURNS):
            (count,) = connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    return int(count)


def _type(declared: str, column: TypedColumn) -> Type:
    """What the column is declared as, which SQLite does not enforce: where a sample contradicts, it is text."""
    kind = next((kind for word, kind in _AFFINITIES if word in declared.upper()), None)
    if kind is None or not column.rows:
        return kind or column.type
    return kind if column.type is kind or (column.type, kind) == (Type.INTEGER, Type.NUMBER) else Type.TEXT


_AFFINITIES = (
    ("INT", Type.INTEGER), ("CHAR", Type.TEXT), ("CLOB", Type.TEXT), ("TEXT", Type.TEXT), ("BLOB", Type.BINARY),
    ("REAL", Type.NUMBER), ("FLOA", Type.NUMBER), ("DOUB", Type.NUMBER),
)  # fmt: skip
"""In SQLite's order (https://sqlite.org/datatype3.html)."""


def _value(quoted: str) -> str:
    """The beginning of a text; of bytes, that they are there."""
    text = f"substr({quoted}, 1, {CELL_CHARS})"
    return f"CASE typeof({quoted}) WHEN 'blob' THEN x'' WHEN 'text' THEN {text} ELSE {quoted} END"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _turns(connection: sqlite3.Connection, turns: int) -> Iterator[None]:
    """What is asked within may take ``turns`` times so many steps."""
    left = iter(range(turns))
    connection.set_progress_handler(lambda: next(left, None) is None, _STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
