"""Who may do what is dear: a few at once, a few wait for a while, the others are told to come again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from lakewatchd.errors import Busy

WAIT_S = 20.0
"""Then another answer than a late one is due: who asks gives up soon after."""
WAITING = 16
"""Unless who offers it says otherwise: where a turn takes a fraction of a second, many may wait."""


class Turns:
    def __init__(self, at_once: int, what: str, waiting: int = WAITING) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._what = what
        self._most_waiting = waiting
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises :class:`Busy` where too many wait, or nobody has come to an end."""
        if self._waiting >= self._most_waiting:
            raise self._busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError as exc:
            raise self._busy() from exc
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    def _busy(self) -> Busy:
        return Busy(f"others {self._what} already", "try again in a moment")
