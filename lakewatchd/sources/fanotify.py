"""fanotify: one mark for a whole file system, no watch per directory, no limit, nothing lost where directories appear.

The descriptor comes from the kernel when we may (root), else from the helper near root, which marks the file system
of a configured root and passes the descriptor on. Events name a directory by its handle. We learn handles when a scan
covers a directory, so an event with an unknown handle is not ours, or lies in a new directory of which its parent has
told; nothing is ever opened by its handle.

A file system mounted below the root has its mark when a scan comes to it, or is told as not watched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Container, Hashable, Iterable
from pathlib import Path

from lakewatchd import fanotify as fan
from lakewatchd.errors import LakewatchError
from lakewatchd.sources.listener import Heard, Unreadable
from lakewatchd.sources.roots import Root
from lakewatchd.sources.watcher import Tier

HELPER_TIMEOUT_S = 10.0
MAX_REPLY = 4096
_RECORD = struct.Struct("=I4xQ20xI")  # length, mask, size of the handle
_HEAD, _INFO = 24, 28
"""Where the first information record starts, and in it the file system's id and the handle."""
_VERSION = 3
_TO_SELF = fan.DELETE_SELF | fan.MOVE_SELF | fan.ONDIR
_ABSENT = (errno.ENOSYS, errno.EINVAL)
_UNFIT = (errno.ENODEV, errno.EXDEV, errno.EOPNOTSUPP)

Marker = Callable[[int | None, bytes], int]
"""Marks the file system of a directory (relative to the root) on a group, or on a new one, and returns the group."""


class FanotifyQueue:
    """For one root. Raises :class:`LakewatchError` with the reason in words when this cannot be had."""

    tier = Tier.FANOTIFY

    def __init__(self, root: Root, helper: Path | None) -> None:
        self._base = os.fsencode(root.path)
        self._mark, self.descriptor = _open(root, helper)
        self._top_mount = -1
        self._mounts: dict[int, bytes | OSError] = {}
        try:
            self._prove()
        except OSError as exc:
            self.close()
            raise LakewatchError(_in_words(exc)) from exc
        except LakewatchError:
            self.close()
            raise

    def watch(self, local: bytes) -> Hashable:
        handle, mount = fan.handle_of(local)
        file_system = self._mounts.get(mount) or self._enter(local, mount)
        if isinstance(file_system, OSError):
            raise file_system
        if not os.access(local, os.R_OK | os.X_OK):
            raise Unreadable(file_system + handle, local)
        return file_system + handle

    def watch_top(self, local: bytes) -> None:
        """A full scan begins: what is mounted below may be another file system than before."""
        self._mounts = {self._top_mount: self._mounts[self._top_mount]}
        with contextlib.suppress(OSError):  # before Linux 5.13; the health of the root is looked at as well
            fan.mark_directory(self.descriptor, local, _TO_SELF)

    def watch_scratch(self, local: bytes) -> Hashable:
        fan.mark_directory(self.descriptor, local, fan.CREATE)
        return fan.file_system_id(local) + fan.handle_of(local)[0]

    def unwatch(self, keys: Iterable[Hashable]) -> None:
        """Nothing: there is no watch per directory."""

    def parse(self, data: bytes, wanted: Container[Hashable], scratch: Hashable) -> Heard:
        heard = Heard()
        files, offset, end = heard.files, 0, len(data)
        while end - offset >= _RECORD.size:
            length, mask, size = _RECORD.unpack_from(data, offset)
            start = offset + _INFO + 16 + size
            key = data[offset + _INFO : start]
            offset += length
            if mask & fan.OVERFLOW or length == _HEAD:
                heard.overflows += 1
                continue
            if key not in wanted and key != scratch:
                continue
            name = data[start : data.index(b"\0", start, offset)] if start < offset else b""
            if not mask & fan.ONDIR:
                names = files.get(key)
                if names is None:
                    names = files[key] = {}
                names[name] = names.get(name, 0) | mask
            else:
                heard.directories.append((key, b"" if name == b"." else name, mask))
        if offset < end:  # too short for a place: the kernel says only that events were lost
            heard.overflows += 1
        return heard

    def explain(self, error: OSError) -> str:
        return _in_words(error) if error.errno in _UNFIT else error.strerror or str(error)

    def hint(self, error: OSError) -> str:
        return ""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)

    def _enter(self, local: bytes, mount: int) -> bytes | OSError:
        """A mount that was not met yet: mark its file system too."""
        try:
            if self._mounts:
                self._mark(self.descriptor, local[len(self._base) :].strip(b"/"))
            self._mounts[mount] = fan.file_system_id(local)
        except OSError as exc:
            self._mounts[mount] = exc
        return self._mounts[mount]

    def _prove(self) -> None:
        """Events arrive, and we find their directory: open the root and hear of it. It writes nothing."""
        top = self._base + b"/."
        _, self._top_mount = fan.handle_of(top)
        key = self.watch(top)
        try:
            fan.mark_directory(self.descriptor, top, fan.OPEN | fan.ONDIR)
        except PermissionError:
            return  # before Linux 5.13 that takes a right: believe it
        try:
            os.close(os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            if not self._hears(key):
                raise LakewatchError("its file system tells of changes in a way that is not understood")
        finally:
            fan.mark_directory(self.descriptor, top, fan.OPEN | fan.ONDIR, remove=True)

    def _hears(self, key: Hashable) -> bool:
        for _ in range(1000):  # events of others may lie before it
            try:
                data = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return False
            if data[4] != _VERSION:
                return False
            if self.parse(data, (key,), None).directories:
                return True
        return False


def _open(root: Root, helper: Path | None) -> tuple[Marker, int]:
    """A way to mark file systems, and a group with the root's marked."""

    def directly(group: int | None, below: bytes) -> int:
        return _mark_directly(group, os.fsencode(root.path) + b"/" + (below or b"."))

    def by_helper(group: int | None, below: bytes) -> int:
        return ask_helper(helper, root.name, group, below) if helper is not None else -1

    try:
        return directly, directly(None, b"")
    except PermissionError:
        pass
    except OSError as exc:
        raise LakewatchError(_in_words(exc)) from exc
    if helper is None or not helper.exists():
        raise LakewatchError(
            "needs CAP_SYS_ADMIN, and the helper that has it is not installed" + (f" ({helper})" if helper else ""),
            "sudo systemctl enable --now lakewatchd-events.socket",
        )
    try:
        return by_helper, by_helper(None, b"")
    except OSError as exc:
        raise LakewatchError(_in_words(exc)) from exc


def _mark_directly(group: int | None, local: bytes) -> int:
    opened = fan.open_group() if group is None else group
    try:
        directory = os.open(local, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fan.mark_file_system(opened, directory)
        finally:
            os.close(directory)
    except OSError:
        if group is None:
            os.close(opened)
        raise
    return opened


def ask_helper(helper: Path, root: str, group: int | None, below: bytes) -> int:
    """The group, with the file system of ``below`` in ``root`` marked on it. One request, one answer:
    see :mod:`lakewatchd.fanotify_helper`. Raises ``OSError`` with what the helper said."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(HELPER_TIMEOUT_S)
        connection.connect(os.fspath(helper))
        socket.send_fds(connection, [root.encode() + b"\0" + below], [] if group is None else [group])
        reply, descriptors, _, _ = socket.recv_fds(connection, MAX_REPLY, 1)
    number, _, text = reply.decode("utf-8", "replace").partition(" ")
    if number != "0":
        code = int(number) if number.isdecimal() else errno.EIO
        raise OSError(code, f"the helper says: {text}" if text else "the helper did not answer")
    if group is None and not descriptors:  # the kernel drops what a process has no room for
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return descriptors[0] if group is None else group


def _in_words(error: OSError) -> str:
    if error.errno in _ABSENT:
        return "needs Linux 5.9 or later"
    if error.errno in _UNFIT:
        return f"its file system cannot be watched as a whole ({errno.errorcode[error.errno or 0]})"
    if error.errno == errno.EMFILE:
        return "too many fanotify groups (fs.fanotify.max_user_groups)"
    return error.strerror or str(error)
