"""Units of queued work, and what can become of them.

::

                put                claim               ack
    (nothing) ──────► READY ──────────────► LEASED ───────────► (nothing)
                        ▲  ▲                 │  │ │  error, undecided
      not_before passed │  │ lease expired   │  │ └────────► LATER (retry: not_before = backoff)
                      LATER └────────────────┘  └──────────► PARKED (needs a person, or other content)

A ``put`` for a key that is LEASED does not start a second job: it raises the generation, so that the ack of
the running one finds its work out of date and the job becomes READY again.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable
from dataclasses import dataclass, field

from lakewatchd.core.asset import Occurrence, PathKey


class Priority(enum.IntEnum):
    """Smaller is sooner. One claim in sixteen takes the oldest job of any class, so that none starves."""

    ASKED = 0
    FRESH = 1
    CHANGED = 2
    BACKFILL = 3
    ENRICHMENT = 4


class JobState(enum.StrEnum):
    READY = "ready"
    LATER = "later"
    LEASED = "leased"
    PARKED = "parked"


class Lane(enum.StrEnum):
    """Who runs it: a two-hour video in the heavy lane never delays a photo in the fast one."""

    FAST = "fast"
    HEAVY = "heavy"
    OUTSIDE = "outside"
    """What another program is asked for, which may be slow or not there."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Work to be queued. ``key`` is unique per ``stage``: a second put replaces the first."""

    stage: str
    key: str
    payload: dict[str, object] = field(default_factory=dict)
    """JSON values only. The newest put wins whole, but an empty one says nothing: what a waiting job has stays."""
    priority: Priority = Priority.FRESH
    lane: Lane = Lane.FAST
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """Claimed work: a lease, not a delete. ``generation`` proves on ack that nobody asked again meanwhile."""

    id: int
    stage: str
    key: str
    payload: dict[str, object]
    priority: Priority
    lane: Lane
    attempts: int
    generation: int
    lease: str


@dataclass(frozen=True, slots=True)
class ParkedJob:
    """A job that waits for a person, for other content, or for a resource to come back."""

    id: int
    stage: str
    key: str
    payload: dict[str, object]
    reason: str
    message: str
    hint: str | None
    attempts: int
    parked_at: float


@dataclass(frozen=True, slots=True)
class Done:
    """Finished. Everything here is recorded in the same transaction as the ack."""

    then: tuple[JobSpec, ...] = ()
    """The jobs it leads to."""
    seen: tuple[Occurrence, ...] = ()
    """What is now known to lie where, for the next scan to compare with."""
    gone: tuple[PathKey, ...] = ()
    """Places where nothing lies any more."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do, and why: ``unchanged``, ``ignored``, ``never seen``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """The content moved under our hands: look once more after ``delay_s``. Costs no attempt."""

    delay_s: float
    reason: str = "changed while reading"


Outcome = Done | Skip | Again


@dataclass(frozen=True, slots=True)
class Handled:
    """What a handler made of a job. The worker slot is free again; the ack waits for ``durable``."""

    outcome: Outcome
    durable: Awaitable[None] | None = None
    """Resolves once the rows are committed to the lake. Lake first, ack second: a crash in between costs a
    repeat, never a loss."""
