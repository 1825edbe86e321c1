"""At the start: what the last end left behind is put right, each repair told in one line of the log.

*Is the queue readable?* A database that is damaged is moved aside and made again (:mod:`lakewatchd.queue.damage`).

*Do the queue and the lake speak of the same files?* Either can be lost, restored or moved away on its own; then what
the queue's database says was seen is not what the lake holds, files that the lake misses look unchanged, and files
that went are never missed. The rule: what was seen is what the lake holds. A lake has an identity, the database keeps
that of the lake it belongs to, and where the two differ, what was seen is read anew from the lake. The scan at the
start then finds all that changed meanwhile.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lakewatchd import __version__
from lakewatchd.config import Config
from lakewatchd.core.asset import AssetId, Occurrence
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.job import Priority
from lakewatchd.core.lineage import Transform
from lakewatchd.core.status import Problem
from lakewatchd.errors import OutOfSpace, QueueDamaged, QueueUnusable
from lakewatchd.lake.files import files_of
from lakewatchd.lake.mend import mend
from lakewatchd.lake.rows import OccurrenceRow, Presence
from lakewatchd.queue import damage
from lakewatchd.queue.report import QueueReader
from lakewatchd.queue.store import QueueStore
from lakewatchd.stages import chunk, ingest, plan

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

T = TypeVar("T")

_log = logging.getLogger(__name__)

LAKE = ""
"""No root is named so: under this name the database keeps the identity of its lake."""
ROWS_AT_ONCE = 2000
CHECK_S = 5.0
"""The start is held up for no longer by the search for damage."""


# --- the queue's file --------------------------------------------------------------------------------------


def open_queue(config: Config, clock: Clock) -> QueueStore:
    """The queue, made again if it is damaged, with the leases taken back that the last daemon left. Blocks.

    Raises :class:`QueueUnusable` where no queue can be, ``SchemaTooNew``, ``OutOfSpace`` and ``Busy``.
    """
    try:
        _set_aside(config)
        queue = _checked(config, clock)
    except QueueDamaged as exc:
        condemn(config, exc, clock)
        _set_aside(config)
        queue = _checked(config, clock)
    try:
        if lost := queue.reclaim_all():
            _log.warning("%d jobs were cut off by the last stop: they run again", lost)
        if outdated := queue.unpark_outdated():
            _log.info("%d parked jobs are tried again: code, settings or rights changed", outdated)
    except BaseException:
        queue.close()
        raise
    return queue


def condemn(config: Config, error: QueueDamaged, clock: Clock) -> None:
    """The next start is to move the queue's database aside. Also for one that is open. Raises as :func:`open_queue`."""
    try:
        damage.condemn(config.queue_path, error.message, clock.now())
    except OSError as exc:
        raise _unusable(config, exc) from exc


def look_at_queue(config: Config, budget_s: float) -> None:
    """Raises ``QueueDamaged`` if a reader of the file as it is now finds damage within ``budget_s``. Blocks."""
    reader = QueueReader.open_readonly(config.queue_path)
    try:
        reader.check(budget_s)
    finally:
        reader.close()


def damages(config: Config) -> tuple[Problem, ...]:
    """What ``status`` says of databases that were moved aside, until a person removes them."""
    return tuple(
        Problem(
            f"the queue was damaged ({found.at}: {found.why}); it is made again by a rescan, nothing is lost",
            f"rm -r {found.directory}   (once nobody wants to look at it)",
        )
        for found in damage.damages(config.queue_path)[:1]
    )


DECODERS = ("pillow", "numpy", "av", "pypdfium2", "olefile", "striprtf")
"""The distributions that decide whether a file can be read; most are extras."""


def tried_with(config: Config) -> str:
    """The code, settings and rights that decide whether a file can be read: parked jobs are tried again with others."""
    facts = {
        "code": [__version__, ingest.TRANSFORM.id, *(stage.transform.id for stage in chunk.stages(config.decode))],
        "libraries": [f"{name} {version}" for name in DECODERS if (version := _version(name))],
        "decode": dataclasses.asdict(config.decode),
        "rights": [os.geteuid(), os.getegid(), sorted(os.getgroups())],
    }
    return Transform.of("decode", 1, facts).id


def _version(distribution: str) -> str:
    """Empty for one that is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _checked(config: Config, clock: Clock) -> QueueStore:
    queue = QueueStore(config.queue_path, config.queue, clock, tried_with(config))
    try:
        queue.check(CHECK_S)
    except BaseException:
        queue.close()
        raise
    return queue


def _set_aside(config: Config) -> None:
    try:
        found = damage.set_aside(config.queue_path)
    except OSError as exc:
        raise _unusable(config, exc) from exc
    if found is not None:
        _log.error("the queue was damaged (%s): moved to %s, made again by a rescan", found.why, found.directory)


def _unusable(config: Config, exc: OSError) -> OutOfSpace | QueueUnusable:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(f"no room in {config.daemon.state_dir}", "free some space: work goes on by itself")
    return QueueUnusable(f"cannot move {config.queue_path} aside: {exc}", "check who may write its directory")


# --- the lake's files --------------------------------------------------------------------------------------


def mend_lake(config: Config) -> list[str]:
    """What was done to the lake of a stopped daemon, a line for each; empty if it is whole. Raises as ``mend``."""
    if config.lake_dir.exists():
        return mend(files_of(config), SystemClock().now())
    if not config.lake.uri:
        return []
    with tempfile.TemporaryDirectory() as scratch:  # whoever mends may be another user than the daemon
        return mend(files_of(config, Path(scratch)), SystemClock().now())


# --- the queue and the lake --------------------------------------------------------------------------------


async def agree(daemon: Daemon) -> int:
    """Make what was seen fit the lake; returns how many places were taken from it. Costs one query if they agree.

    Before roots are scanned. Can be repeated: a stop half-way leaves the identities different.
    """
    queue, run = daemon.queue, daemon.queue_thread
    if await run(queue.seen.root_state, LAKE) == daemon.writer.identity:
        return 0
    for root in await run(queue.seen.roots):
        await run(queue.seen.forget_root, root)
    count = 0
    async for rows in _pages(daemon.reader.all_occurrences()):
        count += await _take_in(daemon, rows)
    async for shown in _pages(daemon.reader.all_gold()):  # what nothing holds any more is withdrawn: that job was lost
        await _publish(daemon, (row.asset_id for row in shown))
    await run(queue.unpark)  # this lake does not know what became of them: a bad file, too, has its row
    await run(queue.seen.set_root_state, LAKE, daemon.writer.identity)
    if count:
        told = f"the queue did not belong to this lake: {count:,} files are known from the lake again"
        _log.warning("%s", told)
        daemon.notes = (Problem(f"{told}; a rescan finds the rest, nothing is lost"),)
    return count


async def _take_in(daemon: Daemon, rows: Sequence[OccurrenceRow]) -> int:
    """Files that are there; and their assets are published again, since jobs for them may have been lost."""
    there = [Occurrence(row.key, row.asset_id, row.version) for row in rows if row.presence is not Presence.GONE]
    await _publish(daemon, (row.asset_id for row in rows))
    await daemon.queue_thread(daemon.queue.seen.record, there)
    return len(there)


async def _publish(daemon: Daemon, asset_ids: Iterable[AssetId]) -> None:
    jobs = [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in dict.fromkeys(asset_ids)]
    await daemon.queue_thread(daemon.queue.put, jobs)


async def _pages(rows: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    """``rows``, :data:`ROWS_AT_ONCE` at a time."""
    page: list[T] = []
    async for row in rows:
        page.append(row)
        if len(page) == ROWS_AT_ONCE:
            yield page
            page = []
    yield page
