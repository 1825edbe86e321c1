"""What is dear is done by a few at once."""

from __future__ import annotations

import asyncio

import pytest

from lakewatchd.errors import Busy
from lakewatchd.web import turns
from lakewatchd.web.turns import Turns


async def test_a_few_at_once_a_few_wait_the_rest_is_told() -> None:
    doors, at_once, most = Turns(2, "wait", waiting=3), 0, 0
    ends = asyncio.Event()

    async def come() -> bool:
        nonlocal at_once, most
        try:
            async with doors.one():
                at_once += 1
                most = max(most, at_once)
                await ends.wait()
                at_once -= 1
                return True
        except Busy:
            return False

    coming = [asyncio.create_task(come()) for _ in range(9)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert [task.result() for task in coming if task.done()] == [False] * 4
    coming[0].cancel()
    ends.set()
    done = await asyncio.gather(*coming, return_exceptions=True)
    assert most == 2 and done.count(True) == 4 and at_once <= 1
    assert await come(), "all turns are given back"


async def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.0)
    doors = Turns(1, "ask in SQL")
    async with doors.one():
        with pytest.raises(Busy, match="others ask in SQL"):
            async with doors.one():
                pass
