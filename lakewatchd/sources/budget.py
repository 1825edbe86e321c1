"""The kernel's limit of watched directories, held against what is needed.

It is one limit for all programs of a user: what others use of it cannot be known, so a fix asks for plenty.
"""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc/sys/fs/inotify/max_user_watches")
PLENTY = 524_288
TIGHT = 0.8
"""Beyond this share of the limit it is time to raise it."""


def limit() -> int:
    """0 when there is none to know."""
    try:
        return int(PROC.read_text())
    except (OSError, ValueError):
        return 0


def fix(needed: int, allowed: int) -> str:
    """The line that raises the limit for good, or nothing while there is room."""
    if needed <= allowed * TIGHT:
        return ""
    wanted = max(PLENTY, 1 << (2 * needed).bit_length())
    return f"echo fs.inotify.max_user_watches={wanted} > /etc/sysctl.d/60-lakewatchd.conf && sysctl --system"
