"""Reading objects of buckets behind the view: as :mod:`lakewatchd.views.mounted.originals` does it for files.

The lake says which content lies under a key, and that is what a reader gets, or an error: the bucket is asked for it by
its etag, and not at all for what the cache holds. The invariant: nothing here waits for the network on the event loop,
and nobody waits long for a bucket that is not there.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lakewatchd import errors
from lakewatchd.buckets.cache import ObjectRef
from lakewatchd.buckets.client import ObjectChanged
from lakewatchd.buckets.content import Flight
from lakewatchd.buckets.keys import key_of
from lakewatchd.buckets.line import PATIENCE
from lakewatchd.buckets.reader import Objects, OpenObject
from lakewatchd.config import BucketConfig
from lakewatchd.core.asset import Version

log = logging.getLogger(__name__)

SOON_S = 0.7
"""Who has waited so long has it looked into whether anybody is there at all."""


class Place(Protocol):
    """Where to read, and which content should lie there."""

    @property
    def root(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def etag(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ObjectOriginal:
    """An open object. ``version`` is what the lake says of it."""

    buckets: Buckets
    opened: OpenObject
    version: Version

    @property
    def is_at_hand(self) -> bool:
        return True

    @property
    def descriptor(self) -> None:
        return None

    def read_at_once(self, size: int, offset: int) -> None:
        """The cache is on a disk, and may belong to a bucket that is away."""

    async def read(self, size: int, offset: int) -> bytes:
        """Raises OSError: ``ESTALE`` when another content lies there now, ``EIO`` when it cannot be had."""
        reading = self.opened.ask(size, offset)
        try:
            if reading.flights:
                await self._arrival(reading.flights.values())
            return reading.result(0)
        except ObjectChanged as exc:
            raise OSError(errno.ESTALE, "another content lies there now") from exc
        except errors.NotReadable as exc:
            raise PermissionError(errno.EACCES, exc.message) from exc
        except errors.LakewatchError as exc:
            self.buckets.say(self.opened.ref.root, exc)
            raise OSError(errno.EIO, exc.message) from exc

    async def _arrival(self, flights: Collection[Flight]) -> None:
        coming = [asyncio.wrap_future(flight) for flight in flights]
        for one in coming:
            one.add_done_callback(_look_at)
        _, late = await asyncio.wait(coming, timeout=SOON_S)
        if not late:
            return
        if await asyncio.to_thread(self.opened.is_there):
            await asyncio.wait(late, timeout=self.buckets.objects.config.timeout_s * PATIENCE)

    async def close(self) -> None:
        self.opened.close()

    def drop(self) -> None:
        self.opened.close()


def _look_at(done: asyncio.Future[bytes | None]) -> None:
    """An exception that nobody looks at is complained of, and it is raised from the flight itself."""
    if not done.cancelled():
        done.exception()


@dataclass(frozen=True, slots=True)
class Buckets:
    """``settings`` by name of the root; ``objects`` opens what lies there."""

    settings: Mapping[str, BucketConfig]
    objects: Objects
    _told: dict[str, str] = field(default_factory=dict)

    def origin(self, place: Place) -> bytes:
        """``s3://bucket/key``"""
        return os.fsencode(f"s3://{self.settings[place.root].bucket}/{self._key(place)}")

    async def open(self, place: Place) -> ObjectOriginal:
        """Not before its first byte is here: so it is not opened in vain, and another place can be tried.

        Raises as :meth:`ObjectOriginal.read` does, and FileNotFoundError.
        """
        ref = ObjectRef(place.root, self._key(place), place.size_bytes, place.etag, place.mtime_ns)
        version = Version(place.size_bytes, place.mtime_ns, 0, etag=place.etag)
        original = ObjectOriginal(self, self.objects.open(ref), version)
        try:
            await original.read(1, 0)
        except BaseException:
            original.drop()
            raise
        return original

    def say(self, root: str, problem: errors.LakewatchError) -> None:
        """In the log, once for all that fails of the same."""
        if self._told.get(root) != problem.message:
            hint = f" ({problem.hint})" if problem.hint else ""
            log.warning("%s%s", problem.message, hint, extra={"root": root})
        self._told[root] = problem.message

    def _key(self, place: Place) -> str:
        return self.settings[place.root].prefix + key_of(place.path)
