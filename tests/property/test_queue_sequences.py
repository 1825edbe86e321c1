"""Random sequences of everything that can happen to the queue, crashes included, against a model of a few lines.

The promises: no job is lost, none leaves by a stale ack, the newest payload is what runs.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lakewatchd.config import QueueConfig
from lakewatchd.core.job import Again, Done, Job, JobSpec, JobState, Lane, Priority, Skip
from lakewatchd.queue.retry import Park, Release, Retry, Verdict
from lakewatchd.queue.store import QueueStore
from lakewatchd.testing import FakeClock

CONFIG = QueueConfig(max_attempts=3, lease_s=10, backoff_max_s=100)
KEYS = st.sampled_from("abcd")
VERDICTS = st.sampled_from(
    [
        Done(),
        Skip("x"),
        Again(5),
        Again(0),
        Release(),
        Release(5),
        Retry(5),
        Retry(0),
        Park("bad"),
        Done(then=(JobSpec("ingest", "d", {"v": -1}),)),
    ]
)


@dataclass
class Pending:
    """What the model knows of a job: the payload that must run, and who runs it."""

    payload: int
    priority: Priority
    state: JobState
    lease: str = ""
    put_since_claim: bool = False
    crashes: int = 0

    @property
    def is_suspect(self) -> bool:
        return self.crashes >= 2


class QueueMachine(RuleBasedStateMachine):
    claimed: Bundle[Job] = Bundle("claimed")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock = FakeClock()
        self.model: dict[str, Pending] = {}
        self.version = 0
        self.store = self.opened()

    def opened(self) -> QueueStore:
        return QueueStore(self.directory / "q.db", CONFIG, self.clock)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    @rule(key=KEYS, priority=st.sampled_from(Priority), delay_s=st.sampled_from([0, 0, 7]), is_new=st.booleans())
    def put(self, key: str, priority: Priority, delay_s: float, is_new: bool) -> None:
        self.version += is_new
        self.store.put([JobSpec("ingest", key, {"v": self.version}, priority, delay_s=delay_s)])
        self.expect_put(key, self.version, priority, delay_s)

    def expect_put(self, key: str, payload: int, priority: Priority, delay_s: float = 0) -> None:
        job = self.model.get(key)
        state = JobState.LATER if delay_s else JobState.READY
        if job is None:
            self.model[key] = Pending(payload, priority, state)
            return
        if job.state is JobState.PARKED:
            if job.payload == payload and priority >= Priority.BACKFILL:
                return
            job.priority = priority
        if job.state is JobState.PARKED or job.payload != payload:
            job.crashes = 0
        job.priority = min(job.priority, priority)
        job.payload, job.put_since_claim = payload, True
        if job.state is not JobState.LEASED:
            job.state = state

    @rule(target=claimed, limit=st.integers(1, 3), urgent=st.booleans())
    def claim(self, limit: int, urgent: bool) -> object:
        jobs = self.store.claim(Lane.FAST, limit, max_priority=Priority.FRESH if urgent else None)
        ready = [j for j in self.model.values() if j.state is JobState.READY and (not urgent or j.priority <= 1)]
        may_suspect = not any(j.is_suspect and j.state is JobState.LEASED for j in self.model.values())
        trusted = [j for j in ready if not j.is_suspect]
        assert len(jobs) == min(limit, len(trusted) + (may_suspect and len(trusted) < len(ready)))
        for job in jobs:
            known = self.model[job.key]
            assert known.state is JobState.READY
            assert job.payload == {"v": known.payload}
            known.state, known.lease, known.put_since_claim = JobState.LEASED, job.lease, False
        return multiple(*jobs)

    @rule(job=consumes(claimed), verdict=VERDICTS)
    def ack(self, job: Job, verdict: Verdict) -> None:
        self.store.ack([(job, verdict)])
        self.expect_ack(job, verdict)

    @rule(job=claimed, verdict=VERDICTS)
    def ack_and_keep_the_lease_to_try_it_again(self, job: Job, verdict: Verdict) -> None:
        self.ack(job, verdict)

    def expect_ack(self, job: Job, verdict: Verdict) -> None:
        known = self.model.get(job.key)
        if known is None or known.state is not JobState.LEASED or known.lease != job.lease:
            return
        known.crashes = 0
        if known.put_since_claim:
            known.state = self.in_store(job.key)
            assert known.state in (JobState.READY, JobState.LATER)
        elif isinstance(verdict, Done | Skip):
            del self.model[job.key]
        elif isinstance(verdict, Park):
            known.state = JobState.PARKED
        else:
            known.state = JobState.LATER if verdict.delay_s else JobState.READY
        for spec in verdict.then if isinstance(verdict, Done) else ():
            self.expect_put(spec.key, int(str(spec.payload["v"])), spec.priority)

    @rule(seconds=st.sampled_from([1, 6, 11]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        due = self.store.promote()
        late = [key for key, job in self.model.items() if job.state is JobState.LATER]
        woken = [key for key in late if self.in_store(key) is JobState.READY]
        assert len(woken) == due
        for key in woken:
            self.model[key].state = JobState.READY

    @rule(seconds=st.sampled_from([-1000, 1000]))
    def the_wall_clock_jumps(self, seconds: float) -> None:
        self.clock.wall_s += seconds

    @rule()
    def leases_expire(self) -> None:
        self.store.expire_leases()
        self.expect_taken_back()

    @rule(job=claimed)
    def heartbeat(self, job: Job) -> None:
        self.store.heartbeat([job])

    @rule()
    def crash(self) -> None:
        """The connection is dropped without a word, as the kernel does it."""
        self.store._db._connection.close()
        self.store = self.opened()
        self.store.reclaim_all()
        self.expect_taken_back()
        assert all(job.state is not JobState.LEASED for job in self.model.values())

    @rule()
    def unpark(self) -> None:
        parked = [job for job in self.model.values() if job.state is JobState.PARKED]
        assert self.store.unpark() == len(parked)
        for job in parked:
            job.state, job.crashes = JobState.READY, 0

    def expect_taken_back(self) -> None:
        for key, job in self.model.items():
            if job.state is JobState.LEASED:
                job.state = self.in_store(key)
                job.crashes += job.state is not JobState.LEASED

    def in_store(self, key: str) -> JobState:
        ((state,),) = self.store._db.rows("SELECT state FROM job WHERE key = ?", (key.encode(),))
        return (JobState.READY, JobState.LATER, JobState.LEASED, JobState.PARKED)[state]

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        rows = self.store._db.rows("SELECT key, json_extract(payload, '$.v'), priority, crashes, state FROM job")
        assert {bytes(key).decode(): tuple(rest) for key, *rest in rows} == {
            key: (job.payload, int(job.priority), job.crashes, STATES.index(job.state))
            for key, job in self.model.items()
        }


STATES = (JobState.READY, JobState.LATER, JobState.LEASED, JobState.PARKED)

TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
