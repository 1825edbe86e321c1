"""Many lookups of one key each -> few queries.

A query costs nearly the same for fifty keys as for one, and the more the more fragments wait to be compacted. So
what is asked while a query runs, or shortly after it, goes into the next one together. Whoever comes after a pause is
answered at once: a lone photo never waits here. Invariant: every answer shows all that was committed before it
was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lakewatchd.errors import LakewatchError

Row = TypeVar("Row")

REST = 8.0
"""How many times as long as the last query took the next one waits for company: lookups take a ninth of one core."""
REST_MAX_S = 0.1


@dataclass(slots=True)
class Lookup(Generic[Row]):
    """``fetch`` gives the rows of many keys, by key; ``time`` and ``sleep`` are the loop's own."""

    fetch: Callable[[Collection[str]], Awaitable[Mapping[str, Sequence[Row]]]]
    time: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _waiting: list[tuple[str, asyncio.Future[Sequence[Row]]]] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None
    _rest_until: float = float("-inf")

    async def get(self, key: str) -> Sequence[Row]:
        """The rows of ``key``. Raises what ``fetch`` raises."""
        answer: asyncio.Future[Sequence[Row]] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="lookups")
        return await answer

    async def _drain(self) -> None:
        """Lives for as long as somebody waits."""
        while self._waiting:
            if (rest_s := self._rest_until - self.time()) > 0:
                await self.sleep(rest_s)
            batch, self._waiting = self._waiting, []
            began = self.time()
            try:
                if wanted := [(key, answer) for key, answer in batch if not answer.done()]:
                    await self._serve(wanted)
            finally:  # cancelled with its loop: nobody may be left waiting
                for _, answer in batch:
                    answer.cancel()
            self._rest_until = self.time() + min(REST * (self.time() - began), REST_MAX_S)

    async def _serve(self, batch: list[tuple[str, asyncio.Future[Sequence[Row]]]]) -> None:
        try:
            found = await self.fetch({key for key, _ in batch})
        except Exception as exc:  # belongs to whoever asked, whatever it is
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(_own(exc))
            return
        for key, answer in batch:
            if not answer.done():
                answer.set_result(found.get(key, ()))


def _own(exc: Exception) -> Exception:
    """An error for one of many: a shared one would collect the tracebacks of all."""
    if not isinstance(exc, LakewatchError):
        return exc
    own = type(exc)(exc.message, exc.hint)
    own.__cause__ = exc
    return own
