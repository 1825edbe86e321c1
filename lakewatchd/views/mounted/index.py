"""The folders of the view, kept in a SQLite file: a million assets cost the process no memory to speak of.

::

    Index.apply(rows)
      load       what the file says of the assets and places in the rows   -> Catalog
      compare    Catalog.apply(rows) -> Change(asset, before, after)
      leave      the folders that a state was in, and no longer is (placements)
      store      the asset, its places
      join       the folders it is in now; names by :mod:`naming`, several tags by :mod:`narrowed`
      flush      times of folders, folders that are empty, ``recent``

Every folder is a range of rows in the order of its unique names, so a listing is a read and a lookup one search. The
invariant: after any sequence of :meth:`Index.apply`, over any number of processes that were killed, every answer equals
that of a new index given only the rows as they are now.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakewatchd import errors
from lakewatchd.core.asset import AssetId, PathKey
from lakewatchd.views.mounted import store
from lakewatchd.views.mounted.catalog import NOWHERE, Asset, Catalog, Change, Facts, File, Rows, State
from lakewatchd.views.mounted.entries import Branch, Entry, Leaf, Touched
from lakewatchd.views.mounted.folders import (
    DUPLICATES,
    RECENT,
    ROOT,
    Folder,
    Placement,
    is_shown,
    is_tagged,
    placements,
)
from lakewatchd.views.mounted.names import folder_name
from lakewatchd.views.mounted.naming import Member, Naming
from lakewatchd.views.mounted.narrowed import DEEP_FILES, Narrowed, is_deep
from lakewatchd.views.mounted.numbers import (
    PROBES,
    RESERVED,
    asset_slot,
    inode,
    is_place,
    name_hash,
    place_key,
    place_slot,
)
from lakewatchd.views.mounted.trie import Trie

log = logging.getLogger(__name__)

RECENT_FILES = 500
PAGE = 1000
"""Entries that are read at once: a listing of a million holds no more."""
OTHERS = 16
"""Places of an asset that are tried when it is opened."""
_ENCODED = json.JSONEncoder(separators=(",", ":")).encode
_PLACE_COLUMNS = "place.item, root, path, size, mtime, first_seen, is_away, etag"
_FIND = f"SELECT {_PLACE_COLUMNS}, asset.item, hex FROM place JOIN asset ON asset.item = asset"
_FIND_PLACE = f"{_FIND} WHERE place.item = ?"
_FIND_PLACES = f"{_FIND} WHERE asset = ? ORDER BY is_away, first_seen, root, path LIMIT ?"


@dataclass(slots=True)
class Step:
    """One :meth:`Index.apply` under way."""

    touched: Touched = field(default_factory=Touched)
    assets: dict[Asset, int] = field(default_factory=dict)
    """Items of the assets the step is about, and of their places."""
    places: dict[File, int] = field(default_factory=dict)
    members: dict[File, tuple[bytes, Member]] = field(default_factory=dict)
    """Name and entry of a file where it stands for its asset."""
    shown: set[int] = field(default_factory=set)
    """Items of assets whose place in ``recent`` may be another."""


def opened(places: Sequence[Path] = (), identity: str = "") -> Index:
    """The index as :func:`store.open_store` finds it; made anew where it turns out to be damaged, or cannot grow.

    Raises ``TransientError`` where there is no space for one.
    """
    try:
        db = store.open_store(places, identity)
        try:
            return Index(db)
        except sqlite3.DatabaseError as exc:
            path = store.path_of(db)
            db.close()
            if path is None:
                raise
            log.warning("the view's index is made anew: %s", exc, extra={"path": str(path)})
            store.discard(path)
            return Index(store.open_store(places, identity))
    except sqlite3.DatabaseError as exc:
        why = f"the view's index cannot be made: {exc}"
        raise errors.TransientError(
            why, "free some space beside the lake, or in the folder for temporary files"
        ) from exc


class Index:
    """See the module. Not thread-safe: one owner applies and asks."""

    def __init__(
        self, db: sqlite3.Connection | None = None, files_max: int = DEEP_FILES, recent: int = RECENT_FILES
    ) -> None:
        """``db`` as :func:`store.open_store` gives it. ``files_max`` bounds the files of all folders of several tags
        that are kept together."""
        self._db = db if db is not None else store.open_store()
        store.set_up(self._db)
        self.refused = 0
        """Rows whose path could not be a path below a root; they are not shown."""
        self._recent = recent
        self._naming = Naming(self._db)
        with store.transaction(self._db):
            self._trie = Trie(self._db, self._naming)
            self._narrowed = Narrowed(self._db, self._naming, self._trie, files_max)
        self.files, self.total_bytes, self.places = json.loads(str(store.read_meta(self._db, "counts") or "[0, 0, 0]"))

    files: int
    """Assets shown, and their bytes, each counted once."""
    total_bytes: int
    places: int
    """Everything that is shown where it lies."""

    @property
    def revision(self) -> int:
        """Of the lake: all up to it is here."""
        return int(str(store.read_meta(self._db, "revision") or 0))

    @revision.setter
    def revision(self, revision: int) -> None:
        if revision != self.revision:
            store.write_meta(self._db, "revision", revision)

    @property
    def is_empty(self) -> bool:
        return not self._db.execute("SELECT 1 FROM asset LIMIT 1").fetchone()

    def close(self) -> None:
        self._db.close()

    def discard(self) -> Path | None:
        """Close it and take its file away, which is told. It will be made anew."""
        path = store.path_of(self._db)
        self.close()
        if path is not None:
            store.discard(path)
        return path

    # --- questions

    def folder(self, folder: Folder) -> Branch | None:
        if is_tagged(folder):
            return self._subfolder(folder)
        number = self._trie.id(folder)
        return self._branch(number) if number is not None else None

    def lookup(self, folder: Folder, name: bytes) -> Entry | None:
        number = self._id(folder)
        if number is None:
            return None
        query = "SELECT item, size, mtime FROM member WHERE folder = ? AND name = ?"
        row = self._db.execute(query, (number, name)).fetchone()
        if row is not None and row[0] != RESERVED:
            return Leaf(inode(number, row[0]), row[1], row[2])
        return self._subfolder((*folder, name)) if row is not None or is_deep((*folder, name)) else None

    def entries(self, folder: Folder) -> Iterator[tuple[bytes, Entry]]:
        """Subfolders, then files, by name; ``recent``: newest first. While it is read the folder may change: what stays
        in it comes once."""
        if self._id(folder) is None:
            raise KeyError(folder)
        return self._entries(folder)

    def file(self, folder: Folder, name: bytes) -> File | None:
        number = self._id(folder)
        query = "SELECT item FROM member WHERE folder = ? AND name = ?"
        row = self._db.execute(query, (number, name)).fetchone() if number is not None else None
        return self.file_of_item(row[0]) if row is not None and row[0] != RESERVED else None

    def file_of(self, asset_id: AssetId) -> File | None:
        row = self._asset(asset_id)
        return self.file_of_item(row[0]) if row is not None else None

    def named(self, name: bytes, limit: int) -> Sequence[File]:
        query = "SELECT item FROM place WHERE name = ? ORDER BY first_seen"
        files = (self.file_of_item(item) for (item,) in self._db.execute(query, (name_hash(name),)))
        found = []
        for file in files:
            if file is not None and file.name == name:
                found.append(file)
                if len(found) >= limit:
                    break
        return found

    def file_of_item(self, item: int, *, with_facts: bool = True) -> File | None:
        """The place, or of an asset the one that is shown, with some others that can be opened in its stead. Facts are
        for who needs them: that takes twice as long."""
        query, at = (_FIND_PLACE, (item,)) if is_place(item) else (_FIND_PLACES, (item, OTHERS))
        rows = self._db.execute(query, at).fetchall()
        if not rows:
            return None
        *_, asset_item, asset_id = rows[0]
        asset = Asset(asset_id)
        facts = self._facts_of(asset_item) if with_facts else None
        asset.state = State(tuple([_file(asset, row[:-2]) for row in rows]), facts)
        return asset.state.files[0]

    def size_of_item(self, item: int) -> tuple[int, int] | None:
        """Size and time of the place, or of the one that is shown of an asset."""
        if is_place(item):
            query = "SELECT size, mtime FROM place WHERE item = ?"
            row = self._db.execute(query, (item,)).fetchone()
            return (row[0], row[1]) if row is not None else None
        file = self.file_of_item(item, with_facts=False)
        return (file.size_bytes, file.mtime_ns) if file is not None else None

    def _id(self, folder: Folder) -> int | None:
        return self._narrowed.id(folder) if is_deep(folder) else self._trie.id(folder)

    def _subfolder(self, folder: Folder) -> Branch | None:
        if not is_tagged(folder):
            number = self._trie.id(folder)
            return self._branch(number) if number is not None else None
        if not is_deep(folder):
            number = self._trie.id(folder)
            return Branch(self._trie.newest_ns(number), 1) if number is not None else None
        parent = self._id(folder[:-1]) if len(folder) > 2 else None
        newest_ns = self._narrowed.narrowed_ns(parent, folder[-1]) if parent is not None else None
        if newest_ns is None and self._narrowed.id(folder) is not None:
            newest_ns = self._narrowed.newest_ns(folder)
        return Branch(newest_ns, 1) if newest_ns is not None else None

    def _branch(self, number: int) -> Branch:
        return Branch(self._trie.newest_ns(number), 2 + self._trie.count(number))

    def _entries(self, folder: Folder) -> Iterator[tuple[bytes, Entry]]:
        number = self._id(folder)
        if number is None:
            return
        if is_tagged(folder):
            names = self._narrowed.subfolders(number)
        else:
            names = [name for name, _ in self._trie.subfolders(number)]
        for name in names:
            branch = self._subfolder((*folder, name))
            if branch is not None:
                yield name, branch
        if folder == (RECENT,):
            yield from self._newest(number)
        else:
            yield from self._listed(folder)

    def _listed(self, folder: Folder) -> Iterator[tuple[bytes, Leaf]]:
        query = """SELECT name, ? | item, size, mtime FROM member
                   WHERE folder = ? AND name > ? AND item >= 0 ORDER BY name LIMIT ?"""
        after = b""
        while (number := self._id(folder)) is not None:
            rows = self._db.execute(query, (inode(number, 0), number, after, PAGE)).fetchall()
            for row in rows:
                yield row[0], Leaf._make(row[1:])
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    def _newest(self, number: int) -> list[tuple[bytes, Leaf]]:
        query = """SELECT name, item, size, mtime FROM member JOIN asset USING (item)
                   WHERE folder = ? ORDER BY shown_at DESC, hex DESC"""
        rows = self._db.execute(query, (number,)).fetchall()
        return [(name, Leaf(inode(number, item), size, mtime)) for name, item, size, mtime in rows]

    # --- changes

    def apply(self, rows: Rows) -> Touched:
        """Take in changed rows. Costs time with the number of rows, not with the size of the folders."""
        step, before = Step(), self._narrowed.kept()
        counts = self.files, self.total_bytes, self.places
        try:
            with store.transaction(self._db):
                catalog = self._loaded(rows, step)
                for change in catalog.apply(rows):
                    self._apply(change, step)
                self._narrowed.flush()
                self._refresh_recent(step)
                step.touched.folders |= self._trie.flush()
                store.write_meta(self._db, "counts", json.dumps([self.files, self.total_bytes, self.places]))
        except BaseException:  # no space, most likely: the file is as it was, and so must be what we know of it
            self._naming.changed.clear()
            self._trie.take_back()
            self._narrowed.take_back(before)
            self.files, self.total_bytes, self.places = counts
            raise
        self.refused += catalog.refused
        self._tell_names(step.touched)
        self._trie.forget_ids()
        return step.touched

    def _tell_names(self, touched: Touched) -> None:
        for number, names in self._naming.changed.items():
            path = self._trie.paths.get(number) or self._narrowed.path(number)
            if names and (path is not None or number == 0):
                touched.entries.setdefault(path or (), set()).update(names)
        self._naming.changed.clear()
        for path, names in self._narrowed.forgotten.items():
            touched.entries.setdefault(path, set()).update(names)
        self._narrowed.forgotten.clear()

    def _loaded(self, rows: Rows, step: Step) -> Catalog:
        """A catalog of all that the rows speak of, as it was."""
        items: dict[int, None] = {}
        for asset_id in {
            *(row.asset_id for row in rows.gold),
            *(row.asset_id for row in rows.occurrences),
            *rows.gold_gone,
        }:
            if (found := self._asset(asset_id)) is not None:
                items[found[0]] = None
        for key in {*(row.key for row in rows.occurrences), *rows.gone}:
            query = "SELECT asset FROM place WHERE key = ?"
            for (item,) in self._db.execute(query, (_key(key),)):
                items[item] = None
        return Catalog.of(self._load(item, step) for item in items)

    def _load(self, item: int, step: Step) -> Asset:
        asset = self._known(item)
        assert asset is not None
        files = []
        for row in self._db.execute(f"SELECT {_PLACE_COLUMNS} FROM place WHERE asset = ?", (item,)):
            files.append(_file(asset, row))
            step.places[files[-1]] = row[0]
        files.sort(key=lambda file: file.rank)
        asset.state = State(tuple(files), asset.state.facts)
        step.assets[asset] = item
        return asset

    def _asset(self, asset_id: AssetId) -> tuple[int, str | None] | None:
        slot = asset_slot(asset_id)
        query = "SELECT item, facts FROM asset WHERE item BETWEEN ? AND ? AND hex = ?"
        row = self._db.execute(query, (slot, slot + PROBES, asset_id)).fetchone()
        return (row[0], row[1]) if row is not None else None

    def _known(self, item: int) -> Asset | None:
        """The asset as the file has it, without its places."""
        row = self._db.execute("SELECT hex, facts FROM asset WHERE item = ?", (item,)).fetchone()
        return Asset(row[0], State((), _facts(row[1]))) if row is not None else None

    def _facts_of(self, item: int) -> Facts | None:
        return _facts(self._db.execute("SELECT facts FROM asset WHERE item = ?", (item,)).fetchone()[0])

    def _apply(self, change: Change, step: Step) -> None:
        before = {(place.folder, place.file): place for place in placements(change.before)}
        after = {(place.folder, place.file): place for place in placements(change.after)}
        old, new = _tagged(change.before), _tagged(change.after)
        for at, place in before.items():
            if at not in after:
                self._leave(place, step)
        if old is not None and old != new:
            self._narrowed.leave(*self._member(old[0], step), old[1])
        self._store(change, step)
        for at, place in after.items():
            if at not in before:
                self._join(place, step)
        if new is not None and old != new:
            self._narrowed.join(*self._member(new[0], step), new[1])
        for tagged in (old, new):
            if tagged is not None and old != new:
                step.touched.tags.update(tagged[1])

    def _member(self, file: File, step: Step) -> tuple[bytes, Member]:
        """Where one stands for the asset."""
        known = step.members.get(file)
        if known is None:
            member = Member(step.assets[file.asset], file.size_bytes, file.mtime_ns)
            known = step.members[file] = file.name, member
        return known

    def _placed(self, place: Placement, step: Step) -> tuple[bytes, Member]:
        name, member = self._member(place.file, step)
        if place.folder[0] not in (ROOT, DUPLICATES):
            return name, member
        return name, Member(step.places[place.file], member.size_bytes, member.mtime_ns)

    def _leave(self, place: Placement, step: Step) -> None:
        number = self._trie.make(place.folder)
        name, member = self._placed(place, step)
        self._naming.discard(number, name, member.item)
        self._trie.loses(place.folder, place.file.mtime_ns)

    def _join(self, place: Placement, step: Step) -> None:
        number = self._trie.make(place.folder)
        self._naming.add(number, *self._placed(place, step))
        self._trie.gains(place.folder, place.file.mtime_ns)

    def _store(self, change: Change, step: Step) -> None:
        asset, before, after = change
        item = step.assets.get(asset)
        if item is None:
            item = step.assets[asset] = self._free("asset", asset_slot(asset.asset_id))
        old, new = set(before.files), set(after.files)
        for file in before.files:
            if file not in new:
                self._db.execute("DELETE FROM place WHERE item = ?", (step.places[file],))
        if after == NOWHERE:
            self._db.execute("DELETE FROM asset WHERE item = ?", (item,))
        else:
            shown_at = after.files[0].first_seen if is_shown(after) else None
            values = item, asset.asset_id, shown_at, _said(after.facts)
            self._db.execute("INSERT OR REPLACE INTO asset VALUES (?, ?, ?, ?)", values)
        for file in after.files:
            if file not in old:
                self._store_place(file, item, step)
        self._count(before, after)
        if is_shown(before) or is_shown(after):
            step.shown.add(item)

    def _store_place(self, file: File, asset: int, step: Step) -> None:
        key, path = PathKey(file.root, file.path), os.fsencode(file.path)
        item = step.places[file] = self._free("place", place_slot(key, file.asset.asset_id))
        values = (
            item, asset, place_key(key), name_hash(file.name), file.root, path, file.size_bytes, file.mtime_ns,
            file.first_seen, file.is_away, file.etag,
        )  # fmt: skip
        self._db.execute("INSERT INTO place VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _free(self, table: str, slot: int) -> int:
        while self._db.execute(f"SELECT 1 FROM {table} WHERE item = ?", (slot,)).fetchone():
            slot += 1
        return slot

    def _count(self, before: State, after: State) -> None:
        for sign, state in ((-1, before), (1, after)):
            self.places += sign * len(state.files)
            if is_shown(state):
                self.files += sign
                self.total_bytes += sign * state.files[0].size_bytes

    def _refresh_recent(self, step: Step) -> None:
        if not step.shown:
            return
        number, folder = self._trie.make((RECENT,)), (RECENT,)
        newest = "SELECT item FROM asset WHERE shown_at IS NOT NULL ORDER BY shown_at DESC, hex DESC LIMIT ?"
        wanted = [item for (item,) in self._db.execute(newest, (self._recent,))]
        listed = "SELECT item, coalesce(plain, name), mtime FROM member WHERE folder = ? AND item >= 0"
        shown = {item: (plain, mtime) for item, plain, mtime in self._db.execute(listed, (number,))}
        for item in shown.keys() - (set(wanted) - step.shown):
            self._naming.discard(number, shown[item][0], item)
            self._trie.loses(folder, shown[item][1])
        for item in wanted:
            file = self.file_of_item(item) if item not in shown or item in step.shown else None
            if file is not None:
                self._naming.add(number, file.name, Member(item, file.size_bytes, file.mtime_ns))
                self._trie.gains(folder, file.mtime_ns)

    # --- a full answer

    def begin_sweep(self) -> None:
        """From here on :meth:`note` gathers what there still is."""
        self._db.executescript("""
            CREATE TEMP TABLE IF NOT EXISTS noted_place (key INTEGER PRIMARY KEY);
            CREATE TEMP TABLE IF NOT EXISTS noted_asset (item INTEGER PRIMARY KEY);
            DELETE FROM noted_place; DELETE FROM noted_asset;
        """)

    def note(self, keys: Iterable[PathKey], asset_ids: Iterable[AssetId]) -> None:
        """These are there, and said something of."""
        with store.transaction(self._db):
            self._db.executemany("INSERT OR IGNORE INTO noted_place VALUES (?)", ((_key(key),) for key in keys))
            items = (found[0] for asset_id in asset_ids if (found := self._asset(asset_id)) is not None)
            self._db.executemany("INSERT OR IGNORE INTO noted_asset VALUES (?)", ((item,) for item in items))

    def rest(self, limit: int) -> Iterator[Rows]:
        """What was not noted, some at a time, as rows that take it away: each has to be applied before the next."""
        places = "SELECT root, path FROM place WHERE key NOT IN (SELECT key FROM noted_place) LIMIT ?"
        while gone := self._db.execute(places, (limit,)).fetchall():
            yield Rows(gone=[PathKey(root, os.fsdecode(path)) for root, path in gone])
        said = "SELECT hex FROM asset WHERE facts IS NOT NULL AND item NOT IN (SELECT item FROM noted_asset) LIMIT ?"
        while unsaid := self._db.execute(said, (limit,)).fetchall():
            yield Rows(gold_gone=[asset_id for (asset_id,) in unsaid])
        self._db.executescript("DELETE FROM noted_place; DELETE FROM noted_asset;")


def _file(asset: Asset, row: Sequence[Any]) -> File:
    """Of a row of :data:`_PLACE_COLUMNS`."""
    _, root, path, size, mtime, first_seen, is_away, etag = row
    return File(asset, root, os.fsdecode(path), size, mtime, first_seen, bool(is_away), etag)


def _key(key: PathKey) -> int:
    try:
        return place_key(key)
    except UnicodeEncodeError:  # no path; such rows are refused, and nothing has their key
        return -1


def _tagged(state: State) -> tuple[File, tuple[bytes, ...]] | None:
    return (state.files[0], state.facts.tag_folders) if state.facts is not None and is_shown(state) else None


def _said(facts: Facts | None) -> str | None:
    if facts is None:
        return None
    said = (facts.tags, facts.kind, facts.category, facts.category_score, facts.caption)
    return _ENCODED((*said, facts.year, facts.month, facts.country, facts.city, facts.group, facts.is_representative))


def _facts(said: str | None) -> Facts | None:
    if said is None:
        return None
    tags, kind, category, score, *rest = json.loads(said)
    return Facts(kind, category, score, tuple(tags), tuple(map(folder_name, tags)), *rest)
