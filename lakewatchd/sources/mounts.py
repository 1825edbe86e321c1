"""What is mounted where, as the kernel lists it, and what that means for hearing of changes.

Reading the list touches no file system, so it never hangs; only :func:`mount_of` looks at the path itself.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
REMOTE = (
    "nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "lustre", "afs", "virtiofs", "davfs", "coda", "ocfs2", "gfs2",
    "gpfs", "beegfs", "orangefs", "vboxsf", "vmhgfs", "prl_fs", "fuse",
)  # fmt: skip
"""File systems whose files may change without this kernel knowing, by how their names begin: another host writes to
them, or the program behind a FUSE mount does."""
LOCAL_FUSE = ("fuseblk",)
"""FUSE over a disk of this machine (ntfs-3g, exfat): all writes pass this kernel."""
MAGIC = {0x6969: "nfs", 0x517B: "smb", 0xFF534D42: "cifs", 0xFE534D42: "smb2", 0x65735546: "fuse", 0x01021997: "9p",
         0x00C36400: "ceph", 0x5346414F: "afs", 0x0BD00BD0: "lustre", 0x786F4256: "vboxsf"}  # fmt: skip
"""``statfs`` numbers (statfs(2)) of those that are worth telling apart where the list does not hold the mount."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the list. ``id`` is the kernel's and changes when the place is mounted anew."""

    id: int
    point: str
    file_system: str
    """Such as ``ext4`` or ``fuse.sshfs``; empty when unknown."""
    source: str
    """A device, ``host:/export``, or whatever a FUSE program says."""

    @property
    def is_remote(self) -> bool:
        return is_remote(self.file_system)


def is_remote(file_system: str) -> bool:
    """Whether files may change there without an event."""
    return file_system.startswith(REMOTE) and not file_system.startswith(LOCAL_FUSE)


def mounts() -> Iterator[Mount]:
    """All that this process can see, in the order they were mounted; none where there is no list."""
    try:
        lines = MOUNTINFO.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, (kind, source, *_) = before.split(b" "), after.split(b" ")
        yield Mount(int(fields[0]), _text(fields[4]), _text(kind), _text(source))


def covering(path: str) -> Mount | None:
    """The mount that holds ``path``, which must be free of links. Goes by the list alone."""
    best: Mount | None = None
    for mount in mounts():
        is_above = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if is_above and (best is None or len(mount.point) >= len(best.point)):  # a later one hides an earlier one
            best = mount
    return best


def mount_of(path: Path) -> Mount:
    """The mount that holds ``path``. May block."""
    found = covering(os.path.realpath(path))
    return found or Mount(0, "", MAGIC.get(_magic(path), ""), "")


def _magic(path: Path) -> int:
    """``f_type`` of statfs(2), which Python does not tell: the first word of the answer on every 64-bit Linux."""
    answer = (ctypes.c_ulong * 64)()
    failed = ctypes.CDLL(None).statfs(os.fsencode(path), ctypes.byref(answer))
    return 0 if failed else int(answer[0]) & 0xFFFFFFFF


def _text(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))
