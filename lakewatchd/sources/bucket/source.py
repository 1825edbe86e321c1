"""One bucket, alive: health, ways in, looks and rescans joined into a stream of events that are durable one by one.

::

    ways in ──► deliver ─► emit (awaited) ─► the sender hears "ok"
       │ gap
       ▼                                                            STARTING ─► PRESENT ◄─► AWAY
    requests ─► listing, compared in a thread ─► emit               away: jobs rest; health is polled;
                                                                    back: rescan of all
Ways run whatever the bucket does: a broker may be there while the server is not, and what it tells is only a hint.

The invariant: a change in the bucket is told, or covered by a rescan that is still to come, or the root is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.keys import kept_as
from lakewatchd.buckets.records import Notice
from lakewatchd.config import BucketConfig, ObjectsConfig, WatchConfig, place_of, watch_of
from lakewatchd.core.asset import Labels, PathKey, Version, path_text
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.core.status import WayState, duration_text
from lakewatchd.errors import Busy, FatalError, LakewatchError, PauseError, RootAway, TimedOut, TransientError
from lakewatchd.sources.bucket.compare import Comparer
from lakewatchd.sources.bucket.crew import Crew
from lakewatchd.sources.bucket.looks import Looks
from lakewatchd.sources.bucket.names import Names
from lakewatchd.sources.bucket.rescans import GAP_S, LATE_S, Rescans
from lakewatchd.sources.bucket.told import Told
from lakewatchd.sources.bucket.way import Deliver, OnGap, Way
from lakewatchd.sources.coalesce import above
from lakewatchd.sources.known import Known, ScanMemory, ScanSummary
from lakewatchd.sources.missing import RemovalGuard
from lakewatchd.sources.outlet import Emit, Outlet
from lakewatchd.sources.place import sample
from lakewatchd.sources.roots import RootHealth, RootState
from lakewatchd.sources.status import RootStatus, worst_problem
from lakewatchd.sources.watcher import WatchProblem
from lakewatchd.sources.worker import Worker

_log = logging.getLogger(__name__)

MakeWays = Callable[[Deliver, OnGap], Sequence[Way]]

AWAY_S = 5.0
"""How often a bucket that is away is asked."""
PRESENT_S = 30.0
"""How often one that is there is asked, where no call to it has failed."""
CONNECT_S = 3.0
"""How long the first rescan waits for the ways in: what comes before they are connected, it has to find."""
EMIT_RETRY_S = 5.0


class BucketSource:
    """Run :meth:`run` as a task until it is cancelled; ask everything else from the same loop."""

    def __init__(
        self,
        settings: BucketConfig,
        watch: WatchConfig,
        objects: ObjectsConfig,
        bucket: Bucket,
        known: Known,
        emit: Emit,
        clock: Clock,
        *,
        memory: ScanMemory | None = None,
        make_ways: MakeWays = lambda deliver, on_gap: (),
        rng: random.Random | None = None,
        away_s: float = AWAY_S,
        present_s: float = PRESENT_S,
        connect_s: float = CONNECT_S,
        gap_s: float = GAP_S,
        late_s: float = LATE_S,
        emit_retry_s: float = EMIT_RETRY_S,
    ) -> None:
        watch = watch_of(settings, watch)
        self.settings = settings
        self.bucket = bucket
        self._known = known
        self._memory = memory
        self._emit = Outlet(settings.name, emit, emit_retry_s)
        self._away_s, self._present_s, self._connect_s = away_s, present_s, connect_s
        self._rescan_s = watch.rescan_s
        self._names = Names(settings, watch)
        self._told = Told()
        self._ways = tuple(make_ways(self._deliver, self._on_gap))
        guard = RemovalGuard(watch.removal_share, watch.removal_files)
        comparer = Comparer(settings.name, bucket, self._names, known, self._told, guard, clock)
        rng = rng or random.Random()
        self._rescans = Rescans(
            comparer, self._emit, clock, watch.rescan_s, lambda: self._way_states, rng, gap_s, late_s
        )
        patience_s = 3 * objects.timeout_s
        self._crew = Crew(settings.name, objects.connections, patience_s)
        self._looks = Looks(bucket, self._names, self._crew, read_tags=settings.object_tags)
        self._health_worker, self._patience_s = Worker(f"{settings.name}-health"), patience_s
        self._health = RootHealth(RootState.STARTING)
        self._decided = asyncio.Event()  # present or away
        self._is_over = False
        self._poke = asyncio.Event()  # away: look at the health now
        self._doubt = asyncio.Event()  # present: a call failed
        self._on_the_way = Counter[str]()
        """Paths that are being made durable."""
        self._events = 0

    # --- for the rest of the daemon --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.settings.name

    def key(self, path: str) -> str:
        """The key of the object at ``path``."""
        return self._names.key(path)

    def why_ignored(self, path: str) -> str | None:
        """The rule that leaves the object out."""
        return self._names.why_ignored(path)

    async def look(self, path: str) -> Version | None:
        """What lies there now; None for nothing, and for what is left out.

        Raises :class:`RootAway`, :class:`NotReadable`, or :class:`TimedOut` when the server hangs.
        """
        with self._doubting():
            await self._require()
            return await self._looks.version(path)

    async def labels(self, path: str) -> Labels:
        """Tags and metadata of what :meth:`look` saw there last, or of what lies there now. Errors as there."""
        with self._doubting():
            await self._require()
            return await self._looks.labels(path)

    async def explain(self, path: str) -> str | None:
        """Why the object is left out, by rule or by what it is; None when it is not. Errors as :meth:`look`."""
        with self._doubting():
            await self._require()
            return await self._looks.why_left_out(path)

    def waiting(self, path: str) -> str:
        """Whether an event of the object is not in the queue yet, in words. From any thread."""
        if path not in self._on_the_way:
            return ""
        return self._emit.problem.reason if self._emit.problem is not None else "its event came just now"

    def scan_due(self, path: str) -> str:
        """Whether a rescan that runs or waits will come by the object, in words. From any thread."""
        if not self._rescans.due.intersection(above(path)):
            return ""
        return "a rescan that is under way or about to start will look at it"

    async def request_scan(
        self, directory: str = "", priority: Priority = Priority.ASKED, *, accept_removals: bool = False
    ) -> ScanSummary:
        """Compare the listing now, and wait until its events are durable. Raises :class:`RootAway`.

        ``accept_removals`` is a person's word that objects which are missing, even all of them, were deleted.
        """
        if self._is_over or not accept_removals:
            self._require_present()
        request = self._rescans.request(directory, priority, accept_removals)
        self._poke.set()
        return await asyncio.shield(request.done)

    def scan_soon(self) -> None:
        """Compare all, and wait for nothing."""
        self._rescans.request("", Priority.CHANGED)

    async def wait_caught_up(self) -> None:
        """Every change made before the call has been emitted: no event can prove that, so a listing does.

        Raises :class:`RootAway`.
        """
        await self._require()
        await asyncio.shield(self._rescans.request("", Priority.CHANGED).done)

    @property
    def status(self) -> RootStatus:
        rescans = self._rescans
        problem = self._emit.problem or worst_problem(self.name, rescans.last, self._way_problem(), ())
        return RootStatus(
            name=self.name,
            path=path_text(place_of(self.settings)),
            state=self._health.state,
            reason=self._health.reason,
            watching="" if self._health.is_away else self._watching(),
            ways=self._way_states,
            missed=rescans.missed,
            last_scan=rescans.last,
            scanning=rescans.progress,
            events=self._events,
            left_behind=self.left_behind,
            problem=problem.reason if problem else "",
            hint=self._health.hint or (problem.hint if problem else ""),
        )

    @property
    def left_behind(self) -> int:
        """Threads that hang in calls to the server."""
        return self._crew.left_behind + self._rescans.left_behind + self._health_worker.left_behind

    # --- events ----------------------------------------------------------------------------------------------

    async def _deliver(self, notices: Sequence[Notice]) -> None:
        """Returns once they are durable."""
        events = [event for notice in notices for event in self._events_of(notice)]
        self._events += len(events)
        if not events:
            return
        paths = [event.key.path for event in events]
        self._on_the_way.update(paths)
        try:
            await self._emit(events)
        finally:
            self._on_the_way -= Counter(paths)

    def _events_of(self, notice: Notice) -> Iterator[FileEvent]:
        """None for another bucket, a key outside of the prefix, and one that a rule leaves out; two where the server
        may keep the object under another key than it tells of."""
        if notice.bucket != self.settings.bucket:
            return
        for key in dict.fromkeys((notice.key, kept_as(notice.key))):
            path = self._names.path(key)
            if path is None or self._names.why_left_out(path, key, notice.size_bytes or 1) is not None:
                continue
            self._told.hear(path, is_removal=notice.change is Change.REMOVED)
            yield FileEvent(PathKey(self.name, path), notice.change, Priority.FRESH)

    def _on_gap(self, why: str) -> None:
        _log.info("events may be lost, all keys are compared: %s", why, extra={"root": self.name})
        self._rescans.note_gap()

    @property
    def _way_states(self) -> tuple[WayState, ...]:
        return tuple(way.state for way in self._ways)

    def _way_problem(self) -> WatchProblem | None:
        found = ((way.name, way) for way in self._way_states if way.problem)
        return next((WatchProblem(f"{name}: {way.problem}", way.hint) for name, way in found), None)

    def _watching(self) -> str:
        told = [way.name for way in self._way_states if way.is_connected]
        every = f"rescan every {duration_text(self._rescan_s)}" if self._rescan_s else "rescans when asked"
        return f"events ({', '.join(told)}) + {every}" if told else f"{every}; no event tells of changes"

    # --- states ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Anything it raises but cancellation is a defect: it must stop the daemon."""
        try:
            async with asyncio.TaskGroup() as group:
                for way in self._ways:
                    group.create_task(way.run(), name=f"{self.name}-{way.name}")
                group.create_task(self._live(), name=f"{self.name}-health")
        finally:
            self._is_over, self._health = True, RootHealth(RootState.AWAY, "it is not served any more")
            self._decided.set()  # who waits to hear how it is hears this
            self._rescans.fail_waiting(self._away_error(self._health))
            self._rescans.close()
            self._crew.close()
            self._health_worker.close()
            self.bucket.close()

    async def _live(self) -> None:
        while True:
            self._poke.clear()
            accept = self._rescans.accepts_removals
            health = await self._ask(self._recognise, accept)
            if not health.is_away:
                health = await self._serve(health)
            self._go_away(health, keep_accepting=not accept)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._away_s):
                    await self._poke.wait()

    async def _serve(self, health: RootHealth) -> RootHealth:
        """The bucket is there. Returns what is wrong once it is not."""
        if self._health.is_away:
            _log.info("the root is there again", extra={"root": self.name})
        self._health = health
        self._doubt.clear()
        self._decided.set()
        try:
            await self._ways_connected()
            self._rescans.request("", Priority.BACKFILL)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._rescans.run())
                group.create_task(self._guard())
        except* RootAway as away:
            health = self._health_of(_first(away))
        finally:
            self._rescans.close()
        return health

    async def _ways_connected(self) -> None:
        """Or they say why not, or it takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._connect_s):
                while not all(way.is_connected or way.problem for way in self._way_states):  # noqa: ASYNC110
                    await asyncio.sleep(self._connect_s / 50)

    async def _guard(self) -> None:
        """Notices a bucket that goes away: by asking now and then, and at once when a call fails."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._present_s):
                    await self._doubt.wait()
            self._doubt.clear()
            health = await self._ask(self._look_for_it)
            if health.is_away:
                raise self._away_error(health)

    def _go_away(self, health: RootHealth, *, keep_accepting: bool) -> None:
        """``keep_accepting``: a person's word that came meanwhile has not been tried yet. One that was is not kept: it
        would be taken for what the bucket lacks when it comes back one day."""
        before, self._health = self._health, health
        self._decided.set()
        if health.reason != before.reason:
            message = "the root is away, its objects are kept: %s; %s"
            _log.warning(message, health.reason, health.hint, extra={"root": self.name})
        self._rescans.fail_waiting(self._away_error(health), keep_accepting=keep_accepting)

    # --- health ----------------------------------------------------------------------------------------------

    async def _ask(self, question: Callable[..., RootHealth], *args: bool) -> RootHealth:
        try:
            return await self._health_worker.run_within(self._patience_s, question, *args)
        except TimedOut as exc:
            return RootHealth(
                RootState.AWAY, f"its server does not answer: {exc.message}", f"check {self.settings.endpoint}"
            )

    def _look_for_it(self) -> RootHealth:
        try:
            self.bucket.require()
        except Busy:  # it is there, and has too much to do: who asks it for something is told so
            pass
        except LakewatchError as exc:  # whatever it is, credentials that cannot be read among them
            return self._health_of(exc)
        return RootHealth(RootState.PRESENT)

    def _recognise(self, accept: bool) -> RootHealth:
        """Is it the bucket whose objects are known? ``accept``: a person says so, whatever it holds."""
        health = self._look_for_it()
        recorded, mine = self._recorded(), self._identity
        if health.is_away or recorded == mine:
            return health
        try:
            if recorded is not None and not accept and self._known.count(self.name) and not self._has_sample():
                return RootHealth(
                    RootState.AWAY,
                    "it holds none of the files that are known of it",
                    f"correct its settings; or, if it is meant to be another: lakewatchd scan {self.name} "
                    "--accept-removals",
                )
        except FatalError:  # of what is known, not of the bucket
            raise
        except LakewatchError as exc:
            return self._health_of(exc)
        if self._memory is not None:
            with contextlib.suppress(PauseError, TransientError):  # a full disk: there will be a next time
                self._memory.keep_identity(self.name, mine)
        return health

    def _recorded(self) -> str | None:
        return self._memory.identity(self.name) if self._memory is not None else None

    @property
    def _identity(self) -> str:
        settings = self.settings
        return json.dumps({"endpoint": settings.endpoint, "bucket": settings.bucket, "prefix": settings.prefix})

    def _has_sample(self) -> bool:
        """At least one of some known files lies at its place and has its size."""
        return any(self._is_there(key) for key in sample(self._known, self.name))

    def _is_there(self, key: PathKey) -> bool:
        known = self._known.versions(key.root, [key.path]).get(key.path)
        info = self.bucket.head(self._names.key(key.path))
        return known is not None and info is not None and info.size_bytes == known.size_bytes

    def _health_of(self, error: LakewatchError) -> RootHealth:
        return RootHealth(RootState.AWAY, error.message.removeprefix(self._away_prefix), error.hint or "")

    def _away_error(self, health: RootHealth) -> RootAway:
        return RootAway(self._away_prefix + health.reason, health.hint)

    @property
    def _away_prefix(self) -> str:
        return f"root {self.name!r} is away: "

    async def _require(self) -> None:
        await self._decided.wait()  # before that nobody knows
        self._require_present()

    def _require_present(self) -> None:
        if self._health.is_away:
            raise self._away_error(self._health)

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        """A call that says that the bucket is away has its health looked at."""
        try:
            yield
        except (RootAway, TimedOut):
            self._doubt.set()
            raise


def _first(group: BaseExceptionGroup[RootAway]) -> RootAway:
    """Several tasks may notice at once; one reason is enough."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, RootAway)
    return error
