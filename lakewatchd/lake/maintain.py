"""Keeping tables quick: compaction, indexes, old versions. Runs inside the writer, between groups.

Every commit leaves a fragment, and every fragment makes upserts and searches slower: a debt. It is paid after
so many commits, or earlier when nothing waits, and in steps, so that ingestion never stands still for long.
LanceDB's ``optimize()`` is not used: it does all at once, and stops half-way in a lake with version tags.

Invariant: nothing here changes what a reader finds, nor removes the version that a power cut would lead back to.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from lakewatchd.errors import PauseError, TransientError
from lakewatchd.lake.durable import bytes_below
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.schema import TABLES, TableSpec
from lakewatchd.lake.store import Store

log = logging.getLogger(__name__)

IDLE_COMMITS = 8
"""A debt of fewer commits waits even when there is time."""
INDEX_FROM_ROWS = 5_000
"""Below this, scanning is as quick as a bitmap or label index and costs no upkeep."""
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
class Maintenance:
    store: Store
    optimize_commits: int
    make_durable: Step
    """Brings the newest versions to the disk and into the ledger."""
    _debt: Counter[str] = field(default_factory=Counter)
    _steps: deque[Step] = field(default_factory=deque)

    def note_commit(self, spec: TableSpec) -> None:
        self._debt[spec.name] += 1

    def has_work(self, *, is_idle: bool) -> bool:
        return bool(self._steps) or self._most_indebted(is_idle) is not None

    async def step(self, *, is_idle: bool) -> bool:
        """Do one thing that is due; False if nothing was. Raises ``FatalError`` for a damaged table.

        A full disk or a conflict ends this round and commits go on; the next round is due as if this had been done.
        """
        if not self._steps and (spec := self._most_indebted(is_idle)):
            self._debt[spec.name] = 0
            self._steps.extend(self._round(spec))
        if not self._steps:
            return False
        try:
            await self._steps.popleft()()
            await self.make_durable()
        except (PauseError, TransientError) as exc:
            self._steps.clear()
            log.warning("maintenance put off", extra={"reason": exc.reason, "detail": exc.message})
        return True

    async def pay_all(self) -> None:
        """Everything, whatever the debt."""
        for spec in TABLES:
            self._debt[spec.name] = 0
            self._steps.extend(self._round(spec))
        while self._steps:
            await self._steps.popleft()()

    async def tidy_at_start(self) -> None:
        """Remove what killed writers left behind. Only while nobody else writes: the lock is ours."""
        removed = 0
        for spec in TABLES:
            removed += await self._clean(spec, delete_unverified=True)
        if removed:
            log.info("%d bytes of old versions and of commits that were cut off are removed from the lake", removed)

    def _most_indebted(self, is_idle: bool) -> TableSpec | None:
        limit = min(IDLE_COMMITS, self.optimize_commits) if is_idle else self.optimize_commits
        spec = max(TABLES, key=lambda spec: self._debt[spec.name])
        return spec if self._debt[spec.name] >= limit else None

    def _round(self, spec: TableSpec) -> list[Step]:
        """One table's debt as steps, each short."""

        async def compact() -> None:
            self._steps.extendleft(reversed(await asyncio.to_thread(self._compactions, spec)))

        async def create_indexes() -> None:
            # A vector index belongs here too, above some 20 000 rows: IVF_SQ, searched with refine_factor 5.
            if await self.store.count(spec) >= INDEX_FROM_ROWS:
                await self.store.create_indexes(spec, "bitmap", "labels")

        async def update_indexes() -> None:
            self._steps.extendleft(await asyncio.to_thread(self._index_updates, spec))

        async def clean() -> None:
            await self._clean(spec)

        return [compact, create_indexes, update_indexes, clean]

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
        """One step for each index that does not cover all rows."""
        with translated(f"looking at the indexes of {spec.name}"):
            dataset = _dataset(self.store, spec)
            names = [name for name in _index_names(dataset) if _unindexed(dataset, name)]

        def one(name: str) -> None:
            with translated(f"indexing {spec.name}"):
                _dataset(self.store, spec).optimize.optimize_indices(index_names=[name])

        return [lambda name=name: asyncio.to_thread(one, name) for name in names]  # type: ignore[misc]

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
            unindexed = max((_unindexed(dataset, name) for name in _index_names(dataset)), default=0)
            return Hygiene(spec.name, bytes_below(_path(self.store, spec)), sum(sizes), len(fragments), unindexed)


def _path(store: Store, spec: TableSpec) -> Any:
    return store.directory / f"{spec.name}.lance"


def _dataset(store: Store, spec: TableSpec) -> Any:
    """The newest version, opened with pylance: it compacts in parts and cleans up despite tags."""
    import lance

    return lance.dataset(_path(store, spec))


def _index_names(dataset: Any) -> list[str]:
    return [index.name for index in dataset.describe_indices()]


def _unindexed(dataset: Any, name: str) -> int:
    return int(dataset.stats.index_stats(name).get("num_unindexed_rows", 0))
