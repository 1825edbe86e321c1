"""Reading objects of buckets: from the cache, and what is not there from the bucket, a little ahead of who reads on.

::

    OpenObject    one reader: where it is, and how far ahead of it to ask
        │ ask(size, offset) -> Reading
    Content       one object, shared by its readers (:mod:`lakewatchd.buckets.content`)
        │
    Line          one bucket (:mod:`lakewatchd.buckets.line`)

The invariant: all bytes of one :class:`OpenObject` are of the content its reference names, or it raises.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from lakewatchd.buckets.cache import BLOCK_BYTES, Cached, ObjectCache, ObjectRef
from lakewatchd.buckets.content import Content, Memory, Reading, result_of
from lakewatchd.buckets.line import PATIENCE, Line, Readable
from lakewatchd.config import ObjectsConfig

log = logging.getLogger(__name__)

SMALL_BLOCKS = 4
"""An object of no more is fetched by one request, whatever is read of it."""

_FIRST_WINDOW = 2
_NEAR_BYTES = 1 << 20
"""The kernel asks ahead too, from several threads: what comes a little out of order still is a reader that goes on."""
_REACH = 8
"""A request may go on for so many windows."""
_STEP_BLOCKS = 32
_MEMORY_BYTES = 64 << 20


class Objects:
    """Opens objects. ``buckets`` by name of their root; may change. Thread-safe."""

    def __init__(self, buckets: Mapping[str, Readable], cache: ObjectCache | None, config: ObjectsConfig) -> None:
        self.buckets = buckets
        self.cache = cache
        self.config = config
        self.memory = Memory(max(_MEMORY_BYTES, 4 * config.read_ahead_mb << 20))
        self._lines: dict[str, Line] = {}
        self._contents: dict[ObjectRef, Content] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._told = ""

    def open(self, ref: ObjectRef) -> OpenObject:
        """Asks nobody whether the object is still there: the first byte that has to be fetched tells.

        Raises FileNotFoundError when there is no such root.
        """
        with self._lock:
            if self._is_closed or ref.root not in self.buckets:
                raise FileNotFoundError(errno.ENOENT, f"no root {ref.root} that is a bucket")
            content = self._contents.get(ref)
            if content is None or content.line is not self._line(ref.root):
                content = Content(ref, self._line(ref.root), self._cached(ref), self.memory)
                self._contents[ref] = content
            content.readers += 1
        return OpenObject(self, content)

    def leave(self, content: Content) -> None:
        """A reader has gone."""
        with self._lock:
            content.readers -= 1
            if content.readers:
                return
            if self._contents.get(content.ref) is content:
                del self._contents[content.ref]
        content.release()

    def close(self) -> None:
        """What is under way ends at its next byte, or by its own deadline; nothing new begins."""
        with self._lock:
            self._is_closed = True
            lines = list(self._lines.values())
        for line in lines:
            line.close()

    def _line(self, root: str) -> Line:
        line = self._lines.get(root)
        if line is None or line.bucket is not self.buckets[root]:
            if line is not None:
                line.close()
            line = self._lines[root] = Line(root, self.buckets[root], self.config)
        return line

    def _cached(self, ref: ObjectRef) -> Cached | None:
        try:
            return self.cache.open(ref) if self.cache is not None else None
        except OSError as exc:
            if str(exc.strerror) != self._told:
                log.warning("objects are read without being kept: %s", exc.strerror)
            self._told = str(exc.strerror)
            return None


class OpenObject:
    """One reader of one object; close it. Thread-safe: closed while another thread reads, it ends with that."""

    def __init__(self, objects: Objects, content: Content) -> None:
        self.ref = content.ref
        self._objects = objects
        self._content = content
        self._lock = threading.Lock()
        self._next = -1
        self._asked = 0
        self._window = 0
        self._is_closed = False

    @property
    def path(self) -> Path:
        """Where :meth:`ensure` puts bytes: a sparse file of the size of the object. Or ``OutOfSpace``."""
        return self._content.kept.path

    @property
    def is_whole(self) -> bool:
        """All bytes are in :attr:`path`, fetched or looked at since it was opened."""
        return self._content.cached is not None and self._content.cached.is_whole

    def is_there(self) -> bool:
        """For who has waited long: whether the server of the bucket takes connections. Blocks for a second."""
        return self._content.line.is_there()

    def ask(self, size: int, offset: int) -> Reading:
        """Begin to fetch what is missing of ``size`` bytes at ``offset``, and more if the reader goes on like this.

        Does not wait for the network. The answer is to be taken before :meth:`close`.
        """
        start, end = max(0, offset), min(offset + size, self.ref.size_bytes)
        if start >= end:
            return Reading(self._content, 0, 0, {})
        first, last = start // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        if self._content.blocks <= SMALL_BLOCKS:
            everything = self._content.want(0, self._content.blocks)
            return Reading(self._content, start, end, {n: f for n, f in everything.items() if first <= n < last})
        cached = self._content.cached
        is_there = cached is not None and cached.is_sure(first, last)
        reading = Reading(self._content, start, end, {} if is_there else self._content.want(first, last))
        self._ask_ahead(start, end)
        return reading

    def pread(self, size: int, offset: int) -> bytes:
        """Fewer bytes only at the end. Raises what :meth:`Readable.read` does, and ``TimedOut``."""
        with self._content.held():
            return self.ask(size, offset).result(self._objects.config.timeout_s * PATIENCE)

    def ensure(self, start: int, end: int) -> None:
        """Those bytes are in :attr:`path` when this returns; the cache makes room for them whatever its limit is.

        Raises what :meth:`pread` does, and ``OutOfSpace``.
        """
        first, last = max(0, start) // BLOCK_BYTES, min(-(-end // BLOCK_BYTES), self._content.blocks)
        timeout_s = self._objects.config.timeout_s * PATIENCE
        with self._content.held():
            for at in range(first, last, _STEP_BLOCKS):
                flights = self._content.want(at, min(at + _STEP_BLOCKS, last), reach=last - at)
                self._content.want(at + _STEP_BLOCKS, min(at + 2 * _STEP_BLOCKS, last), ahead=True)
                for block, flight in flights.items():
                    data = result_of(flight, timeout_s, self.ref)
                    if data is not None:
                        self._content.must_keep(block, memoryview(data))

    def stream(self, sink: Callable[[memoryview], None]) -> None:
        """Hand every byte to ``sink``, once and in order, and keep them if there is room for the whole object.

        What a ``memoryview`` shows is valid during the call only. Raises what :meth:`pread` and ``sink`` do.
        """
        with self._content.held():
            self._content.stream(sink)

    def close(self) -> None:
        with self._lock:
            is_closed, self._is_closed = self._is_closed, True
        if not is_closed:
            self._objects.leave(self._content)

    def __enter__(self) -> OpenObject:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask_ahead(self, start: int, end: int) -> None:
        """The window doubles while a reader goes on, and is shut when it jumps."""
        most = (self._objects.config.read_ahead_mb << 20) // BLOCK_BYTES
        with self._lock:
            goes_on = self._next >= 0 and abs(start - self._next) <= _NEAR_BYTES
            self._next = max(end, self._next) if goes_on else end
            at = -(-self._next // BLOCK_BYTES)
            if not goes_on:
                self._window, self._asked = 0, at
                return
            if self._asked - at > self._window // 2:
                return
            self._window = min(most, max(_FIRST_WINDOW, 2 * self._window))
            first, self._asked = max(at, self._asked), max(at + self._window, self._asked)
            last, reach = self._asked, _REACH * self._window
        self._content.want(first, last, reach=reach, ahead=True)
