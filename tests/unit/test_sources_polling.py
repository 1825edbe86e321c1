"""Budgeted polling on real directories: what is visited, how often, and never more than allowed."""

# ruff: noqa: ASYNC110, ASYNC240

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from one_root import poll_memory

from lakewatchd.config import WatchConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.visit import Visit
from lakewatchd.queue.database import Database
from lakewatchd.queue.polled import PollStore
from lakewatchd.sources.polling import Ceiling, Found, Poller, PollMemory
from lakewatchd.sources.roots import Root
from lakewatchd.testing import FakeClock, make_tree

OLD_NS = 10**18


class Lab:
    """A poller whose looks are counted."""

    def __init__(self, base: Path, memory: PollMemory, config: WatchConfig) -> None:
        self.base = base
        self.looks: list[tuple[str, bool]] = []
        self.changes = 0
        self.poller = Poller(Root("r", base), config, memory, SystemClock(), self.look, random.Random(1))

    async def look(self, directory: str, is_news: bool) -> Found:
        self.looks.append((directory, is_news))
        return Found(self.changes, len(os.listdir(self.base / directory)) if (self.base / directory).is_dir() else 0)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.looks) < count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def polling(base: Path, config: WatchConfig, database: Path) -> AsyncIterator[Lab]:
    with poll_memory(database) as memory:
        lab = Lab(base, memory, config)
        for directory in (path for path in (base, *base.rglob("*")) if path.is_dir()):
            os.utime(directory, ns=(OLD_NS, OLD_NS))
            lab.poller.add("" if directory == base else str(directory.relative_to(base)))
        task = asyncio.create_task(lab.poller.run())
        try:
            yield lab
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.wait([task])
            lab.poller.close()


async def test_names_that_change_are_found_and_contents_while_all_fits(tmp_path: Path) -> None:
    base = make_tree(tmp_path / "root", {"a/x": "1", "b/y": "2"})
    async with polling(base, WatchConfig(poll_s=1.0), tmp_path / "q.db") as lab:
        await lab.until(9)
        assert {directory for directory, _ in lab.looks} == {"", "a", "b"} and not any(new for _, new in lab.looks)
        make_tree(base, {"b/z": "3"})
        await lab.until(len(lab.looks) + 3)
        async with asyncio.timeout(60):
            while ("b", True) not in lab.looks:
                await asyncio.sleep(0.01)
        before = Counter(directory for directory, _ in lab.looks)
        async with asyncio.timeout(60):  # what changed is visited more often
            for moved in itertools.count(1):  # more than once: of rounds as slow as poll_s none visits less
                if (since := Counter(directory for directory, _ in lab.looks) - before)["b"] >= since["a"] + 2:
                    break
                os.utime(base / "b", ns=(OLD_NS, OLD_NS + moved))
                await asyncio.sleep(0.01)


async def test_a_tree_beyond_the_budget_is_glanced_at_and_the_ceiling_holds(tmp_path: Path) -> None:
    base = make_tree(tmp_path / "root", {f"d{n}/{m}": "" for n in range(30) for m in range(5)})
    config = WatchConfig(poll_s=1.0, poll_stats_per_s=100)
    async with polling(base, config, tmp_path / "q.db") as lab:
        began = asyncio.get_running_loop().time()
        await lab.until(31)
        took = asyncio.get_running_loop().time() - began
        assert lab.poller.stats.stats <= 100 * took + 40, (
            "no more a second than allowed, but for one batch and one look"
        )
        async with asyncio.timeout(60):
            while lab.poller.stats.visits <= 45:
                await asyncio.sleep(0.01)
        assert len(lab.looks) < 45, "unchanged directories cost a stat, not a listing"


async def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    base = make_tree(tmp_path / "root", {f"d{n}/x": "" for n in range(9)})
    config = WatchConfig(poll_s=0.4)
    async with polling(base, config, tmp_path / "q.db") as lab:
        await lab.until(10)
        async with asyncio.timeout(60):
            while lab.poller._memory.size("r") != (10, 18):  # kept a moment after the look
                await asyncio.sleep(0.01)
    with closing(Database(tmp_path / "q.db")) as database:
        store = PollStore(database)
        assert store.size("r") == (10, 18) and store.next_due("r") is not None
        kept = store.due("r", float("inf"), 0.4, 100)
        assert all(visit.mtime_ns == OLD_NS for visit in kept), "a restart compares no names anew"


async def test_what_is_gone_is_told_once_and_forgotten(tmp_path: Path) -> None:
    base = make_tree(tmp_path / "root", {"a/b/x": "1"})
    async with polling(base, WatchConfig(poll_s=0.4), tmp_path / "q.db") as lab:
        await lab.until(3)
        (base / "a/b/x").unlink()
        (base / "a/b").rmdir()
        async with asyncio.timeout(60):
            while lab.poller._memory.holds("r", "a/b"):
                await asyncio.sleep(0.01)
        assert lab.poller.is_new("a/b") and not lab.poller.is_new("a")


def test_the_ceiling_makes_whoever_spends_wait() -> None:
    clock = FakeClock()
    ceiling = Ceiling(100, clock)
    assert ceiling.spend(50) == pytest.approx(0.5)
    assert ceiling.spend(50) == pytest.approx(1.0)
    clock.advance(10)
    assert ceiling.spend(10) == pytest.approx(0.1), "what was not spent is not saved up"


def test_what_changed_lately_goes_first_and_nothing_starves(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "q.db")) as database:
        store = PollStore(database)
        store.add("r", [Visit(f"cold{n}", float(n), 300.0) for n in range(100)])
        store.add("r", [Visit(f"hot{n}", 90.0 + n, 30.0) for n in range(10)])
        names = [visit.directory for visit in store.due("r", 200.0, 300.0, 8)]
        assert names == ["hot0", "hot1", "hot2", "hot3", "cold0", "cold1", "cold2", "cold3"]
        assert store.due("r", -1.0, 300.0, 8) == []
        assert store.due("r", -500.0, 300.0, 200), "the clock was set back: what was due stays due"
        store.forget("r", "cold1")
        assert not store.holds("r", "cold1") and store.holds("r", "cold10")
        store.keep_only(["other"])
        assert store.size("r") == (0, 0)


async def test_what_is_added_in_the_middle_of_a_round_is_not_slept_over(tmp_path: Path) -> None:
    loop, rounds = asyncio.get_running_loop(), asyncio.Semaphore(0)

    class Memory(PollStore):
        def due(self, root: str, now: float, every_s: float, limit: int) -> list[Visit]:
            asyncio.run_coroutine_threadsafe(added(), loop).result(60)
            return []

    async def added() -> None:
        rounds.release()
        lab.poller.wake()  # a scan has handed something over, after this round looked

    with closing(Database(tmp_path / "queue.db")) as database:
        lab = Lab(tmp_path, Memory(database), WatchConfig(poll_s=36_000.0))
        task = asyncio.create_task(lab.poller.run())
        async with asyncio.timeout(60):
            await rounds.acquire()
            await rounds.acquire()
        task.cancel()
        await asyncio.wait([task])
        lab.poller.close()
