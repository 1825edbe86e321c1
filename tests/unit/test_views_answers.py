"""Folders that are questions, without a kernel: what is waited for, and for how long."""

from __future__ import annotations

import asyncio

from lakewatchd.core.asset import Kind
from lakewatchd.core.found import Found, Hit, Query
from lakewatchd.errors import ServiceAway
from lakewatchd.views.mounted.answers import KEPT, README, SEARCH, searching
from lakewatchd.views.mounted.catalog import Asset, File
from lakewatchd.views.mounted.entries import Text
from lakewatchd.views.mounted.index import Index

ASSET = "a" * 64


class OneFile:
    """Folders that know of one file."""

    def file_of(self, asset_id: str) -> File:
        return File(Asset(asset_id), "photos", "b/a.jpg", 1, 1, 0.0, False)


class Server:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_let = asyncio.Event()

    async def find(self, query: Query) -> Found:
        self.asked.append(query.text)
        await self.is_let.wait()
        return Found()


async def text_in(room: object, name: bytes) -> str:
    entries = dict(await room.entries((SEARCH, name)))  # type: ignore[attr-defined]
    text = entries[README]
    assert isinstance(text, Text)
    return text.content.decode()


async def test_a_silent_server_is_waited_for_until_the_deadline_and_asked_once() -> None:
    server = Server()
    room = searching(server, Index(), lambda: 1)
    room.deadline_s = 0.05
    for _ in range(3):
        assert "no answer within" in await text_in(room, b"sea")
    assert server.asked == ["sea"]
    room.deadline_s = 60
    server.is_let.set()
    assert "Nothing was found" in await text_in(room, b"sea")
    assert server.asked == ["sea"]


async def test_only_so_many_wait_and_the_others_hear_so_at_once() -> None:
    server = Server()
    room = searching(server, Index(), lambda: 1)
    waiting = [asyncio.create_task(text_in(room, b"%d" % number)) for number in range(200)]
    said = [await done for done in waiting[24:]]
    assert all("Too many" in text for text in said)
    server.is_let.set()
    assert all("Nothing was found" in text for text in [await task for task in waiting[:24]])
    assert len(await room.entries((SEARCH,))) == 1 + KEPT


async def test_an_answer_stands_until_the_lake_changes() -> None:
    server, revision = Server(), 1
    server.is_let.set()
    room = searching(server, Index(), lambda: revision)
    for _ in range(3):
        await text_in(room, b"sea")
    assert server.asked == ["sea"]
    revision = 2
    assert await room.lookup((SEARCH, b"sea"), README) is not None
    assert server.asked == ["sea"]  # who reads on in what was listed finds it
    await text_in(room, b"sea")
    assert server.asked == ["sea", "sea"]


async def test_what_was_found_stays_while_the_server_is_away() -> None:
    class Flaky(Server):
        async def find(self, query: Query) -> Found:
            self.asked.append(query.text)
            if len(self.asked) > 1:
                raise ServiceAway("nobody listens")
            return Found((Hit(ASSET, 1.0, Kind.IMAGE, "", "", ""),))

    revision = 1
    room = searching(Flaky(), OneFile(), lambda: revision)  # type: ignore[arg-type]
    assert [name for name, _ in await room.entries((SEARCH, b"sea"))] == [b"0001 a.jpg"]
    revision = 2
    assert "nobody listens" in await text_in(room, b"sea")
    assert [name for name, _ in await room.entries((SEARCH, b"sea"))] == [b"0001 a.jpg", README]
