"""What belongs to what: sidecars, the small copies that cameras keep, and the moving half of a live photo.

::

    IMG_1.jpg   <- IMG_1.xmp, IMG_1.jpg.xmp, IMG_1.jpg.json (Takeout), IMG_1.aae     a sidecar: its facts are told of it
    IMG_1.heic  <- IMG_1.mov                                                          a live photo
    GX01.mp4    <- GX01.thm, GL01.lrv                                                 small copies

A part is published with the head it belongs to and nothing else, so that views show it where it lies only. Names
make a family (:mod:`lakewatchd.core.companions`); what its members are tells who is a part of whom.

Whoever is published asks for the jobs of its relatives when there is news of it: of two places that make a family, the
later one is committed before its asset's job runs, and that job sees both. Invariant: who belongs to whom, and which
facts are told, depends on what lies where now, never on what came first.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import posixpath
from collections.abc import Iterable, Iterator, Sequence

from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.companions import PROXIES
from lakewatchd.lake.rows import AssetRow, OccurrenceRow, Presence
from lakewatchd.media.exif import CONTENT_ID
from lakewatchd.media.kinds import AAE, TAKEOUT, XMP
from lakewatchd.media.sidecar import DESCRIPTION, KEYWORD, LOCATION, PERSON, RATING
from lakewatchd.stages.base import Context, Kin, Work

SIDECARS = (XMP, TAKEOUT, AAE)
"""By type, the most trusted first: what a person wrote in a photo program, before what Google remembers."""
LIVE_S = 5.0
"""The moving half of a live photo is shorter: Apple's has three seconds, others a little more."""
LIVE_STILLS = frozenset((".heic", ".heif", ".hif", ".jpg", ".jpeg"))
LIVE_FILMS = frozenset((".mov", ".mp4", ".mp"))
MAX_MEMBERS = 500
"""Of one family. So many names that begin alike are something else."""


async def find(work: Work, ctx: Context) -> Kin:
    """What the lake says now; once for each job. ``work.row`` must be decoded, as far as it can be."""
    if work.kin is None:
        work.kin = await _kin_of(work, await _families(work.places, ctx), ctx)
    return work.kin


async def find_all(works: Sequence[Work], ctx: Context) -> None:
    """The same for many, in a few queries: most files have no family."""
    families = await ctx.lake.companions_of_many(place.key for work in works for place in work.places)

    async def look(work: Work, around: Sequence[Sequence[OccurrenceRow]]) -> None:
        work.kin = await _kin_of(work, around, ctx)

    looks = []
    for work in works:
        around = [families.get(place.key, []) for place in work.places]
        if known := [family for family in around if _is_family(family)]:
            looks.append(look(work, known))
        else:
            work.kin = _alone(work)
    await asyncio.gather(*looks)


async def _kin_of(work: Work, families: Sequence[Sequence[OccurrenceRow]], ctx: Context) -> Kin:
    """``families``: of each of its places that has others around it."""
    related = relatives(work.asset_id, families)
    if not related:
        return _alone(work)
    rows = {row.asset_id: row for row in await _rows(related, ctx)} | {work.asset_id: work.row}
    heads = [head for place in work.places for head in [_head(place, _family_of(place, families), rows)]]
    head = min((head for head in heads if head is not None), key=_rank, default=None)
    if work.mime not in SIDECARS and None in heads:
        head = None  # a film that lies alone somewhere is a film
    alone = work.asset_id if work.mime in SIDECARS else ""
    told = {
        place.asset_id
        for family in families
        for place in family
        if place.presence is not Presence.GONE
        and place.mime in SIDECARS
        and any(one.asset_id == work.asset_id for one in _heads(place, family, rows))
    }
    sidecars = sorted(
        (rows[asset_id] for asset_id in told if asset_id in rows and rows[asset_id].mime in SIDECARS),
        key=lambda row: (SIDECARS.index(row.mime), row.asset_id),
    )
    return Kin(head.asset_id if head else alone, () if head else tuple(sidecars), related)


def _alone(work: Work) -> Kin:
    return Kin(work.asset_id if work.mime in SIDECARS else "")


async def relatives_of(asset_id: AssetId, places: Iterable[OccurrenceRow], ctx: Context) -> tuple[AssetId, ...]:
    """:attr:`Kin.relatives` of what lies, or lay, at ``places``."""
    return relatives(asset_id, await _families(places, ctx))


def relatives(asset_id: AssetId, families: Sequence[Sequence[OccurrenceRow]]) -> tuple[AssetId, ...]:
    """Pure part: in each family that the asset is or was in, those that it may make a pair with."""
    found = dict[AssetId, None]()
    for family in families:
        mine = [place for place in family if place.asset_id == asset_id]
        for other in family:
            is_other = other.asset_id != asset_id and other.presence is not Presence.GONE
            if is_other and any(_may_pair(place, other) for place in mine):
                found[other.asset_id] = None
    return tuple(found)


# --- names and types ---------------------------------------------------------------------------------------


def _may_pair(one: OccurrenceRow, other: OccurrenceRow) -> bool:
    """Two pictures never do. Whatever else one of them is now, it may have been another thing before."""
    return not all(place.kind is Kind.IMAGE and not _is_part_by_name(place) for place in (one, other))


def _is_part_by_name(place: OccurrenceRow) -> bool:
    return place.mime in SIDECARS or _extension(place) in PROXIES


def _extension(place: OccurrenceRow) -> str:
    return posixpath.splitext(place.key.path)[1].lower()


def _stem(place: OccurrenceRow) -> str:
    return posixpath.splitext(place.key.path)[0].casefold()


def _rank(place: OccurrenceRow) -> tuple[bool, int, str, str]:
    """Of several heads the picture, then the shortest way in."""
    return place.kind is not Kind.IMAGE, len(place.key.path), place.key.root, place.key.path


def _head(place: OccurrenceRow, family: Sequence[OccurrenceRow], rows: dict[AssetId, AssetRow]) -> OccurrenceRow | None:
    return min(_heads(place, family, rows), key=_rank, default=None)


def _heads(
    place: OccurrenceRow, family: Sequence[OccurrenceRow], rows: dict[AssetId, AssetRow]
) -> Iterator[OccurrenceRow]:
    """What the file at ``place`` is a part of, in its family."""
    here = [one for one in family if one.presence is not Presence.GONE and not _is_part_by_name(one)]
    if place.mime in SIDECARS:
        pictures = [one for one in here if one.kind in (Kind.IMAGE, Kind.VIDEO)]
        yield from (one for one in pictures if next(_heads(one, family, rows), None) is None)
    elif _extension(place) in PROXIES:
        yield from (one for one in here if one.kind is Kind.VIDEO)
    elif place.kind is Kind.VIDEO:
        yield from (one for one in here if one.kind is Kind.IMAGE and _is_live(one, place, rows))


def _is_live(still: OccurrenceRow, film: OccurrenceRow, rows: dict[AssetId, AssetRow]) -> bool:
    """Both name the same moment; or, where one does not say, they share their name, a camera made both at once, and the
    film is short."""
    one, other = rows.get(still.asset_id), rows.get(film.asset_id)
    if one is None or other is None or _extension(still) not in LIVE_STILLS or _extension(film) not in LIVE_FILMS:
        return False
    moments = [dict(row.exif).get(CONTENT_ID) for row in (one, other)]
    if all(moments):
        return moments[0] == moments[1]
    is_short = other.duration_s is not None and other.duration_s <= LIVE_S
    return is_short and _stem(still) == _stem(film) and _may_be_at_once(one.captured_at, other.captured_at)


def _may_be_at_once(one: dt.datetime | None, other: dt.datetime | None) -> bool:
    """In whatever zones they are told: these differ by quarters of an hour."""
    if one is None or other is None:
        return True
    apart_s = abs((one - other).total_seconds())
    return apart_s <= 15 * 3600 and min(apart_s % 900, -apart_s % 900) <= LIVE_S


# --- the lake ----------------------------------------------------------------------------------------------


async def _families(places: Iterable[OccurrenceRow], ctx: Context) -> list[list[OccurrenceRow]]:
    found = await asyncio.gather(*(ctx.lake.companions(place.key) for place in places))
    return [family for family in found if _is_family(family)]


def _is_family(places: Sequence[OccurrenceRow]) -> bool:
    return len(places) > 1 and sum(place.presence is not Presence.GONE for place in places) <= MAX_MEMBERS


async def _rows(asset_ids: Iterable[AssetId], ctx: Context) -> list[AssetRow]:
    found = await asyncio.gather(*(ctx.lake.asset(asset_id) for asset_id in asset_ids))
    return [row for row in found if row is not None]


def _family_of(place: OccurrenceRow, families: Sequence[Sequence[OccurrenceRow]]) -> Sequence[OccurrenceRow]:
    return next((family for family in families if any(one.key == place.key for one in family)), ())


# --- what sidecars say -------------------------------------------------------------------------------------


def tags(sidecars: Iterable[AssetRow]) -> Iterator[str]:
    """Words for tags: people, as ``people/Ann``; stars, as ``5 stars``; keywords."""
    said = [pair for row in sidecars for pair in row.exif]
    yield from (f"people/{value}" for key, value in said if key == PERSON)
    yield from (f"{value} stars" for key, value in said if key == RATING)
    yield from (value for key, value in said if key == KEYWORD)


def description(sidecars: Iterable[AssetRow]) -> str:
    return next((value for row in sidecars for key, value in row.exif if key == DESCRIPTION), "")


def words(row: AssetRow, sidecars: Iterable[AssetRow]) -> str:
    """What people wrote of it, in it and beside it, to find it by."""
    beside = (text for one in sidecars for text in (one.title, one.author, *_said(one)) if text)
    return "\n".join(dict.fromkeys((*_said(row), *beside)))


def _said(row: AssetRow) -> Iterator[str]:
    return (value for key, value in row.exif if key in (DESCRIPTION, PERSON, LOCATION))


def title(sidecars: Iterable[AssetRow]) -> str:
    return next((row.title for row in sidecars if row.title), "")


def position(row: AssetRow, sidecars: Sequence[AssetRow]) -> tuple[float, float] | None:
    """Degrees north and east: what a person corrected, then what the camera knew, then what Google did."""
    said = [*(one for one in sidecars if one.mime == XMP), row, *(one for one in sidecars if one.mime != XMP)]
    for one in said:
        if one.latitude is not None and one.longitude is not None:
            return one.latitude, one.longitude
    return None
