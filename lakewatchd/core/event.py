"""What a source tells the rest: *look at this place*.

An event is a hint, the disk is the truth: whoever handles it looks again. That is why events may be
merged, doubled and reordered freely, and why only their urgency has to survive a merge.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.job import Priority


class Change(enum.StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    DIRTY = "dirty"
    """Events below this directory may have been lost: compare it with what is known."""


@dataclass(frozen=True, slots=True)
class FileEvent:
    """Something happened at ``key``. ``version`` is what the source saw there, if it looked."""

    key: PathKey
    change: Change
    priority: Priority = Priority.FRESH
    version: Version | None = None
    is_closed: bool = False
    """The writer closed the file: it is unlikely to grow."""


def merge(older: FileEvent, newer: FileEvent) -> FileEvent:
    """One event that stands for both: the newer fact with the greater urgency.

    A file that is added and then modified is still new to the lake, so ``ADDED`` survives ``MODIFIED``.
    """
    change = newer.change
    if older.change is Change.ADDED and newer.change is Change.MODIFIED:
        change = Change.ADDED
    if Change.DIRTY in (older.change, newer.change):
        change = Change.DIRTY
    priority = min(older.priority, newer.priority)
    return FileEvent(newer.key, change, priority, newer.version, newer.is_closed)
