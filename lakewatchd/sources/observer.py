"""watchdog's Observer: the portable way, and the last.

It watches the whole tree by itself, ignored directories included, in queues without a bound, and it says neither which
directories it could not watch nor that the kernel's queue ran over. So it is made safe from outside: a watch of our
own beside its, in the same queue, hears of an overflow; a directory that we may not read is counted; a thread that ends
ends the watch; and as long as this tier is in use, :attr:`ObserverWatcher.problem` says what it cannot promise.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

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
from watchdog.observers import Observer
from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, WatchDescriptor

from lakewatchd.core.asset import PathKey
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.errors import LakewatchError
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root
from lakewatchd.sources.watcher import Tier, WatchProblem

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

STOP_S = 5.0
MAX_UNREADABLE = 100_000
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
        self._overflow = _Overflow(self._on_overflow)
        self._covered: set[str] = set()
        self._unreadable: set[str] = set()
        self._overflows = 0

    def start(self) -> None:
        observer = Observer()
        try:
            observer.schedule(self, self._base, recursive=True, event_filter=WANTED)
            observer.start()
            self._overflow.start()
            if not InotifyFD.get_instance().is_alive():
                raise OSError("watchdog's reader has ended, and it has only one")
        except OSError as exc:
            with contextlib.suppress(RuntimeError):  # not started
                observer.stop()
            raise LakewatchError(f"changes cannot be watched: {exc.strerror or exc}") from exc
        self._observer = observer

    def stop(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            self._overflow.stop()
            observer.stop()
            observer.join(STOP_S)

    def cover(self, path: str) -> bool:
        if not path:
            self._unreadable.clear()
            self._covered.clear()
        if os.access(f"{self._base}/{path}", os.R_OK | os.X_OK):
            self._covered.add(path)
            self._unreadable.discard(path)
            return True
        is_there = os.path.lexists(f"{self._base}/{path}")
        if is_there and len(self._unreadable) < MAX_UNREADABLE:
            self._unreadable.add(path)
        return not is_there

    def prune(self) -> None:
        """Nothing: watchdog takes its own watches off."""

    def mark(self, on_passed: Callable[[], object]) -> bool:
        return False  # its queues keep no common order

    @property
    def is_alive(self) -> bool:
        observer = self._observer
        threads = [] if observer is None else [observer, *observer.emitters, InotifyFD.get_instance()]
        return bool(threads) and all(thread.is_alive() for thread in threads)

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
        if self._unreadable:
            return WatchProblem(f"{len(self._unreadable):,} directories are not watched: Permission denied")
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
    """A callback of our own in the queue that watchdog shares between its observers: the only one told of a loss."""

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        self.on_queue_overflow = on_overflow
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._wd: WatchDescriptor | None = None

    def start(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lakewatchd-")
        where = os.fsencode(self._directory.name)
        self._wd = InotifyFD.get_instance().add_callback(where, InotifyConstants.IN_MOVE_SELF, self, self._id)

    def stop(self) -> None:
        if self._wd is not None:
            InotifyFD.get_instance().remove_callbacks([(self._wd, self._id)])
        if self._directory is not None:
            self._directory.cleanup()

    def on_event(self, event: InotifyEvent) -> None: ...

    def on_watch_deleted(self, wd: WatchDescriptor) -> None: ...

    @property
    def _id(self) -> CallbackId:
        return CallbackId(id(self))


def _inside(path: bytes | str, base: str) -> str | None:
    """Relative to the root; None when there is none, or it lies outside."""
    text = os.fsdecode(path)
    if text == base:
        return ""
    return text[len(base) + 1 :] if text.startswith(base + "/") else None
