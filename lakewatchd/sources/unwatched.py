"""The directories that should be watched and cannot be, and why. Safe from any thread.

The invariant: after a scan of all it holds what that scan could not watch, and since then what any scan could not.
"""

from __future__ import annotations

import threading
from collections import Counter

MAX_UNWATCHED = 100_000


class Unwatched:
    """A scan of all calls :meth:`begin` and :meth:`end`; every scan tells of each directory it comes by."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}
        self._counts = Counter[str]()
        self._unseen: set[str] = set()
        """What the scan of all that runs has not come by yet."""

    def begin(self) -> None:
        with self._lock:
            self._unseen = set(self._reasons)

    def end(self) -> None:
        """What it did not come by is no more, or is left out."""
        with self._lock:
            unseen, self._unseen = self._unseen, set()
            for path in unseen:
                self._forget(path)

    def add(self, path: str, reason: str) -> None:
        with self._lock:
            self._forget(path)
            if len(self._reasons) < MAX_UNWATCHED:
                self._reasons[path] = reason
                self._counts[reason] += 1

    def remove(self, path: str) -> None:
        """It is watched, or is no more."""
        with self._lock:
            self._forget(path)

    def most(self) -> tuple[str, int] | None:
        """The reason that holds for most of them, and for how many."""
        with self._lock:
            return next(iter(self._counts.most_common(1)), None)

    def __contains__(self, path: str) -> bool:
        return path in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def _forget(self, path: str) -> None:
        self._unseen.discard(path)
        reason = self._reasons.pop(path, None)
        if reason is not None:
            self._counts[reason] -= 1
            if not self._counts[reason]:
                del self._counts[reason]
