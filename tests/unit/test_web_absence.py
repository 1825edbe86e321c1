"""Which roots are away: asked now and then, and never waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lakewatchd.control import Json
from lakewatchd.core.asset import Kind, PathKey, Version
from lakewatchd.core.status import RootView, Status
from lakewatchd.core.wire import to_json
from lakewatchd.errors import DaemonDown
from lakewatchd.lake.rows import OccurrenceRow, Presence
from lakewatchd.testing import FakeClock
from lakewatchd.views.mounted.originals import Originals
from lakewatchd.web.absence import EVERY_S, Absence
from lakewatchd.web.content import Away, Gone, open_asset


class Daemon:
    def __init__(self) -> None:
        self.asked = 0
        self.away: list[str] | None = []

    async def status(self) -> Json:
        self.asked += 1
        if self.away is None:
            raise DaemonDown("nobody listens")
        if "old" in self.away:
            return {"roots": "of another version"}
        states = {"a": "present", "b": "starting", **dict.fromkeys(self.away, "away")}
        said: Json = to_json(Status(version="1", roots=tuple(RootView(n, f"/{n}", s) for n, s in states.items())))
        return said


async def test_what_the_daemon_told_last_is_taken_while_it_tells_nothing() -> None:
    daemon, clock = Daemon(), FakeClock()
    absence = Absence(daemon.status, clock)
    assert await absence.roots() == frozenset()
    daemon.away = ["b", "c"]
    assert await absence.roots() == frozenset() and daemon.asked == 1, "not asked for each page"
    clock.advance(EVERY_S)
    assert await absence.roots() == {"b", "c"}
    for away in (None, ["old"]):
        daemon.away = away
        clock.advance(EVERY_S)
        assert await absence.roots() == {"b", "c"}
    assert daemon.asked == 4


async def test_a_file_of_a_root_that_is_not_there_is_away_and_one_that_was_deleted_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "nas"
    row = OccurrenceRow(
        PathKey("nas", "a.txt"), "0" * 64, Kind.DOCUMENT, "text/plain", Version(1, 1, 0), Presence.PRESENT, 0.0, 0.0
    )
    originals = Originals({"nas": root})
    for is_there in (False, True):  # a directory that is not there; one in which nothing is mounted
        with pytest.raises(Away):
            await open_asset(originals, [row])
        if not is_there:
            root.mkdir()
    (root / "other.txt").touch()
    with pytest.raises(Gone):
        await open_asset(originals, [row])
    originals.close_threads()


async def test_who_comes_while_the_daemon_is_asked_for_the_first_time_hears_what_it_says() -> None:
    daemon, gate = Daemon(), asyncio.Event()
    daemon.away = ["c"]

    async def status() -> Json:
        await gate.wait()
        return await daemon.status()

    absence = Absence(status, FakeClock())
    gone, first, second = (asyncio.ensure_future(absence.roots()) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()  # a browser that went on to another page
    await asyncio.wait([gone])
    gate.set()
    assert await asyncio.gather(first, second) == [{"c"}, {"c"}]
    assert daemon.asked == 1
