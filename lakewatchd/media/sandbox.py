"""The daemon's door to the decoders: confined child processes that may crash, hang or eat memory.

Nothing here looks into a file. The invariant: whatever a file does to its decoder, the caller gets an
``AssetError`` about that file, within a deadline, and the next call finds a working decoder. Storage that does not
answer is no fault of a file: its root is away for as long as a decoder waits for it, and no further one is risked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from typing import TypeVar

from lakewatchd import errors
from lakewatchd.child import Child, ChildPool, Json, Largest, Limits, Reply
from lakewatchd.config import DecodeConfig
from lakewatchd.core import one_thread
from lakewatchd.core.content import DESCRIBE, Content, Identity, Sample, Sound, Task
from lakewatchd.core.status import Layer
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.media import wire
from lakewatchd.media.ranged import Provide, Supply, Unsupplied

SLOWEST_BYTES_PER_S = 10_000_000
"""Nobody's disk or network is expected to read slower than this; a big file's deadline grows with it."""

_ENV = {
    # one thread per decoder: there are several of them, and every thread's stack counts as address space
    **one_thread.VARIABLES,
    "MALLOC_ARENA_MAX": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
    # a thread that Arrow starts when it is loaded would be one that is not confined
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
_START_S = 60.0
_OPEN_FILES = 64
_FILE_BYTES = 1
"""A decoder has nothing to write. (0 would be no limit.)"""
_HEADER_BYTES = 1 << 20
_PICTURE_BYTES = 16 << 20
"""What pixels and thumbnail of a description stay below by far."""
DEEP_PICTURE_BYTES = 96 << 20
"""The same of a film scene by scene, or of pages to be read."""
_IDLE_SHARE = 0.1
"""A decoder that worked for less of its deadline than this has waited: for storage, or for its turn."""

T = TypeVar("T")


class Decoders:
    """``count`` decoder processes, started when first needed. Calls beyond that number wait for a free one.

    There are two of these pools: the second works for heavy stages (:meth:`deep`), so that an hour of film, which
    takes a decoder for minutes, keeps no photo waiting.
    """

    def __init__(
        self,
        config: DecodeConfig,
        count: int,
        *,
        pictures_bytes: int = _PICTURE_BYTES,
        module: str = "lakewatchd.media.child_main",
        env: dict[str, str] | None = None,
    ) -> None:
        limits = Limits(memory_bytes=config.memory_mb << 20, file_bytes=_FILE_BYTES, open_files=_OPEN_FILES)
        self._config = config
        self._settings = to_json(config)
        # A character takes four bytes at most; each passage adds 36 to at least 50 characters.
        largest = Largest(_HEADER_BYTES, pictures_bytes + 5 * config.max_text_bytes)
        children = (
            Child(module, limits, {**_ENV, **(env or {})}, inherits=False, on_note=self._on_note, largest=largest)
            for _ in range(count)
        )
        self._pool = ChildPool(tuple(children))
        self._roots: dict[str, None] = {}
        """All that were asked for: what the next decoder may read."""
        self._stuck: dict[str, list[Process]] = {}
        self.layers: tuple[Layer, ...] = ()
        """What confines the decoders; empty until one has started."""

    @classmethod
    def deep(cls, config: DecodeConfig, count: int) -> Decoders:
        """Those with more time and room for an answer."""
        patient = dataclasses.replace(config, deadline_s=config.deep_deadline_s)
        return cls(patient, count, pictures_bytes=DEEP_PICTURE_BYTES)

    async def identify(self, path: str, *, root: str = "") -> Identity | None:
        """Read all of the file at ``path`` and say which content it is; None if it changed meanwhile.

        ``path`` is taken from ``root``, and no symbolic link is followed on the way; without one, from its directory.
        Raises ``FileNotFoundError``; :class:`errors.UnsupportedMedia` for anything but a regular file;
        :class:`errors.NotReadable`; :class:`errors.RootAway` while the storage does not answer; and, as reading
        alone harms no decoder, :class:`errors.TransientError` where it is too slow or the system refuses for now.
        """
        where = _place(root, path)
        quick_s = self._config.deadline_s
        at_most = int(quick_s * SLOWEST_BYTES_PER_S)
        found = await self._ask(_identity_or_size, "identify", {"at_most": at_most}, where, 2 * quick_s)
        if isinstance(found, int):
            deadline_s = quick_s + found / SLOWEST_BYTES_PER_S
            found = await self._ask(_identity_or_size, "identify", {"at_most": None}, where, deadline_s)
        return found if isinstance(found, Identity) else None

    async def sample(self, path: str, *, root: str = "") -> Sample | None:
        """Read a few pieces of a large file; None if it changed meanwhile. Errors as :meth:`identify`."""
        return await self._ask(_sample, "sample", {}, _place(root, path), self._config.deadline_s)

    async def describe(
        self,
        path: str,
        identity: Identity,
        name: str,
        *,
        root: str = "",
        task: Task = DESCRIBE,
        provide: Provide | None = None,
    ) -> Content | None:
        """Decode the file at ``path``; None if it is no longer the version that ``identity`` was made of.

        ``name`` serves for a title and a date where the content has none. Raises what :meth:`identify` does, and
        :class:`errors.TooLarge`; a decoder that dies twice, works without end or answers nonsense is
        :class:`errors.DamagedMedia`.

        With ``provide``, the file has the right size but may lack most of its content: a cached object. Before bytes
        are read, ``await provide(start, end)`` has made them present, whole blocks and none of them twice; if it
        raises, so does this. Its time does not count as decoding. The caller vouches that these bytes are
        ``identity``'s, as the times of such a file say nothing: None means that its size is another.
        """
        where = (*_place(root, path), os.fsencode(name))
        return await self._decode(
            wire.content_from_reply, "describe", {"task": to_json(task)}, where, identity, provide
        )

    async def sound(
        self,
        path: str,
        identity: Identity,
        start_s: float,
        end_s: float,
        *,
        root: str = "",
        provide: Provide | None = None,
    ) -> Sound | None:
        """What is to be heard in the file at ``path`` from ``start_s`` until ``end_s``. Else as :meth:`describe`."""
        stretch: Json = {"start_s": float(start_s), "end_s": float(end_s)}
        return await self._decode(wire.sound_from_reply, "sound", stretch, _place(root, path), identity, provide)

    async def _decode(
        self,
        read: Callable[[Reply], T],
        op: str,
        wanted: Json,
        where: tuple[bytes, ...],
        identity: Identity,
        provide: Provide | None,
    ) -> T | None:
        known = {**wire.identity_to_json(identity), "config": self._settings, "is_supplied": provide is not None}
        supply = Supply(provide, identity.version.size_bytes, self._config.deadline_s) if provide else None
        try:
            return await self._ask(read, op, {**known, **wanted}, where, self._config.deadline_s, supply)
        except Unsupplied as exc:
            raise exc.why from exc
        except errors.TimedOut as exc:
            if exc.cpu_s is not None and exc.cpu_s < self._config.deadline_s * _IDLE_SHARE:
                raise
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

    @property
    def stuck(self) -> Mapping[str, int]:
        """Root -> decoders that wait there in the kernel, cannot be killed, and were replaced."""
        self._stuck = {
            root: waiting
            for root, found in self._stuck.items()
            if (waiting := [process for process in found if process.returncode is None])
        }
        return {root: len(waiting) for root, waiting in self._stuck.items()}

    async def start(self) -> None:
        """Start one, so that :attr:`layers` are known. Raises :class:`errors.TransientError` if none comes up."""
        async with self._pool.borrow() as child:
            await self._start(child)

    async def close(self) -> None:
        await self._pool.close()

    def _on_note(self, note: Json) -> None:
        """What the first decoder says before it has seen any file; later ones may be lying."""
        if "layers" in note and not self.layers:
            self.layers = from_json(tuple[Layer, ...], note["layers"])

    async def _ask(
        self,
        read: Callable[[Reply], T],
        op: str,
        args: Json,
        blobs: tuple[bytes, ...],
        deadline_s: float,
        supply: Supply | None = None,
    ) -> T | None:
        args, root = {**args, "deadline_s": deadline_s}, os.fsdecode(blobs[0])
        async with self._pool.borrow() as child:
            self._require_answering(root)
            self._roots[root] = None
            try:
                reply = await self._call(child, op, args, blobs, deadline_s, supply)
            finally:
                self._note_stuck(child, root)
            if "gone" in reply.header:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(blobs[1]))
            if "changed" in reply.header:
                return None
            try:
                return read(reply)
            except ValueError as exc:
                await child.close()  # whatever made it talk nonsense shall not meet the next file
                raise errors.DamagedMedia(f"its decoder answers nonsense: {exc}") from exc

    async def _call(
        self, child: Child, op: str, args: Json, blobs: tuple[bytes, ...], deadline_s: float, supply: Supply | None
    ) -> Reply:
        """One answer, if need be of a second decoder.

        One that dies gets a second chance: the kernel may have killed it for another's hunger. One that confined
        itself before this root was asked for, or mounted, cannot reach it, and makes room for one that can.
        """
        try:
            reply = await self._call_once(child, op, args, blobs, deadline_s, supply)
            if "out_of_reach" not in reply.header:
                return reply
            await child.close()
        except errors.WorkerDied:
            pass
        reply = await self._call_once(child, op, args, blobs, deadline_s, supply)
        if "out_of_reach" in reply.header:
            raise errors.NotReadable("the kernel refuses it", hint="look for AppArmor or SELinux in the system's log")
        return reply

    async def _call_once(
        self, child: Child, op: str, args: Json, blobs: tuple[bytes, ...], deadline_s: float, supply: Supply | None
    ) -> Reply:
        """Only errors about the asset, and those that pass, may come out of a process that reads hostile bytes."""
        await self._start(child)
        try:
            if supply is None:
                return await child.call(op, args, blobs, deadline_s=deadline_s)
            with supply.for_one_call():
                return await child.call(op, args, blobs, deadline_s=deadline_s, responder=supply.answer)
        except (errors.AssetError, errors.TransientError):
            raise
        except errors.LakewatchError as exc:
            await child.close()
            raise errors.DamagedMedia(f"its decoder answers nonsense: {exc.reason}") from exc

    async def _start(self, child: Child) -> None:
        """Loading libraries counts against no file. Not starting is the machine's fault, so it may pass."""
        child.arguments = tuple(root for root in self._roots if root not in self._stuck)
        try:
            async with asyncio.timeout(_START_S):
                await child.start()
        except errors.WorkerDied as exc:
            raise errors.Busy(f"no decoder comes up: {exc.message}") from exc
        except TimeoutError as exc:
            self._roots.clear()  # one of them may hang: those that are asked for next come back by themselves
            raise errors.Busy(f"no decoder came up within {_START_S:g} s") from exc

    def _require_answering(self, root: str) -> None:
        waiting = self.stuck.get(root)
        if waiting:
            raise errors.RootAway(f"its storage does not answer: {waiting} decoders wait for it", STUCK_HINT)

    def _note_stuck(self, child: Child, root: str) -> None:
        if child.stuck:
            self._stuck.setdefault(root, []).extend(child.stuck)
            child.stuck.clear()


STUCK_HINT = "see the log of the kernel and the server of the mount; work goes on by itself when it answers"


def _place(root: str, path: str) -> tuple[bytes, bytes]:
    folder, name = (root, path) if root else os.path.split(path)
    return os.fsencode(folder), os.fsencode(name)


def _sample(reply: Reply) -> Sample:
    return wire.sample_from_json(reply.header)


def _identity_or_size(reply: Reply) -> Identity | int:
    size = reply.header.get("size_bytes")
    return size if isinstance(size, int) else wire.identity_from_json(reply.header)
