"""The control socket: how ``lakewatchd status`` and friends talk to the running daemon.

One JSON object per line, one answer per question, over a UNIX socket that only the daemon's user and group may
open. What the operations mean is the daemon's business: it hands in a table of handlers.

The invariant: a client can be slow, silent, hostile or gone, and costs the server no more than one bounded
buffer for a bounded time. And a daemon never takes the socket of another one that is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakewatchd import errors

_log = logging.getLogger(__name__)

Json = dict[str, Any]
Handler = Callable[[Json], Awaitable[Json]]

MAX_REQUEST_BYTES = 1 << 20
MAX_ANSWER_BYTES = 64 << 20
MAX_CLIENTS = 64
REQUEST_S = 10.0
"""How long a client may take to say what it wants, and to read the answer."""


@dataclass(slots=True)
class ControlServer:
    """Listens while the daemon runs. A handler takes the request's arguments and returns the answer's fields."""

    path: Path
    handlers: Mapping[str, Handler]
    request_s: float = REQUEST_S
    _server: asyncio.Server | None = None
    _clients: set[asyncio.Task[None]] = field(default_factory=set)
    _inode: int = 0

    async def start(self) -> None:
        """Raises :class:`errors.AlreadyRunning` if a daemon answers there, :class:`errors.ConfigError` if none can."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            _remove_stale(self.path)
            listener = _listen(self.path)
        except OSError as exc:
            hint = "set daemon.runtime_dir to a directory this user can write, with a path of under 100 bytes"
            raise errors.ConfigError(f"cannot listen on {self.path}: {exc}", hint) from exc
        self._inode = self.path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)

    async def close(self) -> None:
        """Stop listening, cut off who is still asking, and remove the socket if it is still ours."""
        if self._server is not None:
            self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) <= MAX_CLIENTS:
                await self._converse(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the peer's fault, or we are closing: either way nobody waits for an answer
        finally:
            self._clients.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(self.request_s):
                    line = await reader.readline()
            except ValueError:  # longer than MAX_REQUEST_BYTES
                await self._send(writer, _refusal("request too long"))
                return
            if not line.endswith(b"\n"):
                return
            await self._send(writer, await self._answer(line))

    async def _send(self, writer: asyncio.StreamWriter, answer: Json) -> None:
        writer.write(json.dumps(answer).encode() + b"\n")
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


def ask(path: Path, op: str, /, *, timeout_s: float | None = 30.0, **args: object) -> Json:
    """Ask the daemon at ``path`` and return the fields of its answer. Blocks; for commands, not for the daemon.

    Raises :class:`errors.DaemonDown` if nobody answers there, :class:`errors.TimedOut` after ``timeout_s``, and the
    error the daemon's handler raised.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            with _address(path) as address:
                connection.connect(address)
            connection.sendall(json.dumps({"op": op, "args": args}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(MAX_ANSWER_BYTES)
        except (TimeoutError, BlockingIOError) as exc:  # the latter: so many wait that the kernel's list is full
            raise errors.TimedOut(f"the daemon did not answer {op!r} within {timeout_s:g} s") from exc
        except PermissionError as exc:
            raise errors.NotReadable(f"may not talk to the daemon at {path}", _ACCESS_HINT) from exc
        except OSError as exc:
            raise errors.DaemonDown(f"the daemon is not running (nobody listens on {path})", _DOWN_HINT) from exc
    return _read_answer(line, path)


_DOWN_HINT = "systemctl start lakewatchd, or lakewatchd run"
_ACCESS_HINT = "use sudo, or join the group of the socket: usermod -aG lakewatchd $USER"


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


def _remove_stale(path: Path) -> None:
    """Remove a socket whose owner died. Nothing else is ever removed here."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe, _address(path) as address:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens and is busy: alive
    raise errors.AlreadyRunning(f"another daemon listens on {path}", "stop it first: systemctl stop lakewatchd")


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    previous = os.umask(0o117)  # the file is born 0660: at no moment may anybody else connect
    try:
        with _address(path) as address:
            listener.bind(address)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(previous)
    return listener


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """``path`` as the kernel takes it: ``sun_path`` has room for 107 bytes, a longer one goes through its directory."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
