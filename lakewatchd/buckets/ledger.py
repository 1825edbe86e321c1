"""How many bytes a cache holds, counted together by all processes that fill it: a number in a file that is their lock.

The invariant: the number is never below what lies in the cache, wherever a process was killed, because who adds counts
first and writes then, and who removes does it the other way round. It may be above, until somebody counts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from lakewatchd import errors

WAIT_S = 1.0
"""A holder is done in microseconds. One that was stopped by somebody must not stop the rest."""


def lock(fd: int, how: int, within_s: float = WAIT_S) -> bool:
    """Take the lock of an open file, shared or exclusive as ``how`` says; False when others keep it for so long."""
    until, pause_s = time.monotonic() + within_s, 0.0002
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.005)


class Lock:
    """Exclusive among the threads of this process, and among all processes that know the file."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        # Closed with the last who knows it: closed earlier, its number could become that of another file.
        weakref.finalize(self, os.close, self.fd).atexit = False
        self._threads = threading.Lock()

    @contextlib.contextmanager
    def held(self, within_s: float = WAIT_S) -> Iterator[None]:
        """Raises ``Busy`` when it is not to be had within that time."""
        if not self._threads.acquire(timeout=within_s):
            raise errors.Busy("the object cache is being tidied")
        try:
            if not lock(self.fd, fcntl.LOCK_EX, within_s):
                raise errors.Busy("another process holds the object cache")
            try:
                yield
            finally:
                fcntl.flock(self.fd, fcntl.LOCK_UN)
        finally:
            self._threads.release()


class Ledger(Lock):
    """:attr:`used_bytes` may be read at any time and is set while held."""

    @property
    def used_bytes(self) -> int:
        return int.from_bytes(os.pread(self.fd, 8, 0), "little", signed=True)

    @used_bytes.setter
    def used_bytes(self, used: int) -> None:
        os.pwrite(self.fd, used.to_bytes(8, "little", signed=True), 0)
