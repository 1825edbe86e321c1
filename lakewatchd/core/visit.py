"""What is remembered of a directory that is polled. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visit:
    """One directory (relative to its root, "" is the root) between two visits."""

    directory: str
    due_at: float
    """When to come by again, seconds since the epoch."""
    interval_s: float = 0.0
    """How long it was left alone before; grows while nothing changes."""
    mtime_ns: int = 0
    """Of the directory when its names were last compared; 0 or less when they are to be compared in any case."""
    entries: int = 0
    """What lay in it then: what comparing it costs."""
