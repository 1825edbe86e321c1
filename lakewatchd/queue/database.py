"""The queue's SQLite file: how it is opened, brought to the current schema, written, and how it fails.

The only module that imports :mod:`sqlite3`. No statement about jobs or files lives here.
Invariant: a transaction is written whole or not at all, and every failure of the file leaves as a lakewatchd error.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
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

TABLES = {"job", "pause", "root_state", "seen"}
"""A file without these holds no queue."""

_CHECK_STEPS = 10_000
"""Instructions of SQLite between two looks at the clock while it checks: some milliseconds."""

_REBUILD = "restart lakewatchd: it moves the file aside and rebuilds it from the lake and a rescan"

_NO_ROOM_FOR = frozenset({
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMMAP,
})  # fmt: skip
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
_ROOM_BYTES = 1 << 20

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

        Raises :class:`errors.SchemaTooNew`, :class:`errors.QueueDamaged` for a file that holds no queue,
        :class:`errors.QueueUnusable` (also for a missing file when ``readonly``), :class:`errors.OutOfSpace` and
        :class:`errors.Busy`.
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

    def check(self, budget_s: float) -> None:
        """Looks for damage for as long as ``budget_s`` allows: 100 MB take about 0.5 s. Raises ``QueueDamaged``."""
        until = time.monotonic() + budget_s
        self._connection.set_progress_handler(lambda: time.monotonic() > until, _CHECK_STEPS)
        try:
            with self._translated():
                ((found,),) = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return  # what was looked at is sound
        finally:
            self._connection.set_progress_handler(None, 0)
        if found != "ok":
            raise self.damaged(str(found))

    def damaged(self, what: str) -> errors.QueueDamaged:
        """The error to raise for ``what`` was found."""
        return errors.QueueDamaged(f"{self.path} is damaged: {what}", _REBUILD)

    def _check_version(self, readonly: bool) -> None:
        version, newest = self._version(), migrations()[-1].number
        if version > newest:
            raise errors.SchemaTooNew(
                f"{self.path} has schema {version}, this lakewatchd knows up to {newest}",
                f"upgrade lakewatchd, or {_REBUILD}",
            )
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if (version and not tables >= TABLES) or (tables and not version):
            raise self.damaged(f"its tables are {', '.join(sorted(tables)[:9]) or 'none'}")
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
        whole = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        code = whole & 0xFF
        if code == sqlite3.SQLITE_FULL or (whole in _NO_ROOM_FOR and _is_full(self.path.parent)):
            return errors.OutOfSpace(f"no room to write {self.path}", "free some space: work goes on by itself")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return errors.Busy(f"{self.path} is locked by another process")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or whole in _UNREADABLE:
            return self.damaged(str(exc))
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
            return errors.QueueUnusable(
                f"cannot use {self.path}: {exc}", "check that its directory exists, who may write it, and the disk"
            )
        return exc


def _is_full(directory: Path) -> bool:
    """SQLite says "I/O error" or "cannot open" where there is no room for its log and index of the log."""
    try:
        return shutil.disk_usage(directory).free < _ROOM_BYTES
    except OSError:
        return False


def statements(script: str) -> Iterable[str]:
    """The statements of an SQL script, one by one, so that all of them fit into one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
