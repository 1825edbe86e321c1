"""``at/`` without a kernel: what is being read is not shown, what cannot be read is an error."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator

import pytest

from lakewatchd import errors
from lakewatchd.core.asset import Kind, PathKey, Version
from lakewatchd.lake.past import Moment
from lakewatchd.lake.reader import Changes
from lakewatchd.lake.rows import OccurrenceRow, Presence
from lakewatchd.testing import FakeClock
from lakewatchd.views.mounted import past
from lakewatchd.views.mounted.past import AT, KEPT, Past


def occurrence(root: str, path: str, asset: str) -> OccurrenceRow:
    return OccurrenceRow(
        PathKey(root, path), asset, Kind.IMAGE, "image/jpeg", Version(1, 2, 3), Presence.PRESENT, 1.0, 1.0
    )


class Reader:
    def __init__(self, history: History, name: str) -> None:
        self._history = history
        self.name = name
        self.parts = 0

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        self._history.read_by = threading.get_ident()
        while not self._history.is_let.is_set():  # noqa: ASYNC110 (by another thread)
            await asyncio.sleep(0.001)
        if self._history.is_broken:
            raise errors.LakeAway("the bucket does not answer")
        for number in range(3):
            self.parts += 1
            yield Changes(1, True, (occurrence("photos", f"{number}.jpg", f"{number:064}"),))

    def close(self) -> None:
        self._history.closed += 1


class History:
    """A lake of five versions that answers when it is let."""

    def __init__(self) -> None:
        self.is_let = threading.Event()
        self.read_by = 0
        self.readers: list[Reader] = []
        self.is_broken = False
        self.listed = self.opened = self.closed = 0

    async def moments(self) -> list[Moment]:
        self.listed += 1
        if self.is_broken:
            raise errors.LakeAway("the bucket does not answer")
        return [Moment(str(number), float(number), number, number, is_tagged=number == 3) for number in range(5)]

    def reader(self, moment: Moment) -> Reader:
        self.opened += 1
        self.readers.append(Reader(self, moment.name))
        return self.readers[-1]


async def names(room: Past, *folder: bytes) -> list[bytes]:
    return [name for name, _ in await room.entries((AT, *folder))]


async def test_tags_are_listed_versions_are_named_and_nobody_reads_one_for_that() -> None:
    history = History()
    room = Past(history, clock=FakeClock())  # of a list that is five seconds old another is asked for
    assert await names(room) == [b"README.txt", b"3"]
    assert await room.folder((AT, b"4")) is not None
    assert await room.folder((AT, b"5")) is None
    assert (history.listed, history.opened) == (1, 0)


async def test_half_of_what_was_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "DEADLINE_S", 0.05)
    history = History()
    room = Past(history)
    for _ in range(3):
        with pytest.raises(OSError, match="temporarily") as refused:
            await names(room, b"1")
        assert refused.value.errno == errno.EAGAIN
    monkeypatch.setattr(past, "DEADLINE_S", 60.0)  # it is told now, by another thread
    history.is_let.set()
    assert b"by-tag" in await names(room, b"1")
    assert (history.opened, history.closed) == (1, 1)
    assert history.read_by != threading.get_ident()


async def test_what_nobody_wants_any_more_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "DEADLINE_S", 0.05)
    history = History()
    room = Past(history)
    for name in (b"0", b"1", b"2"):
        with pytest.raises(OSError, match="temporarily"):
            await names(room, name)
        while not history.readers or history.readers[-1].name != name.decode():  # noqa: ASYNC110 (by another thread)
            await asyncio.sleep(0.001)  # what has not begun by the time that nobody wants it never does
    monkeypatch.setattr(past, "DEADLINE_S", 60.0)
    history.is_let.set()
    await names(room, b"2")
    while history.closed < history.opened:  # noqa: ASYNC110 (by another thread)
        await asyncio.sleep(0.001)
    assert [reader.parts for reader in history.readers] == [1, 3, 3]


async def test_only_the_latest_are_kept() -> None:
    history = History()
    history.is_let.set()
    room = Past(history)
    for name in (b"0", b"1", b"2", b"2", b"1"):
        await names(room, name)
    assert history.opened == 3 > KEPT
    await names(room, b"0")
    assert history.opened == history.closed == 4


async def test_a_lake_that_cannot_be_read_is_an_error_and_then_asked_again() -> None:
    history = History()
    history.is_let.set()
    room = Past(history)
    await names(room)
    history.is_broken = True
    with pytest.raises(OSError, match="Input/output"):
        await names(room, b"1")
    history.is_broken = False
    assert b"by-tag" in await names(room, b"1")
