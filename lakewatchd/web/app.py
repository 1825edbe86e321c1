"""All that is served by HTTP: one ASGI application, and what is refused before it is asked.

Events of buckets have an application of their own, which is asked thousands of times a second; everything else is the
site (:mod:`lakewatchd.web.site`), where there is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from lakewatchd.web import events
from lakewatchd.web.answer import Answer, Message, Receive, Send
from lakewatchd.web.events import Events
from lakewatchd.web.gate import Gate
from lakewatchd.web.head import Head

NOTHING_HERE = Answer(HTTPStatus.NOT_FOUND, "nothing is here")


@dataclass(frozen=True, slots=True)
class Site:
    gate: Gate
    application: Callable[[Message, Receive, Send], Awaitable[None]]
    """By ASGI."""


class App:
    def __init__(self, receiver: Events, site: Site | None = None) -> None:
        self._events = receiver
        self._site = site

    def refuse(self, head: Head) -> Answer | None:
        """The answer to a request of which no more needs to be known; None: ask the application."""
        if head.path.startswith(events.PATH):
            return self._events.refuse(head.method, head.path, head.get(b"authorization"), head.address or "")
        return self._site.gate.refuse(head) if self._site is not None else NOTHING_HERE

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """By ASGI, HTTP only: the server is told that there is neither lifespan nor WebSocket."""
        if scope["raw_path"].startswith(events.PATH):
            await self._events(scope, receive, send)
        elif self._site is not None:
            await self._site.application(scope, receive, send)
        else:
            await NOTHING_HERE.send(send)
