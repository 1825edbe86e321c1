"""Scans of one root beside each other: what one of them counted is not undone by another that began before it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from one_root import Lake

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.outlet import Outlet
from lakewatchd.sources.place import Place
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scanning import Scanning
from lakewatchd.testing import make_tree

WATCH = WatchConfig(removal_files=10, removal_share=0.2)


class Bench:
    """Forty known files. A scan of all stops before it looks, until it may go on."""

    def __init__(self, directory: Path) -> None:
        self.base = make_tree(directory / "root", {f"{name}/{n}.jpg": "x" for name in "ab" for n in range(20)})
        self.lake = Lake(self.base)
        for path in self.base.rglob("*.jpg"):
            self.lake.files[str(path.relative_to(self.base))] = Version.of(path.stat())
        self.buffer = Buffer("r", 1000)
        root, rules = Root("r", self.base), IgnoreRules(self.base, ())
        outlet = Outlet("r", self.lake.emit, 1.0)
        place = Place(root, rules, self.lake)
        self.scans = Scanning(place, WATCH, self.lake, None, SystemClock(), self.buffer, outlet, self._enter)
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def _enter(self, directory: str) -> None:
        if not directory:
            self.has_begun.set()
            assert self.may_go_on.wait(60)

    async def scan_all(self) -> int:
        """How many files are held back."""
        self.scans.request("", Priority.ASKED)
        request = await self.scans.full.next()
        assert request is not None
        await self.scans.run_full(request)
        return request.done.result().held_back

    def lose(self, directory: str, count: int) -> list[str]:
        lost = [f"{directory}/{n}.jpg" for n in range(count)]
        for path in lost:
            os.unlink(self.base / path)  # noqa: PTH108
        return lost


async def test_deletions_that_were_told_while_a_scan_ran_excuse_no_other_loss(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    scanning = asyncio.create_task(bench.scan_all())
    assert await asyncio.to_thread(bench.has_begun.wait, 60)
    gone = [FileEvent(PathKey("r", path), Change.REMOVED) for path in bench.lose("a", 20)]
    bench.buffer.add_all(gone)  # a person deletes them, the kernel tells, and the queue has it
    await bench.lake.emit(gone)
    bench.scans.count_told(len(gone))
    bench.may_go_on.set()
    assert await scanning == 0
    bench.lose("b", 15)  # nobody tells of these
    assert await bench.scan_all() == 15
    bench.scans.close()


async def test_what_looks_found_to_be_gone_while_a_scan_ran_counts_for_the_next_loss(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    scanning = asyncio.create_task(bench.scan_all())
    assert await asyncio.to_thread(bench.has_begun.wait, 60)
    bench.lose("a", 8)
    assert (await bench.scans.look("a", True, lambda path: False)).changes == 8
    bench.may_go_on.set()
    assert await scanning == 0
    bench.lose("b", 8)
    assert (await bench.scans.look("b", True, lambda path: False)).changes == 0, "as much again, and too much together"
    bench.scans.close()
