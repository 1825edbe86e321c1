"""The control socket: how ``lakewatchd status`` and friends talk to the running daemon.

One JSON object per line, one answer per question, over a UNIX socket that only the daemon's user and group may
open. What the operations mean is the daemon's business: it hands in a table of handlers.

The invariant: a client can be slow, silent, hostile or gone, and costs the server no more than one bounded
buffer for a bounded time; however many they are, one that asks at once is heard. And a daemon never takes the
socket of another one that is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import pwd
import select
import shutil
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakewatchd import errors

_log = logging.getLogger(__name__)

Json = dict[str, Any]
Handler = Callable[[Json], Awaitable[Json]]

MAX_REQUEST_BYTES = 64 << 10
"""The longest path there is, every byte of it escaped, fits three times."""
MAX_ANSWER_BYTES = 64 << 20
MAX_CLIENTS = 64
REQUEST_S = 10.0
"""How long a client may take to say what it wants, and to read the answer."""
GONE_S = 0.2
"""How often it is looked whether a client that waits for an answer is still there."""


@dataclass(slots=True)
class ControlServer:
    """Listens while the daemon runs. A handler takes the request's arguments and returns the answer's fields."""

    path: Path
    handlers: Mapping[str, Handler]
    group: str = ""
    """Who may ask besides the daemon's user; empty: the group the daemon runs as."""
    request_s: float = REQUEST_S
    _server: asyncio.Server | None = None
    _clients: set[asyncio.Task[None]] = field(default_factory=set)
    _silent: dict[asyncio.Task[None], None] = field(default_factory=dict)
    """Those that have not said what they want, the longest silent first."""
    _inode: int = 0

    async def start(self) -> None:
        """Raises :class:`errors.AlreadyRunning` if a daemon answers there, :class:`errors.ConfigError` if none can."""
        listener = open_socket(self.path, self.group)
        self._inode = self.path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)

    async def close(self) -> None:
        """Stop listening, cut off who is still asking, and remove the socket if it is still ours."""
        with contextlib.suppress(FileNotFoundError):
            # While it listens nobody removes its socket, and no other has its inode: a successor's could, afterwards.
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
        if self._server is not None:
            self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if self._has_room():
                await self._converse(reader, writer, task)
            else:
                writer.write(_encoded(_BUSY))
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the peer's fault, or we are closing: either way nobody waits for an answer
        finally:
            self._clients.discard(task)
            self._silent.pop(task, None)
            writer.close()

    def _has_room(self) -> bool:
        """Also where the longest silent client makes room: who connects and says nothing keeps nobody out."""
        if len(self._clients) > MAX_CLIENTS and self._silent:
            silent = next(iter(self._silent))
            del self._silent[silent]
            self._clients.discard(silent)
            silent.cancel()
        return len(self._clients) <= MAX_CLIENTS

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        while True:
            self._silent[task] = None
            try:
                async with asyncio.timeout(self.request_s):
                    line = await reader.readline()
            except ValueError:  # longer than MAX_REQUEST_BYTES
                await self._send(writer, _refusal("request too long"))
                return
            self._silent.pop(task, None)
            if not line.endswith(b"\n"):
                return
            await self._send(writer, await _while_there(writer, self._answer(line)))

    async def _send(self, writer: asyncio.StreamWriter, answer: Json) -> None:
        writer.write(_encoded(answer))
        async with asyncio.timeout(self.request_s):
            await writer.drain()

    async def _answer(self, line: bytes) -> Json:
        try:
            request = json.loads(line)
            handler, args = self.handlers[request["op"]], dict(request.get("args") or {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return _refusal(f'not a request; one is {{"op": NAME, "args": {{}}}}, NAME of {sorted(self.handlers)}')
        try:
            return {"ok": await handler(args)}
        except errors.LakewatchError as exc:
            return {"error": type(exc).__name__, "message": exc.message, "hint": exc.hint}
        except Exception as exc:  # a bug in a handler is told to who asked, and costs the daemon nothing
            _log.exception("control request failed", extra={"job": request["op"]})
            return _refusal(f"internal error: {exc!r}")


async def _while_there(writer: asyncio.StreamWriter, answer: Coroutine[Any, Any, Json]) -> Json:
    """The answer. Raises ``ConnectionResetError`` as soon as nobody waits for it: then its handler is cancelled.

    A client that only closed its sending side, as ``nc -N`` does, is still there.
    """
    task = asyncio.ensure_future(answer)
    try:
        hung_up = select.poll()
        if not writer.is_closing():
            hung_up.register(writer.get_extra_info("socket"), 0)  # a hang-up is told unasked, a half-close is not
        while not (await asyncio.wait({task}, timeout=GONE_S))[0]:
            if writer.is_closing() or hung_up.poll(0):
                raise ConnectionResetError
        return task.result()
    finally:
        task.cancel()


def ask(path: Path, op: str, /, *, timeout_s: float | None = 30.0, **args: object) -> Json:
    """Ask the daemon at ``path`` and return the fields of its answer. Blocks; for commands, not for the daemon.

    Raises :class:`errors.DaemonDown` if nobody answers there, :class:`errors.TimedOut` after ``timeout_s``, and the
    error the daemon's handler raised.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            with address_of(path) as address:
                connection.connect(address)
            with contextlib.suppress(BrokenPipeError):  # refused before it was heard: the refusal can be read
                connection.sendall(_encoded({"op": op, "args": args}))
            with connection.makefile("rb") as stream:
                line = stream.readline(MAX_ANSWER_BYTES)
        except (TimeoutError, BlockingIOError) as exc:  # the latter: so many wait that the kernel's list is full
            raise errors.TimedOut(f"the daemon did not answer {op!r} within {timeout_s:g} s") from exc
        except PermissionError as exc:
            raise errors.NotReadable(f"{whoami()} may not talk to the daemon at {path}", access_hint(path)) from exc
        except OSError as exc:
            raise absence(path) from exc
    return _read_answer(line, path)


_LOCK = struct.Struct("@hhqqi4x")
"""``struct flock``, of the whole file."""
_DOWN_HINT = "systemctl start lakewatchd, or lakewatchd run"


@contextlib.contextmanager
def announced(path: Path) -> Iterator[None]:
    """For the life of a daemon, which listens on ``path`` only in the middle of it: before and after, who asks hears
    that it starts or ends. It says so by a lock, which the kernel takes from a process that dies."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without it, nobody seems to be there
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            held = stack.enter_context(_announcement(path).open("a+b"))
            fcntl.fcntl(held, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
        yield


def absence(path: Path) -> errors.DaemonDown:
    """Why nobody listens on ``path``."""
    if is_announced(path):
        return errors.DaemonDown("the daemon is starting, or stopping", "ask again in some seconds")
    return errors.DaemonDown(f"the daemon is not running (nobody listens on {path})", _DOWN_HINT)


def is_announced(path: Path) -> bool:
    """Whether a daemon that is to listen on ``path``, or did, is alive."""
    with contextlib.suppress(OSError), _announcement(path).open("rb") as held:
        # Could it be had? It is not taken: who asks in the same moment must not take us for a daemon.
        found = fcntl.fcntl(held, fcntl.F_OFD_GETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return bool(_LOCK.unpack(found)[0] != fcntl.F_UNLCK)
    return False


def _announcement(path: Path) -> Path:
    return path.with_suffix(".lives")


def access_hint(path: Path) -> str:
    """Whose daemon it is, and which group may have to do with it: that of ``path``, or of what hides it."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError, KeyError):
            owner, group = place.owner(), place.group()
            join = f"; or, once and for all, join its group: sudo usermod -aG {group} {whoami()}, and log in again"
            become = "sudo" if owner == "root" else f"sudo -u {owner}"
            return f"it belongs to {owner}: {become} lakewatchd …" + (join if group != "root" else "")
    return "use sudo"


def whoami() -> str:
    """The user this process runs as, by name where there is one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _read_answer(line: bytes, path: Path) -> Json:
    if not line.endswith(b"\n"):
        raise errors.DaemonDown(f"the daemon at {path} stopped before it answered", _DOWN_HINT)
    try:
        answer = json.loads(line)
        if "ok" in answer:
            return dict(answer["ok"])
        kind, message, hint = str(answer["error"]), str(answer["message"]), answer["hint"]
    except (ValueError, KeyError, TypeError) as exc:
        raise errors.LakewatchError(f"what listens on {path} is not lakewatchd") from exc
    raised = getattr(errors, kind, None)
    if not (isinstance(raised, type) and issubclass(raised, errors.LakewatchError)):
        raised = errors.LakewatchError
    raise raised(message, hint)


def _refusal(message: str) -> Json:
    return {"error": "LakewatchError", "message": message, "hint": None}


_BUSY = {"error": "Busy", "message": f"{MAX_CLIENTS} others wait for answers of the daemon", "hint": "try again"}


def _encoded(answer: Json) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def open_socket(path: Path, group: str) -> socket.socket:
    """Listens at ``path``, for the user of this process and for ``group``. Whoever died there before makes room.

    Raises :class:`errors.AlreadyRunning` if somebody answers there, :class:`errors.ConfigError` if it cannot be had.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _remove_stale(path)
        listener = _listen(path, group)
        listener.listen()  # who comes before somebody answers waits
        return listener
    except OSError as exc:
        hint = "set daemon.runtime_dir to a directory this user can write, with a path of under 100 bytes"
        raise errors.ConfigError(f"cannot listen on {path}: {exc}", hint) from exc


def _remove_stale(path: Path) -> None:
    """Remove a socket whose owner died. Nothing else is ever removed here."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe, address_of(path) as address:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens and is busy: alive
    raise errors.AlreadyRunning(f"another daemon listens on {path}", "stop it first: systemctl stop lakewatchd")


def _listen(path: Path, group: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    previous = os.umask(0o117)  # the file is born 0660: at no moment may anybody else connect
    try:
        with address_of(path) as address:
            listener.bind(address)
        _let_in(path, group)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(previous)
    return listener


def _let_in(path: Path, group: str) -> None:
    """Members of ``group`` may ask. Raises :class:`errors.ConfigError` if it cannot be given to them."""
    if not group:
        return
    try:
        for place in (path.parent, path):
            if place.stat().st_uid == os.geteuid():
                shutil.chown(place, group=group)
    except LookupError as exc:
        raise errors.ConfigError(f"there is no group {group!r}", f"groupadd {group}, or mend daemon.group") from exc
    except PermissionError as exc:
        hint = f"make the daemon's user a member: usermod -aG {group} USER; with systemd: SupplementaryGroups={group}"
        raise errors.ConfigError(f"the socket cannot be given to the group {group!r}", hint) from exc


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """``path`` as the kernel takes it: ``sun_path`` has room for 107 bytes, a longer one goes through its directory."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
