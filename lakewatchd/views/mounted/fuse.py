"""FUSE requests, answered from the folders and the originals. Thin: what is shown is decided in the tree and the rooms.

Runs on one event loop; nothing here blocks it. What is at hand is answered at once, by a plain method; what may have to
be waited for, by a coroutine. The invariant: the kernel may remember every answer for :data:`TIMEOUT_S`, because
:meth:`LakeView.forget_stale` takes back each one that a change makes untrue. That, and not speed of ours, is what makes
the view as fast as a local disk. What a room says, it may remember for seconds only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import CoroutineType
from typing import Any

from lakewatchd.core.asset import Version
from lakewatchd.views.mounted import wire
from lakewatchd.views.mounted.catalog import File, statable
from lakewatchd.views.mounted.device import Answer, Device, Payload
from lakewatchd.views.mounted.entries import Branch, Leaf, RankedFile, Shown, Text, Touched
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.house import REMEMBERED_S, House
from lakewatchd.views.mounted.inodes import Inodes, Node
from lakewatchd.views.mounted.narrowed import is_told
from lakewatchd.views.mounted.numbers import is_place, item_of
from lakewatchd.views.mounted.originals import Original, Originals, Written
from lakewatchd.views.mounted.passing import NOT_PASSED, Passing
from lakewatchd.views.mounted.past import AT
from lakewatchd.views.mounted.wire import Ask

TIMEOUT_S = 300
STATFS_BLOCK_BYTES = 4096
NAME_MAX = 255
XATTR_PREFIX = b"user.lakewatchd."
XATTR_MAX_BYTES = 64 << 10
_DOTS = (b".", b"..")
HELD_ENTRIES = 1000
_NOTHING: tuple[tuple[int, int], Version | None] = (0, 0), None
SEEN_FILES = 4096
"""Of which it is remembered what the last open found."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    number: int
    original: Original
    file: File | Text
    told: tuple[int, int]
    """Its size and time as the lake had them."""
    node: Node | None
    """None for what its number tells."""

    def is_as_known(self, seen: Version | None) -> bool:
        """Whether it is what the kernel was told: what an earlier open had found, else what the lake says."""
        found = self.original.version
        return found == seen if seen is not None else statable(found) == self.told


@dataclass(frozen=True, slots=True)
class _Dot:
    """``.`` or ``..`` in a listing."""

    number: int


@dataclass(slots=True)
class OpenFolder:
    """A listing under way, of which only what was read last is held. Going back further means to begin anew."""

    number: int
    node: Node
    rest: Iterator[tuple[bytes, Shown]]
    first: int = 0
    """The position of the first entry held."""
    held: list[tuple[bytes, Shown]] = field(default_factory=list)

    def at(self, position: int) -> list[tuple[bytes, Shown]]:
        """Some entries from that position on, none at the end. Raises LookupError when it lies too far back."""
        if position < self.first:
            raise LookupError(position)
        while position >= self.first + len(self.held):
            more = list(itertools.islice(self.rest, HELD_ENTRIES))
            if not more:
                return []
            self.first += max(0, len(self.held) - HELD_ENTRIES)
            self.held = [*self.held[-HELD_ENTRIES:], *more]
        return self.held[position - self.first :]


class LakeView:
    def __init__(self, house: House, originals: Originals, device: Device, started_ns: int) -> None:
        """``started_ns`` stands in for the time of folders that are empty."""
        self.house = house
        self.originals = originals
        originals.buffer = bytearray(wire.READ_MAX_BYTES)
        self._device = device
        self._started_ns = started_ns
        self._inodes = Inodes()
        self._owner = os.getuid(), os.getgid()
        self._files: dict[int, OpenFile] = {}
        self._folders: dict[int, OpenFolder] = {}
        self._handles = itertools.count(1)
        self._seen: OrderedDict[int, tuple[tuple[int, int], Version]] = OrderedDict()
        """Of numbers of the index: what the lake said, and what the last open found."""
        self._passing = Passing(device)
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._direct_io_bytes = memory_bytes // 4  # larger ones would push everything else out of the cache
        # The kernel may hold a notice back until a request is answered: never send one from the event loop.
        self._notifier = ThreadPoolExecutor(1, "notices to the kernel")
        self._answers = {
            Ask.LOOKUP: self._lookup, Ask.FORGET: self._forget, Ask.BATCH_FORGET: self._forget_many,
            Ask.GETATTR: self._getattr, Ask.GETXATTR: self._getxattr, Ask.LISTXATTR: self._listxattr,
            Ask.STATFS: self._statfs, Ask.OPENDIR: self._opendir, Ask.READDIRPLUS: self._readdirplus,
            Ask.RELEASEDIR: self._releasedir, Ask.OPEN: self._open, Ask.READ: self._read, Ask.RELEASE: self._release,
        }  # fmt: skip

    def answer(self, opcode: int, inode: int, body: memoryview) -> Answer:
        """See :data:`lakewatchd.views.mounted.device.Answerer`. All that would write is refused here too."""
        handler = self._answers.get(opcode)  # type: ignore[call-overload]
        if handler is None:
            raise OSError(errno.ENOSYS, "not of this file system")
        try:
            answer = handler(inode, body)
        except sqlite3.OperationalError as exc:  # no space to work it out in
            raise OSError(errno.EIO, str(exc)) from exc
        return _told(answer) if isinstance(answer, CoroutineType) else answer

    # --- names and attributes

    def _lookup(self, parent_inode: int, body: memoryview) -> Answer:
        name = wire.name_of(body)
        if name == b"." and (item := item_of(parent_inode)) is not None:  # for those who re-export the view
            return self._leaf_entry(self._leaf(parent_inode, item))
        parent = self._folder_node(parent_inode)
        if name in _DOTS:
            number = parent_inode if name == b"." else parent.parent
            node = self._node(number)
            node.lookups += 1
            return self._looked_up(number, node)
        if self.house.is_room((*parent.folder, name)):
            return self._lookup_in_room(parent_inode, parent.folder, name)
        return self._named(parent_inode, parent.folder, name, self.house.standing.lookup(parent.folder, name))

    async def _looked_up(self, number: int, node: Node) -> Payload:
        return self._entry(number, await self._current(node))

    async def _lookup_in_room(self, parent: int, folder: Folder, name: bytes) -> Payload:
        return self._named(parent, folder, name, await self.house.lookup(folder, name))

    def _named(self, parent: int, folder: Folder, name: bytes, entry: Shown | None) -> bytes:
        if isinstance(entry, Leaf):
            return self._leaf_entry(entry)
        if entry is None:
            return wire.absent(self._remembered_s(folder) if is_told(folder, name) else 0)
        return self._entry(self._claim(parent, folder, name, entry), entry)

    def _forget(self, inode: int, body: memoryview) -> None:
        (lookups,) = wire.FORGET_IN.unpack_from(body)
        self._inodes.forget(inode, lookups)

    def _forget_many(self, _inode: int, body: memoryview) -> None:
        (count,) = wire.BATCH_FORGET_IN.unpack_from(body)
        start = wire.BATCH_FORGET_IN.size
        for number, lookups in wire.FORGET_ONE.iter_unpack(body[start : start + count * wire.FORGET_ONE.size]):
            self._inodes.forget(number, lookups)

    def _getattr(self, inode: int, _body: memoryview) -> Answer:
        item = item_of(inode)
        if item is not None:
            return wire.attributes_for(self._leaf_attributes(self._leaf(inode, item)), TIMEOUT_S)
        node = self._node(inode)
        if node.file is None and not self.house.is_room(node.folder):
            return self._attributes_for(inode, self._current_folder(self.house.standing.folder(node.folder)))
        return self._getattr_of_room(inode, node)

    async def _getattr_of_room(self, inode: int, node: Node) -> Payload:
        return self._attributes_for(inode, await self._current(node))

    def _getxattr(self, inode: int, body: memoryview) -> bytes:
        (room,) = wire.XATTR_IN.unpack_from(body)
        name = wire.name_of(body[wire.XATTR_IN.size :])
        if not name.startswith(b"user."):
            # "ls -l" asks for access lists and labels of every file, until it hears that there are none at all.
            raise OSError(errno.ENOTSUP, "no such attributes")
        value = self._notes(inode).get(name.removeprefix(XATTR_PREFIX)) if name.startswith(XATTR_PREFIX) else None
        if value is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return wire.attribute_value(value[:XATTR_MAX_BYTES], room)

    def _listxattr(self, inode: int, body: memoryview) -> bytes:
        (room,) = wire.XATTR_IN.unpack_from(body)
        return wire.attribute_value(b"".join(XATTR_PREFIX + key + b"\0" for key in self._notes(inode)), room)

    def _notes(self, number: int) -> dict[bytes, bytes]:
        item = item_of(number)
        file = self._node(number).file if item is None else self._indexed(number, item)
        notes = dict(self._facts(file)) if isinstance(file, File) else {}
        return notes | dict(file.notes) if isinstance(file, RankedFile) else notes

    def _facts(self, file: File) -> Iterator[tuple[bytes, bytes]]:
        """What is known; what is empty is left out."""
        yield b"asset", file.asset.asset_id.encode()
        origin = self.originals.origin(file)
        if origin is not None:
            yield b"origin", origin
        facts = file.asset.state.facts
        if facts is None:
            return
        score = f"{facts.category_score:.3f}" if facts.category else ""
        texts = {b"tags": ",".join(facts.tags), b"category": facts.category, b"caption": facts.caption, b"score": score}
        yield from ((key, text.encode(errors="replace")) for key, text in texts.items() if text)

    def _statfs(self, _inode: int, _body: memoryview) -> bytes:
        blocks = -(-self.house.standing.total_bytes // STATFS_BLOCK_BYTES)
        return wire.statfs(blocks, self.house.standing.files, STATFS_BLOCK_BYTES, NAME_MAX)

    def _node(self, number: int) -> Node:
        node = self._inodes.nodes.get(number)
        if node is None:
            raise OSError(errno.ESTALE, "no longer known")
        return node

    def _folder_node(self, number: int) -> Node:
        node = self._node(number)
        if node.file is not None:
            raise OSError(errno.ENOTDIR, "not a folder")
        return node

    def _claim(self, parent: int, folder: Folder, name: bytes, entry: Branch | File | Text) -> int:
        if isinstance(entry, Branch):
            return self._inodes.folder(parent, (*folder, name))
        return self._inodes.file(parent, folder, name, entry)

    def _indexed(self, number: int, item: int, *, with_facts: bool = True) -> File:
        """What a number of the index stands for."""
        file = self.house.standing.file_of_item(item, with_facts=with_facts)
        if file is not None:
            return file
        for opened in self._files.values():
            if opened.number == number and isinstance(opened.file, File):
                return opened.file  # removed, but still open somewhere
        raise OSError(errno.ESTALE, "no longer known")

    async def _current(self, node: Node) -> Branch | File | Text:
        """What a known inode shows now. ``ESTALE`` makes the kernel ask again by name."""
        if node.file is None:
            return self._current_folder(await self.house.folder(node.folder))
        entry = await self.house.lookup(node.folder, node.name)
        if isinstance(entry, File | Text) and _is_same(entry, node.file):
            node.shows(entry)
            return entry
        if node.handles:
            return node.file  # removed, but still open somewhere
        raise OSError(errno.ESTALE, "no longer known")

    def _current_folder(self, folder: Branch | None) -> Branch:
        if folder is None:
            raise OSError(errno.ESTALE, "no longer there")
        return folder

    def _leaf(self, number: int, item: int) -> Leaf:
        return Leaf(number, *_size_and_time(self._indexed(number, item)))

    def _leaf_attributes(self, leaf: Leaf) -> bytes:
        number, size_bytes, mtime_ns = self._found(leaf)
        return wire.attributes(number, wire.FILE_MODE, 1, size_bytes, mtime_ns, self._owner)

    def _found(self, leaf: Leaf) -> Leaf:
        """As it is, which may be newer than the lake."""
        seen = self._seen_of(leaf) if leaf.number in self._seen else None
        return leaf if seen is None else Leaf(leaf.number, *statable(seen))

    def _leaf_entry(self, leaf: Leaf) -> bytes:
        return wire.entry(leaf.number, self._leaf_attributes(leaf), TIMEOUT_S)

    def _seen_of(self, leaf: Leaf) -> Version | None:
        """What the last open found, unless the lake has caught up."""
        told, seen = self._seen.get(leaf.number, _NOTHING)
        return seen if told == leaf[1:] else None

    def _entry(self, number: int, entry: Branch | File | Text) -> bytes:
        remembered_s = self._remembered_s(self._inodes.nodes[number].folder)
        return wire.entry(number, self._attributes(number, entry), remembered_s)

    def _attributes_for(self, number: int, entry: Branch | File | Text) -> bytes:
        remembered_s = self._remembered_s(self._inodes.nodes[number].folder)
        return wire.attributes_for(self._attributes(number, entry), remembered_s)

    def _attributes(self, number: int, entry: Branch | File | Text) -> bytes:
        if isinstance(entry, Branch):
            newest_ns = entry.newest_ns or self._started_ns
            return wire.attributes(number, wire.FOLDER_MODE, entry.links, 0, newest_ns, self._owner)
        seen = self._inodes.nodes[number].seen
        size_bytes, mtime_ns = _size_and_time(entry) if seen is None else statable(seen)
        return wire.attributes(number, wire.FILE_MODE, 1, size_bytes, mtime_ns or self._started_ns, self._owner)

    def _remembered_s(self, folder: Folder) -> int:
        return REMEMBERED_S if self.house.is_room(folder) else TIMEOUT_S

    # --- folders

    def _opendir(self, inode: int, _body: memoryview) -> Answer:
        node = self._folder_node(inode)
        if not node.folder or self.house.is_room(node.folder):
            return self._opendir_of_room(inode, node)
        try:
            return self._opened_folder(OpenFolder(inode, node, iter(self.house.standing.entries(node.folder))))
        except KeyError:
            raise OSError(errno.ENOENT, "no such folder") from None

    async def _opendir_of_room(self, inode: int, node: Node) -> Payload:
        try:
            entries = await self.house.entries(node.folder)
        except KeyError:
            raise OSError(errno.ENOENT, "no such folder") from None
        return self._opened_folder(OpenFolder(inode, node, iter(entries)))

    def _opened_folder(self, opened: OpenFolder) -> bytes:
        handle = next(self._handles)
        self._folders[handle] = opened
        return wire.opened(handle, 0)

    def _readdirplus(self, _inode: int, body: memoryview) -> Answer:
        handle, position, size = wire.READ_IN.unpack_from(body)
        opened = self._folders[handle]
        first = max(0, position - len(_DOTS))
        if first < opened.first or (position == 0 and opened.held):
            return self._read_anew(handle, opened, position, size)
        return self._listing(opened, position, size)

    async def _read_anew(self, handle: int, opened: OpenFolder, position: int, size: int) -> Payload:
        entries: Iterator[tuple[bytes, Shown]] = iter(())
        with contextlib.suppress(KeyError):  # it went meanwhile
            entries = iter(await self.house.entries(opened.node.folder))
        opened = self._folders[handle] = OpenFolder(opened.number, opened.node, entries)
        return self._listing(opened, position, size)

    def _listing(self, opened: OpenFolder, position: int, size: int) -> bytes:
        """As many lines from there on as have room, none at the end."""
        lines: list[bytes] = []
        while True:
            entries = self._dots(opened, position) or opened.at(position - len(_DOTS))
            for name, entry in entries:
                size -= wire.line_bytes(name)
                if size < 0:
                    return b"".join(lines)
                position += 1
                if isinstance(entry, Leaf):
                    lines.append(wire.file_line(name, *self._found(entry), self._owner, TIMEOUT_S, position))
                elif isinstance(entry, _Dot):
                    lines += wire.absent(0), wire.listed(name, entry.number, wire.FOLDER_MODE, position)
                else:
                    number = self._claim(opened.number, opened.node.folder, name, entry)
                    mode = wire.FOLDER_MODE if isinstance(entry, Branch) else wire.FILE_MODE
                    lines += self._entry(number, entry), wire.listed(name, number, mode, position)
            if not entries:
                return b"".join(lines)

    @staticmethod
    def _dots(opened: OpenFolder, position: int) -> list[tuple[bytes, _Dot]]:
        """The folder itself and the one above it, of which the kernel takes no more than the number."""
        numbers = opened.number, opened.node.parent
        return [(name, _Dot(number)) for name, number in zip(_DOTS, numbers, strict=True)][position:]

    def _releasedir(self, _inode: int, body: memoryview) -> bytes:
        del self._folders[wire.HANDLE_IN.unpack_from(body)[0]]
        return b""

    # --- files

    def _open(self, inode: int, body: memoryview) -> Answer:
        (flags,) = wire.OPEN_IN.unpack_from(body)
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise OSError(errno.EROFS, "nothing can be written")
        item = item_of(inode)
        if item is None:
            return self._open_node(inode, self._node(inode))
        entry = self._indexed(inode, item, with_facts=False)
        original = self.originals.open_at_once(entry)
        if original is None:
            return self._open_elsewhere(inode, item, entry)
        opened = OpenFile(inode, original, entry, _size_and_time(entry), None)
        seen = self._see(opened)
        return self._opened(opened, seen) if opened.is_as_known(seen) else self._opened_as_it_is(opened, seen)

    async def _open_node(self, inode: int, node: Node) -> Payload:
        told = _size_and_time(node.file) if node.file is not None else (0, 0)
        entry, seen = await self._current(node), node.seen
        if isinstance(entry, Branch):
            raise OSError(errno.EISDIR, "a folder")
        original = await self._open_original(entry, is_of_places=False, is_past=node.folder[0] == AT)
        node.seen = original.version
        node.handles += 1
        return await self._opened_as_it_is(OpenFile(inode, original, entry, told, node), seen)

    async def _open_elsewhere(self, inode: int, item: int, entry: File) -> Payload:
        original = await self._open_original(entry, is_of_places=is_place(item), is_past=False)
        opened = OpenFile(inode, original, entry, _size_and_time(entry), None)
        return await self._opened_as_it_is(opened, self._see(opened))

    def _see(self, opened: OpenFile) -> Version | None:
        """Note what was found of a file of the index. Returns what the open before this one found."""
        seen = self._seen_of(Leaf(opened.number, *opened.told))
        self._seen[opened.number] = opened.told, opened.original.version
        self._seen.move_to_end(opened.number)
        if len(self._seen) > SEEN_FILES:
            self._seen.popitem(last=False)
        return seen

    async def _opened_as_it_is(self, opened: OpenFile, seen: Version | None) -> Payload:
        """The kernel must not cut it off at the size it was told before."""
        if not opened.is_as_known(seen):
            await self._send([wire.forget_inode(opened.number, with_content=False)])
        return self._opened(opened, seen)

    def _opened(self, opened: OpenFile, seen: Version | None) -> bytes:
        handle = next(self._handles)
        self._files[handle] = opened
        backing = self._passing.begin(opened.number, opened.original.descriptor)
        if backing != NOT_PASSED:
            return wire.opened(handle, wire.NO_FLUSH | wire.PASSED_THROUGH, backing)
        flags = wire.NO_FLUSH
        if opened.original.version.size_bytes > self._direct_io_bytes:
            flags |= wire.DIRECT_IO
        if isinstance(opened.file, File) and opened.is_as_known(seen):  # a text may say something else in as many words
            flags |= wire.KEEP_CACHE
        return wire.opened(handle, flags)

    async def _open_original(self, file: File | Text, *, is_of_places: bool, is_past: bool) -> Original:
        """Any place of the asset will do, except where the folder shows places. Of the past, what lies there must be as
        it was then."""
        if isinstance(file, Text):
            return Written(file)
        places = (file,) if is_of_places else (file, *file.asset.state.files)
        if is_past and (today := self.house.standing.file_of(file.asset.asset_id)) is not None:
            places = (*places, today)
        problem = errno.EIO
        for place in dict.fromkeys(places):
            try:
                original = await self.originals.open(place)
                if not is_past or statable(original.version) == (place.size_bytes, place.mtime_ns):
                    return original
                await self._close_slowly(original)
                problem = errno.ESTALE
            except FileNotFoundError:
                problem = errno.EIO if place.is_away else errno.ENOENT
            except PermissionError:
                problem = errno.EACCES
            except OSError as exc:
                problem = _told_of_read(exc)
        raise OSError(problem, "no place of it can be read")

    def _read(self, _inode: int, body: memoryview) -> Answer:
        handle, offset, size = wire.READ_IN.unpack_from(body)
        original = self._files[handle].original
        try:
            found = original.read_at_once(size, offset)
        except OSError as exc:
            raise OSError(_told_of_read(exc), exc.strerror) from exc
        return found if found is not None else self._read_slowly(original, size, offset)

    async def _read_slowly(self, original: Original, size: int, offset: int) -> Payload:
        try:
            return await original.read(size, offset)
        except OSError as exc:
            raise OSError(_told_of_read(exc), exc.strerror) from exc

    def _release(self, _inode: int, body: memoryview) -> Answer:
        opened = self._files.pop(wire.HANDLE_IN.unpack_from(body)[0])
        self._passing.end(opened.number)
        if opened.node is not None:
            opened.node.handles -= 1
            self._inodes.drop_unused(opened.number, opened.node)
        if not opened.original.is_at_hand:
            return self._close_slowly(opened.original)
        opened.original.drop()
        return b""

    async def _close_slowly(self, original: Original) -> Payload:
        with contextlib.suppress(OSError):  # nothing was written, so nothing can have been lost
            await original.close()
        return b""

    # --- changes

    async def forget_stale(self, touched: Touched) -> None:
        """Have the kernel forget every answer that the change made untrue. Returns when it has."""
        notices = list(self._notices(touched))
        if notices:
            await self._send(notices)

    def _notices(self, touched: Touched) -> Iterator[bytes]:
        for folder, names in touched.entries.items():
            if (number := self._inodes.number(folder)) is not None:
                yield from (wire.forget_entry(number, name) for name in names)
        for folder in self._inodes.known():
            if touched.concerns(folder) and (number := self._inodes.number(folder)) is not None:
                yield wire.forget_inode(number, with_content=False)
        for opened in self._files.values() if touched.entries else ():
            item = item_of(opened.number)
            if item is not None and self.house.standing.size_of_item(item) != opened.told:
                yield wire.forget_inode(opened.number, with_content=False)

    async def _send(self, notices: list[bytes]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._notifier, self._device.tell, notices)

    def close(self) -> None:
        """After the mount has gone: wait for notices under way, close what programs left open."""
        self._notifier.shutdown()
        for opened in self._files.values():
            opened.original.drop()
        self._files.clear()


def _is_same(one: File | Text, other: File | Text) -> bool:
    """Whether who has one of them open, or has it in the page cache, has the other."""
    if isinstance(one, File) and isinstance(other, File):
        return one.asset.asset_id == other.asset.asset_id
    return isinstance(one, Text) and isinstance(other, Text)


def _size_and_time(entry: File | Text) -> tuple[int, int]:
    return (entry.size_bytes, entry.mtime_ns) if isinstance(entry, File) else (len(entry.content), entry.written_ns)


async def _told(answer: Coroutine[Any, Any, Payload]) -> Payload:
    try:
        return await answer
    except sqlite3.OperationalError as exc:  # no space to work it out in
        raise OSError(errno.EIO, str(exc)) from exc


def _told_of_read(problem: OSError) -> int:
    return errno.ESTALE if problem.errno == errno.ESTALE else errno.EIO
