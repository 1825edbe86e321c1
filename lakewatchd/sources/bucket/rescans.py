"""The rescans of one bucket: asked for, due by themselves, or wanted because events may have been lost.

::

    full   all keys: at the start, every so often, when asked, after gaps
    part   the keys below a "directory"

Gaps are pooled: while a way in flaps, a rescan begins at most every :data:`GAP_S`, and later where rescans take long.
The invariant: a gap is followed by a listing that begins after it; what a listing found is durable before it counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from array import array
from collections.abc import Callable, Sequence

from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.core.status import WayState
from lakewatchd.errors import FatalError, LakewatchError, RootAway
from lakewatchd.sources.bucket.compare import Comparer, Comparison
from lakewatchd.sources.bucket.told import Told
from lakewatchd.sources.known import ScanOptions, ScanSummary
from lakewatchd.sources.outlet import Outlet
from lakewatchd.sources.requests import ScanRequest, ScanRequests
from lakewatchd.sources.worker import Worker

_log = logging.getLogger(__name__)

GAP_S = 10.0
LATE_S = 30.0
"""An event may come after the rescan that found its change: so long it is waited for before it counts as missed."""
FULL, PART = "full", "part"


class Rescans:
    """Use from one event loop. ``ways`` are asked how the ways in are."""

    def __init__(
        self,
        comparer: Comparer,
        emit: Outlet,
        clock: Clock,
        every_s: float,
        ways: Callable[[], Sequence[WayState]],
        rng: random.Random,
        gap_s: float = GAP_S,
        late_s: float = LATE_S,
    ) -> None:
        self._root = comparer.root
        self._comparer = comparer
        self._told: Told = comparer.told
        self._emit = emit
        self._clock = clock
        self._every_s = every_s
        self._ways = ways
        self._rng = rng
        self._gap_s = gap_s
        self._late_s = late_s
        self._gap = asyncio.Event()
        self._ended_s: float | None = None
        self._workers = {lane: Worker(f"{self._root}-{lane}") for lane in (FULL, PART)}
        self._progress: dict[str, ScanSummary] = {}
        self._unwitnessed = 0
        """Removals told by rescans of parts since the last one of all: together they may be a great loss."""
        self._full = ScanRequests()
        self._part = ScanRequests()
        self.last: ScanSummary | None = None
        """The last one of all keys."""
        self.missed: int | None = None
        """Changes that rescans found and no event told of, though a way in was connected all the time."""

    def request(self, directory: str, priority: Priority, accept_removals: bool = False) -> ScanRequest:
        return (self._part if directory else self._full).add(directory, priority, accept_removals)

    def note_gap(self) -> None:
        """Events may have been lost until now."""
        self._gap.set()

    async def run(self) -> None:
        """Until cancelled. Raises :class:`RootAway`, alone or in a group, when the listing says so."""
        async with asyncio.TaskGroup() as group:
            for task in (self._run_full, self._run_parts, self._after_gaps):
                group.create_task(task())

    def fail_waiting(self, error: RootAway, *, keep_accepting: bool = False) -> None:
        """The bucket is away."""
        for requests in (self._full, self._part):
            requests.fail_all(error, keep_accepting=keep_accepting)

    @property
    def accepts_removals(self) -> bool:
        return self._full.accepts_removals

    @property
    def due(self) -> set[str]:
        """The directories that a rescan which runs or waits will come by; "" is all."""
        gap = {""} if self._gap.is_set() else set()
        return gap | {request.directory for request in (*self._full.open, *self._part.open)}

    @property
    def progress(self) -> ScanSummary | None:
        return self._progress.get(FULL) or self._progress.get(PART)

    @property
    def left_behind(self) -> int:
        return sum(worker.left_behind for worker in self._workers.values())

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._progress.clear()

    # --- when ----------------------------------------------------------------------------------------------

    async def _run_full(self) -> None:
        while True:
            every_s = self._every_s * self._rng.uniform(0.75, 1.25)
            request = await self._full.next(every_s or None)
            if request is None:
                self.request("", Priority.BACKFILL)
                continue
            self._gap.clear()  # what was lost by now is listed now
            self._told.turn()
            unwitnessed = self._unwitnessed
            scan = await self._scan(request, FULL)
            if self.last is not None:
                self._note_untold(scan.untold, self.last.started_at)
            self.last, self._ended_s = scan.summary, self._clock.monotonic()
            if not self.last.held_back:
                self._unwitnessed -= unwitnessed  # of parts that were looked at meanwhile it has judged nothing
            self._full.finish(request, self.last)

    async def _run_parts(self) -> None:
        while True:
            request = await self._part.next()
            if request is None:
                continue
            summary = (await self._scan(request, PART)).summary
            self._unwitnessed += summary.removed
            if summary.held_back:
                self.request("", Priority.CHANGED)  # what left this part may lie in another
            self._part.finish(request, summary)

    async def _after_gaps(self) -> None:
        while True:
            await self._gap.wait()
            await asyncio.sleep(self._pause_s())
            if self._gap.is_set():
                await asyncio.wait([self.request("", Priority.CHANGED).done])

    def _pause_s(self) -> float:
        if self._ended_s is None or self.last is None:
            return 0.0
        pause = max(self._gap_s, self.last.duration_s) * self._rng.uniform(1.0, 1.25)
        return max(0.0, self._ended_s + pause - self._clock.monotonic())

    # --- one -----------------------------------------------------------------------------------------------

    async def _scan(self, request: ScanRequest, lane: str) -> Comparison:
        options = ScanOptions(
            priority=request.priority, accept_removals=request.accept_removals, told=self._unwitnessed
        )
        scan = self._comparer.compare(request.directory, options, lambda s: self._progress.update({lane: s}))
        batches = iter(scan)
        try:
            while (batch := await self._workers[lane].run(next, batches, None)) is not None:
                await self._tell(batch)
        except (RootAway, FatalError):
            raise
        except LakewatchError as exc:  # no key can be read, or it takes for ever: the same to us
            raise RootAway(f"it cannot be listed: {exc.message}", exc.hint) from exc
        finally:
            scan.stop()
            self._progress.pop(lane, None)
        return scan

    async def _tell(self, batch: Sequence[FileEvent]) -> None:
        if batch:
            await self._emit(batch)
        for event in batch:
            self._told.find(event.key.path, is_removal=event.change is Change.REMOVED)

    def _note_untold(self, untold: array[int], since: float) -> None:
        """Count what no event told of, a while later, if one should have."""
        if self._told.is_whole and any(_was_connected(way, since) for way in self._ways()):
            asyncio.get_running_loop().call_later(self._late_s, self._count_missed, untold, self._told.turns)

    def _count_missed(self, untold: array[int], turn: int) -> None:
        missed = sum(not self._told.was_heard(key, turn) for key in untold)
        self.missed = (self.missed or 0) + missed
        if missed:
            message = "changes that the rescan found and no event told of: %d"
            _log.warning(message, missed, extra={"root": self._root})


def _was_connected(way: WayState, since: float) -> bool:
    return way.is_connected and way.since is not None and way.since <= since
