"""Is a part of the daemon still getting on, or does it hang in one thing?

A pulse is taken around every piece of work that ends soon when all is well: a call to the queue, a commit of the
lake. Waiting for a disk that is full or a root that is away is no work, and not measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from lakewatchd.core.clock import Clock


@dataclass(slots=True)
class Pulse:
    """``limit_s``: what takes longer than that will not end by itself."""

    name: str
    limit_s: float
    clock: Clock
    _began: dict[int, float] = field(default_factory=dict)
    _number: int = 0

    @contextlib.contextmanager
    def beat(self) -> Iterator[None]:
        """Around one piece of work. Several may be under way at once."""
        self._number += 1
        number = self._number
        self._began[number] = self.clock.monotonic()
        try:
            yield
        finally:
            del self._began[number]

    @property
    def stuck_s(self) -> float:
        """How long the oldest piece of work has been under way, once that is beyond the limit; else 0."""
        oldest = next(iter(self._began.values()), None)  # in order of their start
        busy_s = 0.0 if oldest is None else self.clock.monotonic() - oldest
        return busy_s if busy_s > self.limit_s else 0.0
