"""ZIP and what is one under another name (JAR, APK, CBZ, KMZ), by its directory: nothing else is read, except texts."""

from __future__ import annotations

import contextlib
import datetime as dt
import struct
import zipfile
import zlib
from typing import IO, BinaryIO, cast

from lakewatchd import errors
from lakewatchd.media import exif, files
from lakewatchd.media.archive.listing import Listing, Member, member_name
from lakewatchd.media.archive.members import Texts
from lakewatchd.media.bounded import BoundedReads

_ENCRYPTED = 1
_MOST_DIRECTORY_BYTES = 32 << 20
"""The directory is read at once, and takes ten times its size in memory."""
_REFUSED = (
    zipfile.BadZipFile, errors.TooLarge, ValueError, LookupError, NotImplementedError, OverflowError, struct.error,
    EOFError,
)  # fmt: skip
"""What a directory that lies makes of the reader."""
_DAMAGED = (*_REFUSED, zlib.error, RuntimeError)
"""The same of a member. (It asks for a password by ``RuntimeError``.)"""
_UNPACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of the others ``zipfile`` unpacks as much as comes, however little is asked for."""


def list_zip(stream: BinaryIO, texts: Texts | None = None) -> Listing:
    """Its members; ``texts`` takes what they say.

    A directory that cannot be read is told in :attr:`Listing.problem`.
    """
    found = Listing("ZIP")
    try:
        with files.translated():
            archive = zipfile.ZipFile(cast(BinaryIO, BoundedReads(stream, _MOST_DIRECTORY_BYTES)))
    except _REFUSED as exc:
        found.problem = f"its members cannot be listed: {exif.clean(str(exc))}"
        return found
    for info in archive.infolist():
        is_encrypted = bool(info.flag_bits & _ENCRYPTED)
        name = member_name(info.filename)
        member = Member(name, info.file_size, _date(info.date_time), info.filename.endswith("/"), is_encrypted)
        if texts is not None and texts.want(member):
            with contextlib.closing(_Unpacked(archive, info)) as unpacked:
                texts.take(member, unpacked.read, info.compress_size)
        if not found.add(member):
            break
    return found


class _Unpacked:
    """A member that is opened with its first bytes. Whatever it makes of the reader is its own fault."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive, self._info = archive, info
        self._stream: IO[bytes] | None = None

    def read(self, size: int) -> bytes:
        try:
            with files.translated():
                if self._info.compress_type not in _UNPACKED:
                    raise NotImplementedError("packed in a way that is not read")
                if self._info.header_offset < 0:  # the system would refuse that, as if the storage were to blame
                    raise zipfile.BadZipFile("it begins before the archive")
                if self._stream is None:
                    self._stream = self._archive.open(self._info)
                return self._stream.read(size)
        except _DAMAGED as exc:
            raise errors.DamagedMedia(f"it cannot be unpacked: {exif.clean(str(exc)) or 'cut short'}") from exc

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def _date(parts: tuple[int, ...]) -> dt.datetime | None:
    """None for the time before all others, which writers without a clock give."""
    try:
        at = dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - wall-clock time, as ZIP keeps it
    except ValueError:
        return None
    return at if at.year > 1980 else None
