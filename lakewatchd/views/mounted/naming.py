"""Unique names in the folders of the index, kept up one file at a time: the rule of names in the view.

A name asked for by several belongs to the one that was seen first; the others get a suffix of their identity, just long
enough to differ. Folders (:meth:`Naming.reserve`) come before files. A suffixed name that a file really has is left to
that file. The invariant: names are a function of what is in the folder, never of the order in which it came.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from lakewatchd.core.asset import PathKey
from lakewatchd.views.mounted.names import SUFFIX_MIN_DIGITS, suffixed
from lakewatchd.views.mounted.numbers import RESERVED, is_place, shelf


class Member(NamedTuple):
    """A file in a folder, before it has a name."""

    item: int
    size_bytes: int
    mtime_ns: int


class Naming:
    """``changed`` gathers the names, by folder, that may mean something else than when the owner last emptied it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.changed: defaultdict[int, set[bytes]] = defaultdict(set)
        self._db = db

    def add(self, folder: int, plain: bytes, member: Member) -> None:
        if self._put(folder, plain, member):
            return
        holder, wanted = self._at(folder, plain)
        if wanted is not None:
            self._replace(folder, plain, member)
            self._label(folder, wanted, holder.item, [holder])
        elif holder.item == RESERVED or self._rank(holder.item) < self._rank(member.item):
            self._label(folder, plain, member.item, [member])
        else:
            self._replace(folder, plain, member)
            self._label(folder, plain, holder.item, [holder])

    def discard(self, folder: int, plain: bytes, item: int) -> None:
        at = folder, plain, item
        if self._db.execute("DELETE FROM member WHERE folder = ? AND name = ? AND item = ?", at).rowcount:
            self.changed[folder].add(plain)
            self._inherit(folder, plain)
            return
        for name, _ in self._suffixed(folder, plain, (item, item)):
            self._take(folder, name)
            self._label(folder, plain, item, [])

    def reserve(self, folder: int, name: bytes) -> None:
        """A subfolder takes the name."""
        subfolder = Member(RESERVED, 0, 0)
        if self._put(folder, name, subfolder):
            return
        holder, wanted = self._at(folder, name)
        if holder.item != RESERVED:
            self._replace(folder, name, subfolder)
            self._label(folder, name if wanted is None else wanted, holder.item, [holder])

    def release(self, folder: int, name: bytes) -> None:
        """The subfolder that had the name is gone."""
        at = folder, name, RESERVED
        if self._db.execute("DELETE FROM member WHERE folder = ? AND name = ? AND item = ?", at).rowcount:
            self.changed[folder].add(name)
            self._inherit(folder, name)

    def _at(self, folder: int, name: bytes) -> tuple[Member, bytes | None]:
        """Who has the name, and the one it would rather have."""
        query = "SELECT item, size, mtime, plain FROM member WHERE folder = ? AND name = ?"
        *member, plain = self._db.execute(query, (folder, name)).fetchone()
        return Member(*member), plain

    def _put(self, folder: int, name: bytes, member: Member) -> bool:
        """False when the name is taken."""
        row = folder, name, *member
        query = "INSERT OR IGNORE INTO member VALUES (?, ?, NULL, ?, ?, ?, NULL)"
        is_put = self._db.execute(query, row).rowcount > 0
        if is_put:
            self.changed[folder].add(name)
        return is_put

    def _take(self, folder: int, name: bytes) -> None:
        self._db.execute("DELETE FROM member WHERE folder = ? AND name = ?", (folder, name))
        self.changed[folder].add(name)

    def _replace(self, folder: int, name: bytes, member: Member) -> None:
        self._take(folder, name)
        self._put(folder, name, member)

    def _inherit(self, folder: int, plain: bytes) -> None:
        """The plain name is free: to the next in age, else to whoever had to avoid it."""
        if (found := self._heir(folder, plain)) is not None:
            name, heir = found
            self._take(folder, name)
            self._put(folder, plain, heir)
            self._label(folder, plain, heir.item, [])
            return
        at = folder, plain
        waiting = self._db.execute("SELECT plain, item FROM avoided WHERE folder = ? AND name = ?", at).fetchone()
        if waiting is not None:
            self._db.execute("DELETE FROM avoided WHERE folder = ? AND name = ?", at)
            wanted, item = waiting
            self._label(folder, wanted, item, [])

    def _suffixed(self, folder: int, plain: bytes, within: tuple[int, int]) -> list[tuple[bytes, Member]]:
        """Those that did not get the name; ``within`` bounds their items."""
        query = """SELECT name, item, size, mtime FROM member INDEXED BY member_suffixed
                   WHERE folder = ? AND plain = ? AND item BETWEEN ? AND ?"""
        return [(name, Member(*member)) for name, *member in self._db.execute(query, (folder, plain, *within))]

    def _heir(self, folder: int, plain: bytes) -> tuple[bytes, Member] | None:
        """The next in age of those that did not get the name. There may be thousands: they are not looked through."""
        query = """SELECT age, item FROM member INDEXED BY member_heirs
                   WHERE folder = ? AND plain = ? ORDER BY age, item LIMIT 1"""
        if (eldest := self._db.execute(query, (folder, plain)).fetchone()) is None:
            return None
        age, item = eldest  # of one age, items are in the order of identities but for those of one shelf
        query = """SELECT name, item, size, mtime FROM member INDEXED BY member_heirs
                   WHERE folder = ? AND plain = ? AND age = ? AND item BETWEEN ? AND ?"""
        rows = self._db.execute(query, (folder, plain, age, *shelf(item)))
        twins = [(name, Member(*member)) for name, *member in rows]
        return min(twins, key=lambda one: self._rank(one[1].item))

    def _label(self, folder: int, plain: bytes, item: int, more: Sequence[Member]) -> None:
        """Give all that did not get the name, and whose identities begin as that of ``item``, their suffix anew."""
        before = self._suffixed(folder, plain, shelf(item))
        shelved = sorted((self._rank(member.item)[1], member) for member in [*(one for _, one in before), *more])
        for name, _ in before:
            self._db.execute("DELETE FROM member WHERE folder = ? AND name = ?", (folder, name))
        gone = dict(before)
        for at, (identity, member) in enumerate(shelved):
            near = [other for other, _ in (*shelved[max(0, at - 1) : at], *shelved[at + 1 : at + 2])]
            digits = max((_alike(identity, one) + 1 for one in near), default=0)
            name = self._suffix(folder, plain, member, identity, max(SUFFIX_MIN_DIGITS, digits))
            if gone.get(name) == member:
                del gone[name]
            else:
                self.changed[folder].add(name)
        self.changed[folder].update(gone)

    def _suffix(self, folder: int, plain: bytes, member: Member, identity: str, digits: int) -> bytes:
        age, _ = self._rank(member.item)
        while True:
            name = suffixed(plain, identity, digits)
            row = folder, name, plain, *member, age
            if self._db.execute("INSERT OR IGNORE INTO member VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
                return name
            self._db.execute("INSERT OR REPLACE INTO avoided VALUES (?, ?, ?, ?)", (folder, name, plain, member.item))
            digits += 1

    def _rank(self, item: int) -> tuple[float, str]:
        """Age and identity: the least has the plain name."""
        if is_place(item):
            query = "SELECT first_seen, root, path FROM place WHERE item = ?"
            seen, root, path = self._db.execute(query, (item,)).fetchone()
            return seen, PathKey(root, os.fsdecode(path)).occurrence_id
        row = self._db.execute("SELECT shown_at, hex FROM asset WHERE item = ?", (item,)).fetchone()
        if row is None or row[0] is None:
            return math.inf, ""  # not shown any more: about to be discarded here too
        return row[0], row[1]


def _alike(one: str, other: str) -> int:
    """How many characters two texts have in common at the beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
