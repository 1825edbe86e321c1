"""Inode numbers of folders and of what rooms show: which the kernel knows, and what each stands for. Files of the index
are not here: their numbers tell (:mod:`lakewatchd.views.mounted.numbers`).

A number is 62 bits of a hash of the virtual path and, for a file, of the content shown there. So it is the same
after a restart, and new content under an old name is a new inode, as after a ``rename`` over it: the page
cache of one can never be read through the other, and what is open stays what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from lakewatchd.core.asset import Version
from lakewatchd.views.mounted.catalog import File
from lakewatchd.views.mounted.entries import Text
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.numbers import INDEXED

ROOT = 1
_TEXT = "text"
"""What stands for the content of a text of our own: it is the same file when it says something else."""


@dataclass(slots=True)
class Node:
    """``file`` is None for a folder, and may be a text of our own. ``seen`` is what the last open found, when that was
    newer than the lake."""

    parent: int
    folder: Folder
    """The folder itself, or the folder the file is in."""
    name: bytes
    content: str = ""
    file: File | Text | None = None
    lookups: int = 0
    handles: int = 0
    seen: Version | None = None

    def shows(self, file: File | Text | None) -> None:
        if self.file is not file:
            self.file, self.seen = file, None  # the lake has caught up


def _digest(raw: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest()) & INDEXED - 1


@dataclass(slots=True)
class Inodes:
    """``digest`` is replaced in tests to make collisions happen."""

    digest: Callable[[bytes], int] = _digest
    nodes: dict[int, Node] = field(default_factory=lambda: {ROOT: Node(ROOT, (), b"", lookups=1)})
    _folders: dict[Folder, int] = field(default_factory=lambda: {(): ROOT})

    def number(self, folder: Folder) -> int | None:
        """The inode of a folder if the kernel knows it."""
        return self._folders.get(folder)

    def known(self) -> list[Folder]:
        return list(self._folders)

    def folder(self, parent: int, path: Folder) -> int:
        """The inode of the folder at ``path``; counts one lookup."""
        number = self._folders[path] = self._claim(parent, path, path[-1], "", None)
        return number

    def file(self, parent: int, folder: Folder, name: bytes, file: File | Text) -> int:
        """The inode of a file; counts one lookup."""
        content = file.asset.asset_id if isinstance(file, File) else _TEXT
        return self._claim(parent, folder, name, content, file)

    def _claim(self, parent: int, folder: Folder, name: bytes, content: str, file: File | Text | None) -> int:
        raw = b"%d/%b/%b" % (parent, name, content.encode())
        while True:
            number = self.digest(raw)
            node = self.nodes.get(number)
            if node is None and number > ROOT:
                self.nodes[number] = Node(parent, folder, name, content, file, 1)
                return number
            if node is not None and node.name == name and node.parent == parent and node.content == content:
                node.lookups += 1
                node.shows(file)
                return number
            raw += b"/"

    def forget(self, number: int, lookups: int) -> None:
        node = self.nodes.get(number)
        if node is not None and number != ROOT:
            node.lookups -= lookups
            self.drop_unused(number, node)

    def drop_unused(self, number: int, node: Node) -> None:
        if node.lookups <= 0 and node.handles == 0:
            self.nodes.pop(number, None)
            if node.file is None:
                self._folders.pop(node.folder, None)
