"""When a server of captions that was away is back, what lacks a caption goes into the queue."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

PROBE_S = 1.0

_log = logging.getLogger(__name__)


async def watch_server(daemon: Daemon) -> None:
    while daemon.captioner is not None:
        await asyncio.sleep(PROBE_S)
        if await daemon.captioner.probe():
            count = await daemon.patiently(lambda: daemon.queue_stale("caption"))
            _log.info("the server of captions is back: %d assets lack one", count)
            daemon.pool.wake()
