"""Which paths a listing held: 64-bit hashes, 8 bytes for each, whatever their order. Ten million take 80 MB.

Two paths of one hash are taken for one: among ten million, once in some two hundred thousand listings, and another time
not again, since no two processes hash alike.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

PAGE = 1000


class Listed:
    """First :meth:`add` all, then ask. May be asked again."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._sorted: NDArray[np.int64] | None = None

    def add(self, values: Iterable[object]) -> None:
        self._hashes.extend(map(hash, values))

    def missing(self, paths: Iterable[str]) -> Iterator[list[str]]:
        """Those of ``paths`` that were not added, some at a time."""
        rest = iter(paths)
        while page := list(islice(rest, PAGE)):
            if missing := [path for path, is_in in zip(page, self.holds(page), strict=True) if not is_in]:
                yield missing

    def holds(self, values: Iterable[object]) -> list[bool]:
        """Of each, whether it was added."""
        wanted = np.fromiter(map(hash, values), np.int64)
        hashes = self._sort()
        if not hashes.size:
            return [False] * len(wanted)
        at = np.searchsorted(hashes, wanted)
        at[at == hashes.size] = 0
        found: list[bool] = (hashes[at] == wanted).tolist()
        return found

    def _sort(self) -> NDArray[np.int64]:
        """In place: nothing can be added any more."""
        if self._sorted is None:
            self._sorted = np.frombuffer(self._hashes, np.int64)
            self._sorted.sort()
        return self._sorted
