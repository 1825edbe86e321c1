"""The daemon's own books: after each rescan it is checked that every file is accounted for, and gaps are mended.

A rescan has compared the disk with what was seen, so what is left to compare is the lake: as many places as were seen,
as many as the published assets speak of. These are two counts. Only where they differ is the root audited file by
file, as ``lakewatchd audit`` does (:mod:`lakewatchd.daemon.audit`). Whatever is found is queued for a look.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lakewatchd.config import Config
from lakewatchd.control import absence
from lakewatchd.core.asset import AssetId, PathKey
from lakewatchd.core.job import Priority
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.status import AuditListing, Explanation, FileState, Gap, RootAudit
from lakewatchd.daemon.audit import Auditor, Nobody, orphans_of
from lakewatchd.daemon.explain import Case, explain, find
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.report import has_queue
from lakewatchd.daemon.site import Site
from lakewatchd.errors import LakewatchError, QueueDamaged
from lakewatchd.lake.census import Census
from lakewatchd.sources.roots import RootState
from lakewatchd.sources.source import Source
from lakewatchd.sources.worker import Worker
from lakewatchd.stages import ingest, plan

_log = logging.getLogger(__name__)

CHECK_S = 2.0
"""How often it is looked whether a rescan has ended and its work is done."""
CATCH_UP_S = 15.0
"""How long an audit waits for what was changed just before."""
SHOWN = 100
ORPHAN = "published, but no place holds it"


@dataclass(frozen=True, slots=True)
class Insider:
    """:class:`~lakewatchd.daemon.audit.Witness` of a running daemon, for the audit's thread."""

    source: Source
    loop: asyncio.AbstractEventLoop

    def away(self, site: Site) -> str:
        status = self.source.status
        return status.reason or status.state.value if status.state != "present" else ""

    def waiting(self, path: str) -> str:
        return self.source.waiting(path)

    def scan_due(self, path: str) -> str:
        return self.source.scan_due(path)

    def is_held(self) -> bool:
        last = self.source.status.last_scan
        return last is not None and last.held_back > 0

    def catch_up(self) -> None:
        waiting = asyncio.run_coroutine_threadsafe(self.source.wait_caught_up(), self.loop)
        # In vain where a file is written without end: then it is waiting, and the others are judged as they are.
        with contextlib.suppress(LakewatchError, concurrent.futures.CancelledError, TimeoutError):
            waiting.result(CATCH_UP_S)
        waiting.cancel()


class Accounts:
    """``latest`` holds the last audit of each root. One audit or check runs at a time."""

    def __init__(self, daemon: Daemon) -> None:
        self.latest: dict[str, RootAudit] = {}
        self._daemon = daemon
        self._checked: dict[str, float] = {}
        self._lock = asyncio.Lock()
        self._mended: frozenset[str] = frozenset()
        """Roots whose gaps were queued for a look: once that is done, they are checked again."""
        self._explained: tuple[int, int, int] | None = None

    async def run(self) -> None:
        """After each full rescan, once what it found is done. Until cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            for name, source in list(self._daemon.sources.items()):
                last = source.status.last_scan
                if last is None or not last.is_finished or self._checked.get(name) == last.started_at:
                    continue
                async with self._lock:  # or what was counted before an audit would replace what that has found
                    if (await self._daemon.queue_thread(self._daemon.queue.counts)).pending:
                        continue
                    try:
                        found_gaps = await self._check(name, source)
                    except QueueDamaged:  # who asked for nothing tells nobody else
                        raise
                    except LakewatchError as exc:  # the lake is busy, the disk full: it can wait
                        _log.warning("the check of root %s was put off: %s", name, exc.message, extra={"root": name})
                        continue
                if not found_gaps or name in self._mended:
                    self._checked[name] = last.started_at  # what is still wrong waits for the next rescan
                self._mended = self._mended ^ {name} if found_gaps else self._mended - {name}

    async def audit(self, names: Sequence[str], limit: int, *, orphans: bool) -> AuditListing:
        """File by file. What is found to be wrong is queued. ``orphans`` looks for assets without a place too."""
        async with self._lock:
            done = [
                await self._audit_root(name, limit, is_asked=True) for name in names if name in self._daemon.sources
            ]
            lost = await asyncio.to_thread(orphans_of, self._daemon.config) if orphans else []
            queued = sum(count for _, count in done) + await self._mend((), (asset_id for asset_id, _ in lost))
        shown = tuple(Gap(place, ORPHAN) for _, place in lost[:limit])
        return AuditListing(tuple(audit for audit, _ in done), shown, len(lost), queued)

    async def _audit_root(self, name: str, limit: int, *, is_asked: bool = False) -> tuple[RootAudit, int]:
        """What is for a scan to judge has been judged by one just now, unless a person ``is_asked``."""
        source, config = self._daemon.sources.get(name), self._daemon.config
        root = next((root for root in config.all_roots if root.name == name), None)
        if source is None or root is None:  # a reload takes it out just now
            raise LakewatchError(f"root {name!r} is not watched any more")
        auditor = Auditor(config, root, Insider(source, asyncio.get_running_loop()), limit)
        audit = self.latest[name] = await self._run(auditor, source)
        if auditor.needs_scan and is_asked:
            source.scan_soon()
        if audit.gap_count:
            message = "%d files are not accounted for, first: %s: %s"
            _log.warning(message, audit.gap_count, audit.gaps[0].path, audit.gaps[0].problem, extra={"root": name})
        return audit, await self._mend(auditor.places, auditor.assets)

    async def _run(self, auditor: Auditor, source: Source) -> RootAudit:
        """In a thread that is left behind where the root hangs, and ends soon when nobody waits any more."""
        name, worker = source.name, Worker(f"{source.name}-audit")
        done = asyncio.ensure_future(worker.run(auditor.run))
        try:
            while not (await asyncio.wait({done}, timeout=CHECK_S))[0]:
                if source.status.state is RootState.AWAY:
                    files = await self._daemon.queue_thread(self._daemon.queue.seen.count, name)
                    return RootAudit(name, {FileState.AWAY: files}, (), time.time(), problem=source.status.reason)
            return done.result()
        finally:
            auditor.is_stopped = True
            done.cancel()
            worker.close()

    async def _mend(self, places: Iterable[PathKey], assets: Iterable[AssetId]) -> int:
        """Queued for a look: whatever was lost, looking again tells."""
        jobs = [ingest.spec(key, Priority.CHANGED) for key in places]
        jobs += [plan.index_spec(asset_id, Priority.CHANGED) for asset_id in dict.fromkeys(assets)]
        if jobs:
            await self._daemon.queue_thread(self._daemon.queue.put, jobs)
            self._daemon.pool.wake()
        return len(jobs)

    async def _check(self, name: str, source: Source) -> bool:
        """The cheap form: two counts, and file by file only where they do not agree. Whether gaps were queued. Under
        the lock."""
        daemon, census = self._daemon, Census(self._daemon.reader)
        seen = await daemon.queue_thread(daemon.queue.seen.count, name)
        held, (places, told) = await census.count(name), await census.count_all()
        sums = (seen - held, places, told)
        if seen == held and (places == told or sums == self._explained):
            self.latest[name] = _counted(name, seen, source)
            return False
        audit, _ = await self._audit_root(name, SHOWN)
        if not audit.gap_count and not audit.problem:
            self._explained = sums  # parked before they were published, say: no reason to look again each hour
        return audit.gap_count > 0


def _counted(name: str, seen: int, source: Source) -> RootAudit:
    last = source.status.last_scan
    held, ignored = (last.held_back, last.ignored_count) if last else (0, 0)
    unreadable = last.problem_count if last else 0
    counts = {FileState.INDEXED: seen - held, FileState.IGNORED: ignored, FileState.HELD: held,
              FileState.GAP: unreadable}  # fmt: skip
    gaps = tuple(Gap(f"{name}:{item.path}", item.reason) for item in last.problems) if last else ()
    return RootAudit(name, {state: count for state, count in counts.items() if count}, gaps, time.time())


def explanation_from_files(config: Config, path: str) -> Explanation:
    """The answer to ``explain`` while the daemon is down."""
    found = find(config, path)
    if isinstance(found, Explanation):
        return found
    if not has_queue(config):
        raise LakewatchError("nothing is indexed yet", absence(config.socket_path).hint)
    return explain(Case(config, found[1], found[0], Nobody(), paused="the daemon is not running"))


def audit_from_files(config: Config, name: str | None, limit: int) -> AuditListing:
    """The same while the daemon is down. Nothing is queued: the rescan at the next start does that."""
    roots = [root for root in config.all_roots if name in (None, root.name)]
    if not roots:
        hint = did_you_mean(str(name), (root.name for root in config.all_roots), "roots")
        raise LakewatchError(f"there is no root {name!r}", hint)
    if not has_queue(config):
        raise LakewatchError("nothing is indexed yet", absence(config.socket_path).hint)
    done = tuple(Auditor(config, root, Nobody(), limit).run() for root in roots)
    lost = orphans_of(config) if name is None else []
    gaps = tuple(Gap(place, ORPHAN) for _, place in lost[:limit])
    return AuditListing(done, gaps, len(lost))
