"""Every change of a job: put, claim, ack and what else can become of it (the states are drawn in ``core/job.py``).

Used from one thread. Reading is in ``report``, deciding what an error means in ``retry``, running in ``worker``.
Invariant: a job leaves the queue only by an ack that holds its lease *and* its newest generation.

Time: delays use the wall clock, because they outlive the process, and are cut at ``backoff_max_s``, so that a
clock set back cannot delay a job for longer than that. Leases use the monotonic clock, because they do not.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import Occurrence, PathKey
from lakewatchd.core.clock import Clock
from lakewatchd.core.job import Again, Done, Job, JobSpec, Lane, Priority, Skip
from lakewatchd.queue import seen
from lakewatchd.queue.database import Connection, Cursor, Database, Row
from lakewatchd.queue.polled import PollStore
from lakewatchd.queue.report import LATER, PARKED, READY, QueueReader, decode_key, encode_key
from lakewatchd.queue.retry import EVERYTHING, PASSING, PASSING_MAX_S, PASSING_S, Park, Release, Retry, Verdict

AGED_SHARE = 16
"""One claimed job in so many is the oldest that waits, whatever its priority: none starves."""

MAX_CRASHES = 5
"""A job is parked that was cut off so often, and since its second time as the only suspect that ran."""

MESSAGE_CHARS = 2000

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().raw_decode  # what _encode wrote has no spaces around it
_FINAL = (Done, Skip)
_PRIORITIES = {int(priority): priority for priority in Priority}

# A leased job keeps its state: its ack will find the generation raised. A parked one wakes up, unless a mere scan
# offers the very payload that failed. An empty payload does not unsay what a waiting job was told. Failures count for a
# payload, so a new one starts without any. What is wanted soon is not made to wait in a slower lane ('fast' < 'heavy'
# < 'outside') because somebody also wants what takes long.
_PUT = f"""
    INSERT INTO job (stage, key, payload, priority, lane, state, not_before, queued_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (stage, key) DO UPDATE SET
        payload = iif(excluded.payload = '{{}}' AND state IN (0, 1), payload, excluded.payload),
        priority = iif(state = 3, excluded.priority, min(priority, excluded.priority)),
        lane = iif(state = 3, excluded.lane, min(lane, excluded.lane)),
        attempts = iif(state = 3 OR payload <> excluded.payload, 0, attempts),
        crashes = iif(state = 3 OR payload <> excluded.payload, 0, crashes),
        state = iif(state = 2, 2, excluded.state),
        generation = generation + 1,
        not_before = excluded.not_before,
        queued_at = iif(state = 3, excluded.queued_at, queued_at),
        reason = NULL, message = NULL, hint = NULL, parked_at = NULL, tried_with = NULL
    WHERE NOT (state = 3 AND excluded.priority >= {int(Priority.BACKFILL)} AND payload = excluded.payload)
"""

# ?1 lane, ?2 how many, ?3 lease, ?4 its end, ?5... the stages. Each stage is a stretch of the index that is already in
# order, so a claim reads as many entries per stage as it may take, and no more.
_FIRST = """SELECT * FROM (SELECT id, priority AS rank FROM job INDEXED BY job_ready
    WHERE state = 0 AND crashes < 2 AND lane = ?1 AND stage = ?{stage} AND priority <= {last}
    ORDER BY priority, id LIMIT ?2)"""
_OLDEST = """SELECT * FROM (SELECT id, 0 AS rank FROM job INDEXED BY job_ready
    WHERE state = 0 AND crashes < 2 AND lane = ?1 AND stage = ?{stage} AND priority = {priority}
    ORDER BY id LIMIT ?2)"""
_SUSPECT = """SELECT id, 0 AS rank FROM job INDEXED BY job_suspect
    WHERE state = 0 AND crashes >= 2 AND lane = ?1 AND stage IN ({stages}) AND priority <= {last}
        AND NOT EXISTS (SELECT 1 FROM job INDEXED BY job_suspect WHERE state = 2 AND crashes >= 2)"""
_CLAIM = """
    UPDATE job SET state = 2, lease = ?3, lease_until = ?4
    WHERE id IN (SELECT id FROM ({candidates}) ORDER BY rank, id LIMIT ?2)
    RETURNING priority, id, stage, key, payload, attempts, generation
"""

# Each tells by the number of rows whether the lease, and the generation where it counts, were still what they were.
_DELETE = "DELETE FROM job WHERE id = ? AND lease = ? AND generation = ?"
_MOVE = """
    UPDATE job SET state = ?, not_before = ?, attempts = attempts + ?, reason = ?, message = ?, hint = ?,
        parked_at = ?, tried_with = ?, crashes = 0, lease = NULL, lease_until = NULL
    WHERE id = ? AND lease = ? AND generation = ?
"""
_ASKED_AGAIN = """
    UPDATE job SET state = iif(not_before IS NULL, 0, 1), crashes = 0, lease = NULL, lease_until = NULL
    WHERE id = ? AND lease = ?
"""
# A put lowers the lane of a leased job too. One with a payload brings news; a scan that finds all as it was has none.
_OVERTAKEN = f"""SELECT 1 FROM job WHERE id = ? AND lease = ? AND lane < ?
    AND (payload <> '{{}}' OR priority <= {int(Priority.CHANGED)})"""
_HEARTBEAT = "UPDATE job SET lease_until = ? WHERE id = ? AND lease = ?"

_PARK_ABANDONED = """
    UPDATE job SET state = 3, crashes = crashes + 1, parked_at = ?, tried_with = ?, not_before = NULL, lease = NULL,
        lease_until = NULL, reason = 'crashed-worker', message = 'its worker ended or lost touch every time', hint = ?
    WHERE state = 2 AND lease_until <= ? AND crashes + 1 >= ?
"""
_RECLAIM = """
    UPDATE job SET state = iif(not_before IS NULL, 0, 1), crashes = crashes + ?, lease = NULL, lease_until = NULL
    WHERE state = 2 AND lease_until <= ?
"""

_CUT_DELAYS = "UPDATE job SET not_before = ?1 WHERE state = 1 AND not_before > ?1"
_PROMOTE = """
    UPDATE job SET state = 0, not_before = NULL
    WHERE id IN (SELECT id FROM job WHERE state = 1 AND not_before <= ? ORDER BY not_before LIMIT ?)
"""
_WAKE = """
    UPDATE job SET state = 0, attempts = {attempts}, crashes = 0, reason = NULL, message = NULL, hint = NULL,
        parked_at = NULL, tried_with = NULL
    WHERE state = 3 AND {those}
"""
_UNPARK = _WAKE.format(
    attempts=0, those="(?1 IS NULL OR reason = ?1) AND (?2 IS NULL OR stage = ?2) AND (?3 IS NULL OR key = ?3)"
)
_UNPARK_IDS = _WAKE.format(attempts=0, those="id IN (SELECT value FROM json_each(?1))")
_UNPARK_OUTDATED = _WAKE.format(attempts=0, those="tried_with IS NOT ?1")
# attempts stay: one more failure parks it again, with one more to its count, and so for twice as long. abs: a clock
# that was set back must not make it wait for years.
_UNPARK_PASSING = _WAKE.format(
    attempts="attempts",
    those="reason IN (SELECT value FROM json_each(?1)) AND abs(?2 - parked_at) >="
    " min(?4, ?3 * (1 << max(0, min(attempts - ?5, 16))))",
)

PROMOTE_JOBS = 1000
FOREVER = float("inf")

Move = tuple[int, float | None, int, str | None, str | None, str | None, float | None, str | None]
"""State, not_before, attempts to add, reason, message, hint, parked_at, tried_with."""


class QueueStore(QueueReader):
    """The daemon's end of the queue. Every method is one transaction.

    Raises what :class:`~lakewatchd.queue.database.Database` translates: ``OutOfSpace`` and ``Busy`` may pass,
    ``QueueDamaged`` and ``SchemaTooNew`` do not.
    """

    def __init__(self, path: Path, config: QueueConfig, clock: Clock, tried_with: str = "") -> None:
        """``tried_with`` names the code and settings of today, for parked jobs to remember."""
        super().__init__(Database(path), clock)
        self.seen = seen.SeenStore(self._db)
        self.polled = PollStore(self._db)
        self._config = config
        self._tried_with = tried_with
        self._owner = secrets.token_hex(8)
        self._claims = 0
        self._claimed: Counter[tuple[Lane, Priority]] = Counter()
        self._stages = set(_known_stages(self._db))
        self._paused = frozenset(scope.scope for scope in self.paused())

    # --- in -----------------------------------------------------------------------------------------------

    def put(self, specs: Iterable[JobSpec]) -> int:
        """Queues work, durably, all or nothing; returns how many jobs are pending because of it.

        A job that is pending already takes the new payload, the more urgent priority and the new delay. One that
        is running runs once more afterwards. A parked one wakes up, except if the priority is ``BACKFILL`` or
        less and the payload the one that failed: a scan that finds what it found before changes nothing.
        """
        with self._db.transaction() as run:
            return self._put(run, specs)

    def _put(self, run: Connection, specs: Iterable[JobSpec]) -> int:
        return max(0, run.executemany(_PUT, self._rows(specs)).rowcount)

    def _rows(self, specs: Iterable[JobSpec]) -> Iterator[Row]:
        now = self._clock.now()
        for spec in specs:
            stage = spec.stage
            self._stages.add(stage)
            state, not_before = self._pending(spec.delay_s) if spec.delay_s else (READY, None)
            payload = _encode(spec.payload)
            yield stage, encode_key(spec.key), payload, int(spec.priority), spec.lane.value, state, not_before, now

    # --- out ----------------------------------------------------------------------------------------------

    def claim(
        self, lane: Lane, limit: int, *, max_priority: Priority | None = None, without: Collection[str] = ()
    ) -> list[Job]:
        """Leases up to ``limit`` ready jobs of ``lane`` for ``lease_s``, the most urgent first.

        ``max_priority`` leaves out all that is less urgent, ``without`` leaves out stages. One job in
        :data:`AGED_SHARE` is the oldest instead of the most urgent. Of the suspects (see :meth:`reclaim_all`) one at
        a time is leased. The cost does not depend on how many wait.
        Not durable: a power cut takes the claim back and the job is ready again.
        """
        stages = tuple(sorted(self._stages.difference(self._paused, without)))
        if limit <= 0 or not stages or EVERYTHING in self._paused or EVERYTHING in without:
            return []
        last = max(Priority) if max_priority is None else max_priority
        before = self._claimed[lane, last]
        aged = (before + limit) // AGED_SHARE - before // AGED_SHARE
        self._claims += 1
        lease = f"{self._owner}.{self._claims}"
        args = (lease, self._clock.monotonic() + self._config.lease_s, *stages)
        with self._db.transaction(durable=False) as run:
            rows = run.execute(_claim_suspect(len(stages), last), (lane.value, 1, *args)).fetchall()
            if aged > len(rows):
                rows += run.execute(_claim_oldest(len(stages), last), (lane.value, aged - len(rows), *args)).fetchall()
            rows += run.execute(_claim_first(len(stages), last), (lane.value, limit - len(rows), *args)).fetchall()
        self._claimed[lane, last] += len(rows)
        rows.sort()  # by priority and id, which is unique
        try:
            return [
                Job(
                    id_,
                    stage,
                    decode_key(key),
                    _decode(payload)[0],
                    _PRIORITIES[priority],
                    lane,
                    attempts,
                    asked,
                    lease,
                )
                for priority, id_, stage, key, payload, attempts, asked in rows
            ]
        except (LookupError, TypeError, ValueError) as exc:  # the pages are in order, what is on them is not
            raise self._db.damaged(f"a job holds what nobody wrote: {exc}") from exc

    # --- what became of it --------------------------------------------------------------------------------

    def ack(self, finished: Sequence[tuple[Job, Verdict]]) -> None:
        """Records what became of claimed jobs, with all that ``Done`` carries, in one durable transaction.

        A job whose lease was lost changes nothing at all. A job that was put again while it ran counts as done,
        its ``Done`` is kept (what it saw was true), and it becomes ready once more.
        """
        with self._db.transaction() as run:
            cursor = run.cursor()
            held = [verdict for job, verdict in finished if self._settle(cursor, job, verdict)]
            done = [verdict for verdict in held if isinstance(verdict, Done)]
            seen.write(run, _places(done))
            self._put(run, (spec for verdict in done for spec in verdict.then))

    def _settle(self, run: Cursor, job: Job, verdict: Verdict) -> bool:
        """Ends the lease; False if it was lost before."""
        proof = (job.id, job.lease, job.generation)
        if isinstance(verdict, _FINAL):
            run.execute(_DELETE, proof)
        else:
            run.execute(_MOVE, (*self._move(verdict), *proof))
        return run.rowcount == 1 or run.execute(_ASKED_AGAIN, proof[:2]).rowcount == 1

    def _move(self, verdict: Again | Release | Retry | Park) -> Move:
        match verdict:
            case Park(reason, message, hint):
                told = reason, _storable(message), _storable(hint)
                return PARKED, None, 1, *told, self._clock.now(), self._tried_with
            case Retry(delay_s, reason, message):
                return *self._pending(delay_s), 1, reason, _storable(message), None, None, None
            case Again(delay_s, reason):
                return *self._pending(delay_s), 0, reason, None, None, None, None
            case Release(delay_s, reason, message):
                return *self._pending(delay_s), 0, reason or None, _storable(message or None), None, None, None

    def retry(self, job: Job, delay_s: float, reason: str, message: str) -> None:
        """Later, and one attempt spent."""
        self.ack([(job, Retry(delay_s, reason, message))])

    def park(self, job: Job, reason: str, message: str, hint: str | None = None) -> None:
        """Not again until a person or other content says so."""
        self.ack([(job, Park(reason, message, hint))])

    def release(self, job: Job, delay_s: float = 0.0) -> None:
        """Gives it back unworked; no attempt is spent."""
        self.ack([(job, Release(delay_s))])

    # --- leases and delays --------------------------------------------------------------------------------

    def heartbeat(self, jobs: Iterable[Job]) -> None:
        """Their workers live: the leases run ``lease_s`` from now. Lost ones stay lost."""
        until = self._clock.monotonic() + self._config.lease_s
        with self._db.transaction(durable=False) as run:
            run.executemany(_HEARTBEAT, [(until, job.id, job.lease) for job in jobs])

    def overtaken(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of these claimed jobs that somebody has news of, or asks for, in a faster lane than they run in."""
        return [job for job in jobs if self._db.rows(_OVERTAKEN, (job.id, job.lease, job.lane.value))]

    def expire_leases(self) -> int:
        """Takes back what nobody gave a sign of life for, as :meth:`reclaim_all`; returns how many."""
        return self._reclaim(self._clock.monotonic(), is_fault=True)

    def reclaim_all(self) -> int:
        """At the start of the daemon, when nobody else can hold a lease: all are taken back; returns how many.

        What was running when the daemon died is seldom to blame, so no attempt is spent. Who was there twice in a
        row is a suspect, and suspects run one at a time: if the daemon goes on dying, only the culprit is there
        every time and is parked at :data:`MAX_CRASHES`, and if it does not, they are done soon. A run that ends by
        itself, however, clears its job.
        """
        return self._reclaim(FOREVER, is_fault=True)

    def release_all(self) -> int:
        """At an orderly stop: all leases are given back and no attempt is spent."""
        return self._reclaim(FOREVER, is_fault=False)

    def _reclaim(self, until: float, *, is_fault: bool) -> int:
        parked = 0
        with self._db.transaction() as run:
            if is_fault:
                hint = "look for a crash in the log; `lakewatchd queue retry` tries it again"
                args = (self._clock.now(), self._tried_with, hint, until, MAX_CRASHES)
                parked = run.execute(_PARK_ABANDONED, args).rowcount
            return parked + run.execute(_RECLAIM, (int(is_fault), until)).rowcount

    def promote(self) -> int:
        """Delayed jobs that are due become ready, at most :data:`PROMOTE_JOBS` of them; returns how many."""
        now = self._clock.now()
        with self._db.transaction(durable=False) as run:
            run.execute(_CUT_DELAYS, (now + self._config.backoff_max_s,))  # the clock was set back
            return run.execute(_PROMOTE, (now, PROMOTE_JOBS)).rowcount

    # --- parked jobs come back ----------------------------------------------------------------------------

    def unpark_outdated(self) -> int:
        """Jobs that other code or settings than today's could not do become ready; returns how many."""
        with self._db.transaction() as run:
            return run.execute(_UNPARK_OUTDATED, (self._tried_with,)).rowcount

    def unpark_passing(self) -> int:
        """Jobs parked long enough for a :data:`~lakewatchd.queue.retry.PASSING` reason get one try; how many."""
        args = (_encode(sorted(PASSING)), self._clock.now(), PASSING_S, PASSING_MAX_S, self._config.max_attempts)
        with self._db.transaction() as run:
            return run.execute(_UNPARK_PASSING, args).rowcount

    # --- what a person may do -----------------------------------------------------------------------------

    def unpark(self, reason: str | None = None, stage: str | None = None, key: str | None = None) -> int:
        """Parked jobs that match all that is given become ready with no attempts spent; returns how many."""
        with self._db.transaction() as run:
            return run.execute(_UNPARK, (reason, stage, None if key is None else encode_key(key))).rowcount

    def unpark_jobs(self, ids: Iterable[int]) -> int:
        """Those of these jobs that are parked become ready; returns how many."""
        with self._db.transaction() as run:
            return run.execute(_UNPARK_IDS, (_encode(list(ids)),)).rowcount

    def pause(self, scope: str = EVERYTHING, reason: str = "") -> None:
        """Nothing of ``scope`` (a stage, or ``*``) is claimed until :meth:`resume`, across restarts."""
        with self._db.transaction() as run:
            row = (scope, self._clock.now(), _storable(reason))
            run.execute("INSERT OR REPLACE INTO pause (scope, since, reason) VALUES (?, ?, ?)", row)
        self._paused |= {scope}

    def resume(self, scope: str = EVERYTHING) -> bool:
        """Ends the pause of exactly ``scope``; False if there was none."""
        with self._db.transaction() as run:
            found = run.execute("DELETE FROM pause WHERE scope = ?", (scope,)).rowcount > 0
        self._paused -= {scope}
        return found

    def _after(self, delay_s: float) -> float | None:
        """When, by the wall clock; None for now."""
        return self._clock.now() + min(delay_s, self._config.backoff_max_s) if delay_s > 0 else None

    def _pending(self, delay_s: float) -> tuple[int, float | None]:
        not_before = self._after(delay_s)
        return (READY if not_before is None else LATER), not_before


def _places(done: Iterable[Done]) -> dict[PathKey, Occurrence | None]:
    """What lies where after all of it: the later verdict knows better."""
    places: dict[PathKey, Occurrence | None] = {}
    for verdict in done:
        for key in verdict.gone:
            places[key] = None
        for place in verdict.seen:
            places[place.key] = place
    return places


def _known_stages(database: Database) -> Iterable[str]:
    """One index seek per stage; SELECT DISTINCT would read a million entries."""
    stage = ""
    while (found := database.rows("SELECT min(stage) FROM job WHERE stage > ?", (stage,))[0][0]) is not None:
        yield (stage := found)


@cache
def _claim_suspect(stages: int, last: int) -> str:
    listed = ", ".join(f"?{5 + n}" for n in range(stages))
    return _CLAIM.format(candidates=_SUSPECT.format(stages=listed, last=int(last)))


@cache
def _claim_first(stages: int, last: int) -> str:
    candidates = [_FIRST.format(stage=5 + n, last=int(last)) for n in range(stages)]
    return _CLAIM.format(candidates=" UNION ALL ".join(candidates))


@cache
def _claim_oldest(stages: int, last: int) -> str:
    candidates = [
        _OLDEST.format(stage=5 + n, priority=priority) for n in range(stages) for priority in range(int(last) + 1)
    ]
    return _CLAIM.format(candidates=" UNION ALL ".join(candidates))


def _storable(text: str | None) -> str | None:
    """Error messages quote file names: what is not Unicode is escaped, what is endless is cut."""
    return None if text is None else text[:MESSAGE_CHARS].encode("utf-8", "backslashreplace").decode()
