"""Ask whether a root is there, where asking may hang for ever: a few threads at most are lost to one mount.

Once they are, the answer is "no" without asking, until one of them comes back or something else is mounted there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from lakewatchd.errors import TimedOut
from lakewatchd.sources import mounts
from lakewatchd.sources.mounts import Mount
from lakewatchd.sources.roots import Root, RootHealth, RootState
from lakewatchd.sources.worker import Worker

ANSWER_S = 15.0


class Prober:
    """Use from one event loop."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._worker = Worker(f"{root.name}-health")
        self._path = os.fspath(root.path)
        self._hung_in: Mount | None = None

    async def ask(self, question: Callable[[bool], RootHealth], argument: bool) -> RootHealth:
        """The answer, or that there is none within :data:`ANSWER_S`."""
        if self._worker.is_exhausted:
            if mounts.covering(self._path) == self._hung_in:
                return self._silence()
            self._worker.forgive()
        try:
            health, self._path = await self._worker.run_within(ANSWER_S, self._look, question, argument)
        except TimedOut:
            self._hung_in = mounts.covering(self._path)
            return self._silence()
        return health

    def close(self) -> None:
        self._worker.close()

    @property
    def left_behind(self) -> int:
        return self._worker.left_behind

    def _look(self, question: Callable[[bool], RootHealth], argument: bool) -> tuple[RootHealth, str]:
        health = question(argument)
        return health, self._path if health.is_away else os.path.realpath(self._root.path)

    def _silence(self) -> RootHealth:
        return RootHealth(RootState.AWAY, "does not answer", f"check the server behind {self._root.path}")
