"""The rules of put, claim, ack and what happens to those that fail, on a real file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.core.job import Again, Done, Job, JobSpec, JobState, Lane, Priority, Skip
from lakewatchd.queue import database, report
from lakewatchd.queue.report import QueueReader
from lakewatchd.queue.retry import Park, Release, Retry
from lakewatchd.queue.store import AGED_SHARE, MAX_CRASHES, QueueStore
from lakewatchd.testing import FakeClock

CONFIG = QueueConfig(max_attempts=3)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue ?%41#.db"  # must not be taken for a URI


@pytest.fixture
def store(path: Path, clock: FakeClock) -> Iterator[QueueStore]:
    with closing(QueueStore(path, CONFIG, clock)) as opened:
        yield opened


def spec(key: str, version: int = 1, priority: Priority = Priority.FRESH, **rest: object) -> JobSpec:
    return JobSpec("ingest", key, {"v": version}, priority, **rest)  # type: ignore[arg-type]


def claim(store: QueueStore, limit: int = 10, **rest: object) -> list[Job]:
    return store.claim(Lane.FAST, limit, **rest)  # type: ignore[arg-type]


def claim_one(store: QueueStore) -> Job:
    (job,) = claim(store)
    return job


def states(store: QueueStore) -> dict[JobState, int]:
    return {state: jobs for state in JobState if (jobs := store.counts().jobs(state))}


# --- put ------------------------------------------------------------------------------------------------------


def test_puts_of_one_key_are_one_job_with_the_newest_payload_and_the_greatest_urgency(store: QueueStore) -> None:
    store.put([spec("a", 1, Priority.BACKFILL), spec("a", 2, Priority.ASKED), spec("a", 3, Priority.CHANGED)])
    job = claim_one(store)
    assert (job.payload, job.priority) == ({"v": 3}, Priority.ASKED)


def test_the_same_key_in_two_stages_is_two_jobs(store: QueueStore) -> None:
    assert store.put([JobSpec("ingest", "a"), JobSpec("describe", "a")]) == 2
    assert {job.stage for job in claim(store)} == {"ingest", "describe"}


def test_a_put_is_all_or_nothing(store: QueueStore) -> None:
    def interrupted() -> Iterator[JobSpec]:
        yield spec("a")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        store.put(interrupted())
    assert claim(store) == []
    assert store.put([]) == 0


def test_a_put_while_leased_runs_the_job_again_with_the_new_payload(store: QueueStore) -> None:
    store.put([spec("a", 1)])
    job = claim_one(store)
    store.put([spec("a", 2)])
    assert claim(store) == []  # never twice at once
    store.ack([(job, Skip("done"))])
    assert claim_one(store).payload == {"v": 2}


def test_a_delayed_put_while_leased_waits_after_the_ack(store: QueueStore, clock: FakeClock) -> None:
    store.put([spec("a", 1)])
    job = claim_one(store)
    store.put([spec("a", 2, delay_s=10)])
    store.ack([(job, Skip("done"))])
    assert states(store) == {JobState.LATER: 1}
    clock.advance(10)
    assert store.promote() == 1
    assert claim_one(store).payload == {"v": 2}


@pytest.mark.parametrize("end", ["retry", "park", "release", "again"])
def test_however_a_stale_run_ends_the_newer_put_runs_at_once(store: QueueStore, end: str) -> None:
    store.put([spec("a", 1)])
    job = claim_one(store)
    store.put([spec("a", 2)])
    match end:
        case "retry":
            store.retry(job, 99, "busy", "")
        case "park":
            store.park(job, "damaged-media", "")
        case "release":
            store.release(job, 99)
        case "again":
            store.ack([(job, Again(99))])
    again = claim_one(store)
    assert (again.payload, again.attempts) == ({"v": 2}, 0)


def test_put_makes_a_delayed_job_ready_now(store: QueueStore) -> None:
    store.put([spec("a", 1, delay_s=60)])
    assert claim(store) == []
    store.put([spec("a", 1)])
    assert claim_one(store).key == "a"


def test_new_content_starts_with_no_failures_and_the_same_content_keeps_them(store: QueueStore) -> None:
    store.put([spec("a", 1)])
    store.retry(claim_one(store), 99, "busy", "")
    store.put([spec("a", 1)])
    job = claim_one(store)
    assert job.attempts == 1
    store.retry(job, 99, "busy", "")
    store.put([spec("a", 2)])
    assert claim_one(store).attempts == 0


@pytest.mark.parametrize(
    ("version", "priority", "wakes"),
    [
        (1, Priority.BACKFILL, False),
        (1, Priority.ENRICHMENT, False),
        (1, Priority.CHANGED, True),
        (2, Priority.BACKFILL, True),
    ],
)
def test_a_parked_job_wakes_for_other_content_or_a_person_not_for_a_rescan(
    store: QueueStore, version: int, priority: Priority, wakes: bool
) -> None:
    store.put([spec("a", 1)])
    store.park(claim_one(store), "damaged-media", "bad")
    assert store.put([spec("a", version, priority)]) == wakes
    jobs = claim(store)
    assert [(job.attempts, job.priority) for job in jobs] == [(0, priority)] * wakes
    assert len(store.parked()) == (not wakes)


def test_names_that_are_not_utf8_and_lone_surrogates_in_payloads_come_back(store: QueueStore) -> None:
    hostile = "photos\udcff\n\x00'\"; DROP TABLE job;--\U0001f600"
    store.put([JobSpec("it's", hostile, {"path": hostile})])
    job = claim_one(store)
    assert (job.stage, job.key, job.payload) == ("it's", hostile, {"path": hostile})
    store.park(job, "bug", f"cannot read {hostile}" + "x" * 100_000)
    (parked,) = store.parked()
    assert parked.key == hostile
    assert len(parked.message) < 3000
    assert store.unpark(key=hostile) == 1


# --- claim ----------------------------------------------------------------------------------------------------


def test_the_most_urgent_first_then_the_order_of_arrival(store: QueueStore) -> None:
    store.put([spec("b", priority=Priority.BACKFILL), spec("f1"), spec("f2"), spec("a", priority=Priority.ASKED)])
    assert [job.key for job in claim(store)] == ["a", "f1", "f2", "b"]


@pytest.mark.parametrize("batch", [1, 3, 16, 50])
def test_one_claim_in_sixteen_takes_the_oldest_so_none_starves(store: QueueStore, batch: int) -> None:
    store.put([spec("old", priority=Priority.ENRICHMENT)])
    store.put([spec(f"urgent{n}", priority=Priority.ASKED) for n in range(100)])
    keys: list[str] = []
    while "old" not in keys:
        keys += [job.key for job in claim(store, batch)]
    assert len(keys) < AGED_SHARE + batch


def test_lanes_and_max_priority_and_stages_to_leave_out(store: QueueStore) -> None:
    store.put([spec("heavy", lane=Lane.HEAVY), spec("slow", priority=Priority.BACKFILL), JobSpec("embed", "x")])
    assert [job.key for job in claim(store, max_priority=Priority.FRESH, without={"embed"})] == []
    assert [job.key for job in claim(store, max_priority=Priority.FRESH)] == ["x"]
    assert [job.key for job in store.claim(Lane.HEAVY, 10)] == ["heavy"]
    assert [job.key for job in claim(store)] == ["slow"]


def test_a_pause_holds_across_a_restart(store: QueueStore, path: Path, clock: FakeClock) -> None:
    store.put([spec("a"), JobSpec("embed", "x")])
    store.pause("ingest", "the disk sounds odd")
    assert [job.key for job in claim(store)] == ["x"]
    store.close()
    with closing(QueueStore(path, CONFIG, clock)) as again:
        assert [(p.scope, p.reason) for p in again.paused()] == [("ingest", "the disk sounds odd")]
        assert claim(again) == []
        assert again.resume("ingest")
        again.pause()
        assert claim(again) == []
        assert again.resume()
        assert not again.resume()
        assert [job.key for job in claim(again)] == ["a"]


@pytest.mark.parametrize("pending", [100, 20_000])
def test_a_claim_reads_as_much_of_a_long_queue_as_of_a_short_one(store: QueueStore, pending: int) -> None:
    store.put(spec(f"{n:x}", priority=Priority.BACKFILL) for n in range(pending))
    store.put([JobSpec("paused", f"{n:x}") for n in range(pending)])
    store.pause("paused")
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    store._db._connection.set_progress_handler(count, 10)  # type: ignore[arg-type]
    for _ in range(AGED_SHARE):
        assert len(claim(store, 1)) == 1
    assert steps < 16 * 60  # measured: the same number at both sizes


# --- ack ------------------------------------------------------------------------------------------------------


def place(path: str, asset: str = "aa", **version: int) -> Occurrence:
    return Occurrence(PathKey("r", path), asset, Version(**{"size_bytes": 1, "mtime_ns": 2, "inode": 3, **version}))


def test_done_records_followers_and_what_was_seen_with_the_ack(store: QueueStore) -> None:
    store.put([spec("a")])
    store.seen.record([place("old")])
    done = Done(then=(JobSpec("embed", "aa"),), seen=(place("d/new"),), gone=(PathKey("r", "old"),))
    store.ack([(claim_one(store), done)])
    assert [(job.stage, job.key) for job in claim(store)] == [("embed", "aa")]
    assert store.seen.get(PathKey("r", "d/new")) == place("d/new")
    assert store.seen.get(PathKey("r", "old")) is None


def test_of_two_acks_in_a_batch_the_later_knows_better(store: QueueStore) -> None:
    store.put([spec("a"), spec("b")])
    first, second = claim(store)
    store.ack([(first, Done(seen=(place("x", "aa"),))), (second, Done(gone=(PathKey("r", "x"),)))])
    assert store.seen.get(PathKey("r", "x")) is None


def test_a_stale_ack_keeps_its_followers(store: QueueStore) -> None:
    """Else the second run would find the file unchanged, skip it, and its followers would never come."""
    store.put([spec("a", 1)])
    job = claim_one(store)
    store.put([spec("a", 1)])
    store.ack([(job, Done(then=(JobSpec("embed", "aa"),), seen=(place("x"),)))])
    assert {job.stage for job in claim(store)} == {"ingest", "embed"}
    assert store.seen.count("r") == 1


def test_a_job_may_lead_to_itself(store: QueueStore) -> None:
    store.put([spec("a", 1)])
    store.ack([(claim_one(store), Done(then=(spec("a", 2),)))])
    assert claim_one(store).payload == {"v": 2}


def test_a_lost_lease_changes_nothing(store: QueueStore, clock: FakeClock) -> None:
    store.put([spec("a")])
    lost = claim_one(store)
    clock.advance(CONFIG.lease_s)
    assert store.expire_leases() == 1
    held = claim_one(store)
    store.heartbeat([lost])
    store.ack([(lost, Done(then=(JobSpec("embed", "aa"),), seen=(place("x"),)))])
    store.park(lost, "bug", "")
    assert claim(store) == []
    assert store.seen.count("r") == 0
    store.ack([(held, Skip("done"))])
    store.ack([(held, Skip("twice"))])
    assert states(store) == {}


def test_an_id_that_is_used_again_does_not_meet_an_old_ack(store: QueueStore) -> None:
    store.put([spec("a")])
    old = claim_one(store)
    store.ack([(old, Skip("done"))])
    store.put([spec("b")])
    new = claim_one(store)
    assert new.id == old.id
    store.ack([(old, Skip("late"))])
    assert states(store) == {JobState.LEASED: 1}


def test_again_and_release_cost_no_attempt_and_retry_does(store: QueueStore, clock: FakeClock) -> None:
    store.put([spec("a")])
    for verdict in (Again(5), Release(), Release(5)):
        store.ack([(claim_one(store), verdict)])
        clock.advance(5)
        store.promote()
        assert store.counts().pending == 1
    job = claim_one(store)
    assert job.attempts == 0
    store.retry(job, 5, "busy", "held by a scanner")
    assert store.next_later_s() == 5
    clock.advance(6)
    assert store.next_later_s() == 0
    store.promote()
    assert store.next_later_s() is None
    assert claim_one(store).attempts == 1


def test_unpark_by_reason_stage_and_key(store: QueueStore) -> None:
    store.put([spec("a"), spec("b"), JobSpec("embed", "c")])
    for job in claim(store):
        store.park(job, "bug" if job.key == "a" else "too-large", "m", "h")
    assert [(p.key, p.hint, p.attempts) for p in store.parked(reason="bug")] == [("a", "h", 1)]
    assert len(store.parked(limit=1)) == 1
    assert store.unpark(reason="too-large", stage="ingest") == 1
    assert store.unpark(key="c") == 1
    assert store.unpark() == 1
    assert {job.attempts for job in claim(store)} == {0}


# --- time -----------------------------------------------------------------------------------------------------


def test_a_clock_set_back_delays_no_job_for_longer_than_the_longest_backoff(
    store: QueueStore, clock: FakeClock
) -> None:
    store.put([spec("a", delay_s=1e9)])
    clock.wall_s -= 10 * 365 * 86400
    store.promote()
    assert store.next_later_s() == CONFIG.backoff_max_s


def test_leases_do_not_care_about_the_wall_clock(store: QueueStore, clock: FakeClock) -> None:
    store.put([spec("a")])
    job = claim_one(store)
    clock.wall_s += 1e9
    assert store.expire_leases() == 0
    clock.advance(CONFIG.lease_s - 1)
    store.heartbeat([job])
    clock.advance(CONFIG.lease_s - 1)
    assert store.expire_leases() == 0
    clock.advance(1)
    assert store.expire_leases() == 1


def crash_loop(path: Path, clock: FakeClock, poison: str, keys: Sequence[str], runs: int, slots: int = 4) -> list[str]:
    """Daemons that rescan, run ``slots`` jobs at once, end them in turn, and die whenever ``poison`` is reached."""
    done: list[str] = []
    for _ in range(runs):
        with closing(QueueStore(path, CONFIG, clock)) as store:
            store.put([spec(key, priority=Priority.BACKFILL) for key in keys if key not in done])
            store.reclaim_all()
            running: list[Job] = []
            while fresh := claim(store, slots - len(running)) or running:
                running += [job for job in fresh if job not in running]
                job = running.pop()
                if job.key == poison:
                    break
                store.ack([(job, Skip("done"))])
                done.append(job.key)
    return done


@pytest.mark.parametrize("poison", [0, 3, 7])
def test_a_job_that_kills_the_daemon_is_found_and_parked_and_none_beside_it(
    path: Path, clock: FakeClock, poison: int
) -> None:
    keys = [f"{n}" for n in range(12)]
    done = crash_loop(path, clock, keys[poison], keys, MAX_CRASHES + 1)
    assert sorted([*done, keys[poison]]) == sorted(keys)
    with closing(QueueStore(path, CONFIG, clock)) as store:
        store.put([spec(keys[poison], priority=Priority.BACKFILL)])  # a rescan does not wake it
        assert [(job.key, job.reason, job.attempts) for job in store.parked()] == [(keys[poison], "crashed-worker", 0)]
        assert store.unpark() == 1
        assert claim_one(store).key == keys[poison]


def test_a_long_job_survives_a_poison_that_kills_the_daemon_beside_it(path: Path, clock: FakeClock) -> None:
    """A film that never gets to its end, because a photo kills the daemon each time, is not what is parked."""
    for _ in range(4 * MAX_CRASHES):
        with closing(QueueStore(path, CONFIG, clock)) as store:
            store.put([spec("film", lane=Lane.HEAVY), spec("photo")])
            store.reclaim_all()
            if not claim(store):  # the photo is out of the way
                break
            store.claim(Lane.HEAVY, 1)
    with closing(QueueStore(path, CONFIG, clock)) as store:
        store.reclaim_all()
        assert [job.key for job in store.parked()] == ["photo"]
        assert [job.attempts for job in store.claim(Lane.HEAVY, 1)] == [0]


def test_suspects_run_one_at_a_time_in_all_lanes_and_others_beside_them(path: Path, clock: FakeClock) -> None:
    with closing(QueueStore(path, CONFIG, clock)) as store:
        store.put([spec("a"), spec("b", priority=Priority.BACKFILL), spec("film", lane=Lane.HEAVY)])
        for _ in range(2):
            assert len(claim(store)) == 2
            assert len(store.claim(Lane.HEAVY, 1)) == 1
            assert store.reclaim_all() == 3
        store.put([spec("new"), spec("a")])  # the same content again is no less suspect
        assert store.counts().jobs(JobState.READY) == 4
        suspect, new = claim(store)
        assert (suspect.key, new.key, suspect.attempts) == ("a", "new", 0)
        assert claim(store) == store.claim(Lane.HEAVY, 1) == []
        store.release(suspect)  # it ended by itself: it is cleared
        assert {job.key for job in claim(store)} == {"a", "b"}
        assert store.claim(Lane.HEAVY, 1) == []


def test_new_content_is_no_suspect(store: QueueStore) -> None:
    store.put([spec("a"), spec("b")])
    for _ in range(2):
        assert len(claim(store)) == 2
        store.reclaim_all()
    store.put([spec("a", 2), spec("b", 2)])
    assert len(claim(store)) == 2


def test_an_orderly_stop_costs_no_attempt(store: QueueStore) -> None:
    store.put([spec("a")])
    for _ in range(CONFIG.max_attempts + 1):
        assert claim_one(store).attempts == 0
        assert store.release_all() == 1


# --- the file -------------------------------------------------------------------------------------------------


def test_another_process_may_look(store: QueueStore, path: Path, clock: FakeClock) -> None:
    store.put([spec("a"), spec("b", delay_s=5), JobSpec("embed", "c"), JobSpec("embed", "d", priority=Priority.ASKED)])
    store.claim(Lane.FAST, 1)
    clock.advance(7)
    with closing(QueueReader.open_readonly(path, clock)) as reader:
        counts = reader.counts()
        assert counts.jobs(stage="embed") == 2
        assert (counts.jobs(JobState.READY), counts.jobs(JobState.LATER), counts.jobs(JobState.LEASED)) == (2, 1, 1)
        assert counts.pending == 4
        assert counts.oldest_ready_s == 7
        store.put([spec("e")])  # a reader blocks nobody, and sees the news
        assert reader.counts().pending == 5
        with pytest.raises(errors.QueueUnusable), reader._db.transaction() as run:
            run.execute("DELETE FROM job")


def test_the_count_of_a_long_queue_is_kept_for_a_while_and_of_a_short_one_never(
    store: QueueStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LARGE_JOBS", 50)
    monkeypatch.setattr(report, "KEEP_S_PER_JOB", 0.1)
    store.put(spec(f"{n}") for n in range(50))
    assert store.counts().pending == 50
    store.put([spec("one more"), spec("later", delay_s=9)])
    assert store.counts().pending == 52
    store.put([spec("unseen")])
    clock.advance(5.1)
    assert store.counts().pending == 52
    clock.advance(0.2)
    assert store.counts().pending == 53


def test_a_reader_of_a_stopped_or_missing_queue(store: QueueStore, path: Path) -> None:
    store.put([spec("a")])
    store.close()
    with closing(QueueReader.open_readonly(path)) as reader:
        assert reader.counts().pending == 1
    with pytest.raises(errors.QueueUnusable, match="cannot use"):
        QueueReader.open_readonly(path.with_name("nothing.db"))


def test_a_newer_schema_is_refused_and_left_alone(store: QueueStore, path: Path, clock: FakeClock) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {database.migrations()[-1].number + 1}")
    with pytest.raises(errors.SchemaTooNew, match="schema"):
        QueueStore(path, CONFIG, clock)


@pytest.mark.parametrize("damage", [b"this is no database" * 300, None])
def test_a_damaged_file_is_named_with_a_way_out(
    store: QueueStore, path: Path, clock: FakeClock, damage: bytes | None
) -> None:
    store.put(spec(f"{n}") for n in range(5000))
    store.close()
    with path.open("r+b") as file:
        file.seek(0 if damage else 8192)
        file.write(damage or b"\xff" * 200_000)
    with pytest.raises(errors.QueueDamaged) as caught, closing(QueueStore(path, CONFIG, clock)) as again:
        again.put([spec("a")])
        again.counts()
    assert "rescan" in str(caught.value.hint)


def test_a_full_disk_loses_nothing_and_passes(store: QueueStore) -> None:
    store.put([spec("a")])
    connection = store._db._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.OutOfSpace):
        store.put(spec(f"b{n}") for n in range(10_000))
    assert states(store) == {JobState.READY: 1}
    connection.execute("PRAGMA max_page_count = 1000000")
    assert store.put(spec(f"b{n}") for n in range(10_000)) == 10_000


def test_a_lock_held_by_another_process_is_busy(store: QueueStore, path: Path) -> None:
    store._db._connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Busy):
            store.put([spec("a")])
    assert store.put([spec("a")]) == 1


def test_only_puts_and_acks_wait_for_the_disk(store: QueueStore) -> None:
    connection = store._db._connection
    with store._db.transaction(durable=False):
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
    with store._db.transaction():
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    with pytest.raises(RuntimeError), store._db.transaction(durable=False):
        raise RuntimeError
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_may_pass_is_tried_again_after_an_hour_then_less_often(store: QueueStore, clock: FakeClock) -> None:
    def park(reason: str) -> None:
        for job in store.claim(Lane.FAST, 9):
            store.ack([(job, Park(reason))])

    store.put([spec("slow")])
    for _ in range(CONFIG.max_attempts - 1):
        store.ack([(store.claim(Lane.FAST, 1)[0], Retry(0.0))])
    park("timed-out")
    waited = []
    for _ in range(7):
        began = clock.now()
        while not store.unpark_passing():
            clock.advance(600)
        waited.append((clock.now() - began) / 3600)
        park("timed-out")
    assert waited == [1, 2, 4, 8, 16, 24, 24]
    clock.wall_s -= 10 * 365 * 86400  # set right after years ahead
    assert store.unpark_passing() == 1
    park("damaged-media")
    clock.advance(10**7)
    assert store.unpark_passing() == 0


def test_parked_jobs_are_counted_by_reason_without_a_limit(store: QueueStore) -> None:
    store.put(spec(f"{n}") for n in range(2500))
    jobs = store.claim(Lane.FAST, 5000)
    store.ack([(job, Park("bug" if n % 5 else "too-large", hint="do this")) for n, job in enumerate(jobs)])
    groups = store.parked_reasons()
    assert [(group.reason, group.jobs, group.example.hint) for group in groups] == [
        ("bug", 2000, "do this"), ("too-large", 500, "do this"),
    ]  # fmt: skip
    pages, after = 0, 0
    while page := store.parked_page(after, "too-large"):
        after, pages = page[-1].id, pages + len(page)
    assert pages == 500
    assert store.unpark_jobs(job.id for job in store.parked(limit=7)) == 7
