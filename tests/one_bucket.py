"""One bucket on its own: a source that runs, a bucket that does as it is told, and what stands for all that follows."""

# ruff: noqa: ASYNC110

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from lakewatchd.buckets.client import ObjectInfo
from lakewatchd.buckets.records import Notice
from lakewatchd.config import BucketConfig, ObjectsConfig, WatchConfig
from lakewatchd.core.asset import Version
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.status import WayState
from lakewatchd.errors import RootAway
from lakewatchd.sources.bucket.compare import version_of
from lakewatchd.sources.bucket.source import BucketSource
from lakewatchd.sources.bucket.way import Deliver, OnGap
from tests.one_root import Memory

SETTINGS = BucketConfig("b", "photos", "http://127.0.0.1:1")
QUICK: dict[str, Any] = {"away_s": 0.05, "present_s": 0.05, "connect_s": 0.1, "gap_s": 0.05, "late_s": 0.1}


class FakeBucket:
    """The face of ``buckets.client.Bucket`` that sources use, over a dict. ``away`` is why it does not answer."""

    def __init__(self, page: int = 1000) -> None:
        self.objects: dict[str, ObjectInfo] = {}
        self.label: dict[str, tuple[tuple[str, str], ...]] = {}
        self.away = ""
        self.listings = 0
        self.page = page
        self.rng: random.Random | None = None
        """Set: listings come in any order."""
        self.on_page: Callable[[int], None] = lambda number: None
        self._lock = threading.Lock()

    def put(self, key: str, content: bytes = b"x", at: int = 1_700_000_000) -> None:
        etag = hashlib.md5(content).hexdigest()
        with self._lock:
            self.objects[key] = ObjectInfo(key, len(content), etag, at * 10**9)

    def delete(self, key: str) -> None:
        with self._lock:
            self.objects.pop(key, None)

    def pages(self, *, prefix: str | None = None) -> Iterator[list[ObjectInfo]]:
        self.listings += 1
        with self._lock:
            keys = sorted(key for key in self.objects if key.startswith(prefix or ""))
        if self.rng:
            self.rng.shuffle(keys)
        for number, at in enumerate(range(0, len(keys), self.page)):
            self.on_page(number)
            self.require()
            with self._lock:
                yield [self.objects[key] for key in keys[at : at + self.page] if key in self.objects]

    def head(self, key: str) -> ObjectInfo | None:
        self.require()
        return self.objects.get(key)

    def tags(self, key: str) -> tuple[tuple[str, str], ...]:
        self.require()
        return self.label.get(key, ())

    def close(self) -> None:
        """There is nothing to close."""

    def require(self) -> None:
        if self.away:
            raise RootAway(f"root 'b' {self.away}", "wait")


class Lake(Memory):
    """Looks at the bucket for each event, as a handler does, and remembers what lies where."""

    def __init__(self, bucket: FakeBucket) -> None:
        super().__init__()
        self.bucket = bucket
        self.identities: dict[str, str] = {}
        self.pending: set[str] = set()
        self.is_slow = False
        """Jobs wait: nothing becomes known."""

    async def emit(self, events: Sequence[FileEvent]) -> None:
        self.events += events
        self.pending.update(event.key.path for event in events)
        if not self.is_slow:
            self.work()

    def work(self) -> None:
        from lakewatchd.buckets.keys import key_of

        while self.pending:
            path = self.pending.pop()
            info = self.bucket.objects.get(key_of(path))
            if info is None:
                self.files.pop(path, None)
            else:
                self.files[path] = version_of(info)

    def versions(self, root: str, paths: Sequence[str]) -> Mapping[str, Version]:
        files = self.files.copy()  # a thread asks, and what lies where changes meanwhile
        return {path: files[path] for path in paths if path in files}

    def identity(self, root: str) -> str | None:
        return self.identities.get(root)

    def keep_identity(self, root: str, identity: str) -> None:
        self.identities[root] = identity


class FakeWay:
    """A way in whose messages a test sends, and which a test connects."""

    name = "listen"

    def __init__(self, deliver: Deliver, on_gap: OnGap) -> None:
        self.deliver = deliver
        self.on_gap = on_gap
        self.state = WayState("listen")

    async def run(self) -> None:
        self.connect()
        await asyncio.get_running_loop().create_future()

    def connect(self) -> None:
        self.state = WayState("listen", is_connected=True, since=SystemClock().now())
        self.on_gap("connected")

    async def tell(self, change: Change, *keys: str) -> None:
        await self.deliver([Notice(SETTINGS.bucket, key, change) for key in keys])


class Late:
    """Stands for the time for which an event may be late: it is over when a test says so. With ``late_s=0``."""

    def __init__(self, source: BucketSource) -> None:
        self._count, self._waiting = source._rescans._count_missed, list[tuple[Any, ...]]()
        source._rescans._count_missed = lambda *what: self._waiting.append(what)  # type: ignore[method-assign]

    async def is_over(self, rescans: int) -> None:
        """Of so many rescans that ended since this was last asked; of the first there is, nothing is counted."""
        await until(lambda: len(self._waiting) >= rescans)
        while self._waiting:
            self._count(*self._waiting.pop(0))


@asynccontextmanager
async def alive(
    bucket: FakeBucket, lake: Lake, settings: BucketConfig = SETTINGS, watch: WatchConfig | None = None, **more: Any
) -> AsyncIterator[BucketSource]:
    source = BucketSource(
        settings, watch or WatchConfig(), ObjectsConfig(timeout_s=5), bucket, lake, lake.emit, SystemClock(),
        memory=lake, **{**QUICK, **more},
    )  # type: ignore[arg-type]  # fmt: skip
    task = asyncio.create_task(source.run())
    try:
        yield source
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], what: str = "") -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
