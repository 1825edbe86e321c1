"""A read-only pass-through file system with a switch: ``python -m tests.crash.badfs SOURCE MOUNTPOINT SWITCH``.

The switch is a file that is read at every request: a fault and a part of a path, such as ``eio-read 3.jpg``; empty
means sound. Faults: ``eio-read``, ``eio-list``, ``estale``, ``short`` (the file ends too early), ``hang`` (reads do
not come back for as long as it lasts) and ``truncate`` (the original is cut after its first bytes were read).
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pyfuse3
import pyfuse3.asyncio


class BadFs(pyfuse3.Operations):
    """Inodes are those of the source, so that they are stable, but for the root, which FUSE calls 1."""

    def __init__(self, source: Path, switch: Path) -> None:
        super().__init__()
        self._paths = {pyfuse3.ROOT_INODE: source}
        self._switch = switch

    def _fault(self, path: Path) -> str:
        fault, _, which = self._switch.read_text().strip().partition(" ")
        if fault == "estale":
            raise pyfuse3.FUSEError(errno.ESTALE)
        return fault if which in str(path) else ""

    async def lookup(self, parent: int, name: bytes, ctx: Any = None) -> Any:
        path = self._paths[parent] / os.fsdecode(name)
        self._fault(path)
        return self._attributes(path)

    async def getattr(self, inode: int, ctx: Any = None) -> Any:
        self._fault(self._paths[inode])
        return self._attributes(self._paths[inode], inode)

    def _attributes(self, path: Path, inode: int = 0) -> Any:
        try:
            status = path.lstat()
        except OSError as exc:
            raise pyfuse3.FUSEError(exc.errno or errno.EIO) from exc
        entry = pyfuse3.EntryAttributes()
        for name in ("mode", "nlink", "uid", "gid", "size", "atime_ns", "mtime_ns", "ctime_ns"):
            setattr(entry, f"st_{name}", getattr(status, f"st_{name}"))
        entry.st_ino = inode or status.st_ino
        entry.entry_timeout = entry.attr_timeout = 0
        self._paths[entry.st_ino] = path
        return entry

    async def opendir(self, inode: int, ctx: Any = None) -> int:
        return inode

    async def readdir(self, inode: int, start: int, token: Any) -> None:
        path = self._paths[inode]
        if self._fault(path) == "eio-list":
            raise pyfuse3.FUSEError(errno.EIO)
        for number, name in enumerate(sorted(os.listdir(path))[start:], start + 1):
            if not pyfuse3.readdir_reply(token, os.fsencode(name), self._attributes(path / name), number):
                return

    async def open(self, inode: int, flags: int, ctx: Any = None) -> Any:
        path = self._paths[inode]
        self._fault(path)
        if not stat.S_ISREG(path.lstat().st_mode):
            raise pyfuse3.FUSEError(errno.EINVAL)
        return pyfuse3.FileInfo(fh=os.open(path, os.O_RDONLY), direct_io=True)

    async def read(self, fh: int, offset: int, size: int) -> bytes:
        path = _path(fh)
        match self._fault(path):
            case "eio-read":
                raise pyfuse3.FUSEError(errno.EIO)
            case "hang":
                while self._fault(path) == "hang":  # noqa: ASYNC110  the switch is a file
                    await asyncio.sleep(0.1)
            case "short":
                size = max(0, min(size, 100 - offset))
            case "truncate":
                data = os.pread(fh, size, offset)
                if os.fstat(fh).st_size > 50:
                    os.truncate(path, 50)
                return data
        return os.pread(fh, size, offset)

    async def statfs(self, ctx: Any = None) -> Any:
        source = os.statvfs(self._paths[pyfuse3.ROOT_INODE])
        answer = pyfuse3.StatvfsData()
        for name in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(answer, f"f_{name}", getattr(source, f"f_{name}"))
        return answer

    async def release(self, fh: int) -> None:
        os.close(fh)


def _path(fh: int) -> Path:
    return Path(f"/proc/self/fd/{fh}").readlink()


def main() -> int:
    source, mountpoint, switch = map(Path, sys.argv[1:])
    pyfuse3.asyncio.enable()
    pyfuse3.init(BadFs(source, switch), str(mountpoint), {"fsname=badfs", "subtype=badfs", "ro"})
    try:
        asyncio.run(pyfuse3.main())
    finally:
        pyfuse3.close(unmount=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
