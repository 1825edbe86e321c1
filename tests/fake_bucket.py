"""A bucket in memory that keeps the promises of a real one, and breaks down when it is told to."""

from __future__ import annotations

import errno
import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from lakewatchd import errors
from lakewatchd.buckets.cache import ObjectRef
from lakewatchd.buckets.client import ObjectChanged


def content_of(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class FakeBucket:
    """``pieces``: how many bytes come at a time."""

    name: str = "photos"
    objects: dict[str, bytes] = field(default_factory=dict)
    pieces: int = 100_000
    is_away: bool = False
    requests: list[tuple[str, int, int]] = field(default_factory=list)
    served_bytes: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    """Cleared: an answer stops after its first piece."""

    def __post_init__(self) -> None:
        self.gate.set()

    def put(self, key: str, content: bytes) -> ObjectRef:
        self.objects[key] = content
        return ObjectRef(self.name, key, len(content), self.etag(content), 1_700_000_000_000_000_000)

    @staticmethod
    def etag(content: bytes) -> str:
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def read(self, key: str, start: int, length: int, *, etag: str = "", **said: int | None) -> Iterator[bytes]:
        self.requests.append((key, start, length))
        content = self.objects.get(key)
        self._require()
        if content is None:
            raise FileNotFoundError(errno.ENOENT, "no such object")
        if etag != self.etag(content) or said.get("size_bytes") not in (None, len(content)):
            raise ObjectChanged(key)
        for at in range(start, start + length, self.pieces):
            piece = content[at : min(at + self.pieces, start + length)]
            self.served_bytes += len(piece)
            yield piece
            self.gate.wait(60)
            self._require()

    def _require(self) -> None:
        if self.is_away:
            raise errors.RootAway(f"{self.name}: does not answer", "start it")

    def accepts(self, within_s: float) -> bool:
        return not self.is_away
