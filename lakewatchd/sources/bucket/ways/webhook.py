"""The way in by HTTP: a server posts each event, and hears 200 when it is durable. Here is no HTTP.

The web process is one for all buckets, and the daemon's: :class:`Board` is where a bucket's door is put up, and
through it comes what was posted there. While no door is up, senders are told to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from lakewatchd.buckets.records import Notice, Parsed
from lakewatchd.config import BucketConfig
from lakewatchd.core.clock import Clock
from lakewatchd.core.status import WayState
from lakewatchd.sources.bucket.way import Deliver, OnGap
from lakewatchd.sources.bucket.ways.reception import Reception


class Board(Protocol):
    def put_up(self, webhook: Webhook) -> None:
        """From now on it may be called."""

    def take_down(self, webhook: Webhook) -> None: ...


class Webhook:
    """A way: see :class:`lakewatchd.sources.bucket.way.Way`."""

    def __init__(self, settings: BucketConfig, deliver: Deliver, on_gap: OnGap, board: Board, clock: Clock) -> None:
        self.root = settings.name
        self._reception = Reception("webhook", "", settings.bucket, settings.prefix, clock)
        self._deliver = deliver
        self._on_gap = on_gap
        self._board = board

    @property
    def name(self) -> str:
        return self._reception.state.name

    @property
    def state(self) -> WayState:
        return self._reception.state

    async def run(self) -> None:
        self._board.put_up(self)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._board.take_down(self)

    # --- for the board ---------------------------------------------------------------------------------------

    async def take(self, notices: Sequence[Notice]) -> None:
        """Returns once they are durable. Raises what delivering raises."""
        if mine := self._reception.take(Parsed(tuple(notices))):
            await self._deliver(mine)

    def opened(self, address: str) -> None:
        """Posts to ``address`` are heard from now on."""
        if not self.state.is_connected:
            self._on_gap("its HTTP door was closed before")
        self._reception.connected(address)

    def closed(self, problem: str = "", hint: str = "") -> None:
        """Without a problem it will be opened any moment."""
        self._reception.lost(problem, hint)

    def count(self, *, bad: int, unknown: int, foreign: int) -> None:
        """What was posted at the door and goes no further."""
        self._reception.take(Parsed(bad=bad, unknown=unknown))
        self._reception.foreign(foreign)

    def turned_away(self) -> None:
        """Posts with the right token: not every sender comes again."""
        self._on_gap("some of what was posted could not be taken in time")

    def wrong_token(self, address: str) -> None:
        self._reception.trouble(
            f"a wrong token came from {address}",
            "give the server there the webhook_token of this root; or somebody else tries to get in",
        )
