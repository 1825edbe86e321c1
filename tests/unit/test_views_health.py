"""What systemd hears of a view, over a real notify socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.views.mounted.feed import Changes
from lakewatchd.views.mounted.follow import Follower
from lakewatchd.views.mounted.health import Health

Heard = Callable[[], list[str]]


class NoLake:
    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        raise errors.Busy("the lake is being written")
        yield  # makes it a generator


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def receive() -> list[str]:
            notices = []
            while True:
                try:
                    notices.append(manager.recv(1000).decode())
                except BlockingIOError:
                    return notices

        yield receive


def test_it_asks_for_time_while_loading_and_pings_once_mounted(heard: Heard) -> None:
    health = Health(Follower(NoLake()))
    health.tell()
    assert heard() == ["STATUS=loading: 0 files so far", "EXTEND_TIMEOUT_USEC=30000000"]
    health.is_mounted = True
    health.tell()
    health.tell()
    assert heard() == ["STATUS=showing 0 files", "WATCHDOG=1", "WATCHDOG=1"]


async def test_a_lake_that_cannot_be_read_is_told_and_the_view_lives_on(heard: Heard) -> None:
    health = Health(Follower(NoLake()), is_mounted=True)
    assert not await health.follower.refresh()
    health.tell()
    assert heard() == ["STATUS=showing 0 files; the lake cannot be read just now", "WATCHDOG=1"]


async def test_pings_come_at_once_and_before_systemd_loses_patience(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")  # so a ping each 10 ms
    telling = asyncio.create_task(Health(Follower(NoLake()), is_mounted=True).run())
    pings = 0
    async with asyncio.timeout(60):
        while pings < 3:
            await asyncio.sleep(0.01)
            pings += heard().count("WATCHDOG=1")
    telling.cancel()
