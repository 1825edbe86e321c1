"""Folders of several tags, ``by-tag/a/b`` for both and ``by-tag/a|b`` for either: worked out when somebody looks.

Which further tags the files of a folder have is kept for every tag, since they are its subfolders. What is in a folder
of several is put together at the first look, then kept up file by file like any other, until it has to make room.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lakewatchd.views.mounted.folders import TAG, TAG_DEPTH, Folder
from lakewatchd.views.mounted.names import folder_name
from lakewatchd.views.mounted.naming import Member, Naming
from lakewatchd.views.mounted.numbers import DEEP, folder_slot
from lakewatchd.views.mounted.store import transaction
from lakewatchd.views.mounted.trie import Moved, Trie

EITHER = b"|"
"""Between the tags of a component. ``folder_name`` escapes it, so it is in no tag's own name."""
EITHER_MAX = 16
DEEP_FOLDERS = 64
DEEP_FILES = 1_000_000
COUNTED_MAX = 50_000
"""Where one is smaller than that, larger ones need not be counted to the end."""

Parts = tuple[frozenset[bytes], ...]


def parts_of(folder: Folder) -> Parts | None:
    """What the components of a path in ``by-tag`` ask for; None where they are too many or say a thing twice."""
    parts = [component.split(EITHER) for component in folder[1:]]
    tags = [tag for part in parts for tag in part]
    is_fine = 1 <= len(parts) <= TAG_DEPTH and max(map(len, parts)) <= EITHER_MAX and len(set(tags)) == len(tags)
    return tuple(map(frozenset, parts)) if is_fine else None


def is_deep(folder: Folder) -> bool:
    """Whether it is a folder of this module."""
    return folder[:1] == (TAG,) and (len(folder) > 2 or (len(folder) == 2 and EITHER in folder[1]))


def is_told(folder: Folder, name: bytes) -> bool:
    """Whether somebody will tell when a name that is not there comes to be: not in a folder that may make room."""
    return not is_deep(folder) and (folder[:1] != (TAG,) or EITHER not in name)


@dataclass(slots=True)
class Deep:
    id: int
    parts: Parts
    cost: int
    """Files when it was put together."""
    newest_ns: int | None = None

    def holds(self, tags: Iterable[bytes]) -> bool:
        has = frozenset(tags)
        return all(part & has for part in self.parts)

    def further(self, tags: Iterable[bytes]) -> list[bytes]:
        if len(self.parts) >= TAG_DEPTH:
            return []
        return [tag for tag in tags if not any(tag in part for part in self.parts)]


@dataclass(slots=True)
class Pair:
    files: int
    moved: Moved


class Narrowed:
    def __init__(self, db: sqlite3.Connection, naming: Naming, trie: Trie, files_max: int = DEEP_FILES) -> None:
        self.forgotten: defaultdict[Folder, set[bytes]] = defaultdict(set)
        """Names in folders that made room or went: they are not kept up any more."""
        self._db = db
        self._naming = naming
        self._trie = trie
        self._files_max = files_max
        self._deep: OrderedDict[Folder, Deep] = OrderedDict()
        self._pairs: defaultdict[tuple[int, bytes], Pair] = defaultdict(lambda: Pair(0, Moved()))
        self._clear_old()

    # --- questions

    def id(self, folder: Folder) -> int | None:
        """Of a folder of several tags, None if no file has them."""
        deep = self._deep.get(folder)
        if deep is None:
            before = self.kept()
            try:
                with transaction(self._db):
                    deep = self._put_together(folder)
            except sqlite3.Error:
                self.take_back(before)
                raise
        else:
            self._deep.move_to_end(folder)
        return deep.id if deep is not None else None

    def kept(self) -> OrderedDict[Folder, Deep]:
        """What there is now, for :meth:`take_back`."""
        return self._deep.copy()

    def take_back(self, before: OrderedDict[Folder, Deep]) -> None:
        """The step was: nothing of it happened."""
        self._deep = before
        self._pairs.clear()
        for deep in before.values():
            deep.newest_ns = None

    def path(self, number: int) -> Folder | None:
        return next((path for path, deep in self._deep.items() if deep.id == number), None)

    def newest_ns(self, folder: Folder) -> int:
        """Of a folder that :meth:`id` found."""
        deep = self._deep[folder]
        if deep.newest_ns is None:
            query = "SELECT max(mtime) FROM member WHERE folder = ? AND item >= 0"
            (deep.newest_ns,) = self._db.execute(query, (deep.id,)).fetchone()
        return deep.newest_ns or 0

    def subfolders(self, number: int) -> list[bytes]:
        """Further tags of the files in the folder, by name."""
        query = "SELECT tag FROM narrowed WHERE folder = ? ORDER BY tag"
        return [tag for (tag,) in self._db.execute(query, (number,))]

    def narrowed_ns(self, number: int, tag: bytes) -> int | None:
        """The newest of the files in the folder that have this tag too; None if there is none."""
        at = number, tag
        row = self._db.execute("SELECT newest FROM narrowed WHERE folder = ? AND tag = ?", at).fetchone()
        if row is None:
            return None
        if row[0] is not None:
            return int(row[0])
        both = "SELECT max(mtime) FROM member WHERE folder = ? AND item IN (SELECT item FROM member WHERE folder = ?)"
        (newest,) = self._db.execute(f"{both} AND item >= 0", (number, self._trie.id((TAG, tag)))).fetchone()
        with contextlib.suppress(sqlite3.OperationalError):  # no space: it is looked for again
            self._db.execute("UPDATE narrowed SET newest = ? WHERE folder = ? AND tag = ?", (newest, *at))
        return int(newest)

    # --- changes

    def leave(self, plain: bytes, member: Member, tags: tuple[bytes, ...]) -> None:
        self._pair(tags, Pair(-1, Moved(lost_ns=member.mtime_ns)))
        for deep in self._deep.values():
            if deep.holds(tags):
                self._naming.discard(deep.id, plain, member.item)
                deep.newest_ns = None
                self._count(deep.id, deep.further(tags), Pair(-1, Moved(lost_ns=member.mtime_ns)))

    def join(self, plain: bytes, member: Member, tags: tuple[bytes, ...]) -> None:
        """After the tags' own folders were made."""
        self._pair(tags, Pair(1, Moved(gained_ns=member.mtime_ns)))
        for deep in self._deep.values():
            if deep.holds(tags):
                self._naming.add(deep.id, plain, member)
                deep.newest_ns = None
                self._count(deep.id, deep.further(tags), Pair(1, Moved(gained_ns=member.mtime_ns)))

    def flush(self) -> None:
        """Before the folders of tags that are empty are taken away."""
        for (number, tag), pair in self._pairs.items():
            at = number, tag
            row = self._db.execute("SELECT files, newest FROM narrowed WHERE folder = ? AND tag = ?", at).fetchone()
            files, newest = row if row is not None else (0, 0)
            if files + pair.files > 0:
                values = number, tag, files + pair.files, pair.moved.onto(newest)
                self._db.execute("INSERT OR REPLACE INTO narrowed VALUES (?, ?, ?, ?)", values)
                if row is None:
                    self._naming.reserve(number, tag)
            elif row is not None:
                self._db.execute("DELETE FROM narrowed WHERE folder = ? AND tag = ?", at)
                self._naming.release(number, tag)
        self._pairs.clear()
        for folder, deep in list(self._deep.items()):
            query = "SELECT 1 FROM member WHERE folder = ? AND item >= 0 LIMIT 1"
            if not self._db.execute(query, (deep.id,)).fetchone():
                self._drop(folder)
                self.forgotten[folder[:-1]].add(folder[-1])

    # --- how

    def _pair(self, tags: tuple[bytes, ...], pair: Pair) -> None:
        for tag in tags:
            number = self._trie.make((TAG, tag))
            self._count(number, (other for other in tags if other != tag), pair)

    def _count(self, number: int, tags: Iterable[bytes], pair: Pair) -> None:
        for tag in tags:
            noted = self._pairs[number, tag]
            noted.files += pair.files
            noted.moved.merge(pair.moved)

    def _put_together(self, folder: Folder) -> Deep | None:
        parts = parts_of(folder)
        if parts is None:
            return None
        groups = [[found for tag in part if (found := self._trie.id((TAG, tag))) is not None] for part in parts]
        if not all(groups):
            return None
        deep = Deep(self._free_id(folder), parts, 0)
        tallies: dict[bytes, tuple[int, int]] = {}
        for tags, plain, member in self._smallest(groups):
            if deep.holds(tags):
                self._naming.add(deep.id, plain, member)
                deep.cost += 1
                for tag in deep.further(tags):
                    files, newest_ns = tallies.get(tag, (0, 0))
                    tallies[tag] = files + 1, max(newest_ns, member.mtime_ns)
        for tag, tally in tallies.items():
            self._db.execute("INSERT INTO narrowed VALUES (?, ?, ?, ?)", (deep.id, tag, *tally))
            self._naming.reserve(deep.id, tag)
        self._naming.changed.pop(deep.id, None)
        if not deep.cost:
            return None
        self._deep[folder] = deep
        while len(self._deep) > 1 and (len(self._deep) > DEEP_FOLDERS or self._cost() > self._files_max):
            self._drop(next(iter(self._deep)))
        return deep

    def _smallest(self, groups: list[list[int]]) -> Iterator[tuple[list[bytes], bytes, Member]]:
        """The files that have a tag of the rarest part, with all their tags, which tell who is in the others too: so a
        tag of a million files costs nothing where it meets one of a thousand."""
        ids = [", ".join(map(str, group)) for group in groups]
        count = "SELECT count(*) FROM (SELECT 1 FROM member WHERE folder IN ({}) LIMIT ?)"
        for most in (COUNTED_MAX, -1):  # all of it where none is smaller: to put a large one together takes far longer
            counts = [self._db.execute(count.format(some), (most,)).fetchone()[0] for some in ids]
            if min(counts) < COUNTED_MAX:
                break
        rarest = ids[counts.index(min(counts))]
        query = f"""SELECT facts, coalesce(plain, name), item, size, member.mtime FROM member JOIN asset USING (item)
                    WHERE folder IN ({rarest}) AND item >= 0 {"GROUP BY item" if "," in rarest else ""}"""
        for facts, plain, *member in self._db.execute(query):
            yield [folder_name(tag) for tag in json.loads(facts)[0]], plain, Member(*member)

    def _cost(self) -> int:
        return sum(deep.cost for deep in self._deep.values())

    def _free_id(self, folder: Folder) -> int:
        taken = {deep.id for deep in self._deep.values()}
        slot = DEEP | folder_slot(folder)
        while slot in taken:
            slot += 1
        return slot

    def _drop(self, folder: Folder) -> None:
        deep = self._deep.pop(folder)
        names = self._db.execute("SELECT name FROM member WHERE folder = ?", (deep.id,))
        self.forgotten[folder].update(name for (name,) in names)
        self.forgotten[folder] |= self._naming.changed.pop(deep.id, set())
        if EITHER in folder[-1]:  # no listing has it, and so nobody will tell when it goes
            self.forgotten[folder[:-1]].add(folder[-1])
        for table in ("member", "avoided", "narrowed"):
            self._db.execute(f"DELETE FROM {table} WHERE folder = ?", (deep.id,))

    def _clear_old(self) -> None:
        """What a view before this one had put together."""
        for table in ("member", "avoided", "narrowed"):
            self._db.execute(f"DELETE FROM {table} WHERE folder >= ?", (DEEP,))
