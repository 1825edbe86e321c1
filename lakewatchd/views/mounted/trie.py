"""The folders of the index that stand, whatever anybody looks at: their ids, and the latest modification below them.

The invariant, after :meth:`Trie.flush`: a folder stands as long as something is in it, the top ones always.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from lakewatchd.views.mounted.folders import TOP, Folder
from lakewatchd.views.mounted.naming import Naming
from lakewatchd.views.mounted.numbers import folder_slot

ROOT_ID = 0
IDS_KEPT = 50_000


@dataclass(slots=True)
class Moved:
    """What happened to the times of files in a folder or below it."""

    gained_ns: int = 0
    lost_ns: int = -1

    def onto(self, newest_ns: int | None) -> int | None:
        """None when the newest may have left."""
        if newest_ns is None:
            return None
        after = max(newest_ns, self.gained_ns)
        return None if self.lost_ns >= after else after

    def merge(self, other: Moved) -> None:
        self.gained_ns = max(self.gained_ns, other.gained_ns)
        self.lost_ns = max(self.lost_ns, other.lost_ns)


class Trie:
    def __init__(self, db: sqlite3.Connection, naming: Naming) -> None:
        self._db = db
        self._naming = naming
        self._ids: dict[Folder, int] = {(): ROOT_ID}
        self.paths: dict[int, Folder] = {ROOT_ID: ()}
        """Of every id that was asked for since the last :meth:`flush`, at least."""
        self._moved: defaultdict[Folder, Moved] = defaultdict(Moved)
        db.execute("INSERT OR IGNORE INTO folder VALUES (?, -1, x'', 0)", (ROOT_ID,))
        for name in TOP:
            self.make((name,))
        naming.changed.clear()

    def id(self, folder: Folder) -> int | None:
        """None if there is none."""
        depth, number = self._nearest(folder)
        for end in range(depth + 1, len(folder) + 1):
            at = number, folder[end - 1]
            row = self._db.execute("SELECT id FROM folder WHERE parent = ? AND name = ?", at).fetchone()
            if row is None:
                return None
            number = self._know(folder[:end], row[0])
        return number

    def make(self, folder: Folder) -> int:
        """Its id, whether it was there or not."""
        found = self.id(folder)
        if found is not None:
            return found
        depth, number = self._nearest(folder)
        for end in range(depth + 1, len(folder) + 1):
            number = self._put(number, folder[:end])
        return number

    def gains(self, folder: Folder, mtime_ns: int) -> None:
        moved = self._moved[folder]
        moved.gained_ns = max(moved.gained_ns, mtime_ns)

    def loses(self, folder: Folder, mtime_ns: int) -> None:
        moved = self._moved[folder]
        moved.lost_ns = max(moved.lost_ns, mtime_ns)

    def flush(self) -> set[Folder]:
        """Note the times, take away what is empty. Tells which folders are not what they were."""
        touched: set[Folder] = set()
        moved = sorted(self._moved.items(), key=lambda item: len(item[0]))
        self._moved.clear()
        by_depth: defaultdict[int, dict[Folder, Moved]] = defaultdict(dict)
        for folder, what in moved:
            by_depth[len(folder)][folder] = what
        for depth in range(max(by_depth, default=-1), -1, -1):
            for folder, what in by_depth[depth].items():
                touched.add(folder)
                self._settle(folder, what)
                if folder:
                    by_depth[depth - 1].setdefault(folder[:-1], Moved()).merge(what)
        return touched

    def forget_ids(self) -> None:
        """Between two steps: so that not all of a million folders are remembered."""
        if len(self._ids) > IDS_KEPT:
            self._forget_ids()

    def newest_ns(self, number: int) -> int:
        (newest,) = self._db.execute("SELECT newest FROM folder WHERE id = ?", (number,)).fetchone()
        if newest is None:
            (newest,) = self._db.execute(_LOOK_AGAIN, (number,)).fetchone()
            with contextlib.suppress(sqlite3.OperationalError):  # no space: it is looked for again
                self._db.execute("UPDATE folder SET newest = ? WHERE id = ?", (newest, number))
        return int(newest)

    def subfolders(self, number: int) -> list[tuple[bytes, int]]:
        """By name."""
        return list(self._db.execute("SELECT name, id FROM folder WHERE parent = ? ORDER BY name", (number,)))

    def count(self, number: int) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM folder WHERE parent = ?", (number,)).fetchone()
        return int(count)

    def take_back(self) -> None:
        """The step was: nothing of it happened."""
        self._moved.clear()
        self._forget_ids()

    def _forget_ids(self) -> None:
        self._ids, self.paths = {(): ROOT_ID}, {ROOT_ID: ()}

    def _nearest(self, folder: Folder) -> tuple[int, int]:
        """How much of the path is known, and the id of that."""
        for end in range(len(folder), 0, -1):
            if (found := self._ids.get(folder[:end])) is not None:
                return end, found
        return 0, ROOT_ID

    def _put(self, parent: int, folder: Folder) -> int:
        slot = folder_slot(folder)
        while self._db.execute("SELECT 1 FROM folder WHERE id = ?", (slot,)).fetchone():
            slot += 1
        self._db.execute("INSERT INTO folder VALUES (?, ?, ?, 0)", (slot, parent, folder[-1]))
        self._naming.reserve(parent, folder[-1])
        return self._know(folder, slot)

    def _know(self, folder: Folder, number: int) -> int:
        self._ids[folder], self.paths[number] = number, folder
        return number

    def _settle(self, folder: Folder, what: Moved) -> None:
        number = self.id(folder)
        if number is None:
            return
        is_empty = not self._db.execute("SELECT 1 FROM member WHERE folder = ? LIMIT 1", (number,)).fetchone()
        if is_empty and len(folder) > 1:
            parent = self.make(folder[:-1])
            self._db.execute("DELETE FROM folder WHERE id = ?", (number,))
            self._db.execute("DELETE FROM avoided WHERE folder = ?", (number,))
            self._naming.release(parent, folder[-1])
            del self._ids[folder]
            return
        (before,) = self._db.execute("SELECT newest FROM folder WHERE id = ?", (number,)).fetchone()
        after = what.onto(before)
        if after != before:
            self._db.execute("UPDATE folder SET newest = ? WHERE id = ?", (after, number))


_LOOK_AGAIN = """
WITH RECURSIVE unsure(id) AS (
  VALUES (?) UNION ALL SELECT folder.id FROM folder JOIN unsure ON parent = unsure.id WHERE newest IS NULL
)
SELECT max(
  coalesce((SELECT max(mtime) FROM member JOIN unsure ON folder = unsure.id WHERE item >= 0), 0),
  coalesce((SELECT max(newest) FROM folder JOIN unsure ON parent = unsure.id), 0)
)
"""
