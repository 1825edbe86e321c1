"""Walk a root, compare it with what is known, and tell the difference as events.

Additions and changes come out as they are found. Removals are only noted on the way, checked once more after
the walk, and come last: by then the root must still be there. Waiting for half-written files and reacting to
the kernel are elsewhere. Runs in a thread; may block for as long as the file system does.

The invariant: ``REMOVED`` is told only of a path that was looked for, in a directory that could be read, under a
root that was there before and after. Applying the events to what is known makes the next scan silent.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO

from lakewatchd.core.asset import PathKey, Version, path_text
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.sources.coalesce import above, parent_of
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import Known, ScanOptions, ScanProblem, ScanSummary
from lakewatchd.sources.roots import Root, RootHealth, RootState

BATCH = 1000
SPOOL_BYTES = 4 << 20
MAX_PROBLEMS = 100
MAX_REASONS = 1000
GUARD_SHARE = 0.5
GUARD_FILES = 100
"""A scan of all that misses more than this share and this many of the known files asks before it tells so."""


Listing = dict[str, os.stat_result | None]
"""The files of a directory by name; None for one that is there and of which nothing more can be told."""


class Scanner:
    """Makes scans of one root. ``health`` tells whether the root is there; ``on_directory`` is called with each
    directory before it is listed, so that a watch set there misses nothing."""

    def __init__(
        self,
        root: Root,
        rules: IgnoreRules,
        known: Known,
        clock: Clock,
        *,
        health: Callable[[], RootHealth] = lambda: RootHealth(RootState.PRESENT),
        on_directory: Callable[[str], object] = lambda path: None,
        compare_inodes: bool = True,
    ) -> None:
        self.root = root
        self.rules = rules
        self.known = known
        self.clock = clock
        self.health = health
        self.on_directory = on_directory
        self.compare_inodes = compare_inodes

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
        self._ignored: dict[str, int] = {}
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
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as noted:
            yield from self._walk(start, recursive, noted)
            self._check_root()
            if noted.tell() and not self._is_stopped:
                yield from self._tell_removals(noted)
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

    def _walk(self, start: str, recursive: bool, noted: IO[bytes]) -> Iterator[list[FileEvent]]:
        stack = [start]
        while stack and not self._is_stopped:
            path = stack.pop()
            self._scanner.on_directory(path)
            below = self._compare(path, noted)
            if recursive:
                paths = (f"{path}/{name}" if path else name for name in sorted(below, reverse=True))
                stack.extend(filter(self._options.enter, paths))
            if len(self._batch) >= BATCH:
                yield self._take()
            if self._directories % 64 == 0:
                self._on_progress(self.summary)

    def _compare(self, path: str, noted: IO[bytes]) -> list[str]:
        """Tell what is new in one directory, note what is missing. Returns the directories to enter."""
        listing = self._list(path)
        if listing is None:
            return []
        self._directories += 1
        files, directories = listing
        known = self._known.directory(self._root, path)
        prefix = path + "/" if path else ""
        for name, status in files.items():
            old = known.get(name)
            if status is None:  # there, and among the problems: nothing to act on yet
                continue
            if old is None:
                self._added += 1
                self._tell(prefix + name, Change.ADDED, Priority.BACKFILL, Version.of(status))
            elif not self._is_same(old, status):
                self._modified += 1
                self._tell(prefix + name, Change.MODIFIED, Priority.CHANGED, Version.of(status))
        if known.keys() - files.keys():
            _note(noted, b"F", path)
        for name in self._known.subdirectories(self._root, path) - set(directories):
            _note(noted, b"D", prefix + name)
        return directories

    def _list(self, path: str) -> tuple[Listing, list[str]] | None:
        """Files and directories that are not left out; None if it cannot be read."""
        rules = self._rules.within(path)
        files: Listing = {}
        directories: list[str] = []
        try:
            with os.scandir(self._local(path)) as entries:
                for entry in entries:
                    self._sort_in(entry, path, rules.why, files, directories)
        except (FileNotFoundError, NotADirectoryError):
            return None  # vanished since its parent was listed; what is gone with it, the next event or scan tells
        except OSError as exc:
            self._add_problem(path, exc)
            return None
        return files, directories

    def _sort_in(
        self,
        entry: os.DirEntry[str],
        path: str,
        why_ignored: Callable[[str, bool], str | None],
        files: Listing,
        directories: list[str],
    ) -> None:
        name = entry.name
        is_dir = entry.is_dir(follow_symlinks=False)
        why = why_ignored(name, is_dir)
        if why is not None:
            self._count_ignored(why)
            return
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._add_problem(f"{path}/{name}" if path else name, exc)
            files[name] = None
            if is_dir:
                directories.append(name)  # entering it fails in the same way; its files must not count as gone
            return
        if stat.S_ISREG(status.st_mode):
            self._seen += 1
            files[name] = status
        elif (why := self._rules.why_special(status)) is not None:
            self._count_ignored(why)
        else:
            directories.append(name)

    def _is_same(self, old: Version, new: os.stat_result) -> bool:
        """Device numbers change at a reboot and say nothing of the content; so do inodes on some file systems."""
        if old.mtime_ns != new.st_mtime_ns or old.size_bytes != new.st_size:
            return False
        return old.inode == new.st_ino or not self._scanner.compare_inodes

    # --- removals ------------------------------------------------------------------------------------------

    def _tell_removals(self, noted: IO[bytes]) -> Iterator[list[FileEvent]]:
        if not self._summary.directory and not self._options.accept_removals and self._lost_too_much(noted):
            return
        for path in self._missing(noted):
            if self._is_stopped:
                return
            self._removed += 1
            self._tell(path, Change.REMOVED, Priority.CHANGED, None)
            if len(self._batch) >= BATCH:
                self._check_root()
                yield self._take()
        if self._batch:
            self._check_root()

    def _lost_too_much(self, noted: IO[bytes]) -> bool:
        """A disk that came back half empty, a share of another account: more likely than so many deletions that
        nobody was there to see. Files that were only moved do not count: they are seen elsewhere."""
        missing = sum(1 for _ in self._missing(noted))
        if missing <= GUARD_FILES or self._seen >= (1 - GUARD_SHARE) * self._known.count(self._root):
            return False
        self._summary = replace(self._summary, held_back=missing)
        return True

    def _missing(self, noted: IO[bytes]) -> Iterator[str]:
        """The noted paths, each looked for once more."""
        for kind, path in _read_notes(noted):
            if self._looks_unmounted(parent_of(path) if kind == b"D" else path):
                continue
            if kind == b"D":
                yield from self._missing_below(path)
            else:
                prefix = path + "/" if path else ""
                names = list(self._known.directory(self._root, path))
                yield from (prefix + name for name in names if self._is_gone(prefix + name, is_dir=False))

    def _missing_below(self, directory: str) -> Iterator[str]:
        if self._is_gone(directory, is_dir=True):
            yield from (key.path for key in self._known.under(self._root, directory))

    def _is_gone(self, path: str, is_dir: bool) -> bool:
        """Nothing of that kind lies there, or a rule leaves it out. When in doubt, no."""
        try:
            status = os.lstat(self._local(path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as exc:
            self._add_problem(path, exc)
            return False
        if stat.S_ISDIR(status.st_mode) != is_dir or self._rules.why_special(status) is not None:
            return True
        return self._rules.why_ignored(path, is_dir) is not None

    def _looks_unmounted(self, directory: str) -> bool:
        """An empty directory whose files lay on another file system than it does now, while it shares its parent's:
        a mount point below the root that lost its mount."""
        if not directory or self._options.accept_removals:
            return False
        try:
            with os.scandir(self._local(directory)) as entries:
                if next(entries, None) is not None:
                    return False
            here = os.lstat(self._local(directory)).st_dev
            above_it = os.lstat(self._local(parent_of(directory))).st_dev
        except OSError:
            return False
        before = self._known_device(directory)
        if here != above_it or before in (0, here):
            return False
        self._add_problem(directory, "is empty and looks like an unmounted mount point")
        return True

    def _known_device(self, directory: str) -> int:
        """The device of any file known below; 0 when there is none."""
        for key in self._known.under(self._root, directory):
            parent, _, name = key.path.rpartition("/")
            version = self._known.directory(self._root, parent).get(name)
            return version.device if version is not None else 0
        return 0

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
        priority = min(priority, self._options.priority)
        self._batch.append(FileEvent(PathKey(self._root, path), change, priority, version))

    def _take(self) -> list[FileEvent]:
        batch, self._batch = self._batch, []
        self._on_progress(self.summary)
        return batch

    def _count_ignored(self, why: str) -> None:
        if why not in self._ignored and len(self._ignored) >= MAX_REASONS:
            why = "other rules"
        self._ignored[why] = self._ignored.get(why, 0) + 1

    def _add_problem(self, path: str, error: OSError | str) -> None:
        reason = error if isinstance(error, str) else error.strerror or str(error)
        if path in self._problems:
            return
        self._problem_count += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems[path] = reason


def _note(noted: IO[bytes], kind: bytes, path: str) -> None:
    """Kind and path, ended by NUL: the one byte that no path holds."""
    noted.write(kind + os.fsencode(path) + b"\0")


def _read_notes(noted: IO[bytes]) -> Iterator[tuple[bytes, str]]:
    noted.seek(0)
    rest = b""
    while block := noted.read(1 << 16):
        *records, rest = (rest + block).split(b"\0")
        for record in records:
            yield record[:1], os.fsdecode(record[1:])
