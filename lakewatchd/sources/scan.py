"""Walk a root, compare it with what is known, and tell the difference as events.

Additions and changes come out as they are found. Removals are only noted on the way, checked once more after
the walk, and come last: by then the root must still be there. Waiting for half-written files and reacting to
the kernel are elsewhere. Runs in a thread; may block for as long as the file system does.

A directory whose listing has the hash that it had when nothing was to be told of it is passed over: that is most of
them, most of the time. The hash is kept only after a comparison that found nothing.

The invariant: ``REMOVED`` is told only of a path that was looked for, in a directory that could be read, under a
root that was there before and after. Applying the events to what is known makes the next scan silent.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from lakewatchd.core.asset import Agreement, DirectoryDigest, PathKey, Version, path_text
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.errors import LakewatchError
from lakewatchd.sources import listing
from lakewatchd.sources.coalesce import above, parent_of
from lakewatchd.sources.ignore import DirectoryRules, IgnoreRules
from lakewatchd.sources.known import Known, ScanMemory, ScanOptions, ScanProblem, ScanSummary
from lakewatchd.sources.listing import Listing
from lakewatchd.sources.missing import Missing, RemovalGuard
from lakewatchd.sources.roots import Root, RootHealth, RootState

BATCH = 1000
AGREED_FILES = 5000
MAX_PROBLEMS = 100
MAX_REASONS = 1000


@dataclass(slots=True)
class _Found:
    """A directory sorted by what its entries are to us. None: a file of which nothing more can be told."""

    files: dict[str, os.stat_result | None]
    directories: list[str]
    ignored: Counter[str]


_Open = tuple[DirectoryRules | None, str, DirectoryDigest | None]
"""A directory to be entered: the rules of the one above, unless the walk begins with it, and the digest it had."""


class Scanner:
    """Makes scans of one root. ``health`` tells whether the root is there; ``on_directory`` is called with each
    directory before it is listed, so that a watch set there misses nothing. Without ``memory`` everything is compared
    each time. ``compare_inodes`` and ``compare_ctime`` are for file systems where these stay what they are."""

    def __init__(
        self,
        root: Root,
        rules: IgnoreRules,
        known: Known,
        clock: Clock,
        *,
        health: Callable[[], RootHealth] = lambda: RootHealth(RootState.PRESENT),
        on_directory: Callable[[str], object] = lambda path: None,
        memory: ScanMemory | None = None,
        guard: RemovalGuard = RemovalGuard(),  # noqa: B008 - frozen
        compare_inodes: bool = True,
        compare_ctime: bool = True,
    ) -> None:
        self.root = root
        self.rules = rules
        self.known = known
        self.clock = clock
        self.health = health
        self.on_directory = on_directory
        self.memory = memory
        self.guard = guard
        self.compare_inodes = compare_inodes
        self.compare_ctime = compare_ctime

    def scan(
        self,
        directory: str = "",
        options: ScanOptions = ScanOptions(),  # noqa: B008 - frozen
        on_progress: Callable[[ScanSummary], None] = lambda summary: None,
    ) -> Scan:
        """A scan of ``directory``, to be iterated once. If it is no directory any more, the nearest one above that
        is one is compared instead, without going deeper."""
        return Scan(self, directory, options, on_progress)


class Scan:
    """Iterate it for batches of events. Raises :class:`~lakewatchd.errors.RootAway`; what came out before stands."""

    def __init__(
        self, scanner: Scanner, directory: str, options: ScanOptions, on_progress: Callable[[ScanSummary], None]
    ) -> None:
        self._scanner = scanner
        self._root = scanner.root.name
        self._base = os.fspath(scanner.root.path)
        self._rules = scanner.rules
        self._known = scanner.known
        self._options = options
        self._on_progress = on_progress
        self._started = scanner.clock.monotonic()
        self._summary = ScanSummary(self._root, directory, scanner.clock.now())
        self._directories = self._seen = self._added = self._modified = self._removed = 0
        self._ignored = Counter[str]()
        self._agreed: list[Agreement] = []
        self._agreed_files = 0
        self._problems: dict[str, str] = {}
        self._problem_count = 0
        self._batch: list[FileEvent] = []
        self._is_stopped = False

    def stop(self) -> None:
        """Ends the iteration soon, from any thread; removals that were not told yet are not told."""
        self._is_stopped = True

    @property
    def summary(self) -> ScanSummary:
        """As far as it is now."""
        return replace(
            self._summary,
            duration_s=self._scanner.clock.monotonic() - self._started,
            directories=self._directories,
            seen=self._seen,
            added=self._added,
            modified=self._modified,
            removed=self._removed,
            ignored=tuple(self._ignored.items()),
            problems=tuple(ScanProblem(path_text(path), reason) for path, reason in self._problems.items()),
            problem_count=self._problem_count,
        )

    def __iter__(self) -> Iterator[list[FileEvent]]:
        self._check_root()
        start, recursive = self._start()
        with contextlib.closing(self._noting()) as missing:
            yield from self._walk(start, recursive, missing)
            self._check_root()
            if missing and not self._is_stopped:
                yield from self._tell_removals(missing)
        if not self._is_stopped:
            self._summary = replace(self._summary, is_finished=True)
        if self._batch:
            yield self._take()
        self._on_progress(self.summary)

    # --- the walk ------------------------------------------------------------------------------------------

    def _start(self) -> tuple[str, bool]:
        wanted = self._summary.directory
        for path in above(wanted):
            if self._may_enter(path):
                return path, self._options.recursive and path == wanted
        return "", False

    def _walk(self, start: str, recursive: bool, missing: Missing) -> Iterator[list[FileEvent]]:
        first = self._digests(parent_of(start)).get(start.rpartition("/")[2])
        stack: list[_Open] = [(None, start, first)]
        while stack and not self._is_stopped:
            above_it, path, digest = stack.pop()
            self._scanner.on_directory(path)
            rules = self._rules.within(path) if above_it is None else self._rules.enter(above_it, path)
            below = self._compare(rules, digest, missing)
            if recursive and below:
                digests, prefix = self._digests(path), f"{path}/" if path else ""
                names = (name for name in sorted(below, reverse=True) if self._options.enter(prefix + name))
                stack.extend((rules, prefix + name, digests.get(name)) for name in names)
            if len(self._batch) >= BATCH:
                yield self._take()
            if self._directories % 64 == 0:
                self._on_progress(self.summary)
        self._keep_agreed()

    def _compare(self, rules: DirectoryRules, before: DirectoryDigest | None, missing: Missing) -> list[str]:
        """Tell what is new in one directory, note what is missing. Returns the directories to enter."""
        path = rules.directory
        entries = self._list(path)
        if entries is None:
            return []
        self._directories += 1
        value = entries.digest(rules.identity)
        if before is not None and before.value == value and not entries.unknown:
            directories = self._pass_over(entries, rules, before)
            if directories is not None:
                return directories
        found = self._sort(entries, rules)
        known = self._known.directory(self._root, path)
        news = self._tell_changes(path, found.files, known, missing)
        is_alike = self._note_missing(path, found, known, missing) and news is not None
        if is_alike and news is not None and not entries.unknown:
            digest = DirectoryDigest(value, len(found.files), tuple(found.ignored.items()))
            self._agree(Agreement(path, digest, known, news, frozenset(found.directories)))
        return found.directories

    def _pass_over(self, entries: Listing, rules: DirectoryRules, before: DirectoryDigest) -> list[str] | None:
        """Nothing to compare: the directories to enter. None if one is ours, which no digest knows."""
        directories = list(entries.directories())
        if any(self._rules.why_special(status) is not None for _, status in directories):
            return None
        self._seen += before.files
        self._count_ignored(dict(before.ignored))
        return [name for name, _ in directories if rules.why(name, True) is None]

    def _list(self, path: str) -> Listing | None:
        """None if it cannot be read."""
        try:
            entries = listing.read(self._local(path), follow=not path)
        except (FileNotFoundError, NotADirectoryError):
            return None  # vanished since its parent was listed; what is gone with it, the next event or scan tells
        except OSError as exc:
            self._add_problem(path, exc)
            return None
        for name, _, error in entries.unknown:
            self._add_problem(f"{path}/{name}" if path else name, error)
        return entries

    def _sort(self, entries: Listing, rules: DirectoryRules) -> _Found:
        found = _Found({}, [], Counter())
        for name, status in zip(entries.names, entries.stats, strict=True):
            is_file = stat.S_ISREG(status.st_mode)
            why = rules.why(name, not is_file and stat.S_ISDIR(status.st_mode)) or self._rules.why_special(status)
            if why is not None:
                found.ignored[why] += 1
            elif is_file:
                found.files[name] = status
            else:
                found.directories.append(name)
        for name, is_dir, _ in entries.unknown:
            if rules.why(name, is_dir) is None:
                found.files[name] = None
                if is_dir:
                    found.directories.append(name)  # entering it fails in the same way: its files are not gone
        self._seen += len(found.files)
        self._count_ignored(found.ignored)
        return found

    def _tell_changes(
        self, path: str, files: Mapping[str, os.stat_result | None], known: Mapping[str, Version], missing: Missing
    ) -> dict[str, Version] | None:
        """None if anything differs. Otherwise what ``stat`` says that was not known, the content being the same."""
        prefix = path + "/" if path else ""
        news: dict[str, Version] = {}
        is_alike = True
        for name, status in files.items():
            old = known.get(name)
            if status is None:  # there, and among the problems: nothing to act on yet
                is_alike = False
            elif old is None:
                is_alike = False
                missing.note_added(status)
                self._added += 1
                self._tell(prefix + name, Change.ADDED, Priority.BACKFILL, Version.of(status))
            elif not self._is_like(old, status):
                is_alike = False
                self._modified += 1
                self._tell(prefix + name, Change.MODIFIED, Priority.CHANGED, Version.of(status))
            elif self._has_moved_ctime(old, status):
                is_alike = False
                if old.is_worth_reading(self._scanner.clock.now()):
                    self._modified += 1
                    self._tell(prefix + name, Change.MODIFIED, Priority.ENRICHMENT, Version.of(status))
            elif (old.ctime_ns, old.device, old.inode) != (status.st_ctime_ns, status.st_dev, status.st_ino):
                news[name] = Version.of(status)
        return news if is_alike else None

    def _note_missing(self, path: str, found: _Found, known: Mapping[str, Version], missing: Missing) -> bool:
        """Whether nothing is."""
        is_complete = True
        if known.keys() - found.files.keys():
            is_complete = False
            missing.note_files(path)
        for name in self._known.subdirectories(self._root, path) - set(found.directories):
            is_complete = False
            missing.note_directory(f"{path}/{name}" if path else name)
        return is_complete

    def _is_like(self, old: Version, new: os.stat_result) -> bool:
        """Device numbers change at a reboot and say nothing of the content; so do inodes on some file systems."""
        if old.mtime_ns != new.st_mtime_ns or old.size_bytes != new.st_size:
            return False
        return old.inode == new.st_ino or not self._scanner.compare_inodes

    def _has_moved_ctime(self, old: Version, new: os.stat_result) -> bool:
        """Its content may have changed by somebody who set the time back. Unknown is no reason to read it again."""
        if not self._scanner.compare_ctime or not old.ctime_ns or not new.st_ctime_ns:
            return False
        return old.ctime_ns != new.st_ctime_ns

    # --- what was alike --------------------------------------------------------------------------------------

    def _digests(self, parent: str) -> Mapping[str, DirectoryDigest]:
        return self._scanner.memory.digests(self._root, parent) if self._scanner.memory is not None else {}

    def _agree(self, agreement: Agreement) -> None:
        self._agreed.append(agreement)
        self._agreed_files += len(agreement.known) + 10
        if self._agreed_files >= AGREED_FILES:
            self._keep_agreed()

    def _keep_agreed(self) -> None:
        agreed, self._agreed, self._agreed_files = self._agreed, [], 0
        if agreed and self._scanner.memory is not None:
            with contextlib.suppress(LakewatchError):  # a full disk, a locked queue: it would have saved time, no more
                self._scanner.memory.agree(self._root, agreed)

    # --- removals ------------------------------------------------------------------------------------------

    def _noting(self) -> Missing:
        accept = self._options.accept_removals
        scanner = self._scanner
        return Missing(scanner.root, self._rules, self._known, scanner.memory, self._add_problem, trust_empty=accept)

    def _tell_removals(self, missing: Missing) -> Iterator[list[FileEvent]]:
        if not self._options.accept_removals:
            held = missing.count_held(self._scanner.guard, self._options.witnessed, self._options.told)
            if held:
                self._summary = replace(self._summary, held_back=held)
                return
        for path in missing.paths():
            if self._is_stopped:
                return
            self._removed += 1
            self._tell(path, Change.REMOVED, Priority.CHANGED, None)
            if len(self._batch) >= BATCH:
                self._check_root()
                yield self._take()
        if self._batch:
            self._check_root()

    # --- small things --------------------------------------------------------------------------------------

    def _check_root(self) -> None:
        health = self._scanner.health()
        if health.is_away:
            self._batch.clear()
            raise health.error(self._root)

    def _may_enter(self, path: str) -> bool:
        """A directory that no rule leaves out, reached through directories only: never through a link."""
        if not path:
            return True
        for part in above(path):
            try:
                status = os.lstat(self._local(part))
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError:
                continue  # reading it fails as well, and that is where it is told
            if part and (not stat.S_ISDIR(status.st_mode) or self._rules.why_special(status) is not None):
                return False
        return self._rules.why_ignored(path, is_dir=True) is None

    def _local(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    def _tell(self, path: str, change: Change, priority: Priority, version: Version | None) -> None:
        if priority is not Priority.ENRICHMENT:  # a mere suspicion never goes before news, whoever asked for the scan
            priority = min(priority, self._options.priority)
        self._batch.append(FileEvent(PathKey(self._root, path), change, priority, version))

    def _take(self) -> list[FileEvent]:
        batch, self._batch = self._batch, []
        self._on_progress(self.summary)
        return batch

    def _count_ignored(self, ignored: Mapping[str, int]) -> None:
        for why, count in ignored.items():
            is_new = why not in self._ignored and len(self._ignored) >= MAX_REASONS
            self._ignored["other rules" if is_new else why] += count

    def _add_problem(self, path: str, error: OSError | str) -> None:
        reason = error if isinstance(error, str) else error.strerror or str(error)
        if path in self._problems:
            return
        self._problem_count += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems[path] = reason
