"""The one writer of the lake: gathers batches, commits them as a group, tidies up in between.

::

    submit ──► waiting ──(full, old or urgent)──► group ──► thumbnails, spans, assets, occurrences, gold, lineage
                                                              │ fsync, ledger
                                                              ▼
                                                     futures resolve          then one step of maintenance

Two writers would duplicate rows without any error, so a lock lets one process in. Invariant: a future
that resolved stands for rows that survive a power cut; one that failed may have left some of its rows behind,
which submitting the batch again makes right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import AssetId
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.pulse import Pulse
from lakewatchd.errors import AssetError, Busy, FatalError, LakeDamaged, LakewatchError
from lakewatchd.lake import codec, durable, schema
from lakewatchd.lake.files import Files, Lock, files_at
from lakewatchd.lake.group import Group, bytes_in
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.maintain import Maintenance
from lakewatchd.lake.migrate import migrate
from lakewatchd.lake.purge import forget_withdrawals, gone_before, purge, with_today
from lakewatchd.lake.rows import Batch
from lakewatchd.lake.schema import ASSETS, GOLD, GOLD_GONE, LEARNED, LINEAGE, OCCURRENCES, SPANS, WORDS, Dims
from lakewatchd.lake.store import Store
from lakewatchd.lake.thumbnails import Thumbnails
from lakewatchd.lake.verify import require_whole
from lakewatchd.lake.waiting import Waiting, WaitingRoom, settle

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

CONFLICT_WAITS_S = (0.1, 0.5, 2.0)
"""Before a group that met another program in the lake is written again. After that its jobs are tried again later."""
MAX_UNWRITTEN_BYTES = 256_000_000
"""Of batches that wait or are being written: whoever has more waits (:meth:`LakeWriter.room`)."""
_STAMPED_AT_ONCE = 10_000
IDLE_S = 2.0
"""After this long without work, smaller debts are paid too."""
STUCK_S = 900.0
"""A commit takes seconds at most; one that takes this long will never end."""


class LakeWriter:
    """Made by :meth:`open`; works while somebody awaits :meth:`run`."""

    def __init__(
        self,
        store: Store,
        thumbnails: Thumbnails,
        ledger: durable.Ledger,
        lock: Lock,
        config: LakeConfig,
        clock: Clock,
        sync: bool,
    ) -> None:
        self._store, self._thumbnails, self._ledger, self._lock = store, thumbnails, ledger, lock
        self._config, self._clock, self._sync = config, clock, sync
        self._revision = ledger.revision
        self._files = store.files
        self._maintenance = Maintenance(store, config.optimize_commits, self._make_durable)
        self._waiting = WaitingRoom(config.commit_rows, config.commit_s)
        self._chores: deque[tuple[Callable[[], Awaitable[None]], asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._written = asyncio.Event()
        self._unwritten_bytes = 0
        self._is_stopping = False
        self.pulse = Pulse("the lake's writer", STUCK_S, clock)

    @classmethod
    async def open(
        cls,
        place: Path | Files,
        thumbnails: Path,
        dims: Dims,
        config: LakeConfig | None = None,
        clock: Clock | None = None,
        *,
        sync: bool = True,
    ) -> LakeWriter:
        """Open or make the lake, undo what a power cut tore, remove orphaned files.

        ``sync=False`` gives up promise 1 (power cuts) for speed; kill -9 is survived either way.
        Raises ``AlreadyRunning``, ``SchemaTooNew``, ``LakeDamaged``, ``OutOfSpace``; ``LakeAway`` and ``Busy`` where
        asking again, with the same ``place``, may help.
        """
        files = files_at(place)
        with translated("opening the lake"):
            lock = await asyncio.to_thread(files.lock)
        if lock.doubt:
            log.warning("%s", lock.doubt)
        try:
            with translated("opening the lake"):
                ledger = await asyncio.to_thread(durable.recover, files)
                ledger = await asyncio.to_thread(migrate, files, ledger, sync=sync)
                await asyncio.to_thread(require_whole, files)
            store = await Store.open(files, dims)
            revision = await _newest_revision(store, ledger.revision)
            writer = cls(
                store,
                await asyncio.to_thread(Thumbnails, thumbnails),
                replace(ledger, identity=ledger.identity or secrets.token_hex(16), revision=revision),
                lock,
                config or LakeConfig(),
                clock or SystemClock(),
                sync,
            )
            await writer._maintenance.tidy_at_start()
            await writer._make_durable()
        except BaseException:
            await asyncio.to_thread(lock.release)
            raise
        return writer

    @property
    def identity(self) -> str:
        """Of this lake; another one made in its place has another."""
        return self._ledger.identity

    def submit(self, batch: Batch, *, urgent: bool = False) -> asyncio.Future[None]:
        """Queue ``batch``; the future resolves once it is durable, or fails with the reason why it is not.

        Raises ``ValueError`` for rows no table can hold, ``FatalError`` once the writer has stopped.
        """
        if self._is_stopping:
            raise FatalError("the lake's writer has stopped")
        codec.check(batch, self._store.dims)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(Waiting(batch, urgent, self._clock.monotonic(), future))
        self._unwritten_bytes += bytes_in(batch)
        self._arrived.set()
        return future

    async def room(self) -> None:
        """Return once another batch may be submitted. Who submits without asking is not refused."""
        while self._unwritten_bytes > MAX_UNWRITTEN_BYTES and not self._is_stopping:
            self._written.clear()
            await self._written.wait()

    async def purge_old(self, keep_days: float) -> None:
        """Forget what has been gone for ``keep_days`` days of work. To be called once a day, or more often."""

        async def chore() -> None:
            self._ledger = with_today(self._ledger, self._clock.now(), self._revision, keep_days)
            await self._make_durable()
            if before := gone_before(self._ledger, keep_days, self._revision):
                await self._purge(before)

        await self._between_groups(chore)

    async def purge(self, before: float) -> None:
        """Forget occurrences that went, and assets that were withdrawn, before this time (s since the epoch)."""
        await self._between_groups(lambda: self._purge(int(before * 1_000_000)))

    async def stamp(self, stage: str, transform: str, asset_ids: Collection[AssetId], known: int) -> set[AssetId]:
        """Note that today's ``transform`` of ``stage`` would say the same of these assets as is written of them.

        Left alone is what was written after revision ``known``: nobody has compared it. Returns the others.
        """
        stamped = set[AssetId]()

        async def chore() -> None:
            for part in _parts(sorted(asset_ids)):
                where = f"{schema.is_in('asset_id', part)} AND revision <= {known}"
                same = await self._store.select(ASSETS, ["asset_id"], where)
                await self._store.stamp(same["asset_id"], f"{stage}_transform", transform, self._next_revision())
                self._maintenance.note_commit(ASSETS)
                stamped.update(same["asset_id"].to_pylist())
            await self._make_durable(self._revision)

        if asset_ids:
            await self._between_groups(chore)
        return stamped

    async def optimize(self) -> None:
        """Compact and index everything now."""
        await self._between_groups(self._optimize)

    async def run(self) -> None:
        """Commit what is submitted until :meth:`stop`. Owned by the daemon: if it raises, nothing is written."""
        try:
            while self._waiting or self._chores or not self._is_stopping:
                is_idle = await self._until_due()
                if self._waiting and self._due_in_s() <= 0:
                    began = self._clock.monotonic()
                    taken = self._waiting.take()
                    with self.pulse.beat():
                        await self._commit(taken)
                    self._unwritten_bytes -= sum(bytes_in(item.batch) for item in taken)
                    self._written.set()
                    self._waiting.note_commit(began, self._clock.monotonic())
                await self._do_chores()
                await self._maintenance.step(is_idle=is_idle)
        finally:
            self._is_stopping = True
            self._fail_the_rest()

    @property
    def is_running(self) -> bool:
        """False once :meth:`run` has ended or was asked to."""
        return not self._is_stopping

    def stop(self) -> None:
        """Let :meth:`run` commit what waits, and return."""
        self._is_stopping = True
        self._arrived.set()

    async def close(self) -> None:
        """Give up the lock. After :meth:`run` has ended."""
        self._is_stopping = True
        await self._maintenance.close()
        self._store.close()
        await asyncio.to_thread(self._thumbnails.close)
        await asyncio.to_thread(self._lock.release)

    # --- when ---------------------------------------------------------------------------------------------

    async def _until_due(self) -> bool:
        """Return when a group is due, or a chore or a stop came: False. True: nothing came for ``IDLE_S``."""
        while not (self._is_stopping or self._chores):
            wait_s = self._due_in_s()
            if wait_s <= 0:
                return False
            self._arrived.clear()
            try:
                async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                    await self._arrived.wait()
            except TimeoutError:
                if not self._waiting:
                    return True
        return False

    def _due_in_s(self) -> float:
        if self._waiting:
            return 0.0 if self._is_stopping else self._waiting.due_in_s(self._clock.monotonic())
        return IDLE_S if self._maintenance.has_work(is_idle=True) else float("inf")

    # --- what ---------------------------------------------------------------------------------------------

    async def _commit(self, waiting: Sequence[Waiting]) -> None:
        """Write the group; if Lance does not like it, each batch alone: only the guilty fails.

        A disk that failed to write is no batch's fault and is not asked again: the kernel tells of it once, a second
        sync succeeds without what was lost.
        """
        error: LakewatchError | None = FatalError("the lake's writer was stopped")
        try:
            await self._write_despite_others(Group.of(item.batch for item in waiting))
            error = None
        except LakewatchError as exc:
            error = exc
            if len(waiting) > 1 and isinstance(exc, AssetError | LakeDamaged):
                for item in waiting:
                    await self._commit([item])
        finally:
            for item in waiting:
                settle(item.future, error)

    async def _write_despite_others(self, group: Group) -> None:
        """Write it again where another program's commit or lock came first: repeated, it changes nothing else."""
        for wait_s in CONFLICT_WAITS_S:
            try:
                return await self._write(group)
            except Busy as exc:
                log.warning("%s: it is written again", exc.message)
                await asyncio.sleep(wait_s)
        return await self._write(group)

    async def _write(self, group: Group) -> None:
        revision = self._next_revision()
        if group.thumbnails:
            await asyncio.to_thread(self._thumbnails.put_many, group.thumbnails.items())
        spans = [row for numbered in group.spans.values() for row in numbered.values()]
        await self._merge(SPANS, [codec.span_record(row) for row in spans], revision)
        await self._remove_old_spans(group)
        await self._merge(ASSETS, [codec.asset_record(row) for row in group.assets.values()], revision)
        await self._merge(OCCURRENCES, [codec.occurrence_record(row) for row in group.occurrences.values()], revision)
        await self._merge(GOLD, [codec.gold_record(row) for row in group.served], revision)
        if gone := group.withdrawn:
            await self._merge(GOLD_GONE, [{"asset_id": asset_id} for asset_id in gone], revision)
            await self._store.delete(GOLD, schema.is_in("asset_id", gone))
        await self._merge(LINEAGE, [codec.run_record(run) for run in group.runs], revision)
        await self._merge(LEARNED, [{"name": k, "payload": v} for k, v in group.learned.items()], revision)
        await self._merge(WORDS, [codec.correction_record(row) for row in group.corrections.values()], revision)
        await self._make_durable(revision)

    async def _merge(self, spec: schema.TableSpec, records: Sequence[codec.Record], revision: int) -> None:
        if not records:
            return
        rows = await asyncio.to_thread(self._prepare, spec, records, revision)
        await (self._store.merge(spec, rows) if spec.key else self._store.append(spec, rows))
        self._maintenance.note_commit(spec, len(records))

    def _prepare(self, spec: schema.TableSpec, records: Sequence[codec.Record], revision: int) -> pa.Table:
        self._lock.require()
        return codec.encode(records, self._store.arrow(spec), revision)

    async def _remove_old_spans(self, group: Group) -> None:
        """Spans that re-written assets no longer have: looked up first, since there hardly ever are any."""
        if not group.assets:
            return
        old = await self._store.select(SPANS, ["asset_id", "span", "span_id"], schema.is_in("asset_id", group.assets))
        columns = (old["asset_id"].to_pylist(), old["span"].to_pylist(), old["span_id"].to_pylist())
        stale = [span_id for asset_id, span, span_id in zip(*columns, strict=True) if span not in group.spans[asset_id]]
        if stale:
            await self._store.delete(SPANS, schema.is_in("span_id", stale))

    async def _purge(self, before: int) -> None:
        await purge(self._store, self._thumbnails, before)
        # Who knows all that was committed knows every withdrawal, also where a clock that runs ahead says "before 2100"
        self._ledger = replace(self._ledger, forgotten=max(min(before, self._ledger.revision), self._ledger.forgotten))
        await self._make_durable()
        await forget_withdrawals(self._store, before)

    async def _optimize(self) -> None:
        await self._maintenance.pay_all()
        await self._make_durable()

    # --- the rest -----------------------------------------------------------------------------------------

    def _next_revision(self) -> int:
        """Microseconds since the epoch, or one more than the last while the clock stands or runs backwards."""
        self._revision = max(int(self._clock.now() * 1_000_000), self._revision + 1)
        return self._revision

    async def _make_durable(self, revision: int | None = None) -> None:
        versions = await self._store.versions()
        self._ledger = replace(self._ledger, versions=versions, revision=revision or self._ledger.revision)
        try:
            with translated("syncing the lake"):
                if self._sync:
                    await asyncio.to_thread(self._files.sync)
                await asyncio.to_thread(self._note, self._ledger)
        except LakeDamaged as exc:
            raise FatalError(exc.message, "look after the disk (dmesg); what was not confirmed is done again") from exc

    def _note(self, ledger: durable.Ledger) -> None:
        self._lock.require()
        durable.write_ledger(self._files, ledger, sync=self._sync)

    async def _between_groups(self, chore: Callable[[], Awaitable[None]]) -> None:
        if self._is_stopping:
            raise FatalError("the lake's writer has stopped")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._chores.append((chore, future))
        self._arrived.set()
        await future

    async def _do_chores(self) -> None:
        while self._chores:
            chore, future = self._chores.popleft()
            error: LakewatchError | None = FatalError("the lake's writer was stopped")
            try:
                await chore()
                error = None
            except LakewatchError as exc:
                error = exc
            finally:
                settle(future, error)

    def _fail_the_rest(self) -> None:
        self._written.set()
        futures = [item.future for item in self._waiting.take_all()] + [future for _, future in self._chores]
        for future in futures:
            settle(future, FatalError("the lake's writer has stopped"))


def _parts(keys: Sequence[AssetId]) -> Iterator[Sequence[AssetId]]:
    for at in range(0, len(keys), _STAMPED_AT_ONCE):
        yield keys[at : at + _STAMPED_AT_ONCE]


@contextlib.asynccontextmanager
async def serving(writer: LakeWriter) -> AsyncIterator[LakeWriter]:
    """Run ``writer`` for as long as the block lasts, then commit what waits and close it."""
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        writer.stop()
        try:
            await task
        finally:
            await writer.close()


async def _newest_revision(store: Store, known: int) -> int:
    """The greatest revision in any table: a crash can leave rows that the ledger does not know of."""
    newest = known
    for spec in schema.TABLES:
        rows = await store.select(spec, ["revision"], f"revision > {known}")
        newest = max([newest, *rows["revision"].to_pylist()])
    return newest
