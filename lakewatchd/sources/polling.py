"""Come by where no event tells of changes: often where something changed lately, never more than a person allowed.

A visit is a *glance* at a directory's mtime, which tells whether names came or went, and where that is not enough a
*look*: the directory compared by a scan, with the contents of its files. A look is due when the mtime moved, when
something changed lately, and always while a look at everything fits into the budget. Contents of what is left out
are compared by the next rescan.

The state is in a :class:`PollMemory`: it survives a restart and takes no memory. Every call to it and to the disk
runs in a thread that can be left behind. The invariant: what was added is visited again and again until it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import stat
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lakewatchd.config import WatchConfig
from lakewatchd.core.clock import Clock
from lakewatchd.core.visit import Visit
from lakewatchd.errors import OutOfSpace, TransientError
from lakewatchd.sources.roots import Root
from lakewatchd.sources.worker import Worker

_log = logging.getLogger(__name__)

HOT = 0.1
"""A directory that changed is visited again after this share of ``poll_s``, then ever more seldom up to it."""
BATCH = 100
ADD_BATCH = 500
YOUNG_NS = 2_000_000_000
"""A directory's mtime this close to now may stay the same through another change: some servers count in seconds."""


NEVER, UNSURE = 0, -1
"""In place of an mtime: names were not compared yet, or something may have changed since without moving it."""


class PollMemory(Protocol):
    """What is polled and when, kept for a root. Called in threads; may raise ``OutOfSpace`` and ``Busy``."""

    def add(self, root: str, visits: Iterable[Visit]) -> None: ...
    def update(self, root: str, visits: Iterable[Visit]) -> None: ...
    def due(self, root: str, now: float, every_s: float, limit: int) -> Sequence[Visit]: ...
    def next_due(self, root: str) -> float | None: ...
    def holds(self, root: str, directory: str) -> bool: ...
    def size(self, root: str) -> tuple[int, int]: ...
    def forget(self, root: str, directory: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a look came to."""

    changes: int
    """Files that were known and are not the same any more. New ones show in the directory's mtime, and until they
    are indexed every look finds them again."""
    entries: int


Look = Callable[[str, bool], Awaitable[Found]]
"""Compare one directory; True when its names are known to have changed. Returns once the events are durable."""


@dataclass(frozen=True, slots=True)
class PollStats:
    directories: int = 0
    """How many are polled."""
    entries: int = 0
    """What lies in them, as far as they were looked at."""
    visits: int = 0
    looks: int = 0
    stats: int = 0
    """Files and directories looked at since the start."""


class Ceiling:
    """No more than ``per_s``, in the long run: what was spent is waited for before more is."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._paid_at = 0.0

    def spend(self, count: int) -> float:
        """Seconds to wait before anything else is spent."""
        now = self._clock.monotonic()
        self._paid_at = max(now, self._paid_at) + count / self._per_s
        return self._paid_at - now


class Poller:
    """Let scans :meth:`add` directories, run :meth:`run` as a task, and :meth:`forget` when polling ends."""

    def __init__(
        self, root: Root, config: WatchConfig, memory: PollMemory, clock: Clock, look: Look, rng: random.Random
    ) -> None:
        self._root = root
        self._config = config
        self._memory = memory
        self._clock = clock
        self._look = look
        self._rng = rng
        self._worker = Worker(f"{root.name}-poll")
        self._ceiling = Ceiling(config.poll_stats_per_s, clock)
        self._lock = threading.Lock()
        self._new: list[str] = []
        self._more = asyncio.Event()
        self._sized_at = float("-inf")
        self.stats = PollStats()

    # --- in scan threads ---------------------------------------------------------------------------------------

    def add(self, directory: str) -> None:
        """Visit it from now on. Never fails: what could not be kept is added by the next rescan."""
        with self._lock:
            self._new.append(directory)
            if len(self._new) < ADD_BATCH:
                return
        self.flush()

    def flush(self) -> None:
        """Keep what was added. First visits are spread over ``poll_s``, so that they do not come as one wave."""
        with self._lock:
            new, self._new = self._new, []
        now, every = self._clock.now(), self._config.poll_s
        visits = [Visit(directory, now + self._rng.random() * every, every) for directory in new]
        try:
            if visits:
                self._memory.add(self._root.name, visits)
        except (OutOfSpace, TransientError) as exc:
            _log.warning("%d directories are not polled yet: %s", len(visits), exc.message)

    def is_new(self, directory: str) -> bool:
        """Whether a look has to go down into it: nobody was there yet."""
        with self._lock:
            if directory in self._new:
                return False
        return not self._memory.holds(self._root.name, directory)

    # --- in the event loop -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Visit until cancelled. What was going on then is done again."""
        while True:
            self._more.clear()  # what is added from now on is seen by this round, or ends the rest after it
            try:
                wait_s = await self._visit_some()
            except (OutOfSpace, TransientError) as exc:
                _log.warning("polling waits: %s", exc.message, extra={"root": self._root.name})
                wait_s = self._config.poll_s * HOT
            await self._rest(wait_s)

    async def forget(self) -> None:
        """Nothing is polled any more."""
        with self._lock:
            self._new = []
        await self._worker.run(self._memory.forget, self._root.name)
        self.stats = replace(self.stats, directories=0, entries=0)

    def wake(self) -> None:
        """Something was added."""
        self._more.set()

    def close(self) -> None:
        self._worker.close()

    @property
    def left_behind(self) -> int:
        return self._worker.left_behind

    # --- one round ---------------------------------------------------------------------------------------------

    async def _visit_some(self) -> float:
        """Visit what is due. Returns how long nothing will be."""
        await self._worker.run(self.flush)
        now, limit = self._clock.now(), min(BATCH, self._config.poll_stats_per_s)
        due = await self._worker.run(self._memory.due, self._root.name, now, self._config.poll_s, limit)
        await self._measure()
        if not due:
            next_due = await self._worker.run(self._memory.next_due, self._root.name)
            return self._config.poll_s * HOT if next_due is None else max(0.0, next_due - self._clock.now())
        mtimes = await self._worker.run(self._glance, [visit.directory for visit in due])
        await self._pay(len(due))
        passed = []
        for visit, mtime_ns in zip(due, mtimes, strict=True):
            if self._is_enough(visit, mtime_ns):
                passed.append(self._next(visit, is_changed=False))
            else:
                await self._look_at(visit, mtime_ns)
        self.stats = replace(self.stats, visits=self.stats.visits + len(due))
        await self._worker.run(self._memory.update, self._root.name, passed)
        return 0.0

    def _is_enough(self, visit: Visit, mtime_ns: int | None) -> bool:
        """The glance told all that is to be known this time."""
        is_same = mtime_ns is not None and mtime_ns > 0 and mtime_ns == visit.mtime_ns
        return is_same and visit.interval_s >= self._config.poll_s and not self._all_fits

    async def _look_at(self, visit: Visit, mtime_ns: int | None) -> None:
        """Compare it, and keep that at once: a look may have been long to wait for."""
        root, is_moved = self._root.name, mtime_ns != visit.mtime_ns
        found = await self._look(visit.directory, is_moved and visit.mtime_ns != NEVER)
        self.stats = replace(self.stats, looks=self.stats.looks + 1)
        await self._pay(found.entries)
        if mtime_ns is None:
            await self._worker.run(self._memory.forget, root, visit.directory)
            return
        is_young = mtime_ns > int(self._clock.now() * 1e9) - YOUNG_NS
        seen = replace(visit, mtime_ns=UNSURE if is_young else mtime_ns, entries=found.entries)
        is_changed = found.changes > 0 or (is_moved and visit.mtime_ns > 0)
        await self._worker.run(self._memory.update, root, [self._next(seen, is_changed=is_changed)])

    def _next(self, visit: Visit, *, is_changed: bool) -> Visit:
        every = self._config.poll_s
        interval_s = every * HOT if is_changed else min(every, max(visit.interval_s, every * HOT) * 2)
        return replace(visit, interval_s=interval_s, due_at=self._clock.now() + interval_s)

    @property
    def _all_fits(self) -> bool:
        budget = self._config.poll_s * self._config.poll_stats_per_s
        return self.stats.directories + self.stats.entries <= budget

    def _glance(self, directories: Sequence[str]) -> list[int | None]:
        """Their mtimes; None for what is no directory any more, 0 for what cannot be told."""
        return [_mtime(os.path.join(self._root.path, directory)) for directory in directories]  # noqa: PTH118

    async def _measure(self) -> None:
        now = self._clock.monotonic()
        if now - self._sized_at >= self._config.poll_s * HOT:
            self._sized_at = now
            directories, entries = await self._worker.run(self._memory.size, self._root.name)
            self.stats = replace(self.stats, directories=directories, entries=entries)

    async def _pay(self, count: int) -> None:
        self.stats = replace(self.stats, stats=self.stats.stats + count)
        await asyncio.sleep(self._ceiling.spend(count))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, self._config.poll_s)):
                await self._more.wait()
        except TimeoutError:
            return


def _mtime(path: str) -> int | None:
    try:
        status = os.lstat(path)
        return max(1, status.st_mtime_ns) if stat.S_ISDIR(status.st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return 0
