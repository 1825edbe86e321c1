"""Where the watched directories are: from the kernel's name of a directory to its path. Pure.

The kernel names a directory by a number or a handle that stays when it is renamed. Paths are made by climbing, so that
a renamed tree costs nothing to take off. Not thread-safe.

The invariant: a path is told only of a directory that a scan found there and that was not heard to leave since.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator

from lakewatchd.sources.coalesce import parent_of


class Place:
    """One directory at one path."""

    __slots__ = ("children", "is_lost", "key", "name", "parent", "twin")

    def __init__(self, key: Hashable, name: str, parent: Place | None) -> None:
        self.key = key
        self.name = name
        self.parent = parent
        self.children: dict[str, Place] | None = None  # most have none
        self.twin: Place | None = None
        """The same directory at another path: a bind mount inside the root."""
        self.is_lost = False
        """It was moved, and no scan has come by since."""

    def path(self) -> str | None:
        """None when it, or a directory above it, is lost."""
        names: list[str] = []
        place: Place | None = self
        while place is not None:
            if place.is_lost:
                return None
            if place.parent is not None:
                names.append(place.name)
            place = place.parent
        return "/".join(reversed(names))

    def twins(self) -> Iterator[Place]:
        place: Place | None = self
        while place is not None:
            yield place
            place = place.twin


class Places:
    """The watched directories of one root, by the kernel's name for them. The root itself is put first."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Place] = {}
        self._any_lost = False
        self._top: Place | None = None

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._by_key

    def paths(self, key: Hashable) -> list[str]:
        """Where the directory is; nowhere if it is lost, in two places if it is mounted twice."""
        place = self._by_key.get(key)
        if place is None:
            return []
        if place.twin is None:
            path = place.path()
            return [] if path is None else [path]
        return [path for twin in place.twins() if (path := twin.path()) is not None]

    def put(self, key: Hashable, path: str, gone: Container[str]) -> None:
        """The directory was found at ``path``; what is below it follows. ``gone`` are those of its former paths where
        it is not any more."""
        place = self._by_key.get(key)
        known = list(place.twins()) if place is not None else []
        before = {twin.path(): twin for twin in known}
        if path in before:
            return
        moved = next((twin for was, twin in before.items() if was is None or was in gone), None)
        if moved is None:
            moved = Place(key, "", None)
            moved.twin = place
            self._by_key[key] = moved
        self._hang(moved, path)

    def lose(self, key: Hashable, name: str) -> None:
        """Entry ``name`` of that directory was moved or removed."""
        parent = self._by_key.get(key)
        for twin in parent.twins() if parent is not None else ():
            child = twin.children.pop(name, None) if twin.children else None
            if child is not None:
                self._mark_lost(child)

    def drop(self, key: Hashable) -> None:
        """The directory is no more."""
        place = self._by_key.pop(key, None)
        for twin in place.twins() if place is not None else ():
            self._unhang(twin)

    def prune(self) -> list[Hashable]:
        """Forget what is lost, and return it."""
        lost = [key for key in self._by_key if not self.paths(key)] if self._any_lost else []
        self._any_lost = False
        for key in lost:
            del self._by_key[key]
        return lost

    def find(self, path: str) -> Place | None:
        place = self._top
        for name in path.split("/") if path else ():
            place = place.children.get(name) if place is not None and place.children else None
        return place

    def _hang(self, place: Place, path: str) -> None:
        self._unhang(place)
        place.name = path.rpartition("/")[2]
        place.parent = self.find(parent_of(path)) if path else None
        place.is_lost = False
        if not path:
            self._top = place
        elif place.parent is None:
            self._mark_lost(place)  # its parent could not be watched; the next full scan tries again
        else:
            siblings = place.parent.children
            if siblings is None:
                siblings = place.parent.children = {}
            other = siblings.get(place.name)
            if other is not None:
                self._mark_lost(other)
            siblings[place.name] = place

    def _mark_lost(self, place: Place) -> None:
        place.is_lost = self._any_lost = True

    def _unhang(self, place: Place) -> None:
        siblings = place.parent.children if place.parent is not None else None
        if siblings is not None and siblings.get(place.name) is place:
            del siblings[place.name]
