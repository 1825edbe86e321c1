"""One object while somebody reads it: what is kept of it, what is on its way, and who brings it.

::

    Reading   bytes that somebody asked for: some in the cache, some on their way
    Content   all that is known of the object; shared by its readers
    Run       blocks in a row, by one request, which is gone on with while readers want what comes next

The invariants: a block is on its way once, whoever asks for it; and what cannot be kept on the disk is handed out all
the same.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field

from lakewatchd import errors
from lakewatchd.buckets.cache import BLOCK_BYTES, Cached, ObjectRef
from lakewatchd.buckets.line import Line

LINGER_S = 0.25
"""A request whose wanted blocks have come is kept open so long: to begin another costs server and network more."""
_LONGEST_GAP = 4096

Flight = Future[bytes | None]
"""A block on its way. Its result is None when it can be read from the cache, else the block itself."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes ``start`` to ``end`` of an object. ``flights``: its blocks that are not in the cache yet."""

    content: Content
    start: int
    end: int
    flights: dict[int, Flight]

    def result(self, timeout_s: float) -> bytes:
        """Waits for what is missing."""
        if self.start == self.end:
            return b""
        blocks = {block: result_of(flight, timeout_s, self.content.ref) for block, flight in self.flights.items()}
        if not any(blocks.values()):
            return self.content.kept.read(self.start, self.end - self.start)
        return b"".join(self._parts(blocks))

    def _parts(self, blocks: Mapping[int, bytes | None]) -> Iterator[bytes]:
        at = self.start
        while at < self.end:
            block, skip = divmod(at, BLOCK_BYTES)
            size = min(BLOCK_BYTES - skip, self.end - at)
            data = blocks.get(block)
            yield data[skip : skip + size] if data is not None else self.content.kept.read(at, size)
            at += size


@dataclass(eq=False, slots=True)
class Run:
    """``at``: the block that comes next; ``stop``: after the last that is wanted; ``end``: after the last that the
    request may bring."""

    at: int
    stop: int
    end: int


class Content:
    """One object, open. Lives until its last reader has gone and its last run has ended."""

    def __init__(self, ref: ObjectRef, line: Line, cached: Cached | None, memory: Memory) -> None:
        self.ref = ref
        self.line = line
        self.cached = cached
        self.blocks = -(-ref.size_bytes // BLOCK_BYTES)
        self.readers = 0
        """Counted by :class:`Objects`."""
        self._memory = memory
        self._flights: dict[int, Flight] = {}
        self._going_on: dict[int, Run] = {}
        """Runs by the block that they could go on with."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._holds = 1
        """Of all readers together, of each of their calls, and of each run."""

    @property
    def kept(self) -> Cached:
        if self.cached is None:
            raise errors.OutOfSpace(
                f"{self.ref.root}: no object can be kept on the disk", "make room below objects.cache_dir"
            )
        return self.cached

    def want(self, first: int, last: int, *, reach: int = 0, ahead: bool = False) -> dict[int, Flight]:
        """See to it that these blocks come; those that are not in the cache yet. ``ahead``: nobody waits for them.

        ``reach``: how many blocks from ``first`` on may be wanted later, so that one request does for all.
        """
        wanted: dict[int, Flight] = {}
        begun: list[Run] = []
        with self._lock:
            for block in range(first, min(last, self.blocks)):
                if self.cached is not None and self.cached.has(block):
                    continue
                flight = self._flights.get(block) or self._memory.get(self.ref, block)
                if flight is None:
                    flight = self._flights[block] = Future()
                    flight.set_running_or_notify_cancel()  # who waits may go, but not take it away from others
                    self._plan(block, min(first + reach, self.blocks), begun)
                wanted[block] = flight
            for run in begun:
                if run.stop == run.end:
                    del self._going_on[run.stop]
            self._holds += len(begun)
            self._changed.notify_all()
        for run in begun:
            self.line.submit(functools.partial(self._fetch, run), functools.partial(self._give_up, run), ahead=ahead)
        return wanted

    def _plan(self, block: int, end: int, begun: list[Run]) -> None:
        """Have a run bring this block: the one that ends before it, or a new one."""
        run = self._going_on.get(block)
        if run is None or (self.line.is_crowded and run not in begun):  # others are to have their turn
            run = Run(block, block, end)
            begun.append(run)
        else:
            del self._going_on[block]
        run.stop = block + 1
        run.end = max(run.end, run.stop)
        if run.stop < run.end or run in begun:
            self._going_on[run.stop] = run

    def must_keep(self, block: int, data: memoryview) -> None:
        try:
            self.kept.keep(block, data, must=True)
        except OSError as exc:
            raise errors.OutOfSpace(
                f"{self.ref.root}: an object cannot be kept: {exc.strerror}", "make room below objects.cache_dir"
            ) from exc

    def stream(self, sink: Callable[[memoryview], None]) -> None:
        keeps = self.cached is not None and self.cached.fits
        block = 0
        while block < self.blocks:
            if self.cached is not None and self.cached.has(block):
                sink(memoryview(self.cached.read(block * BLOCK_BYTES, BLOCK_BYTES)))
                block += 1
                continue
            for block, data in self._arriving(range(block, self._gap_end(block))):  # noqa: B020 (goes on after it)
                if keeps and self.cached is not None:
                    self.cached.keep(block, data)
                sink(data)
            block += 1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """It stays open meanwhile, even if its reader closes it. Raises ValueError when it has been closed."""
        with self._lock:
            if not self._holds:
                raise ValueError("read after close")
            self._holds += 1
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        with self._lock:
            self._holds -= 1
            is_last = self._holds == 0
        if is_last and self.cached is not None:
            self.cached.close()

    def _gap_end(self, block: int) -> int:
        """The next block that is there, or the end."""
        most = min(block + _LONGEST_GAP, self.blocks)
        if self.cached is None:
            return most
        return next((at for at in range(block + 1, most) if self.cached.has(at)), most)

    def _fetch(self, run: Run) -> None:
        """In a thread: bring these blocks."""
        problem: BaseException = errors.TimedOut(f"{self.ref.root}: the reader has gone")
        try:
            for block, data in self._arriving(range(run.at, run.end)):
                is_kept = self.cached is not None and self.cached.keep(block, data)
                self._bring(run, None if is_kept else bytes(data))
                if not self._goes_on(run):
                    break
        except BaseException as exc:
            problem = exc
        self._give_up(run, problem)

    def _bring(self, run: Run, data: bytes | None) -> None:
        with self._lock:
            flight = self._flights.pop(run.at)
            if data is not None:
                self._memory.add(self.ref, run.at, flight)
            run.at += 1
        flight.set_result(data)

    def _goes_on(self, run: Run) -> bool:
        """Whether more of it is wanted, or soon will be."""
        with self._changed:
            if run.at == run.stop < run.end and not self.line.is_crowded:
                self._changed.wait_for(lambda: run.at < run.stop, LINGER_S)
            goes_on = run.at < run.stop and self.readers > 0
            if not goes_on:  # who wants more while its request is being closed has to begin another
                self._leave(run)
            return goes_on

    def _give_up(self, run: Run, problem: BaseException | None = None) -> None:
        """Nothing more of it will come. The last that is done for a run."""
        with self._lock:
            self._leave(run)
            flights = [self._flights.pop(block) for block in range(run.at, run.stop)]
        for flight in flights:
            flight.set_exception(problem or errors.RootAway(f"{self.ref.root}: it is not read any more"))
        self.release()

    def _leave(self, run: Run) -> None:
        """Nobody goes on with it any more. Under the lock."""
        if self._going_on.get(run.stop) is run:
            del self._going_on[run.stop]

    def _arriving(self, run: range) -> Iterator[tuple[int, memoryview]]:
        """Whole blocks, by one request. What a ``memoryview`` shows is valid until the next."""
        start, end = run.start * BLOCK_BYTES, min(run.stop * BLOCK_BYTES, self.ref.size_bytes)
        block = run.start
        with self.line.asking() as bucket:
            pieces = bucket.read(
                self.ref.key,
                start,
                end - start,
                etag=self.ref.etag,
                size_bytes=self.ref.size_bytes,
                modified_ns=self.ref.modified_ns,
            )
            for data in _cut(pieces, start, end):
                self.line.answers()
                yield block, data
                block += 1
        if block < run.stop:
            raise errors.TimedOut(f"{self.ref.root}: an answer ended early")


def _cut(pieces: Iterable[bytes], start: int, end: int) -> Iterator[memoryview]:
    """Pieces of any size, which begin at a block, as blocks; the last of an object is shorter. No more than ``end``."""
    buffer, filled = bytearray(BLOCK_BYTES), 0
    for piece in pieces:
        data = memoryview(piece)
        while data and start < end:
            wanted = min(BLOCK_BYTES, end - start)
            if not filled and len(data) >= wanted:
                yield data[:wanted]
                data = data[wanted:]
            else:
                taken = min(wanted - filled, len(data))
                buffer[filled : filled + taken] = data[:taken]
                data, filled = data[taken:], filled + taken
                if filled < wanted:
                    continue
                yield memoryview(buffer)[:wanted]
                filled = 0
            start += wanted


def result_of(flight: Flight, timeout_s: float, ref: ObjectRef) -> bytes | None:
    """Raises what went wrong with it, and ``TimedOut``."""
    try:
        return flight.result(timeout_s)
    except NotYet:
        raise errors.TimedOut(f"{ref.root}: the bucket does not answer in time") from None


@dataclass(slots=True)
class Memory:
    """The last blocks that could not be kept on the disk, of all objects together. Thread-safe."""

    limit_bytes: int
    _flights: OrderedDict[tuple[ObjectRef, int], Flight] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, ref: ObjectRef, block: int) -> Flight | None:
        with self._lock:
            flight = self._flights.get((ref, block))
            if flight is not None:
                self._flights.move_to_end((ref, block))
            return flight

    def add(self, ref: ObjectRef, block: int, flight: Flight) -> None:
        with self._lock:
            self._flights[ref, block] = flight
            while len(self._flights) * BLOCK_BYTES > self.limit_bytes:
                self._flights.popitem(last=False)
