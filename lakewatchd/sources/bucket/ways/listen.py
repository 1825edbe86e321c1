"""Events by MinIO's notification stream: one request whose answer goes on for ever. No set-up on the server.

The server drops what does not leave it at once, and says nothing of it. So a thread does nothing but read and parse,
up to :data:`AHEAD` records ahead of the queue; then the server has to wait. There is no replay: each connection begins
with a gap.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from lakewatchd.buckets.records import MAX_BYTES, Encoding, Parsed, parse
from lakewatchd.config import BucketConfig
from lakewatchd.core.clock import Clock
from lakewatchd.sources.bucket.way import Deliver, OnGap
from lakewatchd.sources.bucket.ways.reception import Reception
from lakewatchd.sources.bucket.ways.remote import BATCH, Refused, Remote
from lakewatchd.sources.worker import Worker

SILENCE_S = 30.0
"""The server sends a blank every half second while nothing happens: this long without one, and it is gone."""

AHEAD = 10_000

_EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")


class Stream(Protocol):
    """An answer that goes on; what :meth:`lakewatchd.buckets.client.Bucket.stream` gives."""

    def pieces(self) -> Iterator[bytes]: ...

    def shut(self) -> None:
        """From another thread: the pieces end."""

    def close(self) -> None: ...


class Streams(Protocol):
    """The bucket, as far as it is needed here. Raises as its requests do."""

    def stream(self, query: list[tuple[str, str]], timeout_s: float) -> Stream: ...


class Listen(Remote):
    def __init__(self, settings: BucketConfig, bucket: Streams, deliver: Deliver, on_gap: OnGap, clock: Clock) -> None:
        self._bucket = bucket
        self._query = [("prefix", settings.prefix), ("suffix", ""), *(("events", name) for name in _EVENTS)]
        reception = Reception("listen", settings.endpoint.rstrip("/"), settings.bucket, settings.prefix, clock)
        super().__init__(settings.name, reception, deliver, on_gap)

    async def _session(self) -> None:
        handover = _Handover(asyncio.get_running_loop())
        worker = Worker(f"listen-{self._root}")
        reading = asyncio.ensure_future(worker.run(self._read, handover))
        reading.add_done_callback(handover.end)
        try:
            while batch := await handover.take():
                if not self.state.is_connected:
                    self._stands("the server tells nothing of before")
                await self._take(batch)
            await reading
        finally:
            handover.end()
            worker.close()

    def _read(self, handover: _Handover) -> None:
        """In a thread of its own, which ends with the stream. Raises what ended it."""
        stream = self._bucket.stream(self._query, SILENCE_S)
        try:
            if not handover.begin(stream):
                return
            for line in lines(stream.pieces()):
                if line.startswith(b"<"):  # a listing: the server does not know the question and took it for another
                    raise Refused("the server has no stream of notifications", "set listen = false for this root")
                handover.put(parse(line, Encoding.PLAIN))
        finally:
            stream.shut()  # else to close it is to wait for more of it
            stream.close()


class _Handover:
    """From the thread that reads to the event loop. Bounded: :meth:`put` waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news = asyncio.Event()
        self._changed = threading.Condition()
        """Guards the rest."""
        self._parts: deque[Parsed] = deque()
        self._records = 0
        self._stream: Stream | None = None
        self._has_ended = False

    # --- the thread's side -----------------------------------------------------------------------------------

    def begin(self, stream: Stream) -> bool:
        """The stream is open. Whether anybody still wants it."""
        with self._changed:
            self._stream = stream
        self.put(Parsed())
        return not self._has_ended

    def put(self, part: Parsed) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._records < AHEAD or self._has_ended)
            if not self._parts and not self._has_ended:
                self._loop.call_soon_threadsafe(self._news.set)
            self._parts.append(part)
            self._records += len(part.notices)

    # --- the loop's side -------------------------------------------------------------------------------------

    async def take(self) -> list[Parsed]:
        """What came, at least one; empty: it has ended."""
        while True:
            with self._changed:
                if self._parts:
                    batch = [self._parts.popleft() for _ in range(min(len(self._parts), BATCH))]
                    self._records -= sum(len(part.notices) for part in batch)
                    self._changed.notify()
                    return batch
                if self._has_ended:
                    return []
                self._news.clear()
            await self._news.wait()

    def end(self, reading: asyncio.Future[None] | None = None) -> None:
        """Nobody reads, or nobody wants it, any more."""
        with self._changed:
            self._has_ended = True
            self._changed.notify()
            if self._stream is not None:
                self._stream.shut()
        self._news.set()
        if reading is not None and not reading.cancelled():
            reading.exception()  # it is raised by who waits for it; nobody does who was cancelled


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines without what is blank before them. Of one that is longer than a payload may be, only that it was there."""
    line, is_too_long = bytearray(), False
    for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line += end
            if not is_too_long and (whole := bytes(line).strip()):
                yield whole
            line.clear()
            is_too_long = False
        line = bytearray((line + rest).lstrip())  # the blanks of a quiet week are no line
        if is_too_long:
            line.clear()
        elif len(line) > MAX_BYTES:
            is_too_long = True
            yield b"?"
            line.clear()
    if line:
        yield bytes(line)
