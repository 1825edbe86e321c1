"""Calls that wait for the network for as long as it takes, each in a thread of its own.

Executors of the standard library are joined when the interpreter ends, so that one call which hangs would keep the
daemon from stopping: these threads are daemon threads, and left behind with nobody who waits for them.

The invariant: no more than ``limit`` are left behind; beyond that, calls fail at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from lakewatchd.errors import TimedOut

T = TypeVar("T")


class Threads:
    """Use from one event loop. ``name`` is what the threads are for."""

    def __init__(self, name: str, limit: int = 16) -> None:
        self._name = name
        self._limit = limit
        self._left: list[threading.Thread] = []

    @property
    def left_behind(self) -> int:
        """Threads that nobody waits for and that have not ended yet."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        return len(self._left)

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises. When cancelled, the call is left to end by itself.

        Raises :class:`TimedOut` while too many are left behind.
        """
        if self.left_behind >= self._limit:
            raise TimedOut(f"{self._limit} calls of {self._name} hang already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = call()
            except BaseException as exc:
                told = exc
                _tell(loop, lambda: None if future.done() else future.set_exception(told))
            else:
                _tell(loop, lambda: None if future.done() else future.set_result(result))

        thread = threading.Thread(target=work, name=self._name, daemon=True)
        thread.start()
        try:
            return await future
        finally:
            if not future.done() or future.cancelled():
                self._left.append(thread)


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(tell)
