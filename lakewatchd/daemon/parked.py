"""Parked jobs that need no person: what may have passed is tried again, what lost its file is let go.

Those that other code, settings or rights may do are woken at the start (:func:`lakewatchd.daemon.repair.open_queue`),
those of a file that changes by the event or the scan that finds it changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from lakewatchd.core.job import JobSpec, ParkedJob, Priority
from lakewatchd.errors import LakewatchError, PauseError, TransientError
from lakewatchd.stages import ingest

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

TEND_S = 600.0

_log = logging.getLogger(__name__)


async def tend(daemon: Daemon) -> None:
    """Look through the parked jobs every :data:`TEND_S`."""
    while True:
        with contextlib.suppress(PauseError, TransientError):  # a full disk, say: next time
            if again := await daemon.queue_thread(daemon.queue.unpark_passing):
                _log.info("%d parked jobs are tried again: what stopped them may have passed", again)
            if gone := await let_go(daemon):
                _log.info("%d parked jobs were about files that are gone", gone)
            daemon.pool.wake()
        await asyncio.sleep(TEND_S)


async def let_go(daemon: Daemon) -> int:
    """Have parked ingest jobs looked at whose file is gone: no scan misses a file that was never indexed."""
    count, after = 0, 0
    while page := await daemon.queue_thread(daemon.queue.parked_page, after, None, ingest.NAME):
        after = page[-1].id
        specs = [spec for job in page if (spec := await _gone(daemon, job)) is not None]
        count += await daemon.queue_thread(daemon.queue.put, specs) if specs else 0
    return count


async def _gone(daemon: Daemon, job: ParkedJob) -> JobSpec | None:
    """The job that will find nothing there. None if something is there, or nobody can tell now."""
    key = ingest.place(job.payload)
    if daemon.context.files.why_ignored(key) is None:
        try:
            if await daemon.context.files.look(key) is not None:
                return None
        except LakewatchError as exc:  # away, too slow, not readable
            _log.debug("%s cannot be looked at: %s", key.text, exc)
            return None
    return ingest.spec(key, Priority.CHANGED)
