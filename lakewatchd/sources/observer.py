"""watchdog's Observer: the portable way, and the last.

It watches the whole tree by itself, ignored directories included, in queues without a bound, and it says neither which
directories it could not watch nor that the kernel's queue ran over. So it is made safe from outside: we own its reader,
and a watch of our own there hears of an overflow; a directory that we may not read is counted; a thread that ends
ends the watch; and as long as this tier is in use, :attr:`ObserverWatcher.problem` says what it cannot promise.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import DEFAULT_OBSERVER_TIMEOUT, BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, WatchDescriptor

from lakewatchd.core.asset import PathKey
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.errors import LakewatchError
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scratch import Scratch
from lakewatchd.sources.unwatched import Unwatched
from lakewatchd.sources.watcher import Tier, WatchProblem

STOP_S = 5.0
WANTED: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileClosedEvent, FileDeletedEvent, FileMovedEvent, DirCreatedEvent, DirDeletedEvent, DirMovedEvent
]  # fmt: skip
"""Its filter does not ask the kernel for changed rights and times alone: rescans find these."""


class ObserverWatcher(FileSystemEventHandler):
    """A :class:`~lakewatchd.sources.watcher.Watcher`. It has no barrier: a scan takes its place."""

    tier = Tier.WATCHDOG

    def __init__(self, root: Root, rules: IgnoreRules, buffer: Buffer, why_not: tuple[str, ...] = ()) -> None:
        self.why_not = why_not
        self._root = root
        self._base = os.fspath(root.path)
        self._rules = rules
        self._buffer = buffer
        self._observer: BaseObserver | None = None
        self._reader: InotifyFD | None = None
        self._scratch: Scratch | None = None
        self._covered: set[str] = set()
        self.unwatched = Unwatched()
        self._overflows = 0

    def start(self) -> None:
        try:
            reader = InotifyFD()
        except OSError as exc:
            raise LakewatchError(f"changes cannot be watched: {exc.strerror or exc}") from exc
        reader.start()
        observer = BaseObserver(InotifyEmitter, timeout=DEFAULT_OBSERVER_TIMEOUT, inotify_fd=reader)
        self._reader, self._observer = reader, observer
        self._scratch = Scratch()
        try:
            where, overflow = os.fsencode(self._scratch.path), _Overflow(self._on_overflow)
            reader.add_callback(where, InotifyConstants.IN_MOVE_SELF, overflow, CallbackId(id(overflow)))
            observer.schedule(self, self._base, recursive=True, event_filter=WANTED)
            observer.start()
        except OSError as exc:
            self.stop()
            raise LakewatchError(f"changes cannot be watched: {exc.strerror or exc}") from exc

    def stop(self) -> None:
        observer, self._observer = self._observer, None
        if observer is None or self._reader is None or self._scratch is None:
            return
        for thread in (observer, self._reader):
            thread.stop()
            if thread.ident is not None:
                thread.join(STOP_S)
        self._scratch.close()

    def cover(self, path: str) -> bool:
        is_readable = os.access(f"{self._base}/{path}", os.R_OK | os.X_OK)
        if is_readable or not os.path.lexists(f"{self._base}/{path}"):
            (self._covered.add if is_readable else self._covered.discard)(path)
            self.unwatched.remove(path)
            return True
        self._covered.discard(path)
        self.unwatched.add(path, "Permission denied")
        return False

    def prune(self) -> None:
        """Nothing: watchdog takes its own watches off."""

    def mark(self, on_passed: Callable[[], object]) -> bool:
        return False  # its queues keep no common order

    @property
    def is_alive(self) -> bool:
        observer = self._observer
        if observer is None or self._reader is None:
            return False
        return all(thread.is_alive() for thread in (observer, *observer.emitters, self._reader))

    @property
    def watched(self) -> int:
        return len(self._covered)

    @property
    def overflows(self) -> int:
        return self._overflows

    @property
    def problem(self) -> WatchProblem | None:
        if self._observer is not None and not self.is_alive:
            return WatchProblem("the watch thread has ended; changes are found by rescans", "see the log")
        if self.unwatched:
            return WatchProblem(f"{len(self.unwatched):,} directories are not watched: Permission denied")
        return WatchProblem("watchdog does not say what it misses; rescans find it", "let watch.watcher be auto")

    # --- called by watchdog's threads ----------------------------------------------------------------------

    def on_any_event(self, event: FileSystemEvent) -> None:
        source, target = _inside(event.src_path, self._base), _inside(event.dest_path, self._base)
        if source is not None:
            self._tell(source, event, is_target=False)
        if target is not None:
            self._tell(target, event, is_target=True)

    def _tell(self, path: str, event: FileSystemEvent, *, is_target: bool) -> None:
        directory, _, name = path.rpartition("/")
        if not event.is_directory and name == self._rules.ignore_file:
            self._put(directory, Change.DIRTY)
        elif not path or event.is_directory:
            self._put(path, Change.DIRTY)
        elif self._rules.why_ignored(path, cached=True) is not None:
            return
        elif isinstance(event, FileDeletedEvent | FileMovedEvent) and not is_target:
            self._put(path, Change.REMOVED)
        elif isinstance(event, FileCreatedEvent | FileMovedEvent):
            self._put(path, Change.ADDED, is_closed=is_target)
        else:
            self._put(path, Change.MODIFIED, is_closed=isinstance(event, FileClosedEvent))

    def _put(self, path: str, change: Change, is_closed: bool = False) -> None:
        if change is not Change.DIRTY or self._rules.why_ignored(path, is_dir=True, cached=True) is None:
            self._buffer.add(FileEvent(PathKey(self._root.name, path), change, is_closed=is_closed))

    def _on_overflow(self) -> None:
        self._overflows += 1
        self._put("", Change.DIRTY)


class _Overflow:
    """A callback beside watchdog's own: the reader tells each of a loss, and watchdog's keeps it to itself."""

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        self.on_queue_overflow = on_overflow

    def on_event(self, event: InotifyEvent) -> None: ...

    def on_watch_deleted(self, wd: WatchDescriptor) -> None: ...


def _inside(path: bytes | str, base: str) -> str | None:
    """Relative to the root; None when there is none, or it lies outside."""
    text = os.fsdecode(path)
    if text == base:
        return ""
    return text[len(base) + 1 :] if text.startswith(base + "/") else None
