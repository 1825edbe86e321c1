"""What the queue holds, for status, metrics and ``lakewatchd queue``. Reads only; any process may.

Invariant: answers come from the indexes of the states, so that asking does not read the payloads of a million jobs.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.job import JobState, ParkedJob, Priority
from lakewatchd.queue.database import Database, Row

READY, LATER, LEASED, PARKED = range(4)
"""``job.state`` as the database has it."""

LARGE_JOBS = 50_000
KEEP_S_PER_JOB = 1e-5
"""Counting reads an index entry per job. An answer of more than :data:`LARGE_JOBS` is given again for so long per
counted job (10 s at a million), so that a status asked for every two seconds does not hold up the work."""

# min(id) comes with the scan and leads to the job that waits longest; the index has no room for the time itself.
_READY = """
    SELECT stage, priority, count(*), min(id) FROM job INDEXED BY job_ready
    WHERE state = 0 AND crashes < 2 GROUP BY lane, stage, priority
    UNION ALL
    SELECT stage, priority, count(*), min(id) FROM job INDEXED BY job_suspect
    WHERE state = 0 AND crashes >= 2 GROUP BY stage, priority
"""
_WAITING = {
    JobState.LATER: "SELECT stage, priority, count(*) FROM job INDEXED BY job_later WHERE state = 1 GROUP BY 1, 2",
    JobState.LEASED: "SELECT stage, priority, count(*) FROM job INDEXED BY job_leased WHERE state = 2 GROUP BY 1, 2",
    JobState.PARKED: "SELECT stage, priority, count(*) FROM job INDEXED BY job_parked WHERE state = 3 GROUP BY 1, 2",
}
_OLDEST = "SELECT min(queued_at) FROM job WHERE id IN (SELECT value FROM json_each(?))"
# The first job of each state by its index. Which waits longest is then told by the job itself.
_OLDEST_PENDING = """
    SELECT min(queued_at) FROM job WHERE id IN (
        SELECT min(id) FROM job INDEXED BY job_ready WHERE state = 0 AND crashes < 2
        UNION ALL SELECT min(id) FROM job INDEXED BY job_suspect WHERE state = 0 AND crashes >= 2
        UNION ALL SELECT min(id) FROM job INDEXED BY job_later WHERE state = 1
        UNION ALL SELECT min(id) FROM job INDEXED BY job_leased WHERE state = 2)
"""

# max(id) is any of them: the example.
_REASONS = """
    SELECT reason, count(*), max(id) FROM job INDEXED BY job_parked
    WHERE state = 3 AND (?1 IS NULL OR reason = ?1) AND (?2 IS NULL OR stage = ?2) GROUP BY reason ORDER BY 2 DESC, 1
"""
_PARKED_FACTS = "SELECT id, stage, key, payload, reason, message, hint, attempts, parked_at FROM job"
_PARKED = f"""{_PARKED_FACTS} INDEXED BY job_parked
    WHERE state = 3 AND (?1 IS NULL OR reason = ?1) AND (?2 IS NULL OR stage = ?2)
    ORDER BY parked_at DESC, id DESC LIMIT ?3"""
_PARKED_ONE = f"{_PARKED_FACTS} WHERE id = ? AND state = 3"
_PARKED_AT = f"{_PARKED_FACTS} WHERE stage = ? AND key = ? AND state = 3"
_PENDING_AT = "SELECT 1 FROM job WHERE stage = ? AND key = ? AND state <> 3"
_PARKED_PAGE = f"""{_PARKED_FACTS} WHERE state = 3 AND id > ?1
    AND (?2 IS NULL OR reason = ?2) AND (?3 IS NULL OR stage = ?3) ORDER BY id LIMIT ?4"""

_FACTS = "SELECT stage, key, payload, priority, attempts, coalesce(reason, ''), coalesce(message, '') FROM job"
_OF_STAGE = "(?1 IS NULL OR stage = ?1)"
_PENDING = (
    (JobState.LEASED, f"{_FACTS} WHERE state = 2 AND {_OF_STAGE} ORDER BY lease_until LIMIT ?2"),
    (
        JobState.READY,
        f"{_FACTS} INDEXED BY job_ready WHERE state = 0 AND crashes < 2 AND {_OF_STAGE} "
        "ORDER BY lane, stage, priority, id LIMIT ?2",
    ),
    (
        JobState.READY,
        f"{_FACTS} INDEXED BY job_suspect WHERE state = 0 AND crashes >= 2 AND {_OF_STAGE} LIMIT ?2",
    ),
    (JobState.LATER, f"{_FACTS} WHERE state = 1 AND {_OF_STAGE} ORDER BY not_before LIMIT ?2"),
)
"""Each in the order of its index: the first of a million jobs are found without sorting the rest."""


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job that will be worked on by itself. ``reason`` and ``message`` tell why an earlier try
    failed, or what it waits for."""

    stage: str
    key: str
    payload: dict[str, object]
    state: JobState
    priority: Priority
    attempts: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ParkedReason:
    reason: str
    jobs: int
    example: ParkedJob


@dataclass(frozen=True, slots=True)
class Tally:
    stage: str
    priority: Priority
    state: JobState
    jobs: int


@dataclass(frozen=True, slots=True)
class QueueCounts:
    tallies: tuple[Tally, ...]
    """One per stage, priority and state that has jobs."""
    oldest_ready_s: float | None
    """How long the longest waiting job that could run has been waiting; None if none waits."""

    def jobs(self, *states: JobState, stage: str | None = None) -> int:
        """Sum over the given states (all if none is given), of one stage or of all."""
        return sum(
            tally.jobs
            for tally in self.tallies
            if (not states or tally.state in states) and stage in (None, tally.stage)
        )

    @property
    def pending(self) -> int:
        """All that will still be worked on by itself."""
        return self.jobs(JobState.READY, JobState.LATER, JobState.LEASED)


@dataclass(frozen=True, slots=True)
class PausedScope:
    """A stage, or ``*`` for everything, that a person has paused."""

    scope: str
    since: float
    reason: str


class QueueReader:
    """The questions. Errors as :class:`~lakewatchd.queue.database.Database` translates them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock
        self._counts: QueueCounts | None = None
        self._counts_until = 0.0

    @classmethod
    def open_readonly(cls, path: Path, clock: Clock | None = None) -> QueueReader:
        """Looks into the queue of a daemon that may be running. Sees what is committed, blocks nobody."""
        return QueueReader(Database(path, readonly=True), clock or SystemClock())

    def close(self) -> None:
        self._db.close()

    def check(self, budget_s: float) -> None:
        """Raises ``QueueDamaged`` if damage is found within ``budget_s``."""
        self._db.check(budget_s)

    def counts(self) -> QueueCounts:
        """How many jobs are in which state. Up to :data:`LARGE_JOBS` it is counted at every call."""
        now = self._clock.monotonic()
        if self._counts is None or now >= self._counts_until:
            self._counts = self._count()
            jobs = self._counts.jobs()
            self._counts_until = now + (jobs * KEEP_S_PER_JOB if jobs > LARGE_JOBS else 0.0)
        return self._counts

    def _count(self) -> QueueCounts:
        ready = self._db.rows(_READY)
        found = Counter[tuple[str, int, JobState]]()
        for stage, priority, jobs, _ in ready:
            found[stage, priority, JobState.READY] += jobs
        for state, sql in _WAITING.items():
            for stage, priority, jobs in self._db.rows(sql):
                found[stage, priority, state] += jobs
        tallies = tuple(
            Tally(stage, Priority(priority), state, jobs) for (stage, priority, state), jobs in found.items()
        )
        ((oldest,),) = self._db.rows(_OLDEST, (json.dumps([row[-1] for row in ready]),))
        return QueueCounts(tallies, None if oldest is None else max(0.0, self._clock.now() - oldest))

    def parked(self, reason: str | None = None, stage: str | None = None, limit: int = 100) -> list[ParkedJob]:
        """The newest first."""
        return [_parked(row) for row in self._db.rows(_PARKED, (reason, stage, limit))]

    def parked_at(self, stage: str, key: str) -> list[ParkedJob]:
        """The job of that stage and key, if it is parked."""
        return [_parked(row) for row in self._db.rows(_PARKED_AT, (stage, encode_key(key)))]

    def is_pending(self, stage: str, key: str) -> bool:
        """Whether a job of that stage and key will be worked on by itself. Costs an index seek."""
        return bool(self._db.rows(_PENDING_AT, (stage, encode_key(key))))

    def parked_page(
        self, after: int = 0, reason: str | None = None, stage: str | None = None, limit: int = 1000
    ) -> list[ParkedJob]:
        """All of them in pages: those with a greater ``id`` than ``after``, by id."""
        return [_parked(row) for row in self._db.rows(_PARKED_PAGE, (after, reason, stage, limit))]

    def parked_reasons(self, reason: str | None = None, stage: str | None = None) -> list[ParkedReason]:
        """Why jobs are parked, all counted, the most frequent first."""
        found = []
        for reason_, jobs, example in self._db.rows(_REASONS, (reason, stage)):
            found += [ParkedReason(reason_, jobs, _parked(row)) for row in self._db.rows(_PARKED_ONE, (example,))]
        return found

    def pending(self, stage: str | None = None, limit: int = 100) -> list[PendingJob]:
        """Those at work, then those that are ready, of each stage the next first, then those that are delayed."""
        found: list[PendingJob] = []
        for state, sql in _PENDING:
            for stage_, key, payload, priority, *told in self._db.rows(sql, (stage, limit - len(found))):
                found.append(PendingJob(stage_, decode_key(key), json.loads(payload), state, Priority(priority), *told))
        return found

    def paused(self) -> tuple[PausedScope, ...]:
        return tuple(PausedScope(*row) for row in self._db.rows("SELECT scope, since, reason FROM pause ORDER BY 1"))

    def oldest_queued_at(self) -> float | None:
        """When the job was queued that waits longest of those that run by themselves. Reads indexes, and one job."""
        ((oldest,),) = self._db.rows(_OLDEST_PENDING)
        return None if oldest is None else float(oldest)

    def next_later_s(self) -> float | None:
        """Seconds until the next delayed job is due (0 if it already is), None if there is none."""
        ((not_before,),) = self._db.rows("SELECT min(not_before) FROM job WHERE state = 1")
        return None if not_before is None else max(0.0, not_before - self._clock.now())


def _parked(row: Row) -> ParkedJob:
    id_, stage, key, payload, *told = row
    return ParkedJob(id_, stage, decode_key(key), json.loads(payload), *told)


def encode_key(key: str) -> bytes:
    """A key as it is stored: names that are not UTF-8 keep their bytes."""
    return key.encode("utf-8", "surrogateescape")


def decode_key(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
