"""The queue's SQLite file: how it is opened, brought to the current schema, written, and how it fails.

The only module that imports :mod:`sqlite3`. No statement about jobs or files lives here.
Invariant: a transaction is written whole or not at all, and every failure of the file leaves as a lakewatchd error.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from lakewatchd import errors

Row = tuple[Any, ...]
Connection = sqlite3.Connection
Cursor = sqlite3.Cursor

BUSY_TIMEOUT_S = 5.0

_REBUILD = "stop lakewatchd, move the file and its -wal and -shm away, start again: a rescan rebuilds it"

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -32768",  # KiB. The default of 2 MiB misses on most pages of a long queue.
    "wal_autocheckpoint = 4096",  # pages. Batches touch random pages: a page rewritten before the checkpoint is free.
    "journal_size_limit = 67108864",  # bytes, so that one flood does not leave a huge log behind
)


@dataclass(frozen=True, slots=True)
class Migration:
    """A file ``migrations/NNNN_name.sql``. ``PRAGMA user_version`` is the number of the last one that was applied."""

    number: int
    script: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All there are, in the order in which they are applied."""
    files = resources.files(__package__).joinpath("migrations").iterdir()
    found = sorted((file.name, file) for file in files if file.name.endswith(".sql"))
    return tuple(Migration(int(name[:4]), file.read_text("utf-8")) for name, file in found)


class Database:
    """One connection. May be made on one thread and used on another, but only by one at a time."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Opens ``path``, creating it unless ``readonly``.

        Raises :class:`errors.SchemaTooNew`, :class:`errors.QueueDamaged` (also for a missing file when
        ``readonly``), :class:`errors.OutOfSpace` and :class:`errors.Busy`.
        """
        self.path = path
        mode = "ro" if readonly else "rwc"
        with self._translated():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,  # transactions are begun here, in the open
                check_same_thread=False,
                timeout=BUSY_TIMEOUT_S,
            )
        try:
            with self._translated():
                self._check_version(readonly)
                if not readonly:
                    self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Closes the file; the log is folded back into it if nobody else has it open."""
        with self._translated():
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Everything inside happens, or nothing.

        A ``durable`` one is on the disk when the block ends. Another survives the death of the process but may be
        undone by a power cut, never a part of it and never a durable one before or after it alone.
        """
        run = self._connection
        with self._translated():
            if not durable:
                run.execute("PRAGMA synchronous = NORMAL")
            try:
                run.execute("BEGIN IMMEDIATE")
                yield run
                run.execute("COMMIT")
            except BaseException:
                if run.in_transaction:
                    run.execute("ROLLBACK")
                raise
            finally:
                if not durable:
                    run.execute("PRAGMA synchronous = FULL")

    def rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """All rows of one query."""
        with self._translated():
            return self._connection.execute(sql, args).fetchall()

    def _check_version(self, readonly: bool) -> None:
        version, newest = self._version(), migrations()[-1].number
        if version > newest:
            raise errors.SchemaTooNew(
                f"{self.path} has schema {version}, this lakewatchd knows up to {newest}",
                f"upgrade lakewatchd, or {_REBUILD}",
            )
        if readonly and version < newest:
            raise errors.Busy(f"{self.path} has schema {version} and waits for the daemon to migrate it")

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        for migration in migrations():
            if migration.number > self._version():
                self._apply(migration)

    def _apply(self, migration: Migration) -> None:
        """The whole step and its number, or nothing: cut off half-way it starts again."""
        with self.transaction() as run:
            if self._version() >= migration.number:  # somebody else was faster
                return
            for statement in statements(migration.script):
                run.execute(statement)
            run.execute(f"PRAGMA user_version = {migration.number}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self._translate(exc) from exc

    def _translate(self, exc: sqlite3.Error) -> Exception:
        """What the error means to us. Wrong SQL and broken constraints are bugs and stay what they are."""
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return errors.OutOfSpace(f"no room to write {self.path}", "free some space: work goes on by itself")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return errors.Busy(f"{self.path} is locked by another process")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            return errors.QueueDamaged(f"cannot open {self.path}: {exc}", "check that it exists and who may write it")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR):
            return errors.QueueDamaged(f"cannot read {self.path}: {exc}", _REBUILD)
        return exc


def statements(script: str) -> Iterable[str]:
    """The statements of an SQL script, one by one, so that all of them fit into one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
