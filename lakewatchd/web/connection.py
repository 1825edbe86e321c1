"""One HTTP connection, with what uvicorn leaves to a proxy in front: deadlines, bounds, short answers to strangers.

A request that :attr:`Door.refuse` turns away costs no task and no application. The invariant: whoever has not
shown a right token keeps nobody out and holds no more than one read buffer and one head; nobody holds anything for
longer than :data:`REQUEST_S` without getting on. Who reads a long answer gets on while it takes some of it in.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from lakewatchd.web.answer import Answer
from lakewatchd.web.head import Head

HEAD_S = 10.0
"""How long a head may take, from its first byte or from the connection on."""
REQUEST_S = 60.0
"""How long the rest of a request and its answer may take."""
IDLE_S = 75.0
"""How long a connection is kept for the next request."""
LOOK_S = 1.0
"""How often it is looked who is too slow."""
MAX_CONNECTIONS = 512
MAX_HEAD_BYTES = 32 << 10
MAX_UNREAD_BYTES = 1 << 20
"""Of a request that was refused: so much is read over, so that its sender comes to read the answer."""
MAX_AT_ONCE = 16
"""Requests sent without waiting for the answer to the one before."""

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_HEAD_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

Refuse = Callable[[Head], Answer | None]
"""The answer to a request by its head alone, or None: ask the application."""


@dataclass(slots=True)
class Door:
    """What all connections share."""

    refuse: Refuse
    max_connections: int = MAX_CONNECTIONS
    connections: set[Connection] = field(default_factory=set)
    strangers: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    """Those that have not shown a right token, the oldest first."""

    def enter(self, connection: Connection) -> None:
        """When it gets too crowded the oldest stranger leaves; if there is none, who came last."""
        self.connections.add(connection)
        self.strangers[connection] = None
        if len(self.connections) > self.max_connections:
            leaving = next(iter(self.strangers))
            self.leave(leaving)
            leaving.transport.abort()

    def leave(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.strangers.pop(connection, None)

    async def watch_the_clock(self) -> None:
        """End what is too slow. Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_S)
            now = clock()
            for connection in [one for one in self.connections if one.deadline < now]:
                connection.time_is_up()


class Connection(HttpToolsProtocol):
    """Made by uvicorn for each connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.deadline = self.loop.time() + HEAD_S
        self._door = door
        self._is_local = False
        """It came by the UNIX socket."""
        self._is_in_head = True
        self._head_bytes = 0
        self._is_refused = False
        """The request that is being read was answered already, and is read over."""
        self._unread_bytes = 0
        self._answers: list[bytes] = []
        """To requests of the piece that is being read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self._is_local = transport.get_extra_info("socket").family == socket.AF_UNIX
        self._door.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._send_answers()
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self._end(_HEAD_TOO_LONG)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._is_refused = False
        self.deadline = self.loop.time() + HEAD_S

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_bytes = 0
        if self.transport.is_closing():
            self._is_refused = True  # what is left of the piece in which it was ended
            return
        method, path = self.parser.get_method(), self.url.partition(b"?")[0]
        address = None if self._is_local else self.client[0] if self.client else ""
        answer = self._door.refuse(Head(method, path, self.headers, address))
        if answer is None and len(self.pipeline) < MAX_AT_ONCE:
            self.deadline = self.loop.time() + REQUEST_S
            self._door.strangers.pop(self, None)
            super().on_headers_complete()
            return
        self._is_refused = True
        is_waiting = self.cycle is not None and not self.cycle.response_complete
        if answer is None or is_waiting or len(self._answers) >= MAX_AT_ONCE:
            self.transport.abort()  # it sends more than it waits for: nobody does who means well
            return
        self._answers.append(answer.raw(method == b"HEAD"))

    def on_body(self, body: bytes) -> None:
        if not self._is_refused and not self.cycle.response_complete:
            super().on_body(body)
            return
        self._unread_bytes += len(body)
        if self._unread_bytes > MAX_UNREAD_BYTES:
            self.transport.abort()

    def on_message_complete(self) -> None:
        self._unread_bytes = 0
        if not self._is_refused:
            super().on_message_complete()
        elif not self.parser.should_keep_alive():
            self._send_answers()
            self.transport.close()
        else:
            self.deadline = self.loop.time() + HEAD_S

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.deadline = self.loop.time() + IDLE_S

    def resume_writing(self) -> None:
        super().resume_writing()
        self.deadline = self.loop.time() + REQUEST_S

    def time_is_up(self) -> None:
        """Closed politely, and a second later surely."""
        if self._waits_for_more:
            self.deadline = self.loop.time() + REQUEST_S
        elif self.transport.is_closing():
            self.transport.abort()
        else:
            is_asking = self.cycle is not None and not self.cycle.response_started
            self._end(_TOO_SLOW if self._head_bytes or is_asking else b"")

    @property
    def _waits_for_more(self) -> bool:
        """Whether it has taken in all that there is of an answer that goes on, such as events as they happen."""
        is_under_way = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        return is_under_way and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    def _send_answers(self) -> None:
        if self._answers and not self.transport.is_closing():
            self.transport.write(b"".join(self._answers))
            self._answers.clear()
            if self.flow.write_paused:  # it does not read what it is told
                self.transport.abort()

    def _end(self, last_words: bytes) -> None:
        self.transport.write(last_words)
        self.transport.close()
