"""One thread that can be abandoned: calls that may hang on a dead network mount run here.

Executors of the standard library are joined when the interpreter ends, so that one hung ``stat`` would keep
the daemon from stopping; this thread is a daemon thread, and a stuck one is left behind and replaced.

The invariant: calls run one after the other, in the order they were made, in the same thread until one hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from lakewatchd.errors import TimedOut

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Worker:
    """Starts its thread on the first call. Use from one event loop.

    No more than ``limit`` threads of :meth:`run_within` are left behind: beyond that its calls fail at once.
    """

    def __init__(self, name: str, limit: int = 4) -> None:
        self._name = name
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job | None] | None = None
        self._thread: threading.Thread | None = None
        self._left: list[threading.Thread] = []

    @property
    def left_behind(self) -> int:
        """Threads that hang, or end in this moment."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        return len(self._left)

    @property
    def is_exhausted(self) -> bool:
        return self._jobs is None and self.left_behind >= self._limit

    def forgive(self) -> None:
        """Stop counting what hangs: the place is another one now."""
        self._left.clear()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the call. When cancelled, the call is left to end by itself."""
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((lambda: call(*args, **kwargs), loop, future))
        return await future

    async def run_within(self, timeout_s: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As :meth:`run`. Raises :class:`TimedOut` after ``timeout_s``; later calls get a new thread."""
        if self.is_exhausted:
            raise TimedOut(f"{self._limit} calls hang already")
        try:
            async with asyncio.timeout(timeout_s):
                return await self.run(call, *args, **kwargs)
        except TimeoutError as exc:
            self.close()
            raise TimedOut(f"no answer within {timeout_s:g} s") from exc

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None
        if self._thread is not None:
            self._left.append(self._thread)
            self._thread = None


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        call, loop, future = job
        if future.cancelled():
            continue
        result, error = None, None
        try:
            result = call()
        except BaseException as exc:  # whatever it is, it belongs to the caller
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_finish, future, result, error)
        del job, call, future, result, error  # keep nothing alive while waiting


def _finish(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # a future refuses it
        future.set_exception(RuntimeError("call raised StopIteration"))
    else:
        future.set_exception(error)
