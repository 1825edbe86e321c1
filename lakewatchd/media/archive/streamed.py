"""TAR, 7z, RAR, ISO, packages and their like, by libarchive: from header to header, whatever lies between.

libarchive is a system library, its binding an extra. It calls back for bytes, and a confined process cannot make the
code that is called: so there is one :class:`Door` for each process, made before, through which one archive at a time is
read. Compressed archives must be unpacked to find the next header, so both sides of that are bounded.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import datetime as dt
import functools
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from lakewatchd import errors
from lakewatchd.media import exif, files
from lakewatchd.media.archive.listing import Listing, Member, member_name
from lakewatchd.media.archive.members import Texts

NOT_INSTALLED = (
    "what is in it is not listed: libarchive is not installed"
    " (apt-get install libarchive13 && pip install 'lakewatchd[archives]')"
)
_LIBRARY = "libarchive.so.13"
_BLOCK_BYTES = 64 << 10
_HEADER_BYTES = 8 << 10
"""At once of what is not packed, where only headers are read and the rest is passed over."""
_BEGINNING_BYTES = 16 << 10
_MOST_READ_BYTES = 256 << 20
_MOST_UNPACKED_BYTES = 512 << 20
_FATAL = -30
_FORMATS = ("tar", "7zip", "rar", "rar5", "iso9660", "ar", "cpio", "cab", "lha", "xar")
"""Not ZIP, for whose members it would jump through the whole file, and none that starts with text."""
_ANYTHING = "raw"
"""The format of what is packed and no archive. It takes all bytes, so only what has been unpacked may be that."""
_FILTERS = ("gzip", "bzip2", "xz", "lzma", "zstd", "lz4", "compress", "rpm")
"""None that needs a program."""


def is_available() -> bool:
    if importlib.util.find_spec("libarchive") is None:
        return False
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def load() -> None:
    """The library, and the door."""
    _door()


def list_members(stream: BinaryIO, form: str, *, is_packed: bool = False, texts: Texts | None = None) -> Listing:
    """The members of the archive in ``stream``. What keeps it from listing more is in :attr:`Listing.problem`.

    ``is_packed``: it may be no archive, but one compressed file. Of that, :attr:`Listing.beginning` is unpacked.
    ``texts`` takes what members say.
    """
    found = Listing(form)
    with files.translated():
        for member in _door().members(stream, found, is_packed):
            if not found.add(member):
                break
        if texts is not None:
            _read_members(stream, Listing(form), is_packed, texts)
    return found


def _read_members(stream: BinaryIO, again: Listing, is_packed: bool, texts: Texts) -> None:
    """A pass of its own: what breaks off while members are unpacked has been listed."""
    stream.seek(0)
    for member in _door().members(stream, again, is_packed, texts):
        if texts.is_done or not again.add(member):
            break
    else:
        texts.stop(again.problem)


@functools.cache
def _door() -> Door:
    return Door()


class Door:
    """The way from libarchive to a stream of Python's."""

    def __init__(self) -> None:
        os.environ.setdefault("LIBARCHIVE", _LIBRARY)  # else programs are run to find it
        from libarchive import ffi

        self._ffi: Any = ffi
        self._is_encrypted = ffi.ffi("entry_is_encrypted", [ffi.c_archive_entry_p], ctypes.c_int)
        every = [f"read_support_format_{name}" for name in _FORMATS] + [
            f"read_support_filter_{name}" for name in _FILTERS
        ]
        self._supports = [ffi.ffi(name, [ffi.c_archive_p], ctypes.c_int) for name in every]
        self._supports_anything = ffi.ffi(f"read_support_format_{_ANYTHING}", [ffi.c_archive_p], ctypes.c_int)
        self._buffer = ctypes.create_string_buffer(_BLOCK_BYTES)
        self._read = ffi.READ_CALLBACK(self._fill)
        self._seek = ffi.SEEK_CALLBACK(self._move)
        self._stream: BinaryIO | None = None
        self._left = 0
        self._failure: Exception | None = None
        self._stopped = ""

    def members(
        self, stream: BinaryIO, found: Listing, is_packed: bool, texts: Texts | None = None
    ) -> Iterator[Member]:
        """Until the end, or until ``found.problem`` says why not. Raises what reading ``stream`` does."""
        ffi = self._ffi
        self._stream, self._left, self._failure, self._stopped = stream, _MOST_READ_BYTES, None, ""
        archive = ffi.read_new()
        try:
            for support in (*self._supports, *([self._supports_anything] if is_packed else ())):
                support(archive)
            ffi.read_set_seek_callback(archive, self._seek)
            ffi.read_open(archive, None, ffi.NO_OPEN_CB, self._read, ffi.NO_CLOSE_CB)
            for member in self._entries(archive):
                if ffi.format_name(archive) == _ANYTHING.encode():
                    yield replace(member, name="")  # libarchive makes one up
                    found.beginning = self._data(archive, _BEGINNING_BYTES)
                    continue
                if texts is not None and texts.want(member):
                    texts.take(member, functools.partial(self._member_data, archive))
                yield member
        except ffi.ArchiveError as exc:
            if self._failure is not None:
                raise self._failure from exc
            found.problem = f"its members cannot be listed to the end: {self._stopped or exif.clean(str(exc.msg))}"
        finally:
            ffi.read_free(archive)
            self._stream = None

    def _entries(self, archive: Any) -> Iterator[Member]:
        from libarchive.entry import ArchiveEntry

        while True:
            entry = ArchiveEntry(archive)
            if self._ffi.read_next_header2(archive, entry._entry_p) == self._ffi.ARCHIVE_EOF:
                return
            name = entry.pathname
            yield Member(
                member_name(name if name is not None else ""),
                entry.size,
                _date(entry.mtime),
                bool(entry.isdir),
                self._is_encrypted(entry._entry_p) > 0,
            )

    def _data(self, archive: Any, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        count = self._ffi.read_data(archive, buffer, size)
        return ctypes.string_at(buffer, max(0, count))

    def _member_data(self, archive: Any, size: int) -> bytes:
        """The next bytes of a member. What is damaged about it alone keeps nobody from the next."""
        try:
            return self._data(archive, size)
        except self._ffi.ArchiveError as exc:
            if self._failure is not None or exc.retcode == _FATAL:
                raise
            raise errors.DamagedMedia(f"it cannot be unpacked: {exif.clean(str(exc.msg))}") from exc

    def _fill(self, archive: Any, context: object, block: Any) -> int:
        """libarchive asks for the next bytes. What is raised here would be lost: it is kept."""
        try:
            assert self._stream is not None
            is_packed = self._ffi.filter_count(archive) > 1
            if self._left <= 0 or (is_packed and self._ffi.filter_bytes(archive, 0) > _MOST_UNPACKED_BYTES):
                self._stopped = "it is too long to look through"
                return _FATAL
            data = self._stream.read(_BLOCK_BYTES if is_packed else _HEADER_BYTES)
            ctypes.memmove(self._buffer, data, len(data))
            ctypes.cast(block, ctypes.POINTER(ctypes.c_void_p))[0] = ctypes.addressof(self._buffer)
            self._left -= len(data)
            return len(data)
        except Exception as exc:
            self._failure = exc
            return _FATAL

    def _move(self, archive: Any, context: object, offset: int, whence: int) -> int:
        try:
            assert self._stream is not None
            return self._stream.seek(offset, whence)
        except Exception as exc:
            self._failure = exc
            return _FATAL


def _date(seconds: float | None) -> dt.datetime | None:
    """In UTC, whatever zone the archive was made in."""
    try:
        return None if not seconds else dt.datetime.fromtimestamp(int(seconds), dt.UTC).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return None
