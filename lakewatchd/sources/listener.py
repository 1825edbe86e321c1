"""Listen to a queue of the kernel in a thread: names in directories in, events of one root out, into a bounded buffer.

::

    kernel ─► read ─► Heard: who changed in which directory ─► paths, rules ─► Buffer

inotify and fanotify differ in how a directory is watched and how an event is written down (:class:`KernelQueue`);
all the rest is here. What one read brings is merged by name before it becomes objects: events are hints, and the
settler looks at the disk. Waiting until a path is quiet is in ``settle``.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import threading
from collections.abc import Callable, Container, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lakewatchd import fanotify as fan  # its masks are those of inotify
from lakewatchd.core.asset import PathKey
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.sources.coalesce import Buffer, parent_of
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.places import Places
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scratch import Scratch
from lakewatchd.sources.unwatched import MAX_UNWATCHED, Unwatched
from lakewatchd.sources.watcher import Tier, WatchProblem

READ_BYTES = 64 << 10
REST_S = 0.01
"""After a read that emptied the queue: what comes meanwhile is read, and merged by the kernel, at one stroke."""
STOP_S = 5.0
UNMOUNT = 0x2000
SELF_GONE = fan.DELETE_SELF | fan.MOVE_SELF
CLOSED = fan.CLOSE_WRITE | fan.MOVED_TO
THERE = fan.CREATE | fan.CLOSE_WRITE | fan.MOVED_TO | fan.ATTRIB


@dataclass(slots=True)
class Heard:
    """What one read of the queue brought."""

    files: dict[Hashable, dict[bytes, int]] = field(default_factory=dict)
    """By directory and name: what happened, in any order."""
    directories: list[tuple[Hashable, bytes, int]] = field(default_factory=list)
    """Entries that are directories, in the kernel's order; no name for the watched directory itself."""
    ended: list[Hashable] = field(default_factory=list)
    """Watches that the kernel took away."""
    overflows: int = 0


class Unreadable(PermissionError):
    """A directory that may not be read. The kernel tells of it all the same, under this ``key``."""

    def __init__(self, key: Hashable, local: bytes) -> None:
        super().__init__(errno.EACCES, os.strerror(errno.EACCES), local)
        self.key = key


class KernelQueue(Protocol):
    """A queue of events behind a descriptor. Its owner closes it."""

    tier: Tier
    descriptor: int

    def watch(self, local: bytes) -> Hashable:
        """Tell changes in this directory from now on; the kernel's name for it. Raises ``OSError``."""

    def watch_top(self, local: bytes) -> None:
        """Tell also that the directory itself is moved or removed. Raises ``OSError``."""

    def watch_scratch(self, local: bytes) -> Hashable:
        """As :meth:`watch`, for a directory of our own that may lie anywhere."""

    def unwatch(self, keys: Iterable[Hashable]) -> None: ...

    def parse(self, data: bytes, wanted: Container[Hashable], scratch: Hashable) -> Heard:
        """Read events. Those of other directories than ``wanted`` and ``scratch`` may be left out."""

    def explain(self, error: OSError) -> str:
        """Why a directory is not watched, for a person."""

    def hint(self, error: OSError) -> str: ...

    def close(self) -> None: ...


class KernelWatcher:
    """A :class:`~lakewatchd.sources.watcher.Watcher` over an open queue, which it closes."""

    def __init__(
        self, root: Root, rules: IgnoreRules, buffer: Buffer, queue: KernelQueue, why_not: tuple[str, ...] = ()
    ) -> None:
        self.tier = queue.tier
        self.why_not = why_not
        self._root = root
        self._base = os.fsencode(root.path)
        self._rules = rules
        self._buffer = buffer
        self._queue = queue
        self._lock = threading.Lock()
        """Guards the places. Never held over a call that may hang."""
        self._watching = threading.Lock()
        """One scan at a time sets or takes off watches: a watch taken off is not one just set."""
        self._places = Places()
        self.unwatched = Unwatched()
        self._hint = ""
        self._overflows = 0
        self._thread = threading.Thread(target=self._run, name=f"{root.name}-{queue.tier}", daemon=True)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._is_stopping = False
        self._cookies: dict[bytes, Callable[[], object]] = {}
        self._cookie_numbers = itertools.count(1)
        self._scratch: Scratch | None = None
        self._scratch_key: Hashable = None

    def start(self) -> None:
        with contextlib.suppress(OSError):  # without it, barriers fall back to a scan
            self._scratch = Scratch()
            self._scratch_key = self._queue.watch_scratch(os.fsencode(self._scratch.path))
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, which waits for nothing but the kernel. Again does nothing."""
        with self._watching:
            if self._is_stopping:
                return
            self._is_stopping = True
            os.eventfd_write(self._stop, 1)
            if self._thread.is_alive():
                self._thread.join(STOP_S)
            self._queue.close()
            os.close(self._stop)
        if self._scratch is not None:
            self._scratch.close()

    def cover(self, path: str) -> bool:
        local = self._base + b"/" + os.fsencode(path or ".")  # the root itself may be reached through a link
        with self._watching:
            if self._is_stopping:
                return False
            try:
                key = self._queue.watch(local)
                if not path:
                    self._queue.watch_top(local)
            except (FileNotFoundError, NotADirectoryError):
                self.unwatched.remove(path)
                return True
            except OSError as exc:
                if isinstance(exc, Unreadable):
                    self._put(exc.key, path)  # to hear when it may be read
                self.unwatched.add(path, self._queue.explain(exc))
                self._hint = self._queue.hint(exc)
                return False
            self._put(key, path)
            self.unwatched.remove(path)
            return True

    def prune(self) -> None:
        with self._watching:
            with self._lock:
                lost = self._places.prune()
            if lost and not self._is_stopping:
                self._queue.unwatch(lost)

    def mark(self, on_passed: Callable[[], object]) -> bool:
        """A file touched in a directory of our own travels behind all changes through the same queue of the kernel."""
        if self._scratch is None or self._scratch_key is None or not self.is_alive:
            return False
        name = str(next(self._cookie_numbers))
        self._cookies[name.encode()] = on_passed
        cookie = Path(self._scratch.path, name)
        try:
            cookie.touch()
            cookie.unlink()
        except OSError:
            self._cookies.pop(name.encode(), None)
            return False
        return True

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and not self._is_stopping

    @property
    def watched(self) -> int:
        return len(self._places)

    @property
    def overflows(self) -> int:
        return self._overflows

    @property
    def problem(self) -> WatchProblem | None:
        if not self.is_alive and not self._is_stopping:
            return WatchProblem("the watch thread has ended; changes are found by rescans", "see the log")
        most = self.unwatched.most()
        if most is None:
            return None
        reason, count = most
        more = "" if len(self.unwatched) < MAX_UNWATCHED else " or more"
        return WatchProblem(
            f"{count:,}{more} directories are not watched: {reason}; rescans find their changes", self._hint
        )

    # --- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._listen()
        finally:  # an exception goes on to threading.excepthook, which logs it
            if not self._is_stopping:
                self._put_dirty("")

    def _listen(self) -> None:
        ready, stop = select.poll(), select.poll()
        ready.register(self._queue.descriptor, select.POLLIN)
        for poll in (ready, stop):
            poll.register(self._stop, select.POLLIN)
        while True:
            ready.poll()
            if self._is_stopping:
                return
            try:
                data = os.read(self._queue.descriptor, READ_BYTES)
            except BlockingIOError:
                continue
            self._handle(self._queue.parse(data, self._places, self._scratch_key))
            if len(data) < READ_BYTES // 2:
                stop.poll(REST_S * 1000)

    def _handle(self, heard: Heard) -> None:
        cookies = heard.files.pop(self._scratch_key, {})
        if heard.overflows:
            self._overflows += heard.overflows
            self._put_dirty("")
        with self._lock:
            places = [(path, names) for key, names in heard.files.items() for path in self._places.paths(key)]
            directories = [
                (path, os.fsdecode(name), mask)
                for key, name, mask in heard.directories
                for path in self._hear_directory(key, name, mask)
            ]
            for key in heard.ended:
                self._places.drop(key)
        for path, names in places:
            self._tell_files(path, names)
        for path, name, mask in directories:
            self._tell_directory(path, name, mask)
        for cookie in cookies:
            passed = self._cookies.pop(cookie, None)
            if passed is not None:
                passed()

    def _hear_directory(self, key: Hashable, name: bytes, mask: int) -> list[str]:
        paths = self._places.paths(key)
        if name and mask & (fan.MOVED_FROM | fan.DELETE):
            self._places.lose(key, os.fsdecode(name))
        return paths

    def _tell_files(self, directory: str, names: dict[bytes, int]) -> None:
        if directory in self.unwatched:
            return  # what we may not read, we do not listen to
        if directory and self._rules.why_ignored(directory, is_dir=True, cached=True) is not None:
            return  # by what scans have read: this thread must not wait for a disk
        rules = self._rules.within(directory, cached=True)
        events = []
        for raw, mask in names.items():
            name = os.fsdecode(raw)
            if name == self._rules.ignore_file:
                if mask != fan.CREATE:  # it is empty then; the close comes
                    self._put_dirty(directory)
            elif rules.why(name, False) is None:
                path = f"{directory}/{name}" if directory else name
                events.append(FileEvent(PathKey(self._root.name, path), _change(mask), is_closed=bool(mask & CLOSED)))
        self._buffer.add_all(events)

    def _tell_directory(self, directory: str, name: str, mask: int) -> None:
        if not name:
            if mask & UNMOUNT:
                self._put_dirty(parent_of(directory))
            elif not directory and mask & SELF_GONE:  # of others their parent tells
                self._put_dirty("")
            elif mask & fan.ATTRIB and directory in self.unwatched:
                self._put_dirty(directory)
            return
        path = f"{directory}/{name}" if directory else name
        # Other rights or times change nothing, but of a directory that we could not read
        is_news = mask & ~(fan.ATTRIB | fan.ONDIR) or path in self.unwatched
        if is_news and self._rules.why_ignored(path, is_dir=True, cached=True) is None:
            self._put_dirty(path)

    def _put_dirty(self, path: str) -> None:
        self._buffer.add(FileEvent(PathKey(self._root.name, path), Change.DIRTY))

    # --- watches (under ``_watching``) -------------------------------------------------------------------------

    def _put(self, key: Hashable, path: str) -> None:
        with self._lock:
            before = [was for was in self._places.paths(key) if was != path]
        gone = [was for was in before if not self._is_still_at(key, was)]
        with self._lock:
            self._places.put(key, path, gone)

    def _is_still_at(self, key: Hashable, path: str) -> bool:
        try:
            return self._queue.watch(self._base + b"/" + os.fsencode(path or ".")) == key
        except OSError:
            return False


def _change(mask: int) -> Change:
    """What is told of a name that had all of this happen to it. That it is there goes first: a look tells the rest."""
    if not mask & THERE:
        return Change.REMOVED
    return Change.ADDED if mask & (fan.CREATE | fan.MOVED_TO) else Change.MODIFIED
