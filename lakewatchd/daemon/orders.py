"""What the control socket can ask of the daemon. Each order is a function: arguments in, answer out."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakewatchd.control import Handler, Json
from lakewatchd.core.asset import PathKey, path_text, text_path
from lakewatchd.core.job import JobState
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.status import Explanation, Fact, ScanListing, ScanView
from lakewatchd.core.wire import to_json
from lakewatchd.daemon import report
from lakewatchd.daemon.accounts import Accounts
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.reload import reload
from lakewatchd.errors import LakewatchError, RootAway
from lakewatchd.lake.rows import Presence
from lakewatchd.sources.live import RootSource
from lakewatchd.stages import index, ingest

IDLE_POLL_S = 0.05


def table(daemon: Daemon, reporter: report.Reporter, accounts: Accounts) -> Mapping[str, Handler]:
    """Name -> handler, for :class:`~lakewatchd.control.ControlServer`."""
    orders = {
        "scan": _scan,
        "queue_list": _queue_list,
        "queue_retry": _queue_retry,
        "queue_pause": _queue_pause,
        "queue_resume": _queue_resume,
        "explain": _explain,
        "reload": _reload,
        "stop": _stop,
    }

    def bind(order: Any) -> Handler:
        async def handler(args: Json) -> Json:
            answer: Json = await order(daemon, args)
            return answer

        return handler

    async def status(_args: Json) -> Json:
        answer: Json = to_json(await reporter.status())
        return answer

    async def wait_idle(_args: Json) -> Json:
        answer = await _wait_idle(daemon)
        reporter.renew()  # whoever waited asks for the status next
        return answer

    async def audit(args: Json) -> Json:
        names, limit = _roots(daemon, args), max(0, int(args.get("limit", 100)))
        answer: Json = to_json(await accounts.audit(names, limit, orphans=args.get("root") is None))
        return answer

    bound = {name: bind(order) for name, order in orders.items()}
    return {"status": status, "wait_idle": wait_idle, "audit": audit, **bound}


async def _wait_idle(daemon: Daemon) -> Json:
    """Return when all that was on disk at the call has been seen, and nothing is left to do but parked jobs."""
    waits = (source.wait_caught_up() for source in daemon.sources.values())
    for outcome in await asyncio.gather(*waits, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, RootAway):  # an away root has nothing to say
            raise outcome
    while (await daemon.queue_thread(daemon.queue.counts)).pending:
        if daemon.paused:
            raise LakewatchError("the queue is paused: what is left will not be done", "lakewatchd queue resume")
        await asyncio.sleep(IDLE_POLL_S)
    return {"parked": (await daemon.queue_thread(daemon.queue.counts)).jobs(JobState.PARKED)}


async def _scan(daemon: Daemon, args: Json) -> Json:
    chosen = [daemon.sources[name] for name in _roots(daemon, args)]
    accept = bool(args.get("accept_removals"))
    scans = await asyncio.gather(*(_scan_one(source, accept) for source in chosen))
    answer: Json = to_json(ScanListing(tuple(scans)))
    return answer


def _roots(daemon: Daemon, args: Json) -> list[str]:
    """The root that is asked for, or all."""
    name = args.get("root")
    if name is not None and name not in daemon.sources:
        raise LakewatchError(f"there is no root {name!r}", did_you_mean(str(name), daemon.sources, "roots"))
    return [key for key in daemon.sources if name in (None, key)]


async def _scan_one(source: RootSource, accept_removals: bool) -> ScanView:
    try:
        done = await source.request_scan(accept_removals=accept_removals)
    except RootAway as exc:
        return ScanView(source.root.name, 0, 0, 0, 0.0, problem=exc.message)
    changed = done.added + done.modified
    return ScanView(source.root.name, done.seen, changed, done.removed, done.duration_s, held=done.held_back)


async def _queue_list(daemon: Daemon, args: Json) -> Json:
    found = await daemon.queue_thread(
        report.queue_listing,
        daemon.queue,
        parked=bool(args.get("parked")),
        reason=args.get("reason"),
        stage=args.get("stage"),
        limit=int(args.get("limit", 50)),
    )
    answer: Json = to_json(await report.name_places(daemon.reader, found))
    return answer


async def _queue_retry(daemon: Daemon, args: Json) -> Json:
    """Parked jobs run again: all, or those that fit a reason, a stage and a path (of a file or a directory)."""
    reason, stage, path = args.get("reason"), args.get("stage"), args.get("path")
    if path is None:
        count = await daemon.queue_thread(daemon.queue.unpark, reason, stage)
    else:
        count = await _retry_below(daemon, _place(daemon, str(path)), reason, stage)
    daemon.pool.wake()
    return {"count": count}


async def _retry_below(daemon: Daemon, top: PathKey, reason: str | None, stage: str | None) -> int:
    """Jobs of the file ``top`` or of what lies below the directory ``top``, wherever else their content lies too."""
    count, after = 0, 0
    while page := await daemon.queue_thread(daemon.queue.parked_page, after, reason, stage):
        after = page[-1].id
        assets = {job.key for job in page if job.stage == index.NAME}
        below = {row.asset_id for row in await daemon.reader.occurrences_of_many(assets) if _is_below(row.key, top)}
        chosen = [
            job.id
            for job in page
            if job.key in below or (job.stage == ingest.NAME and _is_below(ingest.place(job.payload), top))
        ]
        count += await daemon.queue_thread(daemon.queue.unpark_jobs, chosen)
    return count


def _is_below(key: PathKey, top: PathKey) -> bool:
    """True for ``top`` itself too."""
    return key.root == top.root and (not top.path or key.path == top.path or key.path.startswith(f"{top.path}/"))


async def _queue_pause(daemon: Daemon, _args: Json) -> Json:
    await daemon.queue_thread(daemon.queue.pause, "*", "a person asked for it")
    daemon.paused = await daemon.queue_thread(daemon.queue.paused)
    return {"count": 1}


async def _queue_resume(daemon: Daemon, _args: Json) -> Json:
    resumed = await daemon.queue_thread(daemon.queue.resume, "*")
    daemon.paused = await daemon.queue_thread(daemon.queue.paused)
    daemon.pool.wake()
    return {"count": int(resumed)}


async def _reload(daemon: Daemon, _args: Json) -> Json:
    answer: Json = to_json(await reload(daemon))
    return answer


async def _stop(daemon: Daemon, _args: Json) -> Json:
    daemon.stopping.set()
    return {}


async def _explain(daemon: Daemon, args: Json) -> Json:
    answer: Json = to_json(await explain(daemon, _place(daemon, str(args["path"]))))
    return answer


async def explain(daemon: Daemon, key: PathKey) -> Explanation:
    """All that is known of one place, and what will happen next."""
    facts, ignored = [Fact("place", key.text)], None
    with contextlib.suppress(RootAway):
        ignored = await daemon.sources[key.root].explain(key.path)
    if ignored:
        return Explanation(
            key.text, (*facts, Fact("ignored by", ignored)), "left out by rule: it is in no table and no view"
        )
    row = await daemon.reader.occurrence(key)
    parked = await daemon.queue_thread(daemon.queue.parked_at, ingest.NAME, key.occurrence_id)
    if row is not None:
        parked += await daemon.queue_thread(daemon.queue.parked_at, index.NAME, row.asset_id)
    for job in parked:
        facts += [Fact("parked", f"{job.stage}: {job.reason}: {job.message}"), Fact("hint", job.hint or "-")]
    if row is None or row.presence is Presence.GONE:
        verdict = (
            "parked: mend the cause, then `lakewatchd queue retry`"
            if parked
            else _unknown(daemon, key, row is not None)
        )
        return Explanation(key.text, tuple(facts), verdict)
    facts += await _asset_facts(daemon, row.asset_id)
    verdict = "indexed and shown in the view" if not parked else "shown in the view, but not understood"
    return Explanation(key.text, tuple(facts), verdict)


def _unknown(daemon: Daemon, key: PathKey, was_known: bool) -> str:
    if was_known:
        return "it was here once and is gone"
    if daemon.sources[key.root].status.settling:
        return "not known yet: if it is there it is settling, and taken up once its size and time stop moving"
    return "not known: there is no such file, or it was not looked at yet (`lakewatchd status` tells what is queued)"


async def _asset_facts(daemon: Daemon, asset_id: str) -> list[Fact]:
    facts = [Fact("asset", asset_id)]
    gold = await daemon.reader.gold(asset_id)
    silver = await daemon.reader.asset(asset_id)
    if gold is not None:
        tags = ", ".join(f"{tag.name} {tag.score:.2f} ({tag.origin})" for tag in gold.tags)
        facts += [
            Fact("kind", gold.kind.value),
            Fact("title", gold.title),
            Fact("category", f"{gold.category} {gold.category_score:.2f}"),
            Fact("tags", tags or "none"),
            Fact("filed under", f"{gold.dated_at:%Y-%m-%d} ({gold.dated_by})"),
            Fact("places", str(gold.occurrences)),
        ]
    if silver is not None:
        facts += [Fact(f"{stage} by", made) for stage, made in sorted(silver.transforms.items()) if made]
    return facts


def _place(daemon: Daemon, text: str) -> PathKey:
    """The place a path of this machine names. Raises :class:`LakewatchError` if no root holds it."""
    path = Path(os.path.normpath(text_path(text)))
    for root in daemon.config.roots:
        if path.is_relative_to(root.path):
            inside = str(path.relative_to(root.path))
            return PathKey(root.name, "" if inside == "." else inside)
    raise LakewatchError(f"{path_text(str(path))} lies in no root", "roots are listed by `lakewatchd status`")
