"""kill -9 in the middle of puts and acks: what was said to be put is there, what was acked is gone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import PathKey
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.job import Lane
from lakewatchd.queue.retry import Park
from lakewatchd.queue.store import QueueStore

CHILD = """
import sys
from pathlib import Path
from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.job import Done, JobSpec, Lane
from lakewatchd.queue.store import QueueStore

store = QueueStore(Path(sys.argv[1]), QueueConfig(), SystemClock())
store.reclaim_all()
for n in range(10**9):
    keys = [f"{sys.argv[2]}-{n}-{i}" for i in range(7)]
    store.put([JobSpec("ingest", key) for key in keys])
    print("put", *keys, flush=True)
    jobs = store.claim(Lane.FAST, 5)
    store.ack([(job, Done(then=(JobSpec("next", job.key, lane=Lane.HEAVY),), seen=(
        Occurrence(PathKey("r", job.key), "aa", Version(1, 2, 3, 4)),))) for job in jobs])
    print("ack", *(job.key for job in jobs), flush=True)
"""


def claimable(store: QueueStore, lane: Lane) -> set[str]:
    """All of them: suspects come one at a time."""
    keys: set[str] = set()
    while jobs := store.claim(lane, 10**6):
        keys.update(job.key for job in jobs)
        store.ack([(job, Park("counted")) for job in jobs])
    return keys


@pytest.mark.slow
def test_killed_at_any_moment_the_queue_keeps_its_word(tmp_path: Path) -> None:
    path, rng = tmp_path / "q.db", random.Random(3)
    put: set[str] = set()
    acked: set[str] = set()
    for round_ in range(8):
        said = tmp_path / f"said{round_}"
        with said.open("wb") as out:
            child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), str(round_)], stdout=out)
            while said.stat().st_size < 300 and child.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.1))
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        for line in said.read_text().splitlines(keepends=True):
            what, *keys = line.split()
            if line.endswith("\n"):
                {"put": put, "ack": acked}[what].update(keys)
    with closing(QueueStore(path, QueueConfig(), SystemClock())) as store:
        store.reclaim_all()
        store.unpark()  # what happened to run at five deaths in a row
        waiting, followed = claimable(store, Lane.FAST), claimable(store, Lane.HEAVY)
        seen = {key.path for key in store.seen.under("r", "")}
        assert store._db.rows("PRAGMA integrity_check") == [("ok",)]
        assert store.seen.get(PathKey("r", "never")) is None
    assert len(acked) > 50
    assert waiting.isdisjoint(acked)
    assert put <= waiting | followed  # nothing that was put is lost
    assert waiting.isdisjoint(followed)
    assert acked <= followed == seen  # an ack, what follows and what was seen are one
