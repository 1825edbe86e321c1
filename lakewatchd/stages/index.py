"""Bring one asset up to date: run the stages it lacks, then publish it to gold.

::

    fast lane    what is cheap and due ──► gold: the file is found ──► is more due? the same job again, in
    its lane     what is cheap and due, what is due in this lane, embed and tag over what that made ──► gold, and so on

What takes long makes way for news of the asset (it was moved, deleted, corrected), which waits behind it; the job that
tells the news asks for it again. When there is news of it, its relatives are published anew too
(:mod:`lakewatchd.stages.family`).

All rows of an asset are written by its one ``index`` job, and a key has one job at a time: that is why two
copies arriving together, or a rename during indexing, cannot write past each other.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from lakewatchd.core.asset import AssetId
from lakewatchd.core.job import Done, Job, JobSpec, Lane, Skip
from lakewatchd.core.lineage import RunState, StageRun
from lakewatchd.errors import AssetError, LakewatchError, PauseError, TransientError
from lakewatchd.lake.rows import AssetRow, Batch, GoldRow, OccurrenceRow, Presence
from lakewatchd.stages import dedupe, family, ingest, plan, publish
from lakewatchd.stages.base import ContentMoved, Context, Result, Stage, Work

T = TypeVar("T")

NAME = plan.INDEX
MOST_SAID = 2000
"""Characters that are kept of what a decoder could not read."""


class Overtaken(Exception):
    """What takes long makes way."""


async def run(job: Job, ctx: Context, stages: Mapping[str, Stage], overtaken: asyncio.Event) -> Result:
    """``overtaken`` is set when there is news of the asset while the job runs in a slow lane."""
    asset_id = job.key
    seen = await ctx.lake.occurrences_of(asset_id)
    places = by_preference(seen)
    if not places:
        return await _withdraw(asset_id, seen, job, ctx)
    work = await _load(asset_id, places, job, ctx)
    kept, had = work.row, dict(work.row.transforms)
    passing: LakewatchError | None = None
    try:
        error = await _run_in_line(work, plan.due(work.row, stages), ctx)
        if error is None and job.lane is not Lane.FAST:
            had_spans = tuple(work.spans)
            passing = await _run_lane(work, plan.due_in(job.lane, work.row, stages), ctx, overtaken)
            if passing is not None and (lane := plan.next_lane(work.row, stages, after=job.lane)):
                await _run_lane(
                    work, plan.due_in(lane, work.row, stages), ctx, overtaken
                )  # once it is parked, it gets no further
            has_more = tuple(work.spans) != had_spans
            error = await _run_in_line(work, plan.after(work.row, stages, is_new=has_more), ctx)
    except ContentMoved as moved:
        # Either these places hold something else by now, or their root blinked: look at them, then try once more.
        look_again = [ingest.spec(key, job.priority) for key in moved.changed]
        news = str(job.payload.get("news", ""))
        once_more = plan.index_spec(asset_id, job.priority, ctx.config.watch.settle_open_s, news)
        return Result(Done(then=(*look_again, once_more)), _done_so_far(work, had))
    except Overtaken:
        return Result(Done(), _done_so_far(work, had))
    is_changed = error is None and (work.row.transforms != had or work.content is not None)
    is_kept = is_changed or not had  # the row and all spans it speaks of, or neither
    work.row = dataclasses.replace(work.row, spans=len(work.spans))
    kin = await family.find(work, ctx)
    published, then = publish.gold(work, kin, ctx), list[JobSpec]()
    if ctx.neighbours is not None:
        published, then = await dedupe.published(work.row if is_kept else kept, published, ctx.neighbours)
    published, heard = await dedupe.heard(published, work.correction, ctx)
    then += heard
    lane = plan.next_lane(work.row, stages) if error is None and passing is None else None
    batch = Batch(
        assets=(work.row,) if is_kept else (),
        spans=tuple(work.spans) if is_kept else (),
        gold=(published,),
        thumbnails=_thumbnails(work),
        runs=tuple(work.runs),
    )
    then += [plan.lane_spec(asset_id, lane)] if lane else []
    relatives = kin.relatives if len(seen) == len(places) else await family.relatives_of(asset_id, seen, ctx)
    if relatives and (work.content is not None or await _is_news(published, job, ctx)):
        then += _wake(relatives, job)
    return Result(Done(then=tuple(then)), batch, error or passing)


def _done_so_far(work: Work, had: Mapping[str, str]) -> Batch | None:
    """What stages made of content that lies elsewhere by now: an hour of listening is not lost over a rename. It waits
    to be embedded, and to be published by who knows the places."""
    if not had or work.row.transforms == had:
        return None
    made = {name: by for name, by in work.row.transforms.items() if name not in plan.AFTER}
    row = dataclasses.replace(work.row, transforms=made, spans=len(work.spans))
    return Batch(assets=(row,), spans=tuple(work.spans), thumbnails=_thumbnails(work), runs=tuple(work.runs))


async def _is_news(published: GoldRow, job: Job, ctx: Context) -> bool:
    """Was the job asked for by more than a relative? Its news may be lost in a crash, and then the rows tell."""
    if "news" in job.payload:
        return True
    before = await ctx.lake.gold(published.asset_id)
    facts = ("best", "occurrences", "family")
    return before is None or any(getattr(before, name) != getattr(published, name) for name in facts)


def _wake(relatives: Iterable[AssetId], job: Job) -> list[JobSpec]:
    return [plan.index_spec(relative, job.priority) for relative in relatives]


async def _run_in_line(work: Work, due: Iterable[Stage], ctx: Context) -> LakewatchError | None:
    """Run what is due; a stage that cannot take this content ends the line, and what it raised is returned."""
    for stage in due:
        if (error := await _run_stage(stage, work, ctx, (AssetError,))) is not None:
            return error
    return None


async def _run_lane(work: Work, due: Iterable[Stage], ctx: Context, overtaken: asyncio.Event) -> LakewatchError | None:
    """Run all of them, whichever fails: hours of speech are not lost over letters in a picture. Returns one of the
    failures, rather one that may pass by itself. It is none where what a stage needs went away: that stage is left out
    from now on, and done when it is back. Raises :class:`Overtaken`.
    """
    caught = (AssetError, PauseError, TransientError)
    failed = []
    for stage in due:
        error = await _unless(overtaken, _run_stage(stage, work, ctx, caught))
        if error is not None and stage.is_there():
            failed.append(error)
    return min(failed, key=lambda error: isinstance(error, AssetError), default=None)


async def _unless(overtaken: asyncio.Event, stage: Coroutine[Any, Any, T]) -> T:
    """What ``stage`` comes to; where it is overtaken first, it is cancelled, and :class:`Overtaken` raised."""
    running, waiting = asyncio.ensure_future(stage), asyncio.ensure_future(overtaken.wait())
    try:
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise Overtaken
        return running.result()
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)


async def _run_stage(
    stage: Stage, work: Work, ctx: Context, caught: tuple[type[LakewatchError], ...]
) -> LakewatchError | None:
    at, since = ctx.clock.now(), ctx.clock.monotonic()
    error: LakewatchError | None = None
    try:
        await stage.run(work, ctx)
    except caught as exc:
        error = exc
        if isinstance(exc, AssetError):
            exc.place = work.places[0].key.text
    else:
        work.row = dataclasses.replace(work.row, transforms={**work.row.transforms, stage.name: stage.transform.id})
    lacks = "; ".join(work.content.warnings)[:MOST_SAID] if work.content and stage.name in plan.DECODING else ""
    state, detail = (RunState.DONE, lacks) if error is None else (RunState.FAILED, f"{error.reason}: {error.message}")
    took = ctx.clock.monotonic() - since
    work.runs.append(StageRun(work.asset_id, stage.name, stage.transform.id, at, took, state, detail))
    return error


async def _load(asset_id: AssetId, places: tuple[OccurrenceRow, ...], job: Job, ctx: Context) -> Work:
    best = places[0]
    row = await ctx.lake.asset(asset_id)
    if row is None or row.kind is not best.kind or row.mime != best.mime:
        # New here, or the name that counts now makes it another flavour of the same bytes: start over.
        row, spans = AssetRow(asset_id, best.kind, best.mime, best.version.size_bytes), []
    else:
        made = {name: by for name, by in row.transforms.items() if name in plan.PLAN[row.kind]}
        row = dataclasses.replace(row, transforms=made)  # less what an older plan had done
        spans = list(await ctx.lake.spans(asset_id))
    name = best.key.path.rpartition("/")[2]
    correction = await ctx.lake.correction(asset_id)
    return Work(asset_id, best.kind, best.mime, name, job.priority, places, row, spans, correction)


async def _withdraw(asset_id: AssetId, seen: list[OccurrenceRow], job: Job, ctx: Context) -> Result:
    """Nothing holds it any more. Silver stays for a while: if the file comes back, its work is not done twice."""
    then = tuple(_wake(await family.relatives_of(asset_id, seen, ctx), job))
    then += tuple(await dedupe.withdrawn(asset_id, ctx))
    if await ctx.lake.gold(asset_id) is None:
        return Result(Done(then=then) if then else Skip("never seen"))
    return Result(Done(then=then), Batch(gold_gone=(asset_id,)))


def by_preference(rows: list[OccurrenceRow]) -> tuple[OccurrenceRow, ...]:
    """Those that exist, the shortest way in first: an order that does not depend on history."""
    here = [row for row in rows if row.presence is not Presence.GONE]
    return tuple(sorted(here, key=lambda row: (row.key.path.count("/"), len(row.key.path), row.key)))


def _thumbnails(work: Work) -> tuple[tuple[AssetId, bytes], ...]:
    if work.content is None or work.content.thumbnail is None:
        return ()
    return ((work.asset_id, work.content.thumbnail),)
