"""Who answers for which folder of the view.

What the lake says stands in folders that are known before anybody looks: those answer at once. Behind some names of the
top folder are rooms instead, which ask somebody or work something out when a person looks in. The invariant: a room
that is slow, or gone, makes nobody wait but those who look into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from lakewatchd.views.mounted.catalog import File
from lakewatchd.views.mounted.entries import Branch, Leaf, Shown
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.index import Index

REMEMBERED_S = 5
"""How long the kernel may remember what a room said: nothing tells it when that changes."""


class Room(Protocol):
    """Asked with paths as the view has them, the name of the room first. Raises OSError for what cannot be told now."""

    async def folder(self, folder: Folder) -> Branch | None: ...

    async def lookup(self, folder: Folder, name: bytes) -> Shown | None: ...

    async def entries(self, folder: Folder) -> Iterable[tuple[bytes, Shown]]:
        """Raises KeyError if there is no such folder."""
        ...


@dataclass(slots=True)
class House:
    standing: Index
    rooms: dict[bytes, Room] = field(default_factory=dict[bytes, Room])

    def is_room(self, folder: Folder) -> bool:
        """Whether what is said of it, and of what is in it, holds for :data:`REMEMBERED_S` only."""
        return bool(folder) and folder[0] in self.rooms

    async def folder(self, folder: Folder) -> Branch | None:
        if folder and (room := self.rooms.get(folder[0])) is not None:
            return await room.folder(folder)
        return self.standing.folder(folder)

    async def lookup(self, folder: Folder, name: bytes) -> Shown | None:
        if not folder:
            return await self.folder((name,))
        if (room := self.rooms.get(folder[0])) is not None:
            return await room.lookup(folder, name)
        return self.standing.lookup(folder, name)

    async def entries(self, folder: Folder) -> Iterable[tuple[bytes, Shown]]:
        """Not all at once. Raises KeyError if there is no such folder."""
        if folder and (room := self.rooms.get(folder[0])) is not None:
            return await room.entries(folder)
        entries = self.standing.entries(folder)
        if folder:
            return entries
        rooms = [(name, await room.folder((name,))) for name, room in self.rooms.items()]
        return [*entries, *((name, branch) for name, branch in rooms if branch is not None)]

    def file(self, folder: Folder, name: bytes, entry: Shown) -> File | None:
        """All that is known of what :meth:`entries` showed, None for a folder or a text."""
        if isinstance(entry, Leaf):
            return self.standing.file(folder, name)
        return entry if isinstance(entry, File) else None
