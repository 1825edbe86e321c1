"""Adapters between rooms that do not know each other. No policy lives here."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from lakewatchd.buckets.cache import ObjectCache
from lakewatchd.buckets.client import Bucket
from lakewatchd.config import Config
from lakewatchd.core.asset import Agreement, DirectoryDigest, Occurrence, PathKey, Version
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import JobSpec
from lakewatchd.core.pulse import Pulse
from lakewatchd.core.visit import Visit
from lakewatchd.queue.database import Database
from lakewatchd.queue.polled import PollStore
from lakewatchd.queue.report import QueueReader
from lakewatchd.queue.seen import SeenStore
from lakewatchd.sources.bucket.source import BucketSource
from lakewatchd.sources.source import Source
from lakewatchd.stages import ingest

P = ParamSpec("P")
T = TypeVar("T")

STUCK_S = 300.0
"""A call to the queue waits for those before it and for its disk; after this long it will never return."""


class QueueThread:
    """The one thread that touches the queue database."""

    def __init__(self, clock: Clock) -> None:
        self.pulse = Pulse("the queue", STUCK_S, clock)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="queue")

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self.pulse.beat():
            return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))

    def wait(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For other threads than the event loop's: the call, done. Raises ``RuntimeError`` after :meth:`close`."""
        return self._executor.submit(call, *args, **kwargs).result()

    def close(self) -> None:
        self._executor.shutdown(wait=True)


class KnownPlaces:
    """``stages.base.Known`` over the queue's seen table."""

    def __init__(self, seen: SeenStore, thread: QueueThread) -> None:
        self._seen = seen
        self._thread = thread

    async def at(self, key: PathKey) -> Occurrence | None:
        return await self._thread(self._seen.get, key)

    async def twin(self, root: str, version: Version) -> Occurrence | None:
        return await self._thread(self._seen.by_version, root, version)


class ScanPast:
    """``sources.known.Known`` and ``ScanMemory`` over the queue's tables, for scan threads: they read through a
    connection of their own, and write through the queue's thread."""

    def __init__(self, path: Path, seen: SeenStore, thread: QueueThread, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._local = threading.local()
        self._writer = seen
        self._thread = thread

    @property
    def _database(self) -> Database:
        if not hasattr(self._local, "database"):
            self._local.database = Database(self._path, readonly=True)
        database: Database = self._local.database
        return database

    @property
    def _seen(self) -> SeenStore:
        return SeenStore(self._database)

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        return {name: version for name, (version, _asset) in self._seen.directory(root, dir).items()}

    def versions(self, root: str, paths: Sequence[str]) -> Mapping[str, Version]:
        return self._seen.versions(root, paths)

    def subdirectories(self, root: str, dir: str) -> set[str]:
        return self._seen.subdirectories(root, dir)

    def under(self, root: str, dir: str) -> Iterator[PathKey]:
        return self._seen.under(root, dir)

    def count(self, root: str) -> int:
        return self._seen.count(root)

    def digests(self, root: str, parent: str) -> Mapping[str, DirectoryDigest]:
        return self._seen.digests(root, parent)

    def agree(self, root: str, found: Sequence[Agreement]) -> int:
        return self._thread.wait(self._writer.agree, root, found)

    def elsewhere(self, root: str, path: str, version: Version) -> list[str]:
        return self._seen.elsewhere(PathKey(root, path), version)

    def is_queued(self, root: str, path: str) -> bool:
        queue = QueueReader(self._database, self._clock)
        return queue.is_pending(ingest.NAME, PathKey(root, path).occurrence_id)

    def identity(self, root: str) -> str | None:
        return self._seen.root_state(root)

    def keep_identity(self, root: str, identity: str) -> None:
        self._thread.wait(self._writer.set_root_state, root, identity)


class PollPlaces:
    """``sources.polling.PollMemory`` over the queue's poll table, for threads: everything goes through the queue's."""

    def __init__(self, polled: PollStore, thread: QueueThread) -> None:
        self._polled = polled
        self._thread = thread

    def add(self, root: str, visits: Iterable[Visit]) -> None:
        self._thread.wait(self._polled.add, root, visits)

    def update(self, root: str, visits: Iterable[Visit]) -> None:
        self._thread.wait(self._polled.update, root, visits)

    def due(self, root: str, now: float, every_s: float, limit: int) -> Sequence[Visit]:
        return self._thread.wait(self._polled.due, root, now, every_s, limit)

    def next_due(self, root: str) -> float | None:
        return self._thread.wait(self._polled.next_due, root)

    def holds(self, root: str, directory: str) -> bool:
        return self._thread.wait(self._polled.holds, root, directory)

    def size(self, root: str) -> tuple[int, int]:
        return self._thread.wait(self._polled.size, root)

    def forget(self, root: str, directory: str = "") -> None:
        self._thread.wait(self._polled.forget, root, directory)


class SourceBuckets(Mapping[str, Bucket]):
    """The buckets that are watched now, by the name of their root."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def __getitem__(self, root: str) -> Bucket:
        source = self._sources[root]
        if not isinstance(source, BucketSource):
            raise KeyError(root)
        return source.bucket

    def __iter__(self) -> Iterator[str]:
        return (name for name, source in self._sources.items() if isinstance(source, BucketSource))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def object_cache(config: Config) -> ObjectCache | None:
    """Where the bytes of buckets are; None without a bucket. Also where nothing is to be kept: decoders read there.

    Reads and writes files.
    """
    return ObjectCache.of(config) if config.buckets else None


def jobs(events: Sequence[FileEvent]) -> list[JobSpec]:
    """The work an event means. Directories are the sources' business: they were scanned already."""
    return [ingest.spec(e.key, e.priority, e.version) for e in events if e.change is not Change.DIRTY]


def own_places(config: Config) -> frozenset[tuple[int, int]]:
    """(device, inode) of what is ours: never indexed, should it lie below a root after all."""
    found = set[tuple[int, int]]()
    for place in (config.daemon.state_dir, config.daemon.runtime_dir, config.cache_dir, config.view.mountpoint):
        with contextlib.suppress(OSError):  # not there, or the mount of a view that was killed
            stat = place.stat()
            found.add((stat.st_dev, stat.st_ino))
    return frozenset(found)
