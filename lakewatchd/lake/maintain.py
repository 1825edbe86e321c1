"""Keeping tables quick: compaction, indexes, old versions. Runs inside the writer, between groups.

Every commit leaves a fragment, and every fragment makes upserts and searches slower: a debt. It is paid after
so many commits, or earlier when nothing waits, and in steps, so that ingestion never stands still for long.
Rows that no index covers are a debt of searches, and paid sooner. An index that takes long to make, or to merge, is
made beside the commits: meanwhile its table is neither compacted nor cleaned, as that would make it be in vain.
LanceDB's ``optimize()`` is not used: it does all at once, and stops half-way in a lake with version tags.

Invariant: nothing here changes what a reader finds, nor removes the version that a power cut would lead back to.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lakewatchd.errors import LakeDamaged, LakewatchError, PauseError, TransientError
from lakewatchd.lake import indexes
from lakewatchd.lake.files import bytes_below, dataset
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import TABLES, Column, TableSpec
from lakewatchd.lake.store import Store

log = logging.getLogger(__name__)

IDLE_COMMITS = 8
"""A debt of fewer commits waits even when there is time."""
TAIL_ROWS = 2_000
"""So many new rows are brought into the indexes of a table that is searched: a search for words scans them in 10 ms."""
LONG_ROWS = 50_000
"""What indexes more rows is done beside the commits."""
FRAGMENT_ROWS = 16_384
"""Larger fragments are left alone. Bounds what one compaction rewrites, and so how long it takes."""
KEEP_VERSIONS = dt.timedelta(minutes=5)
"""A reader in the middle of a long query keeps the files of the version it began with."""

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hygiene:
    """What lies on disk against what the newest version of a table needs."""

    table: str
    bytes_on_disk: int
    bytes_referenced: int
    fragments: int
    unindexed_rows: int
    """Most rows any one index does not cover; searches scan these."""


@dataclass(slots=True)
class _Long:
    """Work on indexes of one table that goes on beside the commits."""

    indexes: frozenset[str]
    task: asyncio.Task[None]
    can_stop: bool


@dataclass(slots=True)
class Maintenance:
    store: Store
    optimize_commits: int
    make_durable: Step
    """Brings the newest versions to the disk and into the ledger."""
    _debt: Counter[str] = field(default_factory=Counter)
    _tail: Counter[str] = field(default_factory=Counter)
    """Rows written to tables that are searched, since their indexes were brought up to date."""
    _steps: deque[Step] = field(default_factory=deque)
    _long: dict[str, _Long] = field(default_factory=dict)
    """By table, one at a time."""
    _in_vain: dict[str, int] = field(default_factory=dict)
    """Index -> rows of its table when it could not be made: tried again when they have doubled."""

    def note_commit(self, spec: TableSpec, rows: int = 1) -> None:
        self._debt[spec.name] += 1
        if spec.indexed("words"):
            self._tail[spec.name] += rows

    def has_work(self, *, is_idle: bool) -> bool:
        return bool(self._steps or self._long or self._longest_tail()) or self._most_indebted(is_idle) is not None

    async def step(self, *, is_idle: bool) -> bool:
        """Do one thing that is due; False if nothing was. Raises ``FatalError`` for a damaged table.

        A full disk or a conflict ends this round and commits go on; the next round is due as if this had been done.
        """
        if not self._steps:
            if spec := self._most_indebted(is_idle):
                self._debt[spec.name] = self._tail[spec.name] = 0
                self._steps.extend(self._round(spec))
            elif spec := self._longest_tail():
                self._tail[spec.name] = 0
                self._steps.append(self._index_round(spec))
        has_ended = self._end_long()
        if not (self._steps or has_ended):
            return False
        try:
            if self._steps:
                await self._steps.popleft()()
            await self.make_durable()
        except (PauseError, TransientError) as exc:
            self._steps.clear()
            log.warning("maintenance put off", extra={"reason": exc.reason, "detail": exc.message})
        return True

    async def pay_all(self) -> None:
        """Everything, whatever the debt, and however long it takes."""
        await self._finish_long()
        for spec in TABLES:
            self._debt[spec.name] = self._tail[spec.name] = 0
            self._steps.extend(self._round(spec))
        while self._steps:
            await self._steps.popleft()()
            await self._finish_long()

    async def tidy_at_start(self) -> None:
        """Remove what killed writers left behind. Only while nobody else writes: the lock is ours."""
        removed = 0
        for spec in TABLES:
            removed += await self._clean(spec, delete_unverified=True)
        if removed:
            log.info("%d bytes of old versions and of commits that were cut off are removed from the lake", removed)

    async def close(self) -> None:
        """Give up what would take long; to be called before the lock is given up."""
        for long in self._long.values():
            if long.can_stop:
                long.task.cancel()
        await self._finish_long()

    def _most_indebted(self, is_idle: bool) -> TableSpec | None:
        limit = min(IDLE_COMMITS, self.optimize_commits) if is_idle else self.optimize_commits
        spec = max(TABLES, key=lambda spec: self._debt[spec.name])
        return spec if self._debt[spec.name] >= limit else None

    def _longest_tail(self) -> TableSpec | None:
        spec = max(TABLES, key=lambda spec: self._tail[spec.name])
        return spec if self._tail[spec.name] >= TAIL_ROWS else None

    def _round(self, spec: TableSpec) -> list[Step]:
        """One table's debt as steps, each short."""

        async def compact() -> None:
            if spec.name not in self._long:
                self._steps.extendleft(reversed(await asyncio.to_thread(self._compactions, spec)))

        async def clean() -> None:
            if spec.name not in self._long:
                await self._clean(spec)

        return [compact, self._creation(spec), self._index_round(spec), clean]

    def _creation(self, spec: TableSpec) -> Step:
        async def create_indexes() -> None:
            rows = await self.store.count(spec)
            lacking = await indexes.lacking(self.store, spec, rows)
            lacking += await asyncio.to_thread(indexes.outgrown, self.store.files, spec, rows)
            long = [column for column in lacking if indexes.takes_long(column, rows)]
            for column in lacking:
                if column not in long:
                    await self.store.create_index(spec, column, rows)

            async def create(column: Column) -> None:
                try:
                    await self.store.create_index(spec, column, rows)
                except LakeDamaged:
                    self._in_vain[column.index_name] = rows
                    raise

            due = [column for column in long if rows >= 2 * self._in_vain.get(column.index_name, 0)]
            self._begin_long(spec, {one.index_name: partial(create, one) for one in due}, can_stop=True)

        return create_indexes

    def _index_round(self, spec: TableSpec) -> Step:
        async def update_indexes() -> None:
            self._steps.extendleft(await asyncio.to_thread(self._index_updates, spec))

        return update_indexes

    # --- what takes long ----------------------------------------------------------------------------------

    def _begin_long(self, spec: TableSpec, work: Mapping[str, Step], *, can_stop: bool) -> None:
        """By index, one after the other; unless the table has such work already: it is found again in a later round."""

        async def do() -> None:
            for index, make in work.items():
                try:
                    await make()
                    log.info("index made", extra={"table": spec.name, "index": index})
                except LakewatchError as exc:  # searches scan what is not indexed
                    log.warning("index not made", extra={"table": spec.name, "index": index, "detail": exc.message})

        if work and spec.name not in self._long:
            self._long[spec.name] = _Long(frozenset(work), asyncio.create_task(do()), can_stop)

    def _end_long(self) -> bool:
        """Whether any has ended, so that there is something to be made durable."""
        ended = [table for table, long in self._long.items() if long.task.done()]
        for table in ended:
            del self._long[table]
        return bool(ended)

    async def _finish_long(self) -> None:
        await asyncio.gather(*(long.task for long in self._long.values()), return_exceptions=True)
        self._end_long()

    def _compactions(self, spec: TableSpec) -> list[Step]:
        """One step for each run of small fragments. Planned anew by each: the fragments change under a plan."""
        from lance.optimize import Compaction

        options: Any = {"target_rows_per_fragment": FRAGMENT_ROWS, "num_threads": 1}
        with translated(f"compacting {spec.name}"):
            tasks = Compaction.plan(_dataset(self.store, spec), options).num_tasks()

        def one() -> None:
            with translated(f"compacting {spec.name}"):
                dataset = _dataset(self.store, spec)
                plan = Compaction.plan(dataset, options)
                if plan.num_tasks():
                    Compaction.commit(dataset, [plan.tasks[0].execute(dataset)], options)

        return [lambda: asyncio.to_thread(one)] * tasks

    def _index_updates(self, spec: TableSpec) -> list[Step]:
        """One step for each index that does not cover all rows, but for the one that is being made."""

        def step(what: indexes.Update) -> Step:
            async def take_in() -> None:
                await asyncio.to_thread(indexes.update, self.store.files, spec, what)

            async def one() -> None:
                if what.rows < LONG_ROWS:
                    await take_in()
                else:
                    self._begin_long(spec, {what.index: take_in}, can_stop=False)

            return one

        busy = self._long.get(spec.name)
        found = indexes.updates(self.store.files, spec)
        return [step(what) for what in found if busy is None or what.index not in busy.indexes]

    async def _clean(self, spec: TableSpec, *, delete_unverified: bool = False) -> int:
        """Leave the newest version alone in the end; so that one must be safe first. Returns bytes."""
        await self.make_durable()
        return await asyncio.to_thread(self._remove_old_versions, spec, delete_unverified)

    def _remove_old_versions(self, spec: TableSpec, delete_unverified: bool) -> int:
        with translated(f"removing old versions of {spec.name}"):
            removed = _dataset(self.store, spec).cleanup_old_versions(
                older_than=KEEP_VERSIONS,
                delete_unverified=delete_unverified,
                error_if_tagged_old_versions=False,  # a tag keeps its version; that is no error
            )
        return int(removed.bytes_removed)

    def hygiene(self, spec: TableSpec) -> Hygiene:
        """Blocking: walks the table's files."""
        with translated(f"measuring {spec.name}"):
            dataset = _dataset(self.store, spec)
            fragments = dataset.get_fragments()
            sizes = [file.file_size_bytes or 0 for fragment in fragments for file in fragment.metadata.files]
            unindexed = max(indexes.unindexed_rows(dataset).values(), default=0)
            return Hygiene(spec.name, bytes_below(self.store.files, spec.name), sum(sizes), len(fragments), unindexed)


def _dataset(store: Store, spec: TableSpec) -> Any:
    """The newest version, opened with pylance: it compacts in parts and cleans up despite tags."""
    return dataset(store.files, spec.name)
