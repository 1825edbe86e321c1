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
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version, path_text
from lakewatchd.core.clock import Clock, asleep_s
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.errors import RootAway
from lakewatchd.sources import roots
from lakewatchd.sources.barrier import Barrier
from lakewatchd.sources.coalesce import Buffer, above
from lakewatchd.sources.ears import Ears
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import Known, ScanMemory, ScanSummary
from lakewatchd.sources.outlet import Emit, Outlet
from lakewatchd.sources.place import Place
from lakewatchd.sources.polling import Found, Poller, PollMemory, PollStats
from lakewatchd.sources.probe import Prober
from lakewatchd.sources.roots import Root, RootHealth, RootState
from lakewatchd.sources.scan import BATCH
from lakewatchd.sources.scanning import Scanning
from lakewatchd.sources.settle import Settler, SettleStats
from lakewatchd.sources.status import RootStatus, worst_problem
from lakewatchd.sources.strategy import Polls
from lakewatchd.sources.worker import Worker

_log = logging.getLogger(__name__)

PACE_S = 0.05
"""Changes are taken from the buffer at most this often: a batch costs little more than one."""
HEALTH_S = 5.0
EMIT_RETRY_S = 5.0
LOOK_TIMEOUT_S = 30.0
CANARY_S = 300.0
WOKE_S = 10.0
"""A machine that was suspended for longer may have missed what others changed meanwhile."""
MAX_LEFT_BEHIND = 32
"""Threads that hang in a root. Beyond that it counts as away, however well it answers now."""


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
        poll_memory: PollMemory | None = None,
        excluded: frozenset[tuple[int, int]] = frozenset(),
        rng: random.Random | None = None,
        health_s: float = HEALTH_S,
        canary_s: float = CANARY_S,
        asleep: Callable[[], float] = asleep_s,
        emit_retry_s: float = EMIT_RETRY_S,
    ) -> None:
        self.root = root
        config = config if poll_memory is not None else replace(config, poll_s=0.0)
        self._config = config
        self._known = known
        self._emit = Outlet(root.name, emit, emit_retry_s)
        self._clock = clock
        self._rng = rng or random.Random()
        self._health_s = health_s
        self._canary_s = canary_s
        self._asleep = asleep
        own = (f"/{config.canary}",) if config.canary else ()
        self._rules = IgnoreRules(root.path, (*config.ignore, *root.rules, *own), config.ignore_file, excluded)
        self._place = Place(root, self._rules, known, memory)
        self._health = RootHealth(RootState.STARTING)
        self._decided = asyncio.Event()  # present or away
        self._poke = asyncio.Event()  # away: look at the health now
        self._is_over = False
        self._wake = asyncio.Event()  # the buffer holds something
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = Buffer(root.name, config.buffer_events, self._on_change)
        self._settler = Settler(root.name, config, self._place.version, clock)
        self._settle_stats = SettleStats(0, 0.0, 0)
        self._poller = (
            Poller(root, config, poll_memory, clock, self._look_at, self._rng) if poll_memory is not None else None
        )
        self._ears = Ears(root, config, self._rules, self._buffer, self._poller.add if self._poller else _ignore)
        self._scans = Scanning(self._place, config, known, memory, clock, self._buffer, self._emit, self._ears.cover)
        self._polls = Polls.NOTHING
        self._barrier = Barrier()
        self._prober = Prober(root)
        self._workers = {name: Worker(f"{root.name}-{name}") for name in ("settle", "look")}

    # --- for the rest of the daemon --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.root.name

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

    def waiting(self, path: str) -> str:
        """Whether a change of the file was heard of and is not in the queue yet, in words. From any thread."""
        is_new = self._buffer.holds(path)  # first: it goes on from there to the settler
        since = self._settler.waiting_s(PathKey(self.root.name, path))
        if since is not None and self._emit.problem is not None:
            return self._emit.problem.reason
        if since is not None:
            return f"changed {since:.0f} s ago; it is taken up once its size and time stand still"
        return "changed just now" if is_new else ""

    def scan_due(self, path: str) -> str:
        """Whether a scan that runs or waits will come by the file, in words. From any thread."""
        is_dirty = self._settler.is_dirty(path)  # first: a scan is requested for it then
        due = {request.directory for request in (*self._scans.full.open, *self._scans.sub.open)}
        if not is_dirty and not due.intersection(above(path)):
            return ""
        return "a scan that is under way or about to start will look at it"

    async def request_scan(
        self, directory: str = "", priority: Priority = Priority.ASKED, *, accept_removals: bool = False
    ) -> ScanSummary:
        """Scan now, and wait until its events are durable. Raises :class:`RootAway`, if it still is at the next look.

        ``accept_removals`` is a person's word that files which are missing, even all of them, were deleted.
        """
        self.local_path(directory)
        if self._is_over:
            raise self._away_error()
        request = self._scans.request(directory, priority, accept_removals)
        self._poke.set()
        return await asyncio.shield(request.done)

    def scan_soon(self) -> None:
        """Scan all, and wait for nothing. From the event loop."""
        self._scans.request("", Priority.CHANGED)

    async def wait_caught_up(self) -> None:
        """Every change made on disk before the call has been emitted. Raises :class:`RootAway`.

        A file that is written to without end keeps it waiting: status shows it as settling.
        """
        await self._decided.wait()
        self._require_root()
        if not self._ears.tells_all or not await self._ears.heard_all():
            self._scans.request("", Priority.CHANGED)
        await self._settled()
        for _ in range(2):  # one of a directory may call for one of all
            open_scans = [request.done for request in (*self._scans.full.open, *self._scans.sub.open)]
            await asyncio.gather(*(asyncio.shield(done) for done in open_scans))
            await self._settled()

    @property
    def status(self) -> RootStatus:
        ears, stats, scans = self._ears, self._settle_stats, self._scans
        polled = self._poller.stats if self._poller else PollStats()
        problem = self._emit.problem or worst_problem(self.root.name, scans.last, ears.problem, self._rules.problems)
        return RootStatus(
            name=self.root.name,
            path=path_text(str(self.root.path)),
            state=self._health.state,
            reason=self._health.reason,
            watching="" if self._health.is_away else ears.strategy.text,
            tier=ears.tier,
            why_not=ears.why_not,
            watched=ears.watched,
            unwatched=ears.unwatched,
            polled=polled,
            last_scan=scans.last,
            scanning=scans.progress,
            settling=stats.settling,
            settling_oldest_s=stats.oldest_s,
            events=self._buffer.seen,
            collapsed=self._buffer.collapsed + stats.collapsed,
            overflows=ears.overflows,
            canary_failures=ears.canary_failures,
            left_behind=self.left_behind,
            problem=problem.reason if problem else "",
            hint=self._health.hint or (problem.hint if problem else ""),
        )

    @property
    def left_behind(self) -> int:
        """Threads that hang in the file system of the root."""
        workers = sum(worker.left_behind for worker in self._workers.values())
        poller = self._poller.left_behind if self._poller else 0
        return workers + poller + self._prober.left_behind + self._scans.left_behind + self._ears.left_behind

    # --- states ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Anything it raises but cancellation is a defect: it must stop the daemon."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._poke.clear()
                accept = self._scans.full.accepts_removals
                health = await self._recognise(accept)
                if not health.is_away:
                    health = await self._serve(health)
                self._go_away(health, keep_accepting=not accept)
                await _wait(self._poke, self._health_s)
        finally:
            self._is_over, self._health = True, RootHealth(RootState.AWAY, "is not served any more")
            self._decided.set()  # who waits to hear how it is hears this
            self._fail_waiting(self._away_error())
            self._close_workers()
            self._prober.close()

    async def _recognise(self, accept: bool) -> RootHealth:
        health = await self._prober.ask(self._place.recognise, accept)
        if not health.is_away and (left := self.left_behind) > MAX_LEFT_BEHIND:
            return RootHealth(
                RootState.AWAY, f"{left} calls hang in it", f"mend {self.root.path}, or restart lakewatchd"
            )
        return health

    async def _serve(self, health: RootHealth) -> RootHealth:
        """The root is there. Returns what is wrong once it is not."""
        if self._health.is_away:
            _log.info("the root is there again", extra={"root": self.root.name})
        self._place.identity, self._health = health.identity, health
        self._settler = Settler(self.root.name, self._config, self._place.version, self._clock)
        self._barrier.restart()
        self._buffer.drain()  # whatever waited is covered by the scan that comes now
        self._decided.set()
        try:
            await self._ears.start(health.identity.file_system if health.identity else "")
            self._scans.request("", Priority.BACKFILL)
            self._buffer.taken()
            self._polls = self._ears.strategy.polls
            async with asyncio.TaskGroup() as group:
                for task in (self._follow, self._scan_all, self._scan_dirty, self._guard, self._prove, self._poll):
                    group.create_task(task())
        except* RootAway as away:
            error = _first(away)
            reason = error.message.removeprefix(f"root {self.root.name!r} ")
            health = RootHealth(RootState.AWAY, reason, error.hint or "")
        except* _WatchLost:
            health = RootHealth(RootState.STARTING)
        finally:
            await self._ears.stop()
            self._close_workers()
        return health

    def _close_workers(self) -> None:
        """One may hang in the root: begin again with new ones."""
        for worker in self._workers.values():
            worker.close()
        self._scans.close()
        if self._poller is not None:
            self._poller.close()

    def _go_away(self, health: RootHealth, *, keep_accepting: bool) -> None:
        """``keep_accepting``: a person's word that came meanwhile has not been tried yet. One that was is not kept: it
        would be taken for what the root lacks when it comes back one day."""
        before, self._health = self._health, health
        if health.is_away and health.reason != before.reason:
            message = "the root is away, its files are kept: it %s; %s"
            _log.warning(message, health.reason, health.hint, extra={"root": self.root.name})
        if health.is_away:
            self._decided.set()
            self._fail_waiting(self._away_error(), keep_accepting=keep_accepting)
            return
        self._decided.clear()
        self._scans.full.requeue()
        self._scans.sub.requeue()

    async def _guard(self) -> None:
        """Notices a root that goes away without an event, a watch that ends, and a machine that slept."""
        asleep = self._asleep()
        while True:
            await asyncio.sleep(self._health_s)
            # A local tree that was emptied was seen to be emptied, so being empty alone is no reason there
            health = await self._prober.ask(self._place.health, self._place.is_remote)
            if health.is_away:
                raise health.error(self.root.name)
            if self._ears.is_lost:
                raise _WatchLost
            before, asleep = asleep, self._asleep()
            if asleep - before > WOKE_S:
                _log.info("woke up after %.0f s: comparing all", asleep - before, extra={"root": self.root.name})
                self._scans.request("", Priority.CHANGED)

    async def _prove(self) -> None:
        """Ask now and then whether events arrive."""
        while True:
            await self._ears.prove()
            await self._adopt()
            await asyncio.sleep(self._canary_s)

    async def _adopt(self) -> None:
        """Do what the strategy of this moment asks for, where it is another than before."""
        before, strategy = self._polls, self._ears.strategy
        if strategy.polls is before:
            return
        self._polls = strategy.polls
        _log.info("now %s", strategy.text, extra={"root": self.root.name})
        if strategy.polls is Polls.ALL:  # a scan hands every directory to the poller, and finds what was missed
            self._scans.request("", Priority.CHANGED)
        elif strategy.polls is Polls.NOTHING:
            await self._poll_nothing()

    async def _poll_nothing(self) -> None:
        if self._poller is not None:
            await self._poller.forget()
        if self._ears.strategy.polls is not Polls.NOTHING:  # meanwhile a scan added what is to be polled
            self._scans.request("", Priority.CHANGED)

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
            self._buffer.taken()
            self._barrier.drained(self._settler)
            await self._pass_on(await self._workers["settle"].run(self._settler.due))
            self._settler.delivered()
            self._settle_stats = self._settler.stats
            self._barrier.passed(self._settler)

    async def _pass_on(self, events: Sequence[FileEvent]) -> None:
        files = [event for event in events if event.change is not Change.DIRTY]
        removals = sum(event.change is Change.REMOVED for event in files)
        if removals:
            health = await self._prober.ask(self._place.health, False)
            if health.is_away:  # they are not deleted: all of it is gone
                raise health.error(self.root.name)
        if removals and await self._is_suspicious(removals):
            files = [event for event in files if event.change is not Change.REMOVED]
            self._scans.request("", Priority.CHANGED)
        else:
            self._scans.count_told(removals)
        for start in range(0, len(files), BATCH):
            await self._emit(files[start : start + BATCH])
        for event in events:
            if event.change is Change.DIRTY:
                self._scans.request(event.key.path, event.priority)

    async def _is_suspicious(self, removals: int) -> bool:
        """Where the kernel saw every deletion happen, it is believed. A server or a FUSE program that loses its disk
        reports the files as gone, too: there a scan of all has to judge."""
        guard = self._scans.guard
        if not self._place.is_remote or removals < guard.files:
            return False
        return removals > guard.share * await self._workers["settle"].run(self._known.count, self.root.name)

    # --- scans and polls -------------------------------------------------------------------------------------

    async def _scan_all(self) -> None:
        while True:
            request = await self._scans.next_full(self._rng)
            self._ears.begin_scan()
            await self._scans.run_full(request)
            self._ears.end_scan()
            await self._ears.prune()
            await self._adopt()
            if self._polls is Polls.NOTHING:  # something may be left of the last start
                await self._poll_nothing()
            if self._poller is not None:
                self._poller.wake()

    async def _scan_dirty(self) -> None:
        while True:
            request = await self._scans.sub.next()
            if request is not None:
                await self._scans.run_sub(request)
                await self._ears.prune()

    async def _poll(self) -> None:
        if self._poller is not None and self._config.poll_s:
            await self._poller.run()

    async def _look_at(self, directory: str, is_news: bool) -> Found:
        assert self._poller is not None
        return await self._scans.look(directory, is_news, self._poller.is_new)

    # --- waiting ---------------------------------------------------------------------------------------------

    async def _settled(self) -> None:
        self._require_root()
        self._wake.set()
        await self._barrier.wait()

    def _fail_waiting(self, error: RootAway, *, keep_accepting: bool = False) -> None:
        for requests in (self._scans.full, self._scans.sub):
            requests.fail_all(error, keep_accepting=keep_accepting)
        self._barrier.fail(error)

    def _require_root(self) -> None:
        if self._health.is_away:
            raise self._away_error()

    def _away_error(self) -> RootAway:
        return self._health.error(self.root.name)


def _ignore(directory: str) -> None:
    """Without a memory there is no polling."""


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
