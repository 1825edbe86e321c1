"""``/api/assets``: lists of them, and all of one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from lakewatchd.core.asset import AssetId, path_text
from lakewatchd.lake.codec import spans as read_spans
from lakewatchd.lake.listed import Facets
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence, SpanRow
from lakewatchd.lake.schema import ASSETS, OCCURRENCES, SPANS, is_in, quoted
from lakewatchd.views.search.filters import where
from lakewatchd.web.api.answers import answer, refusal
from lakewatchd.web.api.cursors import read, written
from lakewatchd.web.api.filters import AnAsset, Filters
from lakewatchd.web.api.shapes import Asset, Group, Item, Month, Page, Part, Place, Span, Spans
from lakewatchd.web.desk import Desk, TheDesk

router = APIRouter(tags=["assets"])

MAX_PAGE = 1000
MAX_PLACES = 200
"""That one answer names."""
MAX_PARTS = 100
MAX_SPANS = 1000
_SPAN_COLUMNS = [name for name in SPANS.names if name not in SPANS.vectors]


@router.get("/assets", responses={200: {"model": Page}})
async def assets(
    desk: TheDesk,
    filters: Filters,
    cursor: Annotated[str, Query(max_length=200, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> Response:
    """Those that fulfil all filters, the newest first; parts of others are left out."""
    rows = await desk.finder.listed.page(where(filters).gold, after=read(cursor), limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    items = await _items(desk, rows)
    return answer(Page(tuple(items), written(rows[-1]) if more else None))


@router.get("/timeline", responses={200: {"model": list[Month]}})
async def timeline(desk: TheDesk, filters: Filters) -> Response:
    """How many there are of each month, the newest first."""
    return answer([Month(*one) for one in await desk.finder.listed.timeline(where(filters).gold)])


@router.get("/facets", responses={200: {"model": Facets}})
async def facets(desk: TheDesk, filters: Filters, top: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """What else those that fulfil all filters have: kinds, categories, tags, places, months, most first."""
    return answer(await desk.finder.listed.facets(where(filters).gold, top=top))


@router.get("/assets/{id}", responses={200: {"model": Asset}})
async def asset(desk: TheDesk, id: AnAsset) -> Response:
    """All that is known of one asset but its pieces."""
    gold = await desk.reader.gold(id)
    if gold is None:
        return _unknown()
    row = await desk.reader.asset(id)
    places = [one for one in await desk.reader.occurrences_of(id) if one.presence is not Presence.GONE]
    places.sort(key=lambda one: (one.key != gold.best, one.presence is not Presence.PRESENT, one.key))
    correction = await desk.reader.correction(id)
    away = await desk.absence.roots()
    return answer(
        Asset(
            id=id,
            kind=gold.kind,
            mime=places[0].mime if places else row.mime if row else "",
            title=gold.title,
            category=gold.category,
            category_score=gold.category_score,
            tags=gold.tags,
            denied=correction.denied,
            caption=gold.caption,
            dated_at=gold.dated_at,
            dated_by=gold.dated_by,
            country=gold.country,
            city=gold.city,
            latitude=gold.latitude,
            longitude=gold.longitude,
            size_bytes=gold.size_bytes,
            duration_s=gold.duration_s,
            width=row.width if row else None,
            height=row.height if row else None,
            pages=row.pages if row else None,
            camera=row.camera if row else "",
            author=row.author if row else "",
            language=gold.language,
            text_chars=row.text_chars if row else 0,
            exif=row.exif if row else (),
            places=tuple(_place(one, away) for one in places[:MAX_PLACES]),
            is_away=all(_is_away(one, away) for one in places),
            family=gold.family,
            parts=await _parts(desk, id),
            duplicates=await _group(desk, gold),
            spans=await _kinds(desk, id),
        )
    )


@router.get("/assets/{id}/spans", responses={200: {"model": Spans}})
async def spans(
    desk: TheDesk,
    id: AnAsset,
    kind: Annotated[list[str], Query(max_length=10)] = [],  # noqa: B006 - FastAPI copies it
    offset: Annotated[int, Query(ge=0, le=1 << 40, description="the first piece, by its number")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_SPANS)] = 200,
) -> Response:
    """Its pieces in their order: what is seen, said, or written where."""
    wanted = f"asset_id = {quoted(id)} AND span >= {offset}"
    if kind:
        wanted += f" AND {is_in('kind', kind)}"
    numbers = [one async for part in desk.reader.batches(SPANS, ["span"], wanted) for one in part["span"].to_pylist()]
    numbers.sort()  # a book has thousands of pieces: only those that are answered are read whole
    rows = list[SpanRow]()
    if shown := numbers[:limit]:
        async for part in desk.reader.batches(SPANS, _SPAN_COLUMNS, f"{wanted} AND span <= {shown[-1]}"):
            rows += await asyncio.to_thread(lambda part=part: list(read_spans(part)))  # type: ignore[misc]
    rows.sort(key=lambda row: row.span)
    items = tuple(map(_span, rows))
    return await asyncio.to_thread(answer, Spans(items, numbers[limit] if len(numbers) > limit else None))


def _span(row: SpanRow) -> Span:
    return Span(
        row.span,
        row.kind,
        row.text,
        row.start,
        row.end,
        row.page,
        row.start_s,
        row.end_s,
        row.words,
        row.objects,
        row.language,
        row.speaker,
    )


async def _items(desk: Desk, rows: Sequence[GoldRow]) -> list[Item]:
    sizes = dict[AssetId, tuple[int | None, int | None]]()
    here = set[AssetId]()
    among = is_in("asset_id", [row.asset_id for row in rows])
    if rows:
        async for part in desk.reader.batches(ASSETS, ["asset_id", "width", "height"], among):
            for row in part.to_pylist():
                sizes[row["asset_id"]] = row["width"], row["height"]
        present = f"{among} AND presence = {quoted(Presence.PRESENT.value)}"
        away = await desk.absence.roots()
        async for part in desk.reader.batches(OCCURRENCES, ["asset_id", "root"], present):
            here.update(row["asset_id"] for row in part.to_pylist() if row["root"] not in away)
    return [
        Item(
            row.asset_id,
            row.kind,
            row.title,
            path_text(row.best.path.rpartition("/")[2]),
            row.dated_at,
            *sizes.get(row.asset_id, (None, None)),
            duration_s=row.duration_s,
            is_away=row.asset_id not in here,
        )
        for row in rows
    ]


def _place(row: OccurrenceRow, away: Collection[str]) -> Place:
    presence = Presence.AWAY if _is_away(row, away) else row.presence
    return Place(row.key.root, path_text(row.key.path), presence.value, row.version.mtime_ns / 1e9)


def _is_away(row: OccurrenceRow, away: Collection[str]) -> bool:
    return row.presence is not Presence.PRESENT or row.key.root in away


async def _parts(desk: Desk, id: AssetId) -> tuple[Part, ...]:
    rows = [row async for row in desk.reader.gold_where(f"family = {quoted(id)}")]
    return tuple(Part(row.asset_id, row.kind, row.title) for row in rows[:MAX_PARTS])


async def _group(desk: Desk, gold: GoldRow) -> Group | None:
    if not gold.duplicate_group:
        return None
    others = [row.asset_id async for row in desk.reader.gold_where(f"duplicate_group = {quoted(gold.duplicate_group)}")]
    mates = tuple(sorted(set(others) - {gold.asset_id}))[:MAX_PARTS]
    return Group(gold.duplicate_group, gold.is_representative, mates)


async def _kinds(desk: Desk, id: AssetId) -> dict[str, int]:
    counts = Counter[str]()
    async for part in desk.reader.batches(SPANS, ["kind"], f"asset_id = {quoted(id)}"):
        counts.update(part["kind"].to_pylist())
    return dict(sorted(counts.items()))


def _unknown() -> Response:
    return refusal(404, "no such asset is served", "it may have been removed, or is not indexed yet")
