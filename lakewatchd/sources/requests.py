"""Scans that wait for their turn: one request per directory, the most urgent first, each with a future.

Who asks for a directory that already waits shares its scan. Running them is in ``live``.

The invariant: a request is resolved exactly once, with the summary of a scan that began after it was made.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lakewatchd.core.job import Priority
from lakewatchd.sources.known import ScanSummary


@dataclass(slots=True)
class ScanRequest:
    directory: str
    priority: Priority
    accept_removals: bool
    done: asyncio.Future[ScanSummary] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # most requests have nobody who waits: not worth a warning


class ScanRequests:
    """One queue of requests with one consumer."""

    def __init__(self) -> None:
        self._waiting: dict[str, ScanRequest] = {}
        self._running: ScanRequest | None = None
        self._wake = asyncio.Event()

    def add(self, directory: str, priority: Priority, accept_removals: bool = False) -> ScanRequest:
        request = self._waiting.get(directory)
        if request is None:
            request = self._waiting[directory] = ScanRequest(directory, priority, accept_removals)
        else:
            request.priority = min(request.priority, priority)
            request.accept_removals |= accept_removals
        self._wake.set()
        return request

    async def next(self, timeout_s: float | None = None) -> ScanRequest | None:
        """The most urgent request, now running; None after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return None
        request = min(self._waiting.values(), key=lambda request: request.priority)
        self._running = request  # first: another thread may ask what is open
        del self._waiting[request.directory]
        if not self._waiting:
            self._wake.clear()
        return request

    def finish(self, request: ScanRequest, summary: ScanSummary) -> None:
        self._running = None
        if not request.done.done():
            request.done.set_result(summary)

    def fail_all(self, error: Exception, *, keep_accepting: bool = False) -> None:
        """The root is away. A request that accepts removals may be the answer to that: it can be kept."""
        for request in [*self._waiting.values(), *([self._running] if self._running else [])]:
            if keep_accepting and request.accept_removals and request is not self._running:
                continue
            self._waiting.pop(request.directory, None)
            request.fail(error)
        self._running = None
        if not self._waiting:
            self._wake.clear()

    def requeue(self) -> None:
        """The scan that ran was broken off through no fault of the root: it is to be run again."""
        request, self._running = self._running, None
        if request is not None:
            again = self.add(request.directory, request.priority, request.accept_removals)
            _follow(request.done, again.done)

    @property
    def open(self) -> list[ScanRequest]:
        """Waiting and running."""
        return [*self._waiting.values(), *([self._running] if self._running else [])]

    @property
    def accepts_removals(self) -> bool:
        return any(request.accept_removals for request in self.open)


def _follow(first: asyncio.Future[ScanSummary], second: asyncio.Future[ScanSummary]) -> None:
    """Whoever waits for the first gets what becomes of the second."""

    def pass_on(done: asyncio.Future[ScanSummary]) -> None:
        if first.done() or done.cancelled():
            return
        error = done.exception()
        if error is None:
            first.set_result(done.result())
        else:
            first.set_exception(error)
            first.exception()

    second.add_done_callback(pass_on)
