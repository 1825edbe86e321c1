"""Calls in threads that nobody joins: answers come back, and what hangs is counted and bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lakewatchd.daemon.threads import Threads
from lakewatchd.errors import TimedOut


async def test_an_answer_and_an_error_come_back() -> None:
    threads = Threads("test")
    assert await asyncio.gather(*[threads.run(lambda n=n: n) for n in range(40)]) == list(range(40))  # type: ignore[misc]
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    assert threads.left_behind == 0


async def test_what_hangs_is_left_behind_and_no_more_than_so_many() -> None:
    threads, gate = Threads("test", limit=3), threading.Event()
    calls = [asyncio.create_task(threads.run(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert threads.left_behind == 3
    with pytest.raises(TimedOut, match="3 calls of test hang already"):
        await threads.run(lambda: None)
    left = list(threads._left)
    gate.set()
    for thread in left:
        await asyncio.to_thread(thread.join)
    assert await threads.run(lambda: "again") == "again"
