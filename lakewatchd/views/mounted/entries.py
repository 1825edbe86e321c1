"""What a folder of the view is asked, and what it answers: the face between those who hold folders and FUSE.

The invariant of whoever answers: after any history of changes every answer equals that of one that was given only the
present, and :class:`Touched` names all that a reader who remembers answers has to forget.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Protocol

from lakewatchd.core.asset import AssetId
from lakewatchd.views.mounted.catalog import File
from lakewatchd.views.mounted.folders import Folder, is_tagged


@dataclass(frozen=True, slots=True)
class Branch:
    """A folder as its parent shows it. ``newest_ns`` is the latest modification of a file in it or below."""

    newest_ns: int
    links: int
    """2 + subfolders; 1, which means *not counted*, where counting would mean to list it."""


class Leaf(NamedTuple):
    """A file as a folder shows it: what ``ls -l`` needs of a million."""

    number: int
    """Its inode, decided by what is shown there."""
    size_bytes: int
    mtime_ns: int


Entry = Branch | Leaf


class Folders(Protocol):
    """Folders by virtual path, files in them by name. Nothing here waits for anything but the local disk."""

    def folder(self, folder: Folder) -> Branch | None:
        """The folder itself, None if there is no such folder (any more)."""
        ...

    def lookup(self, folder: Folder, name: bytes) -> Entry | None: ...

    def entries(self, folder: Folder) -> Iterable[tuple[bytes, Entry]]:
        """Everything in the folder (``recent``: newest first). Raises KeyError if there is none."""
        ...

    def file(self, folder: Folder, name: bytes) -> File | None:
        """All that is known of the file of that name: what opening it and its extended attributes need."""
        ...

    def file_of(self, asset_id: AssetId) -> File | None:
        """The place of an asset that is shown where one stands for all."""
        ...

    def named(self, name: bytes, limit: int) -> Sequence[File]:
        """Places whose file has this name, the oldest first."""
        ...


@dataclass(slots=True)
class Touched:
    """What a reader who remembers answers has to forget."""

    entries: dict[Folder, set[bytes]] = field(default_factory=dict)
    """Names that mean something else now."""
    folders: set[Folder] = field(default_factory=set)
    """Folders of the trie with another modification time or number of links."""
    tags: set[bytes] = field(default_factory=set)
    """Of every asset that changed: folders of several of these may have changed too."""

    def concerns(self, folder: Folder) -> bool:
        return folder in self.folders or (is_tagged(folder) and all(map(self._concerns_tag, folder[1:])))

    def _concerns_tag(self, component: bytes) -> bool:
        return not self.tags.isdisjoint(component.split(b"|"))


@dataclass(frozen=True, slots=True)
class Text:
    """A small file of our own: no original stands behind it."""

    content: bytes
    written_ns: int = 0
    """0: when the view was started."""

    @classmethod
    def of_json(cls, data: object, written_ns: int = 0) -> Text:
        return cls(json.dumps(data, ensure_ascii=False, indent=1).encode(errors="replace") + b"\n", written_ns)


@dataclass(frozen=True, slots=True, eq=False)
class RankedFile(File):
    """A file as an answer ranks it."""

    notes: tuple[tuple[bytes, bytes], ...] = ()
    """Why it is here: extended attributes, in place of the file's own of that name."""

    @classmethod
    def of(cls, file: File, notes: tuple[tuple[bytes, bytes], ...]) -> RankedFile:
        said = {known.name: getattr(file, known.name) for known in fields(File)}
        return cls(**said, notes=notes)


Shown = Entry | File | Text
