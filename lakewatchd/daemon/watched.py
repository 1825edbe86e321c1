"""The roots that are watched now: one task each, started and stopped as the configuration says.

The invariant: ``sources`` holds the roots whose tasks run. A task that ends by an error ends :meth:`Watched.run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lakewatchd.config import RootConfig, WatchConfig
from lakewatchd.sources.live import RootSource

MakeSource = Callable[[RootConfig, WatchConfig], RootSource]


class Watched:
    """Owns the sources. ``sources`` is read by everybody and changed only here."""

    def __init__(self, make: MakeSource, roots: Sequence[RootConfig], watch: WatchConfig) -> None:
        self._make = make
        self._roots = {root.name: root for root in roots}
        self._watch = watch
        self.sources = {name: make(root, watch) for name, root in self._roots.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Watches until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for name in self.sources:
                self._start(name)
            await asyncio.get_running_loop().create_future()

    async def apply(self, roots: Sequence[RootConfig], watch: WatchConfig) -> None:
        """Stop what is not wanted any more, start what is new; a root that did not change is left alone.

        What a stopped source had heard but not told is found by the scan that the new one starts with.
        """
        wanted = {root.name: root for root in roots}
        same = {name for name in self.sources if watch == self._watch and wanted.get(name) == self._roots[name]}
        stopped = [name for name in self.sources if name not in same]
        for name in stopped:
            self._tasks[name].cancel()
        if stopped:
            await asyncio.wait([self._tasks.pop(name) for name in stopped])
        for name in stopped:
            del self.sources[name]
        self._roots, self._watch = wanted, watch
        for name, root in wanted.items():
            if name not in same:
                self.sources[name] = self._make(root, watch)
                self._start(name)

    def _start(self, name: str) -> None:
        assert self._group is not None
        self._tasks[name] = self._group.create_task(self.sources[name].run(), name=name)
