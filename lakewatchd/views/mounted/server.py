"""Asking the server that searches, over its socket.

The invariant: threads of its own wait for it, so that one that is silent holds up nobody who asks for anything else;
and whatever it answers, or whoever listens there, what comes back is an answer or a LakewatchError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lakewatchd import errors, unixhttp
from lakewatchd.core.found import Found, Query
from lakewatchd.core.wire import from_json, to_json

ASKED_AT_ONCE = 4
"""Of other people's searches the server gets no more from us."""
FIND_S = 30.0
STATUS_S = 2.0

T = TypeVar("T")


class WebServer:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._searches = ThreadPoolExecutor(ASKED_AT_ONCE, "searches")
        self._statuses = ThreadPoolExecutor(1, "status")

    async def find(self, query: Query) -> Found:
        """Raises LakewatchError. ``picture`` does not travel."""
        asked = {key: value for key, value in to_json(query).items() if value not in (None, "", [], b"")}

        def ask() -> Found:
            said = unixhttp.post_json(self._socket, "/api/search", asked, timeout_s=FIND_S)
            try:
                return from_json(Found, said)
            except ValueError as exc:
                raise errors.ServiceAway(f"the server's answer makes no sense: {exc}") from exc

        return await self._run(self._searches, ask)

    async def status(self) -> Mapping[str, object]:
        """Raises LakewatchError."""
        said = await self._run(
            self._statuses, lambda: unixhttp.get_json(self._socket, "/api/status", timeout_s=STATUS_S)
        )
        if not isinstance(said, dict):
            raise errors.ServiceAway("the server's answer makes no sense")
        return said

    @staticmethod
    async def _run(threads: ThreadPoolExecutor, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, ask)

    def close(self) -> None:
        """Does not wait for what is under way."""
        for threads in (self._searches, self._statuses):
            threads.shutdown(wait=False, cancel_futures=True)
