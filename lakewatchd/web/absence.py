"""Which roots are away just now. The daemon knows; the lake does not, as its rows stay what they are meanwhile.

Invariant: nobody waits for a daemon that does not answer: what it told last is taken then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lakewatchd.control import Json
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.status import Status
from lakewatchd.core.wire import from_json
from lakewatchd.errors import LakewatchError

EVERY_S = 3.0
"""So long an answer is taken for what is so."""
PATIENCE_S = 1.0


class Absence:
    def __init__(self, ask: Callable[[], Awaitable[Json]], clock: Clock | None = None) -> None:
        """``ask`` gives the status of the daemon; it raises what ``DaemonLine.ask`` raises."""
        self._ask = ask
        self._clock = clock or SystemClock()
        self._told: frozenset[str] = frozenset()
        self._told_at = float("-inf")
        self._asking = asyncio.Lock()

    async def roots(self) -> frozenset[str]:
        """Their names."""
        async with self._asking:  # or who comes while it is asked for the first time would hear that none is
            if self._clock.monotonic() - self._told_at >= EVERY_S:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        status = from_json(Status, await self._ask())
                    self._told = frozenset(root.name for root in status.roots if root.state == "away")
                except (LakewatchError, TimeoutError, ValueError):  # it is down, busy, or of another version
                    pass
                self._told_at = self._clock.monotonic()
        return self._told
