"""Where a root's events go. Room for them may be missing for hours: then they wait here, and the root with them.

What comes after them waits in the bounded buffer. The invariant: a call returns only once its events are durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from lakewatchd.core.event import FileEvent
from lakewatchd.errors import OutOfSpace, TransientError
from lakewatchd.sources.watcher import WatchProblem

_log = logging.getLogger(__name__)

Emit = Callable[[Sequence[FileEvent]], Awaitable[None]]
"""Returns once the events are durable."""


class Outlet:
    """``emit``, tried again every ``retry_s`` while the disk is full or the queue is locked."""

    def __init__(self, root: str, emit: Emit, retry_s: float) -> None:
        self._root = root
        self._emit = emit
        self._retry_s = retry_s
        self.problem: WatchProblem | None = None
        """Why changes wait just now."""

    async def __call__(self, events: Sequence[FileEvent]) -> None:
        failures = 0
        while not await self._try(events):
            failures += 1
            await asyncio.sleep(self._retry_s)
        if failures:
            _log.info("changes go on after %d attempts", failures, extra={"root": self._root})

    async def _try(self, events: Sequence[FileEvent]) -> bool:
        """Whether it worked; ``problem`` says why not, if that may pass."""
        try:
            await self._emit(events)
        except (OutOfSpace, TransientError) as exc:
            if self.problem is None:
                _log.warning("changes wait: %s", exc.message, extra={"root": self._root})
            self.problem = WatchProblem(f"changes wait: {exc.message}", exc.hint or "they are kept and told later")
            return False
        self.problem = None
        return True
