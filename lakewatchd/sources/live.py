"""One root, alive: health, watch, settle and scan joined into a stream of events that are durable one by one.

::

    watch thread ─► Buffer ─► Settler ─► emit (awaited)          STARTING ─► PRESENT ◄─► AWAY
                                │ DIRTY                          away: nothing is told, health is polled;
                                ▼                                back: watch, then scan everything
    requests ─► scan threads ───┴─► emit, young files ─► Buffer

What an event becomes is the caller's business. Everything that may hang in a dead file system runs in threads
that can be left behind.

The invariant: a change on disk is told, or covered by a scan that is still to come, or the root is away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import Version, path_text
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.errors import LakewatchError, RootAway, TimedOut
from lakewatchd.sources import roots
from lakewatchd.sources.barrier import Barrier
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import Known, ScanMemory, ScanOptions, ScanSummary
from lakewatchd.sources.missing import RemovalGuard
from lakewatchd.sources.outlet import Emit, Outlet
from lakewatchd.sources.place import Place
from lakewatchd.sources.requests import ScanRequest, ScanRequests
from lakewatchd.sources.roots import Root, RootHealth, RootState
from lakewatchd.sources.scan import BATCH, Scanner
from lakewatchd.sources.settle import Settler, SettleStats
from lakewatchd.sources.status import RootStatus, worst_problem
from lakewatchd.sources.watch import start_watcher
from lakewatchd.sources.watcher import Watcher, WatchProblem
from lakewatchd.sources.worker import Worker

PACE_S = 0.05
"""Changes are taken from the buffer at most this often: a batch costs little more than one."""
HEALTH_S = 5.0
HEALTH_TIMEOUT_S = 15.0
EMIT_RETRY_S = 5.0
LOOK_TIMEOUT_S = 30.0
MARK_TIMEOUT_S = 5.0


class _WatchLost(Exception):
    """The watch thread ended: begin again with a new one and a scan."""


class RootSource:
    """Run :meth:`run` as a task until it is cancelled; ask everything else from the same loop."""

    def __init__(
        self,
        root: Root,
        config: WatchConfig,
        known: Known,
        emit: Emit,
        clock: Clock,
        *,
        memory: ScanMemory | None = None,
        excluded: frozenset[tuple[int, int]] = frozenset(),
        rng: random.Random | None = None,
        health_s: float = HEALTH_S,
        emit_retry_s: float = EMIT_RETRY_S,
    ) -> None:
        self.root = root
        self._config = config
        self._known = known
        self._memory = memory
        self._guard_rule = RemovalGuard(config.removal_share, config.removal_files)
        self._emit = Outlet(root.name, emit, emit_retry_s)
        self._clock = clock
        self._rng = rng or random.Random()
        self._health_s = health_s
        self._rules = IgnoreRules(root.path, (*config.ignore, *root.rules), config.ignore_file, excluded)
        self._place = Place(root, self._rules, known, memory)
        self._health = RootHealth(RootState.STARTING)
        self._decided = asyncio.Event()  # present or away
        self._poke = asyncio.Event()  # away: look at the health now
        self._wake = asyncio.Event()  # the buffer holds something
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = Buffer(root.name, config.buffer_events, self._on_change)
        self._settler = Settler(root.name, config, self._place.version, clock)
        self._settle_stats = SettleStats(0, 0.0, 0)
        self._watcher: Watcher | None = None
        self._watch_failure: WatchProblem | None = None
        self._full = ScanRequests()
        self._sub = ScanRequests()
        self._progress: dict[str, ScanSummary] = {}
        self._last_scan: ScanSummary | None = None
        self._barrier = Barrier()
        self._past_overflows = 0
        self._removals_told = 0
        self._workers = {name: Worker(f"{root.name}-{name}") for name in ("full", "sub", "settle", "health", "look")}

    # --- for the rest of the daemon --------------------------------------------------------------------------

    def local_path(self, path: str) -> Path:
        """Raises :class:`NotReadable` for a path that leaves the root."""
        return roots.local_path(self.root, path)

    def why_ignored(self, path: str) -> str | None:
        """The rule that leaves the file out. Never blocks: it goes by the ignore files that scans have read."""
        return self._rules.why_ignored(path, cached=True)

    async def look(self, path: str) -> Version | None:
        """What lies there now; None for nothing, for what is no file, and for what a rule leaves out.

        Raises :class:`RootAway`, :class:`NotReadable`, or :class:`TimedOut` when the file system hangs.
        """
        await self._decided.wait()  # before that, a bare mount point could not be told from the root
        self._require_root()
        return await self._workers["look"].run_within(LOOK_TIMEOUT_S, self._place.version_or_away, path)

    async def explain(self, path: str) -> str | None:
        """Why the entry is left out, by rule or by what it is; None when it is not. Errors as :meth:`look`."""
        await self._decided.wait()  # before that, a bare mount point could not be told from the root
        self._require_root()
        return await self._workers["look"].run_within(LOOK_TIMEOUT_S, self._place.why_left_out, path)

    async def request_scan(
        self, directory: str = "", priority: Priority = Priority.ASKED, *, accept_removals: bool = False
    ) -> ScanSummary:
        """Scan now, and wait until its events are durable. Raises :class:`RootAway`.

        ``accept_removals`` is a person's word that files which are missing, even all of them, were deleted.
        """
        self.local_path(directory)
        if not accept_removals:
            self._require_root()
        request = self._request(directory, priority, accept_removals)
        self._poke.set()
        return await asyncio.shield(request.done)

    async def wait_caught_up(self) -> None:
        """Every change made on disk before the call has been emitted. Raises :class:`RootAway`.

        A file that is written to without end keeps it waiting: status shows it as settling.
        """
        await self._decided.wait()
        self._require_root()
        if not await self._events_arrived():
            self._request("", Priority.CHANGED)
        await self._settled()
        open_scans = [request.done for request in (*self._full.open, *self._sub.open)]
        await asyncio.gather(*(asyncio.shield(done) for done in open_scans))
        await self._settled()

    @property
    def status(self) -> RootStatus:
        watcher, stats = self._watcher, self._settle_stats
        watch = self._watch_failure or (watcher.problem if watcher else None)
        problem = self._emit.problem or worst_problem(self.root.name, self._last_scan, watch, self._rules.problems)
        return RootStatus(
            name=self.root.name,
            path=path_text(str(self.root.path)),
            state=self._health.state,
            reason=self._health.reason,
            watching=self._watching(),
            watched=watcher.watched if watcher else 0,
            last_scan=self._last_scan,
            scanning=self._progress.get("full") or self._progress.get("sub"),
            settling=stats.settling,
            settling_oldest_s=stats.oldest_s,
            events=self._buffer.seen,
            collapsed=self._buffer.collapsed + stats.collapsed,
            overflows=self._past_overflows + (watcher.overflows if watcher else 0),
            problem=problem.reason if problem else "",
            hint=problem.hint if problem else "",
        )

    # --- states ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Anything it raises but cancellation is a defect: it must stop the daemon."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._poke.clear()
                health = await self._probe(self._place.recognise, self._full.accepts_removals)
                if not health.is_away:
                    health = await self._serve(health)
                self._go_away(health)
                await _wait(self._poke, self._health_s)
        finally:
            self._fail_waiting(RootAway(f"root {self.root.name!r} is not served any more"))
            for worker in self._workers.values():
                worker.close()

    async def _serve(self, health: RootHealth) -> RootHealth:
        """The root is there. Returns what is wrong once it is not."""
        self._place.identity, self._health = health.identity, health
        self._settler = Settler(self.root.name, self._config, self._place.version, self._clock)
        self._barrier.restart()
        self._buffer.drain()  # whatever waited is covered by the scan that comes now
        self._decided.set()
        try:
            await self._start_watch()
            self._request("", Priority.BACKFILL)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._scan_all())
                group.create_task(self._scan_dirty())
                group.create_task(self._guard())
        except* RootAway as away:
            error = _first(away)
            reason = error.message.removeprefix(f"root {self.root.name!r} ")
            health = RootHealth(RootState.AWAY, reason, error.hint or "")
        except* _WatchLost:
            health = RootHealth(RootState.STARTING)
        finally:
            await self._stop_watch()
            for worker in self._workers.values():  # one may hang in the root: begin again with new ones
                worker.close()
        return health

    def _go_away(self, health: RootHealth) -> None:
        self._health = health
        self._progress.clear()
        if health.is_away:
            self._decided.set()
            self._fail_waiting(self._away_error(), keep_accepting=True)
            return
        self._decided.clear()
        self._full.requeue()
        self._sub.requeue()

    async def _guard(self) -> None:
        """Notices a root that goes away without an event, and a watch that ends."""
        while True:
            await asyncio.sleep(self._health_s)
            # A local tree that was emptied was seen to be emptied, so being empty alone is no reason there
            health = await self._probe(self._place.health, self._is_remote)
            if health.is_away:
                raise health.error(self.root.name)
            if self._watcher is not None and not self._watcher.is_alive:
                raise _WatchLost

    async def _probe(self, question: Callable[[bool], RootHealth], argument: bool) -> RootHealth:
        try:
            return await self._workers["health"].run_within(HEALTH_TIMEOUT_S, question, argument)
        except TimedOut:
            return RootHealth(RootState.AWAY, "does not answer", f"check the server behind {self.root.path}")

    async def _start_watch(self) -> None:
        self._watch_failure = None
        try:
            self._watcher = await self._workers["settle"].run(start_watcher, self.root, self._rules, self._buffer)
        except LakewatchError as exc:
            self._watch_failure = WatchProblem(exc.message, exc.hint or "")

    async def _stop_watch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._past_overflows += watcher.overflows
            worker = Worker(f"{self.root.name}-stop")
            try:
                await asyncio.shield(worker.run(watcher.stop))
            finally:
                worker.close()

    # --- changes ---------------------------------------------------------------------------------------------

    def _on_change(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _follow(self) -> None:
        while True:
            next_due = self._settler.next_due()
            await _wait(self._wake, None if next_due is None else next_due - self._clock.monotonic())
            await asyncio.sleep(PACE_S)
            self._wake.clear()
            for event in self._buffer.drain():
                self._settler.add(event)
            self._barrier.drained(self._settler)
            await self._pass_on(await self._workers["settle"].run(self._settler.due))
            self._settle_stats = self._settler.stats
            self._barrier.passed(self._settler)

    async def _pass_on(self, events: Sequence[FileEvent]) -> None:
        files = [event for event in events if event.change is not Change.DIRTY]
        removals = sum(event.change is Change.REMOVED for event in files)
        if removals:
            health = await self._probe(self._place.health, False)
            if health.is_away:  # they are not deleted: all of it is gone
                raise health.error(self.root.name)
        if removals and await self._is_suspicious(removals):
            files = [event for event in files if event.change is not Change.REMOVED]
            self._request("", Priority.CHANGED)
        else:
            self._removals_told += removals
        for start in range(0, len(files), BATCH):
            await self._emit(files[start : start + BATCH])
        for event in events:
            if event.change is Change.DIRTY:
                self._request(event.key.path, event.priority)

    async def _is_suspicious(self, removals: int) -> bool:
        """Where the kernel saw every deletion happen, it is believed. A server or a FUSE program that loses its disk
        reports the files as gone, too: there a scan of all has to judge."""
        guard = self._guard_rule
        if not self._is_remote or removals < guard.files:
            return False
        return removals > guard.share * await self._workers["settle"].run(self._known.count, self.root.name)

    # --- scans -----------------------------------------------------------------------------------------------

    def _request(self, directory: str, priority: Priority, accept_removals: bool = False) -> ScanRequest:
        return (self._sub if directory else self._full).add(directory, priority, accept_removals)

    async def _scan_all(self) -> None:
        while True:
            rescan_s = self._config.rescan_s * self._rng.uniform(0.75, 1.25)  # so that roots do not scan together
            request = await self._full.next(rescan_s)
            if request is None:
                self._request("", Priority.BACKFILL)
                continue
            heard = self._buffer.removals
            self._last_scan = await self._scan(request, "full")
            self._removals_told = heard  # all that was heard of by then is told, or held, or was never known
            self._full.finish(request, self._last_scan)
            await self._prune()

    async def _scan_dirty(self) -> None:
        while True:
            request = await self._sub.next()
            if request is not None:
                summary = await self._scan(request, "sub")
                if summary.held_back:
                    self._request("", Priority.CHANGED)  # what left this directory may lie in another
                self._sub.finish(request, summary)
                await self._prune()

    async def _scan(self, request: ScanRequest, lane: str) -> ScanSummary:
        witnessed = 0 if self._is_remote else max(0, self._buffer.removals - self._removals_told)
        options = ScanOptions(priority=request.priority, accept_removals=request.accept_removals, witnessed=witnessed)
        check_empty = not request.directory and not request.accept_removals
        scan = self._scanner(check_empty).scan(request.directory, options, lambda s: self._progress.update({lane: s}))
        batches = iter(scan)
        try:
            while (batch := await self._workers[lane].run(next, batches, None)) is not None:
                await self._tell(batch)
        finally:
            scan.stop()
            self._progress.pop(lane, None)
        if request.directory:
            self._removals_told += scan.summary.removed
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
        watcher, identity = self._watcher, self._place.identity
        is_stable = identity is None or identity.has_stable_inodes
        return Scanner(
            self.root,
            self._rules,
            self._known,
            self._clock,
            health=lambda: self._place.health(check_empty),
            on_directory=watcher.cover if watcher else lambda path: None,
            memory=self._memory,
            guard=self._guard_rule,
            compare_inodes=is_stable,
            compare_ctime=is_stable,
        )

    async def _prune(self) -> None:
        if self._watcher is not None:
            await self._workers["settle"].run(self._watcher.prune)

    # --- waiting ---------------------------------------------------------------------------------------------

    async def _events_arrived(self) -> bool:
        """All changes made until now are in the buffer. False when the kernel cannot tell, and a scan must."""
        watcher = self._watcher
        if watcher is None or watcher.problem is not None or self._is_remote:
            return False
        loop, passed = asyncio.get_running_loop(), asyncio.Event()
        if not watcher.mark(lambda: loop.call_soon_threadsafe(passed.set)):
            return False
        return await _wait(passed, MARK_TIMEOUT_S)

    async def _settled(self) -> None:
        self._require_root()
        self._wake.set()
        await self._barrier.wait()

    def _fail_waiting(self, error: RootAway, *, keep_accepting: bool = False) -> None:
        for requests in (self._full, self._sub):
            requests.fail_all(error, keep_accepting=keep_accepting)
        self._barrier.fail(error)

    def _require_root(self) -> None:
        if self._health.is_away:
            raise self._away_error()

    def _away_error(self) -> RootAway:
        return self._health.error(self.root.name)

    # --- status ----------------------------------------------------------------------------------------------

    @property
    def _is_remote(self) -> bool:
        """Others may change files there without the kernel telling us."""
        return self._place.identity is not None and self._place.identity.is_remote

    def _watching(self) -> str:
        if self._watcher is None or not self._watcher.is_alive:
            return "rescans only"
        return "events and rescans" if self._is_remote else "events"


async def _wait(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Whether the event was set in time."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _first(group: BaseExceptionGroup[RootAway]) -> RootAway:
    """Several tasks may notice at once; one reason is enough."""
    return next(error for error in _leaves(group) if isinstance(error, RootAway))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
