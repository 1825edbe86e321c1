"""The daemon's status for many: asked for once, whoever listens, and not at all while nobody does.

The invariant: a listener costs one answer of memory. Who is slow misses what lies between, and never holds up others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

EVERY_S = 1.0
MAX_LISTENERS = 64


class Full(Exception):
    """As many listen as may."""


class Bulletin:
    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        """``ask`` gives the latest, and raises nothing."""
        self._ask = ask
        self._latest = ""
        self._issue = 0
        self._news = asyncio.Condition()
        self._listeners = 0
        self._asking: asyncio.Task[None] | None = None

    async def listen(self, patience_s: float) -> AsyncIterator[str]:
        """The latest, and then each that differs; an empty text where there was none for ``patience_s``.

        Raises :class:`Full`.
        """
        if self._listeners >= MAX_LISTENERS:
            raise Full
        self._listeners += 1
        self._asking = self._asking or asyncio.create_task(self._keep_asking(), name="bulletin")
        seen = 0
        try:
            while True:
                try:
                    async with asyncio.timeout(patience_s), self._news:
                        await self._news.wait_for(lambda seen=seen: self._issue > seen)  # type: ignore[misc]
                        seen, latest = self._issue, self._latest
                except TimeoutError:
                    latest = ""
                yield latest
        finally:
            self._listeners -= 1
            if not self._listeners and self._asking is not None:
                self._asking.cancel()
                self._asking, self._issue = None, 0  # the next to listen waits for what is so by then

    async def _keep_asking(self) -> None:
        while True:
            latest = await self._ask()
            if latest != self._latest or not self._issue:
                async with self._news:
                    self._latest, self._issue = latest, self._issue + 1
                    self._news.notify_all()
            await asyncio.sleep(EVERY_S)
