"""Wait until a path is quiet: merge its changes, look at it twice, let it pass once nothing moves any more.

::

    add ──► WATCHED ── first look ──► ARMED ── quiet for the wait, second look ──► due
               ▲                        │ size or mtime moved: look again after the wait
               └── another change ──────┘

The wait is ``settle_s`` once the writer has closed the file, ``settle_open_s`` before. Removals wait twice
``settle_s`` and come after the additions of their round, so that a move is seen as its new place first.
What is quiet waits for those of its companions (:mod:`lakewatchd.sources.companions`) that are not, for at most
``settle_group_s``; then all that wait pass together, sidecars first.
Waiting is measured by the monotonic clock: no mtime, however wrong, makes a file starve.

No I/O but the injected ``look``. The invariant: of every path added, the last change comes out, or ``DIRTY`` for
a directory above it, or it is still counted by ``stats``.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.clock import Clock
from lakewatchd.core.companions import group_of
from lakewatchd.core.event import Change, FileEvent, merge
from lakewatchd.sources.coalesce import DirtySet, above, combine, parent_of
from lakewatchd.sources.companions import Groups

Look = Callable[[PathKey], Version | None]
"""What lies there: None for nothing. An ``OSError`` means it cannot be told, and the path passes as it is."""


@dataclass(frozen=True, slots=True)
class SettleStats:
    settling: int
    """Paths that are not quiet yet."""
    oldest_s: float
    """For how long the oldest of them has been waiting."""
    collapsed: int
    """Paths that were told of their directory because there were too many, since the start."""


@dataclass(slots=True)
class _Entry:
    event: FileEvent
    ticket: int
    """The number of the first change that has not come out yet."""
    since: float
    due_at: float
    look: Version | None = None
    is_armed: bool = False
    group: str | None = None
    held_until: float | None = None
    """It was quiet and began to wait for its companions: not longer than this, however often it changes meanwhile."""


class Settler:
    """For one root. Not thread-safe: one owner calls all of it."""

    def __init__(self, root: str, config: WatchConfig, look: Look, clock: Clock, limit: int | None = None) -> None:
        self._root = root
        self._config = config
        self._look = look
        self._clock = clock
        self._limit = max(2, limit or config.buffer_events)
        self._entries: dict[PathKey, _Entry] = {}
        self._leaving: dict[PathKey, _Entry] = {}
        self._heap: list[tuple[float, int, PathKey]] = []
        self._dirty: dict[str, _Entry] = {}
        self._leaving_dirty: set[str] = set()
        self._groups = Groups()
        self._tickets = itertools.count(1)
        self._last_ticket = 0
        self._collapsed = 0

    def add(self, event: FileEvent) -> None:
        """A change. It restarts the wait of its path, but not of a directory: a busy one would never be scanned."""
        now = self._clock.monotonic()
        self._last_ticket = ticket = next(self._tickets)
        if event.change is Change.DIRTY:
            self._add_dirty(event, ticket, now)
            return
        entry = self._entries.get(event.key)
        due_at = now + 2 * self._config.settle_s if event.change is Change.REMOVED else now
        if entry is None:
            entry = self._entries[event.key] = _Entry(event, ticket, now, due_at, group=group_of(event.key.path))
            heapq.heappush(self._heap, (due_at, ticket, event.key))
        else:
            entry.event, entry.is_armed = combine(entry.event, event), False
            if due_at < entry.due_at:
                heapq.heappush(self._heap, (due_at, ticket, event.key))
            entry.due_at = due_at
        self._stir(entry)
        if len(self._entries) + len(self._dirty) > self._limit:
            self._collapse(now)

    def waiting_s(self, key: PathKey) -> float | None:
        """For how long a change of the path has been waiting, here or for :meth:`delivered`; None if none is.

        From any thread.
        """
        entry = self._entries.get(key) or self._leaving.get(key)
        return None if entry is None else self._clock.monotonic() - entry.since

    def is_dirty(self, path: str) -> bool:
        """Whether a directory above the path will be told as dirty, or waits for :meth:`delivered`. From any thread."""
        return any(directory in self._dirty or directory in self._leaving_dirty for directory in above(path))

    def due(self, now: float | None = None) -> list[FileEvent]:
        """What is quiet at ``now`` (monotonic): additions, then removals, then directories to scan.

        Calls ``look`` once for each path whose time has come, so it may block as long as that does.
        """
        now = self._clock.monotonic() if now is None else now
        passed: list[FileEvent] = []
        again: list[tuple[float, int, PathKey]] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, key = heapq.heappop(self._heap)
            entry = self._entries.get(key)
            if entry is None:
                continue
            if entry.due_at <= now:
                event = self._judge(entry, now)
                passed += self._with_companions(entry, event, now) if event is not None else []
                if key not in self._entries:
                    continue
            again.append((entry.due_at, entry.ticket, key))
        for item in again:  # not before the loop has ended: a wait of zero would keep it going
            heapq.heappush(self._heap, item)
        self._shrink_heap()
        passed.sort(key=lambda event: event.change is Change.REMOVED)
        return passed + self._due_dirty(now)

    def delivered(self) -> None:
        """What came out of :meth:`due` is where it cannot be lost: it waits no more."""
        self._leaving.clear()
        self._leaving_dirty.clear()

    def next_due(self) -> float | None:
        """When to call :meth:`due` again (monotonic); None when nothing waits."""
        times = [entry.due_at for entry in self._dirty.values()]
        if self._heap:
            times.append(self._heap[0][0])
        return min(times, default=None)

    @property
    def last_ticket(self) -> int:
        """The number of the last change added. It has come out once :meth:`is_past` says so."""
        return self._last_ticket

    def is_past(self, ticket: int) -> bool:
        """All changes up to ``ticket`` came out."""
        entries = itertools.chain(self._entries.values(), self._dirty.values())
        return all(entry.ticket > ticket for entry in entries)

    @property
    def stats(self) -> SettleStats:
        oldest = min((entry.since for entry in self._entries.values()), default=None)
        age = 0.0 if oldest is None else self._clock.monotonic() - oldest
        return SettleStats(len(self._entries), age, self._collapsed)

    def __len__(self) -> int:
        return len(self._entries) + len(self._dirty)

    # --- one path ------------------------------------------------------------------------------------------

    def _judge(self, entry: _Entry, now: float) -> FileEvent | None:
        """The event if its path is quiet, else None with the next look arranged."""
        event = entry.event
        try:
            found = self._look(event.key)
        except OSError:
            return event  # whoever handles it finds out why, and says so
        if found is None and event.change is Change.REMOVED:
            return event
        if found is None:  # perhaps in the middle of being replaced: wait as for any removal
            entry.event = FileEvent(event.key, Change.REMOVED, event.priority)
            entry.due_at, entry.is_armed = now + 2 * self._config.settle_s, False
            self._stir(entry)
            return None
        if event.change is Change.REMOVED:  # it is there again, and nobody told us how
            entry.event = event = FileEvent(event.key, Change.MODIFIED, event.priority, found, is_closed=False)
        if entry.is_armed and _same(entry.look, found):
            return FileEvent(event.key, event.change, event.priority, found, event.is_closed)
        entry.look, entry.is_armed = found, True
        self._stir(entry)
        entry.due_at = now + (self._config.settle_s if event.is_closed else self._config.settle_open_s)
        return None

    # --- companions ------------------------------------------------------------------------------------------

    def _stir(self, entry: _Entry) -> None:
        """The path is not quiet: its companions wait for it, but not for a removal."""
        if entry.group is None:
            return
        key = entry.event.key
        if entry.event.change is not Change.REMOVED:
            self._groups.stir(entry.group, key)
            return
        self._groups.leave(entry.group, key)
        if not self._groups.stirs(entry.group):
            self._hurry(self._groups.quiet(entry.group))

    def _hurry(self, keys: Iterable[PathKey]) -> None:
        """What they waited for will not come."""
        now = self._clock.monotonic()
        for key in keys:
            entry = self._entries[key]
            entry.due_at = now
            heapq.heappush(self._heap, (now, entry.ticket, key))

    def _with_companions(self, entry: _Entry, event: FileEvent, now: float) -> list[FileEvent]:
        """The quiet path and all that waited for it; nothing while it waits itself."""
        entry.event = event
        if entry.group is None or event.change is Change.REMOVED:
            return [self._release(event.key)]
        self._groups.rest(entry.group, event.key)
        if entry.held_until is None:
            entry.held_until = now + self._config.settle_group_s
        if self._groups.stirs(entry.group) and now < entry.held_until:
            entry.due_at = entry.held_until
            return []
        return [self._release(key) for key in self._groups.take(entry.group)]

    def _release(self, key: PathKey) -> FileEvent:
        self._leaving[key] = self._entries[key]  # first: who asks meanwhile must find it in one of them
        return self._entries.pop(key).event

    def _shrink_heap(self) -> None:
        """Entries that were put off or collapsed leave old times behind; keep those from piling up."""
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [(entry.due_at, entry.ticket, key) for key, entry in self._entries.items()]
            heapq.heapify(self._heap)

    # --- directories ---------------------------------------------------------------------------------------

    def _add_dirty(self, event: FileEvent, ticket: int, now: float) -> None:
        path = event.key.path
        older = self._dirty.get(path)
        if older is not None:
            older.event = merge(older.event, event)
        else:
            self._dirty[path] = _Entry(event, ticket, now, now + self._config.settle_s)
        if len(self._entries) + len(self._dirty) > self._limit:
            self._collapse(now)

    def _due_dirty(self, now: float) -> list[FileEvent]:
        ripe = {path: entry for path, entry in self._dirty.items() if entry.due_at <= now}
        if not ripe:
            return []
        cover = DirtySet(self._limit)
        for path in ripe:
            cover.add(path)
        priority = min(entry.event.priority for entry in ripe.values())
        for path in [path for path in self._dirty if cover.covers(path)]:
            self._leaving_dirty.add(path)
            del self._dirty[path]  # a child that is not ripe yet is scanned with its parent all the same
        return [FileEvent(PathKey(self._root, path), Change.DIRTY, priority) for path in cover]

    def _collapse(self, now: float) -> None:
        """Too many paths: forget the files and remember their directories; too many of those: the root."""
        self._collapsed += len(self._entries)
        cover = DirtySet(self._limit // 2)
        for path in (*self._dirty, *(parent_of(key.path) for key in self._entries)):
            cover.add(path)
        entries = [*self._entries.values(), *self._dirty.values()]
        ticket = min(entry.ticket for entry in entries)
        since = min(entry.since for entry in entries)
        priority = min(entry.event.priority for entry in entries)
        due_at = min([now + self._config.settle_s, *(entry.due_at for entry in self._dirty.values())])
        self._dirty = {
            path: _Entry(FileEvent(PathKey(self._root, path), Change.DIRTY, priority), ticket, since, due_at)
            for path in cover
        }
        self._entries.clear()  # only now: who asks meanwhile must find each of them in one of the two
        self._groups.clear()
        self._heap.clear()


def _same(one: Version | None, other: Version) -> bool:
    return one is not None and (one.size_bytes, one.mtime_ns, one.inode) == (
        other.size_bytes,
        other.mtime_ns,
        other.inode,
    )
