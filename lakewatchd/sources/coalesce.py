"""Bounded memory for any flood of changes: what does not fit is told of its directory instead.

Threads that see changes put them here, one task takes them out. Waiting until a path is quiet is in ``settle``.

The invariant: every change put in comes out as an event for its path, or as ``DIRTY`` for a directory above it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lakewatchd.core.asset import PathKey
from lakewatchd.core.event import Change, FileEvent, merge


def parent_of(path: str) -> str:
    """The directory that holds ``path``; "" holds all."""
    return path.rpartition("/")[0]


def above(path: str) -> Iterator[str]:
    """``path`` itself, then every directory above it, up to and including ""."""
    yield path
    while path:
        path = parent_of(path)
        yield path


def combine(older: FileEvent, newer: FileEvent) -> FileEvent:
    """:func:`merge`, but news of a closed file's attributes, or of a scan, do not open it again."""
    merged = merge(older, newer)
    stays_closed = older.is_closed and newer.change is Change.MODIFIED
    return replace(merged, is_closed=True) if stays_closed and not merged.is_closed else merged


class DirtySet:
    """The fewest directories that cover all that were added, at most ``limit``: more become the whole root."""

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._dirs: dict[str, None] = {}

    def add(self, directory: str) -> None:
        if self.covers(directory):
            return
        self._dirs[directory] = None  # children stay until they are asked for: looking for them here would be slow
        if len(self._dirs) > self._limit:
            self._dirs = {"": None}

    def covers(self, path: str) -> bool:
        return bool(self._dirs) and any(directory in self._dirs for directory in above(path))

    def __len__(self) -> int:
        return len(self._dirs)

    def __iter__(self) -> Iterator[str]:
        return (directory for directory in self._dirs if not directory or not self.covers(parent_of(directory)))


class Buffer:
    """Changes of one root between the threads that see them and the task that settles them.

    ``on_wake`` is called, in the thread that puts, when the first change enters the empty buffer.
    """

    def __init__(self, root: str, limit: int, on_wake: Callable[[], None] = lambda: None) -> None:
        self._root = root
        self._limit = max(2, limit)
        self._on_wake = on_wake
        self._lock = threading.Lock()
        self._files: dict[str, FileEvent] = {}
        self._dirty = DirtySet(self._limit // 2)
        self._leaving = self._files, self._dirty
        self._seen = 0
        self._removals = 0
        self._collapsed = 0

    def add(self, event: FileEvent) -> None:
        """Never blocks for long and never fails: safe in any thread."""
        self.add_all((event,))

    def add_all(self, events: Sequence[FileEvent]) -> None:
        """As :meth:`add` for each, at one stroke."""
        if not events:
            return
        with self._lock:
            self._seen += len(events)
            was_empty = not self._files and not self._dirty
            for event in events:
                self._removals += event.change is Change.REMOVED
                self._put(event)
        if was_empty:
            self._on_wake()

    def drain(self) -> list[FileEvent]:
        """All that came in since the last drain: files in the order they were first seen, then directories.

        :meth:`holds` speaks of it until :meth:`taken`.
        """
        with self._lock:
            self._leaving = files, dirty = self._files, self._dirty
            self._files, self._dirty = {}, DirtySet(self._limit // 2)
        return list(files.values()) + [FileEvent(PathKey(self._root, d), Change.DIRTY) for d in dirty]

    def taken(self) -> None:
        """What was drained can be asked for elsewhere now."""
        with self._lock:
            self._leaving = {}, DirtySet(1)

    def holds(self, path: str) -> bool:
        """Whether a change of the path, or of a directory above it, waits here."""
        with self._lock:
            here = (self._files, self._dirty), self._leaving
            return any(path in files or dirty.covers(path) for files, dirty in here)

    @property
    def seen(self) -> int:
        """Changes put in since the start."""
        return self._seen

    @property
    def removals(self) -> int:
        """How many of these told of one file that is gone."""
        return self._removals

    @property
    def collapsed(self) -> int:
        """Changes that were told of their directory because of a flood, since the start."""
        return self._collapsed

    def __len__(self) -> int:
        return len(self._files) + len(self._dirty)

    def _put(self, event: FileEvent) -> None:
        path = event.key.path
        if event.change is Change.DIRTY:
            self._dirty.add(path)
        elif self._dirty.covers(path):
            self._collapsed += 1
        else:
            older = self._files.get(path)
            self._files[path] = event if older is None else combine(older, event)
        if len(self) > self._limit:
            self._collapse()

    def _collapse(self) -> None:
        self._collapsed += len(self._files)
        for path in self._files:
            self._dirty.add(parent_of(path))
        self._files.clear()
