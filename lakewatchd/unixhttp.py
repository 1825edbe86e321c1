"""HTTP over a UNIX socket: how commands and the view ask the web process, without a library and without a token.

Answers are JSON. The invariant: an answer is bounded in time and in bytes, whoever listens there.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lakewatchd import errors
from lakewatchd.control import address_of

MAX_BYTES = 64 << 20
MAX_LINE_BYTES = 4 << 20

Params = Mapping[str, str | int | float | bool | Sequence[str]]
"""Several values of one name are a list."""


def get_json(path: Path, target: str, params: Params | None = None, *, timeout_s: float = 30.0) -> Any:
    """``GET target``. Raises :class:`errors.DaemonDown` where nobody listens, :class:`errors.TimedOut`, and what the
    answer says is wrong, as :class:`errors.BadQuery` or :class:`errors.ServiceAway`."""
    return _exchange(path, "GET", _target(target, params), None, timeout_s)


def post_json(path: Path, target: str, body: object, *, timeout_s: float = 30.0) -> Any:
    """``POST target`` with ``body`` as JSON; as :func:`get_json`."""
    return _exchange(path, "POST", target, json.dumps(body).encode(), timeout_s)


def post_file(path: Path, target: str, query: object, file: bytes, *, timeout_s: float = 60.0) -> Any:
    """``POST target`` with a form of ``query`` as JSON and the file ``picture``; as :func:`get_json`."""
    edge = f"lakewatchd-{secrets.token_hex(16)}"  # no file can hold it
    head = f'--{edge}\r\nContent-Disposition: form-data; name="query"\r\n\r\n{json.dumps(query)}\r\n--{edge}\r\n'
    head += 'Content-Disposition: form-data; name="picture"; filename="picture"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{edge}--\r\n".encode()
    return _exchange(path, "POST", target, body, timeout_s, f"multipart/form-data; boundary={edge}")


def stream_lines(path: Path, target: str, body: object, *, timeout_s: float = 120.0) -> Iterator[Any]:
    """``POST target``; each line of the answer as JSON, as it comes. ``timeout_s`` is between two of them."""
    connection = _Connection(path, timeout_s)
    try:
        answer = _ask(connection, path, "POST", target, json.dumps(body).encode(), "application/json", timeout_s)
        if answer.status >= 400:
            raise _error(answer.status, answer.read(MAX_BYTES))
        while line := _read_line(answer, target, timeout_s):
            yield json.loads(line)
    finally:
        connection.close()


async def aget_json(path: Path, target: str, params: Params | None = None, *, timeout_s: float = 30.0) -> Any:
    """:func:`get_json` in a thread."""
    return await asyncio.to_thread(get_json, path, target, params, timeout_s=timeout_s)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with address_of(self._path) as address:
            self.sock.connect(address)


def _exchange(
    path: Path, method: str, target: str, body: bytes | None, timeout_s: float, kind: str = "application/json"
) -> Any:
    connection = _Connection(path, timeout_s)
    try:
        answer = _ask(connection, path, method, target, body, kind, timeout_s)
        try:
            raw = answer.read(MAX_BYTES + 1)
            if answer.length and len(raw) <= MAX_BYTES:
                raise http.client.IncompleteRead(raw)
        except TimeoutError as exc:
            raise _late(target, timeout_s) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise errors.ServiceAway(f"the answer to {target.partition('?')[0]} was cut off") from exc
    finally:
        connection.close()
    if answer.status >= 400:
        raise _error(answer.status, raw)
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError
        return json.loads(raw)
    except ValueError as exc:
        raise errors.LakewatchError(f"what listens on {path} is not lakewatchd") from exc


def _ask(
    connection: _Connection, path: Path, method: str, target: str, body: bytes | None, kind: str, timeout_s: float
) -> http.client.HTTPResponse:
    headers = {"Content-Type": kind} if body is not None else {}
    try:
        connection.request(method, target, body, headers)
        return connection.getresponse()
    except (TimeoutError, BlockingIOError) as exc:
        raise _late(target, timeout_s) from exc
    except PermissionError as exc:
        raise errors.NotReadable(f"you may not ask at {path}", "use sudo, or join the group of that file") from exc
    except (OSError, http.client.HTTPException) as exc:
        raise errors.DaemonDown(f"nobody answers on {path}", _HINT) from exc


_HINT = "start the daemon, with [web] enabled and the extra web installed: pip install 'lakewatchd[web]'"


def _read_line(answer: http.client.HTTPResponse, target: str, timeout_s: float) -> bytes:
    try:
        line = answer.readline(MAX_LINE_BYTES)
    except TimeoutError as exc:
        raise _late(target, timeout_s) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise errors.ServiceAway("the answer was cut off") from exc
    if line and not line.endswith(b"\n"):
        raise errors.ServiceAway("the answer was cut off")
    return line


def _late(target: str, timeout_s: float) -> errors.TimedOut:
    return errors.TimedOut(f"no answer to {target.partition('?')[0]} within {timeout_s:g} s")


def _error(status: int, raw: bytes) -> errors.LakewatchError:
    try:
        said = json.loads(raw)
        message, hint = str(said["error"]), str(said.get("hint") or "") or None
    except (ValueError, KeyError, TypeError):
        message, hint = f"the answer was {status}", None
    if status == 503:
        return errors.ServiceAway(message, hint)
    return errors.BadQuery(message, hint) if status in (400, 422) else errors.LakewatchError(message, hint)


def _target(target: str, params: Params | None) -> str:
    return f"{target}?{urlencode(params, doseq=True)}" if params else target
