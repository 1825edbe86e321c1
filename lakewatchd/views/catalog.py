"""What the lake holds, as the view remembers it: files, their assets, and what is said of them.

No folders here (:mod:`lakewatchd.views.tree`), no I/O. Built for a million assets: only what a folder or an
extended attribute shows is kept. The invariant: :class:`File` and :class:`Facts` never change; a row that says
something new replaces them, a row that says nothing new leaves the very same objects in place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from lakewatchd.core.asset import AssetId, PathKey, Version
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.names import folder_name, is_file_name

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

    @property
    def name(self) -> bytes:
        return os.fsencode(self.path.rpartition("/")[2])

    @property
    def rank(self) -> tuple[bool, float, str, str]:
        """Which place of an asset to open: readable before away, then the oldest."""
        return self.is_away, self.first_seen, self.root, self.path

    def says(self, row: OccurrenceRow) -> bool:
        is_same = self.asset.asset_id == row.asset_id and self.first_seen == row.first_seen
        is_same &= self.is_away == (row.presence is Presence.AWAY)
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
            self._describe(self._asset(gold_row.asset_id), Facts.of(gold_row), before)
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

    @property
    def file_count(self) -> int:
        return sum(map(len, self._places.values()))

    def all_but(self, keys: Set[PathKey], described: Set[AssetId]) -> Rows:
        """What has to go for these alone to be left."""
        known = (PathKey(root, path) for root, places in self._places.items() for path in places)
        facts = (asset.asset_id for asset in self.assets.values() if asset.state.facts is not None)
        return Rows(
            gone=[key for key in known if key not in keys],
            gold_gone=[asset_id for asset_id in facts if asset_id not in described],
        )

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
        files = tuple(sorted((*asset.state.files, new), key=lambda file: file.rank))
        asset.state = State(files, asset.state.facts)

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
    return File(asset, root, path, size_bytes, mtime_ns, row.first_seen, is_away)


def statable(version: Version) -> tuple[int, int]:
    """Size and time as the kernel can take them, whatever a file system said: no file from before 1970."""
    return min(max(0, version.size_bytes), STAT_MAX), min(max(0, version.mtime_ns), STAT_MAX)


def _is_below_root(path: str) -> bool:
    try:
        return all(is_file_name(part) for part in os.fsencode(path).split(b"/"))
    except UnicodeEncodeError:  # a surrogate that no file name decodes to
        return False
