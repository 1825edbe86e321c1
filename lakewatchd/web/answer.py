"""The answers that are always the same: a status, a line of text, the header that goes with it."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
"""ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html"""


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    text: str = ""
    """Of the body, which is empty without: then head and body are one write."""
    header: tuple[bytes, bytes] = (b"cache-control", b"no-store")
    content_type: bytes = b"text/plain; charset=utf-8"

    @property
    def body(self) -> bytes:
        return f"{self.text}\n".encode() if self.text else b""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        length = str(len(self.body)).encode()
        return [(b"content-type", self.content_type), (b"content-length", length), self.header]

    async def send(self, send: Send) -> None:
        """By ASGI."""
        for message in _messages(self):
            await send(message)

    def raw(self, is_head: bool) -> bytes:
        """As it goes over the wire, for whoever answers without an application."""
        return _raw(self, is_head)


def problem(
    status: HTTPStatus, message: str, hint: str, header: tuple[bytes, bytes] = (b"cache-control", b"no-store")
) -> Answer:
    """As the API tells what is wrong."""
    return Answer(status, json.dumps({"error": message, "hint": hint}), header, b"application/json")


@functools.lru_cache(64)
def _messages(answer: Answer) -> tuple[Message, Message]:
    start = {"type": "http.response.start", "status": answer.status.value, "headers": answer.headers}
    return start, {"type": "http.response.body", "body": answer.body}


@functools.lru_cache(64)
def _raw(answer: Answer, is_head: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}".encode()]
    lines += [name + b": " + value for name, value in answer.headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if is_head else answer.body)
