"""Blocks of objects on the local disk, shared by every process that reads buckets, without one that is in charge.

::

    <name>.data     the object, sparse, exactly as long as it really is
    <name>.marks    8 bytes a block: 0, or the hash of a block that is in .data
    used, evicting  how many bytes all of it takes, and who removes: one at a time

The name is a hash of the whole reference, so other content has another name and nothing of a key reaches the disk.

The invariant: no byte is handed out that was not hashed as its mark says, by this process, since it opened the object.
So a process may be killed between any two steps, the power may fail and the disk may lose what it likes, and all of it
costs only a block that is fetched again. What is open anywhere is not removed: it is locked, and the kernel unlocks
what a killed process held.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import heapq
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from lakewatchd import errors
from lakewatchd.buckets import pieces
from lakewatchd.buckets.ledger import Ledger, Lock
from lakewatchd.buckets.pieces import Piece
from lakewatchd.config import Config

BLOCK_BYTES = 256 << 10
LARGEST_SHARE = 2
"""Of what is kept unasked, one object takes at most this part: reading a film once must not push out all the rest."""

_FORMAT = 1
_MOST_BLOCKS = 1 << 28
"""64 TiB: no server takes more. A larger number is a lie, and memory for it is not there."""
_MARK_BYTES = 8
_ABSENT = bytes(_MARK_BYTES)
_PAGE_BYTES = 4096
_NOTED = 10_000
"""Of the oldest: so many are known by name, until they are used up and looked for again."""
_PAUSE_S = 1.0
_PAUSES = 10
"""Looking at every file again and again would cost more than the cache saves."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One content of one key of a root that is a bucket. Another etag, size or time of change is another reference."""

    root: str
    key: str
    size_bytes: int
    etag: str
    modified_ns: int

    @property
    def name(self) -> str:
        """32 hexadecimal digits."""
        said = repr((_FORMAT, BLOCK_BYTES, self.root, self.key, self.size_bytes, self.etag, self.modified_ns))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def mark_of(block: bytes | memoryview) -> bytes:
    """Never the mark of a block that is not there."""
    return blake3(block).digest(_MARK_BYTES).replace(_ABSENT, b"\1" * _MARK_BYTES)


class ObjectCache:
    """A directory of at most ``limit_bytes``, which leaves ``spare_bytes`` of its disk free. Thread-safe.

    Raises ``ConfigError`` when the directory cannot be had for us alone.
    """

    def __init__(self, directory: Path, limit_bytes: int, spare_bytes: int = 0) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self._spare_bytes = spare_bytes
        self._owner = _claim(directory)
        self.ledger = Ledger(directory / "used")
        self._evicting = Lock(directory / "evicting")
        for held in (self.ledger, self._evicting):
            self.own(held.fd)
        self._oldest: deque[Piece] = deque()
        """What may be removed next, as it was when it was last looked for."""
        self._tidying = threading.Lock()
        self._not_before = 0.0
        self.tidy()

    @classmethod
    def of(cls, config: Config) -> ObjectCache:
        """As configured. Work rests when ``daemon.min_free_mb`` is touched: the cache keeps twice that free."""
        return cls(config.cache_dir, config.objects.cache_mb << 20, 2 * config.daemon.min_free_mb << 20)

    @property
    def used_bytes(self) -> int:
        return self.ledger.used_bytes

    @property
    def room_bytes(self) -> int:
        """What the cache may take in all, as the disk is now. Below what it takes: it has to give way."""
        disk = os.statvfs(self.directory)
        return min(self.limit_bytes, self.used_bytes + disk.f_bavail * disk.f_frsize - self._spare_bytes)

    def open(self, ref: ObjectRef) -> Cached:
        """Raises OSError where nothing can be kept: no room, no right to write, too many open files."""
        return Cached(self, ref)

    def tidy(self) -> None:
        """Count anew, take away strays, and give way where the disk has become short of room. Looks at every file."""
        with contextlib.suppress(errors.Busy, OSError), self._evicting.held():
            self._look()
            self._give_way(0)

    def make_room(self, size_bytes: int, *, must: bool = False) -> bool:
        """Remove what was not used for longest until so much more may be kept.

        False: all the rest is in use, or who is next has to be looked for, which is waited for with ``must`` only.
        """
        with self._evicting.held():
            if self._give_way(size_bytes):
                return True
        if must:
            self.tidy()
            with self._evicting.held():
                return self._give_way(size_bytes)
        self.tidy_soon()
        return False

    def tidy_soon(self) -> None:
        """:meth:`tidy` beside what goes on, now and then."""
        if time.monotonic() >= self._not_before and self._tidying.acquire(blocking=False):
            threading.Thread(target=self._tidy_once, name="object cache", daemon=True).start()

    def _tidy_once(self) -> None:
        began = time.monotonic()
        try:
            self.tidy()
        finally:
            self._not_before = time.monotonic() + max(_PAUSE_S, _PAUSES * (time.monotonic() - began))
            self._tidying.release()

    def is_filling(self, used_bytes: int) -> None:
        """Find out who is to go before somebody has to."""
        if not self._oldest and used_bytes > self.limit_bytes * 9 // 10:
            self.tidy_soon()

    def _look(self) -> None:
        """What others add meanwhile counts on top of what is found: rather twice than not at all."""
        before, found = self.used_bytes, 0

        def counted() -> Iterator[Piece]:
            nonlocal found
            for piece in pieces.all_in(self.directory):
                found += piece.size_bytes
                yield piece

        self._oldest = deque(heapq.nsmallest(_NOTED, counted()))
        with self.ledger.held():
            self.ledger.used_bytes += found - before

    def _give_way(self, size_bytes: int) -> bool:
        while self.used_bytes + size_bytes > self.room_bytes:
            if not self._oldest:
                return False
            piece = self._oldest.popleft()
            freed = pieces.remove(self.directory, piece.name, piece.used_ns)
            if freed:
                with self.ledger.held():
                    self.ledger.used_bytes -= freed
        return True

    def drop(self, name: str) -> None:
        """Leave no file of an object of which nothing is kept."""
        with contextlib.suppress(OSError):
            pieces.remove(self.directory, name)

    def own(self, fd: int) -> None:
        """A command of root must leave nothing that the daemon cannot use."""
        if os.geteuid() == 0 and self._owner != (0, 0):
            os.fchown(fd, *self._owner)


def _claim(directory: Path) -> tuple[int, int]:
    """Make sure of a directory that nobody else can look into or write to. Its owner."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if os.geteuid() not in (0, found.st_uid):
            raise errors.ConfigError(f"{directory}: the object cache belongs to another user", _ELSEWHERE)
        if stat.S_IMODE(found.st_mode) != 0o700:
            directory.chmod(0o700)
    except OSError as exc:
        raise errors.ConfigError(f"{directory}: no object cache can be kept here: {exc.strerror}", _ELSEWHERE) from exc
    return found.st_uid, found.st_gid


_ELSEWHERE = "set objects.cache_dir to a directory of the user that lakewatchd runs as"


class Cached:
    """What is kept of one object, which stays while this is open. Thread-safe, but for :meth:`close`."""

    def __init__(self, cache: ObjectCache, ref: ObjectRef) -> None:
        self.path = cache.directory / f"{ref.name}.data"
        self.size_bytes = ref.size_bytes
        self.blocks = -(-ref.size_bytes // BLOCK_BYTES)
        self._cache = cache
        self._has_taken = False
        if self.blocks > _MOST_BLOCKS:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self._sure = bytearray(self.blocks)
        """Blocks that were hashed or written by us. Nobody changes such a block, but by writing the same once more."""
        self._marks = pieces.pin(cache.directory, ref.name)
        try:
            self._data = pieces.open_file(cache.directory, ref.name, "data")
        except OSError:
            os.close(self._marks)
            raise
        try:
            for fd, size in ((self._marks, self.blocks * _MARK_BYTES), (self._data, ref.size_bytes)):
                cache.own(fd)
                if os.fstat(fd).st_size != size:
                    os.ftruncate(fd, size)
            pieces.touch(self._marks)
        except OSError:
            self._shut()
            raise

    @property
    def is_whole(self) -> bool:
        """Every block is there, and was hashed since this was opened."""
        return 0 not in self._sure

    @property
    def fits(self) -> bool:
        """Whether the whole object may be kept without anybody's asking for it."""
        return self.size_bytes <= self._cache.limit_bytes // LARGEST_SHARE

    def is_sure(self, first: int, last: int) -> bool:
        """Whether these blocks can be read without looking at them again."""
        return self._sure.find(0, first, last) < 0

    def has(self, block: int) -> bool:
        """Whether the block can be read. Hashes it when asked for the first time."""
        if self._sure[block]:
            return True
        try:
            mark = self._mark(block)
            if mark == _ABSENT or mark != mark_of(self.read(block * BLOCK_BYTES, BLOCK_BYTES)):
                return False
        except OSError:  # a bad sector costs what any other loss does
            return False
        self._sure[block] = 1
        return True

    def read(self, start: int, size: int) -> bytes:
        """Bytes of blocks that :meth:`has` was asked for; fewer only at the end."""
        return os.pread(self._data, size, start)

    def keep(self, block: int, data: memoryview, *, must: bool = False) -> bool:
        """Write one whole block. False when there is no room for it, or no way to write; ``must``: take the room.

        With ``must``, raises OSError and ``Busy``.
        """
        mark = mark_of(data)
        try:
            for is_last_try in (False, True):
                with self._cache.ledger.held():
                    more = _on_disk(len(data)) if self._mark(block) == _ABSENT else 0
                    if more and not must and not self._may_grow(more):
                        return False
                    after = self._cache.used_bytes + more
                    if not more or after <= self._cache.room_bytes or (must and is_last_try):
                        self._has_taken |= must and after > self._cache.limit_bytes
                        self._cache.ledger.used_bytes = after
                        self._write(block, data, mark)
                        self._cache.is_filling(after)
                        return True
                if not is_last_try and not self._cache.make_room(more, must=must) and not must:
                    return False
        except (OSError, errors.Busy):
            if must:
                raise
        return False

    def _write(self, block: int, data: memoryview, mark: bytes) -> None:
        at = block * BLOCK_BYTES
        while data:
            written = os.pwrite(self._data, data, at)
            data, at = data[written:], at + written
        os.pwrite(self._marks, mark, block * _MARK_BYTES)
        self._sure[block] = 1

    def _may_grow(self, more: int) -> bool:
        """Unasked: is it below its share?"""
        return self.fits or os.fstat(self._data).st_blocks * 512 + more <= self._cache.limit_bytes // LARGEST_SHARE

    def close(self) -> None:
        """Nothing else may be under way. What was taken above the limit is given back."""
        is_empty = True
        with contextlib.suppress(OSError):
            pieces.touch(self._marks)
            is_empty = os.fstat(self._data).st_blocks == 0
        self._shut()
        if is_empty and not any(self._sure):
            self._cache.drop(self.path.stem)
        if self._has_taken:
            self._cache.tidy()

    def _shut(self) -> None:
        for fd in (self._data, self._marks):
            with contextlib.suppress(OSError):  # of a write that a network disk put off: a lost block, no more
                os.close(fd)

    def _mark(self, block: int) -> bytes:
        return os.pread(self._marks, _MARK_BYTES, block * _MARK_BYTES)


def _on_disk(size_bytes: int) -> int:
    """Whole pages, and one for what the file system itself has to write down."""
    return (-(-size_bytes // _PAGE_BYTES) + 1) * _PAGE_BYTES
