#!/usr/bin/env -S python3 -P
"""What the lake costs: commits against table size, fsync, pauses for maintenance, what a view pays per change.

    bench/lake.py [--rows 1000 50000] [--view-rows 100000] [--dir DIR]
    python -m bench.lake --uri s3 [--rows 10000]     a lake in a bucket of two servers, beside one in a directory

Takes a minute or two; needs about 1 GB below --dir. Medians; ms unless a line says otherwise.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import datetime as dt
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakewatchd.buckets.access import Credentials
from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import Kind, PathKey, Tag, Version
from lakewatchd.lake import schema
from lakewatchd.lake.bucket import BucketFiles
from lakewatchd.lake.files import Directory, Files
from lakewatchd.lake.finder import Finder, Words
from lakewatchd.lake.maintain import Maintenance
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, Batch, GoldRow, OccurrenceRow, Presence, SpanRow
from lakewatchd.lake.schema import Dims
from lakewatchd.lake.tables import LakeWriter, serving

DIMS = Dims(512, 384)
RNG = random.Random(1)
WORDS = [f"word{n}" for n in range(2000)]
VECTORS = [tuple(RNG.gauss(0, 0.05) for _ in range(DIMS.image)) for _ in range(64)]
WHEN = dt.datetime(2023, 2, 1)  # noqa: DTZ001 (wall-clock time)


def asset_batch(number: int, *, vectors: bool = True) -> Batch:
    """What indexing one photo brings."""
    asset, key = f"{number:064x}", PathKey("photos", f"{number % 365:03d}/holiday {number}.jpg")
    vector = VECTORS[RNG.randrange(len(VECTORS))] if vectors else None
    text = " ".join(RNG.choices(WORDS, k=20))
    tags = tuple(Tag(name, 0.5, "model") for name in RNG.sample(WORDS[:500], 3))
    place = OccurrenceRow(
        key, asset, Kind.IMAGE, "image/jpeg", Version(number, number, number), Presence.PRESENT, 1.0, 1.0
    )
    gold = GoldRow(asset, Kind.IMAGE, text[:20], "travel", 0.5, tags, "", WHEN, "exif", text, vector, key, number, 1)
    spans = (SpanRow(asset, 0, "image", image_vector=vector, vector_transform="embed/1/x"),)
    return Batch((place,), (AssetRow(asset, Kind.IMAGE, "image/jpeg", number),), spans, (gold,))


@contextlib.asynccontextmanager
async def lake(base: Path, *, sync: bool = True, **settings: float) -> AsyncIterator[LakeWriter]:
    config = LakeConfig(**{"commit_s": 0.0, "optimize_commits": 1_000_000, **settings})  # type: ignore[arg-type]
    async with serving(await LakeWriter.open(base / "lake", base / "t.db", DIMS, config, sync=sync)) as writer:
        yield writer


def joined(batches: Iterator[Batch]) -> Batch:
    """One batch of many, so that a submit is a commit."""
    parts = list(batches)
    rows = {
        name: tuple(row for part in parts for row in getattr(part, name))
        for name in ("occurrences", "assets", "spans", "gold")
    }
    return Batch(**rows)


async def fill(writer: LakeWriter, start: int, stop: int, *, vectors: bool = True) -> None:
    for at in range(start, stop, 4096):
        await writer.submit(joined(asset_batch(n, vectors=vectors) for n in range(at, min(stop, at + 4096))))


async def median_commit_ms(writer: LakeWriter, existing: int, size: int, times: int) -> float:
    took = []
    for _ in range(times):
        work = joined(asset_batch(n) for n in RNG.sample(range(existing + existing // 10), size))
        start = time.perf_counter()
        await writer.submit(work)
        took.append(time.perf_counter() - start)
    return 1000 * statistics.median(took)


async def bench_commits(base: Path, sizes: list[int]) -> None:
    print("\ncommit of N assets (4 tables), ms\n  rows in table |   N=1 |  N=32 | N=512 | N=32 without fsync")
    for rows in sizes:
        async with lake(base / str(rows)) as writer:
            await fill(writer, 0, rows)
            await writer.optimize()
            took = [await median_commit_ms(writer, rows, size, 7) for size in (1, 32, 512)]
        async with lake(base / str(rows), sync=False) as writer:
            await writer.optimize()
            took.append(await median_commit_ms(writer, rows, 32, 7))
        print(f"  {rows:13} | " + " | ".join(f"{ms:5.1f}" for ms in took))


@dataclass(slots=True)
class TimedMaintenance(Maintenance):
    """Notes how long each step held up the commits."""

    times: list[float] = field(default_factory=list)

    async def step(self, *, is_idle: bool) -> bool:
        start = time.perf_counter()
        did_something = await Maintenance.step(self, is_idle=is_idle)
        if did_something:
            self.times.append(time.perf_counter() - start)
        return did_something


async def bench_pause(base: Path, rows: int) -> None:
    """The longest that one small urgent batch waits while maintenance runs, in a lake of ``rows`` with debt."""
    async with lake(base / str(rows), optimize_commits=64) as writer:
        took: list[float] = []
        steps: list[float] = []
        writer._maintenance = TimedMaintenance(writer._store, 64, writer._make_durable, times=steps)
        for _ in range(200):
            work = joined(asset_batch(n) for n in RNG.sample(range(rows), 32))
            start = time.perf_counter()
            await writer.submit(work)
            took.append(time.perf_counter() - start)
        unindexed = max(writer._maintenance.hygiene(spec).unindexed_rows for spec in schema.TABLES)
    took.sort()
    print(f"\n200 commits of 32 with maintenance every 64, {rows} rows: p50 {1000 * took[100]:.0f} ms, ", end="")
    print(f"longest {1000 * took[-1]:.0f} ms; {len(steps)} steps, {sum(steps):.1f} s of {sum(took):.1f} s, ", end="")
    print(f"longest step {1000 * max(steps):.0f} ms; {unindexed} rows unindexed at the end")


async def bench_view(base: Path, rows: int) -> None:
    async with lake(base / "view") as writer:
        await fill(writer, 0, rows, vectors=False)
        await writer.optimize()
        reader = LakeReader(base / "view" / "lake")
        start = time.perf_counter()
        changes = await reader.changes_since(0)
        whole = time.perf_counter() - start
        took = []
        for number in range(9):
            await writer.submit(asset_batch(number, vectors=False))
            start = time.perf_counter()
            changes = await reader.changes_since(changes.revision)
            took.append(time.perf_counter() - start)
            assert len(changes.gold) == 1
        start = time.perf_counter()
        for number in range(100):
            await reader.occurrences_of_many([f"{number:064x}"])
        by_key = (time.perf_counter() - start) / 100
    print(f"\nview of {rows}: all rows {whole:.2f} s, 1 change {1000 * statistics.median(took):.1f} ms, ", end="")
    print(f"occurrences of one asset {1000 * by_key:.1f} ms")


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one lake, in ms but for ``optimize_s``."""

    opened: float
    one: float
    many: float
    by_key: float
    by_words: float
    look: float
    """A reader that knows all asks for what is new."""
    change: float
    optimize_s: float


async def costs(files: Callable[[], Files], thumbnails: Path, rows: int) -> Costs:
    config = LakeConfig(commit_s=0.0, optimize_commits=1_000_000)
    async with serving(await LakeWriter.open(files(), thumbnails, DIMS, config)) as writer:
        await fill(writer, 0, rows)
        start = time.perf_counter()
        await writer.optimize()
        optimize_s = time.perf_counter() - start
        one = await median_commit_ms(writer, rows, 1, 9)
        many = await median_commit_ms(writer, rows, 512, 5)
        reader, finder = LakeReader(files()), Finder(files())
        changes = await reader.changes_since(0)
        by_key = await median_ms(lambda: reader.occurrences_of_many([f"{RNG.randrange(rows):064x}"]), 15)
        by_words = await median_ms(lambda: finder.words(Words(any=(RNG.choice(WORDS),)), 10), 15)
        look = await median_ms(lambda: reader.changes_since(changes.revision), 15)
        took = []
        for number in range(5):
            await writer.submit(asset_batch(number))
            start = time.perf_counter()
            changes = await reader.changes_since(changes.revision)
            took.append(1000 * (time.perf_counter() - start))
        reader.close()
        finder.close()
    start = time.perf_counter()
    await (await LakeWriter.open(files(), thumbnails, DIMS, config)).close()
    opened = 1000 * (time.perf_counter() - start)
    return Costs(opened, one, many, by_key, by_words, look, statistics.median(took), optimize_s)


async def median_ms(ask: Callable[[], Awaitable[object]], times: int) -> float:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        await ask()
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took)


async def bench_bucket(base: Path, rows: int) -> None:
    """In turns, three of each; the table has medians over them and multiples of the directory's."""
    from tests.servers import juicefs_gateway, seaweedfs

    found: dict[str, list[Costs]] = {"directory": [], "SeaweedFS": [], "JuiceFS gateway": []}
    with seaweedfs(base / "weed") as weed, juicefs_gateway(base / "juicefs") as gateway:
        servers = {"SeaweedFS": weed, "JuiceFS gateway": gateway}
        for server in servers.values():
            server.make_bucket("lakes")
        for turn in range(3):
            for name, costs_of in found.items():
                place = base / f"{turn} {name}"
                place.mkdir()

                def files(name: str = name, place: Path = place) -> Files:
                    if name not in servers:
                        return Directory(place / "lake")
                    server, uri = servers[name], f"s3://lakes/{place.name.replace(' ', '-')}"
                    keys = Credentials(server.access_key, server.secret_key)
                    return BucketFiles(LakeConfig(uri=uri, endpoint=server.endpoint), keys, place / "lake")

                costs_of.append(await costs(files, place / "t.db", rows))
    print(f"\na lake of {rows}, ms\n  {'':24}" + "".join(f" | {name:>22}" for name in found))
    for item in dataclasses.fields(Costs):
        medians = [statistics.median(getattr(one, item.name) for one in turns) for turns in found.values()]
        print(f"  {item.name:24}" + "".join(f" | {value:13.1f} ({value / medians[0]:4.1f}x)" for value in medians))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 50_000])
    parser.add_argument("--view-rows", type=int, default=100_000)
    parser.add_argument("--uri", choices=("s3",), help="a lake in a bucket instead")
    parser.add_argument("--dir", type=Path, help="where to work; default: the system's temporary directory")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as base:
        if args.uri:
            await bench_bucket(Path(base), min(args.rows[-1], 10_000))
            return
        await bench_commits(Path(base), args.rows)
        await bench_pause(Path(base), max(args.rows))
        await bench_view(Path(base), args.view_rows)


if __name__ == "__main__":
    asyncio.run(main())
