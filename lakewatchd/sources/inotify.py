"""inotify: one watch for each directory, no right needed, a limit per user.

Asked for is little: ``IN_MODIFY`` would fill the kernel's queue with news of one large copy, and who has not closed a
file has not finished it (who never closes is found by the rescan). Three calls by ctypes, since all the rest is shared
with fanotify: see docs/decisions/0012-three-watchers.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Container, Hashable, Iterable

from lakewatchd import fanotify as fan  # the masks of events are the same
from lakewatchd.errors import LakewatchError
from lakewatchd.sources import budget
from lakewatchd.sources.listener import Heard
from lakewatchd.sources.watcher import Tier

IGNORED, ONLYDIR, DONT_FOLLOW, EXCL_UNLINK, MASK_ADD = 0x8000, 0x100_0000, 0x200_0000, 0x400_0000, 0x2000_0000
MASK = fan.TREE & ~fan.ONDIR | ONLYDIR | EXCL_UNLINK | DONT_FOLLOW
_HEAD = struct.Struct("=iIII")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


class InotifyQueue:
    """Raises :class:`LakewatchError` when the kernel gives no instance."""

    tier = Tier.INOTIFY

    def __init__(self) -> None:
        self.descriptor: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.descriptor < 0:
            instances = budget.instances()
            raise LakewatchError(
                f"changes cannot be watched: {os.strerror(ctypes.get_errno())}",
                f"sudo sysctl fs.inotify.max_user_instances={max(512, instances * 2)}",
            )

    def watch(self, local: bytes) -> Hashable:
        return self._add(local, MASK)

    def watch_top(self, local: bytes) -> None:
        self._add(local, fan.DELETE_SELF | fan.MOVE_SELF | ONLYDIR | MASK_ADD)

    def watch_scratch(self, local: bytes) -> Hashable:
        return self._add(local, fan.CREATE)

    def unwatch(self, keys: Iterable[Hashable]) -> None:
        for key in keys:
            _libc.inotify_rm_watch(self.descriptor, key)  # it fails only if the kernel was faster

    def parse(self, data: bytes, wanted: Container[Hashable], scratch: Hashable) -> Heard:
        heard = Heard()
        files, offset, end = heard.files, 0, len(data)
        while offset < end:
            wd, mask, _, length = _HEAD.unpack_from(data, offset)
            start = offset + 16
            offset = start + length
            name = data[start : data.index(b"\0", start, offset)] if length else b""
            if name and not mask & fan.ONDIR:
                names = files.get(wd)
                if names is None:
                    names = files[wd] = {}
                names[name] = names.get(name, 0) | mask
            elif mask & IGNORED:
                heard.ended.append(wd)
            elif mask & fan.OVERFLOW:
                heard.overflows += 1
            else:
                heard.directories.append((wd, name, mask))
        return heard

    def explain(self, error: OSError) -> str:
        if error.errno == errno.ENOSPC:
            return f"the kernel allows {budget.limit():,}"
        return error.strerror or str(error)

    def hint(self, error: OSError) -> str:
        if error.errno != errno.ENOSPC:
            return ""
        return f"sudo sysctl fs.inotify.max_user_watches={max(524_288, budget.limit() * 2)}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)

    def _add(self, local: bytes, mask: int) -> int:
        wd: int = _libc.inotify_add_watch(self.descriptor, local, mask)
        if wd < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), local)
        return wd
