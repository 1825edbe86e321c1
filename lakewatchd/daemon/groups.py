"""Groups of duplicates, as the lake has them: which file of each is kept, and what the others take.

Reads only, with the daemon or without it. Invariant: a file is called superfluous only beside another that is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from lakewatchd.config import Config
from lakewatchd.core.asset import AssetId, Kind, path_text
from lakewatchd.core.status import DuplicateGroup, DuplicateListing, Twin
from lakewatchd.daemon.site import place_text
from lakewatchd.lake.files import files_of
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence

_GROUPED = "duplicate_group != '' OR occurrences > 1"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which groups are asked for."""

    near: bool = True
    exact: bool = True
    kind: Kind | None = None


@dataclass(slots=True)
class _Group:
    first: GoldRow | None = None
    """The asset that stands for the others."""
    rows: list[GoldRow] = field(default_factory=list)


async def duplicates(config: Config, wanted: Wanted) -> DuplicateListing:
    """The groups that take most room first."""
    reader = LakeReader(files_of(config))
    try:
        groups = dict[AssetId, _Group]()
        async for row in _rows(reader, wanted):
            group = groups.setdefault((row.duplicate_group if wanted.near else "") or row.asset_id, _Group())
            group.rows.append(row)
            if row.is_representative or not wanted.near:
                group.first = row
        if not wanted.exact:
            groups = {name: group for name, group in groups.items() if len(group.rows) > 1}
        found = [told async for told in _told(config, reader, list(groups.values()), wanted)]
    finally:
        reader.close()
    found.sort(key=lambda group: (-group.reclaimable_bytes, group.group))
    return DuplicateListing(tuple(found), sum(group.reclaimable_bytes for group in found))


async def _rows(reader: LakeReader, wanted: Wanted) -> AsyncIterator[GoldRow]:
    where = _GROUPED if wanted.near else "occurrences > 1"
    async for row in reader.gold_where(where):
        if wanted.kind in (None, row.kind):
            yield row


async def _told(
    config: Config, reader: LakeReader, groups: Sequence[_Group], wanted: Wanted
) -> AsyncIterator[DuplicateGroup]:
    for at in range(0, len(groups), _AT_ONCE):
        part = groups[at : at + _AT_ONCE]
        ids = [row.asset_id for group in part for row in group.rows]
        places = dict[AssetId, list[OccurrenceRow]]()
        for place in await reader.occurrences_of_many(ids):
            if place.presence is Presence.PRESENT:
                places.setdefault(place.asset_id, []).append(place)
        for group in part:
            if (told := _group(config, group, places, wanted)) is not None:
                yield told


def _group(
    config: Config, group: _Group, places: dict[AssetId, list[OccurrenceRow]], wanted: Wanted
) -> DuplicateGroup | None:
    """None where nothing could be spared: the best copy is away, or the only one."""
    roots = {root.name: root for root in config.all_roots}
    first = group.first
    here = [place for place in places.get(first.asset_id, ()) if place.key.root in roots] if first else []
    if first is None or not here:
        return None
    kept = next((place for place in here if place.key == first.best), here[0])
    others = [
        place
        for row in group.rows
        for place in (places.get(row.asset_id, ()) if wanted.exact else places.get(row.asset_id, ())[:1])
        if place is not kept and place.key.root in roots and (wanted.exact or row is not first)
    ]
    if not others:
        return None
    taken, spared = {_storage(kept)}, 0
    for place in others:
        if (storage := _storage(place)) not in taken:  # another name of the same file frees nothing
            taken.add(storage)
            spared += place.version.size_bytes
    twins = [
        Twin(
            path_text(place_text(roots[place.key.root], place.key.path)),
            place.version.size_bytes,
            is_kept=place is kept,
            is_exact=place.asset_id == first.asset_id,
        )
        for place in (kept, *others)
    ]
    return DuplicateGroup(first.asset_id[:32], first.kind.value, tuple(twins), spared)


def _storage(place: OccurrenceRow) -> tuple[object, ...]:
    version = place.version
    return (version.device, version.inode) if version.inode else (place.key,)
