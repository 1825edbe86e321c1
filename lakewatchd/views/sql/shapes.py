"""How DuckDB reads a table where it lies, by nothing but the shape that the lake keeps of it.

Invariant: names and types are those of the shape, whatever DuckDB would have guessed.
"""

from __future__ import annotations

from collections.abc import Callable

from lakewatchd.core.table import Column, Dialect, TableSchema, Type

READABLE = frozenset(("parquet", "csv", "ndjson", "json"))
"""Formats that it reads by itself."""

_TYPES = {
    Type.INTEGER: "BIGINT",
    Type.NUMBER: "DOUBLE",
    Type.BOOLEAN: "BOOLEAN",
    Type.DATE: "DATE",
    Type.TIMESTAMP: "TIMESTAMP",
    Type.MOMENT: "TIMESTAMPTZ",
}


def query(path: str, schema: TableSchema) -> str:
    """A query whose rows are those of the table in the file ``path``. Raises ``ValueError`` for other formats than
    :data:`READABLE`."""
    match schema.format:
        case "parquet":
            return f"SELECT * FROM read_parquet({text(path)})"
        case "csv":
            assert schema.dialect is not None
            return _typed(schema, _delimited(path, schema, schema.dialect), lambda column: name(column.name))
        case "ndjson":
            return _typed(schema, _json(path, "newline_delimited", "json"), _member)
        case "json" if schema.is_columnar:
            lists = (f"unnest(json_extract_string(j, {_path(column, '[*]')}))" for column in schema.columns)
            named = (f"{cells} AS {name(column.name)}" for cells, column in zip(lists, schema.columns, strict=True))
            records = f"SELECT {', '.join(named)} FROM ({_json(path, 'unstructured', 'json')})"
            return _typed(schema, records, lambda column: name(column.name))
        case "json" if schema.within:
            within = _path(Column(schema.within), "[*]")
            return _typed(schema, _json(path, "unstructured", f"unnest(json_extract(json, {within}))"), _member)
        case "json":
            return _typed(schema, _json(path, "array", "json"), _member)
    raise ValueError(f"DuckDB does not read {schema.format} by itself")


def _typed(schema: TableSchema, records: str, value: Callable[[Column], str]) -> str:
    cells = (f"CAST({_not_null(column, value(column))} AS {_type(schema, column)})" for column in schema.columns)
    named = (f"{cell} AS {name(column.name)}" for cell, column in zip(cells, schema.columns, strict=True))
    return f"SELECT {', '.join(named)} FROM ({records}) AS t"


def _type(schema: TableSchema, column: Column) -> str:
    """Rows that nobody looked at may hold anything: text."""
    return _TYPES.get(column.type, "VARCHAR") if schema.is_whole else "VARCHAR"


def _not_null(column: Column, value: str) -> str:
    for word in column.nulls:
        value = f"NULLIF({value}, {text(word)})"
    return value


def _delimited(path: str, schema: TableSchema, dialect: Dialect) -> str:
    columns = ", ".join(f"{text(column.name)}: 'VARCHAR'" for column in schema.columns)
    options = {
        "auto_detect": "false",
        "header": "false",
        "skip": str(dialect.skip_lines),
        "delim": text(dialect.delimiter),
        "quote": text(dialect.quote),
        "escape": text(dialect.escape),
        "encoding": text({"cp1252": "latin-1"}.get(dialect.encoding, dialect.encoding)),
        "compression": text(schema.compression or "none"),
        "columns": f"{{{columns}}}",
        "null_padding": "true",
        "strict_mode": "false",
        "parallel": "false",
    }
    return f"SELECT * FROM read_csv({text(path)}, {', '.join(f'{key} = {value}' for key, value in options.items())})"


def _json(path: str, form: str, what: str) -> str:
    return f"SELECT {what} AS j FROM read_json_objects({text(path)}, format = {text(form)})"


def _member(column: Column) -> str:
    return f"(j ->> {_path(column)})"


def _path(column: Column, more: str = "") -> str:
    return text("$" + "".join(f'."{key}"' for key in column.path or (column.name,)) + more)


def text(words: str) -> str:
    """As a literal of SQL."""
    return "'" + words.replace("'", "''") + "'"


def name(words: str) -> str:
    """As an identifier of SQL."""
    return '"' + words.replace('"', '""') + '"'
