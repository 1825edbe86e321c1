"""A rescan of a bucket: its listing, page by page, compared with what is known, and the difference as events.

Memory is some bytes for each key, whatever their order and however flat the bucket: see ``listed``. What is known and
was not listed comes out last. Runs in a thread; blocks as long
as the client of the bucket lets it. Waiting, states and repeating are in ``source``.

The invariant: ``REMOVED`` is told only after a listing that came to its end. An event is a hint: an object may have
been put behind the back of the listing, and whoever handles the event looks again.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Protocol

from lakewatchd.buckets.client import ObjectInfo
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.sources.bucket.ahead import ahead
from lakewatchd.sources.bucket.listed import Listed
from lakewatchd.sources.bucket.names import Names
from lakewatchd.sources.bucket.told import Told
from lakewatchd.sources.known import Known, ScanOptions, ScanSummary
from lakewatchd.sources.missing import RemovalGuard

MAX_REASONS = 1000
MAX_UNTOLD = 1_000_000


class Listing(Protocol):
    def pages(self, *, prefix: str | None = None) -> Iterator[list[ObjectInfo]]: ...


def version_of(info: ObjectInfo, mark: int = 0) -> Version:
    """``mark`` stands for its labels; a listing does not tell of them."""
    return Version(info.size_bytes, info.modified_ns, 0, ctime_ns=mark, etag=info.etag)


class Comparer:
    """Makes comparisons of one bucket."""

    def __init__(
        self, root: str, bucket: Listing, names: Names, known: Known, told: Told, guard: RemovalGuard, clock: Clock
    ) -> None:
        self.root = root
        self.bucket = bucket
        self.names = names
        self.known = known
        self.told = told
        self.guard = guard
        self.clock = clock

    def compare(self, directory: str, options: ScanOptions, on_progress: Callable[[ScanSummary], None]) -> Comparison:
        """Of all keys below ``directory``, to be iterated once."""
        return Comparison(self, directory, options, on_progress)


class Comparison:
    """Iterate it for batches of events. Raises what the client raises; what came out before stands."""

    def __init__(
        self, comparer: Comparer, directory: str, options: ScanOptions, on_progress: Callable[[ScanSummary], None]
    ) -> None:
        self._comparer = comparer
        self._root = comparer.root
        self._names = comparer.names
        self._known = comparer.known
        self._told = comparer.told
        self._options = options
        self._on_progress = on_progress
        self._started = comparer.clock.monotonic()
        self._summary = ScanSummary(self._root, directory, comparer.clock.now())
        self._seen = self._added = self._modified = self._removed = 0
        self._ignored = Counter[str]()
        self._listed = Listed()
        self._likenesses = Listed()
        """Of the objects that are new: one that is missing may have been moved there."""
        self._has_past = False
        self.untold = array("q")
        """Hashes of the paths with a change that no event had spoken of, the first million."""
        self._is_stopped = False

    def stop(self) -> None:
        """Ends the iteration soon, from any thread; removals that were not told yet are not told."""
        self._is_stopped = True

    @property
    def summary(self) -> ScanSummary:
        """As far as it is now."""
        return replace(
            self._summary,
            duration_s=self._comparer.clock.monotonic() - self._started,
            seen=self._seen,
            added=self._added,
            modified=self._modified,
            removed=self._removed,
            ignored=tuple(self._ignored.items()),
        )

    def __iter__(self) -> Iterator[list[FileEvent]]:
        directory = self._summary.directory
        self._has_past = self._known.count(self._root) > 0
        for page in ahead(self._comparer.bucket.pages(prefix=self._names.prefix_of(directory))):
            if self._is_stopped:
                return
            yield self._compare(page)
            self._on_progress(self.summary)
        if self._has_past:
            yield from self._tell_removals()
        if not self._is_stopped:
            self._summary = replace(self._summary, is_finished=True)
        self._on_progress(self.summary)

    # --- what is listed --------------------------------------------------------------------------------------

    def _compare(self, page: Sequence[ObjectInfo]) -> list[FileEvent]:
        found = self._sort(page)
        known = self._known.versions(self._root, list(found)) if self._has_past else {}
        return [event for path, info in found.items() if (event := self._difference(path, info, known)) is not None]

    def _sort(self, page: Sequence[ObjectInfo]) -> dict[str, ObjectInfo]:
        """By path, without those that are left out."""
        found: dict[str, ObjectInfo] = {}
        for info in page:
            path = self._names.path(info.key)
            why = self._names.why_left_out(path, info.key, info.size_bytes) if path is not None else None
            if why is not None:
                self._count_ignored(why)
            elif path is not None:
                found[path] = info
        self._seen += len(found)
        self._listed.add(found)
        return found

    def _difference(self, path: str, info: ObjectInfo, known: Mapping[str, Version]) -> FileEvent | None:
        old, new = known.get(path), version_of(info)
        if old is None:
            self._added += 1
            if self._has_past:
                self._likenesses.add((_likeness(new),))
            return self._event(path, Change.ADDED, Priority.BACKFILL, new)
        if not old.is_like(new):
            self._modified += 1
            return self._event(path, Change.MODIFIED, Priority.CHANGED, new)
        return None

    # --- what is not ---------------------------------------------------------------------------------------

    def _tell_removals(self) -> Iterator[list[FileEvent]]:
        if not self._options.accept_removals:
            missing, lost = self._count_missing()
            if not missing:  # as nearly always: no second walk over all that is known
                return
            if lost and lost > self._allowed:
                self._summary = replace(self._summary, held_back=lost)
                return
        for paths in self._missing():
            self._removed += len(paths)
            yield [self._event(path, Change.REMOVED, Priority.CHANGED, None) for path in paths]
            self._on_progress(self.summary)

    def _count_missing(self) -> tuple[int, int]:
        """How many known objects were not listed, and how many of them are lost: not those that events spoke of, and
        those that lie elsewhere now."""
        missing = lost = 0
        for paths in self._missing():
            missing += len(paths)
            silent = [path for path in paths if not self._told.is_no_surprise(path)]
            versions = self._known.versions(self._root, silent)
            lost += self._likenesses.holds(map(_likeness, versions.values())).count(False)
        return missing, lost

    @property
    def _allowed(self) -> float:
        """How many may be lost without a person's word. Of a bucket that is empty all of a sudden none: it may be
        another one of that name."""
        if not self._summary.directory and not self._seen and not self._ignored:
            return 0
        return self._comparer.guard.allows(self._known.count(self._root)) - self._options.told

    def _missing(self) -> Iterator[list[str]]:
        """Known paths that were not listed. May be asked again, and then looks again."""
        known = self._known.under(self._root, self._summary.directory)
        return takewhile(lambda _: not self._is_stopped, self._listed.missing(key.path for key in known))

    # --- small things --------------------------------------------------------------------------------------

    def _event(self, path: str, change: Change, priority: Priority, version: Version | None) -> FileEvent:
        # That it was put says nothing of its removal. Of a change: its job may wait.
        is_told = self._told.is_no_surprise(path) if change is Change.REMOVED else path in self._told
        if not is_told and len(self.untold) < MAX_UNTOLD:
            self.untold.append(hash(path))
        return FileEvent(PathKey(self._root, path), change, min(priority, self._options.priority), version)

    def _count_ignored(self, why: str) -> None:
        is_new = why not in self._ignored and len(self._ignored) >= MAX_REASONS
        self._ignored["other rules" if is_new else why] += 1


def _likeness(version: Version) -> tuple[int, str]:
    """A copy has another time than its original, and mostly the same etag."""
    return version.size_bytes, version.etag
