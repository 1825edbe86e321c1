"""Brings events to the daemon: all that wait go together, one letter at a time, and whoever brought them hears how
it ended.

The invariant: :meth:`Courier.deliver` returns only after the daemon said that they are durable. At most ``max_waiting``
calls wait, and what nobody waits for any more is not sent, nor kept for long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from lakewatchd.buckets.records import Notice
from lakewatchd.child import Json
from lakewatchd.web import wire
from lakewatchd.web.wire import Piece, Tally

ANSWER_S = 15.0
"""How long the daemon may take to make events durable before their sender is told to come again."""

Exchange = Callable[[Json], Awaitable[Json]]
"""A frame to the daemon, and its answer."""


class Full(Exception):
    """As many wait as may."""


class NotDurable(Exception):
    """The daemon could not take the events, or did not say so in time."""


@dataclass(slots=True)
class _Parcel:
    root: str
    piece: Piece
    done: asyncio.Future[bool]
    """Whether they are durable."""


class Courier:
    def __init__(self, exchange: Exchange, max_waiting: int) -> None:
        self._exchange = exchange
        self._max_waiting = max_waiting
        self._waiting = 0
        self._parcels: deque[_Parcel] = deque()
        self._some = asyncio.Event()
        self._tallies: dict[str, Tally] = {}

    def tally(self, root: str) -> Tally:
        """To count in: what happens at the door of ``root``."""
        return self._tallies.setdefault(root, Tally())

    @property
    def is_full(self) -> bool:
        return self._waiting >= self._max_waiting

    async def deliver(self, posts: Sequence[tuple[str, Sequence[Notice]]]) -> None:
        """Returns once the daemon has all notices, each for its root. Raises :class:`Full` or :class:`NotDurable`."""
        if self.is_full:
            raise Full
        self._waiting += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                for root, notices in posts:
                    for piece in wire.pieces(notices):
                        await self._deliver(root, piece)
        except TimeoutError as exc:
            raise NotDurable from exc
        finally:
            self._waiting -= 1

    async def _deliver(self, root: str, piece: Piece) -> None:
        while self._parcels and self._parcels[0].done.done():  # the daemon may not take any for hours
            self._parcels.popleft()
        done = asyncio.get_running_loop().create_future()
        self._parcels.append(_Parcel(root, piece, done))
        self._some.set()
        if not await done:
            raise NotDurable

    async def run(self) -> None:
        """Until the daemon is gone: raises what the exchange raises."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wire.BEAT_S):
                    await self._some.wait()
            parcels = self._take()
            posts: dict[str, list[list[object]]] = {}
            for parcel in parcels:
                posts.setdefault(parcel.root, []).extend(parcel.piece.notices)
            tallies, self._tallies = self._tallies, {}
            failed = wire.read_failed(await self._exchange(wire.letter(posts, tallies)))
            for parcel in parcels:
                if not parcel.done.done():
                    parcel.done.set_result(parcel.root not in failed)

    def _take(self) -> list[_Parcel]:
        """The oldest that fit one letter, and that somebody still waits for."""
        taken: list[_Parcel] = []
        load = Piece([], 0)
        while self._parcels and load.fits(self._parcels[0].piece.weight, len(self._parcels[0].piece.notices)):
            parcel = self._parcels.popleft()
            if not parcel.done.done():
                taken.append(parcel)
                load.add(parcel.piece)
        if not self._parcels:
            self._some.clear()
        return taken
