"""The table of errors, row by row."""

from __future__ import annotations

import errno
import inspect
import random

import pytest

from lakewatchd import errors
from lakewatchd.config import QueueConfig
from lakewatchd.core.job import Job, Lane, Priority
from lakewatchd.queue.retry import EVERYTHING, ROOT_AWAY_S, Park, Pause, Release, Retry, Stop, backoff_s, decide

CONFIG = QueueConfig(max_attempts=3, backoff_s=2.0, backoff_max_s=60.0)


def job(attempts: int = 0) -> Job:
    return Job(1, "ingest", "key", {}, Priority.FRESH, Lane.FAST, attempts, 0, "lease")


@pytest.mark.parametrize(
    ("error", "attempts", "expected"),
    [
        (errors.DamagedMedia("bad header", "copy it again"), 0, Park("damaged-media", "bad header", "copy it again")),
        (
            errors.UnsupportedMedia("no decoder"),
            0,
            Park("unsupported-media", "no decoder", errors.UnsupportedMedia.usual_hint),
        ),
        (errors.TooLarge("big"), 0, Park("too-large", "big", errors.TooLarge.usual_hint)),
        (errors.NotReadable("denied"), 0, Park("not-readable", "denied", errors.NotReadable.usual_hint)),
        (errors.Busy("locked"), 2, Park("busy", "locked")),
        (errors.TimedOut("slow"), 2, Park("timed-out", "slow")),
        (errors.WorkerDied("gone"), 7, Park("worker-died", "gone")),
        (errors.RootAway("unmounted"), 9, Release(ROOT_AWAY_S, "root-away", "unmounted")),
        (errors.ModelUnavailable("no weights"), 9, Pause("ingest", "no weights", "model-unavailable")),
        (errors.OutOfSpace("full"), 9, Pause(EVERYTHING, "full", "out-of-space")),
        (OSError(errno.ENOSPC, "No space"), 9, Pause(EVERYTHING, "[Errno 28] No space", "out-of-space")),
        (OSError(errno.EDQUOT, "Quota"), 0, Pause(EVERYTHING, "[Errno 122] Quota", "out-of-space")),
    ],
)
def test_row(error: Exception, attempts: int, expected: object) -> None:
    assert decide(error, job(attempts), CONFIG, random.Random(0)) == expected


@pytest.mark.parametrize("error", [errors.Busy("x"), errors.TimedOut("x"), errors.WorkerDied("x")])
def test_transient_errors_are_tried_again_until_the_last_attempt(error: errors.LakewatchError) -> None:
    for attempts in range(CONFIG.max_attempts - 1):
        match decide(error, job(attempts), CONFIG, random.Random(0)):
            case Retry(delay_s, reason, "x"):
                assert (0 <= delay_s <= 2.0 * 2**attempts, reason) == (True, error.reason)
            case other:
                pytest.fail(str(other))


@pytest.mark.parametrize("error", [errors.QueueDamaged("x"), errors.SchemaTooNew("x"), errors.ConfigError("x")])
def test_what_must_not_continue_stops(error: Exception) -> None:
    assert decide(error, job(), CONFIG, random.Random(0)) == Stop(error)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError(errno.EIO, "I/O"), MemoryError(), ExceptionGroup("g", [OSError()])]
)
def test_a_bug_is_tried_once_more_then_parked_with_its_text(error: Exception) -> None:
    assert isinstance(decide(error, job(0), CONFIG, random.Random(0)), Retry)
    match decide(error, job(1), CONFIG, random.Random(0)):
        case Park("bug", message, str()):
            assert type(error).__name__ in message
        case other:
            pytest.fail(str(other))
    once = QueueConfig(max_attempts=1)
    assert isinstance(decide(error, job(0), once, random.Random(0)), Park)


def test_every_error_of_the_tree_has_a_row() -> None:
    """A new kind of error must be one of the known families, not end as a bug."""
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if kind not in (errors.LakewatchError, errors.DaemonDown, errors.BadQuery):  # a client sees the latter two
            decision = decide(kind("x"), job(), CONFIG, random.Random(0))
            assert getattr(decision, "reason", "") != "bug", kind


def test_backoff_grows_to_its_limit_and_spreads_over_the_whole_range() -> None:
    rng = random.Random(1)
    for attempts in (0, 1, 4, 5, 1000, 10**9):
        limit = 60.0 if attempts > 4 else 2.0 * 2**attempts
        delays = [backoff_s(attempts, CONFIG, rng) for _ in range(300)]
        assert 0 <= min(delays) < 0.1 * limit
        assert 0.9 * limit < max(delays) <= limit
