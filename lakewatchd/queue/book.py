"""What the queue says of given keys: is there a job, in which state, why and since when. Reads only.

For ``audit`` and ``explain``, which ask about files and not about the queue. Invariant: the cost depends on how many
keys are asked for, never on how many jobs wait.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.core.asset import PathKey
from lakewatchd.core.job import JobState, Priority
from lakewatchd.queue.database import Database
from lakewatchd.queue.report import decode_key
from lakewatchd.queue.seen import SeenStore

_STATES = (JobState.READY, JobState.LATER, JobState.LEASED, JobState.PARKED)
_KEYS = """
    SELECT key, state, priority, attempts, queued_at, not_before, parked_at,
        coalesce(reason, ''), coalesce(message, ''), coalesce(hint, '')
    FROM job WHERE stage = ? AND key IN (SELECT cast(value AS BLOB) FROM json_each(?))
"""


@dataclass(frozen=True, slots=True)
class JobFact:
    """A job as one needs to know it who asks about a file. Times are seconds since the epoch."""

    state: JobState
    priority: Priority
    attempts: int
    queued_at: float
    not_before: float | None
    parked_at: float | None
    reason: str
    message: str
    hint: str

    @property
    def is_parked(self) -> bool:
        return self.state is JobState.PARKED


class QueueBook:
    """A read-only look into the queue's file, from a thread of one's own. Raises what ``Database`` translates."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path, readonly=True)
        self.seen = SeenStore(self._db)

    def close(self) -> None:
        self._db.close()

    def jobs(self, stage: str, keys: Collection[str]) -> dict[str, JobFact]:
        """The jobs there are, by key. Keys are ids: text that JSON can hold."""
        found = {}
        for key, state, priority, *told in self._db.rows(_KEYS, (stage, json.dumps(list(keys)))) if keys else ():
            found[decode_key(key)] = JobFact(_STATES[state], Priority(priority), *told)
        return found

    def job(self, stage: str, key: str) -> JobFact | None:
        return self.jobs(stage, [key]).get(key)

    def job_at(self, stage: str, place: PathKey) -> JobFact | None:
        return self.job(stage, place.occurrence_id)
