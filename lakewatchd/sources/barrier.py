"""Waiting until all that was heard of before has come out of the settler.

A change in the buffer has no number yet, so a wait takes the settler's last ticket after the next drain.

The invariant: a wait ends once, when its changes came out or when the root went away.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lakewatchd.sources.settle import Settler


@dataclass(slots=True)
class _Waiter:
    done: asyncio.Future[None]
    ticket: int | None = None


class Barrier:
    """Used by the task that drains and settles, and by those who wait for it. One event loop."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []

    async def wait(self) -> None:
        """Until the changes of the next drain came out. Raises what :meth:`fail` was told."""
        waiter = _Waiter(asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        await waiter.done

    def drained(self, settler: Settler) -> None:
        """Everything that was in the buffer is in the settler now."""
        for waiter in self._waiters:
            if waiter.ticket is None:
                waiter.ticket = settler.last_ticket

    def passed(self, settler: Settler) -> None:
        """What the settler let go is durable, or a scan was requested for it."""
        for waiter in self._waiters:
            if waiter.ticket is not None and not waiter.done.done() and settler.is_past(waiter.ticket):
                waiter.done.set_result(None)
        self._waiters = [waiter for waiter in self._waiters if not waiter.done.done()]

    def restart(self) -> None:
        """A new settler counts from the beginning."""
        for waiter in self._waiters:
            waiter.ticket = None

    def fail(self, error: Exception) -> None:
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_exception(error)
        self._waiters.clear()
