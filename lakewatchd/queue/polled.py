"""Which directories are polled, and when next. Belongs to a :class:`~lakewatchd.queue.store.QueueStore` and its thread.

Nothing here needs to outlive a power cut: a directory that was forgotten is added again by the next rescan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from lakewatchd.core.visit import Visit
from lakewatchd.queue.database import Database

_ADD = "INSERT OR IGNORE INTO poll (root, dir, due_at, interval_s, mtime_ns, entries) VALUES (?, ?, ?, ?, 0, 0)"
_SET = "UPDATE poll SET due_at = ?, interval_s = ?, mtime_ns = ?, entries = ? WHERE root = ? AND dir = ?"
_COLUMNS = "dir, due_at, interval_s, mtime_ns, entries"
_HOT = f"""
    SELECT {_COLUMNS} FROM poll WHERE root = ? AND interval_s < ? AND due_at <= ? ORDER BY interval_s, due_at LIMIT ?
"""
_DUE = f"SELECT {_COLUMNS} FROM poll WHERE root = ? AND due_at <= ? ORDER BY due_at LIMIT ?"
_BEYOND = f"SELECT {_COLUMNS} FROM poll WHERE root = ? AND due_at > ? LIMIT ?"
_BELOW = "DELETE FROM poll WHERE root = ? AND (dir = ? OR dir >= ? AND dir < ?)"


class PollStore:
    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, root: str, visits: Iterable[Visit]) -> None:
        """Poll these from now on; what is polled already keeps its place."""
        rows = [(root, os.fsencode(v.directory), v.due_at, v.interval_s) for v in visits]
        with self._db.transaction(durable=False) as run:
            run.executemany(_ADD, rows)

    def update(self, root: str, visits: Iterable[Visit]) -> None:
        """Those that are not polled any more stay forgotten."""
        rows = [
            (v.due_at, v.interval_s, _number(v.mtime_ns), v.entries, root, os.fsencode(v.directory)) for v in visits
        ]
        with self._db.transaction(durable=False) as run:
            run.executemany(_SET, rows)

    def due(self, root: str, now: float, every_s: float, limit: int) -> list[Visit]:
        """What waits longest, but half of it what is visited more often than ``every_s``, as long as there is any.

        One that is due later than after ``every_s`` was planned before the clock was set back, and is due too.
        """
        rows = self._db.rows(_HOT, (root, every_s, now, (limit + 1) // 2))
        rows += self._db.rows(_DUE, (root, now, limit)) + self._db.rows(_BEYOND, (root, now + every_s, limit))
        found = {path: Visit(os.fsdecode(path), due, gap, int(mtime), n) for path, due, gap, mtime, n in rows}
        return list(found.values())[:limit]

    def next_due(self, root: str) -> float | None:
        ((when,),) = self._db.rows("SELECT min(due_at) FROM poll WHERE root = ?", (root,))
        return None if when is None else float(when)

    def holds(self, root: str, directory: str) -> bool:
        return bool(self._db.rows("SELECT 1 FROM poll WHERE root = ? AND dir = ?", (root, os.fsencode(directory))))

    def size(self, root: str) -> tuple[int, int]:
        """Directories, and what lies in them."""
        ((directories, entries),) = self._db.rows(
            "SELECT count(*), coalesce(sum(entries), 0) FROM poll WHERE root = ?", (root,)
        )
        return int(directories), int(entries)

    def forget(self, root: str, directory: str = "") -> None:
        """A directory and all below it; without one, the whole root."""
        with self._db.transaction(durable=False) as run:
            if not directory:
                run.execute("DELETE FROM poll WHERE root = ?", (root,))
                return
            path = os.fsencode(directory)
            run.execute(_BELOW, (root, path, path + b"/", path + b"0"))  # "0" follows "/"

    def keep_only(self, roots: Sequence[str]) -> None:
        """Forget the roots that are not configured any more."""
        with self._db.transaction(durable=False) as run:
            for (root,) in run.execute("SELECT DISTINCT root FROM poll").fetchall():
                if root not in roots:
                    run.execute("DELETE FROM poll WHERE root = ?", (root,))


def _number(value: int) -> int | str:
    """SQLite's integers have 64 bits and a sign; a hostile ``stat`` has more."""
    return value if -(1 << 63) <= value < 1 << 63 else str(value)
