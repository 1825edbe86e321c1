"""A few threads for calls to one bucket, each of which can be left behind.

The invariant: no more calls run at once than there are threads; the others wait in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lakewatchd.sources.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")


class Crew:
    """Use from one event loop."""

    def __init__(self, name: str, size: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._workers = [Worker(f"{name}-{number}") for number in range(size)]
        self._idle = list(self._workers)
        self._free = asyncio.Semaphore(size)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the call. Raises :class:`~lakewatchd.errors.TimedOut`."""
        async with self._free:
            worker = self._idle.pop()
            try:
                return await worker.run_within(self._timeout_s, call, *args, **kwargs)
            finally:
                self._idle.append(worker)

    @property
    def left_behind(self) -> int:
        return sum(worker.left_behind for worker in self._workers)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
