"""What needs room or a lock waits for it: a full disk delays the daemon, it does not end it.

Jobs have their own patience (``queue/worker.py``), and so have sources (``sources/outlet.py``). This one is for the
steps of the start and of a reload, and for the reserve: work rests *before* the disk is full to the last byte, because
a machine whose disk is full has other troubles than photos.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lakewatchd.config import Config
from lakewatchd.errors import PauseError, TransientError

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

T = TypeVar("T")

RETRY_S = 5.0
LOOK_S = 5.0

_log = logging.getLogger(__name__)


async def patiently(step: Callable[[], Awaitable[T]], tell: Callable[[str], object]) -> T:
    """What ``step`` comes to, tried every :data:`RETRY_S` while what it needs is away.

    ``tell`` is given what it waits for, and nothing once it has it.
    """
    waits_for = ""
    while True:
        try:
            result = await step()
        except (PauseError, TransientError) as exc:
            if exc.message != waits_for:
                _log.warning("waiting: %s", exc.message)
                tell(exc.message)
            waits_for = exc.message
            await asyncio.sleep(RETRY_S)
        else:
            if waits_for:
                tell("")
            return result


async def keep_reserve(daemon: Daemon) -> None:
    """Hold the workers while less than ``daemon.min_free_mb`` is free where we write. What is kept of objects gives way
    first."""
    while True:
        shortage = await asyncio.to_thread(lambda: next(shortages(daemon.config), ""))
        if shortage and daemon.objects.cache is not None:
            await asyncio.to_thread(daemon.objects.cache.tidy)
            shortage = await asyncio.to_thread(lambda: next(shortages(daemon.config), ""))
        daemon.pool.hold(shortage)
        await asyncio.sleep(LOOK_S)


def shortages(config: Config) -> Iterator[str]:
    """Where there is less room than the reserve, and how much is missing."""
    reserve, places = config.daemon.min_free_mb, [config.daemon.state_dir]
    try:
        places.append(Path(tempfile.gettempdir()))
    except FileNotFoundError as exc:  # it is looked for by writing to it
        yield str(exc.strerror)
    for place in dict.fromkeys(places):
        free = shutil.disk_usage(place).free >> 20
        if free < reserve:
            missing = f"{reserve - free} MB more are needed (daemon.min_free_mb = {reserve})"
            yield f"only {free} MB free in {place}: {missing}"
