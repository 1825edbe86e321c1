"""Do two lakes say the same? The oracle behind "same lake, whatever the history".

Compared is what lives: places where a file is now, what was derived from their content, and what is served.
Not compared is what history may change: when something was seen, inode numbers, revisions, lineage, and what
is kept for a while after nothing holds it. Invariant: every other field counts, so a field that a derived row
gains later is compared without a change here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakewatchd.core.asset import AssetId, path_text
from lakewatchd.errors import FatalError
from lakewatchd.lake.durable import is_lake
from lakewatchd.lake.files import Files, files_at
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, CorrectionRow, GoldRow, OccurrenceRow, Presence, SpanRow
from lakewatchd.lake.schema import span_id

TOLERANCE = 1e-3
"""Per number that a model computed: other batch sizes round differently."""

COMPUTED = frozenset({"image_vector", "text_vector", "vector", "objects", "tags", "category_score"})
"""The fields with such numbers. All others are compared exactly."""

Facts = dict[str, Any]
"""A row by field, without what may differ."""


@dataclass(frozen=True, slots=True)
class Difference:
    table: str
    key: str
    problem: str
    """``only in A``, ``only in B``, ``twice in A``, ``twice in B``, or the name of the field that differs."""
    a: str = ""
    b: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    differences: tuple[Difference, ...]
    compared: Mapping[str, int]
    """Rows of A by table."""


@dataclass(frozen=True, slots=True)
class _Side:
    tables: Mapping[str, Mapping[str, Facts]]
    doubled: tuple[tuple[str, str], ...]


async def compare(a: Path | Files, b: Path | Files) -> Comparison:
    """All differences between two lakes, by table and key. Holds both lakes in memory.

    Raises ``FatalError`` if one of them is no lake: nothing compared must not look like nothing different.
    """
    places = files_at(a), files_at(b)
    for files in places:
        if not await asyncio.to_thread(is_lake, files):
            raise FatalError(f"{files.uri} holds no lake")
    one, two = await _load(places[0]), await _load(places[1])
    found = [Difference(table, key, "twice in A") for table, key in one.doubled]
    found += [Difference(table, key, "twice in B") for table, key in two.doubled]
    for table in one.tables:
        found += _differences(table, one.tables[table], two.tables[table])
    return Comparison(tuple(found), {table: len(rows) for table, rows in one.tables.items()})


async def _load(files: Files) -> _Side:
    reader = LakeReader(files)
    try:
        places = [row async for row in reader.all_occurrences()]
        live = {row.asset_id for row in places if row.presence is Presence.PRESENT}
        tables = {
            "bronze_occurrences": [_place(row) for row in places if row.presence is Presence.PRESENT],
            "silver_assets": await _collect(reader.all_assets(), _asset, live),
            "silver_spans": await _collect(reader.all_spans(), _span, live),
            "person_words": await _collect(reader.all_corrections(), _correction, None),
            "gold_assets": await _collect(reader.all_gold(), _gold, None),
        }
    finally:
        reader.close()
    counts = {table: Counter(key for key, _ in rows) for table, rows in tables.items()}
    doubled = tuple((table, key) for table, keys in counts.items() for key, n in sorted(keys.items()) if n > 1)
    return _Side({table: dict(rows) for table, rows in tables.items()}, doubled)


async def _collect(
    rows: AsyncIterator[Any], facts: Callable[[Any], tuple[str, Facts]], live: set[AssetId] | None
) -> list[tuple[str, Facts]]:
    return [facts(row) async for row in rows if live is None or row.asset_id in live]


def _place(row: OccurrenceRow) -> tuple[str, Facts]:
    return row.key.text, {
        "asset_id": row.asset_id,
        "kind": row.kind,
        "mime": row.mime,
        "size_bytes": row.version.size_bytes,
        "etag": row.version.etag,
        "labels": row.labels,
    }


def _asset(row: AssetRow) -> tuple[str, Facts]:
    return row.asset_id, _facts(row)


def _span(row: SpanRow) -> tuple[str, Facts]:
    return span_id(row.asset_id, row.span), _facts(row)


def _correction(row: CorrectionRow) -> tuple[str, Facts]:
    return row.asset_id, _facts(row)


def _gold(row: GoldRow) -> tuple[str, Facts]:
    return row.asset_id, _facts(row)


def _facts(row: Any) -> Facts:
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _differences(table: str, a: Mapping[str, Facts], b: Mapping[str, Facts]) -> list[Difference]:
    found = [Difference(table, key, "only in A") for key in sorted(a.keys() - b.keys())]
    found += [Difference(table, key, "only in B") for key in sorted(b.keys() - a.keys())]
    for key in sorted(a.keys() & b.keys()):
        for name, value in a[key].items():
            is_same = _is_near(value, b[key][name]) if name in COMPUTED else value == b[key][name]
            if not is_same:
                found.append(Difference(table, key, name, _shown(value), _shown(b[key][name])))
    return found


def _is_near(a: Any, b: Any) -> bool:
    """Equal, with numbers at any depth within the tolerance. NaN equals nothing."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=0.0, abs_tol=TOLERANCE)
    if dataclasses.is_dataclass(a) and type(a) is type(b):
        return _is_near(tuple(_facts(a).values()), tuple(_facts(b).values()))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_is_near(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _shown(value: Any) -> str:
    text = path_text(str(value))
    return text if len(text) <= 120 else text[:117] + "..."
