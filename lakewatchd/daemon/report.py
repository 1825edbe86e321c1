"""What ``status`` and ``queue list`` show: live from the daemon, or from its files when it is down."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lakewatchd import __version__
from lakewatchd.buckets.cache import ObjectCache
from lakewatchd.config import Config, place_of
from lakewatchd.control import absence, access_hint, whoami
from lakewatchd.core.asset import path_text
from lakewatchd.core.job import JobState, ParkedJob
from lakewatchd.core.status import (
    CacheView,
    LakeView,
    ModelView,
    ParkedGroup,
    Problem,
    QueueItem,
    QueueLine,
    QueueListing,
    RootAudit,
    RootView,
    Status,
    TableView,
    WatchBudget,
)
from lakewatchd.daemon import repair
from lakewatchd.daemon.parts import Daemon
from lakewatchd.errors import LakeAway, NotReadable, PauseError
from lakewatchd.lake.files import files_of
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Presence
from lakewatchd.media.sandbox import STUCK_HINT
from lakewatchd.models import captioner
from lakewatchd.models.base import Role
from lakewatchd.models.resolve import Resolved, resolve
from lakewatchd.queue.database import Database
from lakewatchd.queue.report import ParkedReason, PendingJob, QueueCounts, QueueReader
from lakewatchd.queue.retry import EVERYTHING
from lakewatchd.queue.seen import SeenStore
from lakewatchd.sources import budget
from lakewatchd.sources.known import ScanSummary
from lakewatchd.sources.status import RootStatus
from lakewatchd.stages import ingest

AWAY_S = 10.0
"""A lake in a bucket that does not answer for so long counts as away in a report."""

T = TypeVar("T")
QueueFacts = tuple[QueueCounts, list[ParkedReason], float | None]
"""Counts, parked jobs by reason, and when the job was queued that waits longest."""


STALE_S = 30.0
"""No report is older than this, whatever it costs to know better."""


@dataclass(slots=True)
class Costly(Generic[T]):
    """A fact that costs more to know as the lake grows: renewed so seldom that it takes at most 2 % of the time, but
    for :data:`STALE_S`. What took long once only may have waited behind others: that does not make it dear."""

    _value: T | None = None
    _fresh_until: float = 0.0
    _took_s: float = 0.1
    """The last time."""

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        began = time.monotonic()
        if self._value is None or began >= self._fresh_until:
            self._value = await make()
            took = time.monotonic() - began
            self._fresh_until = began + min(took * 50, self._took_s * 50, STALE_S)
            self._took_s = took
        return self._value


class Reporter:
    """Reports on a running daemon."""

    def __init__(self, daemon: Daemon, audits: Mapping[str, RootAudit]) -> None:
        self._daemon = daemon
        self._audits = audits
        self._queue: Costly[QueueFacts] = Costly()
        self._lake: Costly[LakeView] = Costly()
        self._known: Costly[dict[str, int]] = Costly()

    def renew(self) -> None:
        """Forget what was remembered: the next report is of that very moment."""
        self._queue, self._lake, self._known = Costly(), Costly(), Costly()

    async def glance(self) -> Status:
        """This moment without the lake's numbers, which cost more: for systemd's line and for metrics."""
        return await self._status(LakeView())

    async def status(self) -> Status:
        """This moment, whole."""
        daemon = self._daemon
        status = await self._status(await self._lake.get(lambda: _lake(daemon.reader, daemon.config)))
        if status.lake.away:
            self._lake = Costly()
            return status
        named = await name_places(daemon.reader, QueueListing(status.parked))
        return dataclasses.replace(status, parked=named.groups)

    async def _status(self, lake: LakeView) -> Status:
        daemon = self._daemon
        counts, parked, oldest = await self._queue.get(lambda: daemon.queue_thread(_queue_facts, daemon))
        files = await self._known.get(lambda: daemon.queue_thread(_known_files, daemon))
        stats, resolved = daemon.pool.stats(), daemon.models.resolved
        loaded = {role for group in daemon.models.status() for role in group.loaded}
        sources = {name: source.status for name, source in daemon.sources.items()}
        roots = tuple(_root(root, files.get(name, 0), self._audits.get(name)) for name, root in sources.items())
        return Status(
            version=__version__,
            pid=os.getpid(),
            uptime_s=time.monotonic() - daemon.started_s,
            roots=roots,
            watches=watch_budget(source.status for source in daemon.sources.values()),
            queue=_lines(counts),
            running=sum(stats.running.values()),
            done=stats.done,
            failed=stats.failed,
            rate_per_s=stats.rate_per_s,
            eta_s=counts.pending / stats.rate_per_s if counts.pending and stats.rate_per_s else None,
            oldest_unprocessed_s=_oldest_s(daemon, oldest, sources.values()),
            gaps=sum(root.audit.gap_count for root in roots if root.audit),
            parked=_groups(parked),
            models=_models(resolved, loaded),
            lake=lake,
            cache=_cache(daemon.objects.cache),
            loop_lag_ms=daemon.lag.max_ms,
            paused=paused(daemon),
            sandbox=daemon.decoders.quick.layers,
            problems=(
                *_no_roots(daemon.config),
                *_restart(daemon),
                *daemon.notes,
                *daemon.web.problems,
                *repair.damages(daemon.config),
                *_problems(resolved),
                *_captions(daemon),
                *_away(lake),
                *_dead_storage(daemon.decoders.stuck),
            ),
            web=daemon.web.url,
        )


def _captions(daemon: Daemon) -> tuple[Problem, ...]:
    if daemon.captioner is None:
        is_missing = daemon.config.captions.model
        return (Problem(captioner.NOT_INSTALLED, captioner.INSTALL),) if is_missing else ()
    away = daemon.captioner.problem
    return (Problem(away, captioner.HINT),) if away else ()


def _dead_storage(stuck: Mapping[str, int]) -> tuple[Problem, ...]:
    """Decoders that were left behind because the storage they read does not answer."""
    return tuple(
        Problem(f"{path_text(root)} does not answer: {count} decoders wait for it and cannot be ended", STUCK_HINT)
        for root, count in stuck.items()
    )


def paused(daemon: Daemon) -> str:
    """What rests, whether a person said so or something it needs is away."""
    by_hand = [f"{scope.reason}; go on with: lakewatchd queue resume" for scope in daemon.paused]
    missing = [reason if scope == EVERYTHING else f"{scope}: {reason}" for scope, reason in daemon.pool.paused.items()]
    waiting = [f"waiting: {daemon.waits_for}"] if daemon.waits_for else []
    return "; ".join(by_hand + waiting + missing)


def _queue_facts(daemon: Daemon) -> QueueFacts:
    return daemon.queue.counts(), daemon.queue.parked_reasons(), daemon.queue.oldest_queued_at()


def _oldest_s(daemon: Daemon, queued_at: float | None, roots: Iterable[RootStatus]) -> float | None:
    """What waits longest: in the queue, or for its file to stand still."""
    ages = [root.settling_oldest_s for root in roots if root.settling]
    ages += [max(0.0, daemon.clock.now() - queued_at)] if queued_at is not None else []
    return max(ages, default=None)


def _known_files(daemon: Daemon) -> dict[str, int]:
    return {name: daemon.queue.seen.count(name) for name in tuple(daemon.sources)}


def status_from_files(config: Config) -> Status:
    """What the files of a stopped daemon tell. ``pid`` is None."""
    if not has_queue(config):
        begin = (Problem("nothing is indexed yet", absence(config.socket_path).hint or ""),)
        roots = tuple(RootView(root.name, path_text(place_of(root)), "unknown") for root in config.all_roots)
        return Status(__version__, roots=roots, problems=_no_roots(config) or begin)
    reader = QueueReader.open_readonly(config.queue_path)
    try:
        counts, parked = reader.counts(), reader.parked_reasons()
        seen = SeenStore(Database(config.queue_path, readonly=True))
        roots = tuple(
            RootView(root.name, path_text(place_of(root)), "unknown", files=seen.count(root.name))
            for root in config.all_roots
        )
    finally:
        reader.close()
    resolved = resolve(config.models, config.model_dir)
    lake, groups = asyncio.run(_lake_facts(config, _groups(parked)))
    return Status(
        __version__,
        roots=roots,
        queue=_lines(counts),
        parked=groups,
        models=_models(resolved, set()),
        lake=lake,
        problems=(*repair.damages(config), *_problems(resolved), *_away(lake)),
    )


def has_queue(config: Config) -> bool:
    """Whether there is anything to read. Raises :class:`NotReadable` with whom to ask where this user may not."""
    path = config.queue_path
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise NotReadable(f"{whoami()} may not read {config.daemon.state_dir}", access_hint(path)) from exc
    if not os.access(path, os.R_OK):
        raise NotReadable(f"{whoami()} may not read {path}", access_hint(path))
    return True


async def _lake_facts(config: Config, parked: tuple[ParkedGroup, ...]) -> tuple[LakeView, tuple[ParkedGroup, ...]]:
    with contextlib.closing(LakeReader(files_of(config))) as reader:
        lake = await _lake(reader, config)
        named = QueueListing(parked) if lake.away else await name_places(reader, QueueListing(parked))
        return lake, named.groups


def queue_listing(
    reader: QueueReader, *, parked: bool, reason: str | None, stage: str | None, limit: int
) -> QueueListing:
    """Parked jobs by reason, and the first of all jobs; a ``reason`` is one that jobs are parked for."""
    limit = max(0, limit)
    found = reader.parked(reason=reason, stage=stage, limit=limit)
    reasons = reader.parked_reasons(reason, stage)
    pending = [] if parked or reason else reader.pending(stage, limit)
    items = (*map(_pending_item, pending), *map(_item, found))[:limit]
    states = (JobState.PARKED,) if parked else ()
    total = sum(group.jobs for group in reasons) if reason else reader.counts().jobs(*states, stage=stage)
    return QueueListing(_groups(reasons), items, total)


async def name_places(reader: LakeReader, listing: QueueListing) -> QueueListing:
    """The listing with jobs about an asset told by a place where it lies: a hash says nothing to a person."""
    told = {item.key for item in listing.items} | {group.example for group in listing.groups}
    asset_ids = {key for key in told if ":" not in key and key}
    if not asset_ids:
        return listing
    rows = await reader.occurrences_of_many(asset_ids)
    rows.sort(key=lambda row: row.presence is not Presence.PRESENT, reverse=True)  # the last to be taken in wins
    places = {row.asset_id: row.key.text for row in rows}
    return QueueListing(
        tuple(dataclasses.replace(group, example=places.get(group.example, group.example)) for group in listing.groups),
        tuple(dataclasses.replace(item, key=places.get(item.key, item.key)) for item in listing.items),
        listing.total,
    )


def queue_from_files(
    config: Config, *, parked: bool, reason: str | None, stage: str | None, limit: int
) -> QueueListing:
    if not has_queue(config):
        return QueueListing()
    reader = QueueReader.open_readonly(config.queue_path)
    try:
        listing = queue_listing(reader, parked=parked, reason=reason, stage=stage, limit=limit)
    finally:
        reader.close()
    with contextlib.closing(LakeReader(files_of(config))) as lake:
        return asyncio.run(name_places(lake, listing))


def job_place(job: ParkedJob | PendingJob) -> str:
    """The path a person knows it by; an asset's id when the job is not about a path."""
    if job.stage == ingest.NAME:
        return ingest.place(job.payload).text
    return job.key


def _pending_item(job: PendingJob) -> QueueItem:
    return QueueItem(
        job.stage, job_place(job), job.state.value, job.priority.name.lower(), job.reason, job.message,
        attempts=job.attempts,
    )  # fmt: skip


def _item(job: ParkedJob) -> QueueItem:
    return QueueItem(
        job.stage, job_place(job), JobState.PARKED, reason=job.reason, message=job.message, hint=job.hint or "",
        attempts=job.attempts,
    )  # fmt: skip


def _groups(parked: Iterable[ParkedReason]) -> tuple[ParkedGroup, ...]:
    return tuple(
        ParkedGroup(group.reason, group.jobs, group.example.hint or "", job_place(group.example)) for group in parked
    )


def _lines(counts: QueueCounts) -> tuple[QueueLine, ...]:
    return tuple(
        QueueLine(tally.stage, tally.priority.name.lower(), tally.state.value, tally.jobs) for tally in counts.tallies
    )


def _root(root: RootStatus, files: int, audit: RootAudit | None) -> RootView:
    """A source's own account, in the shape status has."""
    scan, last = root.scanning, root.last_scan
    return RootView(
        name=root.name,
        path=root.path,
        state=root.state.value,
        reason=root.reason,
        watching=root.watching,
        why_not=root.why_not,
        polled=root.polled.directories,
        stuck=root.left_behind,
        settling=root.settling,
        scanning=_progress_text(scan) if scan else "",
        last_scan=last.started_at + last.duration_s if last else None,
        files=files,
        ignored=last.ignored_count if last else 0,
        audit=dataclasses.replace(audit, gaps=()) if audit else None,
        problem=root.problem,
        hint=root.hint,
        events=root.events,
        overflows=root.overflows,
        ways=root.ways,
        missed=root.missed,
    )


def _progress_text(scan: ScanSummary) -> str:
    files = f"{scan.seen:,} files"
    return f"{scan.directories:,} directories, {files}" if scan.directories else files


def _cache(cache: ObjectCache | None) -> CacheView:
    if cache is None:
        return CacheView()
    return CacheView(path_text(str(cache.directory)), cache.used_bytes, cache.limit_bytes)


def watch_budget(roots: Iterable[RootStatus]) -> WatchBudget:
    """Over all roots. A root that needs no watch for each directory counts for nothing."""
    by_watch = [root for root in roots if root.tier != "fanotify"]
    used = sum(root.watched for root in by_watch)
    needed, allowed = used + sum(root.unwatched for root in by_watch), budget.limit()
    return WatchBudget(needed, used, allowed, budget.fix(needed, allowed))


def _models(resolved: Resolved, loaded: set[Role]) -> tuple[ModelView, ...]:
    problems = {problem.role: problem.message for problem in resolved.problems}
    views = []
    for role in Role:
        info, problem = resolved.info(role), problems.get(role, "")
        if info is not None:
            views.append(ModelView(role.value, info.name, "ready" if role in loaded else "idle", problem))
        elif problem:
            views.append(ModelView(role.value, "", "missing", problem))
    return tuple(views)


def _restart(daemon: Daemon) -> tuple[Problem, ...]:
    if not daemon.needs_restart:
        return ()
    keys = ", ".join(daemon.needs_restart)
    return (Problem(f"changed, but not in use before a restart: {keys}", "systemctl restart lakewatchd"),)


def _no_roots(config: Config) -> tuple[Problem, ...]:
    if config.all_roots:
        return ()
    where = path_text(str(config.source)) if config.source else "a configuration file (see `lakewatchd --help`)"
    return (
        Problem("no root is configured: there is nothing to watch", f"add a [[root]] with name and path to {where}"),
    )


def _problems(resolved: Resolved) -> tuple[Problem, ...]:
    return tuple(Problem(problem.message, problem.hint) for problem in resolved.problems)


async def _lake(reader: LakeReader, config: Config) -> LakeView:
    place = config.lake.uri or path_text(str(config.lake_dir))
    try:
        async with asyncio.timeout(AWAY_S if config.lake.uri else None):
            counts = await reader.counts()
    except PauseError as exc:
        return LakeView(place, away=exc.message)
    except TimeoutError:
        return LakeView(place, away=f"{place} did not answer for {AWAY_S:.0f} s")
    tables = tuple(TableView(table.table, table.rows, table.bytes_on_disk, table.version) for table in counts)
    return LakeView(place, tables)


def _away(lake: LakeView) -> tuple[Problem, ...]:
    return (Problem(lake.away, LakeAway.usual_hint),) if lake.away else ()
