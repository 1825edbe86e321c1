"""What a root says of itself, and which of its problems a person should hear of first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lakewatchd.core.status import WayState
from lakewatchd.sources.known import ScanSummary
from lakewatchd.sources.polling import PollStats
from lakewatchd.sources.roots import RootState
from lakewatchd.sources.watcher import WatchProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class RootStatus:
    """One moment of one root. What has a default is said of directories, or of buckets, alone."""

    name: str
    path: str
    state: RootState
    reason: str
    """Why it is away, else empty."""
    watching: str
    """The strategy and its reason, for people; empty while away."""
    tier: str = ""
    """What tells of changes, such as ``inotify``; empty when nothing does."""
    why_not: tuple[str, ...] = ()
    """Why not a better tier."""
    watched: int = 0
    """Directories the kernel tells us of one by one; 0 where it needs no watch for each."""
    unwatched: int = 0
    """Directories that should be watched and cannot be."""
    polled: PollStats = field(default_factory=PollStats)
    ways: tuple[WayState, ...] = ()
    """In which a bucket's events come."""
    missed: int | None = None
    """Changes of a bucket that rescans found and no event told of, though one of the ways was connected all the time;
    since the start. None where there is no telling yet."""
    last_scan: ScanSummary | None
    """The last scan of all of it."""
    scanning: ScanSummary | None
    """How far the running scan is."""
    settling: int = 0
    settling_oldest_s: float = 0.0
    events: int
    """Changes heard of since the start."""
    collapsed: int = 0
    """Of these, how many were told of their directory because of a flood."""
    overflows: int = 0
    """How often the kernel lost changes, each followed by a scan."""
    canary_failures: int = 0
    """How often events were found not to arrive."""
    left_behind: int
    """Threads that hang in its storage."""
    problem: str
    hint: str


def worst_problem(
    root: str, scan: ScanSummary | None, watch: WatchProblem | None, ignore_problems: Sequence[str]
) -> WatchProblem | None:
    """``scan`` is the last one of all of the root."""
    if scan is not None and scan.held_back:
        return WatchProblem(
            f"{scan.held_back:,} files are missing at once; they are kept until you say that they were deleted",
            f"lakewatchd scan {root} --accept-removals",
        )
    if watch is not None:
        return watch
    if scan is not None and scan.problem_count:
        first = scan.problems[0]
        return WatchProblem(
            f"{scan.problem_count:,} places cannot be read, first {first.path or '.'}: {first.reason}",
            "check permissions and mounts; what was known there is kept",
        )
    return next((WatchProblem(text, "correct the line") for text in ignore_problems), None)
