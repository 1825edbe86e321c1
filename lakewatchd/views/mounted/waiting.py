"""Waiting for what may take long, without taking the place of others.

The kernel's requests are served some dozens at a time. The invariant: fewer of them than that wait here, and none for
ever; who comes when all places are taken hears so at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeVar

WAITING_MAX = 24

T = TypeVar("T")


class Crowded(Exception):
    """So many wait already, or what was waited for had to make room."""


@dataclass(slots=True)
class WaitingRoom:
    seats: int = WAITING_MAX
    _taken: int = 0

    async def until_done(self, task: asyncio.Future[T], deadline_s: float) -> T:
        """What ``task`` returns or raises; it goes on if nobody waits for it any more. Raises ``Crowded``, and
        ``TimeoutError`` after the deadline."""
        if not task.done() and self._taken >= self.seats:
            raise Crowded
        self._taken += 1
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline_s)
        finally:
            self._taken -= 1
        if not done:
            raise TimeoutError
        if task.cancelled():
            raise Crowded
        return task.result()
