"""The pool that runs jobs: a free slot -> claim -> handle -> wait until durable -> ack.

Three tasks share one table of open jobs: *feed* claims for free slots, *record* writes what became of jobs in
batches, *keep* renews leases and wakes delayed jobs. What an error means is decided in ``retry``, what a job does
by the handler. Invariants: every claimed job is in ``_open`` until its verdict is written; nothing is acked before
it is durable; the pool never spins, whatever fails.

::

    claimed ─► running (holds a slot) ─► handled (waits for the lake) ─► finished (waits for the ack) ─► recorded
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lakewatchd import errors
from lakewatchd.config import QueueConfig
from lakewatchd.core.clock import Clock
from lakewatchd.core.job import Done, Handled, Job, Lane, Priority, Skip
from lakewatchd.queue.retry import EVERYTHING, Park, Pause, Release, Retry, Stop, Verdict, decide
from lakewatchd.queue.store import PROMOTE_JOBS, QueueStore

MAX_OPEN = 2048
"""Jobs that are claimed and not yet recorded. More would mean that the lake cannot keep up: stop feeding it."""

REST_S = 5.0
TICK_S = 1.0
RATE_S = 10.0
ACK_JOBS = 512
PATIENCE_S = 120.0
"""A job in a slow lane that made way for news of its key is left alone for so long afterwards: a file that is renamed
every second shall be listened to all the same."""
AWAY_PER_S = 100
"""So many jobs of roots that are away come back in a second. All at once they would be tried again and again, and as
the oldest before those of the roots that are there."""

_log = logging.getLogger(__name__)

Handler = Callable[[Job], Awaitable[Handled]]
RunInQueueThread = Callable[..., Awaitable[Any]]
"""``await run(method, *args)`` calls it on the one thread that owns the store."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    running: Mapping[Lane, int]
    unacked: int
    """Handled, and waiting for the lake or for the ack."""
    done: int
    """Since the start, like ``failed``: tries that ended in an error that was the job's own."""
    failed: int
    rate_per_s: float
    """Jobs done per second over the last ten."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A resource is away. Ends with the first job that does not miss it."""

    until: float
    """Monotonic; from then on it is tried again."""
    message: str


class WorkerPool:
    def __init__(
        self,
        store: QueueStore,
        lanes: Mapping[Lane, int],
        reserved: int,
        handle: Handler,
        clock: Clock,
        config: QueueConfig,
        run_in_queue_thread: RunInQueueThread,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``lanes`` are the slots of each lane. Of the fast ones, ``reserved`` only run ``FRESH`` or more urgent jobs.

        ``sleep`` must let time pass on ``clock``.
        """
        self._store = store
        self._slots = dict(lanes)
        self._reserved = {Lane.FAST: min(reserved, max(0, lanes.get(Lane.FAST, 0) - 1))}
        self._handle = handle
        self._clock = clock
        self._config = config
        self._run = run_in_queue_thread
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._open: dict[tuple[int, str], Job] = {}
        self._running: Counter[Lane] = Counter()
        self._running_urgent: Counter[Lane] = Counter()
        self._finished: list[tuple[Job, Verdict]] = []
        self._overtaken: dict[tuple[int, str], asyncio.Event] = {}
        self._made_way: dict[tuple[str, str], float] = {}
        self._rests: dict[str, Rest] = {}
        self._held = ""
        self._next_away = 0.0
        self._wake = asyncio.Event()
        self._has_finished = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._stopped = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False
        self._done = self._failed = 0
        self._recent: deque[tuple[float, int]] = deque()

    # --- from outside ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until :meth:`drain` or cancellation, then gives back what is left.

        Raises the first error of the pool itself, and any that says the daemon must not go on.
        """
        if self._is_draining:  # asked to stop before it began
            return
        self._loop = asyncio.get_running_loop()
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                for endless in (self._feed, self._record, self._keep):
                    self._spawn(endless())
        except BaseExceptionGroup as failed:
            failure = _first(failed)
        finally:
            await self._give_back()
            self._stopped.set()
        if failure is not None:  # raised out here it keeps its own cause
            raise failure

    def wake(self) -> None:
        """There may be something to claim. Callable from any thread, any number of times."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def drain(self, deadline_s: float) -> None:
        """Takes no new jobs, waits up to ``deadline_s`` for those that run, gives the rest back, ends :meth:`run`."""
        self._is_draining = True
        if self._loop is None or self._stopped.is_set():
            return
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._is_idle.wait()
        for task in tuple(self._tasks):
            task.cancel()
        await self._stopped.wait()

    def resize(self, lanes: Mapping[Lane, int], reserved: int) -> None:
        """Other numbers of slots from now on, as for ``__init__``. Jobs that run are not stopped."""
        self._slots = dict(lanes)
        self._reserved = {Lane.FAST: min(reserved, max(0, lanes.get(Lane.FAST, 0) - 1))}
        self.wake()

    def hold(self, message: str) -> None:
        """Starts no job while ``message`` says why; goes on once it is empty."""
        if message and not self._held:
            _log.warning("work rests: %s", message)
        elif self._held and not message:
            _log.info("work goes on")
        self._held = message
        self._wake.set()

    def overtaken(self, job: Job) -> asyncio.Event:
        """Set when ``job``, in a slow lane, should end soon: there is news of its key, which waits for it."""
        return self._overtaken.setdefault((job.id, job.lease), asyncio.Event())

    @property
    def paused(self) -> Mapping[str, str]:
        """What rests because something it needs is away, and why: a stage or ``*`` -> message."""
        held = {EVERYTHING: self._held} if self._held else {}
        return {scope: rest.message for scope, rest in self._rests.items()} | held

    def stats(self) -> PoolStats:
        since = self._clock.monotonic() - RATE_S
        return PoolStats(
            running={lane: self._running[lane] for lane in Lane},
            unacked=len(self._open) - self._running.total(),
            done=self._done,
            failed=self._failed,
            rate_per_s=sum(jobs for at, jobs in self._recent if at > since) / RATE_S,
        )

    # --- feed -----------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        while not self._is_draining:
            self._wake.clear()
            started = [await self._fill(lane) for lane in self._slots]
            if not any(started):
                await self._wake.wait()

    async def _fill(self, lane: Lane) -> int:
        """Claims for the free slots of ``lane``: first whatever comes, then urgent jobs for the reserved ones."""
        slots, running = self._slots[lane], self._running[lane]
        free = min(slots - running, MAX_OPEN - len(self._open))
        running_patient = running - self._running_urgent[lane]
        for_all = min(free, slots - self._reserved.get(lane, 0) - running_patient)
        started = await self._start(lane, for_all, None)
        if started == max(0, for_all):  # else nothing is left, urgent or not
            started += await self._start(lane, free - started, Priority.FRESH)
        return started

    async def _start(self, lane: Lane, limit: int, max_priority: Priority | None) -> int:
        resting = self._resting()
        if limit <= 0 or EVERYTHING in resting:
            return 0
        jobs: list[Job] = await self._persist(
            lambda: self._store.claim(lane, limit, max_priority=max_priority, without=resting)
        )
        if self._is_draining:  # too late: they are given back with all other leases
            return 0
        for job in jobs:
            self._open[job.id, job.lease] = job
            self._is_idle.clear()
            self._running[lane] += 1
            self._running_urgent[lane] += job.priority <= Priority.FRESH
            self._spawn(self._work(job))
        return len(jobs)

    # --- one job --------------------------------------------------------------------------------------------

    async def _work(self, job: Job) -> None:
        try:
            verdict = await self._outcome(job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            verdict = Release(REST_S)  # not we were cancelled, but what the handler waited for
        except Exception as exc:
            verdict = self._judge(job, exc)
        else:
            self._recover(job.stage)
        self._finished.append((job, verdict))
        self._has_finished.set()

    async def _outcome(self, job: Job) -> Verdict:
        try:
            handled = await self._handle(job)
        finally:
            self._running[job.lane] -= 1
            self._running_urgent[job.lane] -= job.priority <= Priority.FRESH
            self._wake.set()
        if handled.durable is not None:
            await handled.durable
        return handled.outcome

    def _judge(self, job: Job, error: Exception) -> Verdict:
        match decide(error, job, self._config, self._rng):
            case Stop(fatal):
                raise fatal
            case Pause(scope, message, reason):
                self._rest(scope, message)
                return Release(REST_S, reason, message)
            case Release(delay_s) as release:
                return replace(release, delay_s=self._one_by_one(delay_s))
            case Retry() | Park() as decision:
                self._failed += 1
                self._recover(job.stage)
                _log.warning(
                    "job failed: %s", decision.message, extra=_fields(job, error), exc_info=_bug(decision, error)
                )
                return decision

    def _one_by_one(self, delay_s: float) -> float:
        """In how many seconds one more job of an away root comes back: ``delay_s``, or later if many do."""
        now = self._clock.monotonic()
        after_the_last = min(self._next_away + 1 / AWAY_PER_S, now + self._config.backoff_max_s)
        self._next_away = max(now + delay_s, after_the_last)
        return math.ceil(self._next_away) - now  # in whole seconds: waking up costs as much for one as for all of them

    # --- rests ----------------------------------------------------------------------------------------------

    def _rest(self, scope: str, message: str) -> None:
        if scope not in self._rests:
            _log.warning("a resource is away: %s", message, extra={"stage": scope})
        self._rests[scope] = Rest(self._clock.monotonic() + REST_S, message)

    def _recover(self, stage: str) -> None:
        """A job of ``stage`` ended by itself. Each rest that this ends costs at most one try per slot to find again."""
        for scope in (stage, EVERYTHING):
            if self._rests.pop(scope, None) is not None:
                _log.info("a resource is back", extra={"stage": scope})

    def _resting(self) -> frozenset[str]:
        now = self._clock.monotonic()
        held = frozenset({EVERYTHING} if self._held else ())
        return held | {scope for scope, rest in self._rests.items() if rest.until > now}

    # --- record and keep ------------------------------------------------------------------------------------

    async def _record(self) -> None:
        while True:
            await self._has_finished.wait()
            batch = self._finished[:ACK_JOBS]
            await self._persist(partial(self._store.ack, batch))
            del self._finished[: len(batch)]  # not before: a stop in between records it again, which is harmless
            if not self._finished:
                self._has_finished.clear()
            for job, _ in batch:
                self._open.pop((job.id, job.lease), None)
                self._overtaken.pop((job.id, job.lease), None)
            self._count(sum(isinstance(verdict, Done | Skip) for _, verdict in batch))
            if not self._open:
                self._is_idle.set()
            self._wake.set()

    def _count(self, done: int) -> None:
        now = self._clock.monotonic()
        self._done += done
        self._recent.append((now, done))
        while self._recent[0][0] <= now - RATE_S:
            self._recent.popleft()

    async def _keep(self) -> None:
        beat_s = self._config.lease_s / 4
        next_beat = self._clock.monotonic() + beat_s
        while True:
            promoted = await self._persist(self._store.promote)
            await self._make_way()
            if self._clock.monotonic() >= next_beat:
                await self._persist(lambda: self._store.heartbeat(tuple(self._open.values())))
                await self._persist(self._store.expire_leases)
                next_beat = self._clock.monotonic() + beat_s
            self._wake.set()
            if promoted < PROMOTE_JOBS:
                next_later_s = await self._persist(self._store.next_later_s)
                await self._sleep(TICK_S if next_later_s is None else min(TICK_S, max(next_later_s, 0.01)))

    async def _make_way(self) -> None:
        """Tell those in slow lanes of whose keys there is news."""
        now = self._clock.monotonic()
        self._made_way = {key: at for key, at in self._made_way.items() if at > now - PATIENCE_S}
        slow = [job for job in self._open.values() if job.lane is not Lane.FAST]
        slow = [job for job in slow if (job.stage, job.key) not in self._made_way]
        for job in await self._persist(lambda: self._store.overtaken(slow)) if slow else ():
            if (told := self._overtaken.get((job.id, job.lease))) is not None:  # else it has ended, or not yet begun
                self._made_way[job.stage, job.key] = now
                told.set()

    async def _persist(self, call: Callable[[], Any]) -> Any:
        """Calls the store, for as long as it takes: a full disk or a lock stops the work, not the daemon."""
        has_failed = False
        while True:
            try:
                result = await self._run(call)
            except (errors.PauseError, errors.TransientError) as exc:
                has_failed = True
                self._rest(EVERYTHING, exc.message)
                await self._sleep(REST_S)
            else:
                if has_failed:
                    self._recover(EVERYTHING)
                return result

    async def _give_back(self) -> None:
        with contextlib.suppress(errors.LakewatchError):  # then the next start takes the leases back
            await self._run(lambda: self._store.ack(self._finished))
            await self._run(self._store.release_all)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _bug(decision: Retry | Park, error: Exception) -> Exception | None:
    """Only what nobody foresaw is worth a traceback."""
    return error if decision.reason == "bug" else None


def _fields(job: Job, error: Exception) -> dict[str, object]:
    """What a log line says of the job, in words to search the journal by."""
    root, _, path = getattr(error, "place", "").partition(":")
    about = {"root": job.payload.get("root", root), "path": job.payload.get("path", path)}
    known = {name: value for name, value in about.items() if value}
    return {"job": job.id, "stage": job.stage, "attempt": job.attempts + 1, **known}
