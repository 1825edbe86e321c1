"""The files of the object cache: which there are, how long each was not used, and how one is removed.

A piece is what is kept of one object, two files. The invariants: no mark outlives its block, wherever a process is
killed, as the block would not be counted when it comes again; and nothing that is open anywhere is removed: whoever
opens it locks its marks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lakewatchd.buckets.ledger import lock

_NAME = re.compile(r"([0-9a-f]{32})\.(data|marks)")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Piece(NamedTuple):
    """``used_ns`` comes first: the order of removal."""

    used_ns: int
    name: str
    size_bytes: int


def open_file(directory: Path, name: str, kind: str) -> int:
    """A descriptor of the ``data`` or the ``marks``, made if they are not there."""
    return os.open(directory / f"{name}.{kind}", _FLAGS, 0o600)


def touch(marks: int) -> None:
    """It is used now."""
    os.utime(marks)


def pin(directory: Path, name: str) -> int:
    """The marks, locked: they will not be removed, and were not while we waited for the lock."""
    while True:
        marks = open_file(directory, name, "marks")
        is_locked = lock(marks, fcntl.LOCK_SH)
        is_there = os.fstat(marks).st_nlink > 0
        if is_locked and is_there:
            return marks
        os.close(marks)
        if is_there:
            raise BlockingIOError(f"{name} is being removed, and that does not end")


def all_in(directory: Path) -> Iterator[Piece]:
    """In no order. What a killed process left half made is removed on the way."""
    with os.scandir(directory) as listing:
        for entry in listing:
            if not (named := _NAME.fullmatch(entry.name)):
                continue
            name = named[1]
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                other = _stat(directory / f"{name}.{'data' if named[2] == 'marks' else 'marks'}")
                size_bytes = (found.st_blocks + (other.st_blocks if other else 0)) * 512
                if (other is None or not size_bytes) and remove(directory, name) is not None:
                    continue
                if named[2] == "marks":
                    yield Piece(found.st_mtime_ns, name, size_bytes)


def remove(directory: Path, name: str, used_ns: int | None = None) -> int | None:
    """How many bytes that gives back. None: it is open somewhere, was removed by another, or used
    since ``used_ns``."""
    marks = open_file(directory, name, "marks")
    try:
        if not lock(marks, fcntl.LOCK_EX, 0.0):
            return None
        found = os.fstat(marks)
        if not found.st_nlink:  # another removed it meanwhile: what has the name now is somebody else's
            return None
        if used_ns is not None and found.st_mtime_ns > used_ns:
            return None
        data = _stat(directory / f"{name}.data")
        os.ftruncate(marks, 0)
        for kind in ("data", "marks"):
            (directory / f"{name}.{kind}").unlink(missing_ok=True)
    finally:
        os.close(marks)
    return (found.st_blocks + (data.st_blocks if data else 0)) * 512


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
