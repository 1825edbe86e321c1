"""What the indexes of a table need: those that are lacking, and the rows that none of their parts covers.

An index is a row of parts, each over some fragments of the table. New rows become a part of their own, which costs what
they are and not what the table is; and as every part makes searches a little slower, the newest parts that are together
no larger than what is added are merged with it. So a row is indexed anew once for each time the table doubles.

Invariant: nothing here is needed for an answer to be right: a search scans what no index covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lakewatchd.lake.files import Files, dataset
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import Column, TableSpec
from lakewatchd.lake.store import SMALL_ROWS, Store, partitions_for

BITMAPS_FROM_ROWS = 5_000
"""Below this, scanning is as quick as a bitmap or label index and costs no upkeep."""
VECTORS_FROM_ROWS = 20_000
"""Below this, comparing with every vector takes some 20 ms."""
OUTGROWN = 2
"""An index of vectors with so many times fewer partitions than it should have is made anew: the table has grown by the
square of it."""


@dataclass(frozen=True, slots=True)
class Update:
    """One index is to take in new rows."""

    index: str
    merged: int
    """Newest parts that are merged with them."""
    rows: int
    """Rows that are indexed for it, those of these parts included."""


async def lacking(store: Store, spec: TableSpec, rows: int) -> list[Column]:
    """Columns whose index is to be made, or made anew, now that the table has so many ``rows``."""
    kinds = ["words"]
    if rows >= BITMAPS_FROM_ROWS:
        kinds += ["bitmap", "labels"]
    if rows >= VECTORS_FROM_ROWS:
        kinds += ["vectors"]
    return await store.lacking(spec, *kinds)


def outgrown(files: Files, spec: TableSpec, rows: int) -> list[Column]:
    """Columns whose index of vectors has too few partitions for so many ``rows``. Blocking."""
    if not spec.indexed("vectors") or rows < VECTORS_FROM_ROWS:
        return []
    with translated(f"looking at the indexes of {spec.name}"):
        table = dataset(files, spec.name)
        have = {index.name for index in table.describe_indices()}
        made = [column for column in spec.indexed("vectors") if column.index_name in have]
        return [column for column in made if partitions_for(rows) > OUTGROWN * _partitions(table, column.index_name)]


def takes_long(column: Column, rows: int) -> bool:
    """To make its index over so many rows: too long for commits to wait."""
    return column.index == "vectors" or (column.index == "words" and rows >= SMALL_ROWS)


def updates(files: Files, spec: TableSpec) -> list[Update]:
    """Of every index that does not cover all rows. Blocking."""
    with translated(f"looking at the indexes of {spec.name}"):
        table = dataset(files, spec.name)
        rows = {fragment.fragment_id: fragment.physical_rows for fragment in table.get_fragments()}
        found = []
        for index in table.describe_indices():
            parts = [set(part.fragment_ids) & rows.keys() for part in index.segments]
            if new := sum(rows[one] for one in rows.keys() - set().union(*parts)):
                sizes = [sum(rows[one] for one in part) for part in reversed(parts)]
                merged = merged_with(new, sizes)
                found.append(Update(index.name, merged, new + sum(sizes[:merged])))
        return found


def merged_with(new: int, sizes: Sequence[int]) -> int:
    """How many of the parts of these ``sizes``, newest first, are merged with ``new`` rows."""
    together = new
    for number, size in enumerate(sizes):
        if size > together:
            return number
        together += size
    return len(sizes)


def update(files: Files, spec: TableSpec, what: Update) -> None:
    """Blocking. Commits may go on beside it; compactions make it end with ``Busy``."""
    with translated(f"indexing {spec.name}"):
        dataset(files, spec.name).optimize.optimize_indices(index_names=[what.index], num_indices_to_merge=what.merged)


def unindexed_rows(table: Any) -> dict[str, int]:
    """By index, of a dataset: rows that it does not cover, and that searches scan."""
    rows = {fragment.fragment_id: fragment.count_rows() for fragment in table.get_fragments()}
    indexes = {index.name: {one for part in index.segments for one in part.fragment_ids}
               for index in table.describe_indices()}  # fmt: skip
    return {name: sum(rows[one] for one in rows.keys() - covered) for name, covered in indexes.items()}


def _partitions(table: Any, index: str) -> int:
    stats = table.stats.index_stats(index)
    parts = stats.get("segments") or stats.get("indices") or [{}]
    return max(int(part.get("num_partitions", 1)) for part in parts)
