"""Which assets are near-equal, and which of them stands for the others: a SQLite file beside the lake.

::

    put ──► representatives with keys in common ──► the same? ──► its standing, and that of those it changes
                                                                       │ differs from what they were told
                                                                       ▼
                                                                 they are to be published again

*Standing.* From the best to the least, an asset represents a group unless a neighbour that is better does; one that
does not belongs to the best of its neighbours that do. So every member matches the one that stands for it (there are no
chains), and the outcome depends on which assets there are, never on who came first. Members are compared with
representatives only, never with each other: ten thousand copies of one page cost ten thousand comparisons.

All of it is derived: lost, it is made again from the lake (:meth:`Neighbours.missing`). Invariant: what an asset was
told is what its last job published or is about to; whoever changes a standing learns in the same transaction whom to
tell, and learns it again until they know, so that neither two jobs at once nor one that has to be done again pass over
anybody.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.errors import Busy, FatalError, OutOfSpace

log = logging.getLogger(__name__)

BUSY_S = 5.0

_LAYOUT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS asset (
  no         INTEGER PRIMARY KEY,
  asset_id   TEXT NOT NULL UNIQUE,
  kind       TEXT NOT NULL,
  signature  BLOB,               -- NULL: it has none, and no neighbours
  length     REAL NOT NULL,      -- seconds, or characters
  resolution REAL NOT NULL,      -- pixels
  quality    REAL NOT NULL,      -- bits per pixel (and second)
  dated      REAL NOT NULL,      -- s since the epoch, by the clock where it was made
  leader     INTEGER NOT NULL,   -- who stands for it: itself, if it represents; 0 while nobody has looked
  told_group TEXT NOT NULL,
  told_first INTEGER NOT NULL,
  owed_by    TEXT NOT NULL       -- whose job asks for it, until it is told; empty if it knows
);
CREATE INDEX IF NOT EXISTS asset_leader ON asset (leader);
CREATE INDEX IF NOT EXISTS asset_owed ON asset (owed_by) WHERE owed_by != '';
CREATE TABLE IF NOT EXISTS found_by (
  is_first INTEGER NOT NULL,     -- it represents: others look for these alone
  key      INTEGER NOT NULL,
  no       INTEGER NOT NULL,
  rest     INTEGER NOT NULL,     -- bits of which some may differ
  PRIMARY KEY (is_first, key, no, rest)
) WITHOUT ROWID;
"""
_TABLES = ("asset", "found_by", "near", "made_by")
"""``near`` is of the first layout."""
_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536", "wal_autocheckpoint = 4096")

_FACTS = "no, leader, asset_id, kind, signature, length, resolution, quality, dated"


class _Asset(NamedTuple):
    no: int
    leader: int
    asset_id: AssetId
    kind: str
    signature: bytes | None
    length: float
    resolution: float
    quality: float
    dated: float

    @property
    def entry(self) -> Entry:
        return Entry(self.asset_id, Kind(self.kind), *self[4:])


ORDERS: Mapping[str, Callable[[_Asset], float]] = {
    "length": lambda asset: -asset.length,
    "resolution": lambda asset: -asset.resolution,
    "quality": lambda asset: -asset.quality,
    "oldest": lambda asset: asset.dated,
}
"""By what the best of a group can be chosen."""


Key = tuple[int, int]


class Standing(NamedTuple):
    group: AssetId
    """Of the representative; empty for an asset that is alone."""
    is_first: bool
    """It represents its group, or is alone."""


ALONE = Standing("", True)


@dataclass(frozen=True, slots=True)
class Entry:
    asset_id: AssetId
    kind: Kind
    signature: bytes | None
    length: float
    resolution: float
    quality: float
    dated: float


@dataclass(frozen=True, slots=True)
class Compared:
    """How signatures are compared. ``keys`` gives what one is found by and what it looks for: numbers that must be
    equal, each with bits of which up to ``slack_bits`` may differ."""

    rules: str
    """Another text, and everything is made again."""
    keys: Callable[[Kind, bytes], tuple[Iterable[Key], Iterable[Key]]]
    is_same: Callable[[Kind, bytes, bytes], bool]
    slack_bits: int = 0


Rank = tuple[float | str, ...]
"""Less is better."""


class Neighbours:
    """Blocking calls, from any thread. Raises ``OutOfSpace``, ``Busy`` and ``FatalError``."""

    def __init__(self, path: Path, compared: Compared, prefer: Sequence[str]) -> None:
        """``prefer``: names of :data:`ORDERS`, the weightiest first. A file that is damaged is made again."""
        self._path, self._compared = path, compared
        self._orders = [ORDERS[name] for name in prefer]
        self._rules = f"{_LAYOUT} {compared.rules} {' '.join(prefer)}"
        self._lock = threading.Lock()
        self._db = self._open()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def put(self, entry: Entry, *, is_news: bool = True) -> tuple[Standing, list[AssetId]]:
        """Take the asset in, or what is new of it: its standing now, and who else has to be told another than it was.
        Where it is no news, what is known already is newer.

        What is returned counts as told to the asset itself.
        """
        with self._transaction() as db:
            standings = _Standings(db, self._compared, self._rank)
            known = standings.asset_of(entry.asset_id)
            if known is None or (is_news and known.entry != entry):
                if known is not None:
                    standings.take_out(known)
                standings.take_in(_note(db, entry))
            standings.settle(entry.asset_id)
            standing = standings.tell(entry.asset_id)
            return standing, standings.owed_by(entry.asset_id)

    def remove(self, asset_id: AssetId) -> list[AssetId]:
        """The asset is served no more; who has to be told."""
        with self._transaction() as db:
            standings = _Standings(db, self._compared, self._rank)
            known = standings.asset_of(asset_id)
            if known is not None:
                standings.take_out(known)
                db.execute("DELETE FROM asset WHERE no = ?", (known.no,))
                standings.settle(asset_id)
            return standings.owed_by(asset_id)

    def members(self, asset_id: AssetId) -> list[AssetId]:
        """Those that it stands for, without itself, in order of id."""
        leader = "(SELECT no FROM asset WHERE asset_id = ?1)"
        found = f"SELECT asset_id FROM asset WHERE leader = {leader} AND no != {leader} ORDER BY asset_id"
        with self._used() as db:
            return [member for (member,) in db.execute(found, (asset_id,))]

    def told(self, told: Iterable[tuple[AssetId, Standing]]) -> list[AssetId]:
        """What the lake says that assets were told; those of them that have to be told something else."""
        with self._transaction() as db:
            standings = _Standings(db, self._compared, self._rank)
            return [asset_id for asset_id, standing in told if not standings.is_told(asset_id, standing)]

    def missing(self, asset_ids: Sequence[AssetId]) -> list[AssetId]:
        """Those that were never put."""
        with self._used() as db:
            asked = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT asset_id FROM asset)"
            return [asset_id for (asset_id,) in db.execute(asked, (json.dumps(asset_ids),))]

    def after(self, asset_id: AssetId, limit: int) -> list[AssetId]:
        """A page of all, in order of id."""
        with self._used() as db:
            page = "SELECT asset_id FROM asset WHERE asset_id > ? ORDER BY asset_id LIMIT ?"
            return [found for (found,) in db.execute(page, (asset_id, limit))]

    # --- how ----------------------------------------------------------------------------------------------------

    def _rank(self, asset: _Asset) -> Rank:
        return (*(order(asset) for order in self._orders), asset.asset_id)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._used() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.DatabaseError as exc:
                raise self._translated(exc) from exc

    def _translated(self, exc: sqlite3.DatabaseError) -> Exception:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return OutOfSpace(f"no room to write {self._path}", "free some space: work goes on by itself")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Busy(f"{self._path} is locked by another process")
        hint = f"stop lakewatchd and remove {self._path}: it is made again from the lake"
        return FatalError(f"{self._path} cannot be used: {exc}", hint)

    def _open(self) -> sqlite3.Connection:
        try:
            db = self._prepared()
        except sqlite3.DatabaseError as exc:
            log.warning("%s cannot be read (%s): it is made again from the lake", self._path, exc)
            remove(self._path)
            db = self._prepared()
        return db

    def _prepared(self) -> sqlite3.Connection:
        """The file, empty if it was made by other rules."""
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        try:
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            db.execute("CREATE TABLE IF NOT EXISTS made_by (rules TEXT NOT NULL)")
            if db.execute("SELECT rules FROM made_by").fetchall() != [(self._rules,)]:
                db.executescript("".join(f"DROP TABLE IF EXISTS {table};" for table in _TABLES))
                db.executescript(_SCHEMA)  # made_by last: it says that the others are whole
                db.execute("CREATE TABLE made_by (rules TEXT NOT NULL)")
                db.execute("INSERT INTO made_by VALUES (?)", (self._rules,))
        except BaseException:
            db.close()
            raise
        return db


def remove(path: Path) -> None:
    """The file and its log. Nobody may have it open."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


class _Standings:
    """Who stands for whom, in one transaction: changed, then put right from the best to the least. What becomes of an
    asset concerns only those that are worse, so whoever is looked at is looked at once."""

    def __init__(self, db: sqlite3.Connection, compared: Compared, rank: Callable[[_Asset], Rank]) -> None:
        self._db, self._compared, self._rank = db, compared, rank
        self._waiting: list[tuple[Rank, int]] = []
        self._waits: set[int] = set()
        self._changed: set[int] = set()
        """Whose standing may be another one now."""
        self._last_keys: tuple[int, Iterable[Key], Iterable[Key]] = (0, (), ())
        """Of the asset that was asked for last: they are asked for again and again."""

    def asset_of(self, asset_id: AssetId) -> _Asset | None:
        row = self._db.execute(f"SELECT {_FACTS} FROM asset WHERE asset_id = ?", (asset_id,)).fetchone()
        return None if row is None else _Asset(*row)

    def take_out(self, asset: _Asset) -> None:
        """It stands for nobody, and is not found."""
        self._changed.add(asset.leader)
        if asset.leader == asset.no:
            self._look_at(self._followers(asset.no))
        for key, rest in self._keys(asset)[0]:
            row = (int(asset.leader == asset.no), key, asset.no, rest)
            self._db.execute("DELETE FROM found_by WHERE is_first = ? AND key = ? AND no = ? AND rest = ?", row)
        self._last_keys = (0, (), ())  # its signature may be another one next

    def take_in(self, no: int) -> None:
        (asset,) = self._assets([no])
        rows = [(0, key, no, rest) for key, rest in self._keys(asset)[0]]
        self._db.executemany("INSERT OR IGNORE INTO found_by VALUES (?, ?, ?, ?)", rows)
        self._look_at([asset])

    def settle(self, cause: AssetId) -> None:
        """Put all right, and note of whom ``cause`` has to tell."""
        while self._waiting:
            _, no = heapq.heappop(self._waiting)
            self._waits.remove(no)
            (asset,) = self._assets([no])
            self._follow(asset, self._leader_of(asset))
        for no in self._changed:
            self._db.execute(
                "UPDATE asset SET owed_by = iif((told_group, told_first) = (?, ?), '', ?) WHERE no = ?",
                (*self._standing(no), cause, no),
            )

    def tell(self, asset_id: AssetId) -> Standing:
        """What counts as told from now on."""
        (no,) = self._db.execute("SELECT no FROM asset WHERE asset_id = ?", (asset_id,)).fetchone()
        standing = self._standing(no)
        told = "UPDATE asset SET told_group = ?, told_first = ?, owed_by = '' WHERE no = ?"
        self._db.execute(told, (*standing, no))
        return standing

    def is_told(self, asset_id: AssetId, told: Standing) -> bool:
        """Note that it was told so, and say whether it is so. Of what is not known here, nothing can be said."""
        row = self._db.execute("SELECT no FROM asset WHERE asset_id = ?", (asset_id,)).fetchone()
        if row is None:
            return True
        self._db.execute("UPDATE asset SET told_group = ?, told_first = ? WHERE no = ?", (*told, *row))
        return self._standing(*row) == told

    def owed_by(self, cause: AssetId) -> list[AssetId]:
        found = self._db.execute("SELECT asset_id FROM asset WHERE owed_by = ? ORDER BY no", (cause,))
        return [asset_id for (asset_id,) in found]

    # --- how ----------------------------------------------------------------------------------------------------

    def _standing(self, no: int) -> Standing:
        row = self._db.execute("SELECT leader FROM asset WHERE no = ?", (no,)).fetchone()
        if row is None:  # gone: nobody to be told
            return ALONE
        (leader,) = row
        others = "SELECT 1 FROM asset WHERE leader = ?1 AND no != ?1 LIMIT 1"
        if leader == no and self._db.execute(others, (no,)).fetchone() is None:
            return ALONE
        (asset_id,) = self._db.execute("SELECT asset_id FROM asset WHERE no = ?", (leader,)).fetchone()
        return Standing(asset_id, leader == no)

    def _leader_of(self, asset: _Asset) -> int:
        """The best of those that are better, represent, and are the same; else itself."""
        rank = self._rank(asset)
        found = [other for other in self._candidates(asset, only_firsts=True) if self._rank(other) < rank]
        found.sort(key=self._rank)
        return next((other.no for other in found if self._is_same(asset, other)), asset.no)

    def _follow(self, asset: _Asset, leader: int) -> None:
        """Better ones are as they stay."""
        if leader == asset.leader:
            return
        self._db.execute("UPDATE asset SET leader = ? WHERE no = ?", (leader, asset.no))
        self._changed |= {asset.no, asset.leader, leader}
        was_first, is_first = asset.leader == asset.no, leader == asset.no
        if was_first or is_first:
            rows = [(int(is_first), int(was_first), key, asset.no) for key, _ in self._keys(asset)[0]]
            self._db.executemany("UPDATE found_by SET is_first = ? WHERE is_first = ? AND key = ? AND no = ?", rows)
        if was_first:
            self._look_at(self._followers(asset.no))
        if is_first:
            self._lead(asset)

    def _lead(self, asset: _Asset) -> None:
        """It represents from now on: also those that followed somebody worse, or represented while they are worse."""
        rank = self._rank(asset)
        found = [other for other in self._candidates(asset, only_firsts=False) if other.no not in self._waits]
        found.sort(key=lambda other: other.leader == other.no)  # who follows it already need not be looked at for them
        ranks = {leader.no: self._rank(leader) for leader in self._assets({other.leader for other in found})}
        for other in found:
            if rank < self._rank(other) and rank < ranks[other.leader] and self._is_same(asset, other):
                self._follow(other, asset.no)

    def _look_at(self, assets: Iterable[_Asset]) -> None:
        for asset in assets:
            if asset.no not in self._waits:
                self._waits.add(asset.no)
                heapq.heappush(self._waiting, (self._rank(asset), asset.no))

    def _followers(self, no: int) -> list[_Asset]:
        rows = self._db.execute(f"SELECT {_FACTS} FROM asset WHERE leader = ?1 AND no != ?1", (no,))
        return [_Asset(*row) for row in rows]

    def _assets(self, numbers: Collection[int]) -> list[_Asset]:
        asked = f"SELECT {_FACTS} FROM asset WHERE no IN (SELECT value FROM json_each(?))"
        return [_Asset(*row) for row in self._db.execute(asked, (json.dumps(list(numbers)),))]

    def _candidates(self, asset: _Asset, *, only_firsts: bool) -> list[_Asset]:
        rests: dict[int, list[int]] = {}
        for key, rest in self._keys(asset)[1]:
            rests.setdefault(key, []).append(rest)
        rows = self._db.execute(
            "SELECT key, no, rest FROM found_by WHERE is_first IN (1, ?) AND key IN (SELECT value FROM json_each(?))",
            (int(only_firsts), json.dumps(list(rests))),
        )
        slack = self._compared.slack_bits
        found = {no for key, no, rest in rows if any((rest ^ wanted).bit_count() <= slack for wanted in rests[key])}
        return [other for other in self._assets(found - {asset.no}) if other.kind == asset.kind]

    def _keys(self, asset: _Asset) -> tuple[Iterable[Key], Iterable[Key]]:
        """What it is found by, and what it looks for."""
        if asset.signature is None:
            return (), ()
        if self._last_keys[0] != asset.no:
            self._last_keys = (asset.no, *self._compared.keys(Kind(asset.kind), asset.signature))
        return self._last_keys[1:]

    def _is_same(self, one: _Asset, other: _Asset) -> bool:
        assert one.signature is not None and other.signature is not None  # they have keys
        return self._compared.is_same(Kind(one.kind), one.signature, other.signature)


def _note(db: sqlite3.Connection, entry: Entry) -> int:
    facts = (entry.kind.value, entry.signature, entry.length, entry.resolution, entry.quality, entry.dated)
    db.execute(
        "INSERT INTO asset VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 0, '', 1, '') ON CONFLICT (asset_id) DO UPDATE SET"
        " kind = excluded.kind, signature = excluded.signature, length = excluded.length, leader = 0,"
        " resolution = excluded.resolution, quality = excluded.quality, dated = excluded.dated",
        (entry.asset_id, *facts),
    )
    return int(db.execute("SELECT no FROM asset WHERE asset_id = ?", (entry.asset_id,)).fetchone()[0])
