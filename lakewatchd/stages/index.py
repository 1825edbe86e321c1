"""Bring one asset up to date: run the stages it lacks, then publish it to gold.

All rows of an asset are written by its one ``index`` job, and a key has one job at a time: that is why two
copies arriving together, or a rename during indexing, cannot write past each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lakewatchd.core.asset import AssetId
from lakewatchd.core.job import Done, Job, Skip
from lakewatchd.core.lineage import RunState, StageRun
from lakewatchd.errors import AssetError
from lakewatchd.lake.rows import AssetRow, Batch, OccurrenceRow, Presence
from lakewatchd.stages import ingest, plan, publish
from lakewatchd.stages.base import ContentMoved, Context, Result, Stage, Work

NAME = plan.INDEX


async def run(job: Job, ctx: Context, stages: Mapping[str, Stage]) -> Result:
    asset_id = job.key
    places = _by_preference(await ctx.lake.occurrences_of(asset_id))
    if not places:
        return await _withdraw(asset_id, ctx)
    work = await _load(asset_id, places, job, ctx)
    due = plan.due(work.row, stages)
    had = dict(work.row.transforms)
    try:
        error = await _run_stages(work, due, ctx)
    except ContentMoved as moved:
        # Either these places hold something else by now, or their root blinked: look at them, then try once more.
        look_again = [ingest.spec(key, job.priority) for key in moved.changed]
        once_more = plan.index_spec(asset_id, job.priority, work.kind, ctx.config.watch.settle_open_s)
        return Result(Done(then=(*look_again, once_more)))
    is_changed = error is None and (work.row.transforms != had or work.content is not None)
    is_kept = is_changed or not had  # the row and all spans it speaks of, or neither
    published = publish.gold(work, ctx)
    batch = Batch(
        assets=(work.row,) if is_kept else (),
        spans=tuple(work.spans) if is_kept else (),
        gold=(published,),
        thumbnails=_thumbnails(work),
        runs=tuple(work.runs),
    )
    return Result(Done(), batch, error)


async def _run_stages(work: Work, due: list[Stage], ctx: Context) -> AssetError | None:
    """Run what is due; a stage that cannot take this content ends the line and is returned."""
    for stage in due:
        at, since = ctx.clock.now(), ctx.clock.monotonic()

        def note(state: RunState, detail: str = "", stage: Stage = stage, at: float = at, since: float = since) -> None:
            took = ctx.clock.monotonic() - since
            work.runs.append(StageRun(work.asset_id, stage.name, stage.transform.id, at, took, state, detail))

        try:
            await stage.run(work, ctx)
        except AssetError as exc:
            note(RunState.FAILED, f"{exc.reason}: {exc.message}")
            exc.place = work.places[0].key.text
            return exc
        note(RunState.DONE)
        work.row = dataclasses.replace(work.row, transforms={**work.row.transforms, stage.name: stage.transform.id})
    return None


async def _load(asset_id: AssetId, places: tuple[OccurrenceRow, ...], job: Job, ctx: Context) -> Work:
    best = places[0]
    row = await ctx.lake.asset(asset_id)
    if row is None or row.kind is not best.kind or row.mime != best.mime:
        # New here, or the name that counts now makes it another flavour of the same bytes: start over.
        row, spans = AssetRow(asset_id, best.kind, best.mime, best.version.size_bytes), []
    else:
        spans = list(await ctx.lake.spans(asset_id))
    name = best.key.path.rpartition("/")[2]
    return Work(asset_id, best.kind, best.mime, name, job.priority, places, row, spans)


async def _withdraw(asset_id: AssetId, ctx: Context) -> Result:
    """Nothing holds it any more. Silver stays for a while: if the file comes back, its work is not done twice."""
    if await ctx.lake.gold(asset_id) is None:
        return Result(Skip("never seen"))
    return Result(Done(), Batch(gold_gone=(asset_id,)))


def _by_preference(rows: list[OccurrenceRow]) -> tuple[OccurrenceRow, ...]:
    """Those that exist, the shortest way in first: an order that does not depend on history."""
    here = [row for row in rows if row.presence is not Presence.GONE]
    return tuple(sorted(here, key=lambda row: (row.key.path.count("/"), len(row.key.path), row.key)))


def _thumbnails(work: Work) -> tuple[tuple[AssetId, bytes], ...]:
    if work.content is None or work.content.thumbnail is None:
        return ()
    return ((work.asset_id, work.content.thumbnail),)
