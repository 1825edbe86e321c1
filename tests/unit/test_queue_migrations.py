"""From every schema there ever was to the one of today: rows kept, whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import PathKey
from lakewatchd.core.job import Lane
from lakewatchd.queue import database
from lakewatchd.queue.database import Database, migrations
from lakewatchd.queue.store import QueueStore
from lakewatchd.testing import FakeClock

EARLIER = [migration.number for migration in migrations()]

ROWS = """
    INSERT INTO job (stage, key, payload, priority, lane, state, queued_at) VALUES
        ('ingest', x'61', '{"path":"a","root":"r"}', 1, 'fast', 0, 1.0);
    INSERT INTO job (stage, key, payload, priority, lane, state, queued_at, attempts, reason, message, parked_at) VALUES
        ('index', x'62', '{}', 3, 'heavy', 3, 1.0, 2, 'damaged-media', 'broken', 2.0);
    INSERT INTO pause VALUES ('*', 1.0, 'a person');
    INSERT INTO seen (root, dir, name, size, mtime_ns, inode, device, asset_id) VALUES
        ('r', x'64', x'66ff', 5, 6, '9223372036854775808', 8, 'aa');
    INSERT INTO root_state (root, identity) VALUES ('', 'the lake');
"""
"""What every version can hold."""


def make(path: Path, version: int) -> None:
    """A queue as the code of ``version`` left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for migration in migrations():
            if migration.number <= version:
                raw.executescript(migration.script)
        raw.execute(f"PRAGMA user_version = {version}")
        raw.executescript(ROWS)


@pytest.mark.parametrize("version", EARLIER)
def test_every_earlier_schema_becomes_the_newest_with_all_its_rows(tmp_path: Path, version: int) -> None:
    path = tmp_path / "queue.db"
    make(path, version)
    with closing(QueueStore(path, QueueConfig(), FakeClock())) as store:
        assert store._db.rows("PRAGMA user_version") == [(migrations()[-1].number,)]
        (parked,) = store.parked()
        assert (parked.key, parked.reason, parked.message, parked.attempts) == ("b", "damaged-media", "broken", 2)
        assert [scope.scope for scope in store.paused()] == ["*"]
        place = store.seen.get(PathKey("r", "d/f\udcff"))
        assert place is not None and (place.version.inode, place.asset_id) == (1 << 63, "aa")
        assert store.seen.root_state("") == "the lake"
        assert store.resume()
        (job,) = store.claim(Lane.FAST, 9)
        assert (job.key, job.payload) == ("a", {"path": "a", "root": "r"})


def test_migrations_lead_to_the_schema_that_is_written_down(tmp_path: Path) -> None:
    """``schema.sql`` is what people read: whoever adds a migration brings it up to date."""
    Database(tmp_path / "made.db").close()
    with closing(sqlite3.connect(tmp_path / "written.db")) as written:
        written.executescript(resources.files("lakewatchd.queue").joinpath("schema.sql").read_text())
        with closing(sqlite3.connect(tmp_path / "made.db")) as made:
            assert structure(made) == structure(written)


def structure(db: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Columns and indexes, in their order and with their conditions, without how they came about."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
        condition = " ".join((sql or "").partition(" WHERE ")[2].split()) if kind == "index" else ""
        facts = db.execute(f"PRAGMA {kind}_xinfo('{name}')").fetchall()
        options = db.execute("SELECT wr, strict FROM pragma_table_list(?)", (name,)).fetchall()
        found[f"{kind} {name}"] = [*facts, *options, (condition,)]
    return found


def test_a_failing_migration_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "queue.db"
    monkeypatch.setattr(database, "statements", lambda _: ["CREATE TABLE job (id)", "CREATE TABLE job (id)"])
    with pytest.raises(sqlite3.OperationalError):
        Database(path)
    monkeypatch.undo()
    with closing(Database(path)) as again:
        assert again.rows("SELECT count(*) FROM job") == [(0,)]


KILLED = """
import os, signal, sys
from pathlib import Path
from lakewatchd.queue import database

def some(script, whole=database.statements):
    for number, statement in enumerate(whole(script)):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement

database.statements = some
database.Database(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("statement", [1, 6])
def test_killed_in_the_middle_of_a_migration_it_is_done_again(tmp_path: Path, statement: int) -> None:
    path = tmp_path / "queue.db"
    died = subprocess.run([sys.executable, "-c", KILLED, str(path), str(statement)], env=os.environ, check=False)
    assert died.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM sqlite_schema").fetchall() == []
    with closing(QueueStore(path, QueueConfig(), FakeClock())) as store:
        assert store.counts().jobs() == 0
