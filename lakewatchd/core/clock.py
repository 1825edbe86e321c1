"""Where time comes from. Tests pass a fake; nothing else may call ``time.time``."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch. May jump: use it for records, never to measure."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow. Use it to measure and to wait."""
        ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def asleep_s() -> float:
    """How long the machine has been suspended since it was started. Grows by jumps: one means that it woke up."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
