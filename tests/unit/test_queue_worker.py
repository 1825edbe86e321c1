"""The pool on a real store, with time that stands still until told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import pytest

from lakewatchd import errors
from lakewatchd.config import QueueConfig
from lakewatchd.core.job import Again, Done, Handled, Job, JobSpec, JobState, Lane, Priority, Skip
from lakewatchd.queue import worker
from lakewatchd.queue.retry import EVERYTHING, ROOT_AWAY_S
from lakewatchd.queue.store import QueueStore
from lakewatchd.queue.worker import AWAY_PER_S, REST_S, WorkerPool
from lakewatchd.testing import FakeClock

DONE = Handled(Done())


@dataclass
class Time(FakeClock):
    """A clock whose sleepers wake when the test lets time pass."""

    sleepers: list[tuple[float, asyncio.Event]] = field(default_factory=list)
    sleeps: int = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        woken = asyncio.Event()
        self.sleepers.append((self.ticks_s + seconds, woken))
        await woken.wait()

    async def let_pass(self, seconds: float) -> None:
        """In steps, as sleepers would see it, until everything that can happen has happened."""
        end = self.ticks_s + seconds
        await quiet()
        while (due := min((at for at, _ in self.sleepers), default=inf)) <= end:
            self.advance(max(0.0, due - self.ticks_s))
            for sleeper in [s for s in self.sleepers if s[0] <= self.ticks_s]:
                self.sleepers.remove(sleeper)
                sleeper[1].set()
            await quiet()
        self.advance(max(0.0, end - self.ticks_s))
        await quiet()


async def quiet() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


class House:
    """A store, a pool and a handler that the test plays."""

    def __init__(self, path: Path, handle: Callable[[Job], Awaitable[Handled]] | None = None, **rest: Any) -> None:
        self.time = Time()
        self.config = QueueConfig(max_attempts=3)
        self.store = QueueStore(path / "q.db", self.config, self.time)
        self.calls = 0
        self.started: list[str] = []
        self.gates: dict[str, asyncio.Future[Handled]] = {}
        lanes = rest.pop("lanes", {Lane.FAST: 4, Lane.HEAVY: 1})
        self.pool = WorkerPool(
            self.store,
            lanes,
            rest.pop("reserved", 1),
            handle or self.gated,
            self.time,
            self.config,
            self.in_thread,
            rng=random.Random(0),
            sleep=self.time.sleep,
        )
        self.run: asyncio.Task[None] | None = None

    async def in_thread(self, call: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        return call(*args)

    async def gated(self, job: Job) -> Handled:
        self.started.append(job.key)
        gate = self.gates.setdefault(job.key, asyncio.get_running_loop().create_future())
        return await asyncio.shield(gate)

    async def end(self, key: str, result: Handled | Exception = DONE) -> None:
        gate = self.gates.pop(key)
        if isinstance(result, Exception):
            gate.set_exception(result)
        else:
            gate.set_result(result)
        await quiet()

    async def put(self, *specs: JobSpec) -> None:
        self.store.put(specs)
        self.pool.wake()
        await quiet()

    def states(self) -> dict[JobState, int]:
        return {state: jobs for state in JobState if (jobs := self.store.counts().jobs(state))}


@asynccontextmanager
async def house(
    path: Path, handle: Callable[[Job], Awaitable[Handled]] | None = None, **rest: Any
) -> AsyncIterator[House]:
    lived = House(path, handle, **rest)
    lived.run = asyncio.create_task(lived.pool.run())
    await quiet()
    try:
        yield lived
    finally:
        lived.run.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await lived.run
        lived.store.close()


def spec(key: str, priority: Priority = Priority.FRESH, **rest: Any) -> JobSpec:
    return JobSpec(rest.pop("stage", "ingest"), key, {}, priority, **rest)


async def test_a_job_is_handled_acked_and_counted(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        assert h.pool.stats().running[Lane.FAST] == 1
        await h.end("a", Handled(Done(then=(spec("b", stage="embed"),))))
        assert h.started == ["a", "b"]  # the ack itself wakes the pool
        stats = h.pool.stats()
        assert (stats.done, stats.rate_per_s, stats.running[Lane.FAST], stats.unacked) == (1, 0.1, 1, 0)
        await h.time.let_pass(20)
        assert h.pool.stats().rate_per_s == 0


async def test_the_ack_waits_until_the_rows_are_durable_and_the_slot_does_not(tmp_path: Path) -> None:
    async with house(tmp_path, lanes={Lane.FAST: 1}) as h:
        await h.put(spec("a"), spec("b"))
        durable = asyncio.get_running_loop().create_future()
        await h.end("a", Handled(Done(), durable))
        assert h.started == ["a", "b"]
        assert h.pool.stats().unacked == 1
        assert h.states() == {JobState.LEASED: 2}
        durable.set_result(None)
        await quiet()
        assert h.states() == {JobState.LEASED: 1}


async def test_an_error_of_the_commit_is_an_error_of_the_job(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        durable = asyncio.get_running_loop().create_future()
        await h.end("a", Handled(Done(), durable))
        durable.set_exception(errors.TimedOut("the disk is slow"))
        await quiet()
        assert h.states() == {JobState.LATER: 1}
        assert h.pool.stats().failed == 1


async def test_a_commit_that_is_given_up_does_not_leave_the_job_leased_for_ever(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        durable = asyncio.get_running_loop().create_future()
        await h.end("a", Handled(Done(), durable))
        durable.cancel()
        await quiet()
        assert h.states() == {JobState.LATER: 1}


async def test_a_fresh_photo_finds_a_slot_during_a_backfill(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(*(spec(f"old{n}", Priority.BACKFILL) for n in range(10)))
        assert len(h.started) == 3
        await h.put(spec("photo"))
        assert h.started[3:] == ["photo"]
        await h.put(spec("photo2"))
        assert len(h.started) == 4
        await h.end("old0")
        assert h.started[4:] == ["photo2"]


async def test_a_video_does_not_delay_photos(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(*(spec(f"film{n}", lane=Lane.HEAVY) for n in range(3)), spec("photo"))
        assert h.started == ["photo", "film0"]
        assert [h.pool.stats().running[lane] for lane in (Lane.FAST, Lane.HEAVY)] == [1, 1]


async def test_one_slot_runs_even_if_all_are_reserved(tmp_path: Path) -> None:
    async with house(tmp_path, lanes={Lane.FAST: 1}, reserved=8) as h:
        await h.put(spec("old", Priority.ENRICHMENT))
        assert h.started == ["old"]


async def test_handled_jobs_that_wait_for_the_lake_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_OPEN", 6)
    durable = asyncio.get_running_loop().create_future()
    handled = 0

    async def handle(job: Job) -> Handled:
        nonlocal handled
        handled += 1
        return Handled(Done(), asyncio.shield(durable))

    async with house(tmp_path, handle) as h:
        await h.put(*(spec(f"{n}") for n in range(30)))
        assert handled == 6
        durable.set_result(None)
        await quiet()
        await h.time.let_pass(1)
        assert h.states() == {}


async def test_errors_become_retry_and_park(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("bad"), spec("busy"), spec("bug"))
        await h.end("bad", errors.DamagedMedia("no header", "copy it again"))
        await h.end("busy", errors.Busy("locked"))
        await h.end("bug", KeyError("oops"))
        assert h.states() == {JobState.LATER: 2, JobState.PARKED: 1}
        await h.time.let_pass(h.config.backoff_s)
        assert sorted(h.started[3:]) == ["bug", "busy"]
        await h.end("bug", KeyError("oops"))
        assert sorted(p.reason for p in h.store.parked()) == ["bug", "damaged-media"]


async def test_what_changed_while_it_was_read_comes_again(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        await h.end("a", Handled(Again(3)))
        await h.time.let_pass(2.9)
        assert h.started == ["a"]
        await h.time.let_pass(0.2)
        assert h.started == ["a", "a"]


async def test_a_missing_resource_rests_its_stage_only_and_costs_no_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a", stage="describe"))
        for _ in range(5):
            await h.end("a", errors.ModelUnavailable("no weights"))
            assert h.pool.paused == {"describe": "no weights"}
            tries = len(h.started)
            await h.put(spec("urgent", Priority.ASKED, stage="describe"))
            assert len(h.started) == tries  # it rests
            h.store.claim(Lane.FAST, 1)  # out of the way
            await h.put(spec(f"other{tries}"))
            await h.end(f"other{tries}")
            assert h.pool.paused  # another stage proves nothing
            await h.time.let_pass(REST_S)
            assert h.started[-1] == "a"
        await h.end("a")
        assert h.pool.paused == {}


async def test_a_full_disk_rests_everything_and_work_goes_on_after(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        await h.end("a", OSError(28, "No space left"))
        assert EVERYTHING in h.pool.paused
        await h.put(spec("b", stage="other"))
        assert h.started == ["a"]
        await h.time.let_pass(REST_S)
        assert sorted(h.started) == ["a", "a", "b"]


async def test_a_queue_that_cannot_be_written_waits_and_loses_no_ack(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        ack, fails = h.store.ack, 3

        def failing(finished: Any) -> None:
            nonlocal fails
            fails -= 1
            if fails >= 0:
                raise errors.OutOfSpace("full")
            ack(finished)

        h.store.ack = failing  # type: ignore[method-assign]
        await h.end("a")
        assert h.pool.paused == {EVERYTHING: "full"}
        await h.time.let_pass(3 * REST_S)
        assert (h.states(), h.pool.paused) == ({}, {})


async def test_a_dead_resource_is_not_hammered(tmp_path: Path) -> None:
    tries = 0

    async def handle(job: Job) -> Handled:
        nonlocal tries
        tries += 1
        raise errors.ModelUnavailable("no weights")

    async with house(tmp_path, handle) as h:
        await h.put(*(spec(f"{n}") for n in range(100)))
        await h.time.let_pass(60)
        assert tries <= 4 * (60 / REST_S + 1)
        assert h.store.counts().pending == 100


async def test_an_away_root_holds_up_no_job_of_another_root(tmp_path: Path) -> None:
    tries: list[str] = []

    async def handle(job: Job) -> Handled:
        tries.append(job.key)
        if job.key.startswith("away"):
            raise errors.RootAway("unmounted")
        return DONE

    async with house(tmp_path, handle) as h:
        await h.put(*(spec(f"away{n}") for n in range(20)), *(spec(f"here{n}") for n in range(20)))
        await h.time.let_pass(ROOT_AWAY_S - 1)
        assert sorted(tries) == sorted(f"{where}{n}" for where in ("away", "here") for n in range(20))  # once each
        assert (h.states(), h.pool.paused, h.pool.stats().failed) == ({JobState.LATER: 20}, {}, 0)
        assert {(job.reason, job.message) for job in h.store.pending()} == {("root-away", "unmounted")}
        await h.time.let_pass(10 * ROOT_AWAY_S)
        assert len(tries) <= 20 + 20 * 11
        assert h.store.parked() == []


async def test_the_many_jobs_of_an_away_root_come_back_few_at_a_time(tmp_path: Path) -> None:
    """As old as they are, they would be claimed before those of other roots, all of them, again and again."""
    jobs = 4 * AWAY_PER_S

    async def handle(_job: Job) -> Handled:
        raise errors.RootAway("unmounted")

    async with house(tmp_path, handle) as h:
        await h.put(*(spec(f"away{n}") for n in range(jobs)))
        while h.states() != {JobState.LATER: jobs}:
            await h.time.let_pass(0.1)
        h.time.advance(ROOT_AWAY_S)
        back = [h.store.promote()]
        while sum(back) < jobs:
            h.time.advance(1.0)
            back.append(h.store.promote())
        assert max(back) <= 2 * AWAY_PER_S and len(back) <= 6


async def test_an_idle_pool_sleeps(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("later", delay_s=1000))
        before = h.calls, h.time.sleeps
        await h.time.let_pass(100)
        assert h.time.sleeps - before[1] <= 101
        assert h.calls - before[0] <= 100 * 5


async def test_running_jobs_keep_their_lease(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("film"))
        await h.time.let_pass(h.config.lease_s * 5)
        assert h.started == ["film"]
        await h.end("film")
        assert h.states() == {}


async def test_a_pool_that_was_drained_before_it_ran_ends_at_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.pool.drain(1.0)
    await asyncio.wait_for(house.pool.run(), 10)


async def test_drain_waits_for_what_runs_and_takes_nothing_new(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        drain = asyncio.create_task(h.pool.drain(60))
        await h.put(spec("b"))
        assert not drain.done()
        await h.end("a")
        await drain
        assert h.run is not None
        await h.run
        assert (h.started, h.states()) == (["a"], {JobState.READY: 1})
        await h.pool.drain(60)  # again is harmless


async def test_drain_gives_back_what_does_not_end_in_time_at_no_cost(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        await h.pool.drain(0)
        assert [job.attempts for job in h.store.claim(Lane.FAST, 9)] == [0]


async def test_drain_before_and_without_run(tmp_path: Path) -> None:
    h = House(tmp_path)
    await h.pool.drain(1)
    h.pool.wake()
    h.store.close()


async def test_cancelling_records_what_is_finished_and_gives_back_the_rest(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"), spec("b"))
        h.gates["a"].set_result(Handled(Skip("unchanged")))
        for _ in range(3):  # the handler has returned, its ack may or may not be written
            await asyncio.sleep(0)
        assert h.run is not None
        h.run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await h.run
        assert [job.key for job in h.store.claim(Lane.FAST, 9)] == ["b"]


@pytest.mark.parametrize("error", [errors.QueueDamaged("torn"), RuntimeError("a bug in the pool")])
async def test_a_failing_pool_stops_and_says_why(tmp_path: Path, error: Exception) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))

        def broken() -> int:
            raise error

        h.store.promote = broken  # type: ignore[method-assign]
        await h.time.let_pass(2)
        assert h.run is not None and h.run.done()
        with pytest.raises(type(error)):
            await h.run
        assert h.states() == {JobState.READY: 1}


async def test_a_fatal_error_of_a_handler_stops_the_daemon(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(spec("a"))
        await h.end("a", errors.SchemaTooNew("newer lake"))
        assert h.run is not None
        with pytest.raises(errors.SchemaTooNew):
            await h.run
        assert h.states() == {JobState.READY: 1}


async def test_wake_from_another_thread(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.store.put([spec("a")])
        await asyncio.to_thread(h.pool.wake)
        await quiet()
        assert h.started == ["a"]


async def test_what_runs_in_a_slow_lane_makes_way_for_news_and_for_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        slow = JobSpec("index", "film", {}, Priority.ENRICHMENT, Lane.HEAVY)
        await h.put(slow)
        (job,) = h.pool._open.values()
        overtaken = h.pool.overtaken(job)
        await h.put(slow, JobSpec("index", "film", {}, Priority.BACKFILL))
        await h.time.let_pass(3)
        assert not overtaken.is_set(), "a scan that finds it again is no news"
        await h.put(JobSpec("index", "film", {"news": "nas:film.mp4"}, Priority.BACKFILL))
        await h.time.let_pass(3)
        assert overtaken.is_set()
        await h.end("film", Handled(Done()))
        assert h.started == ["film", "film"] and h.pool.stats().running[Lane.FAST] == 1, "the news first"
        await h.end("film", Handled(Done((slow,))))
        assert h.pool.stats().running[Lane.HEAVY] == 1
        (job,) = h.pool._open.values()
        await h.put(JobSpec("index", "film", {}, Priority.ASKED))
        await h.time.let_pass(worker.PATIENCE_S / 2)
        assert not h.pool.overtaken(job).is_set(), "it has just made way"
        await h.time.let_pass(worker.PATIENCE_S)
        assert h.pool.overtaken(job).is_set()


async def test_nothing_is_kept_of_a_job_that_ends_while_news_of_it_is_looked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.put(JobSpec("index", "film", {}, Priority.ENRICHMENT, Lane.HEAVY))
        (job,) = h.pool._open.values()
        await h.put(JobSpec("index", "film", {"news": "nas:film.mp4"}, Priority.BACKFILL))
        await h.time.let_pass(3)
        assert not h.pool._overtaken
        overtaken = h.pool.overtaken(job)
        await h.time.let_pass(3)
        assert overtaken.is_set(), "who asks later is told all the same"
