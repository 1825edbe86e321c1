"""The real daemon over a queue that is damaged or gone: it says so, and ends where a fresh index would."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lakewatchd.testing import LiveDaemon, make_tree, wait_until

FILES = {f"d{n % 3}/note {n}.txt": f"this is note number {n}, " * 9 for n in range(12)} | {
    "broken.jpg": b"\xff\xd8\xff\xe0no"
}


NONSENSE = """
    CREATE TRIGGER nonsense AFTER INSERT ON job BEGIN UPDATE job SET payload = '{' WHERE id = new.id; END
"""


def problems(daemon: LiveDaemon) -> str:
    return " ".join(problem["message"] for problem in status(daemon)["problems"])


def status(daemon: LiveDaemon) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.run("status", "--json").stdout)
    return found


@pytest.mark.long
@pytest.mark.slow
def test_a_queue_damaged_while_down_and_one_damaged_while_running_are_made_again(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "nas", FILES)
    daemon = LiveDaemon(tmp_path / "one", root)
    with daemon:
        daemon.wait_idle()
    for part in daemon.state.glob("queue.db*"):  # the log too: it may hold all that matters
        part.write_bytes(b"torn" * 9999)
    (root / "d0/note 0.txt").unlink()  # while nobody looked
    with daemon:
        daemon.wait_idle()
        assert "nothing is lost" in problems(daemon)
        with closing(sqlite3.connect(daemon.state / "queue.db")) as db, db:  # sound pages with nonsense on them
            db.execute(NONSENSE)
        (root / "new.txt").write_text("something new to be read")
        assert daemon.process is not None
        assert daemon.process.wait(60) == 70
    with daemon:
        daemon.wait_idle()
        assert status(daemon)["roots"][0]["files"] == len(FILES)  # one went, one came
        for name in ("queue.db", "queue.db-wal"):  # under the daemon, whose pages in memory are sound
            with (daemon.state / name).open("r+b") as file:
                file.write(b"torn" * 9999)
        daemon.run("audit", check=False)  # a reader that opens the file anew
        assert daemon.process is not None
        assert daemon.process.wait(60) == 70
    with daemon:
        daemon.wait_idle()
        assert [(group["reason"], group["count"]) for group in status(daemon)["parked"]] == [("damaged-media", 1)]
    assert len(list(daemon.state.glob("queue.db.damaged-*/queue.db"))) == 3


@pytest.mark.slow
def test_a_full_disk_stops_the_work_and_room_lets_it_go_on(tmp_path: Path) -> None:
    """A file system of its own: full before the daemon has begun, and full again while it works."""
    state = tmp_path / "one" / "state"
    state.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "lakewatchd-test", state], check=True)
    root, ballast = make_tree(tmp_path / "nas", FILES), state / "ballast"
    daemon = LiveDaemon(tmp_path / "one", root, daemon_settings="min_free_mb = 2")
    try:
        fill(ballast)
        daemon.start(wait=False)
        wait_until(lambda: "waiting: no " in daemon.log, 60, "a start that waits")
        assert daemon.stop() == 0, "a start that waits can be stopped"
        before = len(daemon.log)
        daemon.start(wait=False)
        wait_until(lambda: "waiting: no " in daemon.log[before:], 60, "a start that waits")
        os.truncate(ballast, 0)
        wait_until(lambda: "ready:" in daemon.log, 60, "a start that goes on")
        daemon.wait_idle()
        fill(ballast)
        wait_until(lambda: "min_free_mb" in status(daemon)["paused"], 60, "work that rests")
        (root / "new.txt").write_text("something new to be read")
        os.truncate(ballast, 0)
        wait_until(lambda: not status(daemon)["paused"], 60, "work that goes on")
        daemon.wait_idle()
        assert status(daemon)["roots"][0]["files"] == len(FILES) + 1
        assert [group["reason"] for group in status(daemon)["parked"]] == ["damaged-media"]  # the one that is
    finally:
        daemon.kill()
        subprocess.run(["umount", "-l", state], check=True)


def fill(path: Path) -> None:
    with path.open("wb") as file:
        try:
            while True:
                file.write(bytes(65536))
                file.flush()
        except OSError:
            return
