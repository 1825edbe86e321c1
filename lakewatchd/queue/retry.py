"""Which error leads to what. A pure table: no clock, no database, no logging.

Invariant: only :class:`Retry` and a :class:`Park` spend an attempt; a resource that is away never does.
"""

from __future__ import annotations

import errno
import math
import random
from dataclasses import dataclass

from lakewatchd import errors
from lakewatchd.config import QueueConfig
from lakewatchd.core.job import Job, Lane, Outcome

EVERYTHING = "*"
"""The scope of a pause that concerns every stage."""

BUG_ATTEMPTS = 2
"""An error nobody foresaw is tried once more, in case it was the moment and not the content."""

ROOT_AWAY_S = 30.0
"""A job whose root is away looks again after so long, or later if there are many; those of other roots go on."""

PASSING = frozenset({"busy", "timed-out", "worker-died", "not-readable", "model-unavailable", "service-away"})
"""What a job may be parked for although nothing is wrong with its content: it gets one more try now and then."""

PASSING_S = 3600.0
PASSING_MAX_S = 86_400.0
"""A job parked for something that may pass is tried again after the first, then after twice as long, up to the last."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Retry:
    """Later, counted. ``delay_s`` has its jitter in it."""

    delay_s: float
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Park:
    """Not again until a person, other content, other code or, for :data:`PASSING` reasons, time says so."""

    reason: str
    message: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """What all jobs of ``scope`` (a stage or :data:`EVERYTHING`) need is away: give this one back, let all rest."""

    scope: str
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """The daemon must not go on."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Release:
    """Given back unworked, after ``delay_s``. Spends no attempt. ``reason`` and ``message``: what it waits for."""

    delay_s: float = 0.0
    reason: str = ""
    message: str = ""


Decision = Retry | Park | Pause | Release | Stop
Verdict = Outcome | Retry | Park | Release
"""What is recorded of a claimed job."""


def decide(error: BaseException, job: Job, config: QueueConfig, rng: random.Random) -> Decision:
    """What becomes of ``job`` after ``error``. ``job.attempts`` are the failures before this one."""
    match error:
        case errors.FatalError() | errors.ConfigError():
            return Stop(error)
        case errors.RootAway():
            return Release(ROOT_AWAY_S, error.reason, error.message)
        case errors.OutOfSpace() | errors.LakeAway():
            return Pause(EVERYTHING, error.message, error.reason)
        case errors.ModelUnavailable() if job.lane is not Lane.FAST:
            return Park(error.reason, error.message, error.hint)  # what is cheap needs other models, and goes on
        case errors.PauseError():
            return Pause(job.stage, error.message, error.reason)
        case errors.AssetError():
            return Park(error.reason, error.message, error.hint)
        case errors.TransientError() if job.attempts + 1 < config.max_attempts:
            return Retry(backoff_s(job.attempts, config, rng), error.reason, error.message)
        case errors.TransientError():
            return Park(error.reason, error.message, error.hint)
        case OSError() if error.errno in _NO_ROOM:
            return Pause(EVERYTHING, str(error), errors.OutOfSpace(str(error)).reason)
    message = f"{type(error).__name__}: {error}"
    if job.attempts + 1 < min(BUG_ATTEMPTS, config.max_attempts):
        return Retry(backoff_s(job.attempts, config, rng), "bug", message)
    return Park("bug", message, "please report it, with the log of the daemon around this time")


def backoff_s(attempts: int, config: QueueConfig, rng: random.Random) -> float:
    """Exponential backoff with full jitter: uniform in 0..min(``backoff_max_s``, ``backoff_s`` * 2 ** attempts).

    Jitter over the whole range spreads a crowd that failed together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    return rng.uniform(0.0, min(config.backoff_max_s, math.ldexp(config.backoff_s, min(attempts, 64))))
