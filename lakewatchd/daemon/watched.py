"""The roots that are watched now: one task each, started and stopped as the configuration says.

The invariant: ``sources`` holds the roots whose tasks run. A task that ends by an error ends :meth:`Watched.run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lakewatchd.config import AnyRoot, WatchConfig
from lakewatchd.sources.source import Source

MakeSource = Callable[[AnyRoot, WatchConfig], Source]


class Watched:
    """Owns the sources. ``sources`` is read by everybody and changed only here."""

    def __init__(self, make: MakeSource, roots: Sequence[AnyRoot], watch: WatchConfig) -> None:
        self._make = make
        self._roots = {root.name: root for root in roots}
        self._watch = watch
        self.sources: dict[str, Source] = {name: make(root, watch) for name, root in self._roots.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Watches until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for name in self.sources:
                self._start(name)
            await asyncio.get_running_loop().create_future()

    def prepare(self, roots: Sequence[AnyRoot], watch: WatchConfig) -> dict[str, Source]:
        """The sources that :meth:`apply` would start. Raises ``ConfigError`` where one cannot be."""
        return {root.name: self._make(root, watch) for root in roots if not self._is_same(root, watch)}

    async def apply(self, roots: Sequence[AnyRoot], watch: WatchConfig, new: dict[str, Source]) -> None:
        """Stop what is not wanted any more, start what is ``new``; a root that did not change is left alone.

        What a stopped source had heard but not told is found by the scan that the new one starts with.
        """
        wanted = {root.name: root for root in roots}
        stopped = [name for name in self.sources if name in new or name not in wanted]
        for name in stopped:
            self._tasks[name].cancel()
        if stopped:
            await asyncio.wait([self._tasks.pop(name) for name in stopped])
        for name in stopped:
            del self.sources[name]
        self._roots, self._watch = wanted, watch
        for name, source in new.items():
            self.sources[name] = source
            self._start(name)

    def _is_same(self, root: AnyRoot, watch: WatchConfig) -> bool:
        return watch == self._watch and self._roots.get(root.name) == root

    def _start(self, name: str) -> None:
        assert self._group is not None
        self._tasks[name] = self._group.create_task(self.sources[name].run(), name=name)
