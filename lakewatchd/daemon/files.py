"""The originals, by place: ``stages.base.Files`` over the roots that are watched.

::

    a file      hashed and decoded by a confined child, below its root, no link followed on the way
    an object   hashed here while it streams by, which fills the cache; decoded by a confined child that sees only the
                cache, and asks for what is not there yet

The invariant: what is said of content is said of the version that was asked for, or not at all.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from lakewatchd.buckets.cache import ObjectRef
from lakewatchd.buckets.client import ObjectChanged
from lakewatchd.buckets.reader import Objects
from lakewatchd.core.asset import Labels, PathKey, Version
from lakewatchd.core.content import DESCRIBE, Content, Identity, Sample, Sound, Task
from lakewatchd.daemon.threads import Threads
from lakewatchd.errors import Busy, RootAway, TimedOut
from lakewatchd.media.fingerprint import StreamHasher
from lakewatchd.media.kinds import kind_of
from lakewatchd.media.ranged import Provide
from lakewatchd.media.sandbox import Decoders
from lakewatchd.sources.bucket.source import BucketSource
from lakewatchd.sources.live import RootSource
from lakewatchd.sources.source import Source

WHOLE_BYTES = 64 << 20
"""An object up to this size is fetched whole before it is decoded: one request instead of one for each piece."""
SILENCE_S = 60.0
"""An object may take hours, but some of it has to come within this time."""

T = TypeVar("T")


class _Originals(Protocol):
    """The files of one root."""

    async def identify(self, path: str, version: Version) -> Identity | None: ...

    async def sample(self, path: str) -> Sample | None: ...

    async def describe(self, path: str, identity: Identity, task: Task) -> Content | None: ...

    async def sound(self, path: str, identity: Identity, start_s: float, end_s: float) -> Sound | None: ...

    async def labels(self, path: str) -> Labels | None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Crews:
    """The decoders for what is to be found soon, and those for what takes long."""

    quick: Decoders
    deep: Decoders

    def of(self, task: Task) -> Decoders:
        return self.quick if task == DESCRIBE else self.deep

    @property
    def stuck(self) -> Mapping[str, int]:
        """As :attr:`Decoders.stuck`, of both."""
        return Counter(self.quick.stuck) + Counter(self.deep.stuck)

    async def close(self) -> None:
        await asyncio.gather(self.quick.close(), self.deep.close())


class RootFiles:
    def __init__(self, sources: Mapping[str, Source], decoders: Crews, objects: Objects) -> None:
        self._sources = sources
        self._decoders = decoders
        self._objects = objects
        self._threads = Threads("objects")
        self._turns: dict[str, asyncio.Semaphore] = {}

    def why_ignored(self, key: PathKey) -> str | None:
        if key.root not in self._sources:
            return "its root is not configured any more"
        return self._source(key).why_ignored(key.path)

    async def look(self, key: PathKey) -> Version | None:
        return await self._source(key).look(key.path)

    async def identify(self, key: PathKey, version: Version) -> Identity | None:
        return await self._originals(key).identify(key.path, version)

    async def sample(self, key: PathKey) -> Sample | None:
        return await self._originals(key).sample(key.path)

    async def describe(self, key: PathKey, identity: Identity, task: Task = DESCRIBE) -> Content | None:
        return await self._originals(key).describe(key.path, identity, task)

    async def sound(self, key: PathKey, identity: Identity, start_s: float, end_s: float) -> Sound | None:
        return await self._originals(key).sound(key.path, identity, start_s, end_s)

    async def labels(self, key: PathKey) -> Labels | None:
        return await self._originals(key).labels(key.path)

    def _source(self, key: PathKey) -> Source:
        source = self._sources.get(key.root)
        if source is None:
            raise RootAway(f"root {key.root!r} is not configured any more", "its files are taken out of the lake")
        return source

    def _originals(self, key: PathKey) -> _Originals:
        source = self._source(key)
        if isinstance(source, BucketSource):
            turns = self._turns.setdefault(key.root, asyncio.Semaphore(self._objects.config.connections))
            return _Bucket(source, self._decoders, self._objects, self._threads, turns)
        assert isinstance(source, RootSource)
        return _Directory(source, self._decoders)


@dataclasses.dataclass(frozen=True, slots=True)
class _Directory:
    source: RootSource
    decoders: Crews

    async def identify(self, path: str, version: Version) -> Identity | None:
        return await self.decoders.quick.identify(path, root=self._root(path))

    async def sample(self, path: str) -> Sample | None:
        return await self.decoders.quick.sample(path, root=self._root(path))

    async def describe(self, path: str, identity: Identity, task: Task) -> Content | None:
        # Without a name: what a name says belongs to the place and is read by publish, not kept with the content.
        return await self.decoders.of(task).describe(path, identity, "", root=self._root(path), task=task)

    async def sound(self, path: str, identity: Identity, start_s: float, end_s: float) -> Sound | None:
        return await self.decoders.deep.sound(path, identity, start_s, end_s, root=self._root(path))

    async def labels(self, path: str) -> Labels | None:
        return None

    def _root(self, path: str) -> str:
        """The directory of the root. Raises ``NotReadable`` if the place would lie outside of it."""
        self.source.local_path(path)
        return str(self.source.root.path)


@dataclasses.dataclass(frozen=True, slots=True)
class _Bucket:
    source: BucketSource
    decoders: Crews
    objects: Objects
    threads: Threads
    turns: asyncio.Semaphore
    """Of those that are read whole. Many more jobs run than there are connections, and one that waited for these would
    give up after a while, until it is parked for nothing that is wrong with it."""

    async def identify(self, path: str, version: Version) -> Identity | None:
        hasher = StreamHasher()
        try:
            async with self.turns:
                await self._stream(self._ref(path, version), hasher)
        except ObjectChanged:
            now = await self.source.look(path)
            if now is not None and now.is_like(version):
                raise Busy("the bucket says of one object that it changed and that it did not") from None
            return None
        digest = hasher.digest()
        mime, kind = kind_of(digest.head, path)
        return Identity(digest.hex, version, kind, mime)

    async def sample(self, path: str) -> Sample | None:
        return None

    async def describe(self, path: str, identity: Identity, task: Task) -> Content | None:
        def read(name: str, folder: str, provide: Provide) -> Awaitable[Content | None]:
            decoders = self.decoders.of(task)
            return decoders.describe(name, identity, "", root=folder, task=task, provide=provide)

        return await self._decode(path, identity, read)

    async def sound(self, path: str, identity: Identity, start_s: float, end_s: float) -> Sound | None:
        def read(name: str, folder: str, provide: Provide) -> Awaitable[Sound | None]:
            return self.decoders.deep.sound(name, identity, start_s, end_s, root=folder, provide=provide)

        return await self._decode(path, identity, read)

    async def _decode(
        self, path: str, identity: Identity, read: Callable[[str, str, Provide], Awaitable[T | None]]
    ) -> T | None:
        """What ``read`` makes of the cached object: given its name, its directory, and what fetches the rest of it."""
        opened = await self.threads.run(lambda: self.objects.open(self._ref(path, identity.version)))

        async def provide(start: int, end: int) -> None:
            await self.threads.run(lambda: opened.ensure(start, end))

        try:
            if opened.ref.size_bytes <= WHOLE_BYTES:
                await provide(0, opened.ref.size_bytes)
            return await read(opened.path.name, str(opened.path.parent), provide)
        except ObjectChanged:
            return None
        finally:
            await asyncio.to_thread(opened.close)

    async def labels(self, path: str) -> Labels | None:
        return await self.source.labels(path)

    def _ref(self, path: str, version: Version) -> ObjectRef:
        key = self.source.key(path)
        return ObjectRef(self.source.name, key, version.size_bytes, version.etag, version.mtime_ns)

    async def _stream(self, ref: ObjectRef, hasher: StreamHasher) -> None:
        """Hash all of it. Raises ``TimedOut`` when nothing comes any more, however slowly it came before."""
        is_over = threading.Event()

        def take(piece: memoryview) -> None:
            if is_over.is_set():
                raise TimedOut("nobody waits for it any more")
            hasher.update(piece)

        def read() -> None:
            with self.objects.open(ref) as opened:
                opened.stream(take)

        reading = asyncio.create_task(self.threads.run(read))
        try:
            while True:
                before = hasher.size_bytes
                done, _ = await asyncio.wait({reading}, timeout=SILENCE_S)
                if done:
                    return reading.result()
                if hasher.size_bytes == before:
                    raise TimedOut(f"nothing of it came for {SILENCE_S:g} s, after {before} of {ref.size_bytes} bytes")
        finally:
            is_over.set()
            reading.cancel()
