"""Proof that the kernel tells of changes in a place: do something there that changes nothing, and listen for it.

Opening the root's directory is enough and writes nothing. Where a person allowed a scratch file, that is written
instead: it takes the same way as a user's file. Listens through an inotify instance of its own, so that the answer
does not depend on what the watcher is busy with. Whether the *watcher* hears is asked by its own ``mark``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ANSWER_S = 2.0
IN_CLOSE_WRITE, IN_OPEN = 0x8, 0x20
_HEADER = struct.Struct("iIII")


@dataclass(frozen=True, slots=True)
class Sang:
    """An event arrived."""


@dataclass(frozen=True, slots=True)
class Silent:
    """None arrived: events are not to be trusted there."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The question could not be put, which says nothing of events."""

    reason: str


Song = Sang | Silent | NotAsked


def sing(root: Path, scratch: str = "", answer_s: float = ANSWER_S) -> Song:
    """Ask. May block as long as the file system likes. ``scratch``: a file name that may be written in ``root``."""
    what = f"writing {scratch}" if scratch else "opening its directory"
    try:
        heard = _hears(root, IN_CLOSE_WRITE, lambda: _write(root / scratch), answer_s) if scratch else _hears(
            root, IN_OPEN, lambda: _open(root), answer_s
        )  # fmt: skip
    except OSError as exc:
        return NotAsked(f"{what} failed: {exc.strerror}")
    return Sang() if heard else Silent(f"no event came of {what}")


def _hears(root: Path, mask: int, act: Callable[[], None], answer_s: float) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    listener = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        if libc.inotify_add_watch(listener, os.fsencode(root), mask) < 0:
            code = ctypes.get_errno()
            reason = "no inotify watch is left" if code == errno.ENOSPC else os.strerror(code)
            raise OSError(code, reason)
        act()
        waiting = select.poll()  # select() knows no descriptor beyond 1024
        waiting.register(listener, select.POLLIN)
        return bool(waiting.poll(answer_s * 1000)) and bool(_HEADER.unpack_from(os.read(listener, 4096))[1] & mask)
    finally:
        os.close(listener)


def _open(root: Path) -> None:
    os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY))


def _write(scratch: Path) -> None:
    """Made, closed and taken away again: never left behind, never a link followed, and never a file of somebody."""
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), scratch)
    finally:
        os.close(descriptor)
    scratch.unlink()
