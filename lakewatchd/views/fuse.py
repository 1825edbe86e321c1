"""FUSE requests, answered from the tree and the originals. Thin: what is shown is decided in the tree.

The only home of ``pyfuse3``. Runs on one event loop; nothing here blocks it. The invariant: the kernel may
remember every answer for :data:`TIMEOUT_S`, because :meth:`LakeView.forget_stale` takes back each one that a
change makes untrue. That, and not speed of ours, is what makes the view as fast as a local disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn

import pyfuse3

from lakewatchd.views.catalog import File, statable
from lakewatchd.views.folders import DUPLICATES, ROOT, Folder
from lakewatchd.views.inodes import Inodes, Node
from lakewatchd.views.originals import Original, Originals
from lakewatchd.views.tree import Branch, Entry, Touched, Tree

TIMEOUT_S = 300.0
BLOCK_BYTES = 128 << 10
STATFS_BLOCK_BYTES = 4096
XATTR_PREFIX = b"user.lakewatchd."
XATTR_MAX_BYTES = 64 << 10
_DOTS = (b".", b"..")


@dataclass(frozen=True, slots=True)
class OpenFile:
    number: int
    node: Node
    original: Original


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """What was in the folder when it was opened: positions in it stay valid whatever happens to the tree."""

    number: int
    node: Node
    entries: Sequence[tuple[bytes, Entry]]


class LakeView(pyfuse3.Operations):  # type: ignore[misc]
    supports_dot_lookup = True

    def __init__(self, tree: Tree, originals: Originals, started_ns: int) -> None:
        """``started_ns`` stands in for the time of folders that are empty."""
        super().__init__()
        self.tree = tree
        self.originals = originals
        self._started_ns = started_ns
        self._inodes = Inodes()
        self._uid, self._gid = os.getuid(), os.getgid()
        self._files: dict[int, OpenFile] = {}
        self._folders: dict[int, OpenFolder] = {}
        self._handles = itertools.count(1)
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._direct_io_bytes = memory_bytes // 4  # larger ones would push everything else out of the cache
        # The kernel may hold a notice back until a request is answered: never send one from the event loop.
        self._notifier = ThreadPoolExecutor(1, "notices to the kernel")

    # --- names and attributes

    async def lookup(self, parent_inode: int, name: bytes, ctx: Any = None) -> Any:
        parent = self._folder_node(parent_inode)
        if name in _DOTS:
            number = parent_inode if name == b"." else parent.parent
            self._node(number).lookups += 1
            return self._attributes(number)
        entry = self.tree.lookup(parent.folder, name)
        if entry is None:
            absent = pyfuse3.EntryAttributes()
            absent.st_ino = 0
            absent.entry_timeout = TIMEOUT_S
            return absent
        return self._entry_attributes(self._claim(parent_inode, parent.folder, name, entry), entry)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for number, lookups in inode_list:
            self._inodes.forget(number, lookups)

    async def getattr(self, inode: int, ctx: Any = None) -> Any:
        return self._attributes(inode)

    async def getxattr(self, inode: int, name: bytes, ctx: Any = None) -> bytes:
        if not name.startswith(b"user."):
            # "ls -l" asks for access lists and labels of every file, until it hears that there are none at all.
            raise pyfuse3.FUSEError(errno.ENOTSUP)
        node = self._node(inode)
        if node.file is not None:
            for key, value in self._facts(node.file):
                if name == XATTR_PREFIX + key:
                    return value[:XATTR_MAX_BYTES]
        raise pyfuse3.FUSEError(pyfuse3.ENOATTR)

    async def listxattr(self, inode: int, ctx: Any = None) -> Sequence[bytes]:
        node = self._node(inode)
        return [XATTR_PREFIX + key for key, _ in self._facts(node.file)] if node.file is not None else []

    def _facts(self, file: File) -> Iterator[tuple[bytes, bytes]]:
        """What is known; what is empty is left out."""
        yield b"asset", file.asset.asset_id.encode()
        root = self.originals.roots.get(file.root)
        if root is not None:
            yield b"origin", os.fsencode(root / file.path)
        facts = file.asset.state.facts
        if facts is None:
            return
        score = f"{facts.category_score:.3f}" if facts.category else ""
        texts = {b"tags": ",".join(facts.tags), b"category": facts.category, b"caption": facts.caption, b"score": score}
        yield from ((key, text.encode(errors="replace")) for key, text in texts.items() if text)

    async def access(self, inode: int, mode: int, ctx: Any = None) -> bool:
        return not mode & os.W_OK

    async def statfs(self, ctx: Any = None) -> Any:
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = STATFS_BLOCK_BYTES
        data.f_blocks = -(-self.tree.total_bytes // STATFS_BLOCK_BYTES)
        data.f_files = self.tree.files
        data.f_bfree = data.f_bavail = data.f_ffree = data.f_favail = 0
        data.f_namemax = 255
        return data

    def _node(self, number: int) -> Node:
        node = self._inodes.nodes.get(number)
        if node is None:
            raise pyfuse3.FUSEError(errno.ESTALE)
        return node

    def _folder_node(self, number: int) -> Node:
        node = self._node(number)
        if node.file is not None:
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        return node

    def _claim(self, parent: int, folder: Folder, name: bytes, entry: Entry) -> int:
        if isinstance(entry, File):
            return self._inodes.file(parent, folder, name, entry)
        return self._inodes.folder(parent, (*folder, name))

    def _current(self, node: Node) -> Entry:
        """What a known inode shows now. ``ESTALE`` makes the kernel ask again by name."""
        if node.file is None:
            entry: Entry | None = self.tree.folder(node.folder)
        else:
            entry = self.tree.lookup(node.folder, node.name)
        if isinstance(entry, File) and node.file is not None and entry.asset is node.file.asset:
            node.shows(entry)
            return entry
        if isinstance(entry, Branch) and node.file is None:
            return entry
        if node.file is not None and node.handles:
            return node.file  # removed, but still open somewhere
        raise pyfuse3.FUSEError(errno.ESTALE)

    def _attributes(self, number: int) -> Any:
        return self._entry_attributes(number, self._current(self._node(number)))

    def _entry_attributes(self, number: int, entry: Entry) -> Any:
        if isinstance(entry, File):
            seen = self._inodes.nodes[number].seen
            size_bytes, mtime_ns = (entry.size_bytes, entry.mtime_ns) if seen is None else statable(seen)
            return self._filled(number, stat.S_IFREG | 0o444, 1, size_bytes, mtime_ns)
        return self._filled(number, stat.S_IFDIR | 0o555, entry.links, 0, entry.newest_ns or self._started_ns)

    def _filled(self, number: int, mode: int, links: int, size_bytes: int, mtime_ns: int) -> Any:
        attr = pyfuse3.EntryAttributes()
        attr.st_ino = number
        attr.entry_timeout = attr.attr_timeout = TIMEOUT_S
        attr.st_mode = mode
        attr.st_nlink = links
        attr.st_uid, attr.st_gid = self._uid, self._gid
        attr.st_size = size_bytes
        attr.st_blksize = BLOCK_BYTES
        attr.st_blocks = -(-size_bytes // 512)
        attr.st_atime_ns = attr.st_mtime_ns = attr.st_ctime_ns = mtime_ns
        return attr

    # --- folders

    async def opendir(self, inode: int, ctx: Any = None) -> int:
        node = self._folder_node(inode)
        try:
            entries = self.tree.entries(node.folder)
        except KeyError:
            raise pyfuse3.FUSEError(errno.ENOENT) from None
        handle = next(self._handles)
        self._folders[handle] = OpenFolder(inode, node, entries)
        return handle

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        opened = self._folders[fh]
        for at in range(start_id, len(_DOTS)):
            number = opened.number if at == 0 else opened.node.parent
            attr = self._filled(number, stat.S_IFDIR | 0o555, 1, 0, 0)
            if not pyfuse3.readdir_reply(token, _DOTS[at], attr, at + 1):
                return
        for at in range(max(0, start_id - len(_DOTS)), len(opened.entries)):
            name, entry = opened.entries[at]
            number = self._claim(opened.number, opened.node.folder, name, entry)
            if not pyfuse3.readdir_reply(token, name, self._entry_attributes(number, entry), at + len(_DOTS) + 1):
                self._inodes.forget(number, 1)
                return

    async def releasedir(self, fh: int) -> None:
        del self._folders[fh]

    # --- files

    async def open(self, inode: int, flags: int, ctx: Any = None) -> Any:
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise pyfuse3.FUSEError(errno.EROFS)
        node = self._node(inode)
        entry = self._current(node)
        if not isinstance(entry, File):
            raise pyfuse3.FUSEError(errno.EISDIR)
        original = await self._open_original(node.folder, entry)
        found = original.version
        told = (entry.size_bytes, entry.mtime_ns)
        is_as_known = found == node.seen if node.seen is not None else statable(found) == told
        node.seen = found
        node.handles += 1
        handle = next(self._handles)
        self._files[handle] = OpenFile(inode, node, original)
        if not is_as_known:  # the kernel must not cut the file at the size it was told before
            await self._send([(inode, None)])
        is_huge = found.size_bytes > self._direct_io_bytes
        return pyfuse3.FileInfo(fh=handle, direct_io=is_huge, keep_cache=is_as_known)

    async def _open_original(self, folder: Folder, file: File) -> Original:
        """Any place of the asset will do, except where the folder shows places."""
        places = (file,) if folder[0] in (ROOT, DUPLICATES) else (file, *file.asset.state.files)
        problem = errno.EIO
        for place in dict.fromkeys(places):
            try:
                return await self.originals.open(place.root, place.path)
            except FileNotFoundError:
                problem = errno.EIO if place.is_away else errno.ENOENT
            except PermissionError:
                problem = errno.EACCES
            except OSError:
                problem = errno.EIO
        raise pyfuse3.FUSEError(problem)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        try:
            return await self.originals.read(self._files[fh].original, size, off)
        except OSError as exc:
            raise pyfuse3.FUSEError(errno.EIO) from exc

    async def flush(self, fh: int) -> None:
        pass

    async def release(self, fh: int) -> None:
        opened = self._files.pop(fh)
        opened.node.handles -= 1
        self._inodes.drop_unused(opened.number, opened.node)
        with contextlib.suppress(OSError):  # nothing was written, so nothing can have been lost
            await self.originals.close(opened.original)

    # --- all that would write

    async def _refuse(self, *args: object) -> NoReturn:
        raise pyfuse3.FUSEError(errno.EROFS)

    create = mkdir = mknod = symlink = link = unlink = rmdir = rename = _refuse
    setattr = write = setxattr = removexattr = _refuse

    # --- changes

    async def forget_stale(self, touched: Touched) -> None:
        """Have the kernel forget every answer that the change made untrue. Returns when it has."""
        notices = list(self._notices(touched))
        if notices:
            await self._send(notices)

    def _notices(self, touched: Touched) -> Iterator[tuple[int, bytes | None]]:
        """An inode and the name in it to forget, or None for its own attributes."""
        for folder, names in touched.entries.items():
            if (number := self._inodes.number(folder)) is not None:
                yield from ((number, name) for name in names)
        dropped = {self._inodes.number(folder) for folder in touched.dropped} - {None}
        if dropped:
            nodes = self._inodes.nodes.values()
            yield from ((node.parent, node.name) for node in nodes if node.parent in dropped and node.name)
        for folder in self._inodes.known():
            if touched.concerns(folder) and (number := self._inodes.number(folder)) is not None:
                yield number, None
        for opened in self._files.values():
            if opened.node.name in touched.entries.get(opened.node.folder, ()):
                yield opened.number, None

    async def _send(self, notices: list[tuple[int, bytes | None]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._notifier, _send_notices, notices)

    def close(self) -> None:
        """After the mount has gone: wait for notices under way, close what programs left open."""
        self._notifier.shutdown()
        for opened in self._files.values():
            os.close(opened.original.fd)
        self._files.clear()


def _send_notices(notices: list[tuple[int, bytes | None]]) -> None:
    for number, name in notices:
        with contextlib.suppress(FileNotFoundError):  # the kernel had forgotten by itself
            if name is None:
                pyfuse3.invalidate_inode(number, attr_only=True)
            else:
                pyfuse3.invalidate_entry(number, name)
