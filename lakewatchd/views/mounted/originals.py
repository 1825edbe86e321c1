"""Opening and reading the files behind the view, without ever following a link out of their root.

The only module of the room that touches users' files, and it can only read them;
:mod:`lakewatchd.views.mounted.objects` does it for buckets. The invariant: nothing here blocks the event loop on
storage that may not answer. Roots on local disks are read inline, which is several times faster; any other root has
threads of its own, and a deadline after which the answer is an error.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from lakewatchd.core.asset import Version
from lakewatchd.views.mounted.entries import Text
from lakewatchd.views.mounted.objects import Buckets, Place

T = TypeVar("T")
Mount = tuple[tuple[str, ...], str]
"""The parts of the path where something is mounted, and its file system."""

LOCAL_FILE_SYSTEMS = frozenset({
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "msdos", "ntfs3",
    "overlay", "ramfs", "reiserfs", "squashfs", "tmpfs", "udf", "vfat", "xfs", "zfs",
})  # fmt: skip
"""Whatever is not named here may be a network, or a program, and may not answer."""

THREADS_PER_ROOT = 8
DEADLINE_S = 10.0
LINKS_MAX = 40
"""More are a ring, to the kernel too."""
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that a pipe somebody put in place of a file cannot hold us.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Original(Protocol):
    """An open file or object. ``version`` is what it was when it was opened."""

    @property
    def version(self) -> Version: ...

    @property
    def is_at_hand(self) -> bool:
        """Whether :meth:`drop` waits for nothing."""
        ...

    @property
    def descriptor(self) -> int | None:
        """Of a file on a local disk."""
        ...

    def read_at_once(self, size: int, offset: int) -> bytes | memoryview | None:
        """None where it would have to be waited for. Raises OSError."""
        ...

    async def read(self, size: int, offset: int) -> bytes | memoryview:
        """What could not be had at once. Raises OSError."""
        ...

    async def close(self) -> None:
        """Raises OSError."""
        ...

    def drop(self) -> None:
        """Close it, where nobody has to wait for that, or there is no event loop any more."""
        ...


def open_below(root: Path, path: str) -> int:
    """A descriptor for reading the regular file at ``path`` below ``root``; no component may be a link.

    Raises OSError: ``ELOOP`` or ``ENOTDIR`` for a link, ``EINVAL`` for what is no regular file.
    """
    *folders, name = os.fsencode(path).split(b"/")
    at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            if folder in (b"", b".", b".."):
                raise OSError(errno.EINVAL, "not a path below a root")
            below = os.open(folder, _STEP, dir_fd=at)
            os.close(at)
            at = below
        fd = os.open(name, _FILE, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def is_bare(root: Path) -> bool:
    """Whether nothing at all lies there, as where nothing is mounted: then a file that is missing was not deleted."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def is_local(path: Path, mountinfo: str) -> bool:
    """Whether ``path`` leads to local disks, all that is mounted below it too, by the text of ``/proc/self/mountinfo``.

    Links are followed as far as local disks reach; nothing else is touched, for it may not answer.
    """
    mounts = _mounts(mountinfo)
    place = _where_it_leads(path, mounts).parts
    below = {kind for point, kind in mounts if len(point) > len(place) and point[: len(place)] == place}
    return _lies_locally(place, mounts) and below <= LOCAL_FILE_SYSTEMS


@functools.lru_cache(maxsize=1)  # it hardly ever changes, and is looked at every second
def _mounts(mountinfo: str) -> tuple[Mount, ...]:
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        mounts.append((Path(point).parts, after.split(" ")[0]))
    return tuple(mounts)


def _lies_locally(place: tuple[str, ...], mounts: Sequence[Mount]) -> bool:
    homes = ((len(point), number, kind) for number, (point, kind) in enumerate(mounts) if place[: len(point)] == point)
    *_, kind = max(homes, default=("",))  # of two at one place, the later lies over the other
    return kind in LOCAL_FILE_SYSTEMS


def _where_it_leads(path: Path, mounts: Sequence[Mount]) -> Path:
    """``path`` without links, up to the first folder that is not on a local disk."""
    place, ahead, links = Path("/"), [*path.parts[:0:-1]], 0
    while ahead:
        step = Path(os.path.normpath(place / ahead.pop()))
        if links > LINKS_MAX or not _lies_locally(step.parts, mounts):
            return step.joinpath(*reversed(ahead))
        try:
            target = step.readlink()
        except OSError:  # no link
            place = step
        else:
            links += 1
            place = Path("/") if target.is_absolute() else place
            ahead += target.parts[: 0 if target.is_absolute() else None : -1]
    return place


@dataclass(slots=True)
class Originals:
    """``roots`` by name, those that are directories. Where they lie is looked up anew by :meth:`look_around`: a NAS may
    be mounted later."""

    roots: Mapping[str, Path]
    buckets: Buckets | None = None
    deadline_s: float = DEADLINE_S
    mountinfo: Path = Path("/proc/self/mountinfo")
    buffer: bytearray = field(default_factory=bytearray)
    """What the kernel has in memory is read into it again and again, by who has done with an answer before it asks for
    the next; empty: each answer is its own."""
    _local: frozenset[str] = frozenset()
    _threads: dict[str, ThreadPoolExecutor] = field(default_factory=dict)

    def look_around(self) -> None:
        mounts = self.mountinfo.read_text(errors="surrogateescape")
        self._local = frozenset(name for name, path in self.roots.items() if is_local(path.absolute(), mounts))

    async def open(self, place: Place) -> Original:
        """Raises OSError; ``ETIMEDOUT`` when the storage does not answer, ``EIO`` when the root is away, ``ENOENT`` for
        an unknown root too."""
        root = place.root
        if self.buckets is not None and root in self.buckets.settings:
            return await self.buckets.open(place)
        if root not in self.roots:
            raise FileNotFoundError(errno.ENOENT, "no such root")
        return await self.do(root, lambda: self._open(place), LocalFile.drop)

    def open_at_once(self, place: Place) -> LocalFile | None:
        """None where it would have to be waited for, or cannot be opened: :meth:`open` tells why."""
        if not self.is_local(place.root):
            return None
        try:
            return self._open(place)
        except OSError:
            return None

    def is_local(self, root: str) -> bool:
        return root in self._local

    def _open(self, place: Place) -> LocalFile:
        root = self.roots[place.root]
        try:
            fd = open_below(root, place.path)
        except FileNotFoundError as exc:
            if is_bare(root):
                raise OSError(errno.EIO, "its root is away") from exc
            raise
        return LocalFile(self, place.root, fd, Version.of(os.fstat(fd)))

    def origin(self, place: Place) -> bytes | None:
        """Where the original is, for people and programs: a path, or ``s3://bucket/key``."""
        if self.buckets is not None and place.root in self.buckets.settings:
            return self.buckets.origin(place)
        root = self.roots.get(place.root)
        return os.fsencode(root / place.path) if root is not None else None

    def close_threads(self) -> None:
        """Waits for what is under way."""
        for threads in self._threads.values():
            threads.shutdown()

    async def do(self, root: str, work: Callable[[], T], undo: Callable[[T], None] = lambda _: None) -> T:
        """Without blocking the loop. ``undo`` is for a result that comes when nobody waits for it any more."""
        return work() if root in self._local else await self.do_apart(root, work, undo)

    async def do_apart(self, root: str, work: Callable[[], T], undo: Callable[[T], None] = lambda _: None) -> T:
        """In one of the root's threads."""
        threads = self._threads.setdefault(root, ThreadPoolExecutor(THREADS_PER_ROOT, f"root {root}"))
        waiting = asyncio.get_running_loop().run_in_executor(threads, work)
        done, _ = await asyncio.wait({waiting}, timeout=self.deadline_s)
        if not done:
            waiting.add_done_callback(lambda late: undo(late.result()) if late.exception() is None else None)
            raise TimeoutError(errno.ETIMEDOUT, "the storage does not answer")
        return waiting.result()


@dataclass(frozen=True, slots=True)
class LocalFile:
    originals: Originals
    root: str
    fd: int
    version: Version

    @property
    def is_at_hand(self) -> bool:
        return self.originals.is_local(self.root)

    @property
    def descriptor(self) -> int | None:
        return self.fd if self.is_at_hand else None

    def read_at_once(self, size: int, offset: int) -> memoryview | None:
        """What the kernel has in memory. Waiting for a disk is for a thread, so that nobody else waits too."""
        shared = self.originals.buffer
        found = memoryview(shared)[:size] if size <= len(shared) else memoryview(bytearray(size))
        try:
            count = os.preadv(self.fd, [found], offset, os.RWF_NOWAIT)
        except OSError as exc:
            if exc.errno in (errno.EOPNOTSUPP, errno.EINVAL):  # this file system cannot tell
                return memoryview(os.pread(self.fd, size, offset)) if self.is_at_hand else None
            if exc.errno != errno.EAGAIN:
                raise
            return None
        return found[:count] if count == size or offset + count >= self.version.size_bytes else None

    async def read(self, size: int, offset: int) -> bytes:
        return await self.originals.do_apart(self.root, lambda: os.pread(self.fd, size, offset))

    async def close(self) -> None:
        await self.originals.do(self.root, self.drop)

    def drop(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Written:
    """What we say ourselves, as it was when it was opened."""

    text: Text

    @property
    def version(self) -> Version:
        return Version(len(self.text.content), self.text.written_ns, 0)

    @property
    def is_at_hand(self) -> bool:
        return True

    @property
    def descriptor(self) -> None:
        return None

    def read_at_once(self, size: int, offset: int) -> bytes:
        return self.text.content[offset : offset + size]

    async def read(self, size: int, offset: int) -> bytes:
        return self.read_at_once(size, offset)

    async def close(self) -> None:
        pass

    def drop(self) -> None:
        pass
