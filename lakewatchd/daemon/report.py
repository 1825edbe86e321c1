"""What ``status`` and ``queue list`` show: live from the daemon, or from its files when it is down."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lakewatchd import __version__
from lakewatchd.config import Config
from lakewatchd.core.asset import path_text
from lakewatchd.core.job import JobState, ParkedJob
from lakewatchd.core.status import (
    LakeView,
    ModelView,
    ParkedGroup,
    Problem,
    QueueItem,
    QueueLine,
    QueueListing,
    RootView,
    Status,
    TableView,
)
from lakewatchd.lake.reader import LakeReader
from lakewatchd.models.base import Role
from lakewatchd.models.resolve import Resolved, resolve
from lakewatchd.queue.database import Database
from lakewatchd.queue.report import QueueCounts, QueueReader
from lakewatchd.queue.seen import SeenStore
from lakewatchd.sources.status import RootStatus
from lakewatchd.stages import ingest

if TYPE_CHECKING:
    from lakewatchd.daemon.service import Daemon

PARKED_SHOWN = 1000


async def live(daemon: Daemon) -> Status:
    """This moment of the running daemon."""
    counts, parked, files = await daemon.queue_thread(_queue_facts, daemon)
    stats = daemon.pool.stats()
    left = counts.pending
    return Status(
        version=__version__,
        pid=os.getpid(),
        uptime_s=time.monotonic() - daemon.started_s,
        roots=tuple(_root(source.status, files[name]) for name, source in daemon.sources.items()),
        queue=_lines(counts),
        running=stats.running_fast + stats.running_heavy,
        rate_per_s=stats.rate_per_s,
        eta_s=left / stats.rate_per_s if left and stats.rate_per_s else None,
        parked=_groups(parked),
        models=_models(daemon.models.resolved, {role for group in daemon.models.status() for role in group.loaded}),
        lake=await _lake(daemon.reader, daemon.config),
        loop_lag_ms=daemon.lag.max_ms,
        paused="; ".join(f"{scope}: {reason}" for scope, reason in daemon.pool.paused.items()),
        problems=_problems(daemon.models.resolved),
    )


def _queue_facts(daemon: Daemon) -> tuple[QueueCounts, list[ParkedJob], dict[str, int]]:
    queue = daemon.queue
    files = {name: queue.seen.count(name) for name in daemon.sources}
    return queue.counts(), queue.parked(limit=PARKED_SHOWN), files


def status_from_files(config: Config) -> Status:
    """What the files of a stopped daemon tell. ``pid`` is None."""
    if not config.queue_path.exists():
        return Status(__version__, problems=(Problem("nothing is indexed yet", "start it: lakewatchd run"),))
    reader = QueueReader.open_readonly(config.queue_path)
    try:
        counts, parked = reader.counts(), reader.parked(limit=PARKED_SHOWN)
        seen = SeenStore(Database(config.queue_path, readonly=True))
        roots = tuple(
            RootView(root.name, path_text(str(root.path)), "unknown", files=seen.count(root.name))
            for root in config.roots
        )
    finally:
        reader.close()
    resolved = resolve(config.models, config.model_dir)
    lake = asyncio.run(_lake(LakeReader(config.lake_dir), config))
    return Status(
        __version__,
        roots=roots,
        queue=_lines(counts),
        parked=_groups(parked),
        models=_models(resolved, set()),
        lake=lake,
        problems=_problems(resolved),
    )


def queue_listing(
    reader: QueueReader, *, parked: bool, reason: str | None, stage: str | None, limit: int
) -> QueueListing:
    """Parked jobs by reason, and the first of them; or, for all jobs, where they stand."""
    found = reader.parked(reason=reason, stage=stage, limit=PARKED_SHOWN)
    items = tuple(_item(job) for job in found[:limit])
    counts = reader.counts()
    total = len(found) if parked or reason else counts.jobs(stage=stage)
    return QueueListing(_groups(found), items, total)


def queue_from_files(
    config: Config, *, parked: bool, reason: str | None, stage: str | None, limit: int
) -> QueueListing:
    if not config.queue_path.exists():
        return QueueListing()
    reader = QueueReader.open_readonly(config.queue_path)
    try:
        return queue_listing(reader, parked=parked, reason=reason, stage=stage, limit=limit)
    finally:
        reader.close()


def job_place(job: ParkedJob) -> str:
    """The path a person knows it by; an asset's id when the job is not about a path."""
    if job.stage == ingest.NAME:
        return ingest.place(job.payload).text
    return job.key


def _item(job: ParkedJob) -> QueueItem:
    return QueueItem(
        job.stage, job_place(job), JobState.PARKED, reason=job.reason, message=job.message, hint=job.hint or "",
        attempts=job.attempts,
    )  # fmt: skip


def _groups(parked: Iterable[ParkedJob]) -> tuple[ParkedGroup, ...]:
    by_reason: dict[str, list[ParkedJob]] = defaultdict(list)
    for job in parked:
        by_reason[job.reason].append(job)
    return tuple(
        ParkedGroup(reason, len(jobs), jobs[0].hint or "", job_place(jobs[0]))
        for reason, jobs in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    )


def _lines(counts: QueueCounts) -> tuple[QueueLine, ...]:
    return tuple(
        QueueLine(tally.stage, tally.priority.name.lower(), tally.state.value, tally.jobs) for tally in counts.tallies
    )


def _root(root: RootStatus, files: int) -> RootView:
    """A source's own account, in the shape status has."""
    scan, last = root.scanning, root.last_scan
    return RootView(
        name=root.name,
        path=root.path,
        state=root.state.value,
        reason=root.reason,
        watching=root.watching,
        settling=root.settling,
        scanning=f"{scan.directories:,} directories, {scan.seen:,} files" if scan else "",
        last_scan=last.started_at + last.duration_s if last else None,
        files=files,
        ignored=last.ignored_count if last else 0,
        problem=root.problem,
        hint=root.hint,
    )


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


def _problems(resolved: Resolved) -> tuple[Problem, ...]:
    return tuple(Problem(problem.message, problem.hint) for problem in resolved.problems)


async def _lake(reader: LakeReader, config: Config) -> LakeView:
    counts = await reader.counts()
    tables = tuple(TableView(table.table, table.rows, table.bytes_on_disk, table.version) for table in counts)
    return LakeView(path_text(str(config.lake_dir)), tables)
