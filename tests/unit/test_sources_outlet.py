"""Events that cannot be made durable wait, are told of, and go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lakewatchd.core.event import FileEvent
from lakewatchd.errors import OutOfSpace
from lakewatchd.sources.outlet import Outlet


async def test_what_waits_for_room_is_said_until_it_went_through() -> None:
    was_tried, has_room = asyncio.Event(), asyncio.Event()

    async def emit(_events: Sequence[FileEvent]) -> None:
        was_tried.set()
        if not has_room.is_set():
            raise OutOfSpace("no room to write queue.db", "free some space")

    outlet = Outlet("nas", emit, retry_s=0.001)
    telling = asyncio.create_task(outlet(()))
    await was_tried.wait()
    await asyncio.sleep(0.01)
    assert outlet.problem is not None
    assert outlet.problem.reason == "changes wait: no room to write queue.db"
    assert outlet.problem.hint == "free some space"
    has_room.set()
    await telling
    assert outlet.problem is None
