"""Keeping the index in step with the lake while requests are being answered.

Small steps, so that no request waits long, in an order in which nothing that stays is ever absent. The invariant:
after a refresh the index shows the lake at its revision or later, however often a refresh before it
was cut short.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lakewatchd import errors
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.lake.rows import Presence
from lakewatchd.views.mounted.catalog import Rows
from lakewatchd.views.mounted.entries import Touched
from lakewatchd.views.mounted.feed import Changes, Feed
from lakewatchd.views.mounted.index import Index

log = logging.getLogger(__name__)

ROWS_PER_STEP = 25
"""Requests are answered between two steps: a step takes some 10 ms."""
REMIND_S = 30.0
ROWS_PER_LEAP = 4000
"""Systemd must hear of us between two."""
T = TypeVar("T")
Forget = Callable[[Touched], Awaitable[None]]


def steps(parts: Iterable[Changes]) -> Iterator[Rows]:
    """The changes in small parts: what is said of assets, then where they are, then removals."""
    occurrences = [row for part in parts for row in part.occurrences]
    for gold in _cut([row for part in parts for row in part.gold]):
        yield Rows(gold=gold)
    for there in _cut([row for row in occurrences if row.presence is not Presence.GONE]):
        yield Rows(occurrences=there)
    for gone in _cut([row for row in occurrences if row.presence is Presence.GONE]):
        yield Rows(occurrences=gone)
    for asset_ids in _cut([asset_id for part in parts for asset_id in part.gold_gone]):
        yield Rows(gold_gone=asset_ids)


def leaps(part: Changes) -> Iterator[Rows]:
    """The same in large parts, while nobody is looking yet: half the work, for a file and what is said of it come at
    once."""
    for start in range(0, max(len(part.occurrences), len(part.gold), len(part.gold_gone)), ROWS_PER_LEAP):
        end = start + ROWS_PER_LEAP
        yield Rows(part.occurrences[start:end], part.gold[start:end], gold_gone=part.gold_gone[start:end])


def _cut(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), ROWS_PER_STEP):
        yield rows[start : start + ROWS_PER_STEP]


@dataclass(slots=True)
class Follower:
    feed: Feed
    index: Index = field(default_factory=Index)
    clock: Clock = field(default_factory=SystemClock)
    _failures: int = 0
    _reminded_at: float = 0.0
    _refused: int = 0

    @property
    def is_behind(self) -> bool:
        """The last refresh failed: the tree may show what was."""
        return self._failures > 0

    async def refresh(self, forget: Forget | None = None) -> bool:
        """Take in what is new, calling ``forget`` after each step. False when the lake is not to be had just now.

        Raises ``LakeDamaged`` only before anything is shown: later, what is shown stays, until it is repaired.
        """
        try:
            revision = await self._read(forget)
            # A lake that is younger than what we know is another one: start again.
            self.index.revision = revision if revision >= self.index.revision else 0
        except sqlite3.OperationalError as exc:  # no space to write to: the step was taken back
            self._say_failed(errors.TransientError(f"the view's index cannot be written: {exc}"))
            return False
        except (errors.TransientError, errors.PauseError, errors.LakeDamaged) as exc:
            if isinstance(exc, errors.LakeDamaged) and not (self.index.revision or not self.index.is_empty):
                raise
            self._say_failed(exc)
            return False
        self._say_recovered()
        return True

    async def _read(self, forget: Forget | None) -> int:
        """A full answer may be long and is taken in part by part; any other is small, and put in order first."""
        revision, few, is_swept = self.index.revision, list[Changes](), False
        is_new = self.index.is_empty
        async for part in self.feed.changes(revision):
            revision = part.revision
            if not part.is_full:
                few.append(part)
                continue
            if not is_swept and not is_new:
                self.index.begin_sweep()
                is_swept = True
            await self._apply(leaps(part) if forget is None else steps([part]), forget)
            if is_swept:
                self.index.note((row.key for row in part.occurrences), (row.asset_id for row in part.gold))
        await self._apply(steps(few), forget)
        if is_swept:
            await self._apply(self.index.rest(ROWS_PER_STEP), forget)
        return revision

    async def _apply(self, rows: Iterable[Rows], forget: Forget | None) -> None:
        for step in rows:
            touched = self.index.apply(step)
            if forget is not None:
                await forget(touched)
            await asyncio.sleep(0)

    def _say_failed(self, exc: errors.LakewatchError) -> None:
        now = self.clock.monotonic()
        if self._failures == 0 or now - self._reminded_at >= REMIND_S:
            log.warning("the lake cannot be read, the view stays as it is: %s", exc.message)
            self._reminded_at = now
        self._failures += 1

    def _say_recovered(self) -> None:
        if self._failures:
            log.info("the lake can be read again after %d attempts", self._failures)
        self._failures = 0
        if self.index.refused > self._refused:
            self._refused = self.index.refused
            log.warning("%d rows name no path below a root and are not shown", self._refused)
