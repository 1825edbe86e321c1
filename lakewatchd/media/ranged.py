"""Reading a file of which only pieces are there, such as the cached part of a large object in a bucket.

A decoder may read nothing but the cache, and knows best what it needs. So it reads a :class:`RangedFile`, which asks
the parent for blocks before it touches them; there a :class:`Supply` has them fetched. The invariant: no byte is read
that was not provided, so a hole never passes for zeros, and no block is asked for twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd import errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 256 << 10
"""What is asked for is a number of whole blocks, but for the last one of a file."""
AHEAD_BYTES = 1 << 20
"""At most so much is asked for at once, when reads follow each other."""

Need = Callable[[int, int], bool]
"""``(start, end)`` -> whether these bytes are there now: the child's question to its parent."""

Provide = Callable[[int, int], Awaitable[None]]
"""``(start, end)``: makes these bytes present, or raises why they cannot be had."""


class Exhausted(OSError):
    """More was read of the file than its reader allowed itself."""


class RangedFile(io.RawIOBase):
    """The child's end. It has no ``fileno``: libraries that would read on their own must come through here."""

    def __init__(self, fd: int, size_bytes: int, need: Need | None = None, *, at_most: int | None = None) -> None:
        """Without ``need``, all bytes are there. Not more than ``at_most`` of them are touched, in whole blocks: after
        that, reading raises :class:`Exhausted`. ``fd`` stays open."""
        self.size_bytes = size_bytes
        self.touched_bytes = 0
        self._fd, self._need = fd, need
        self._at_most = size_bytes if at_most is None else at_most
        self._present = bytearray(-(-size_bytes // BLOCK_BYTES))
        self._position, self._expected = 0, -1
        self._ahead_bytes = BLOCK_BYTES
        self.failure: OSError | None = None
        """Why something could not be read, whatever a library that read it made of that."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self.size_bytes)
        if end <= self._position:
            return 0
        self._require(self._position, end)
        try:
            count = os.preadv(self._fd, [view[: end - self._position]], self._position)
        except OSError as exc:
            self.failure = exc
            raise
        self._position = self._expected = self._position + count
        return count

    def _require(self, start: int, end: int) -> None:
        """Have the blocks between fetched, and where one read follows the other, some more."""
        follows = start == self._expected
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        while (missing := self._present.find(0, first, last + 1)) >= 0:
            self._ahead_bytes = min(2 * self._ahead_bytes, AHEAD_BYTES) if follows else BLOCK_BYTES
            present = self._present.find(1, missing)
            until = min(present if present >= 0 else len(self._present), missing + self._ahead_bytes // BLOCK_BYTES)
            self._fetch(missing, until)
            follows = True

    def _fetch(self, first: int, until: int) -> None:
        start, end = first * BLOCK_BYTES, min(until * BLOCK_BYTES, self.size_bytes)
        if self.touched_bytes + end - start > self._at_most:
            raise Exhausted(errno.EFBIG, f"more than {self._at_most} bytes of it would have to be read")
        if self.failure is None and self._need is not None and not self._need(start, end):
            self.failure = OSError(errno.EIO, "it cannot be fetched now")
        if self.failure is not None:  # for good: a library that swallows errors shall not wait for each of its reads
            raise self.failure
        self.touched_bytes += end - start
        self._present[first:until] = b"\1" * (until - first)


class Unsupplied(Exception):
    """A decoder did not get what it needed; ``why`` is what ``provide`` raised."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


@dataclass(slots=True)
class Supply:
    """The parent's end, for the calls of a decoder about one file, which may have taken it over."""

    provide: Provide
    size_bytes: int
    patience_s: float
    """How long one request may take."""
    asked_bytes: int = 0
    failure: Exception | None = None
    """What went wrong; whatever the decoder says after that is void."""

    async def answer(self, question: dict[str, object]) -> dict[str, object]:
        """To a decoder that asks: ``{"have": is it there now?}``."""
        if self.failure is None:
            try:
                await self._fetch(question)
            except Exception as exc:
                self.failure = exc
        return {"have": self.failure is None}

    @contextlib.contextmanager
    def for_one_call(self) -> Iterator[None]:
        """Around the call. Raises :class:`Unsupplied` instead of whatever it came to, if something was not there."""
        self.asked_bytes, self.failure = 0, None
        try:
            yield
        except errors.LakewatchError as exc:
            if self.failure is None:
                raise
            raise Unsupplied(self.failure) from exc
        if self.failure is not None:
            raise Unsupplied(self.failure)

    async def _fetch(self, question: dict[str, object]) -> None:
        start, end = _range(question.get("need"), self.size_bytes)
        self.asked_bytes += end - start
        if self.asked_bytes > self.size_bytes:
            raise errors.DamagedMedia("its decoder wants more bytes than there are")
        try:
            async with asyncio.timeout(self.patience_s):
                await self.provide(start, end)
        except TimeoutError as exc:
            raise errors.TimedOut(f"{end - start} bytes of it did not come within {self.patience_s:g} s") from exc


def _range(asked: object, size_bytes: int) -> tuple[int, int]:
    match asked:
        case [int(start), int(end)] if (
            0 <= start < end <= size_bytes
            and end - start <= AHEAD_BYTES
            and start % BLOCK_BYTES == 0
            and (end % BLOCK_BYTES == 0 or end == size_bytes)
        ):
            return start, end
    raise errors.DamagedMedia("its decoder asks for bytes that are none of its file")
