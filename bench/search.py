"""Search in a lake of a million assets: vectors, words, both, with filters; alone and beside a writer that never rests.

    python -m bench.search [--assets 1000000] [--quick] [--keep DIR] [--recall 20] [--alone]

Makes the lake first (20 minutes on two cores, 12 GB; ``--keep`` finds it again). Vectors of the queries are given:
what the text model takes comes on top. Beside it, in processes of their own: the same bare questions put to LanceDB,
and DuckDB that compares with every vector. The clock says what a person waits, processor time what a question costs:
on a busy machine only the latter means anything.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import multiprocessing
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.common import Claim, Report, options, percentile
from bench.million import DIMS, GOLD, IMAGE_MODEL, SPANS, World, fill
from lakewatchd.config import LakeConfig
from lakewatchd.core.found import Query
from lakewatchd.lake.finder import Finder, Words
from lakewatchd.lake.recall import measure
from lakewatchd.lake.tables import LakeWriter, serving

SEED, QUERIES = 1, 60
LEAN = "(family IS NULL OR family = '') AND (is_representative IS NULL OR is_representative)"
"""What every search asks for: no sidecars, and of near-duplicates one."""
FILTERS = {"1 %": "size_bytes < 1009900", "10 %": "size_bytes < 10009000", "50 %": "size_bytes < 50005000"}
"""Sizes are spread evenly from 10 KB to 100 MB."""
USUAL = (
    "kind = 'video'",
    "array_has(tag_names, 'tag30')",
    "country = 'Country7'",
    "dated_at >= timestamp '2020-01-01 00:00:00' AND dated_at < timestamp '2020-02-01 00:00:00'",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one question."""

    wall_s: float
    cpu_s: float
    """Of all threads."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--assets", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="where the lake is, or is to be left")
    parser.add_argument("--recall", type=int, default=20, help="questions it is measured with, 10 s each; 0: not")
    parser.add_argument("--alone", action="store_true", help="no writer beside it, and no DuckDB")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        asyncio.run(write(args.write))
        return
    assets = 100_000 if args.quick else args.assets
    with tempfile.TemporaryDirectory(dir=args.dir) as scratch:
        base = args.keep or Path(scratch)
        report = Report()
        if not (base / "lake" / "lake.json").exists():
            report.details.append(alone(make, base, assets))
        quiet, memory = alone(ask, base)
        for what, costs in quiet.items():
            report.claims += claims(what, costs, is_aim=True)
        report.claims.append(Claim.at_most("memory of the searching process", memory, "MB", 1500))
        if not args.alone:
            with subprocess.Popen(
                [sys.executable, "-m", "bench.search", "--write", base], stdout=subprocess.PIPE
            ) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                busy, _ = alone(ask, base)
                writer.terminate()
            for what, costs in busy.items():
                report.claims += claims(f"{what}, beside the writer", costs)
        for what, costs in (alone(bare, base) | ({} if args.alone else alone(brute_force, base))).items():
            report.claims += claims(what, costs)
        for one in asyncio.run(measure(base / "lake", args.recall)) if args.recall else ():
            if one.recall is not None:
                report.claims.append(Claim.at_least(f"recall@10 of {one.index}", one.recall, "", 0.98))
        report.show(args.json)


def claims(what: str, costs: list[Cost], *, is_aim: bool = False) -> list[Claim]:
    wall, cpu = [1000 * one.wall_s for one in costs], [1000 * one.cpu_s for one in costs]
    p50, p99 = percentile(wall, 0.5), percentile(wall, 0.99)
    return [
        Claim.at_most(f"{what}, p50", p50, "ms", 50) if is_aim else Claim(f"{what}, p50", p50, "ms"),
        Claim.at_most(f"{what}, p99", p99, "ms", 150) if is_aim else Claim(f"{what}, p99", p99, "ms"),
        Claim(f"{what}, processor", percentile(cpu, 0.5), "ms"),
    ]


def alone(do: Callable[..., Any], *args: Any) -> Any:
    """In a process of its own, so that memory is that of what is asked."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(do, *args).result()


def make(base: Path, assets: int) -> str:
    async def run() -> str:
        began = time.perf_counter()
        config = LakeConfig(optimize_commits=10_000)
        async with serving(await LakeWriter.open(base / "lake", base / "t.db", DIMS, config, sync=False)) as writer:
            await fill(writer._store, World.made(SEED), 0, assets, 1)
            filled = time.perf_counter()
            await writer.optimize()
            spans, gold = await writer._store.count(SPANS), await writer._store.count(GOLD)
        indexed_s = time.perf_counter() - filled
        return f"{gold:,} assets, {spans:,} spans: made in {filled - began:.0f} s, indexed in {indexed_s:.0f} s"

    return asyncio.run(run())


async def write(base: Path) -> None:
    """New photos as fast as they are committed, 64 at a time, until the end."""
    from bench.lake import asset_batch, joined

    config = LakeConfig(commit_s=0.0)
    async with serving(await LakeWriter.open(base / "lake", base / "t.db", DIMS, config)) as writer:
        number = random.SystemRandom().randrange(10**9, 10**15)
        print("writing", flush=True)
        while True:
            await writer.submit(joined(asset_batch(n) for n in range(number, number + 64)))
            number += 64


def ask(base: Path) -> tuple[dict[str, list[Cost]], float]:
    """What each question costs, by what was asked, and the most memory that was held, in MB."""

    async def run() -> dict[str, list[Cost]]:
        finder, world = Finder(base / "lake"), World.made(SEED)
        engine = _engine(finder, world)
        await finder.warm()

        def vector(where: str = LEAN) -> Awaitable[object]:
            one = world.vectors("image", world.rng.integers(0, 1500, 1))[0]
            return finder.nearest("image", tuple(one.tolist()), 20, where)

        def words(where: str = LEAN) -> Awaitable[object]:
            return finder.words(Words(any=tuple(world.words(2))), 20, where)

        def whole(where: str = "") -> Awaitable[object]:
            return engine.find(Query(text=" ".join(world.words(2)), limit=20, where=where))

        doors: dict[str, Callable[[], Awaitable[object]]] = {
            "vector": vector,
            "words": words,
            "vector, by kind, tag, place or month": lambda: vector(f"{LEAN} AND {random.choice(USUAL)}"),
            **{f"vector, {share}": partial(vector, f"{LEAN} AND {where}") for share, where in FILTERS.items()},
            **{f"words, {share}": partial(words, f"{LEAN} AND {where}") for share, where in FILTERS.items()},
            "things seen": lambda: finder.objects("dog", 20, LEAN),
            "the whole engine (both vectors, words, facts)": whole,
            "the whole engine, 1 %": lambda: whole(FILTERS["1 %"]),
        }
        costs = {}
        for what, door in doors.items():
            for _ in range(8):
                await door()
            costs[what] = [await _cost(door) for _ in range(QUERIES)]
        return costs

    costs = asyncio.run(run())
    return costs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _engine(finder: Finder, world: World) -> Any:
    """The engine, with an encoder that says at once where in the space a text lies: anywhere."""
    from lakewatchd.models.base import ModelInfo, Role
    from lakewatchd.views.search import gate
    from lakewatchd.views.search.finding import Search

    class Given:
        async def model(self, role: Role) -> ModelInfo:
            known = next(name for (of, name) in gate.LEAST if of is role)
            return ModelInfo(role, known, DIMS.image if role is Role.IMAGE_TEXT else DIMS.text, "bench")

        async def made_by(self) -> frozenset[str]:
            return frozenset((IMAGE_MODEL,))

        async def text(self, role: Role, text: str) -> tuple[float, ...]:
            space = "image" if role is Role.IMAGE_TEXT else "text"
            return tuple(world.vectors(space, world.rng.integers(0, 1500, 1))[0].tolist())

    return Search(finder, Given())  # type: ignore[arg-type]


async def _cost(do: Callable[[], Awaitable[object]]) -> Cost:
    began, had = time.perf_counter(), time.process_time()
    await do()
    return Cost(time.perf_counter() - began, time.process_time() - had)


def bare(base: Path) -> dict[str, list[Cost]]:
    """The same put to LanceDB: no filter, nothing looked at afterwards, the ids of ten rows."""

    async def run() -> dict[str, list[Cost]]:
        import lancedb

        db = await lancedb.connect_async(str(base / "lake"))
        spans, gold, world = await db.open_table(SPANS.name), await db.open_table(GOLD.name), World.made(SEED)

        async def vector() -> None:
            one = world.vectors("image", world.rng.integers(0, 1500, 1))[0]
            query = spans.query().nearest_to(one).column("image_vector").distance_type("cosine")
            await query.refine_factor(5).select(["asset_id", "_distance"]).limit(20).to_arrow()

        async def words() -> None:
            query = gold.query().nearest_to_text(" ".join(world.words(2)))
            await query.select(["asset_id", "_score"]).limit(20).to_arrow()

        for _ in range(5):
            await vector()
            await words()
        return {
            "LanceDB alone: vector": [await _cost(vector) for _ in range(QUERIES)],
            "LanceDB alone: words": [await _cost(words) for _ in range(QUERIES)],
        }

    return asyncio.run(run())


def brute_force(base: Path) -> dict[str, list[Cost]]:
    """DuckDB, every picture compared, the vectors in its memory."""
    import duckdb
    import lance

    scanner = lance.dataset(str(base / "lake" / "gold_assets.lance")).scanner(columns=["asset_id", "vector"])
    with duckdb.connect() as db:
        db.register("gold", scanner.to_reader())
        db.execute(f"CREATE TABLE gold_copy AS SELECT asset_id, vector::FLOAT[{DIMS.image}] AS vector FROM gold")
        world, costs = World.made(SEED), []
        for _ in range(2):
            one = world.vectors("image", world.rng.integers(0, 1500, 1))[0].tolist()
            began, had = time.perf_counter(), time.process_time()
            distance = f"array_cosine_distance(vector, ?::FLOAT[{DIMS.image}])"
            db.execute(f"SELECT asset_id FROM gold_copy WHERE vector IS NOT NULL ORDER BY {distance} LIMIT 20", [one])
            db.fetchall()
            costs.append(Cost(time.perf_counter() - began, time.process_time() - had))
    return {"DuckDB, every vector compared": costs}


if __name__ == "__main__":
    main()
