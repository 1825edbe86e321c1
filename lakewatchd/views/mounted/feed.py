"""What the view needs of a lake: the rows that changed since it last looked.

The view keeps its own picture and never asks the lake while it answers a file manager; so a slow or busy
lake can make the picture old, but never make ``ls`` wait. :class:`lakewatchd.lake.reader.LakeReader`
satisfies :class:`Feed`, and so does a list of rows in a test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from lakewatchd.core.asset import AssetId
from lakewatchd.lake.rows import GoldRow, OccurrenceRow


class Changes(Protocol):
    """Rows as they are now, each key once. A row may come again unchanged; that costs little and shows nothing."""

    @property
    def revision(self) -> int:
        """To be passed to the next call."""
        ...

    @property
    def is_full(self) -> bool:
        """The parts of this answer are all there is: what none of them names is no more."""
        ...

    @property
    def occurrences(self) -> Sequence[OccurrenceRow]: ...

    @property
    def gold(self) -> Sequence[GoldRow]: ...

    @property
    def gold_gone(self) -> Sequence[AssetId]: ...


class Feed(Protocol):
    def changes(self, revision: int) -> AsyncIterator[Changes]:
        """At least one part; all say the same revision. From revision 0 the answer is full.

        Raises ``TransientError`` or ``PauseError`` when the lake is not to be had now, ``LakeDamaged`` when a person
        has to repair it.
        """
        ...
