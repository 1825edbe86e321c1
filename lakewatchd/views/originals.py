"""Opening and reading the files behind the view, without ever following a link out of their root.

The only module of the room that touches users' files, and it can only read them. The invariant: nothing here
blocks the event loop on storage that may not answer. Roots on local disks are read inline, which is several times
faster; any other root has threads of its own, and a deadline after which the answer is an error.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lakewatchd.core.asset import Version

T = TypeVar("T")

LOCAL_FILE_SYSTEMS = frozenset({
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "msdos", "ntfs3",
    "overlay", "ramfs", "reiserfs", "squashfs", "tmpfs", "udf", "vfat", "xfs", "zfs",
})  # fmt: skip
"""Whatever is not named here may be a network, or a program, and may not answer."""

THREADS_PER_ROOT = 8
DEADLINE_S = 10.0
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that a pipe somebody put in place of a file cannot hold us.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Original:
    """An open file. ``version`` is what lay there at the time of opening."""

    fd: int
    root: str
    version: Version


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


def is_local(path: Path, mountinfo: str) -> bool:
    """Whether ``path`` and all that is mounted below it lie on local disks, by the text of ``/proc/self/mountinfo``."""
    home: tuple[int, str] = (-1, "")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4]))
        kind = after.split(" ")[0]
        if path.is_relative_to(point):
            if len(point.parts) >= home[0]:  # of two at one place, the later lies over the other
                home = (len(point.parts), kind)
        elif point.is_relative_to(path) and kind not in LOCAL_FILE_SYSTEMS:
            return False
    return home[1] in LOCAL_FILE_SYSTEMS


@dataclass(slots=True)
class Originals:
    """``roots`` by name. Where they lie is looked up anew by :meth:`look_around`: a NAS may be mounted later."""

    roots: Mapping[str, Path]
    deadline_s: float = DEADLINE_S
    mountinfo: Path = Path("/proc/self/mountinfo")
    _local: frozenset[str] = frozenset()
    _threads: dict[str, ThreadPoolExecutor] = field(default_factory=dict)

    def look_around(self) -> None:
        mounts = self.mountinfo.read_text(errors="surrogateescape")
        self._local = frozenset(name for name, path in self.roots.items() if is_local(path.absolute(), mounts))

    async def open(self, root: str, path: str) -> Original:
        """Raises OSError; ``ETIMEDOUT`` when the storage does not answer, ``ENOENT`` for an unknown root too."""
        if root not in self.roots:
            raise FileNotFoundError(errno.ENOENT, "no such root")

        def look() -> Original:
            fd = open_below(self.roots[root], path)
            return Original(fd, root, Version.of(os.fstat(fd)))

        return await self._do(root, look, lambda original: os.close(original.fd))

    async def read(self, original: Original, size: int, offset: int) -> bytes:
        return await self._do(original.root, lambda: os.pread(original.fd, size, offset))

    async def close(self, original: Original) -> None:
        await self._do(original.root, lambda: os.close(original.fd))

    def close_threads(self) -> None:
        """Waits for what is under way."""
        for threads in self._threads.values():
            threads.shutdown()

    async def _do(self, root: str, work: Callable[[], T], undo: Callable[[T], None] = lambda _: None) -> T:
        """``undo`` is for a result that comes after the deadline, when nobody waits for it any more."""
        if root in self._local:
            return work()
        threads = self._threads.setdefault(root, ThreadPoolExecutor(THREADS_PER_ROOT, f"root {root}"))
        waiting = asyncio.get_running_loop().run_in_executor(threads, work)
        done, _ = await asyncio.wait({waiting}, timeout=self.deadline_s)
        if not done:
            waiting.add_done_callback(lambda late: undo(late.result()) if late.exception() is None else None)
            raise TimeoutError(errno.ETIMEDOUT, "the storage does not answer")
        return waiting.result()
