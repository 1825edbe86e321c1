"""What has become of one file: the evidence about a place, and the one state it is in. Pure.

A file passes from the disk to the settler, to an ``ingest`` job, to what was seen and to bronze, to an ``index`` job,
to gold. The evidence must have been gathered in that order: what moves on meanwhile is then found twice, never missed.

The invariant: every place that is on disk or in a table gets exactly one state.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakewatchd.core.asset import AssetId, Occurrence, Version
from lakewatchd.core.status import FileState
from lakewatchd.queue.book import JobFact


@dataclass(frozen=True, slots=True)
class Evidence:
    """About one place. Fields in the order in which a file passes them."""

    disk: Version | None
    """None: no file that is to be indexed lies there."""
    waiting: str = ""
    """A change of it that is not in the queue yet, in words."""
    ingest: JobFact | None = None
    known: Occurrence | None = None
    bronze: tuple[AssetId, ...] = ()
    """Rows that say something lies there: one, if all is well."""
    index: JobFact | None = None
    """Of the asset that is known to lie there."""
    gold: int = 0
    """Rows that publish this asset: one, if all is well."""
    scan_due: str = ""
    """A scan that runs or waits will come by, in words."""
    is_held: bool = False
    """The root has removals that wait for a person."""
    has_stable_inodes: bool = True

    @property
    def is_nowhere(self) -> bool:
        return self.disk is None and self.known is None and not self.bronze and self.ingest is None


@dataclass(frozen=True, slots=True)
class Verdict:
    state: FileState
    detail: str = ""
    """Why, for states other than ``indexed``."""


def judge(found: Evidence) -> Verdict:
    """The state of a place of which something is known (not :attr:`Evidence.is_nowhere`)."""
    verdict = _judge(found)
    is_early = verdict.state is FileState.GAP and found.scan_due
    return Verdict(FileState.QUEUED, found.scan_due) if is_early else verdict


def _judge(found: Evidence) -> Verdict:
    if found.waiting:
        return Verdict(FileState.SETTLING, found.waiting)
    if found.ingest is not None:
        return _of_job(found.ingest)
    if found.disk is None:
        return Verdict(FileState.HELD) if found.is_held else _gap("in the lake, but not on disk")
    if found.known is None:
        return _gap("in the lake, but not known to the queue" if found.bronze else "on disk, but in no table")
    if not _is_same(found.known.version, found.disk, found.has_stable_inodes):
        return _gap("changed on disk since it was indexed")
    return _of_asset(found, found.known.asset_id)


def _of_asset(found: Evidence, asset_id: AssetId) -> Verdict:
    """The file is known as it is: is it in the lake and in the view?"""
    if not found.bronze:
        return _gap("known to the queue, but not in the lake")
    if len(found.bronze) > 1:
        return _gap(f"{len(found.bronze)} times in the lake")
    if found.bronze != (asset_id,):
        return _gap("the lake says that other content lies there")
    if found.index is not None:
        return _of_job(found.index)
    if found.gold != 1:
        return _gap("indexed, but not published" if not found.gold else f"published {found.gold} times")
    return Verdict(FileState.INDEXED)


def _of_job(job: JobFact) -> Verdict:
    if job.is_parked:
        return Verdict(FileState.PARKED, job.reason)
    return Verdict(FileState.QUEUED, job.state.value)


def _gap(problem: str) -> Verdict:
    return Verdict(FileState.GAP, problem)


def _is_same(known: Version, disk: Version, has_stable_inodes: bool) -> bool:
    """As a scan sees it, ctime apart: an owner or a name that changed is a scan's business, no loss."""
    if has_stable_inodes:
        return known.is_like(disk)
    return (known.size_bytes, known.mtime_ns) == (disk.size_bytes, disk.mtime_ns)
