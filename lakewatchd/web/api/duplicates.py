"""``/api/duplicates``: groups of files that are the same or nearly, each with the one that stands for it.

Reads a page of those that stand for others and then their groups, so that a page costs the same in any lake.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response

from lakewatchd.core.asset import AssetId, Kind, path_text
from lakewatchd.lake.rows import AssetRow, GoldRow, OccurrenceRow, Presence
from lakewatchd.lake.schema import is_in, quoted
from lakewatchd.web.api.answers import answer
from lakewatchd.web.api.cursors import read, written
from lakewatchd.web.desk import Desk, TheDesk

router = APIRouter(tags=["duplicates"])

MAX_PAGE = 100
MAX_FILES = 100
"""Of one group that are named."""
_STANDS = "(duplicate_group != '' AND is_representative) OR (duplicate_group = '' AND occurrences > 1)"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of a group."""

    id: AssetId
    kind: Kind
    mime: str
    title: str
    root: str
    path: str
    """Below the root, printable."""
    size_bytes: int
    width: int | None
    height: int | None
    duration_s: float | None
    dated_at: dt.datetime
    is_kept: bool
    """It stands for the others."""
    is_exact: bool
    """It has the very bytes of that one."""


@dataclass(frozen=True, slots=True)
class Copies:
    group: str
    kind: Kind
    reclaimable_bytes: int
    """Of all but the one that is kept; what shares its bytes on the disk, as a hard link does, is counted too."""
    assets: tuple[Copy, ...]
    """The one that is kept comes first."""


@dataclass(frozen=True, slots=True)
class Groups:
    items: tuple[Copies, ...]
    next: str | None = None


@router.get("/duplicates", responses={200: {"model": Groups}})
async def duplicates(
    desk: TheDesk,
    group: Annotated[str, Query(pattern=r"^([0-9a-f]{1,64})?$", description="only this one")] = "",
    cursor: Annotated[str, Query(max_length=200, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
) -> Response:
    """Groups, those of the newest files first."""
    where = f"({_STANDS}) AND (duplicate_group = {quoted(group)} OR asset_id = {quoted(group)})" if group else _STANDS
    rows = await desk.finder.listed.page(where, after=read(cursor), limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    return answer(Groups(tuple(await _groups(desk, rows)), written(rows[-1]) if more else None))


async def _groups(desk: Desk, heads: Sequence[GoldRow]) -> list[Copies]:
    mates: dict[str, list[GoldRow]] = {}
    names = [row.duplicate_group for row in heads if row.duplicate_group]
    if names:
        async for row in desk.reader.gold_where(is_in("duplicate_group", names)):
            if len(known := mates.setdefault(row.duplicate_group, [])) < MAX_FILES:
                known.append(row)
    groups = [(head, [head, *(row for row in mates.get(head.duplicate_group, ()) if row != head)]) for head in heads]
    ids = {row.asset_id for _, rows in groups for row in rows}
    facts = {row.asset_id: row for row in await desk.reader.assets(ids)}
    places: dict[AssetId, list[OccurrenceRow]] = {}
    for place in await desk.reader.occurrences_of_many(ids):
        if place.presence is not Presence.GONE:
            places.setdefault(place.asset_id, []).append(place)
    return [_told(head, tuple(_copies(head, rows, places, facts))) for head, rows in groups]


def _told(head: GoldRow, copies: tuple[Copy, ...]) -> Copies:
    spare = sum(copy.size_bytes for copy in copies if not copy.is_kept)
    return Copies(head.duplicate_group or head.asset_id, head.kind, spare, copies[:MAX_FILES])


def _copies(
    head: GoldRow,
    rows: Sequence[GoldRow],
    places: Mapping[AssetId, Sequence[OccurrenceRow]],
    facts: Mapping[AssetId, AssetRow],
) -> Iterator[Copy]:
    for row in rows:
        fact = facts.get(row.asset_id)
        for place in sorted(places.get(row.asset_id, ()), key=lambda place: (place.key != row.best, place.key)):
            yield Copy(
                row.asset_id,
                row.kind,
                place.mime,
                row.title,
                place.key.root,
                path_text(place.key.path),
                row.size_bytes,
                fact.width if fact else None,
                fact.height if fact else None,
                row.duration_s,
                row.dated_at,
                is_kept=place.key == head.best,
                is_exact=row.asset_id == head.asset_id,
            )
