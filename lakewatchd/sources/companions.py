"""Who waits for whom: the bookkeeping of files that belong together by name (:mod:`lakewatchd.core.companions`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lakewatchd.core.asset import PathKey
from lakewatchd.core.companions import is_sidecar


class Groups:
    """Paths that settle, by group. A path is in at most one of the two sets of its group."""

    def __init__(self) -> None:
        self._stirring: defaultdict[str, set[PathKey]] = defaultdict(set)
        self._quiet: defaultdict[str, set[PathKey]] = defaultdict(set)

    def stir(self, group: str, key: PathKey) -> None:
        """It is not quiet yet, or not any more."""
        self._drop(self._quiet, group, key)
        self._stirring[group].add(key)

    def rest(self, group: str, key: PathKey) -> None:
        """It is quiet."""
        self._drop(self._stirring, group, key)
        self._quiet[group].add(key)

    def leave(self, group: str, key: PathKey) -> None:
        """It has gone: nobody waits for it."""
        self._drop(self._stirring, group, key)
        self._drop(self._quiet, group, key)

    def stirs(self, group: str) -> bool:
        """Somebody of the group is not quiet yet."""
        return group in self._stirring

    def quiet(self, group: str) -> Iterable[PathKey]:
        return tuple(self._quiet.get(group, ()))

    def take(self, group: str) -> list[PathKey]:
        """All that are quiet, sidecars first: whoever takes up the photo finds them known."""
        return sorted(self._quiet.pop(group, ()), key=lambda key: (not is_sidecar(key.path), key))

    def clear(self) -> None:
        self._stirring.clear()
        self._quiet.clear()

    @staticmethod
    def _drop(sets: defaultdict[str, set[PathKey]], group: str, key: PathKey) -> None:
        members = sets.get(group)
        if members is not None:
            members.discard(key)
            if not members:
                del sets[group]
