"""What the daemon says of itself: one value, shown by ``status``, sent over the control socket, put into STATUS=.

Only facts live here; how they look on a terminal is in :mod:`lakewatchd.cli.render`. Texts that contain file
names were made printable by :func:`lakewatchd.core.asset.path_text` before they got here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WayState:
    """One way in which a bucket's events come. Times are seconds since the epoch, counts are since the start."""

    name: str
    """``listen``, ``mqtt``, ``webhook`` or ``redis``."""
    is_connected: bool = False
    detail: str = ""
    """With whom: the address of a server or broker. Never a secret."""
    since: float | None = None
    """For how long it has been connected, or not."""
    last_event_at: float | None = None
    """When the last event came."""
    lag_s: float | None = None
    """How long the last event had been on its way; None when it does not say when it happened."""
    received: int = 0
    """Events, of which some are counted below too."""
    duplicates: int = 0
    reordered: int = 0
    """Events that came after a later one of the same key."""
    bad: int = 0
    """Messages or records that could not be read."""
    unknown: int = 0
    """Events of a name that says nothing to us."""
    foreign: int = 0
    """Events of other buckets, or outside of the prefix."""
    dropped: int = 0
    """Events that were known to be lost; a rescan makes up for them."""
    reconnects: int = 0
    problem: str = ""
    """Why it is not connected, or does not get on."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RootView:
    """A watched tree. ``state``: ``present``, ``away`` or ``starting``."""

    name: str
    path: str
    state: str
    reason: str = ""
    """Why it is not present."""
    watching: str = ""
    """How changes are noticed, and why not by events alone: ``events (inotify) + rescan every 60 min``."""
    why_not: tuple[str, ...] = ()
    """Why events do not come in a better way."""
    polled: int = 0
    """Directories that are visited on a schedule."""
    stuck: int = 0
    """Calls that hang in its file system."""
    settling: int = 0
    """Paths that wait until they are quiet."""
    scanning: str = ""
    """How far a running scan is, in words; empty when none runs."""
    last_scan: float | None = None
    """When the last complete scan ended, seconds since the epoch."""
    files: int = 0
    """Files known to lie there."""
    ignored: int = 0
    """Entries the last scan left out by rule, or because they are no files."""
    audit: RootAudit | None = None
    """The last check that every file is accounted for, without its gaps one by one."""
    problem: str = ""
    hint: str = ""
    events: int = 0
    """Changes heard of since the start."""
    overflows: int = 0
    """How often some were lost, and a scan made up for it."""
    ways: tuple[WayState, ...] = ()
    """In which the events of a bucket come."""
    missed: int | None = None
    """Changes of a bucket that a rescan found and no event told of, though one of the ways was connected all the time;
    since the start. None where there is no telling yet."""


@dataclass(frozen=True, slots=True)
class WatchBudget:
    """Directories that need a watch each, those that have one, and how many the kernel allows this user."""

    needed: int = 0
    used: int = 0
    limit: int = 0
    fix: str = ""
    """The command that raises the limit; empty while it is enough."""


@dataclass(frozen=True, slots=True)
class QueueLine:
    """How many jobs of a stage, a priority and a state there are. Names as in :mod:`lakewatchd.core.job`."""

    stage: str
    priority: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class ParkedGroup:
    """Jobs that need a person, by reason. ``example`` is one of their places."""

    reason: str
    count: int
    hint: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model in use. ``state``: ``idle`` (loaded when needed), ``loading``, ``ready`` or ``missing``."""

    role: str
    name: str
    state: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TableView:
    name: str
    rows: int
    bytes: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class LakeView:
    path: str = ""
    tables: tuple[TableView, ...] = ()
    away: str = ""
    """Why nothing is known of it just now."""

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)


@dataclass(frozen=True, slots=True)
class CacheView:
    """Where bytes of objects are kept to be read again. All empty where there is no cache."""

    path: str = ""
    used_bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One way in which decoders are confined: whether it holds on this machine, and how far or why not."""

    name: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person should know, and what can be done about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One moment of the daemon. ``pid`` is None when it is down and the facts were read from its files."""

    version: str
    pid: int | None = None
    uptime_s: float = 0.0
    roots: tuple[RootView, ...] = ()
    watches: WatchBudget = WatchBudget()
    queue: tuple[QueueLine, ...] = ()
    running: int = 0
    """Jobs a worker has in hand now."""
    done: int = 0
    """Jobs finished since the start."""
    failed: int = 0
    """Tries that failed since the start."""
    rate_per_s: float = 0.0
    """Jobs finished a second, over the last ten."""
    eta_s: float | None = None
    """Seconds until the queue is empty at that rate; None when there is no telling."""
    oldest_unprocessed_s: float | None = None
    """For how long the change that waits longest has been waiting: settling, queued or running. None if none does."""
    gaps: int = 0
    """Files that the last audits could not account for."""
    parked: tuple[ParkedGroup, ...] = ()
    models: tuple[ModelView, ...] = ()
    lake: LakeView = LakeView()
    cache: CacheView = CacheView()
    loop_lag_ms: float = 0.0
    """The longest the event loop did not answer, over the last minute."""
    paused: str = ""
    """Why nothing is worked on; empty when the workers run."""
    sandbox: tuple[Layer, ...] = ()
    """What confines the decoders; empty until the first one has started."""
    problems: tuple[Problem, ...] = ()
    web: str = ""
    """The address of the gallery; empty where nobody answers there."""

    @property
    def queued(self) -> int:
        """Jobs not yet finished that will run without help."""
        return sum(line.count for line in self.queue if line.state != "parked")

    @property
    def deeper(self) -> int:
        """Those of them that go last: a second, longer look at files which can be found already."""
        late = (line for line in self.queue if (line.stage, line.priority) == ("index", "enrichment"))
        return sum(line.count for line in late if line.state != "parked")

    @property
    def parked_count(self) -> int:
        return sum(group.count for group in self.parked)

    @property
    def headline(self) -> str:
        """One sentence: ``watching 1 root, 57 files; 12 queued, 9.1/s, 2 s left; 1 parked``."""
        parts = [self._watching(), self._working()]
        if self.parked_count:
            parts.append(f"{self.parked_count:,} parked")
        if self.gaps:
            parts.append(f"{self.gaps:,} not accounted for")
        if self.paused:
            parts.append(f"paused: {self.paused}")
        return "; ".join(parts)

    def _watching(self) -> str:
        files = sum(root.files for root in self.roots)
        away = sum(root.state == "away" for root in self.roots)
        verb = "knows" if self.pid is None else "watching"
        text = f"{verb} {_count(len(self.roots), 'root')}, {_count(files, 'file')}"
        return f"{text}, {away} away" if away else text

    def _working(self) -> str:
        if not self.queued:
            return "nothing queued"
        text = f"{self.queued - self.deeper:,} queued" if self.queued > self.deeper else "nothing queued"
        text += f", {self.deeper:,} in the background" if self.deeper else ""
        if self.rate_per_s:
            text += f", {self.rate_per_s:.1f}/s"
        return text if self.eta_s is None else f"{text}, {duration_text(self.eta_s)} left"


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One queued or parked job, as ``queue list`` shows it."""

    stage: str
    key: str
    state: str
    priority: str = ""
    reason: str = ""
    message: str = ""
    hint: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class QueueListing:
    """The answer to ``queue_list``: everything by reason, and the first items up to the limit asked for."""

    groups: tuple[ParkedGroup, ...] = ()
    items: tuple[QueueItem, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class ScanView:
    """The answer to ``scan``, for one root: what a complete walk found to differ from what was known."""

    root: str
    files: int
    changed: int
    removed: int
    duration_s: float
    problem: str = ""
    hint: str = ""
    held: int = 0
    """Files that are missing all at once and were kept: see ``--accept-removals``."""


@dataclass(frozen=True, slots=True)
class ScanListing:
    scans: tuple[ScanView, ...] = ()


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The answer to ``reload``: the settings that differed, ``root photos`` or ``watch.rescan_s``."""

    applied: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


class FileState(enum.StrEnum):
    """Each file on disk is in exactly one of these, and so is each place the lake knows of."""

    INDEXED = "indexed"
    QUEUED = "queued"
    SETTLING = "settling"
    PARKED = "parked"
    IGNORED = "ignored"
    AWAY = "away"
    """Its root is not there."""
    HELD = "held"
    """It is missing, with so many others that a person has to say that it was deleted."""
    GAP = "gap"
    """None of the others: something was lost."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A place, or an asset, of which the disk and the tables do not say the same."""

    path: str
    problem: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RootAudit:
    """What became of every file of a root. The counts add up to all that is on disk or in the lake."""

    root: str
    counts: dict[str, int]
    """By :class:`FileState`; states without a file are left out."""
    gaps: tuple[Gap, ...] = ()
    """The first, up to a limit; :attr:`gap_count` says how many there are."""
    at: float = 0.0
    """When it ended, seconds since the epoch."""
    duration_s: float = 0.0
    problem: str = ""
    """Why the disk could not be looked at."""

    @property
    def gap_count(self) -> int:
        return self.counts.get(FileState.GAP, 0)

    @property
    def files(self) -> int:
        """All but the entries that rules leave out."""
        return sum(self.counts.values()) - self.counts.get(FileState.IGNORED, 0)

    @property
    def summary(self) -> str:
        """``1,204 indexed, 3 queued, 12 ignored``"""
        return ", ".join(f"{self.counts[state]:,} {_STATE_WORDS.get(state, state)}" for state in FileState
                         if self.counts.get(state)) or "no files"  # fmt: skip


_STATE_WORDS = {FileState.GAP: "unaccounted for", FileState.HELD: "held removals"}


@dataclass(frozen=True, slots=True)
class AuditListing:
    """The answer to ``audit``."""

    roots: tuple[RootAudit, ...] = ()
    lake: tuple[Gap, ...] = ()
    """Assets that are served and that no place holds, the first of them."""
    lake_gaps: int = 0
    queued: int = 0
    """Jobs that were queued to mend gaps."""

    @property
    def gap_count(self) -> int:
        return sum(root.gap_count for root in self.roots) + self.lake_gaps


@dataclass(frozen=True, slots=True)
class Twin:
    """A file of a group of duplicates."""

    path: str
    """As :func:`~lakewatchd.core.asset.path_text` has it, or ``s3://bucket/key``."""
    size_bytes: int
    is_kept: bool
    """The one that stands for the others."""
    is_exact: bool
    """It has the very bytes of that one."""


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    group: str
    """Its folder in ``duplicates/`` of the view."""
    kind: str
    files: tuple[Twin, ...]
    """The one that is kept comes first."""
    reclaimable_bytes: int
    """What the others take on the disk."""


@dataclass(frozen=True, slots=True)
class DuplicateListing:
    """The answer to ``dups``."""

    groups: tuple[DuplicateGroup, ...] = ()
    reclaimable_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to ``explain``: all that is known of one place, in the order a person wants it."""

    path: str
    facts: tuple[Fact, ...] = ()
    verdict: str = ""
    """Why it is, or is not, in the view."""
    state: str = ""
    """A :class:`FileState`, or ``directory``, ``nothing``, ``outside``."""
    next: str = ""
    """What happens next, and when."""
    hint: str = ""
    """What a person can do."""
    view: tuple[str, ...] = ()
    """Where it is shown, relative to the mountpoint. A name that another asset has there gets a suffix."""
    asset: str = ""
    by_files: bool = False
    """The daemon is down: its files were asked."""


@dataclass(frozen=True, slots=True)
class PreviewChange:
    """What becomes of one tag, or of ``category NAME``."""

    name: str
    gains: int
    losses: int
    gained: tuple[str, ...] = ()
    """Some of the files, as ``root:path``."""
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer to ``taxonomy preview``."""

    looked_at: int
    assets: int
    """In the lake; more than ``looked_at`` where that is a sample, or where some wait for other work."""
    changes: tuple[PreviewChange, ...] = ()


@dataclass(frozen=True, slots=True)
class CorrectionView:
    """What a person said of one content."""

    asset: str
    places: tuple[str, ...] = ()
    """Some of those where it lies now, as ``root:path``."""
    tags: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    category: str = ""


@dataclass(frozen=True, slots=True)
class CorrectionListing:
    """The answer to ``tag``."""

    corrections: tuple[CorrectionView, ...] = ()


def duration_text(seconds: float) -> str:
    """``2 s``, ``3 min``, ``4 h 10 min``, ``6 days``: as exact as a person wants to know it."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 86400:.0f} days"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
