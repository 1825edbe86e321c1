"""Originals that the kernel reads by itself, as fast as the file system they lie on, once it was told where they are.

Only on local disks, since what it waits for it waits for without a deadline, and only for root (from Linux 6.9 on).
The invariant, which the kernel insists on: all that have an inode open at the same time read it in the same way, from
the same file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

NOT_PASSED = 0


class Kernel(Protocol):
    def pass_through(self, fd: int) -> int:
        """A number for an open file that it reads by itself, 0 if it does not."""
        ...

    def end_passing(self, backing: int) -> None: ...


@dataclass(slots=True)
class _Opened:
    backing: int
    handles: int = 0


@dataclass(slots=True)
class Passing:
    kernel: Kernel
    _opened: dict[int, _Opened] = field(default_factory=dict)

    def begin(self, inode: int, fd: int | None) -> int:
        """How somebody more reads it, who found the file open with ``fd``: the kernel's number, or ``NOT_PASSED``. None
        is for what cannot be passed on."""
        opened = self._opened.get(inode)
        if opened is None:
            backing = self.kernel.pass_through(fd) if fd is not None else NOT_PASSED
            opened = self._opened[inode] = _Opened(backing)
        opened.handles += 1
        return opened.backing

    def end(self, inode: int) -> None:
        """One of them has done."""
        opened = self._opened[inode]
        opened.handles -= 1
        if not opened.handles:
            del self._opened[inode]
            if opened.backing != NOT_PASSED:
                self.kernel.end_passing(opened.backing)
