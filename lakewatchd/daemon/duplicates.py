"""The neighbours of all that the lake serves: caught up with after a start, while other work goes on.

A file that was lost, or made by other rules, is made again from silver. What a crash left half told is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakewatchd.config import Config
from lakewatchd.core.asset import AssetId
from lakewatchd.core.job import JobSpec, Priority
from lakewatchd.lake import neighbours
from lakewatchd.lake.neighbours import Neighbours
from lakewatchd.lake.rows import GoldRow
from lakewatchd.stages import dedupe, plan

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

_log = logging.getLogger(__name__)

ROWS_AT_ONCE = 256


def open_neighbours(config: Config) -> Neighbours | None:
    """None where near-duplicates are switched off; then nothing of them is kept either. Blocks."""
    if config.duplicates.near:
        return Neighbours(config.neighbours_path, dedupe.compared(), config.duplicates.prefer)
    neighbours.remove(config.neighbours_path)
    return None


async def catch_up(daemon: Daemon) -> int:
    """Ask for all whose row in gold does not say what it should; how many that are."""
    count, page = 0, list[GoldRow]()
    async for row in daemon.reader.all_gold():
        page.append(row)
        if len(page) == ROWS_AT_ONCE:
            count += await _ask(daemon, await _settled(daemon, page))
            page = []
    count += await _ask(daemon, await _settled(daemon, page))
    count += await _ask_for_unknown(daemon)
    if count:
        _log.info("%d assets are published again: their groups of duplicates changed", count)
    return count


async def _settled(daemon: Daemon, page: Sequence[GoldRow]) -> list[JobSpec]:
    index = daemon.context.neighbours
    if index is None:
        grouped = [row.asset_id for row in page if row.duplicate_group]
        return [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in grouped]
    served = {row.asset_id: row for row in page}
    asked = set[AssetId]()
    for row in await daemon.reader.assets(await asyncio.to_thread(index.missing, list(served))):
        # Not over what a job may have put since the page was read.
        _, others = await asyncio.to_thread(index.put, dedupe.entry(row, served[row.asset_id]), is_news=False)
        asked.update(other for other in others if other not in served)  # of the page, all are looked at below
    told = [(row.asset_id, dedupe.said(row)) for row in page]
    asked.update(await asyncio.to_thread(index.told, told))
    return [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in sorted(asked)]


async def _ask_for_unknown(daemon: Daemon) -> int:
    """What is kept as a neighbour and not served: its job was lost with the queue, and says what became of it."""
    index, after, count = daemon.context.neighbours, "", 0
    while index is not None and (page := await asyncio.to_thread(index.after, after, ROWS_AT_ONCE)):
        served = {row.asset_id for row in await daemon.reader.gold_of_many(page)}
        unknown = [asset_id for asset_id in page if asset_id not in served]
        count += await _ask(daemon, [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in unknown])
        after = page[-1]
    return count


async def _ask(daemon: Daemon, jobs: Sequence[JobSpec]) -> int:
    if jobs:
        await daemon.queue_thread(daemon.queue.put, jobs)
        daemon.pool.wake()
    return len(jobs)
