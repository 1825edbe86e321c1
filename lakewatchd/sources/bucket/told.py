"""Which paths were spoken of lately, by events or by rescans: what a rescan finds besides, no event told of; and what
it misses of them is no silent loss.

Two generations, turned by each rescan of all: since it began, and between it and the one before. Paths are kept as
64-bit hashes that nobody outside can foresee, so that hostile keys are no heavier than others.

The invariant: never more than ``2 * limit`` hashes. While :attr:`is_whole`, what is not in it was not spoken of.
"""

from __future__ import annotations

LIMIT = 100_000
"""Of each generation, at some 100 bytes."""

_HEARD, _FOUND, _REMOVED = 1, 2, 4


class Told:
    """Change it from one thread, ask from any."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._is_cut, self._was_cut = False, False
        self.turns = 0
        """How many rescans of all began."""

    def turn(self) -> None:
        """A rescan of all begins."""
        self._before, self._now = self._now, {}
        self._was_cut, self._is_cut = self._is_cut, False
        self.turns += 1

    def hear(self, path: str, *, is_removal: bool) -> None:
        """An event speaks of it."""
        self._add(hash(path), _HEARD, is_removal)

    def find(self, path: str, *, is_removal: bool) -> None:
        """A rescan speaks of it."""
        self._add(hash(path), _FOUND, is_removal)

    def __contains__(self, path: str) -> bool:
        key = hash(path)
        return key in self._now or key in self._before

    def was_heard(self, key: int, turn: int) -> bool:
        """Whether an event spoke of the path with this hash since the rescan with that number began."""
        before = self._before.get(key, 0) if turn < self.turns else 0
        return bool((self._now.get(key, 0) | before) & _HEARD)

    def is_no_surprise(self, path: str) -> bool:
        """May it be missing? It was told to be removed, and its job waits; or it came while the rescan ran."""
        key = hash(path)
        now = self._now.get(key, 0)
        return bool(now & _HEARD or (now or self._before.get(key, 0)) & _REMOVED)

    @property
    def is_whole(self) -> bool:
        return not (self._is_cut or self._was_cut)

    def _add(self, key: int, how: int, is_removal: bool) -> None:
        """Whether it was removed is as the last one says."""
        before = self._now.get(key)
        if before is None and len(self._now) >= self._limit:
            self._is_cut = True
        else:
            self._now[key] = ((before or 0) & ~_REMOVED) | how | (_REMOVED if is_removal else 0)
