"""What the control socket can ask of the daemon. Each order is a function: arguments in, answer out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from lakewatchd.control import Handler, Json
from lakewatchd.core.asset import Correction, PathKey
from lakewatchd.core.job import JobState
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.status import Explanation, ScanListing, ScanView
from lakewatchd.core.wire import to_json
from lakewatchd.daemon import corrections, repair, report
from lakewatchd.daemon.accounts import Accounts, Insider
from lakewatchd.daemon.explain import Case, explain, find, place_of_text
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.preview import preview
from lakewatchd.daemon.reload import reload
from lakewatchd.errors import Busy, LakewatchError, PauseError, QueueDamaged, RootAway, TransientError
from lakewatchd.sources.source import Source
from lakewatchd.sources.worker import Worker
from lakewatchd.stages import index, ingest
from lakewatchd.taxonomy import of_text

Order = Callable[[Daemon, Json], Coroutine[Any, Any, Json]]

IDLE_POLL_S = 0.05
AUDIT_LOOK_S = 5.0
"""How long an audit looks for damage in the queue's file."""
EXPLAIN_S = 25.0


def table(daemon: Daemon, reporter: report.Reporter, accounts: Accounts) -> Mapping[str, Handler]:
    """Name -> handler, for :class:`~lakewatchd.control.ControlServer`."""
    orders: dict[str, Order] = {
        "scan": _scan,
        "queue_list": _queue_list,
        "queue_retry": _queue_retry,
        "queue_pause": _queue_pause,
        "queue_resume": _queue_resume,
        "explain": _explain,
        "correct": _correct,
        "corrections": _corrections,
        "take_in_corrections": _take_in_corrections,
        "preview": _preview,
        "reload": _reload,
        "stop": _stop,
    }

    def bind(order: Order) -> Handler:
        return lambda args: order(daemon, args)

    async def status(_args: Json) -> Json:
        answer: Json = to_json(await reporter.status())
        return answer

    async def wait_idle(_args: Json) -> Json:
        answer = await _wait_idle(daemon)
        reporter.renew()  # whoever waited asks for the status next
        return answer

    async def audit(args: Json) -> Json:
        names, limit = _roots(daemon, args), max(0, int(args.get("limit", 100)))
        with contextlib.suppress(PauseError, TransientError):
            await asyncio.to_thread(repair.look_at_queue, daemon.config, AUDIT_LOOK_S)
        answer: Json = to_json(await accounts.audit(names, limit, orphans=args.get("root") is None))
        return answer

    bound = {name: bind(order) for name, order in orders.items()}
    found = {"status": status, "wait_idle": wait_idle, "audit": audit, **bound}
    return {name: _telling_of_damage(daemon, handler) for name, handler in found.items()}


def _telling_of_damage(daemon: Daemon, handler: Handler) -> Handler:
    async def tell(args: Json) -> Json:
        try:
            return await handler(args)
        except QueueDamaged as exc:
            daemon.queue_damage.put_nowait(exc)
            raise

    return tell


def _to_its_end(order: Order) -> Order:
    """Whether or not somebody still waits for it: half a reload would be a root that nobody watches."""

    @functools.wraps(order)
    async def whole(daemon: Daemon, args: Json) -> Json:
        return await asyncio.shield(asyncio.ensure_future(order(daemon, args)))

    return whole


async def _wait_idle(daemon: Daemon) -> Json:
    """Return when all that was on disk at the call has been seen, and nothing is left to do but parked jobs."""
    asked = set[Source]()
    while sources := [source for source in daemon.sources.values() if source not in asked]:
        asked.update(sources)
        outcomes = await asyncio.gather(*(source.wait_caught_up() for source in sources), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, RootAway):
                raise outcome  # an away root has nothing to say
        if any(outcomes):  # or a reload stops it: then the source that comes in its place has
            async with daemon.reloading:
                pass
    while _finds_work(daemon) or (await daemon.queue_thread(daemon.queue.counts)).pending:
        if daemon.paused:
            raise LakewatchError("the queue is paused: what is left will not be done", "lakewatchd queue resume")
        await asyncio.sleep(IDLE_POLL_S)
    return {"parked": (await daemon.queue_thread(daemon.queue.counts)).jobs(JobState.PARKED)}


def _finds_work(daemon: Daemon) -> bool:
    """Somebody looks for what is to be done. Asked first: what was found is in the queue once this is false."""
    return daemon.retag.is_set() or daemon.is_retagging or daemon.is_catching_up


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


async def _scan_one(source: Source, accept_removals: bool) -> ScanView:
    try:
        done = await source.request_scan(accept_removals=accept_removals)
    except RootAway as exc:
        problem = exc.message.removeprefix(f"root {source.name!r} ")  # whoever shows it names the root
        return ScanView(source.name, 0, 0, 0, 0.0, problem=problem, hint=exc.hint or "")
    changed = done.added + done.modified
    return ScanView(source.name, done.seen, changed, done.removed, done.duration_s, held=done.held_back)


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


@_to_its_end
async def _queue_retry(daemon: Daemon, args: Json) -> Json:
    """Parked jobs run again: all, or those that fit a reason, a stage and a path (of a file or a directory)."""
    reason, stage, path = args.get("reason"), args.get("stage"), args.get("path")
    if path is None:
        count = await daemon.queue_thread(daemon.queue.unpark, reason, stage)
    else:
        count = await _retry_below(daemon, place_of_text(daemon.config, str(path)), reason, stage)
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


@_to_its_end
async def _queue_pause(daemon: Daemon, _args: Json) -> Json:
    await daemon.queue_thread(daemon.queue.pause, "*", "a person asked for it")
    daemon.paused = await daemon.queue_thread(daemon.queue.paused)
    return {"count": 1}


@_to_its_end
async def _queue_resume(daemon: Daemon, _args: Json) -> Json:
    resumed = await daemon.queue_thread(daemon.queue.resume, "*")
    daemon.paused = await daemon.queue_thread(daemon.queue.paused)
    daemon.pool.wake()
    return {"count": int(resumed)}


@_to_its_end
async def _reload(daemon: Daemon, _args: Json) -> Json:
    answer: Json = to_json(await reload(daemon))
    return answer


async def _stop(daemon: Daemon, _args: Json) -> Json:
    daemon.stopping.set()
    return {}


async def _explain(daemon: Daemon, args: Json) -> Json:
    found = find(daemon.config, str(args["path"]))
    if isinstance(found, Explanation):
        answer: Json = to_json(found)
        return answer
    root, key = found
    source = daemon.sources.get(root.name)
    if source is None:
        raise Busy(f"root {root.name!r} is not watched yet: a reload is under way", "ask again in a moment")
    witness = Insider(source, asyncio.get_running_loop())
    case = Case(daemon.config, key, root, witness, source.status.watching, report.paused(daemon))
    worker = Worker(f"{root.name}-explain")
    try:
        answer = to_json(await worker.run_within(EXPLAIN_S, explain, case))
    finally:
        worker.close()
    return answer


@_to_its_end
async def _correct(daemon: Daemon, args: Json) -> Json:
    assets = [str(asset_id) for asset_id in args.get("assets", ())]
    answer: Json = to_json(await corrections.correct(daemon, _places(daemon, args), args, assets))
    return answer


async def _corrections(daemon: Daemon, args: Json) -> Json:
    answer: Json = to_json(await corrections.listing(daemon.reader, _places(daemon, args)))
    return answer


@_to_its_end
async def _take_in_corrections(daemon: Daemon, args: Json) -> Json:
    said = {
        str(item["asset"]): Correction(tuple(item["tags"]), tuple(item["denied"]), item["category"])
        for item in args["said"]
    }
    return {"count": await corrections.take_in(daemon, said)}


def _places(daemon: Daemon, args: Json) -> list[PathKey]:
    return [place_of_text(daemon.config, str(text)) for text in args.get("places", ())]


async def _preview(daemon: Daemon, args: Json) -> Json:
    taxonomy = await asyncio.to_thread(of_text, str(args["text"]), str(args["path"]))
    answer: Json = to_json(await preview(daemon, taxonomy, str(args.get("tag") or "")))
    return answer
