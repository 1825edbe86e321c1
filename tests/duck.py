"""DuckDB reads a table where it lies, by nothing but the shape that the lake keeps of it."""

from __future__ import annotations

from pathlib import Path

import duckdb

from lakewatchd.core.table import TableSchema
from lakewatchd.views.sql import shapes


def rows(path: Path, schema: TableSchema) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        table = connection.sql(query(path, schema)).to_arrow_table()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def query(path: Path, schema: TableSchema) -> str:
    """Its rows are those of the table, with its names and types."""
    return shapes.query(str(path), schema)
