"""One root on its own: a source that runs, and what stands for all that follows it."""

# Names that are no text need os.path
# ruff: noqa: ASYNC110, ASYNC240, PTH113, PTH118

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.daemon.wiring import PollPlaces, QueueThread
from lakewatchd.queue.database import Database
from lakewatchd.queue.polled import PollStore
from lakewatchd.sources.live import RootSource
from lakewatchd.sources.roots import Root

QUICK = WatchConfig(settle_s=0.05, settle_open_s=0.2, ignore=("*.tmp",))


class Memory:
    """What was told and what is known, in a dict: ``sources.known.Known`` for tests."""

    def __init__(self) -> None:
        self.files: dict[str, Version] = {}
        self.events: list[FileEvent] = []

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        return {p.rpartition("/")[2]: v for p, v in self.files.copy().items() if p.rpartition("/")[0] == dir}

    def subdirectories(self, root: str, dir: str) -> set[str]:
        prefix = dir + "/" if dir else ""
        below = [p[len(prefix) :] for p in self.files.copy() if p.startswith(prefix)]
        return {p.split("/")[0] for p in below if "/" in p}

    def under(self, root: str, dir: str) -> Iterator[PathKey]:
        return iter([PathKey(root, p) for p in self.files.copy() if not dir or p.startswith(dir + "/")])

    def count(self, root: str) -> int:
        return len(self.files)

    def changes(self, path: str) -> list[Change]:
        return [event.change for event in self.events if event.key.path == path]


class Lake(Memory):
    """Stands for all that follows: looks at the disk for each event, as a handler does, and remembers."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self.base = base

    async def emit(self, events: Sequence[FileEvent]) -> None:
        for event in events:
            self.events.append(event)
            path = event.key.path
            if event.change is Change.REMOVED and not os.path.isfile(os.path.join(self.base, path)):
                self.files.pop(path, None)
            elif event.version is not None:
                self.files[path] = event.version


@asynccontextmanager
async def alive(
    base: Path,
    lake: Lake,
    config: WatchConfig = QUICK,
    emit_retry_s: float = 1.0,
    clock: Clock | None = None,
    **more: Any,
) -> AsyncIterator[RootSource]:
    more = {"health_s": 0.1, **more}
    clock = clock or SystemClock()
    source = RootSource(Root("r", base), config, lake, lake.emit, clock, emit_retry_s=emit_retry_s, **more)
    task = asyncio.create_task(source.run())
    try:
        yield source
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], what: str = "") -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@contextmanager
def poll_memory(path: Path) -> Iterator[PollPlaces]:
    """What the daemon hands to a source, on a database of its own."""
    database, thread = Database(path), QueueThread(SystemClock())
    try:
        yield PollPlaces(PollStore(database), thread)
    finally:
        thread.close()
        database.close()
