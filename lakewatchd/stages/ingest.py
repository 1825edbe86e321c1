"""Which content lies at a path? Hash it, note the occurrence, and pass the asset on.

The event that led here is only a hint; the disk is asked again, so that merged, doubled, late and reordered
events all end in the same rows.

What proves that content is known without reading all of it: size, time, inode and ctime that stand still; for a large
file that was renamed, linked or given away, a sample of it. An inode alone proves nothing, it may be another file's by
now. A mere suspicion (the ctime moved and nothing else) waits behind all other work.
"""

from __future__ import annotations

import dataclasses
import posixpath

from lakewatchd.core.asset import AssetId, Occurrence, PathKey, Version, path_text, text_path
from lakewatchd.core.content import Identity
from lakewatchd.core.job import Again, Done, Job, JobSpec, Priority, Skip
from lakewatchd.core.lineage import RunState, StageRun, Transform
from lakewatchd.lake.rows import Batch, OccurrenceRow, Presence
from lakewatchd.media.fingerprint import SMALL_BYTES
from lakewatchd.stages import plan
from lakewatchd.stages.base import Context, Result

NAME = "ingest"
REREAD_BYTES = 64 << 20
"""A file up to this size is read whole when its ctime alone moved, a larger one by sample."""
TRANSFORM = Transform.of(NAME, 1, {"hash": "blake3"})


def spec(key: PathKey, priority: Priority, version: Version | None = None, delay_s: float = 0.0) -> JobSpec:
    """The job that looks at a place. ``version`` tells a rescan of the same bytes from news."""
    payload: dict[str, object] = {"root": key.root, "path": path_text(key.path)}
    if version is not None:
        payload["version"] = [version.size_bytes, version.mtime_ns, version.inode, version.ctime_ns]
    return JobSpec(NAME, key.occurrence_id, payload, priority, delay_s=delay_s)


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
    if known is not None and known.version.is_same_as(version) and _agree(known, before):
        return Result(Skip("unchanged"))
    if known is not None and known.version.is_like(version) and _agree(known, before):
        if not known.version.is_worth_reading(ctx.clock.now()):
            return Result(Skip("its ctime moves by itself"))
        if job.priority < Priority.ENRICHMENT:
            return Result(Done(then=(spec(key, Priority.ENRICHMENT, version),)))
    started = ctx.clock.now(), ctx.clock.monotonic()
    try:
        identity = await _same_file(key, version, known, ctx) or await ctx.decoders.identify(
            key.path, root=ctx.files.root(key)
        )
    except FileNotFoundError:
        if await ctx.files.look(key) is None:  # raises where it is not gone, but its root, while it waited its turn
            return _gone(key, known, before, job, ctx)
        identity = None
    if identity is None:
        return Result(Again(ctx.config.watch.settle_open_s))
    if known is not None and _is_the_same(known, identity) and _agree(known, before):
        calm = dataclasses.replace(identity.version, calm=known.version.calm + 1)
        return Result(Done(seen=(dataclasses.replace(known, version=calm, sample=identity.sample),)))
    return _found(key, identity, known, before, job, ctx, started)


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
    found = await ctx.decoders.sample(key.path, root=ctx.files.root(key))
    if found is None or found.hex != twin.sample or not found.version.is_like(version):
        return None
    return Identity(row.asset_id, found.version, row.kind, row.mime, found.hex)


def _is_the_same(known: Occurrence, identity: Identity) -> bool:
    """Only the ctime moved, and the content did not."""
    return known.asset_id == identity.asset_id and known.version.is_like(identity.version)


def _found(
    key: PathKey,
    identity: Identity,
    known: Occurrence | None,
    before: OccurrenceRow | None,
    job: Job,
    ctx: Context,
    started: tuple[float, float],
) -> Result:
    now = ctx.clock.now()
    row = OccurrenceRow(
        key=key,
        asset_id=identity.asset_id,
        kind=identity.kind,
        mime=identity.mime,
        version=identity.version,
        presence=Presence.PRESENT,
        first_seen=before.first_seen if before is not None else now,
        last_seen=now,
    )
    then = [plan.index_spec(identity.asset_id, job.priority, identity.kind)]
    then += [_left(key, asset_id, job) for asset_id in _assets(known, before) if asset_id != identity.asset_id]
    return Result(
        Done(then=tuple(then), seen=(Occurrence(key, identity.asset_id, identity.version, identity.sample),)),
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
    return plan.index_spec(asset_id, job.priority, left=key.occurrence_id)


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
