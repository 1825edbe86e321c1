"""Assets and the places where they were seen.

A path inside lakewatchd is a ``str`` as :func:`os.fsdecode` makes it (undecodable bytes become lone
surrogates). Such a string cannot be stored in Arrow or printed, so whatever leaves the process goes
through :func:`path_text`, which is reversible for every possible file name.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

AssetId = str
"""Content, named by the 64 hex digits of its BLAKE3 hash."""


class Kind(enum.StrEnum):
    """What a person would call the content; the folders of ``by-kind/``."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    TABLE = "table"
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class PathKey:
    """A place: a root by name, and a path relative to it (``/`` separated, never starting with one)."""

    root: str
    path: str

    @property
    def occurrence_id(self) -> str:
        """128 bits of hex, stable for ever: the key of the place in every table and queue."""
        raw = self.root.encode() + b"\0" + os.fsencode(self.path)
        return hashlib.blake2b(raw, digest_size=16).hexdigest()

    @property
    def text(self) -> str:
        """``root:path`` for people: logs, status, error messages."""
        return f"{self.root}:{path_text(self.path)}"


FREE_CALM = 3
MAX_CALM = 16
"""2 ** (16 - 3) hours are most of a year."""


@dataclass(frozen=True, slots=True)
class Version:
    """What ``stat`` says of a file, or ``HEAD`` of an object; equal versions mean the content need not be read again.

    An object has no inode and no device (0), a time of whole seconds, and an ``etag``; its ``ctime_ns`` is
    :attr:`Labels.mark`, since that is what moves when anything but its content changes.
    """

    size_bytes: int
    mtime_ns: int
    inode: int
    device: int = 0
    ctime_ns: int = 0
    """When anything about the file changed: no program can set it back. 0: unknown, as in rows of the lake and in a
    listing of a bucket."""
    calm: int = field(default=0, compare=False)
    """How often in a row its ctime had moved and its content had not."""
    etag: str = ""
    """What the bucket calls the content; empty for a file, and where the server does not say."""

    def is_same_as(self, other: Version) -> bool:
        """The same file, untouched. A reboot may number devices anew, so the device says nothing over time."""
        return self.is_like(other) and (self.ctime_ns == other.ctime_ns or not (self.ctime_ns and other.ctime_ns))

    def is_like(self, other: Version) -> bool:
        """As :meth:`is_same_as`, but it may be untouched in its content only: its owner, rights, links or name may
        have changed, or its content by somebody who set its time back."""
        mine, theirs = (self.size_bytes, self.mtime_ns, self.inode), (other.size_bytes, other.mtime_ns, other.inode)
        return mine == theirs and (self.etag == other.etag or not (self.etag and other.etag))

    def is_worth_reading(self, now_s: float) -> bool:
        """May a ctime that moved be a reason to read the file again? After some times in vain each further one doubles
        the wait since this ctime, so that a file whose ctime moves by itself (a backup that links it every night) is
        read less and less, and a change is found all the same."""
        if self.calm <= FREE_CALM:
            return True
        return abs(now_s - self.ctime_ns / 1e9) >= 3600 * 2.0 ** (min(self.calm, MAX_CALM) - FREE_CALM)

    @classmethod
    def of(cls, stat: os.stat_result) -> Version:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a bucket says of an object besides its content. A file has none."""

    tags: tuple[tuple[str, str], ...] = ()
    """Object tags, by name."""
    metadata: tuple[tuple[str, str], ...] = ()
    """User metadata (``x-amz-meta-*``), by name, without the prefix."""
    content_type: str = ""
    """As it was put; anybody may claim anything."""
    version_id: str = ""

    @property
    def mark(self) -> int:
        """63 bits, never 0, that stand for all of them: moves when one does."""
        raw = hashlib.blake2b(
            repr((self.tags, self.metadata, self.content_type, self.version_id)).encode(), digest_size=8
        )
        return int.from_bytes(raw.digest()) >> 1 or 1


NO_LABELS = Labels()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One place where an asset was seen, and the version it had there."""

    key: PathKey
    asset_id: AssetId
    version: Version
    sample: str = ""
    """Hex hash of the head, the middle and the tail of a large file; empty for a small one, or when unknown."""


@dataclass(frozen=True, slots=True)
class DirectoryDigest:
    """A directory that held just what was known: while its listing has this hash, there is nothing to compare."""

    value: bytes
    """Hash of every name and ``lstat`` in it, and of the ignore rules that held there."""
    files: int
    """Files directly in it that no rule leaves out."""
    ignored: tuple[tuple[str, int], ...] = ()
    """Entries left out, by rule."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a scan found of one directory, when that was what is known of it."""

    directory: str
    digest: DirectoryDigest
    known: Mapping[str, Version]
    """Its files, as they were known."""
    news: Mapping[str, Version]
    """Those of which ``stat`` says more than was known, or another device; their content is the same."""
    directories: frozenset[str]
    """Its directories that were entered."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A label with a score in 0..1 and who said so: one of :data:`lakewatchd.stages.voices.ORIGINS`."""

    name: str
    score: float
    origin: str


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said of an asset. Nobody overrules it."""

    tags: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    """Tags that it has not, whoever says so."""
    category: str = ""

    def __bool__(self) -> bool:
        return bool(self.tags or self.denied or self.category)


NO_CORRECTION = Correction()


@dataclass(frozen=True, slots=True)
class Detected:
    """An object in a picture. ``box`` is (left, top, right, bottom) as shares of width and height, 0..1."""

    name: str
    score: float
    box: tuple[float, float, float, float]


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff\u0080-\u009f\u2028\u2029]")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(\\))")


def path_text(path: str) -> str:
    """The path as valid, printable, one-line UTF-8. Reversed by :func:`text_path`.

    Undecodable bytes and control characters become ``\\xHH`` or ``\\uHHHH``, a backslash is doubled; every
    other name is unchanged.
    """

    def escape(match: re.Match[str]) -> str:
        char = match.group()
        if char == "\\":
            return "\\\\"
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            return f"\\x{code - 0xDC00:02x}"
        return f"\\u{code:04x}"

    return _UNPRINTABLE.sub(escape, path)


def text_path(text: str) -> str:
    """The path that :func:`path_text` made ``text`` from."""

    def unescape(match: re.Match[str]) -> str:
        if match[1]:
            return chr(0xDC00 + int(match[1], 16))
        return chr(int(match[2], 16)) if match[2] else "\\"

    return _ESCAPE.sub(unescape, text)
