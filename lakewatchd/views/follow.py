"""Keeping the tree in step with the lake while requests are being answered.

Small steps, so that no request waits long, in an order in which nothing that stays is ever absent. The invariant:
after a refresh the tree shows the lake at :attr:`Follower.revision` or later, however often a refresh before it
was cut short.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lakewatchd import errors
from lakewatchd.core.asset import AssetId, PathKey
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.lake.rows import Presence
from lakewatchd.views.catalog import Rows
from lakewatchd.views.feed import Changes, Feed
from lakewatchd.views.tree import Touched, Tree

log = logging.getLogger(__name__)

ROWS_PER_STEP = 500
"""Requests are answered between two steps: a step must take milliseconds."""
REMIND_S = 30.0
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


def _cut(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), ROWS_PER_STEP):
        yield rows[start : start + ROWS_PER_STEP]


@dataclass(slots=True)
class Follower:
    feed: Feed
    tree: Tree = field(default_factory=Tree)
    clock: Clock = field(default_factory=SystemClock)
    revision: int = 0
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
        except (errors.TransientError, errors.PauseError, errors.LakeDamaged) as exc:
            if isinstance(exc, errors.LakeDamaged) and not (self.revision or self.tree.catalog.assets):
                raise
            self._say_failed(exc)
            return False
        self._say_recovered()
        # A lake that is younger than what we know is another one: start again.
        self.revision = revision if revision >= self.revision else 0
        return True

    async def _read(self, forget: Forget | None) -> int:
        """A full answer may be long and is taken in part by part; any other is small, and put in order first."""
        revision, few, full = self.revision, list[Changes](), Full() if self.tree.catalog.assets else None
        async for part in self.feed.changes(self.revision):
            revision = part.revision
            if not part.is_full:
                few.append(part)
                continue
            await self._apply(steps([part]), forget)
            if full is not None:
                full.note(part)
        await self._apply(steps(few), forget)
        if full is not None and full.is_noted:
            await self._apply(_cut_rows(self.tree.catalog.all_but(full.keys, full.assets)), forget)
        return revision

    async def _apply(self, rows: Iterable[Rows], forget: Forget | None) -> None:
        for step in rows:
            touched = self.tree.apply(step)
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
        if self.tree.catalog.refused > self._refused:
            self._refused = self.tree.catalog.refused
            log.warning("%d rows name no path below a root and are not shown", self._refused)


@dataclass(slots=True)
class Full:
    """What a full answer named, to find what it did not."""

    keys: set[PathKey] = field(default_factory=set)
    assets: set[AssetId] = field(default_factory=set)
    is_noted: bool = False

    def note(self, part: Changes) -> None:
        self.is_noted = True
        self.keys.update(row.key for row in part.occurrences)
        self.assets.update(row.asset_id for row in part.gold)


def _cut_rows(rows: Rows) -> Iterator[Rows]:
    for keys in _cut(rows.gone):
        yield Rows(gone=keys)
    for asset_ids in _cut(rows.gold_gone):
        yield Rows(gold_gone=asset_ids)
