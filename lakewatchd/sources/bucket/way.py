"""A way in: something that hears of changes in a bucket and may lose some. No behaviour.

The invariant: whoever sends hears "ok" only after ``deliver`` returned, when the events are durable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from lakewatchd.buckets.records import Notice
from lakewatchd.core.status import WayState

Deliver = Callable[[Sequence[Notice]], Awaitable[None]]
"""Returns once the events are durable; for as long as that takes, whoever sends has to wait."""

OnGap = Callable[[str], None]
"""Told why, from the event loop, each time that events may have been lost: after each connect that cannot prove
otherwise. A listing of all then makes up for it."""


class Way(Protocol):
    @property
    def name(self) -> str:
        """``listen``, ``mqtt``, ``webhook`` or ``redis``."""

    async def run(self) -> None:
        """Until cancelled. Connects again for ever; raises nothing for what the outside world does."""

    @property
    def state(self) -> WayState: ...
