"""Thumbnails by asset: a SQLite file beside the tables, because Lance would rewrite the bytes on every upsert.

One process writes, any number read at the same time (WAL). A file that is damaged is set aside by the writer: a
thumbnail is made again when its content is read again, and nobody needs one to find anything.

Invariant: a thumbnail is readable once :meth:`Thumbnails.put_many` has returned, and still is after a power cut.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lakewatchd.core.asset import AssetId
from lakewatchd.errors import Busy, FatalError, LakeDamaged, LakewatchError, OutOfSpace

log = logging.getLogger(__name__)

BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS thumbnail (
  asset_id TEXT PRIMARY KEY,  -- BLAKE3 of the content
  image    BLOB NOT NULL      -- JPEG or WebP
) WITHOUT ROWID
"""


class Thumbnails:
    """Blocking calls of well under a millisecond each; may be used from any thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """A reader may come before the first writer: it finds nothing until there is something."""
        self._path, self._read_only = path, read_only
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.delete(())  # make it now, and fail now

    def put_many(self, items: Iterable[tuple[AssetId, bytes]]) -> None:
        self._write("INSERT OR REPLACE INTO thumbnail VALUES (?, ?)", tuple(items))

    def get(self, asset_id: AssetId) -> bytes | None:
        rows = self._query("SELECT image FROM thumbnail WHERE asset_id = ?", asset_id)
        return rows[0][0] if rows else None

    def delete(self, asset_ids: Iterable[AssetId]) -> None:
        self._write("DELETE FROM thumbnail WHERE asset_id = ?", tuple((asset_id,) for asset_id in asset_ids))

    def ids(self) -> set[AssetId]:
        return {row[0] for row in self._query("SELECT asset_id FROM thumbnail")}

    def count(self) -> int:
        return sum(row[0] for row in self._query("SELECT count(*) FROM thumbnail"))

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def _write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            self._write_once(sql, rows)
        except LakeDamaged as exc:
            self._set_aside(exc)
            self._write_once(sql, rows)

    def _write_once(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._used() as db, db:
            db.executemany(sql, rows)

    def _set_aside(self, why: LakeDamaged) -> None:
        self.close()
        for suffix in ("-wal", "-shm", ""):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.replace(part.with_name(f"{self._path.name}.damaged{suffix}"))
        log.error(
            "thumbnails were damaged: set aside as %s.damaged, made again as files are read (%s)", self._path, why
        )

    @contextlib.contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection()
            except sqlite3.Error as exc:
                raise _translated(exc, self._path) from exc

    def _query(self, sql: str, *values: str) -> list[Any]:
        """All rows; none while nobody has made the table."""
        if self._read_only and self._db is None and not self._path.exists():
            return []
        with self._used() as db:
            if self._read_only and not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'thumbnail'").fetchone():
                return []
            return db.execute(sql, values).fetchall()

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        uri = self._path.absolute().as_uri() + ("?mode=ro" if self._read_only else "?mode=rwc")
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)
        try:
            if not self._read_only:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                with db:
                    db.execute(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db


def _translated(exc: sqlite3.Error, path: Path) -> LakewatchError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LakeDamaged(f"{path.name} is damaged: {exc}")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return OutOfSpace(f"cannot write thumbnails: {exc}", "free space on the file system of the lake")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"thumbnails are locked: {exc}")
    return FatalError(f"{path.name} cannot be used: {exc}", "check who may write it, and its directory")
