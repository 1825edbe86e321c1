"""``.lake/``: what programs want to know of the view, and of each of its folders.

::

    .lake/README.txt
    .lake/status.json
    .lake/by-tag/beach/index.json     what is in by-tag/beach, for programs
    .lake/by-tag/beach/beach.m3u8     its films and recordings, for players

Below ``.lake`` any folder of the view can be named, and none is listed: who copies or searches the whole view passes
through each folder once. The invariant: a text is worked out when somebody looks at it, and stays the same for as long
as the view shows the same, or some seconds, so that its size is true when it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lakewatchd import errors
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.views.mounted.catalog import File
from lakewatchd.views.mounted.entries import Branch, RankedFile, Shown, Text
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.house import House
from lakewatchd.views.mounted.names import NAME_MAX_BYTES
from lakewatchd.views.mounted.waiting import Crowded, WaitingRoom

ABOUT = b".lake"
README, STATUS, INDEX, PLAYLIST = b"README.txt", b"status.json", b"index.json", b".m3u8"
FILES_MAX = 10_000
"""Of a larger folder this many, and how many more there are."""
AT_ONCE = 500
"""Files that are written about before others get their turn."""
KEPT = 16
OLD_S = 1.0
PATIENCE_S = 2.0
TOLD = ("headline", "version", "uptime_s")
"""Of what the daemon says: who may look into the view need not be one who may ask the daemon."""
PLAYED = frozenset({"video", "audio"})

Status = Callable[[], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Writing:
    text: Text
    revision: int
    written_at: float


@dataclass(slots=True)
class About:
    """``status`` is what the daemon says of itself; ``view`` what the view says of itself."""

    house: House
    revision: Callable[[], int]
    view: Callable[[], Mapping[str, object]]
    status: Status | None = None
    clock: Clock = field(default_factory=SystemClock)
    _writings: OrderedDict[Folder, Writing] = field(default_factory=OrderedDict)
    _asking: asyncio.Future[Mapping[str, object]] | None = None
    _waiting: WaitingRoom = field(default_factory=WaitingRoom)

    async def folder(self, folder: Folder) -> Branch | None:
        if len(folder) == 1:
            return Branch(0, 2)
        is_folder = ABOUT not in folder[1:] and await self.house.folder(folder[1:]) is not None
        return Branch(0, 2) if is_folder else None

    async def lookup(self, folder: Folder, name: bytes) -> Shown | None:
        if name in self._names(folder) and await self.folder(folder) is not None:
            return await self._text(folder, name)
        return await self.folder((*folder, name))

    async def entries(self, folder: Folder) -> Sequence[tuple[bytes, Shown]]:
        if await self.folder(folder) is None:
            raise KeyError(folder)
        return [(name, await self._text(folder, name)) for name in self._names(folder)]

    @staticmethod
    def _names(folder: Folder) -> tuple[bytes, ...]:
        if len(folder) == 1:
            return README, STATUS
        return INDEX, folder[-1][: NAME_MAX_BYTES - len(PLAYLIST)] + PLAYLIST

    async def _text(self, folder: Folder, name: bytes) -> Text:
        kept = self._writings.get((*folder, name))
        now = self.clock.monotonic()
        if kept is not None:
            may_change = name == STATUS or self.house.is_room(folder[1:]) or kept.revision != self.revision()
            if now - kept.written_at < OLD_S or not may_change:
                return kept.text
        revision = self.revision()
        text = Text(await self._written(folder, name), int(self.clock.now() * 1e9))
        if kept is not None and kept.text.content == text.content:
            text = kept.text
        self._writings[*folder, name] = Writing(text, revision, now)
        self._writings.move_to_end((*folder, name))
        while len(self._writings) > KEPT:
            self._writings.popitem(last=False)
        return text

    async def _written(self, folder: Folder, name: bytes) -> bytes:
        if len(folder) == 1:
            return _README if name == README else Text.of_json(await self._status()).content
        entries: Iterable[tuple[bytes, Shown]] = ()
        with contextlib.suppress(KeyError):  # it went while we looked
            entries = await self.house.entries(folder[1:])
        return await (self._index(folder[1:], entries) if name == INDEX else self._playlist(folder, entries))

    async def _status(self) -> Mapping[str, object]:
        """What cannot be had is said in its place."""
        daemon: object = None
        if self.status is not None:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.ensure_future(self.status())
            try:
                said = await self._waiting.until_done(self._asking, PATIENCE_S)
                daemon = {name: said[name] for name in TOLD if name in said}
            except (TimeoutError, Crowded):
                daemon = {"error": f"no answer within {PATIENCE_S:.0f} seconds"}
            except errors.LakewatchError as exc:
                daemon = {"error": exc.message, "hint": exc.hint or ""}
        return {"view": self.view(), "daemon": daemon}

    async def _index(self, folder: Folder, entries: Iterable[tuple[bytes, Shown]]) -> bytes:
        told: list[dict[str, object]] = []
        folders: list[str] = []
        more = 0
        for at, (name, entry) in enumerate(entries):
            if isinstance(entry, Branch):
                folders.append(_shown(name))
            elif len(told) >= FILES_MAX:
                more += 1
            elif (file := self.house.file(folder, name, entry)) is not None:
                told.append({"name": _shown(name)} | _facts(file))
            if at % AT_ONCE == 0:
                await asyncio.sleep(0)
        shown = {"folder": _shown(b"/".join(folder)), "folders": folders[:FILES_MAX], "files": told, "more": more}
        return Text.of_json(shown).content

    async def _playlist(self, folder: Folder, entries: Iterable[tuple[bytes, Shown]]) -> bytes:
        """Paths as they are from here, so that it plays wherever the view is mounted."""
        up = b"../" * len(folder) + b"".join(name + b"/" for name in folder[1:])
        lines = [b"#EXTM3U"]
        for at, (name, entry) in enumerate(itertools.islice(entries, FILES_MAX)):
            file = self.house.file(folder[1:], name, entry)
            facts = file.asset.state.facts if file is not None else None
            if facts is not None and facts.kind in PLAYED and _is_one_line(name):
                lines += [b"#EXTINF:-1," + name, up + name]
            if at % AT_ONCE == 0:
                await asyncio.sleep(0)
        return b"\n".join(lines) + b"\n"


def _facts(file: File) -> dict[str, object]:
    facts = file.asset.state.facts
    told: dict[str, object] = {
        "asset": file.asset.asset_id, "root": file.root, "path": _shown(os.fsencode(file.path)),
        "size_bytes": file.size_bytes, "modified_s": file.mtime_ns / 1e9, "is_away": file.is_away,
    }  # fmt: skip
    if facts is not None:
        told |= {
            "kind": facts.kind, "category": facts.category, "tags": list(facts.tags), "caption": facts.caption,
            "country": facts.country, "city": facts.city,
        }  # fmt: skip
    if isinstance(file, RankedFile):
        told |= {key.decode(): value.decode(errors="replace") for key, value in file.notes}
    return told


def _is_one_line(name: bytes) -> bool:
    """And UTF-8, as the list is."""
    try:
        return name.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")


_README = b"""This is a lake: files as they lie on disks and in buckets, in folders by what they show and say.
Nothing in here can be changed, and nothing in here is a copy.

    by-tag/a/b  by-tag/a|b      with both tags, with either
    by-category  by-date  by-kind  by-place  by-root
    recent  duplicates  untagged
    search/sunset at the beach  what fits these words best, the best first
    similar/evening.jpg         what is like this file
    at/VERSION                  the folders as they were

In here:

    .lake/status.json               how the view and the daemon are
    .lake/by-tag/beach/index.json   of any folder: its files with size, tags, caption, as JSON
    .lake/by-tag/beach/beach.m3u8   of any folder: its films and recordings as a playlist

Each file says more by extended attributes: getfattr -d FILE
"""
