"""What the lake holds of given places and assets, and all of it in pieces: for an audit, which has the disk beside it.

Only ids travel, so that ten million files are looked through in bounded memory. Reads what was committed when each
call began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from lakewatchd.core.asset import AssetId, PathKey, text_path
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Presence
from lakewatchd.lake.schema import GOLD, OCCURRENCES, TableSpec, is_in, quoted

_LIVES = f"presence != {quoted(Presence.GONE.value)}"
_IDS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Held:
    """A row that says that ``asset_id`` lies at ``key``."""

    key: PathKey
    asset_id: AssetId


class Census:
    def __init__(self, reader: LakeReader) -> None:
        self._reader = reader

    async def at(self, places: Collection[PathKey]) -> dict[PathKey, list[AssetId]]:
        """What lies at each place: one asset, if all is well."""
        by_id, found = {place.occurrence_id: place for place in places}, defaultdict[PathKey, list[AssetId]](list)
        columns = ["occurrence_id", "asset_id"]
        for part in _parts(sorted(by_id)):
            where = f"{is_in('occurrence_id', part)} AND {_LIVES}"
            async for rows in self._reader.batches(OCCURRENCES, columns, where):
                ids = rows["occurrence_id"].to_pylist()
                for occurrence_id, asset_id in zip(ids, rows["asset_id"].to_pylist(), strict=True):
                    found[by_id[occurrence_id]].append(asset_id)
        return found

    async def served(self, asset_ids: Collection[AssetId]) -> dict[AssetId, int]:
        """How often each is published: once, if all is well."""
        return await self._count(GOLD, asset_ids, None)

    async def living(self, asset_ids: Collection[AssetId]) -> dict[AssetId, int]:
        """In how many places each lies."""
        return await self._count(OCCURRENCES, asset_ids, _LIVES)

    async def places(self, root: str) -> AsyncIterator[list[Held]]:
        """Every place of a root where something lies, a few thousand at a time."""
        where = f"root = {quoted(root)} AND {_LIVES}"
        async for rows in self._reader.batches(OCCURRENCES, ["path_text", "asset_id"], where):
            paths, assets = rows["path_text"].to_pylist(), rows["asset_id"].to_pylist()
            yield [Held(PathKey(root, text_path(path)), asset) for path, asset in zip(paths, assets, strict=True)]

    async def gold(self) -> AsyncIterator[list[Held]]:
        """Every asset that is served, with the place that is opened for it."""
        async for rows in self._reader.batches(GOLD, ["asset_id", "best_root", "best_path"], None):
            columns = (rows[name].to_pylist() for name in ("best_root", "best_path", "asset_id"))
            yield [Held(PathKey(root, text_path(path)), asset) for root, path, asset in zip(*columns, strict=True)]

    async def count(self, root: str) -> int:
        """Places of a root where something lies."""
        return await self._reader.count(OCCURRENCES, f"root = {quoted(root)} AND {_LIVES}")

    async def count_all(self) -> tuple[int, int]:
        """All places where something lies, and how many there are by what the published assets say."""
        told = 0
        async for rows in self._reader.batches(GOLD, ["occurrences"], None):
            told += sum(rows["occurrences"].to_pylist())
        return await self._reader.count(OCCURRENCES, _LIVES), told

    async def _count(self, table: TableSpec, asset_ids: Collection[AssetId], where: str | None) -> dict[AssetId, int]:
        found = dict.fromkeys(asset_ids, 0)
        for part in _parts(sorted(found)):
            these = is_in("asset_id", part)
            async for rows in self._reader.batches(table, ["asset_id"], f"{these} AND {where}" if where else these):
                for asset_id in rows["asset_id"].to_pylist():
                    found[asset_id] += 1
        return found


def _parts(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
