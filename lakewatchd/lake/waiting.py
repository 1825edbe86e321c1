"""Batches that wait for a commit, and when it is due. Pure: time is handed in.

Invariant: batches leave in the order in which they came, so that the newest row of a key is written last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from lakewatchd.errors import LakewatchError
from lakewatchd.lake.group import rows_in
from lakewatchd.lake.rows import Batch

URGENT_S = 0.15
"""The longest an urgent batch waits for company."""
QUIET_S = 0.02
"""An urgent batch goes at once when nothing else has come for this long."""
REST = 3.0
"""Under a stream of urgent batches the writer rests this many times as long as its last commit took: a commit costs
about the same for 5 photos as for 50, so most of what it would take goes to decoders and models instead."""
FEW = 2
"""So many urgent batches in one group are somebody's photo, not a stream, and never make the next one wait."""
GROUPS_AT_ONCE = 8
"""What came while a commit ran goes into the next one, up to this many times the rows of a full group."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """``arrived`` on the monotonic clock, s."""

    batch: Batch
    is_urgent: bool
    arrived: float
    future: asyncio.Future[None]


@dataclass(slots=True)
class WaitingRoom:
    commit_rows: int
    commit_s: float
    _items: deque[Waiting] = field(default_factory=deque)
    _rows: int = 0
    _rest_until: float = float("-inf")
    _urgent_taken: int = 0
    """In the last group."""

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Waiting) -> None:
        self._items.append(item)
        self._rows += rows_in(item.batch)

    def due_in_s(self, now: float) -> float:
        """Seconds until a group should be written: 0 or less is now, infinity when nothing waits."""
        if not self._items:
            return float("inf")
        if self._rows >= self.commit_rows:
            return 0.0
        due = self._items[0].arrived + self.commit_s
        if urgent := next((item for item in self._items if item.is_urgent), None):
            soon = min(urgent.arrived + URGENT_S, self._items[-1].arrived + QUIET_S)
            due = min(due, max(soon, self._rest_until))
        return due - now

    def note_commit(self, began: float, ended: float) -> None:
        """The commit of what was taken last took from then to then, on the monotonic clock."""
        if self._urgent_taken > FEW:
            self._rest_until = ended + REST * (ended - began)

    def take(self) -> list[Waiting]:
        """The oldest batches, as many as one commit may hold: at least one, if any waits."""
        taken: list[Waiting] = []
        room = GROUPS_AT_ONCE * self.commit_rows
        while self._items and (not taken or rows_in(self._items[0].batch) <= room):
            taken.append(self._items.popleft())
            rows = rows_in(taken[-1].batch)
            self._rows -= rows
            room -= rows
        self._urgent_taken = sum(item.is_urgent for item in taken)
        return taken

    def take_all(self) -> list[Waiting]:
        taken = list(self._items)
        self._items.clear()
        self._rows = 0
        return taken


def settle(future: asyncio.Future[None], error: LakewatchError | None) -> None:
    """Tell whoever waits, unless they were cancelled."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
