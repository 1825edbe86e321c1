"""Documents that are ZIP files with XML in them: one opened archive, within bounds.

Nothing is unpacked: a member is read as it is inflated. All that is inflated of one document counts against one budget,
so that many small lies cost no more than a big one.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from lakewatchd import errors
from lakewatchd.media import exif, files
from lakewatchd.media.text.elements import Attributes, Fields, Handler, walk
from lakewatchd.media.text.writing import Locked

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_BYTES = 256 << 20
"""Inflated, of one document: ten times the text that is kept of it, as markup is longer than words."""
MOST_MEMBERS = 50_000
_SMALL_BYTES = 16 << 20


class Exceeded(Exception):
    """More was to be inflated than the budget has: what was read until then is what there is."""


class Package:
    """Members are found by name, whatever the case."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        infos = archive.infolist()
        if len(infos) > MOST_MEMBERS:
            raise errors.TooLarge(f"{len(infos)} files in it, {MOST_MEMBERS} are read at most", hint=_HINT)
        self._archive = archive
        self._members = {info.filename.lower(): info for info in reversed(infos)}
        self.names = [info.filename for info in infos]
        self._left_bytes = MOST_BYTES

    def has(self, name: str) -> bool:
        return name.lower() in self._members

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator[BinaryIO]:
        """Raises :class:`errors.DamagedMedia` if there is none, :class:`Locked`, and see :class:`Exceeded`."""
        info = self._members.get(name.lower())
        if info is None:
            raise errors.DamagedMedia(f"a part of it is missing: {exif.clean(name)}")
        if info.flag_bits & 1:
            raise Locked
        with self._archive.open(info) as stream:
            yield cast(BinaryIO, _Metered(self, cast(zipfile.ZipExtFile, stream)))

    def small(self, name: str) -> bytes:
        """All of a member that has no reason to be large."""
        with self.member(name) as stream:
            data = stream.read(_SMALL_BYTES + 1)
        if len(data) > _SMALL_BYTES:
            raise errors.TooLarge(f"a part of it is larger than {_SMALL_BYTES} bytes: {exif.clean(name)}", hint=_HINT)
        return data

    def walk(self, name: str, handler: Handler) -> None:
        with self.member(name) as stream:
            walk(stream, handler)

    def fields(self, name: str) -> Fields:
        """Of a part that is no loss if it cannot be read, such as metadata."""
        fields = Fields()
        with contextlib.suppress(errors.AssetError, Exceeded, *_BROKEN):
            self.walk(name, fields)
        return fields

    def elements(self, name: str, *tags: str) -> list[tuple[str, dict[str, str]]]:
        """Elements named ``tags`` of a member, with their attributes; none if it is not there."""
        handler = Attributes(*tags)
        if self.has(name):
            self.walk(name, handler)
        return handler.found

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """Of an Office part: relation id -> (last word of its type, name of the member it points to)."""
        folder, file = posixpath.split(name)
        found = self.elements(f"{folder}/_rels/{file}.rels".lstrip("/"), "Relationship")
        return {
            each.get("Id", ""): (each.get("Type", "").rpartition("/")[2], joined(folder, each.get("Target", "")))
            for _, each in found
            if each.get("TargetMode") != "External"
        }

    def spend(self, count: int) -> None:
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise Exceeded


_HINT = "leave it out with a .lakeignore file if it is not a document anybody reads"
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)


class _Metered(io.RawIOBase):
    def __init__(self, package: Package, stream: zipfile.ZipExtFile) -> None:
        self._package, self._stream = package, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._package.spend(len(data))
        return len(data)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if size >= 0 else MOST_BYTES)
        self._package.spend(len(data))
        return data


@contextlib.contextmanager
def opened(stream: BinaryIO) -> Iterator[Package]:
    """Raises :class:`errors.DamagedMedia` for what is no whole ZIP file, in the body too, and :class:`Locked`."""
    with files.translated():
        if stream.read(len(_COMPOUND)) == _COMPOUND:  # Office puts what it locks into a container of the old kind
            raise Locked
        try:
            with zipfile.ZipFile(stream) as archive:
                yield Package(archive)
        except _BROKEN as exc:
            raise errors.DamagedMedia(f"its ZIP container is broken: {exif.clean(str(exc)) or 'cut short'}") from exc


def joined(folder: str, target: str) -> str:
    """The name of the member that ``target`` means in ``folder``."""
    path = target.partition("#")[0]
    return posixpath.normpath(path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path))
