"""Pictures on their way to a child: memory that both processes see, and messages that say where in it.

The memory is a memfd: it has no name, so nothing is left behind however a process ends. One batch is under way at
a time (a :class:`~lakewatchd.child.Child` answers one call after the other), so a batch is simply written from the
start and stays untouched until its answer is there; the parent never shrinks the file, and the kernel is told so.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence

import numpy as np

from lakewatchd import errors
from lakewatchd.core.content import Picture
from lakewatchd.models.base import Pixels

MAX_PICTURE_BYTES = 64 << 20


class Arena:
    """The parent's end. ``fd`` is to be inherited by the child."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("lakewatchd-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", 0)
        self.fd = self._file.fileno()
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)

    def put(self, pictures: Sequence[Picture]) -> list[list[int]]:
        """Lay the batch down. Says where for :class:`Window`: offset, height and width of each."""
        places, offset = [], 0
        for picture in pictures:
            view = memoryview(picture.pixels)
            written = 0
            while written < len(view):
                written += os.pwrite(self.fd, view[written:], offset + written)
            places.append([offset, picture.height, picture.width])
            offset += len(view)
        return places

    def close(self) -> None:
        self._file.close()


class Window:
    """The child's end: the pictures as arrays, without a copy. Valid until the next call is answered."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def get(self, places: Sequence[Sequence[int]]) -> list[Pixels]:
        size = os.fstat(self._fd).st_size
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self._fd, size, prot=mmap.PROT_READ)  # the old one ends with its last array
        flat = np.frombuffer(self._map, np.uint8)
        return [flat[at : at + 3 * height * width].reshape(height, width, 3) for at, height, width in places]


def checked(picture: Picture) -> Picture:
    """The picture if it is what it says. Raises :class:`errors.DamagedMedia` or :class:`errors.TooLarge`."""
    width, height, size = picture.width, picture.height, len(picture.pixels)
    if width < 1 or height < 1 or size != width * height * 3:
        raise errors.DamagedMedia(f"a picture of {width} x {height} cannot have {size} bytes")
    if size > MAX_PICTURE_BYTES:
        raise errors.TooLarge(f"a picture of {width} x {height} is too large for a model; reduce it first")
    return picture
