"""The kernel's limit of watched directories, held against what is needed.

It is one limit for all programs of a user: what others use of it cannot be known, so a fix asks for plenty.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

PROC = Path("/proc/sys/fs/inotify")
PROC_USER = Path("/proc/sys/user")
"""The same limits of a user namespace, such as that of a container: the smaller holds."""
PLENTY = 524_288
TIGHT = 0.8
"""Beyond this share of the limit it is time to raise it."""


def limit() -> int:
    """Directories this user may watch; 0 when there is no knowing."""
    return _least(PROC / "max_user_watches", PROC_USER / "max_inotify_watches")


def instances() -> int:
    """Inotify instances this user may have; 0 when there is no knowing."""
    return _least(PROC / "max_user_instances", PROC_USER / "max_inotify_instances")


def _least(*files: Path) -> int:
    limits = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(file.read_text()))
    return min(limits, default=0)


def fix(needed: int, allowed: int) -> str:
    """The line that raises the limit for good, or nothing while there is room."""
    if needed <= allowed * TIGHT:
        return ""
    wanted = max(PLENTY, 1 << (2 * needed).bit_length())
    return f"echo fs.inotify.max_user_watches={wanted} > /etc/sysctl.d/60-lakewatchd.conf && sysctl --system"
