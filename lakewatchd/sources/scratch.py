"""A directory of our own, in which a watcher touches files to learn how far it has heard.

The invariant: those of processes that were killed are removed by the next process that makes one, those of living ones
never. A living one holds a lock on its own, which the kernel takes from it when it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "lakewatchd-watch-"
_YOUNG_S = 60.0
"""So long one may have just been made, and not be locked yet."""


class Scratch:
    """Raises OSError where none can be made."""

    def __init__(self) -> None:
        for directory in _of_the_dead():
            shutil.rmtree(directory, ignore_errors=True)
        self._directory = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self.path = self._directory.name
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        os.close(self._lock)
        self._directory.cleanup()


def _of_the_dead() -> Iterator[Path]:
    before = time.time() - _YOUNG_S
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            known = place.lstat()
            is_ours = stat.S_ISDIR(known.st_mode) and known.st_uid == os.geteuid()
            if is_ours and known.st_mtime < before and _is_unlocked(place):
                yield place


def _is_unlocked(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
