"""The queue against raw SQLite and its peers: items per second for put + claim + ack, each its own transaction.

    pip install huey persist-queue        # the peers; they are left out where they are missing
    python bench/queue.py [--quick] [--claims-only] [--json] [--dir DIR]

``raw`` does the same durable work in straight SQL on the same table, indexes and pragmas: an upsert by unique key that
coalesces, a claim in order of priority that leases (like ours without an fsync), an ack by id, lease and generation.
It leaves out what is Python: payloads are ready-made text, there are no objects and no other stages, lanes or verdicts.
``huey`` and ``persist-queue`` have no batches, so they run one item at a time, with their fsync on; neither has a
key, and huey deletes before the work is done.
Every contender gets a short turn in every round and the ratios are formed within the rounds: medians of these.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lakewatchd.config import QueueConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.job import Done, JobSpec, Lane, Priority
from lakewatchd.queue.database import _PRAGMAS
from lakewatchd.queue.store import QueueStore

Item = tuple[str, str]
"""A key as stages use it (32 hex digits) and a path."""


class Contender(Protocol):
    def fill(self, items: Iterator[Item]) -> None: ...
    def cycle(self, items: Sequence[Item]) -> None: ...
    def close(self) -> None: ...


class Ours:
    """The store as the daemon uses it."""

    def __init__(self, folder: Path) -> None:
        self.store = QueueStore(folder / "ours.db", QueueConfig(), SystemClock())

    def fill(self, items: Iterator[Item]) -> None:
        self.store.put(JobSpec("ingest", key, {"path": path, "root": "r"}, Priority.BACKFILL) for key, path in items)

    def cycle(self, items: Sequence[Item]) -> None:
        self.store.put([JobSpec("ingest", key, {"path": path, "root": "r"}) for key, path in items])
        jobs = self.store.claim(Lane.FAST, len(items))
        assert len(jobs) == len(items)
        self.store.ack([(job, Done()) for job in jobs])

    def claim_one(self) -> Callable[[], None]:
        """Claims one job; returns what gives it back."""
        (job,) = self.store.claim(Lane.FAST, 1)
        return lambda: self.store.release(job)

    def close(self) -> None:
        self.store.close()


class Raw:
    """The same work by hand, without our Python."""

    def __init__(self, folder: Path) -> None:
        self.run = sqlite3.connect(folder / "raw.db", isolation_level=None)
        for pragma in _PRAGMAS:
            self.run.execute(f"PRAGMA {pragma}")
        self.run.executescript(resources.files("lakewatchd.queue").joinpath("schema.sql").read_text())

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        self.run.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self.run.execute("BEGIN IMMEDIATE")
        yield
        self.run.execute("COMMIT")

    def fill(self, items: Iterator[Item]) -> None:
        self.insert(items, 3)

    def insert(self, items: Iterable[Item], priority: int) -> None:
        now = time.time()
        with self.transaction():
            self.run.executemany(
                "INSERT INTO job (stage, key, payload, priority, lane, state, queued_at)"
                " VALUES ('ingest', ?, ?, ?, 'fast', 0, ?) ON CONFLICT (stage, key) DO UPDATE SET"
                " payload = excluded.payload, priority = min(priority, excluded.priority),"
                " state = iif(state = 2, 2, 0), generation = generation + 1",
                ((key.encode(), f'{{"path":"{path}","root":"r"}}', priority, now) for key, path in items),
            )

    def claim(self, limit: int) -> list[tuple[int, int, str]]:
        with self.transaction(durable=False):
            return self.run.execute(
                "UPDATE job SET state = 2, lease = 'x', lease_until = ? WHERE id IN (SELECT id FROM job WHERE"
                " state = 0 AND crashes < 2 AND lane = 'fast' AND stage = 'ingest' ORDER BY priority, id LIMIT ?)"
                " RETURNING id, generation, payload",
                (time.monotonic() + 60, limit),
            ).fetchall()

    def ack(self, rows: Iterable[tuple[int, int, str]]) -> None:
        with self.transaction():
            self.run.executemany(
                "DELETE FROM job WHERE id = ? AND lease = 'x' AND generation = ?", [row[:2] for row in rows]
            )

    def cycle(self, items: Sequence[Item]) -> None:
        self.insert(items, 1)
        rows = self.claim(len(items))
        assert len(rows) == len(items)
        self.ack(rows)

    def close(self) -> None:
        self.run.close()


class Huey:
    def __init__(self, folder: Path) -> None:
        from huey.storage import SqliteStorage

        self.storage = SqliteStorage(filename=str(folder / "huey.db"), fsync=True)

    def fill(self, items: Iterator[Item]) -> None:
        with self.storage.db(commit=True) as cursor:
            cursor.executemany(
                "insert into task (queue, data, priority) values (?, ?, 0)",
                ((self.storage.name, path.encode()) for _, path in items),
            )

    def cycle(self, items: Sequence[Item]) -> None:
        for _, path in items:
            self.storage.enqueue(path.encode(), 1)
            assert self.storage.dequeue() is not None

    def close(self) -> None:
        self.storage.close()


class PersistQueue:
    def __init__(self, folder: Path) -> None:
        from persistqueue import SQLiteAckQueue

        self.queue = SQLiteAckQueue(str(folder / "persist"), auto_commit=True)

    def fill(self, items: Iterator[Item]) -> None:
        rows = ((self.queue._serializer.dumps(path), 0.0) for _, path in items)
        with self.queue._putter as run:
            run.executemany("INSERT INTO ack_queue_default (data, timestamp, status) VALUES (?, ?, 1)", rows)
        self.queue.total = self.queue._count()

    def cycle(self, items: Sequence[Item]) -> None:
        for _, path in items:
            self.queue.put(path)
            self.queue.ack(self.queue.get(block=False))

    def close(self) -> None:
        self.queue.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    pending: int
    batch: int
    items_per_s: dict[str, float]
    ratio_to_ours: dict[str, float]
    """Ours divided by each: above 1 we are faster."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="up to 100k pending, short rounds")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_argument("--claims-only", action="store_true", help="only the cost of claiming one item")
    options.add_argument("--dir", type=Path, help="where to put the databases: the disk that is measured")
    chosen = options.parse_args()
    sizes = (0, 1_000, 100_000) if chosen.quick else (0, 1_000, 100_000, 1_000_000)
    rounds, turn_s = (5, 0.1) if chosen.quick else (9, 0.3)
    results: list[Result] = []
    for pending in () if chosen.claims_only else sizes:
        with tempfile.TemporaryDirectory(dir=chosen.dir) as folder:
            results += measure(Path(folder), pending, rounds, turn_s)
    with tempfile.TemporaryDirectory(dir=chosen.dir) as folder:
        claim_us, growth = claim_costs_us(Path(folder), (1_000, sizes[-1]))
    if chosen.json:
        cycle = [dataclasses.asdict(result) for result in results]
        print(json.dumps({"cycle": cycle, "claim_one_us": claim_us, "claim_growth": growth}))
    else:
        print_table(results, claim_us, growth)


def measure(folder: Path, pending: int, rounds: int, turn_s: float) -> list[Result]:
    rng = random.Random(pending)
    contenders = make(folder)
    for contender in contenders.values():
        contender.fill(itertools.islice(items(rng), pending))
    results = []
    for batch in (1, 64, 512):
        taking_part = {n: c for n, c in contenders.items() if batch == 1 or n in ("ours", "raw")}
        speeds: dict[str, list[float]] = {name: [] for name in taking_part}
        for round_ in range(rounds):
            names = list(taking_part)
            for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
                speeds[name].append(speed(taking_part[name], items(rng), batch, turn_s))
        ratios = {n: statistics.median(a / b for a, b in zip(speeds["ours"], speeds[n], strict=True)) for n in speeds}
        results.append(Result(pending, batch, {n: statistics.median(s) for n, s in speeds.items()}, ratios))
    for contender in contenders.values():
        contender.close()
    return results


def make(folder: Path) -> dict[str, Contender]:
    made: dict[str, Contender] = {"ours": Ours(folder), "raw": Raw(folder)}
    for name, kind in (("huey", Huey), ("persist-queue", PersistQueue)):
        with contextlib.suppress(ImportError):
            made[name] = kind(folder)
    return made


def items(rng: random.Random) -> Iterator[Item]:
    for n in itertools.count():
        yield f"{rng.getrandbits(128):032x}", f"holiday/2023/IMG_{n:07}.jpg"


def speed(contender: Contender, source: Iterator[Item], batch: int, turn_s: float) -> float:
    work = [list(itertools.islice(source, batch)) for _ in range(max(2, 2000 // batch))]
    done = 0
    start = time.perf_counter()
    for chunk in itertools.cycle(work):
        contender.cycle(chunk)
        done += batch
        if (spent := time.perf_counter() - start) > turn_s:
            return done / spent
    raise AssertionError


def claim_costs_us(folder: Path, sizes: Sequence[int], times: int = 301) -> tuple[dict[int, float], float]:
    """Median of claiming one item per size, and of the ratio of the last to the first; taken in turns.

    A claim is not durable and so waits for no fsync; giving the job back is not counted.
    """
    stores: dict[int, Ours] = {}
    for pending in sizes:
        (folder / str(pending)).mkdir()
        stores[pending] = Ours(folder / str(pending))
        stores[pending].fill(itertools.islice(items(random.Random(pending)), pending))
    spent: dict[int, list[float]] = {pending: [] for pending in sizes}
    for _, (pending, store) in itertools.product(range(times), stores.items()):
        start = time.perf_counter()
        give_back = store.claim_one()
        spent[pending].append((time.perf_counter() - start) * 1e6)
        give_back()
    for store in stores.values():
        store.close()
    ratio = statistics.median(b / a for a, b in zip(spent[sizes[0]], spent[sizes[-1]], strict=True))
    return {pending: statistics.median(us) for pending, us in spent.items()}, ratio


def print_table(results: list[Result], claim_us: dict[int, float], growth: float) -> None:
    print("items/s for put + claim + ack; in brackets: ours / theirs, median over rounds")
    print(f"{'pending':>9} {'batch':>5} {'ours':>9}   others")
    for r in results:
        others = "   ".join(
            f"{name} {per_s:,.0f} ({r.ratio_to_ours[name]:.2f}x)"
            for name, per_s in r.items_per_s.items()
            if name != "ours"
        )
        print(f"{r.pending:>9,} {r.batch:>5} {r.items_per_s['ours']:>9,.0f}   {others}")
    print("claim of one: " + ", ".join(f"{us:.0f} us at {pending:,}" for pending, us in claim_us.items()))
    print(f"claim of one, most against fewest pending: {growth:.2f}x (target: at most 2)")
    for r in results:
        if (r.pending, r.batch) == (1_000_000, 512):
            print(f"batch 512 at 1M, ours against raw: {r.ratio_to_ours['raw']:.2f}x (target: at least 0.8)")


if __name__ == "__main__":
    main()
