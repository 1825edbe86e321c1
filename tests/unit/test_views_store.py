"""The file of the view's index: used when it is ours, whole and free; made again, or done without, when it is not."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from lakewatchd.core.asset import Kind, PathKey, Tag, Version
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mounted import store
from lakewatchd.views.mounted.catalog import Rows
from lakewatchd.views.mounted.index import Index, opened

HOLDER = """
import sys
from pathlib import Path
from lakewatchd.views.mounted.index import Index
from lakewatchd.views.mounted.store import open_store
index = Index(open_store([Path(sys.argv[1])], "lake"))
print("holding", flush=True)
sys.stdin.read()
"""


def rows(*names: str) -> Rows:
    occurrences, gold = [], []
    for number, name in enumerate(names):
        key, asset = PathKey("r", name), f"{number:04x}" + "0" * 60
        seen = Version(1, 2, 3), Presence.PRESENT, 1.0, 1.0
        occurrences.append(OccurrenceRow(key, asset, Kind.IMAGE, "", *seen))
        when = dt.datetime(2020, 1, 1)  # noqa: DTZ001 (wall-clock time, as the row says)
        tags = (Tag("sea", 1.0, "model"), Tag("sun", 1.0, "model"))
        gold.append(GoldRow(asset, Kind.IMAGE, "", "", 0.0, tags, "", when, "", "", None, key, 1, 1))
    return Rows(occurrences, gold)


def shown(index: Index, *folder: bytes) -> set[bytes]:
    return {name for name, _ in index.entries(folder)}


def filled(place: Path, identity: str = "lake") -> Path:
    index = Index(store.open_store([place], identity))
    index.apply(rows("a.jpg", "b.jpg"))
    index.revision = 7
    assert shown(index, b"by-tag", b"sea", b"sun") == {b"a.jpg", b"b.jpg"}
    index.close()
    return place / "view.db"


def test_what_was_known_is_known_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path)
    index = Index(store.open_store([tmp_path], "lake"))
    assert (index.revision, index.files, index.total_bytes, index.places) == (7, 2, 2, 2)
    assert shown(index, b"by-tag", b"sea", b"sun") == {b"a.jpg", b"b.jpg"}
    index.apply(Rows(gone=[PathKey("r", "a.jpg")]))
    assert shown(index, b"by-tag", b"sea", b"sun") == shown(index, b"by-root", b"r") == {b"b.jpg"}
    index.close()


def test_a_kill_leaves_what_was_taken_in(tmp_path: Path) -> None:
    command = HOLDER.replace(
        "print(", "from tests.unit.test_views_store import rows\nindex.apply(rows('a.jpg'))\nprint("
    )
    holder = subprocess.Popen([sys.executable, "-c", command, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"holding\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    index = Index(store.open_store([tmp_path], "lake"))
    assert index.revision == 0 and shown(index, b"by-root", b"r") == {b"a.jpg"}
    assert store.path_of(index._db) == tmp_path / "view.db"
    index.close()


@pytest.mark.parametrize("what", ["another lake", "another schema", "no database", "cut off", "torn"])
def test_what_is_not_ours_is_made_again(tmp_path: Path, what: str) -> None:
    file = filled(tmp_path, "other" if what == "another lake" else "lake")
    if what == "another schema":
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    elif what == "no database":
        file.write_bytes(os.urandom(100_000))
    elif what == "cut off":
        os.truncate(file, 100)
    elif what == "torn":  # all but its first page
        file.write_bytes(file.read_bytes()[:4096] + os.urandom(file.stat().st_size - 4096))
    index = opened([tmp_path], "lake")
    assert store.path_of(index._db) == file
    assert (index.revision, index.files, index.is_empty) == (0, 0, True)
    index.apply(rows("c.jpg"))
    assert shown(index, b"recent") == {b"c.jpg"}
    index.close()


def test_two_views_of_a_lake_keep_an_index_each(tmp_path: Path) -> None:
    filled(tmp_path)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"holding\n"
    other = Index(store.open_store([tmp_path], "lake"))
    assert other.is_empty and store.path_of(other._db) == tmp_path / "view-1.db"
    holder.communicate(b"")
    other.close()
    index = Index(store.open_store([tmp_path], "lake"))
    assert index.revision == 7
    index.close()


def test_without_a_place_to_write_it_is_private(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for places, identity in (([tmp_path / "file"], "lake"), ([tmp_path], "")):
        index = Index(store.open_store(places, identity))
        assert store.path_of(index._db) is None
        index.apply(rows("a.jpg"))
        assert shown(index, b"by-kind", b"image") == {b"a.jpg"}
        index.close()
    assert not (tmp_path / "view.db").exists()


def test_only_the_owner_can_read_the_index(tmp_path: Path) -> None:
    assert filled(tmp_path).stat().st_mode & 0o077 == 0


def test_without_space_for_an_index_a_person_is_told(tmp_path: Path) -> None:
    command = """
import resource, signal, sys
from pathlib import Path
from lakewatchd.errors import TransientError
from lakewatchd.views.mounted.index import opened
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    opened([Path(sys.argv[1])], "lake").close()
except TransientError as exc:
    print(exc.hint)
"""
    filled(tmp_path)
    said = subprocess.run([sys.executable, "-c", command, tmp_path], capture_output=True, text=True, check=True)
    assert said.stdout in ("", "free some space beside the lake, or in the folder for temporary files\n")
