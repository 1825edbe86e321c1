"""Hear of changes from the kernel: inotify through watchdog's thread, into a bounded buffer.

A directory is watched when the scan comes by (:meth:`InotifyWatcher.cover`), *before* it is listed: whatever is created
in between is seen by one of the two, ignored directories are never watched, and one walk does both. A new or moved
directory is told as ``DIRTY``, so that a scan covers it. Waiting until a path is quiet is in ``settle``.

``IN_MODIFY`` is not asked for: a writer that has not closed the file has not finished it, and one event per
``write`` would fill the kernel's queue with news of one large copy. Who never closes is found by the rescan.

The invariant: nothing the kernel lost stays silent. An overflow makes the root dirty; a directory that cannot be
watched, and a thread that died, are a :attr:`InotifyWatcher.problem`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
)

from lakewatchd.core.asset import PathKey
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.errors import LakewatchError
from lakewatchd.sources.coalesce import Buffer, parent_of
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root
from lakewatchd.sources.watcher import Tier, WatchProblem

STOP_S = 5.0
"""The thread may hang in a dead file system; it is then left behind."""
PROC = Path("/proc/sys/fs/inotify")
IN_UNMOUNT = InotifyConstants.IN_UNMOUNT
MASK = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)


def watch_budget() -> tuple[int, int]:
    """The kernel's limits for this user: (directories watched, inotify instances). 0 when unknown."""

    def limit(name: str) -> int:
        try:
            return int((PROC / name).read_text())
        except (OSError, ValueError):
            return 0

    return limit("max_user_watches"), limit("max_user_instances")


class _Inotify(InotifyFD):
    """watchdog's inotify thread. It may watch a directory twice, and it does not die in silence."""

    def __init__(self, on_death: Callable[[], None]) -> None:
        super().__init__()
        self._on_death = on_death

    def _add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        """As watchdog's, without its warning when the same directory is watched again, and without its entry for
        the descriptor -1 that it makes of a directory we may not read."""
        watch: Watch = self._get_or_create_watch(path, mask)
        if watch.wd == -1:
            self._watch_for_wd.pop(watch.wd, None)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        watch.callbacks[id_] = callback
        return watch.wd

    def run(self) -> None:
        try:
            super().run()
        finally:  # an exception goes on to threading.excepthook, which logs it
            if self.should_keep_running():
                self._on_death()


@dataclass(slots=True, eq=False)
class _Node:
    """A watched directory. Paths are made by climbing, so that a renamed tree costs nothing to take off."""

    wd: WatchDescriptor
    name: str
    parent: _Node | None
    children: dict[str, _Node] = field(default_factory=dict)
    is_lost: bool = False
    """Its place is not known: it was moved, and no scan has come by since."""

    def path(self) -> str | None:
        names: list[str] = []
        node: _Node | None = self
        while node is not None:
            if node.is_lost:
                return None
            if node.parent is not None:
                names.append(node.name)
            node = node.parent
        return "/".join(reversed(names))


class InotifyWatcher:
    """Watches the directories of one root. Call :meth:`start`, let a scan :meth:`cover`, then :meth:`stop`.

    Raises :class:`LakewatchError` from :meth:`start` when the kernel gives no inotify instance.
    """

    tier = Tier.INOTIFY

    def __init__(self, root: Root, rules: IgnoreRules, buffer: Buffer, why_not: tuple[str, ...] = ()) -> None:
        self.why_not = why_not
        self._root = root
        self._base = os.fsencode(root.path)
        self._rules = rules
        self._buffer = buffer
        self._lock = threading.Lock()
        self._nodes: dict[WatchDescriptor, _Node] = {}
        self._top: _Node | None = None
        self._inotify: _Inotify | None = None
        self._unwatched: dict[str, int] = {}
        self._overflows = 0
        self._is_dead = False
        self._cookies: dict[str, Callable[[], object]] = {}
        self._cookie_numbers = itertools.count(1)
        self._cookie_dir: tempfile.TemporaryDirectory[str] | None = None
        self._cookie_wd: WatchDescriptor | None = None

    def start(self) -> None:
        try:
            self._inotify = _Inotify(self._on_death)
        except OSError as exc:
            _, instances = watch_budget()
            raise LakewatchError(
                f"changes cannot be watched: {exc.strerror}",
                f"sudo sysctl fs.inotify.max_user_instances={max(512, instances * 2)}",
            ) from exc
        self._inotify.start()
        with contextlib.suppress(OSError):  # without it, barriers fall back to a scan
            self._cookie_dir = tempfile.TemporaryDirectory(prefix="lakewatchd-")
            self._cookie_wd = self._watch(os.fsencode(self._cookie_dir.name))

    def stop(self) -> None:
        """Ends the thread. Changes that it has not read are lost: scan after the next start."""
        with self._lock:
            inotify, self._inotify = self._inotify, None
        if inotify is not None:
            inotify.stop()
            inotify.join(STOP_S)
        if self._cookie_dir is not None:
            self._cookie_dir.cleanup()
            self._cookie_dir = None

    def cover(self, path: str) -> bool:
        """As :meth:`lakewatchd.sources.watcher.Watcher.cover`."""
        local = self._base + b"/" + os.fsencode(path or ".")  # the root itself may be reached through a link
        with self._lock:  # held until the node is there, so that no event meets a descriptor without a node
            if not path:
                self._unwatched.clear()  # a full scan comes by everywhere: count afresh
            try:
                wd = self._watch(local)
            except (FileNotFoundError, NotADirectoryError):
                return True
            except OSError as exc:
                self._count_unwatched(exc)
                return False
            self._place(wd, path)
            return True

    def prune(self) -> None:
        """Stop watching what was moved away and not found again. Safe at any time: a scan watches it again."""
        with self._lock:
            lost = [wd for wd, node in self._nodes.items() if node.path() is None]
            for wd in lost:
                del self._nodes[wd]
            if self._inotify is not None and lost:
                with contextlib.suppress(OSError):
                    self._inotify.remove_callbacks([(wd, self._id) for wd in lost])

    def mark(self, on_passed: Callable[[], object]) -> bool:
        """Call back, in the watch thread, once every change made until now is in the buffer.

        A file touched in a directory of our own travels behind them through the same queue of the kernel. False
        when that cannot be done.
        """
        if self._cookie_dir is None or self._cookie_wd is None or not self.is_alive:
            return False
        name = str(next(self._cookie_numbers))
        self._cookies[name] = on_passed
        cookie = Path(self._cookie_dir.name, name)
        try:
            cookie.touch()
            cookie.unlink()
        except OSError:
            self._cookies.pop(name, None)
            return False
        return True

    @property
    def is_alive(self) -> bool:
        return self._inotify is not None and self._inotify.is_alive() and not self._is_dead

    @property
    def watched(self) -> int:
        """Directories that are watched."""
        return len(self._nodes)

    @property
    def overflows(self) -> int:
        """How often the kernel's queue was full, since the start."""
        return self._overflows

    @property
    def problem(self) -> WatchProblem | None:
        if self._inotify is not None and not self.is_alive:
            return WatchProblem("the watch thread has ended; changes are found by rescans", "see the log")
        limited = self._unwatched.get("limit", 0)
        if limited:
            watches, _ = watch_budget()
            return WatchProblem(
                f"{limited:,} directories are not watched: the kernel allows {watches:,}; rescans find their changes",
                f"sudo sysctl fs.inotify.max_user_watches={max(524_288, watches * 2)}",
            )
        for reason, count in list(self._unwatched.items()):
            return WatchProblem(f"{count:,} directories are not watched ({reason}); rescans find their changes")
        return None

    # --- called by the watch thread ------------------------------------------------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        if event.wd == self._cookie_wd:
            passed = self._cookies.pop(os.fsdecode(event.name), None) if event.is_create else None
            if passed is not None:
                passed()
            return
        with self._lock:
            node = self._nodes.get(event.wd)
            directory = node.path() if node is not None else None
            if node is None or directory is None:
                return  # moved: a scan comes to its new place, if that is ours
            is_dir = bool(event.mask & InotifyConstants.IN_ISDIR)
            name = os.fsdecode(event.name)
            if is_dir and (event.is_moved_from or event.is_delete):
                self._lose(node, name)
        if not name:
            self._tell_self(event, directory)
        else:
            self._tell(event, directory, f"{directory}/{name}" if directory else name, is_dir)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        with self._lock:
            node = self._nodes.pop(wd, None)
            if node is not None and node.parent is not None and node.parent.children.get(node.name) is node:
                del node.parent.children[node.name]

    def on_queue_overflow(self) -> None:
        self._overflows += 1
        self._put("", Change.DIRTY)

    def _on_death(self) -> None:
        self._is_dead = True
        self._put("", Change.DIRTY)

    def _tell_self(self, event: InotifyEvent, directory: str) -> None:
        """Of a watched directory itself. Its parent tells the rest; the root has no parent that is watched."""
        if event.mask & IN_UNMOUNT:
            self._put(parent_of(directory), Change.DIRTY)
        elif not directory and (event.is_delete_self or event.is_move_self):
            self._put("", Change.DIRTY)

    def _tell(self, event: InotifyEvent, directory: str, path: str, is_dir: bool) -> None:
        name = path[len(directory) + 1 :] if directory else path
        if name == self._rules.ignore_file and not is_dir:
            if not event.is_create:  # it is empty then; the close comes
                self._put(directory, Change.DIRTY)
            return
        if self._rules.why_ignored(path, is_dir, cached=True) is not None:
            return  # by what scans have read: this thread must not wait for a disk
        if is_dir:
            if not event.is_attrib:
                self._put(path, Change.DIRTY)
        elif event.is_delete or event.is_moved_from:
            self._put(path, Change.REMOVED)
        elif event.is_create:
            self._put(path, Change.ADDED)
        elif event.is_moved_to:
            self._put(path, Change.ADDED, is_closed=True)
        else:
            self._put(path, Change.MODIFIED, is_closed=event.is_close_write)

    def _put(self, path: str, change: Change, is_closed: bool = False) -> None:
        self._buffer.add(FileEvent(PathKey(self._root.name, path), change, is_closed=is_closed))

    # --- the tree of watched directories (under the lock) -----------------------------------------------------

    @property
    def _id(self) -> CallbackId:
        return CallbackId(id(self))

    def _watch(self, local: bytes) -> WatchDescriptor:
        if self._inotify is None:
            raise OSError(errno.EBADF, "not started")
        return self._inotify.add_callback(local, MASK, self, self._id)

    def _place(self, wd: WatchDescriptor, path: str) -> None:
        """Put the node of ``wd`` where the directory is now. Its children follow it."""
        node = self._nodes.get(wd)
        if node is not None and node.path() == path:
            return
        parent = self._find(parent_of(path)) if path else None
        name = path.rpartition("/")[2]
        if node is None:
            node = self._nodes[wd] = _Node(wd, name, parent)
        elif node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]
        node.name, node.parent, node.is_lost = name, parent, False
        if not path:
            self._top = node
        elif parent is not None:
            parent.children[name] = node
        else:
            node.is_lost = True  # its parent could not be watched; the next full scan tries again

    def _find(self, path: str) -> _Node | None:
        node = self._top
        for name in path.split("/") if path else ():
            node = node.children.get(name) if node is not None else None
        return node

    def _lose(self, parent: _Node, name: str) -> None:
        node = parent.children.pop(name, None)
        if node is not None:
            node.is_lost = True

    def _count_unwatched(self, error: OSError) -> None:
        reason = "limit" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        self._unwatched[reason] = self._unwatched.get(reason, 0) + 1
