"""Equality and near-equality: the content hash of a file, the perceptual hash of a picture.

Nothing here decodes. The content hash names an asset for ever; the perceptual hash only ever hints.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakewatchd.media.kinds import HEAD_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

BUFFER_BYTES = 1 << 20
"""One buffer, used again for every file: reading into it beats mapping and fresh reads (see docs)."""


@dataclass(frozen=True, slots=True)
class Digest:
    hex: str
    """64 hex digits of BLAKE3."""
    head: bytes
    """The first bytes, for :func:`lakewatchd.media.kinds.kind_of`."""
    size_bytes: int
    """What reading gave, which may differ from what ``stat`` promised."""


@dataclass(slots=True)
class Hasher:
    """Hashes one file after the other. Not for several threads."""

    _buffer: bytearray = field(default_factory=lambda: bytearray(BUFFER_BYTES))

    def digest(self, fd: int, at_most: int) -> Digest:
        """Hash ``fd`` from its start. Stops soon after ``at_most`` bytes: some files never end."""
        import blake3

        hasher, view, head, total = blake3.blake3(), memoryview(self._buffer), b"", 0
        while total <= at_most and (count := os.preadv(fd, [view], total)):
            head = head or bytes(view[: min(count, HEAD_BYTES)])
            hasher.update(view[:count])
            total += count
        return Digest(hasher.hexdigest(), head, total)


class StreamHasher:
    """The digest of content that comes in pieces. :attr:`size_bytes` may be read from another thread."""

    def __init__(self) -> None:
        import blake3

        self._hasher = blake3.blake3()
        self._head = b""
        self.size_bytes = 0

    def update(self, piece: memoryview) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        self._hasher.update(piece)
        self.size_bytes += len(piece)

    def digest(self) -> Digest:
        return Digest(self._hasher.hexdigest(), self._head, self.size_bytes)


SAMPLED_BYTES = 64 << 10
"""Read at the head, in the middle and at the tail."""
SMALL_BYTES = 3 * SAMPLED_BYTES
"""A file up to this size has no sample: reading all of it costs the same and proves more."""


def sample(fd: int, size_bytes: int) -> str:
    """Hash of the size and three pieces of a file; empty for a small one."""
    import blake3

    if size_bytes <= SMALL_BYTES:
        return ""
    hasher = blake3.blake3(size_bytes.to_bytes(8))
    for start in (0, (size_bytes - SAMPLED_BYTES) // 2, size_bytes - SAMPLED_BYTES):
        hasher.update(os.pread(fd, SAMPLED_BYTES, start))
    return hasher.hexdigest(16)


_SIDE = 32
_KEPT = 8


def phash(image: Image) -> int:
    """64-bit perceptual hash: which low frequencies of the grey 32x32 picture lie above their median.

    The first bit (top left) is the highest. Algorithm: https://www.hackerfactor.com/blog/index.php?/archives/432
    and the same bits as ``imagehash.phash``, whose Hamming distances it therefore shares.
    """
    import numpy as np
    from PIL.Image import Resampling

    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Resampling.LANCZOS), dtype=np.float64)
    basis = _cosines()
    low = np.round(basis @ grey @ basis.T, 3)  # rounded: on a flat picture the rest is noise of the arithmetic
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes())


@functools.cache
def _cosines() -> NDArray[np.float64]:
    """The first 8 rows of the unscaled 32-point DCT-II, shape (8, 32)."""
    import numpy as np

    rows, columns = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :]
    return np.asarray(2 * np.cos(np.pi * rows * (2 * columns + 1) / (2 * _SIDE)), dtype=np.float64)
