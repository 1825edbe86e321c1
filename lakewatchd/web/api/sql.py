"""``/api/sql``: one query over the tables of the lake. Each has a process of its own, and only a few run at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from lakewatchd.views.sql.session import MAX_QUERY_CHARS, Rows
from lakewatchd.views.sql.values import plain
from lakewatchd.web.api.answers import answer
from lakewatchd.web.desk import TheDesk

if TYPE_CHECKING:
    import pyarrow as pa

router = APIRouter(tags=["sql"])

MAX_BYTES = 4 << 20
"""Of the rows of an answer."""
_VALUE_BYTES = 16
"""Of one value at least: a truth takes a bit in Arrow, and as much as a number here."""
_STEP = 16
"""Rows that are weighed together."""


class Question(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "SELECT kind, count(*) AS n FROM gold GROUP BY kind"}]},
    )
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS)]
    limit: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 1000
    """Rows; never more than sql.rows."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As Arrow calls it."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Values by column: times as ISO 8601, bytes as hexadecimal digits."""
    is_cut: bool
    """There are more rows than these."""
    took_s: float


@router.post("/sql", responses={200: {"model": Table}})
async def sql(desk: TheDesk, question: Question) -> Response:
    """The rows of one statement that reads: SELECT, DESCRIBE, SUMMARIZE or EXPLAIN over gold, assets, spans,
    occurrences, lineage, person_words, and tables in files by their path in quotes, which `tables` lists."""
    began = time.perf_counter()
    away = await desk.absence.roots()
    async with desk.querying.one(), desk.sql.ask(question.query, away) as found:
        columns = tuple(Column(field.name, str(field.type)) for field in found.schema)
        rows, is_cut = await _first(found, min(question.limit, desk.config.sql.rows))
    table = Table(columns, tuple(rows), is_cut, time.perf_counter() - began)
    return await asyncio.to_thread(answer, table)


async def _first(found: Rows, limit: int) -> tuple[list[tuple[Any, ...]], bool]:
    """Whether there are more, too. In a thread: a million values would hold up the loop for seconds."""
    rows: list[tuple[Any, ...]] = []
    left = MAX_BYTES
    async for batch in found.batches():
        more, left = await asyncio.to_thread(_taken, batch, limit - len(rows), left)
        rows += more
        if len(more) < batch.num_rows:
            return rows, True
    return rows, False


def _taken(batch: pa.RecordBatch, limit: int, left: int) -> tuple[list[tuple[Any, ...]], int]:
    """As many of its first rows as may be, and how many bytes the others have left."""
    count = 0
    while count < min(batch.num_rows, limit):
        some = batch.slice(count, min(_STEP, limit - count))
        weight = max(some.nbytes, _VALUE_BYTES * sum(map(_values, some.columns)))
        if weight > left:
            break
        count, left = count + some.num_rows, left - weight
    return _plain(batch.slice(0, count)), left


def _values(column: pa.Array) -> int:
    """How many Python would make of it."""
    import pyarrow.types as types

    kind = column.type
    if types.is_struct(kind):
        parts = column.flatten()
    elif types.is_union(kind):
        parts = [column.field(number) for number in range(kind.num_fields)]
    elif types.is_nested(kind):
        parts = [column.flatten()]
    else:
        parts = []
    return len(column) + sum(map(_values, parts))


def _plain(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    columns = [[plain(value) for value in column.to_pylist()] for column in batch.columns]
    return list(zip(*columns, strict=True))
