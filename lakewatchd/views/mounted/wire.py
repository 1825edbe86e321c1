"""The messages of FUSE as bytes: what the kernel asks and what it takes for an answer (``linux/fuse.h``, from 7.31 on).

Pure functions, and only what a read-only file system needs. All numbers are in the machine's byte order. The invariant:
what is packed here has the size the kernel expects, for it refuses anything else.
"""

from __future__ import annotations

import errno
import stat
import struct
from enum import IntEnum
from typing import NamedTuple

VERSION = 7, 40
OLDEST = 7, 31
"""Of Linux 5.4."""
BLOCK_BYTES = 128 << 10
PAGES_MAX = 256
"""Of 4 KiB: the most that is read at once is a MiB."""
READ_MAX_BYTES = PAGES_MAX << 12
BACKGROUND_MAX = 64
"""Reads ahead that are under way at once."""
FILE_MODE, FOLDER_MODE = stat.S_IFREG | 0o444, stat.S_IFDIR | 0o555
_PADDING = [bytes(-length % 8) for length in range(8)]
"""By the last bits of a name's length."""


class Ask(IntEnum):
    """Opcodes; all others are answered ``ENOSYS``, which the kernel understands to mean *never ask again*."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    GETXATTR = 22
    LISTXATTR = 23
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44


SILENT = frozenset({Ask.FORGET, Ask.BATCH_FORGET})
"""Expect no answer."""

# What both sides can do, told in INIT; from bit 32 on in a second word.
ASYNC_READ, EXPORT_SUPPORT, READDIRPLUS, PARALLEL_DIROPS = 1 << 0, 1 << 4, 1 << 13, 1 << 18
ABORT_ERROR, MAX_PAGES, INIT_EXT, PASSTHROUGH = 1 << 21, 1 << 22, 1 << 30, 1 << 37
WANTED = ASYNC_READ | EXPORT_SUPPORT | READDIRPLUS | PARALLEL_DIROPS | ABORT_ERROR | MAX_PAGES | INIT_EXT | PASSTHROUGH

# How a file or folder was opened.
DIRECT_IO, KEEP_CACHE, CACHE_DIR, NO_FLUSH, PASSED_THROUGH = 1 << 0, 1 << 1, 1 << 3, 1 << 5, 1 << 7

_NOTIFY_INODE, _NOTIFY_ENTRY = 2, 3

REQUEST = struct.Struct("=IIQQ16x")
"""Length, opcode, number of the request, inode."""
REPLY = struct.Struct("=IiQ")
"""Length, negative errno, number of the request."""
_INIT_IN = struct.Struct("=IIII")
_INIT_OUT = struct.Struct("=IIIIHHIIHHII24x")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("=QQQQII")
_FILE_LINE = struct.Struct("=QQQQIIQQQQQQIIIIIIIIIIQQII")
"""An entry, its attributes and a line of a listing: what a folder of a million has a million of."""
_ATTRIBUTES_FOR = struct.Struct("=QII")
_DIRENT = struct.Struct("=QQII")
_OPENED = struct.Struct("=QIi")
_STATFS = struct.Struct("=QQQQQIIII24x")
_BYTES = struct.Struct("=II")
OPEN_IN = struct.Struct("=I4x")
"""Flags of open(2)."""
HANDLE_IN = struct.Struct("=Q")
READ_IN = struct.Struct("=QQI")
"""Handle, offset, size."""
FORGET_IN = struct.Struct("=Q")
BATCH_FORGET_IN = struct.Struct("=I4x")
FORGET_ONE = struct.Struct("=QQ")
XATTR_IN = struct.Struct("=I4x")
_NOTICE_INODE = struct.Struct("=Qqq")
_NOTICE_ENTRY = struct.Struct("=QII")


class Kernel(NamedTuple):
    """What it said in INIT."""

    version: tuple[int, int]
    max_readahead: int
    abilities: int

    @classmethod
    def read(cls, body: memoryview) -> Kernel:
        major, minor, max_readahead, abilities = _INIT_IN.unpack_from(body)
        if abilities & INIT_EXT:
            abilities |= struct.unpack_from("=I", body, _INIT_IN.size)[0] << 32
        return cls((major, minor), max_readahead, abilities)

    def agreed(self) -> bytes:
        """The answer."""
        wanted = WANTED & self.abilities
        low, high = wanted & 0xFFFFFFFF, wanted >> 32
        minor = min(self.version[1], VERSION[1])
        depth = 1 if wanted & PASSTHROUGH else 0  # of file systems over others: so an overlay may still be put over us
        said = VERSION[0], minor, self.max_readahead, low, BACKGROUND_MAX, BACKGROUND_MAX * 3 // 4
        return _INIT_OUT.pack(*said, READ_MAX_BYTES, 1, PAGES_MAX, 0, high, depth)


def attributes(number: int, mode: int, links: int, size_bytes: int, mtime_ns: int, owner: tuple[int, int]) -> bytes:
    seconds, rest_ns = divmod(mtime_ns, 1_000_000_000)
    return _ATTRIBUTES.pack(
        number, size_bytes, (size_bytes + 511) // 512, seconds, seconds, seconds, rest_ns, rest_ns, rest_ns,
        mode, links, *owner, 0, BLOCK_BYTES, 0,
    )  # fmt: skip


def entry(number: int, attr: bytes, remembered_s: int) -> bytes:
    """A name's inode and its attributes."""
    return _ENTRY.pack(number, 0, remembered_s, remembered_s, 0, 0) + attr


def absent(remembered_s: int) -> bytes:
    """There is no such name."""
    return _ENTRY.pack(0, 0, remembered_s, 0, 0, 0) + bytes(_ATTRIBUTES.size)


def attributes_for(attr: bytes, remembered_s: int) -> bytes:
    return _ATTRIBUTES_FOR.pack(remembered_s, 0, 0) + attr


def listed(name: bytes, number: int, mode: int, next_position: int) -> bytes:
    """One line of a listing."""
    return _DIRENT.pack(number, next_position, len(name), stat.S_IFMT(mode) >> 12) + name + _PADDING[len(name) & 7]


def file_line(
    name: bytes, number: int, size_bytes: int, mtime_ns: int, owner: tuple[int, int], remembered_s: int, position: int
) -> bytes:
    """As :func:`entry` and :func:`listed` of a file, in half the time."""
    seconds, rest_ns = divmod(mtime_ns, 1_000_000_000)
    return _FILE_LINE.pack(
        number, 0, remembered_s, remembered_s, 0, 0,
        number, size_bytes, (size_bytes + 511) // 512, seconds, seconds, seconds, rest_ns, rest_ns, rest_ns,
        FILE_MODE, 1, *owner, 0, BLOCK_BYTES, 0,
        number, position, len(name), stat.S_IFREG >> 12,
    ) + name + _PADDING[len(name) & 7]  # fmt: skip


def line_bytes(name: bytes) -> int:
    """Of :func:`entry` and :func:`listed` together."""
    return _FILE_LINE.size + len(name) + (-len(name) % 8)


def opened(handle: int, flags: int, backing: int = 0) -> bytes:
    return _OPENED.pack(handle, flags, backing)


def statfs(blocks: int, files: int, block_bytes: int, name_max: int) -> bytes:
    return _STATFS.pack(blocks, 0, 0, files, 0, block_bytes, name_max, block_bytes, 0)


def attribute_value(value: bytes, room: int) -> bytes:
    """An extended attribute, or a list of them; of ``room`` 0 its length. Raises OSError where it has no room."""
    if not room:
        return _BYTES.pack(len(value), 0)
    if len(value) > room:
        raise OSError(errno.ERANGE, "longer than that")
    return value


def name_of(body: memoryview) -> bytes:
    """A name, which ends with a zero byte."""
    return bytes(body[:-1])


def forget_inode(number: int, *, with_content: bool) -> bytes:
    """A notice: its attributes are others now, and what was read of it."""
    body = _NOTICE_INODE.pack(number, 0 if with_content else -1, 0)
    return REPLY.pack(REPLY.size + len(body), _NOTIFY_INODE, 0) + body


def forget_entry(parent: int, name: bytes) -> bytes:
    """A notice: the name means something else now."""
    body = _NOTICE_ENTRY.pack(parent, len(name), 0) + name + b"\0"
    return REPLY.pack(REPLY.size + len(body), _NOTIFY_ENTRY, 0) + body
