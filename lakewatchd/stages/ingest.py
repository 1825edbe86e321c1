"""Which content lies at a path? Hash it, note the occurrence, and pass the asset on.

The event that led here is only a hint; the disk is asked again, so that merged, doubled, late and reordered
events all end in the same rows.

What proves that content is known without reading all of it: size, time, inode and ctime that stand still; for a large
file that was renamed, linked or given away, a sample of it. An inode alone proves nothing, it may be another file's by
now. A mere suspicion (the ctime moved and nothing else) waits behind all other work. Of an object in a bucket the same
says that its labels are new: they are taken over without reading it.
"""

from __future__ import annotations

import dataclasses
import posixpath

from lakewatchd.core.asset import NO_LABELS, AssetId, Labels, Occurrence, PathKey, Version, path_text, text_path
from lakewatchd.core.content import Identity
from lakewatchd.core.job import Again, Done, Job, JobSpec, Lane, Priority, Skip
from lakewatchd.core.lineage import RunState, StageRun, Transform
from lakewatchd.lake.rows import Batch, OccurrenceRow, Presence
from lakewatchd.media.fingerprint import SMALL_BYTES
from lakewatchd.stages import labelled, plan
from lakewatchd.stages.base import Context, Result

NAME = "ingest"
REREAD_BYTES = 64 << 20
"""A file up to this size is read whole when its ctime alone moved, a larger one by sample."""
HEAVY_BYTES = 1 << 30
"""An object from this size on comes through the network for minutes or hours, and waits in the heavy lane."""
YOUNG_S, SKEW_S = 3.0, 60.0
"""When a second is surely over, by the clock of a server that may be ahead of ours by so much."""
TRANSFORM = Transform.of(NAME, 1, {"hash": "blake3"})


def spec(
    key: PathKey, priority: Priority, version: Version | None = None, delay_s: float = 0.0, lane: Lane = Lane.FAST
) -> JobSpec:
    """The job that looks at a place. ``version`` tells a rescan of the same bytes from news."""
    payload: dict[str, object] = {"root": key.root, "path": path_text(key.path)}
    if version is not None:
        numbers = [version.size_bytes, version.mtime_ns, version.inode, version.ctime_ns]
        payload["version"] = [*numbers, version.etag] if version.etag else numbers
    return JobSpec(NAME, key.occurrence_id, payload, priority, lane, delay_s)


def place(payload: dict[str, object]) -> PathKey:
    return PathKey(str(payload["root"]), text_path(str(payload["path"])))


async def run(job: Job, ctx: Context) -> Result:
    key = place(job.payload)
    known = await ctx.known.at(key)
    version = None if ctx.files.why_ignored(key) else await ctx.files.look(key)
    # The lake may say more than is known: the last try may have died before its ack.
    before = await ctx.lake.occurrence(key)
    if version is None:
        return _gone(key, known, before, job, ctx)
    try:
        return await _compared(key, version, known, before, job, ctx)
    except FileNotFoundError:
        if await ctx.files.look(key) is None:  # raises where it is not gone, but its root, while it waited its turn
            return _gone(key, known, before, job, ctx)
        return _again(ctx)


async def _compared(
    key: PathKey, version: Version, known: Occurrence | None, before: OccurrenceRow | None, job: Job, ctx: Context
) -> Result:
    """What to do about ``version``, which lies there now."""
    row = before if known is not None and _agree(known, before) else None  # what queue and lake both say
    if known is not None and row is not None and known.version.is_same_as(version):
        return Result(Skip("unchanged"))
    labels = await ctx.files.labels(key)
    if known is not None and row is not None and known.version.is_like(version):
        if labels is not None and labels.content_type == row.labels.content_type:
            return _relabelled(known, row, labels, job, ctx)
        if labels is None and not known.version.is_worth_reading(ctx.clock.now()):
            return Result(Skip("its ctime moves by itself"))
        if labels is None and job.priority < Priority.ENRICHMENT:
            return Result(Done(then=(spec(key, Priority.ENRICHMENT, version),)))
    if labels is not None and version.size_bytes >= HEAVY_BYTES and job.lane is not Lane.HEAVY:
        return Result(Done(then=(spec(key, job.priority, version, lane=Lane.HEAVY),)))
    if labels is not None and _may_change_unseen(version, ctx.clock.now()):
        return Result(Again(YOUNG_S, "too young to be told from what may follow it"))
    started = ctx.clock.now(), ctx.clock.monotonic()
    identity = await _same_file(key, version, known, ctx) or await ctx.files.identify(key, version)
    if identity is None:
        return _again(ctx)
    if labels is None and known is not None and row is not None and _is_the_same(known, identity):
        calm = dataclasses.replace(identity.version, calm=known.version.calm + 1)
        return Result(Done(seen=(dataclasses.replace(known, version=calm, sample=identity.sample),)))
    return _found(key, identity, labels, known, before, job, ctx, started)


def _may_change_unseen(version: Version, now_s: float) -> bool:
    """Of an object without an etag: what is put over it within the second, at its size, looks the same as it."""
    return not version.etag and -SKEW_S < now_s - version.mtime_ns / 1e9 < YOUNG_S


def _again(ctx: Context) -> Result:
    return Result(Again(ctx.config.watch.settle_open_s))


def _relabelled(known: Occurrence, before: OccurrenceRow, labels: Labels, job: Job, ctx: Context) -> Result:
    """The content stands, its labels are new."""
    seen = dataclasses.replace(known, version=_marked(known.version, labels))
    row = dataclasses.replace(before, presence=Presence.PRESENT, labels=labels, last_seen=ctx.clock.now())
    then = plan.index_spec(before.asset_id, job.priority, news=_news(row))
    return Result(Done(then=(then,), seen=(seen,)), Batch(occurrences=(row,)))


def _marked(version: Version, labels: Labels | None) -> Version:
    """As what is kept says, whatever moved between two looks: the next look finds the difference."""
    return version if labels is None else dataclasses.replace(version, ctime_ns=labels.mark)


async def _same_file(key: PathKey, version: Version, known: Occurrence | None, ctx: Context) -> Identity | None:
    """A large file that we know, under this name or another, by a sample of it: it need not be read whole."""
    if version.size_bytes <= SMALL_BYTES:
        return None
    is_here = known is not None and known.version.is_like(version)
    twin = known if is_here else await ctx.known.twin(key.root, version)
    if twin is None or not twin.sample or (is_here and version.size_bytes <= REREAD_BYTES):
        return None
    row = await ctx.lake.occurrence(twin.key)
    if row is None or row.asset_id != twin.asset_id or _suffix(key) != _suffix(twin.key):
        return None  # another extension may make it another kind of text: look inside
    found = await ctx.files.sample(key)
    if found is None or found.hex != twin.sample or not found.version.is_like(version):
        return None
    return Identity(row.asset_id, found.version, row.kind, row.mime, found.hex)


def _is_the_same(known: Occurrence, identity: Identity) -> bool:
    """Only the ctime moved, and the content did not."""
    return known.asset_id == identity.asset_id and known.version.is_like(identity.version)


def _found(
    key: PathKey,
    identity: Identity,
    labels: Labels | None,
    known: Occurrence | None,
    before: OccurrenceRow | None,
    job: Job,
    ctx: Context,
    started: tuple[float, float],
) -> Result:
    now, version = ctx.clock.now(), _marked(identity.version, labels)
    row = OccurrenceRow(
        key=key,
        asset_id=identity.asset_id,
        kind=identity.kind,
        mime=labelled.mime(identity.mime, labels or NO_LABELS),
        version=version,
        presence=Presence.PRESENT,
        first_seen=before.first_seen if before is not None else now,
        last_seen=now,
        labels=labels or NO_LABELS,
    )
    is_news = before is None or _news(before) != _news(row)
    then = [plan.index_spec(identity.asset_id, job.priority, news=_news(row) if is_news else "")]
    then += [_left(key, asset_id, job) for asset_id in _assets(known, before) if asset_id != identity.asset_id]
    return Result(
        Done(then=tuple(then), seen=(Occurrence(key, identity.asset_id, version, identity.sample),)),
        Batch(occurrences=(row,), runs=(_run(key, started, ctx, identity.asset_id),)),
    )


def _gone(key: PathKey, known: Occurrence | None, before: OccurrenceRow | None, job: Job, ctx: Context) -> Result:
    was_there = before is not None and before.presence is not Presence.GONE
    if known is None and not was_there:
        return Result(Skip("never seen"))
    then = tuple(_left(key, asset_id, job) for asset_id in _assets(known, before))
    done = Done(then=then, gone=(key,))
    if before is None:
        return Result(done)
    gone = dataclasses.replace(before, presence=Presence.GONE, last_seen=ctx.clock.now())
    return Result(done, Batch(occurrences=(gone,)))


def _left(key: PathKey, asset_id: AssetId, job: Job) -> JobSpec:
    """What lay at ``key`` and does not any more has to be published anew, or withdrawn, even if it is parked."""
    return plan.index_spec(asset_id, job.priority, news=f"left {key.occurrence_id}")


def _news(row: OccurrenceRow) -> str:
    """Differs where the asset has to be published anew for the sake of this place."""
    return f"{row.presence} {row.key.occurrence_id} {row.asset_id[:16]} {row.labels.mark:x}"


def _agree(known: Occurrence, before: OccurrenceRow | None) -> bool:
    return before is not None and before.asset_id == known.asset_id and before.presence is not Presence.GONE


def _assets(known: Occurrence | None, before: OccurrenceRow | None) -> list[AssetId]:
    """What was published as lying at the place: each of these has to be published anew."""
    return list(dict.fromkeys(place.asset_id for place in (known, before) if place is not None))


def _run(key: PathKey, started: tuple[float, float], ctx: Context, asset_id: AssetId) -> StageRun:
    at, since = started
    return StageRun(key.text, NAME, TRANSFORM.id, at, ctx.clock.monotonic() - since, RunState.DONE, asset_id)


def _suffix(key: PathKey) -> str:
    return posixpath.splitext(key.path)[1].lower()
