"""What is told of an archive: how many files of which sorts, how large they would be, and their names.

Names, sizes and dates are whatever the archive's writer put there. The invariant: what is kept is bounded, however many
members there are, and depends on their order only where the bounds cut.
"""

from __future__ import annotations

import datetime as dt
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lakewatchd.core.asset import path_text
from lakewatchd.core.content import Content, Passage
from lakewatchd.media import exif
from lakewatchd.media.kinds import is_text
from lakewatchd.media.text.passages import passages
from lakewatchd.media.text.plain import read_text

MAX_MEMBERS = 200_000
"""That are counted."""
_NAMES = 300
"""That are told one by one."""
_NAMES_CHARS = 12_000
_NAME_CHARS = 200
_BEGINNING_CHARS = 4000
_SORTS = 8
_MAX_SORTS = 2000
"""Different folders or extensions that are counted."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    """As ``os.fsdecode`` gives it, with slashes."""
    size_bytes: int | None = None
    """Unpacked; None where the archive does not say."""
    modified_at: dt.datetime | None = None
    is_folder: bool = False
    is_encrypted: bool = False


@dataclass(slots=True)
class Listing:
    """The members of an archive, by and by."""

    form: str
    """Such as ``ZIP``."""
    files: int = 0
    folders: int = 0
    size_bytes: int = 0
    encrypted: int = 0
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None
    problem: str = ""
    """Why there may be more."""
    beginning: bytes = b""
    """Of the one file in what is packed and no archive."""
    _names: list[str] = field(default_factory=list)
    _tops: Counter[str] = field(default_factory=Counter)
    _extensions: Counter[str] = field(default_factory=Counter)

    def add(self, member: Member) -> bool:
        """Whether there is room for more."""
        if member.is_folder:
            self.folders += 1
        else:
            self._add_file(member)
        if self.files + self.folders < MAX_MEMBERS:
            return True
        self.problem = f"only the first {MAX_MEMBERS} members were counted"
        return False

    def _add_file(self, member: Member) -> None:
        self.files += 1
        self.size_bytes += max(0, member.size_bytes or 0)
        self.encrypted += member.is_encrypted
        if (at := member.modified_at) is not None:
            self.oldest, self.newest = min(self.oldest or at, at), max(self.newest or at, at)
        if not member.name:
            return
        path = member.name.lstrip("./")
        top, slash, _ = path.partition("/")
        _count(self._tops, top if slash else "")
        _count(self._extensions, posixpath.splitext(path)[1].lower()[:12])
        if len(self._names) < _NAMES:
            self._names.append(path_text(path)[:_NAME_CHARS])

    def to_content(self, name: str, passage_chars: int, passage_overlap: int) -> tuple[Content, str]:
        """And the text that the passages are slices of."""
        title = exif.title_of(_without_packing(name))
        text = "\n\n".join(self._paragraphs(title))
        spans = passages(text, passage_chars, passage_overlap)
        content = Content(
            title=title,
            exif=tuple(self._pairs()),
            passages=tuple(Passage(text[start:end], start, end) for start, end in spans),
            text_chars=len(text),
            warnings=(self.problem,) if self.problem else (),
        )
        return content, text

    def _paragraphs(self, title: str) -> Iterator[str]:
        parts = [_counted(self.files, "file")]
        if self.size_bytes:
            parts.append(f"{_size(self.size_bytes)} unpacked")
        if self.oldest and self.newest:
            oldest, newest = self.oldest.date(), self.newest.date()
            parts.append(f"from {oldest}" if oldest == newest else f"from {oldest} to {newest}")
        if self.encrypted:
            parts.append("encrypted" if self.encrypted == self.files else f"{self.encrypted} of them encrypted")
        yield f"{f'Archive {title}'.rstrip()} ({self.form}): {', '.join(parts)}."
        if self.beginning and is_text(self.beginning):
            yield read_text(self.beginning, is_cut=True)[0][:_BEGINNING_CHARS]
        if words := _frequent(self._extensions):
            yield f"Sorts of files: {words}."
        if len(self._tops) > 1 and (words := _frequent(self._tops)):
            yield f"Folders: {words}."
        yield "\n".join(self._names)[:_NAMES_CHARS]

    def _pairs(self) -> Iterator[tuple[str, str]]:
        yield "Format", self.form
        yield "Files", str(self.files)
        if self.folders:
            yield "Folders", str(self.folders)
        if self.size_bytes:
            yield "Unpacked", f"{self.size_bytes} bytes"
        if self.encrypted:
            yield "Encrypted", str(self.encrypted)
        if self.oldest and self.newest:
            yield "Oldest", self.oldest.isoformat(" ")
            yield "Newest", self.newest.isoformat(" ")


def member_name(raw: str | bytes) -> str:
    """``raw`` as ``os.fsdecode`` would give it, with slashes."""
    text = os.fsdecode(raw) if isinstance(raw, bytes) else raw
    return text.replace("\\", "/") if "/" not in text else text


def _without_packing(name: str) -> str:
    """``photos.tar.gz`` -> ``photos.tar``, whose end is that of the title."""
    stem, extension = posixpath.splitext(name)
    return stem if stem.endswith(".tar") and extension else name


def _count(counter: Counter[str], key: str) -> None:
    if key in counter or len(counter) < _MAX_SORTS:
        counter[key] += 1


def _frequent(counter: Counter[str]) -> str:
    """The most frequent ones, in an order of their own."""
    best = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:_SORTS]
    return ", ".join(f"{exif.clean(path_text(key), 80)} ({count})" for key, count in best if key)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"
