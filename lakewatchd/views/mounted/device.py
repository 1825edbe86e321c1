"""A mount, and the conversation with the kernel about it: requests in, answers and notices out.

Speaks FUSE with ``/dev/fuse`` itself. What a request means is for :mod:`lakewatchd.views.mounted.fuse`, the bytes are
in :mod:`lakewatchd.views.mounted.wire`. The invariants: every request that expects an answer gets exactly one, an error
if need be; what can be answered at once is answered in the callback that read it, without a task or a thread, which is
what makes it cheap; and whatever waits does not keep others from being answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from lakewatchd import errors
from lakewatchd.views.mounted import mountpoint, wire
from lakewatchd.views.mounted.wire import REPLY, REQUEST, Kernel

Payload = bytes | memoryview
Answer = Payload | Coroutine[Any, Any, Payload] | None
Answerer = Callable[[int, int, memoryview], Answer]
"""Is given opcode, inode and the rest of a request, in memory that the next one is read into: a coroutine must not use
it. None is for what expects no answer. Raises OSError."""

TURN = 64
"""Requests that are answered before anybody else on the loop has a turn."""
WAITING_MAX = 2000
"""Requests that wait for something. Those for storage that is gone must not take the places of all others."""
_REQUEST_BYTES = wire.READ_MAX_BYTES + 4096
# ioctls of /dev/fuse: a descriptor becomes one that the kernel reads by itself
_BACKING = struct.Struct("=iIQ")
_BACKING_OPEN = 1 << 30 | _BACKING.size << 16 | 229 << 8 | 1
_BACKING_CLOSE = 1 << 30 | 4 << 16 | 229 << 8 | 2


class Device:
    """See the module. Of one event loop, apart from :meth:`tell` and being made, which waits for the kernel."""

    def __init__(self, place: Path, options: Iterable[str], loop: asyncio.AbstractEventLoop) -> None:
        """Mount at ``place``. Raises :class:`errors.ConfigError` when that is not possible."""
        self.place = place
        self._loop = loop
        self._request = memoryview(bytearray(_REQUEST_BYTES))
        self._waiting: set[asyncio.Task[None]] = set()
        self._is_gone = False
        self._fd = mountpoint.mount(place, sorted(options))
        try:
            self.can_pass_through = self._greet()
            """Whether the kernel may read files by itself."""
        except BaseException:
            self.close()
            raise
        os.set_blocking(self._fd, False)
        mountpoint.read_further_ahead(place, wire.READ_MAX_BYTES)

    async def serve(self, answerer: Answerer) -> None:
        """Answer until it is unmounted from outside. Raises what ``answerer`` raises, OSErrors apart.

        Afterwards, until :meth:`close`, every request is refused: who sends a notice may wait for an answer, in the
        kernel, where nothing but an answer ends that.
        """
        self._answerer = answerer
        self._over = self._loop.create_future()
        self._loop.add_reader(self._fd, self._take_turn)
        try:
            await self._over
        finally:
            self._answerer = _refuse
            for task in self._waiting:
                task.cancel()
            await asyncio.gather(*self._waiting, return_exceptions=True)

    def tell(self, notices: Iterable[bytes]) -> None:
        """Have the kernel forget. It may hold a notice back until a request is answered: never call it on the loop."""
        for notice in notices:
            with contextlib.suppress(OSError):  # the kernel had forgotten by itself, or is gone
                os.write(self._fd, notice)

    def pass_through(self, fd: int) -> int:
        """A number by which the kernel reads an open file by itself; 0 where we may not ask it to, not being root."""
        if self.can_pass_through:
            try:
                return int(fcntl.ioctl(self._fd, _BACKING_OPEN, bytearray(_BACKING.pack(fd, 0, 0))))
            except OSError as exc:
                self.can_pass_through = exc.errno != errno.EPERM
        return 0

    def end_passing(self, backing: int) -> None:
        """Files that were opened with that number stay open."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _BACKING_CLOSE, struct.pack("=I", backing))

    def close(self) -> None:
        """End the conversation and unmount: what programs have open there is an error from now on."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)  # first: nobody must ask us while we wait for the unmount
        if not self._is_gone:
            mountpoint.unmount(self.place)

    # --- requests

    def _greet(self) -> bool:
        """The first request says what the kernel can do. Returns whether it can read files by itself."""
        length = os.readv(self._fd, [self._request])
        _, _, unique, _ = REQUEST.unpack_from(self._request)
        kernel = Kernel.read(self._request[REQUEST.size : length])
        if kernel.version < wire.OLDEST:
            self._reply(unique, errno.EPROTO)
            raise errors.ConfigError("this kernel's FUSE is too old for the view", "a Linux from 5.4 on has one")
        self._reply(unique, 0, kernel.agreed())
        return bool(kernel.abilities & wire.PASSTHROUGH)

    def _take_turn(self) -> None:
        try:
            for _ in range(TURN):
                self._answer(os.readv(self._fd, [self._request]))
        except BlockingIOError:
            pass
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.EINTR):  # who asked has gone before we read it
                return
            self._loop.remove_reader(self._fd)
            self._is_gone = exc.errno == errno.ENODEV
            is_over = exc.errno in (errno.ENODEV, errno.ECONNABORTED)  # unmounted, or cut off by root
            self._end(None if is_over else exc)

    def _answer(self, length: int) -> None:
        _, opcode, unique, inode = REQUEST.unpack_from(self._request)
        try:
            answer = self._answerer(opcode, inode, self._request[REQUEST.size : length])
        except OSError as exc:
            self._reply(unique, exc.errno or errno.EIO)
        except Exception as exc:
            self._reply(unique, errno.EIO)
            self._end(exc)
        else:
            if isinstance(answer, bytes | memoryview):
                self._reply(unique, 0, answer)
            elif answer is not None:
                self._wait_for(unique, answer)

    def _wait_for(self, unique: int, answer: Coroutine[Any, Any, Payload]) -> None:
        task = self._loop.create_task(self._answer_later(unique, answer))
        self._waiting.add(task)
        task.add_done_callback(self._has_waited)
        if len(self._waiting) >= WAITING_MAX:
            self._loop.remove_reader(self._fd)

    def _has_waited(self, task: asyncio.Task[None]) -> None:
        if len(self._waiting) == WAITING_MAX and not self._is_gone:
            self._loop.add_reader(self._fd, self._take_turn)
        self._waiting.discard(task)

    async def _answer_later(self, unique: int, answer: Coroutine[Any, Any, Payload]) -> None:
        try:
            self._reply(unique, 0, await answer)
        except OSError as exc:
            self._reply(unique, exc.errno or errno.EIO)
        except asyncio.CancelledError:
            self._reply(unique, errno.EIO)
            raise
        except Exception as exc:
            self._reply(unique, errno.EIO)
            self._end(exc)

    def _reply(self, unique: int, problem: int, payload: Payload = b"") -> None:
        head = REPLY.pack(REPLY.size + len(payload), -problem, unique)
        with contextlib.suppress(FileNotFoundError):  # who asked has gone
            os.writev(self._fd, (head, payload))

    def _end(self, problem: Exception | None) -> None:
        if self._over.done():
            return
        if problem is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(problem)


def _refuse(opcode: int, _inode: int, _body: memoryview) -> Answer:
    if opcode in wire.SILENT:
        return None
    raise OSError(errno.EIO, "the view has ended")
