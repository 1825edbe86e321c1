"""At the start: do the queue and the lake speak of the same files?

Either can be lost, restored or moved away on its own; then what the queue's database says was seen is not what the
lake holds, files that the lake misses look unchanged, and files that went are never missed. The rule: what was seen
is what the lake holds. A lake has an identity, the database keeps that of the lake it belongs to, and where the two
differ, what was seen is read anew from the lake. The scan at the start then finds all that changed meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakewatchd.core.asset import Occurrence
from lakewatchd.core.job import Priority
from lakewatchd.lake.rows import OccurrenceRow, Presence
from lakewatchd.stages import plan

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

_log = logging.getLogger(__name__)

LAKE = ""
"""No root is named so: under this name the database keeps the identity of its lake."""
ROWS_AT_ONCE = 2000


async def agree(daemon: Daemon) -> int:
    """Make what was seen fit the lake; returns how many places were taken from it. Costs one query if they agree.

    Before roots are scanned. Can be repeated: a stop half-way leaves the identities different.
    """
    queue, run = daemon.queue, daemon.queue_thread
    if await run(queue.seen.root_state, LAKE) == daemon.writer.identity:
        return 0
    for root in await run(queue.seen.roots):
        await run(queue.seen.forget_root, root)
    count, rows = 0, list[OccurrenceRow]()
    async for row in daemon.reader.all_occurrences():
        rows.append(row)
        if len(rows) == ROWS_AT_ONCE:
            count += await _take_in(daemon, rows)
            rows.clear()
    count += await _take_in(daemon, rows)
    await run(queue.unpark)  # this lake does not know what became of them: a bad file, too, has its row
    await run(queue.seen.set_root_state, LAKE, daemon.writer.identity)
    if count:
        _log.warning("the queue did not belong to this lake: %d files are known from the lake again", count)
    return count


async def _take_in(daemon: Daemon, rows: Sequence[OccurrenceRow]) -> int:
    """Files that are there; and their assets are published again, since jobs for them may have been lost."""
    there = [Occurrence(row.key, row.asset_id, row.version) for row in rows if row.presence is not Presence.GONE]
    jobs = [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in dict.fromkeys(row.asset_id for row in rows)]
    await daemon.queue_thread(daemon.queue.put, jobs)
    await daemon.queue_thread(daemon.queue.seen.record, there)
    return len(there)
