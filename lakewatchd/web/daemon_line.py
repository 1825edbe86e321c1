"""Asking the daemon, over its control socket, without holding up the loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lakewatchd import control
from lakewatchd.control import Json

THREADS = 4
"""More questions at once wait for one of these."""
ANSWER_S = 20.0


class DaemonLine:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._threads = ThreadPoolExecutor(THREADS, "daemon")

    async def ask(self, op: str, **args: object) -> Json:
        """Raises ``DaemonDown``, ``TimedOut``, and what the daemon raised."""

        def ask() -> Json:
            return control.ask(self._socket, op, timeout_s=ANSWER_S, **args)

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
