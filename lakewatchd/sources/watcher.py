"""What every way of hearing of changes has in common: the face that ``live`` uses.

Each way is a *tier*; the best that this machine allows is taken by :func:`lakewatchd.sources.watch.start_watcher`.
All of them pass ``tests/contract/test_watchers.py``.

The invariant: nothing the kernel lost stays silent. An overflow makes the root dirty; a directory that cannot be
watched, and a thread that died, are a :attr:`Watcher.problem`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lakewatchd.sources.unwatched import Unwatched


class Tier(enum.StrEnum):
    """Best first."""

    FANOTIFY = "fanotify"
    INOTIFY = "inotify"
    WATCHDOG = "watchdog"


@dataclass(frozen=True, slots=True)
class WatchProblem:
    """Why changes may go unnoticed until the next rescan, and what the operator can do."""

    reason: str
    hint: str = ""


class Watcher(Protocol):
    """Watches the directories of one root. Let a scan :meth:`cover` them, then :meth:`stop`.

    A directory is watched when the scan comes by, *before* it is listed: whatever is created in between is seen by
    one of the two, ignored directories are never watched, and one walk does both. A new or moved directory is told as
    ``DIRTY``, so that a scan covers it.
    """

    @property
    def tier(self) -> Tier: ...

    @property
    def why_not(self) -> tuple[str, ...]:
        """For each better tier, in words, why it was not taken. Empty for the best."""

    def start(self) -> None:
        """Once. Raises :class:`~lakewatchd.errors.LakewatchError` when the kernel does not give what it takes."""

    def stop(self) -> None:
        """Ends the thread. Changes that it has not read are lost: scan after the next start."""

    @property
    def unwatched(self) -> Unwatched:
        """What :meth:`cover` could not watch."""

    def cover(self, path: str) -> bool:
        """Watch a directory from now on. False when nothing will be heard of it, though it is there: it is to be
        polled, and is in :attr:`unwatched` and told as a :attr:`problem`. Never fails."""

    def prune(self) -> None:
        """Stop watching what was moved away and not found again. Safe at any time: a scan watches it again."""

    def mark(self, on_passed: Callable[[], object]) -> bool:
        """Call back, in the watch thread, once every change made until now is in the buffer.

        False when that cannot be done.
        """

    @property
    def is_alive(self) -> bool: ...

    @property
    def watched(self) -> int:
        """Directories that are watched."""

    @property
    def overflows(self) -> int:
        """How often the kernel's queue was full, since the start."""

    @property
    def problem(self) -> WatchProblem | None: ...
