"""The three system calls of fanotify that lakewatchd uses, for the daemon and for its helper near root.

A *group* is a queue of events behind a descriptor. Whoever holds CAP_SYS_ADMIN may mark a whole file system on it; the
descriptor can then be passed on and read without any right. A *handle* is the kernel's name of a directory: 8 bytes
that stand for the file system, then a ``struct file_handle``. That is how events tell where they happened.

Raises ``OSError`` everywhere, with the kernel's errno. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

ATTRIB, CLOSE_WRITE, OPEN = 0x4, 0x8, 0x20
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, OVERFLOW, ONDIR = 0x400, 0x800, 0x4000, 0x4000_0000
TREE = ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONDIR
"""What is asked of a file system. No writes: who has not closed a file has not finished it."""

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x1, 0x2, 0x10, 0x20
_REPORT_DFID_NAME = 0xC00
_ADD, _REMOVE, _FILE_SYSTEM = 0x1, 0x2, 0x100
_AT_HANDLE_FID, _AT_EMPTY_PATH, _AT_FDCWD = 0x200, 0x1000, -100
_MAX_HANDLE = 128

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)
_libc.name_to_handle_at.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)


def open_group() -> int:
    """A queue without a limit: it holds what the reader has not read, so that nothing is lost. Needs CAP_SYS_ADMIN."""
    flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS | _REPORT_DFID_NAME
    return _check(_libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC))


def mark_file_system(group: int, directory: int) -> None:
    """From now on, changes on the file system of the open ``directory`` are told. Needs CAP_SYS_ADMIN."""
    _check(_libc.fanotify_mark(group, _ADD | _FILE_SYSTEM, TREE, directory, None))


def mark_directory(group: int, path: bytes, mask: int, *, remove: bool = False) -> None:
    """Changes in and of one directory. Since Linux 5.13 without any right but to read it."""
    _check(_libc.fanotify_mark(group, _REMOVE if remove else _ADD, mask, _AT_FDCWD, path))


def handle_of(path: bytes) -> tuple[bytes, int]:
    """The ``struct file_handle`` of a directory, and the id of the mount it was reached by. Needs no right."""
    flags = _AT_HANDLE_FID
    buffer, mount = ctypes.create_string_buffer(8 + _MAX_HANDLE), ctypes.c_int()
    while True:
        struct.pack_into("=I", buffer, 0, _MAX_HANDLE)
        if _libc.name_to_handle_at(_AT_FDCWD, path, buffer, ctypes.byref(mount), flags) == 0:
            break
        error = ctypes.get_errno()
        if error != errno.EINVAL or not flags:
            raise OSError(error, os.strerror(error), path)
        flags = 0  # Linux before 6.5 has only handles that can be opened, and they are the same
    (size,) = struct.unpack_from("=I", buffer)
    return buffer.raw[: 8 + size], mount.value


def file_system_id(path: bytes) -> bytes:
    """The 8 bytes that stand for the file system of ``path`` in events."""
    number = os.statvfs(path).f_fsid
    return struct.pack("=II", number & 0xFFFF_FFFF, number >> 32)


def _check(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
