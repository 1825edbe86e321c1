"""``at/<tag or version>/``: the folders as they were.

A moment is read into folders of its own when somebody looks into it, and some are kept. Tags are listed. Versions come
and go with each commit and can only be named: who walks through the whole view must not walk through each of them.

The invariants: folders that are not all there are not shown, whoever looks meanwhile gets an error (a mirror would take
the rest for deleted); what is read there is the content of that time or an error, wherever it lies now.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lakewatchd import errors
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.lake.past import Moment
from lakewatchd.views.mounted.entries import Branch, Folders, Leaf, Shown, Text, Touched
from lakewatchd.views.mounted.feed import Feed
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.follow import Follower
from lakewatchd.views.mounted.names import folder_name
from lakewatchd.views.mounted.waiting import Crowded, WaitingRoom

AT = b"at"
README = b"README.txt"
KEPT = 2
LISTED_S = 5.0
"""How long a list of moments is taken for true."""
DEADLINE_S = 10.0
LISTED_MAX = 1000


class MomentFeed(Feed, Protocol):
    def close(self) -> None: ...


class History(Protocol):
    async def moments(self) -> Sequence[Moment]:
        """Those that can be read now. Raises LakewatchError."""
        ...

    def reader(self, moment: Moment) -> MomentFeed: ...


@dataclass(slots=True)
class Past:
    """``follow`` makes what reads a feed into folders."""

    history: History
    follow: Callable[[Feed], Follower] = Follower
    clock: Clock = field(default_factory=SystemClock)
    _moments: dict[bytes, Moment] = field(default_factory=dict)
    _listed_at: float = float("-inf")
    _listing: asyncio.Future[Sequence[Moment]] | None = None
    _readings: OrderedDict[Moment, asyncio.Task[Folders]] = field(default_factory=OrderedDict)
    _waiting: WaitingRoom = field(default_factory=WaitingRoom)

    async def folder(self, folder: Folder) -> Branch | None:
        if len(folder) == 1:
            return Branch(0, 2)
        moment = (await self._list()).get(folder[1])
        if moment is None:
            return None
        return Branch(int(moment.at * 1e9), 2) if len(folder) == 2 else (await self._read(moment)).folder(folder[2:])

    async def lookup(self, folder: Folder, name: bytes) -> Shown | None:
        if len(folder) == 1:
            return self._about(await self._list()) if name == README else await self.folder((*folder, name))
        moment = (await self._list()).get(folder[1])
        return None if moment is None else _whole(await self._read(moment), folder[2:], name)

    async def entries(self, folder: Folder) -> Iterable[tuple[bytes, Shown]]:
        moments = await self._list()
        if len(folder) == 1:
            tagged = [(name, moment) for name, moment in moments.items() if moment.is_tagged]
            return [(README, self._about(moments)), *((name, Branch(int(at.at * 1e9), 2)) for name, at in tagged)]
        then = await self._read(moments[folder[1]])
        names = (name for name, _ in then.entries(folder[2:]))
        return ((name, shown) for name in names if (shown := _whole(then, folder[2:], name)) is not None)

    @staticmethod
    def _about(moments: Mapping[bytes, Moment]) -> Text:
        newest = sorted(moments.values(), key=lambda moment: moment.at)[-LISTED_MAX:]
        times = (dt.datetime.fromtimestamp(moment.at).astimezone() for moment in newest)
        lines = (f"{time:%Y-%m-%d %H:%M:%S}  at/{moment.name}" for time, moment in zip(times, newest, strict=True))
        return Text(_ABOUT + "\n".join(lines).encode() + b"\n")

    async def _list(self) -> dict[bytes, Moment]:
        """Raises OSError: ``EIO`` when the lake cannot tell."""
        if self.clock.monotonic() - self._listed_at > LISTED_S:
            if self._listing is None or self._listing.done():
                self._listing = asyncio.ensure_future(self.history.moments())
            try:
                moments = await self._waiting.until_done(self._listing, DEADLINE_S)
            except (errors.LakewatchError, TimeoutError, Crowded) as exc:
                raise _error(errno.EIO) from exc
            self._moments = {folder_name(moment.name): moment for moment in moments}
            self._listed_at = self.clock.monotonic()
        return self._moments

    async def _read(self, moment: Moment) -> Folders:
        """Raises OSError: ``EAGAIN`` while it is being read, ``EIO`` when it cannot be."""
        reading = self._readings.get(moment)
        if reading is None:
            reading = self._readings[moment] = asyncio.create_task(self._reading(moment))
        self._readings.move_to_end(moment)
        while len(self._readings) > KEPT:
            self._readings.popitem(last=False)[1].cancel()
        try:
            return await self._waiting.until_done(reading, DEADLINE_S)
        except (Crowded, TimeoutError) as exc:
            raise _error(errno.EAGAIN) from exc
        except errors.LakewatchError as exc:
            self._readings.pop(moment, None)
            raise _error(errno.EIO) from exc

    async def _reading(self, moment: Moment) -> Folders:
        """In a thread: of a large lake it takes minutes, and the loop that answers must not share its time with it."""
        is_over = threading.Event()
        try:
            return await asyncio.to_thread(self._read_apart, moment, is_over)
        finally:
            is_over.set()

    def _read_apart(self, moment: Moment, is_over: threading.Event) -> Folders:
        feed = self.history.reader(moment)
        try:
            return asyncio.run(self._followed(feed, is_over))
        finally:
            feed.close()

    async def _followed(self, feed: Feed, is_over: threading.Event) -> Folders:
        async def still_wanted(_: Touched) -> None:
            if is_over.is_set():
                raise asyncio.CancelledError

        follower = self.follow(feed)
        if not await follower.refresh(still_wanted):
            raise errors.Busy("the lake cannot be read just now")
        return follower.index


def _whole(then: Folders, folder: Folder, name: bytes) -> Shown | None:
    """With all that is known of it: the number of a file means something in the folders of today only."""
    shown = then.lookup(folder, name)
    return then.file(folder, name) if isinstance(shown, Leaf) else shown


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


_ABOUT = b"""The folders as they were at a version of the lake, or at one with a name (a tag). A version without a name
lasts for some minutes after the next one. Files are read where they lie today: what is nowhere any more is an error.

"""
