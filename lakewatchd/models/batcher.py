"""Turns single requests into batches, the most urgent first.

::

    ask ──► waiting, by operation ──► a batch is cut whenever the last one is done ──► run ──► answers

Nothing waits for a batch to fill: it is what waits at the moment, up to a limit. So a fresh photo behind a
backfill waits for one batch at most, and under load batches fill by themselves. When the worker dies, the batch it
died of is done again one by one: whatever kills it fails alone. The number of waiting requests is bounded by who
asks: the job slots of the daemon.
"""

from __future__ import annotations

import asyncio
import collections
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakewatchd import errors

Run = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]
"""``(operation, items) -> answers``, one per item, in order."""

_RECENT_BATCHES = 32


@dataclass(order=True, slots=True)
class _Waiting:
    priority: int
    number: int
    item: Any = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)


class Batcher:
    """One worker's queue. ``limits`` gives the largest batch of each operation."""

    def __init__(self, run: Run, limits: Mapping[str, int]) -> None:
        self._run = run
        self._limits = limits
        self._waiting: dict[str, list[_Waiting]] = {operation: [] for operation in limits}
        self._numbers = itertools.count()
        self._draining: asyncio.Task[None] | None = None
        self._recent: collections.deque[tuple[int, float]] = collections.deque(maxlen=_RECENT_BATCHES)
        self.batches = 0
        self.items = 0

    @property
    def waiting(self) -> int:
        return sum(len(heap) for heap in self._waiting.values())

    @property
    def items_per_s(self) -> float:
        """While busy, over the last batches; 0 before the first."""
        seconds = sum(s for _, s in self._recent)
        return sum(n for n, _ in self._recent) / seconds if seconds else 0.0

    async def ask(self, operation: str, item: Any, priority: int) -> Any:
        """The answer for ``item``. Raises what the run raised for its batch. Cancelling withdraws the request."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting[operation], _Waiting(priority, next(self._numbers), item, answer))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain(), name="model batches")
        return await answer

    async def close(self) -> None:
        """Stop after cancelling the batch under way; who still waits is told so."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        for heap in self._waiting.values():
            _fail(heap, errors.WorkerDied("the models are shutting down"))
            heap.clear()

    async def _drain(self) -> None:
        while batch := self._cut():
            operation, waiting = batch
            try:
                await self._serve(operation, waiting)
            except asyncio.CancelledError:
                _fail(waiting, errors.WorkerDied("the models are shutting down"))
                raise
            except Exception as exc:  # belongs to whoever asked, whatever it is
                _fail(waiting, exc)

    def _cut(self) -> tuple[str, list[_Waiting]] | None:
        """The most urgent request and what can be done along with it."""
        for heap in self._waiting.values():
            while heap and heap[0].answer.done():  # cancelled
                heapq.heappop(heap)
        heads = [(heap[0], operation) for operation, heap in self._waiting.items() if heap]
        if not heads:
            return None
        _, operation = min(heads)
        heap = self._waiting[operation]
        batch: list[_Waiting] = []
        while heap and len(batch) < self._limits[operation]:
            waiting = heapq.heappop(heap)
            if not waiting.answer.done():
                batch.append(waiting)
        return operation, batch

    async def _serve(self, operation: str, batch: list[_Waiting]) -> None:
        try:
            await self._answer(operation, batch)
        except errors.WorkerDied:
            if len(batch) == 1:
                raise
            await self._one_by_one(operation, batch)

    async def _one_by_one(self, operation: str, batch: list[_Waiting]) -> None:
        """Gives up after two deaths in a row: then it is not the items, and each start costs seconds."""
        deaths = 0
        for done, waiting in enumerate(batch):
            try:
                await self._answer(operation, [waiting])
                deaths = 0
            except errors.WorkerDied as exc:
                deaths += 1
                _fail(batch[done:] if deaths == 2 else [waiting], exc)
                if deaths == 2:
                    return

    async def _answer(self, operation: str, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        answers = await self._run(operation, [waiting.item for waiting in batch])
        self._recent.append((len(batch), time.monotonic() - started))
        self.batches += 1
        self.items += len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)


def _fail(batch: Sequence[_Waiting], exc: Exception) -> None:
    """Each gets an error of its own: one that many tasks raise would collect all their tracebacks."""
    for waiting in batch:
        if not waiting.answer.done():
            own = type(exc)(exc.message, exc.hint) if isinstance(exc, errors.LakewatchError) else exc
            own.__cause__ = exc if own is not exc else exc.__cause__
            waiting.answer.set_exception(own)
