"""The scans of one root: which are asked for, the lanes they run in, and what becomes of what they find.

::

    full   all of it: at the start, every so often, when asked, after losses
    sub    a directory that is new, moved, or dirty
    poll   one directory, for the poller

Each lane is a thread that can be left behind. The invariant: what a scan found is durable before it counts as done.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from lakewatchd.config import WatchConfig
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.known import Known, ScanMemory, ScanOptions, ScanSummary
from lakewatchd.sources.missing import RemovalGuard
from lakewatchd.sources.outlet import Outlet
from lakewatchd.sources.place import Place
from lakewatchd.sources.polling import Found
from lakewatchd.sources.requests import ScanRequest, ScanRequests
from lakewatchd.sources.scan import Scanner
from lakewatchd.sources.worker import Worker

LANES = ("full", "sub", "poll")


class Scanning:
    """Use from one event loop. ``cover`` is called with each directory before it is listed, in the lane's thread."""

    def __init__(
        self,
        place: Place,
        config: WatchConfig,
        known: Known,
        memory: ScanMemory | None,
        clock: Clock,
        buffer: Buffer,
        emit: Outlet,
        cover: Callable[[str], None],
    ) -> None:
        self._place = place
        self._config = config
        self._known = known
        self._memory = memory
        self._clock = clock
        self._buffer = buffer
        self._emit = emit
        self._cover = cover
        self._workers = {lane: Worker(f"{place.root.name}-{lane}") for lane in LANES}
        self._progress: dict[str, ScanSummary] = {}
        self.guard = RemovalGuard(config.removal_share, config.removal_files)
        self.full = ScanRequests()
        self.sub = ScanRequests()
        self.last: ScanSummary | None = None
        """The last one of all of the root."""
        self.removals_told = 0
        """Of those that the buffer heard of."""
        self._unwitnessed = 0
        """Removals told since the last scan of all that nobody heard of: looks find a great loss a few at a time."""
        self._judging: ScanRequest | None = None
        """Asked for by a look that held something back."""

    def request(self, directory: str, priority: Priority, accept_removals: bool = False) -> ScanRequest:
        return (self.sub if directory else self.full).add(directory, priority, accept_removals)

    def count_told(self, removals: int) -> None:
        """Never more than were heard of: one may also be found out by a look, and must not hide another."""
        self.removals_told = min(self._buffer.removals, self.removals_told + removals)

    async def next_full(self, rng: random.Random) -> ScanRequest:
        """The next scan of all: asked for, or due by itself. Roots do not scan together, so that disks do not."""
        every_s = self._config.rescan_s * rng.uniform(0.75, 1.25)
        while (request := await self.full.next(every_s or None)) is None:
            self.request("", Priority.BACKFILL)
        return request

    async def run_full(self, request: ScanRequest) -> None:
        heard, unwitnessed = self._buffer.removals, self._unwitnessed
        self.last = await self._run(request)
        # All that was heard of by then is told, or held, or was never known; what was told meanwhile stays told.
        self.removals_told = max(self.removals_told, heard)
        if not self.last.held_back:
            self._unwitnessed -= unwitnessed
        self.full.finish(request, self.last)

    async def run_sub(self, request: ScanRequest) -> None:
        summary = await self._run(request)
        self.count_told(summary.removed)
        if self._place.is_remote:
            self._unwitnessed += summary.removed
        if summary.held_back:
            self.request("", Priority.CHANGED)  # what left this directory may lie in another
        self.sub.finish(request, summary)

    async def look(self, directory: str, is_news: bool, is_new: Callable[[str], bool]) -> Found:
        """Compare one directory, and what ``is_new`` below it."""
        entered = 0

        def enter(path: str) -> bool:
            nonlocal entered
            entered += 1
            return is_new(path)

        priority = Priority.FRESH if is_news else Priority.ENRICHMENT
        summary = await self._scan(
            directory, ScanOptions(enter=enter, priority=priority, told=self._unwitnessed), "poll"
        )
        self._unwitnessed += summary.removed
        is_judged = self.last is not None and self.last.held_back > 0  # then all waits for a person already
        is_being_judged = self._judging is not None and not self._judging.done.done()
        if summary.held_back and not is_judged and not is_being_judged:
            self._judging = self.request("", Priority.CHANGED)
        return Found(summary.modified + summary.removed, summary.seen + summary.ignored_count + entered)

    @property
    def progress(self) -> ScanSummary | None:
        """How far the scan is that runs now."""
        return self._progress.get("full") or self._progress.get("sub")

    @property
    def left_behind(self) -> int:
        return sum(worker.left_behind for worker in self._workers.values())

    def close(self) -> None:
        """The root is away or begins anew: a lane may hang in it."""
        for worker in self._workers.values():
            worker.close()
        self._progress.clear()

    # --- one scan ----------------------------------------------------------------------------------------------

    async def _run(self, request: ScanRequest) -> ScanSummary:
        witnessed = 0 if self._place.is_remote else max(0, self._buffer.removals - self.removals_told)
        options = ScanOptions(
            priority=request.priority,
            accept_removals=request.accept_removals,
            witnessed=witnessed,
            told=self._unwitnessed,
        )
        return await self._scan(request.directory, options, "sub" if request.directory else "full")

    async def _scan(self, directory: str, options: ScanOptions, lane: str) -> ScanSummary:
        check_empty = not directory and not options.accept_removals
        scan = self._scanner(check_empty).scan(directory, options, lambda s: self._progress.update({lane: s}))
        batches = iter(scan)
        try:
            while (batch := await self._workers[lane].run(next, batches, None)) is not None:
                await self._tell(batch)
        finally:
            scan.stop()
            self._progress.pop(lane, None)
        return scan.summary

    async def _tell(self, batch: Sequence[FileEvent]) -> None:
        """Emit, but let a file that changed just now settle first: it may be half written."""
        young_ns = int((self._clock.now() - self._config.settle_open_s) * 1e9)
        quiet = []
        for event in batch:
            if event.version is not None and event.version.mtime_ns > young_ns:
                self._buffer.add(event)
            else:
                quiet.append(event)
        if quiet:
            await self._emit(quiet)

    def _scanner(self, check_empty: bool) -> Scanner:
        identity = self._place.identity
        is_stable = identity is None or identity.has_stable_inodes
        return Scanner(
            self._place.root,
            self._place.rules,
            self._known,
            self._clock,
            health=lambda: self._place.health(check_empty),
            on_directory=self._cover,
            memory=self._memory,
            guard=self.guard,
            compare_inodes=is_stable,
            compare_ctime=is_stable,
        )
