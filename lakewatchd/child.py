"""A child process that answers one request at a time, and may be killed at any moment.

Decoders and models run in such children: a crash, a hang or a memory bomb there is an answer, not an
accident. Parent and child talk over a socket pair in frames: a length, a JSON header, then raw blobs
(pixels, thumbnails) as they lie in memory. No pickle: a child that a hostile file has taken over can send
wrong data, but not code. While it works, a child may ask back, and its parent answers.

The invariant: after :meth:`Child.call` returned or raised, the child is either idle or gone and will be
started afresh by the next call. Gone is mostly dead; a process that waits for storage that does not answer
cannot be killed, and is left behind in :attr:`Child.stuck`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import json
import logging
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakewatchd import errors
from lakewatchd.core import one_thread

Json = dict[str, object]

_log = logging.getLogger(__name__)
Blob = bytes | bytearray | memoryview

_LENGTH = struct.Struct("!I")
_END_S = 10.0
"""How long one that hung up is given to end by itself, so that it can be told how it did."""
_DEATH_S = 2.0
"""How long a killed process may take to end before it is left behind, if it waits in the kernel by then."""
_LATE_S = 30.0
"""And if it does not: on a busy machine dying takes its time, which is no fault of a disk."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel allows a child. 0 means no limit."""

    memory_bytes: int = 0
    """Address space (RLIMIT_AS); an allocation above it fails inside the child."""
    file_bytes: int = 0
    """Largest file it may write (RLIMIT_FSIZE)."""
    open_files: int = 0
    nice: int = 0

    def apply(self) -> None:
        """Called in the child before any library is loaded."""
        pairs = (
            (resource.RLIMIT_AS, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NOFILE, self.open_files),
        )
        for which, limit in pairs:
            if limit:
                resource.setrlimit(which, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.nice:
            os.nice(self.nice)


@dataclass(frozen=True, slots=True)
class Largest:
    """Bounds of an answer: a child that lies about sizes must not fill the daemon's memory."""

    header_bytes: int = 64 << 20
    """Of JSON, which as Python objects takes up to thirty times that."""
    blob_bytes: int = 256 << 20
    """Of all blobs of a frame together."""


@dataclass(frozen=True, slots=True)
class Reply:
    header: Json
    blobs: tuple[bytes, ...] = ()


Responder = Callable[[Json], Awaitable[Json]]
"""What answers a child that asks back: ``question -> answer``. It must bound itself, and raise nothing."""


@dataclass(slots=True)
class Child:
    """The parent's end. Starts on the first call; calls queue behind each other.

    ``module`` is run with ``python -m`` and must call :func:`serve` with its table of operations.
    """

    module: str
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)
    inherits: bool = True
    """Whether it has the daemon's environment too, where secrets may be; else only what Python needs to start."""
    on_note: Callable[[Json], None] | None = None
    """Called with what the child says while it works, such as the progress of loading a model."""
    pass_fds: tuple[int, ...] = ()
    """Open files the child inherits under the same numbers, such as shared memory."""
    arguments: tuple[str, ...] = ()
    """What the next process is started with; it finds them by :func:`arguments`."""
    largest: Largest = Largest()
    stuck: list[asyncio.subprocess.Process] = field(default_factory=list)
    """Processes that did not end when they were killed. Whoever owns the child takes them off."""
    _cpu_before_s: float = 0.0
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def pid(self) -> int | None:
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def start(self) -> None:
        """Start it if it does not run, so that loading counts against no call's deadline.

        Raises :class:`errors.WorkerDied` if it does not come up, or the lakewatchd error its loading raised.
        """
        async with self._lock:
            if self.pid is None:
                await self._start()

    async def call(
        self,
        op: str,
        args: Json | None = None,
        blobs: Sequence[Blob] = (),
        *,
        deadline_s: float | None = None,
        responder: Responder | None = None,
    ) -> Reply:
        """Ask the child to do ``op``. Where it asks back, ``responder`` answers; the deadline rests meanwhile.

        Raises whatever lakewatchd error the child raised, :class:`errors.TimedOut` after ``deadline_s`` (the
        child is killed; ``cpu_s`` tells work from waiting), and :class:`errors.WorkerDied` if it ended on its own.
        """
        async with self._lock:
            done = False
            try:
                async with asyncio.timeout(deadline_s) as limit:
                    reply = await self._exchange(op, args or {}, blobs, _resting(responder, limit))
                done = True
                return reply
            except TimeoutError as exc:
                late = errors.TimedOut(f"no answer to {op!r} within {deadline_s:g} s")
                late.cpu_s = cpu_s(self.pid) - self._cpu_before_s
                raise late from exc
            except errors.LakewatchError as exc:
                done = not isinstance(exc, errors.WorkerDied)  # else an answer like any other: the child is fine
                raise
            finally:
                if not done:  # timed out, cancelled or broken: a half-read frame must not meet the next call
                    await self._kill()

    async def close(self) -> None:
        """Let the child end by itself (its socket closes), then make sure."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._process.wait()
        await self._kill()

    async def _exchange(self, op: str, args: Json, blobs: Sequence[Blob], responder: Responder | None) -> Reply:
        if self.pid is None:
            await self._start()
        assert self._writer is not None
        self._cpu_before_s = cpu_s(self.pid)
        try:
            _write_frame(self._writer.write, {"op": op, "args": args}, blobs)
            await self._writer.drain()
        except OSError as exc:
            raise await self._died(f"before {op!r}", _END_S) from exc
        return await self._answer(op, responder)

    async def _answer(self, doing: str, responder: Responder | None = None) -> Reply:
        """The next frame that is neither a note nor a question."""
        assert self._reader is not None and self._writer is not None
        try:
            while True:
                header, blobs = await _read_frame(self._reader, self.largest)
                if "ask" in header:
                    if responder is None:
                        raise ValueError("a question where none is answered")
                    _write_frame(self._writer.write, await responder(header), ())
                    await self._writer.drain()
                elif "note" not in header:
                    break
                elif self.on_note is not None:
                    self.on_note(header)
        except (OSError, EOFError, ValueError, RecursionError) as exc:
            hung_up = isinstance(exc, OSError | EOFError)
            raise await self._died(f"during {doing!r}", _END_S if hung_up else 1.0) from exc
        if "error" in header:
            raise _error_from(header)
        return Reply(header, blobs)

    async def _start(self) -> None:
        await self._kill()
        try:
            await self._spawn()
            await self._answer("start")  # it is up: limits are set, libraries are loaded
        except BaseException as exc:
            await self._kill()
            if isinstance(exc, OSError):
                raise errors.WorkerDied(f"{self.module} cannot be started: {exc.strerror}") from exc
            raise

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            limits = f"{self.limits.memory_bytes},{self.limits.file_bytes},{self.limits.open_files},{self.limits.nice}"
            # -P: else a folder named numpy where somebody types a command would be run as that library
            argv = [sys.executable, "-P", "-m", self.module, "--child", str(theirs.fileno()), limits, str(os.getpid())]
            argv += self.arguments
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *self.pass_fds),
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon, which tells its children
                env={**one_thread.VARIABLES, **(os.environ if self.inherits else _bare_environment()), **self.env},
            )
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    async def _died(self, when: str, ends_within_s: float) -> errors.WorkerDied:
        """Told here, once for each process: callers try again with a new one, and say nothing if that works."""
        error = errors.WorkerDied(f"{self.module} {await self._how_it_ended(ends_within_s)} {when}")
        _log.warning("a process of ours died: %s", error.message)
        return error

    async def _how_it_ended(self, within_s: float) -> str:
        assert self._process is not None
        try:
            async with asyncio.timeout(within_s):
                code = await self._process.wait()
        except TimeoutError:
            return "broke the protocol"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    async def _kill(self) -> None:
        process, writer = self._process, self._writer
        self._process = self._reader = self._writer = None  # first, so that a cancelled kill is still a kill
        if writer is not None:
            writer.close()
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self._bury(process)

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the end of a killed process, but not for one that waits in the kernel for a dead disk."""
        clock = asyncio.get_running_loop().time
        until = clock() + _LATE_S
        while process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DEATH_S):
                    await process.wait()
                    return
            if _waits_in_kernel(process.pid) or clock() > until:
                self.stuck.append(process)
                return


def _resting(responder: Responder | None, limit: asyncio.Timeout) -> Responder | None:
    """``responder``, while whose work the time of ``limit`` stands still."""
    if responder is None:
        return None

    async def answer(question: Json) -> Json:
        if limit.expired():
            await asyncio.sleep(0)  # too late: here the timeout ends the call
        ends, clock = limit.when(), asyncio.get_running_loop().time
        began = clock()
        limit.reschedule(None)
        said = await responder(question)
        limit.reschedule(ends and ends + clock() - began)
        return said

    return answer


def _bare_environment() -> dict[str, str]:
    """What tells Python where its modules are, and in which language and time zone the machine speaks."""
    kept = ("PYTHON", "LD_LIBRARY_PATH", "PATH", "LANG", "LC_", "TZ")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def _waits_in_kernel(pid: int) -> bool:
    """Whether a thread of it is where no signal reaches it, as one that reads from a dead disk."""
    try:
        stats = [task.joinpath("stat").read_bytes() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # it has ended
        return False
    return any(stat.rpartition(b")")[2].split()[0] == b"D" for stat in stats)


def cpu_s(pid: int | None) -> float:
    """Processor time a process has used so far, in seconds; 0 where nobody can tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:  # noqa: PTH123 - made by the kernel, cannot block
            user, system = stream.read().rpartition(b")")[2].split()[11:13]
    except OSError:
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class ChildPool:
    """Several children that do the same work; a call goes to one that is idle."""

    children: tuple[Child, ...]
    _idle: list[Child] = field(init=False)
    """The one used last is used next: its memory is warm."""
    _turn: asyncio.Semaphore = field(init=False)
    """First come, first served; a queue of asyncio would let who just returned a child take it again."""

    def __post_init__(self) -> None:
        self._idle, self._turn = list(self.children), asyncio.Semaphore(len(self.children))

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncIterator[Child]:
        async with self._turn:
            child = self._idle.pop()
            try:
                yield child
            finally:
                self._idle.append(child)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children if child.pid is not None]

    async def close(self) -> None:
        await asyncio.gather(*(child.close() for child in self.children))


# --- the child's end ---------------------------------------------------------------------------------------

Operation = Callable[[Json, tuple[bytes, ...]], tuple[Json, Sequence[Blob]]]
"""``(args, blobs) -> (header, blobs)``; raises lakewatchd errors, which travel to the caller."""


@dataclass(frozen=True, slots=True)
class Parent:
    """In the child: who started it, and listens while it works."""

    _connection: socket.socket
    _stream: io.BufferedReader

    def note(self, note: Json) -> None:
        """Say something that needs no answer."""
        _write_frame(self._connection.sendall, {"note": True, **note}, ())

    def ask(self, question: Json) -> Json:
        """Ask something in the middle of an operation, and wait for the answer."""
        _write_frame(self._connection.sendall, {"ask": True, **question}, ())
        answer, _ = _read_frame_sync(self._stream.read)
        return answer


def arguments() -> list[str]:
    """In the child: what it was started with."""
    return sys.argv[5:]


def serve(make_operations: Callable[[Parent], Mapping[str, Operation]]) -> int:
    """The child's main loop: limits first, then load, say so, and answer until the parent closes its end."""
    fd, limits, parent = sys.argv[2:5]
    _bind_to(int(parent))
    Limits(*(int(part) for part in limits.split(","))).apply()
    for signum in (signal.SIGINT, signal.SIGTERM):  # systemd signals the whole group; the daemon wants to drain
        signal.signal(signum, signal.SIG_IGN)
    with socket.socket(fileno=int(fd)) as connection, contextlib.suppress(EOFError, ConnectionError):
        _serve(connection, make_operations)
    return 0


def _serve(connection: socket.socket, make_operations: Callable[[Parent], Mapping[str, Operation]]) -> None:
    stream = connection.makefile("rb")
    try:
        operations = make_operations(Parent(connection, stream))
    except errors.LakewatchError as exc:
        _write_frame(connection.sendall, _error_header(exc), ())
        return
    _write_frame(connection.sendall, {"ready": True}, ())
    while True:
        request, blobs = _read_frame_sync(stream.read)
        header, sent = _do(operations, request, blobs)
        _write_frame(connection.sendall, header, sent)


def _do(operations: Mapping[str, Operation], request: Json, blobs: tuple[bytes, ...]) -> tuple[Json, Sequence[Blob]]:
    try:
        args = request["args"]
        assert isinstance(args, dict)
        return operations[str(request["op"])](args, blobs)
    except errors.LakewatchError as exc:
        return _error_header(exc), ()
    except MemoryError:
        return _error_header(errors.TooLarge("needs more memory than its process may use")), ()


def _error_header(error: errors.LakewatchError) -> Json:
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def _bind_to(parent: int) -> None:
    """Ask the kernel to kill us when the daemon dies, however it dies, and never to grant us more than it has."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _error_from(header: Json) -> errors.LakewatchError:
    kind = getattr(errors, str(header["error"]), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.LakewatchError)):
        kind = errors.DamagedMedia
    if issubclass(kind, errors.FatalError):  # no child ends the daemon, whoever has taken it over
        kind = errors.WorkerDied
    hint = header.get("hint")
    return kind(str(header.get("message")), str(hint) if hint is not None else None)


# --- frames ------------------------------------------------------------------------------------------------


def _write_frame(write: Callable[[Blob], object], header: Json, blobs: Sequence[Blob]) -> None:
    sizes = [memoryview(blob).nbytes for blob in blobs]
    raw = json.dumps({**header, "blobs": sizes}).encode()
    write(_LENGTH.pack(len(raw)) + raw)
    for blob in blobs:
        write(memoryview(blob).cast("B"))


async def _read_frame(reader: asyncio.StreamReader, largest: Largest) -> tuple[Json, tuple[bytes, ...]]:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > largest.header_bytes:
        raise ValueError("header too long")
    header = json.loads(await reader.readexactly(length))
    if not isinstance(header, dict):
        raise ValueError("a frame starts with an object")
    return header, tuple([await reader.readexactly(size) for size in _blob_sizes(header, largest)])


def _read_frame_sync(read: Callable[[int], bytes]) -> tuple[Json, tuple[bytes, ...]]:
    def exactly(size: int) -> bytes:
        data = read(size)
        if len(data) < size:
            raise EOFError
        return data

    (length,) = _LENGTH.unpack(exactly(_LENGTH.size))
    header = json.loads(exactly(length))
    return header, tuple(exactly(size) for size in _blob_sizes(header, Largest()))


def _blob_sizes(header: Json, largest: Largest) -> list[int]:
    sizes = header.pop("blobs", None)
    if not isinstance(sizes, list) or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise ValueError("bad blob sizes")
    if sum(sizes) > largest.blob_bytes:
        raise ValueError("blobs too large")
    return sizes
