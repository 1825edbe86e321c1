"""Near-duplicates: who stands for whom, as a part of publishing, whose rows have to follow, and whose tags count.

What is near to what, and who is the best of a group, is kept by :class:`lakewatchd.lake.neighbours.Neighbours`; how two
contents are compared is in :mod:`lakewatchd.media.near`. Here the two meet. Blocking work is done in a thread.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Iterable

from lakewatchd.core.asset import AssetId, Correction, Kind, Tag
from lakewatchd.core.job import JobSpec, Priority
from lakewatchd.lake.neighbours import Compared, Entry, Key, Neighbours, Standing
from lakewatchd.lake.rows import AssetRow, GoldRow
from lakewatchd.media import near
from lakewatchd.stages import voices
from lakewatchd.stages.base import Context
from lakewatchd.stages.plan import index_spec

COPY = "copy"
"""Origin of a tag that a person gave to another of the group."""
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock, as dates in gold are


def compared() -> Compared:
    return Compared(f"near {near.VERSION}", _keys, near.is_same, near.SLACK_BITS)


async def published(row: AssetRow, gold: GoldRow, neighbours: Neighbours) -> tuple[GoldRow, list[JobSpec]]:
    """The row with its place in a group, and the jobs of others that have to be published again for its sake."""
    standing, others = await asyncio.to_thread(neighbours.put, entry(row, gold))
    placed = dataclasses.replace(gold, duplicate_group=standing.group, is_representative=standing.is_first)
    return placed, follow(others)


async def heard(gold: GoldRow, correction: Correction, ctx: Context) -> tuple[GoldRow, list[JobSpec]]:
    """What a person said of a copy counts for the one that stands for it: the row with these tags, or of a copy the job
    of the representative that has to hear them, or that they were taken back.

    Who stands for a group reads what its members are served with, and a member asks for it once it is: no word is lost
    or kept by the order of things.
    """
    if ctx.neighbours is None or not (gold.duplicate_group or correction.tags):
        return gold, []
    if gold.duplicate_group != gold.asset_id:  # a copy, or one no more: it became a part of something else, say
        before = await ctx.lake.gold(gold.asset_id)
        groups = {gold.duplicate_group, before.duplicate_group if before is not None else ""} - {"", gold.asset_id}
        if correction.tags:
            return gold, follow(sorted(groups))
        heard = [row.asset_id for row in await ctx.lake.gold_of_many(groups) if _has_heard(row)]
        return gold, follow(sorted(heard))
    members = await asyncio.to_thread(ctx.neighbours.members, gold.asset_id)
    rows = await ctx.lake.judged_of(await ctx.lake.corrections_of(members))
    said = {tag.name for row in rows.values() for tag in row.tags if tag.origin == "person"}  # with what they imply
    names = sorted(said - {*correction.denied, *(tag.name for tag in gold.tags)})[: voices.MAX_TAGS]
    tags = (*gold.tags, *(Tag(name, 1.0, COPY) for name in names))
    return dataclasses.replace(gold, tags=tags, text="\n".join((gold.text, *names))), []


async def withdrawn(asset_id: AssetId, ctx: Context) -> list[JobSpec]:
    """It is served no more: whose rows have to follow."""
    if ctx.neighbours is None:
        return []
    before = await ctx.lake.gold(asset_id)
    has_said = (await ctx.lake.correction(asset_id)).tags
    leader = [before.duplicate_group] if has_said and before is not None and before.duplicate_group else []
    others = await asyncio.to_thread(ctx.neighbours.remove, asset_id)
    return follow(dict.fromkeys((*others, *leader)))


def _has_heard(gold: GoldRow) -> bool:
    return any(tag.origin == COPY for tag in gold.tags)


def follow(asset_ids: Iterable[AssetId]) -> list[JobSpec]:
    """They may be parked over something else: their place in a group changes all the same."""
    return [index_spec(asset_id, Priority.CHANGED, news="group") for asset_id in asset_ids]


def entry(row: AssetRow, gold: GoldRow) -> Entry:
    pixels = float((row.width or 0) * (row.height or 0))
    seconds = round(row.duration_s or 0.0)
    is_text = row.kind is Kind.DOCUMENT
    return Entry(
        asset_id=row.asset_id,
        kind=row.kind,
        signature=None if gold.family else _signature(row),  # the small copy of a film is a part of it, no duplicate
        length=float(row.text_chars if is_text else seconds),
        resolution=pixels,
        quality=row.size_bytes * 8 / pixels / max(1, seconds) if pixels else float(row.size_bytes),
        dated=(gold.dated_at.replace(tzinfo=None) - _EPOCH).total_seconds(),
    )


def said(gold: GoldRow) -> Standing:
    return Standing(gold.duplicate_group, gold.is_representative)


def _keys(kind: Kind, signature: bytes) -> tuple[Iterable[Key], Iterable[Key]]:
    keys = near.keys(kind, signature)
    return keys.found_by, keys.looks_for


def _signature(row: AssetRow) -> bytes | None:
    """None for what has none, and for what a decoder sent that is none."""
    if not row.signature or row.kind not in near.KINDS:
        return None
    try:
        near.keys(row.kind, row.signature)
    except ValueError:
        return None
    return row.signature
