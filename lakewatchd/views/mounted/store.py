"""The file the index is kept in: a cache beside the lake's other state, which may be lost or thrown away at any time.

The invariant: a file is used only if it is whole, of this schema, of this lake, and by nobody else; else another one is
made. What a kill leaves is the state after some step, with the revision of the last refresh that was completed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

log = logging.getLogger(__name__)

SCHEMA = 2
"""To be raised with every change of the tables, of the folders there are, or of the rule of names."""
CACHE_KB = 32 << 10
VIEWS = 4
"""Views of one lake that keep an index each."""


def open_store(places: Sequence[Path] = (), identity: str = "") -> sqlite3.Connection:
    """The index of the lake with this identity in the first place that can be written; a private one that goes when it
    is closed where there is none, or where nobody knows which lake it is."""
    for place in places if identity else ():
        for number in range(VIEWS):
            path = place / (f"view-{number}.db" if number else "view.db")
            try:
                place.mkdir(parents=True, exist_ok=True)
                return _kept(path, identity)
            except sqlite3.OperationalError as exc:
                if "locked" not in str(exc):
                    log.debug("no index in %s: %s", path, exc)
                    break
            except (OSError, sqlite3.DatabaseError) as exc:
                log.debug("no index in %s: %s", path, exc)
                break
    # Who fills it may be another thread than who asks it later.
    return _made(sqlite3.connect("", isolation_level=None, check_same_thread=False), identity)


def _kept(path: Path, identity: str) -> sqlite3.Connection:
    """Raises OSError, and OperationalError when another view has it."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        return _found(path, identity)
    except _Useless as exc:
        log.info("the view's index is made anew: %s", exc, extra={"path": str(path)})
    discard(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return _made(_connected(path), identity)


class _Useless(Exception):
    """Why a file cannot be the index."""


def _found(path: Path, identity: str) -> sqlite3.Connection:
    db = _connected(path)
    try:
        if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise _Useless("there is none yet")
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        if schema != SCHEMA:
            raise _Useless(f"it has schema {schema}, this is {SCHEMA}")
        if read_meta(db, "identity") != identity:
            raise _Useless("it is of another lake")
        return db
    except sqlite3.OperationalError as exc:
        db.close()
        if "locked" in str(exc):
            raise
        raise _Useless(str(exc)) from exc
    except sqlite3.DatabaseError as exc:
        db.close()
        raise _Useless(str(exc)) from exc
    except _Useless:
        db.close()
        raise


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        # Held until it is closed: by this a second view knows that the file is taken, and a kill lets go of it.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
    except sqlite3.OperationalError:
        db.close()
        raise
    except sqlite3.DatabaseError:
        return db  # not a database: told by whoever reads it
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _made(db: sqlite3.Connection, identity: str) -> sqlite3.Connection:
    db.executescript(resources.files(__package__).joinpath("index.sql").read_text())
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    write_meta(db, "identity", identity)
    return db


def discard(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{end}").unlink(missing_ok=True)


def set_up(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA cache_size = -{CACHE_KB}")
    db.execute("PRAGMA wal_autocheckpoint = 4000")


def path_of(db: sqlite3.Connection) -> Path | None:
    """Where it is kept; None for a private one."""
    (file,) = (row[2] for row in db.execute("PRAGMA database_list") if row[1] == "main")
    return Path(file) if file else None


def read_meta(db: sqlite3.Connection, key: str) -> object:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row is not None else None


def write_meta(db: sqlite3.Connection, key: str, value: object) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. Inside of another one: a part of it."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
