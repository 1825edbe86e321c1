"""What ``queue list`` shows of jobs that will run by themselves: the next first, and never by sorting a long queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import PathKey
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import JobSpec, JobState, Lane, Priority
from lakewatchd.daemon.report import queue_listing
from lakewatchd.daemon.wiring import jobs
from lakewatchd.queue import report
from lakewatchd.queue.store import QueueStore
from lakewatchd.testing import FakeClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    with closing(QueueStore(tmp_path / "q.db", QueueConfig(), FakeClock())) as opened:
        yield opened


def spec(key: str, stage: str = "index", priority: Priority = Priority.FRESH, **rest: object) -> JobSpec:
    return JobSpec(stage, key, {}, priority, **rest)  # type: ignore[arg-type]


def fill(store: QueueStore) -> None:
    """One job in each state; ``urgent`` is put last and comes first of those that are ready."""
    store.put([spec("parked"), spec("running")])
    first, _ = store.claim(Lane.FAST, 2)
    store.park(first, "damaged-media", "cut off", "look at it")
    store.put([spec("later", delay_s=60), spec("backfill", priority=Priority.BACKFILL)])
    store.put([spec("urgent", priority=Priority.ASKED)])


def test_what_runs_comes_first_then_what_is_next(store: QueueStore) -> None:
    fill(store)
    found = [(job.key, job.state, job.priority) for job in store.pending()]
    assert found == [
        ("running", JobState.LEASED, Priority.FRESH),
        ("urgent", JobState.READY, Priority.ASKED),
        ("backfill", JobState.READY, Priority.BACKFILL),
        ("later", JobState.LATER, Priority.FRESH),
    ]
    assert [job.key for job in store.pending(limit=2)] == ["running", "urgent"]
    assert store.pending(stage="ingest") == []


def test_a_parked_job_is_not_pending(store: QueueStore) -> None:
    fill(store)
    found = {
        key: store.is_pending("index", key) for key in ("parked", "running", "urgent", "backfill", "later", "none")
    }
    assert found == dict.fromkeys(found, True) | {"parked": False, "none": False}
    assert not store.is_pending("ingest", "urgent")


def test_suspects_of_a_crash_are_shown_too(store: QueueStore) -> None:
    store.put([spec("poison")])
    for _ in range(2):
        assert store.claim(Lane.FAST, 1)
        store.reclaim_all()
    assert [(job.key, job.state) for job in store.pending()] == [("poison", JobState.READY)]


@pytest.mark.parametrize(("state", "sql"), report._PENDING)
def test_no_list_is_sorted(store: QueueStore, state: JobState, sql: str) -> None:
    plan = " ".join(row[-1] for row in store._db.rows(f"EXPLAIN QUERY PLAN {sql}", (None, 50)))
    assert "USING INDEX job_" in plan, state
    assert "TEMP B-TREE" not in plan, state


def test_a_listing_names_what_waits_and_what_is_parked(store: QueueStore) -> None:
    fill(store)
    place = PathKey("nas", "a\udcff\n.jpg")
    store.put(jobs([FileEvent(place, Change.ADDED)]))
    listing = queue_listing(store, parked=False, reason=None, stage=None, limit=50)
    assert listing.total == len(listing.items) == 6
    assert {item.state for item in listing.items} == set(JobState)
    assert place.text in {item.key for item in listing.items}
    assert [group.reason for group in listing.groups] == ["damaged-media"]


def test_a_listing_of_parked_jobs_names_only_those(store: QueueStore) -> None:
    fill(store)
    for asked in ({"parked": True, "reason": None}, {"parked": False, "reason": "damaged-media"}):
        listing = queue_listing(store, stage=None, limit=50, **asked)  # type: ignore[arg-type]
        assert [item.key for item in listing.items] == ["parked"]
        assert listing.total == 1


def test_a_limit_cuts_the_names_not_the_count(store: QueueStore) -> None:
    fill(store)
    for limit, shown in ((2, 2), (0, 0), (-1, 0)):
        listing = queue_listing(store, parked=False, reason=None, stage=None, limit=limit)
        assert (len(listing.items), listing.total) == (shown, 5)
