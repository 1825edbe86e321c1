"""A stream of which nobody reads much at once: libraries allocate what a hostile file says that they need."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from lakewatchd import errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class BoundedReads(io.RawIOBase):
    """``stream``, of which one read gives ``at_most`` bytes; asking for more raises :class:`errors.TooLarge`."""

    def __init__(self, stream: BinaryIO, at_most: int) -> None:
        self._stream, self._at_most = stream, at_most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        if size > self._at_most:
            raise errors.TooLarge(f"{size} bytes of it would have to be read at once")
        data = self._stream.read(size if size >= 0 else self._at_most + 1)
        if len(data) > self._at_most:
            raise errors.TooLarge(f"more than {self._at_most} bytes of it would have to be read at once")
        return data

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
