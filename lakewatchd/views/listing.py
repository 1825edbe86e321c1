"""One folder's contents by name, and the newest files: what the tree keeps up to date change by change.

The invariant: what these hold after adding and discarding equals what they would hold if only the files that
are left had been added.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lakewatchd.core.asset import PathKey
from lakewatchd.views.catalog import File
from lakewatchd.views.folders import DUPLICATES, TAG_DEPTH, Folder, is_tagged, tags_of
from lakewatchd.views.names import Names

RECENT_FILES = 500


@dataclass(slots=True)
class Tally:
    """Of the files in a tag's folder, those that have one further tag."""

    files: int = 0
    newest_ns: int | None = 0
    """None: the newest has left, look again."""


class Listing:
    """What is in one folder, by name. In a folder of tagged files, also which further tags they have."""

    __slots__ = ("cost", "further", "names", "tags")

    def __init__(self, folder: Folder) -> None:
        self.names = Names(lambda file: file.name, _place_rank if folder[:1] == (DUPLICATES,) else asset_rank)
        self.tags = frozenset(folder[1:]) if is_tagged(folder) else frozenset()
        self.further: dict[bytes, Tally] = {}
        self.cost = 0
        """Entries when it was built: its share of the cache."""

    def fill(self, files: Collection[File]) -> None:
        """What is in the folder when it is first looked at."""
        if 1 <= len(self.tags) < TAG_DEPTH:
            for file in files:
                self._count(file, tags_of(file))
        self.names.fill(files)
        self.names.changed.clear()

    def add(self, file: File, tags: Iterable[bytes]) -> None:
        self.names.add(file)
        self._count(file, tags)

    def _count(self, file: File, tags: Iterable[bytes]) -> None:
        for tag in self._narrowing(tags):
            if tag not in self.further:
                self.names.reserve(tag)
            tally = self.further.setdefault(tag, Tally())
            tally.files += 1
            if tally.newest_ns is not None:
                tally.newest_ns = max(tally.newest_ns, file.mtime_ns)

    def discard(self, file: File, tags: Iterable[bytes]) -> None:
        self.names.discard(file)
        for tag in self._narrowing(tags):
            tally = self.further[tag]
            tally.files -= 1
            if tally.newest_ns == file.mtime_ns:
                tally.newest_ns = None
            if not tally.files:
                del self.further[tag]
                self.names.release(tag)

    def newest_ns(self, tag: bytes) -> int:
        tally = self.further[tag]
        if tally.newest_ns is None:
            having = (file for file in self.names.entries.values() if tag in tags_of(file))
            tally.newest_ns = max(file.mtime_ns for file in having)
        return tally.newest_ns

    def _narrowing(self, tags: Iterable[bytes]) -> list[bytes]:
        if not 1 <= len(self.tags) < TAG_DEPTH:
            return []
        return [tag for tag in tags if tag not in self.tags]


def asset_rank(file: File) -> tuple[float, str]:
    return file.first_seen, file.asset.asset_id


def _place_rank(file: File) -> tuple[float, str]:
    return file.first_seen, PathKey(file.root, file.path).occurrence_id


class Recent:
    """The newest assets by first sight. Keeps a few more than it shows, so that a removal rarely costs a full look."""

    def __init__(self, shown: int = RECENT_FILES) -> None:
        self._shown = shown
        self._kept: list[tuple[float, str, File]] = []
        self._others = 0
        """Assets that are shown in the view, but too old to be kept."""

    def add(self, file: File) -> None:
        bisect.insort(self._kept, self._key(file), key=_age)
        if self._others and self._kept[0][2] is file:
            self._kept.pop(0)  # older than some that were let go: keeping it would leave a hole
            self._others += 1
        elif len(self._kept) > 2 * self._shown:
            self._kept.pop(0)
            self._others += 1

    def discard(self, file: File) -> None:
        key = self._key(file)
        at = bisect.bisect_left(self._kept, _age(key), key=_age)
        if at < len(self._kept) and self._kept[at][2] is file:
            self._kept.pop(at)
        else:
            self._others -= 1

    def newest(self, everything: Iterable[File]) -> set[File]:
        """``everything`` is looked through only if too many of the kept have gone."""
        if self._others and len(self._kept) < self._shown:
            self._kept, self._others = [], 0
            for file in everything:
                self.add(file)
        return {file for _, _, file in self._kept[-self._shown :]}

    @staticmethod
    def _key(file: File) -> tuple[float, str, File]:
        return file.first_seen, file.asset.asset_id, file


def _age(key: tuple[float, str, File]) -> tuple[float, str]:
    return key[0], key[1]
