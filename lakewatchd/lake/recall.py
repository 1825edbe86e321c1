"""Do the indexes find what a look at every row finds? For ``lakewatchd check --recall`` and the benchmark.

An index of vectors answers from a part of them and by shorter numbers, so it may miss some; indexes of words, keys and
labels are exact. Queries are vectors of the lake itself, turned a little: as near to their neighbours as a question is.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakewatchd.lake.files import Files, dataset, files_at
from lakewatchd.lake.finder import PROBES
from lakewatchd.lake.indexes import unindexed_rows
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.schema import GOLD, SPANS, TableSpec

NEIGHBOURS = 10
CANDIDATES = 40
"""Asked for at least by a search: :mod:`lakewatchd.lake.finder`."""
_TURN = 0.6
"""Length of the noise beside a vector of length 1."""
_CLOSE = 1e-4
"""Cosines that differ by less are equal: which of two such neighbours is found does not matter."""


@dataclass(frozen=True, slots=True)
class Recall:
    table: str
    index: str
    rows: int
    unindexed: int
    """Rows that it does not cover: searches scan them."""
    recall: float | None
    """Share of the ten nearest that are found; None for an exact index."""
    queries: int


async def measure(place: Path | Files, queries: int) -> list[Recall]:
    """Of every index of the tables that are searched. Every query is answered twice: once by a look at every row."""
    files = files_at(place)
    found = []
    with contextlib.closing(LakeReader(files)) as lake:
        for spec in (GOLD, SPANS):
            if (table := await lake.table(spec)) is None:
                continue
            rows, unindexed = await table.count_rows(), await asyncio.to_thread(_unindexed, files, spec)
            vectors = {column.index_name: column.name for column in spec.indexed("vectors")}
            for index, uncovered in sorted(unindexed.items()):
                share, asked = await _share(table, vectors[index], queries) if index in vectors else (None, 0)
                found.append(Recall(spec.name, index, rows, uncovered, share, asked))
    return found


def _unindexed(files: Files, spec: TableSpec) -> dict[str, int]:
    with translated(f"looking at the indexes of {spec.name}"):
        return unindexed_rows(dataset(files, spec.name))


async def _share(table: Any, column: str, queries: int) -> tuple[float | None, int]:
    """The share of the nearest that the index finds, over so many queries at most."""
    right = wanted = asked = 0
    for vector in await _samples(table, column, queries):
        every = await _nearest(table, column, vector, by_index=False)
        least = every[-1] - _CLOSE
        right += sum(cosine >= least for cosine in await _nearest(table, column, vector, by_index=True))
        wanted, asked = wanted + len(every), asked + 1
    return (right / wanted if wanted else None), asked


async def _nearest(table: Any, column: str, vector: Any, *, by_index: bool) -> list[float]:
    """Cosines of the ten nearest, best first."""
    with translated("searching by vector"):
        query = table.query().nearest_to(vector).column(column).distance_type("cosine")
        query = (
            query.limit(CANDIDATES).nprobes(PROBES).refine_factor(1)
            if by_index
            else query.limit(NEIGHBOURS).bypass_vector_index()
        )
        distances = (await query.select(["_distance"]).to_arrow())["_distance"].to_pylist()
    return [1.0 - distance for distance in distances if distance is not None][:NEIGHBOURS]


async def _samples(table: Any, column: str, count: int) -> list[Any]:
    """Vectors from all over the table, turned a little; the same ones every time."""
    import numpy as np

    rng, numbers = random.Random(0), np.random.default_rng(0)
    found: list[Any] = []
    rows = await table.count_rows()
    with translated("reading vectors"):
        for offset in rng.sample(range(rows), min(rows, 4 * count)):
            taken = (await table.take_offsets([offset]).select([column]).to_arrow())[column].to_pylist()
            if taken and taken[0] is not None and len(found) < count:
                noise = numbers.standard_normal(len(taken[0]))
                vector = np.asarray(taken[0]) + _TURN * noise / np.linalg.norm(noise)
                found.append((vector / np.linalg.norm(vector)).astype(np.float32))
    return found
