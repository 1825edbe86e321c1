"""The daemon's door to the decoders: limited child processes that may crash, hang or eat memory.

Nothing here looks into a file. The invariant: whatever a file does to its decoder, the caller gets an
``AssetError`` about that file, within a deadline, and the next call finds a working decoder.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TypeVar

from lakewatchd import errors
from lakewatchd.child import Child, ChildPool, Json, Limits, Reply
from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Content, Identity
from lakewatchd.core.wire import to_json
from lakewatchd.media import wire

SLOWEST_BYTES_PER_S = 10_000_000
"""Nobody's disk or network is expected to read slower than this; a big file's deadline grows with it."""

_ENV = {
    # one thread per decoder: there are several of them, and every thread's stack counts as address space
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_START_S = 60.0
_OPEN_FILES = 64
_FILE_BYTES = 1 << 20
"""A decoder has nothing to write; what is left allows Python its cache of compiled modules."""

T = TypeVar("T")


class Decoders:
    """``count`` decoder processes, started when first needed. Calls beyond that number wait for a free one."""

    def __init__(
        self,
        config: DecodeConfig,
        count: int,
        *,
        module: str = "lakewatchd.media.child_main",
        env: dict[str, str] | None = None,
    ) -> None:
        limits = Limits(memory_bytes=config.memory_mb << 20, file_bytes=_FILE_BYTES, open_files=_OPEN_FILES)
        self._config = config
        self._settings = to_json(config)
        self._pool = ChildPool(tuple(Child(module, limits, {**_ENV, **(env or {})}) for _ in range(count)))

    async def identify(self, path: str, *, root: str = "") -> Identity | None:
        """Read all of the file at ``path`` and say which content it is; None if it changed meanwhile.

        ``path`` is taken from ``root`` where one is given, and then no symbolic link is followed on the way.
        Raises ``FileNotFoundError``; :class:`errors.UnsupportedMedia` for anything but a regular file;
        :class:`errors.NotReadable`; and, as reading alone harms no decoder, :class:`errors.TransientError`
        where the storage is too slow or the system refuses for now.
        """
        where = (os.fsencode(root), os.fsencode(path))
        quick_s = self._config.deadline_s
        at_most = int(quick_s * SLOWEST_BYTES_PER_S)
        found = await self._ask(_identity_or_size, "identify", {"at_most": at_most}, where, 2 * quick_s)
        if isinstance(found, int):
            deadline_s = quick_s + found / SLOWEST_BYTES_PER_S
            found = await self._ask(_identity_or_size, "identify", {"at_most": None}, where, deadline_s)
        return found if isinstance(found, Identity) else None

    async def describe(self, path: str, identity: Identity, name: str, *, root: str = "") -> Content | None:
        """Decode the file at ``path``; None if it is no longer the version that ``identity`` was made of.

        ``name`` serves for a title and a date where the content has none. Raises what :meth:`identify` does, and
        :class:`errors.TooLarge`; a decoder that dies twice, hangs or answers nonsense is
        :class:`errors.DamagedMedia`.
        """
        where = (os.fsencode(root), os.fsencode(path), os.fsencode(name))
        args = {**wire.identity_to_json(identity), "config": self._settings}
        try:
            return await self._ask(wire.content_from_reply, "describe", args, where, self._config.deadline_s)
        except errors.TimedOut as exc:
            raise errors.DamagedMedia(
                f"the decoder was stopped: not done within {self._config.deadline_s:g} s",
                hint="raise deadline_s in [decode] if the file is fine and the machine is slow",
            ) from exc
        except errors.WorkerDied as exc:
            limit = f"its memory limit is {self._config.memory_mb} MB"
            raise errors.DamagedMedia(f"the decoder died twice: {exc.message}; {limit}") from exc

    @property
    def pids(self) -> list[int]:
        """Of the processes that run now."""
        return self._pool.pids

    async def close(self) -> None:
        await self._pool.close()

    async def _ask(
        self, read: Callable[[Reply], T], op: str, args: Json, blobs: tuple[bytes, ...], deadline_s: float
    ) -> T | None:
        async with self._pool.borrow() as child:
            reply = await _call(child, op, args, blobs, deadline_s)
            if "gone" in reply.header:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(blobs[1]))
            if "changed" in reply.header:
                return None
            try:
                return read(reply)
            except ValueError as exc:
                await child.close()  # whatever made it talk nonsense shall not meet the next file
                raise errors.DamagedMedia(f"its decoder answers nonsense: {exc}") from exc


async def _call(child: Child, op: str, args: Json, blobs: tuple[bytes, ...], deadline_s: float) -> Reply:
    """One answer. A decoder that dies gets a second chance: the kernel may have killed it for another's hunger."""
    await _start(child)
    try:
        return await _own_errors(child, op, args, blobs, deadline_s)
    except errors.WorkerDied:
        await _start(child)
        return await _own_errors(child, op, args, blobs, deadline_s)


async def _own_errors(child: Child, op: str, args: Json, blobs: tuple[bytes, ...], deadline_s: float) -> Reply:
    """Only errors about the asset, and those that pass, may come out of a process that reads hostile bytes."""
    try:
        return await child.call(op, args, blobs, deadline_s=deadline_s)
    except (errors.AssetError, errors.TransientError):
        raise
    except errors.LakewatchError as exc:
        await child.close()
        raise errors.DamagedMedia(f"its decoder answers nonsense: {exc.reason}") from exc


async def _start(child: Child) -> None:
    """Loading libraries counts against no file. Not starting is the machine's fault, so it may pass."""
    try:
        async with asyncio.timeout(_START_S):
            await child.start()
    except TimeoutError as exc:
        raise errors.Busy(f"no decoder came up within {_START_S:g} s") from exc


def _identity_or_size(reply: Reply) -> Identity | int:
    size = reply.header.get("size_bytes")
    return size if isinstance(size, int) else wire.identity_from_json(reply.header)
