"""What the lake holds, as the view knows it: files, their assets, and what is said of them.

No folders here, and no I/O: :mod:`lakewatchd.views.mounted.index` keeps it in a file, and makes a catalog of what the
rows of one step speak of. Only what a folder or an extended attribute shows is kept. The invariant: :class:`File` and
:class:`Facts` never change; a row that says something new replaces them, a row that says nothing new leaves the very
same objects in place.
"""

from __future__ import annotations

import bisect
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lakewatchd.core.asset import AssetId, PathKey, Version
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mounted.names import file_name, folder_name, is_file_name

STAT_MAX = 2**62


@dataclass(frozen=True, slots=True)
class Facts:
    """The part of a gold row that the view shows."""

    kind: str
    category: str
    category_score: float
    tags: tuple[str, ...]
    tag_folders: tuple[bytes, ...]
    caption: str
    year: int
    month: int
    country: str
    city: str
    group: str
    """Of near-duplicates: the asset that stands for it; empty outside of any."""
    is_representative: bool

    @classmethod
    def of(cls, row: GoldRow) -> Facts:
        tags = tuple(dict.fromkeys(sys.intern(tag.name) for tag in row.tags))
        return cls(
            sys.intern(row.kind.value),
            sys.intern(row.category),
            row.category_score,
            tags,
            tuple(folder_name(tag) for tag in tags),
            row.caption,
            row.dated_at.year,
            row.dated_at.month,
            sys.intern(row.country),
            sys.intern(row.city),
            row.duplicate_group,
            row.is_representative,
        )


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """One place of an asset. Compared by identity: a place that changed is another File."""

    asset: Asset
    root: str
    path: str
    size_bytes: int
    mtime_ns: int
    first_seen: float
    is_away: bool
    etag: str = ""
    """Of an object: with size and time, which content lies there."""

    @property
    def name(self) -> bytes:
        return file_name(os.fsencode(self.path.rpartition("/")[2]))

    @property
    def rank(self) -> tuple[bool, float, str, bytes]:
        """Which place of an asset to open: readable before away, then the oldest."""
        return self.is_away, self.first_seen, self.root, os.fsencode(self.path)

    def says(self, row: OccurrenceRow) -> bool:
        is_same = self.asset.asset_id == row.asset_id and self.first_seen == row.first_seen
        is_same &= self.is_away == (row.presence is Presence.AWAY) and self.etag == row.version.etag
        return is_same and (self.size_bytes, self.mtime_ns) == statable(row.version)


class State(NamedTuple):
    """All of an asset that decides where it is shown. ``files`` are in the order of their rank."""

    files: tuple[File, ...]
    facts: Facts | None


NOWHERE = State((), None)


@dataclass(slots=True, eq=False)
class Asset:
    asset_id: AssetId
    state: State = NOWHERE


class Change(NamedTuple):
    asset: Asset
    before: State
    after: State


class Rows(NamedTuple):
    """What the lake says now. ``gone`` and ``gold_gone`` are for what it does not name any more."""

    occurrences: Sequence[OccurrenceRow] = ()
    gold: Sequence[GoldRow] = ()
    gone: Sequence[PathKey] = ()
    gold_gone: Sequence[AssetId] = ()


@dataclass(slots=True)
class Catalog:
    assets: dict[AssetId, Asset] = field(default_factory=dict)
    refused: int = 0
    """Rows whose path could not be a path below a root; they are not shown."""
    _places: dict[str, dict[str, File]] = field(default_factory=dict)

    def apply(self, rows: Rows) -> list[Change]:
        """Take in the rows and tell which assets are shown differently now."""
        before: dict[Asset, State] = {}
        for gold_row in rows.gold:
            facts = None if gold_row.family else Facts.of(gold_row)  # a part is shown where it lies, and nowhere else
            self._describe(self._asset(gold_row.asset_id), facts, before)
        for row in rows.occurrences:
            if row.presence is Presence.GONE:
                self._remove(row.key, before)
            else:
                self._place(row, before)
        for key in rows.gone:
            self._remove(key, before)
        for asset in filter(None, map(self.assets.get, rows.gold_gone)):
            self._describe(asset, None, before)
        for asset in before:
            if asset.state == NOWHERE:
                del self.assets[asset.asset_id]
        return [Change(asset, old, asset.state) for asset, old in before.items() if asset.state is not old]

    @classmethod
    def of(cls, assets: Iterable[Asset]) -> Catalog:
        """One that knows these already."""
        catalog = cls({asset.asset_id: asset for asset in assets})
        for asset in catalog.assets.values():
            for file in asset.state.files:
                catalog._places.setdefault(file.root, {})[file.path] = file
        return catalog

    def _asset(self, asset_id: AssetId) -> Asset:
        asset = self.assets.get(asset_id)
        if asset is None:
            asset = self.assets[asset_id] = Asset(asset_id)
        return asset

    def _describe(self, asset: Asset, facts: Facts | None, before: dict[Asset, State]) -> None:
        before.setdefault(asset, asset.state)
        if facts != asset.state.facts:
            asset.state = State(asset.state.files, facts)

    def _place(self, row: OccurrenceRow, before: dict[Asset, State]) -> None:
        old = self._places.get(row.key.root, {}).get(row.key.path)
        if old is not None and old.says(row):
            return
        if not _is_below_root(row.key.path):
            self.refused += 1
            return
        self._remove(row.key, before)
        asset = self._asset(row.asset_id)
        before.setdefault(asset, asset.state)
        new = self._places.setdefault(row.key.root, {})[row.key.path] = _file(asset, row)
        files = list(asset.state.files)
        bisect.insort(files, new, key=lambda file: file.rank)
        asset.state = State(tuple(files), asset.state.facts)

    def _remove(self, key: PathKey, before: dict[Asset, State]) -> None:
        old = self._places.get(key.root, {}).pop(key.path, None)
        if old is None:
            return
        before.setdefault(old.asset, old.asset.state)
        files = tuple(file for file in old.asset.state.files if file is not old)
        old.asset.state = State(files, old.asset.state.facts)


def _file(asset: Asset, row: OccurrenceRow) -> File:
    root, path = sys.intern(row.key.root), row.key.path
    is_away = row.presence is Presence.AWAY
    size_bytes, mtime_ns = statable(row.version)
    return File(asset, root, path, size_bytes, mtime_ns, row.first_seen, is_away, row.version.etag)


def statable(version: Version) -> tuple[int, int]:
    """Size and time as the kernel can take them, whatever a file system said: no file from before 1970."""
    return min(max(0, version.size_bytes), STAT_MAX), min(max(0, version.mtime_ns), STAT_MAX)


def _is_below_root(path: str) -> bool:
    try:
        return all(is_file_name(part) for part in os.fsencode(path).split(b"/"))
    except UnicodeEncodeError:  # a surrogate that no file name decodes to
        return False
