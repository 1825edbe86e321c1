"""Every file accounted for, on a real daemon: ``audit`` finds each kind of gap, and nothing where nothing is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import pytest

from lakewatchd.testing import LiveDaemon, make_tree, wait_until

UGLY = os.fsdecode(b"sub/line\nbreak \xff\x1b[31m.txt")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    root = make_tree(
        tmp_path / "nas",
        {**{f"sub/{n}.txt": f"text {n}\n" for n in range(30)}, "same.txt": "text 1\n", UGLY: "ugly\n",
         "skipped.tmp": "-", "broken.jpg": b"\xff\xd8\xff\xe0 no picture"},
    )  # fmt: skip
    settings = '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\n[watch]\nsettle_s = 0.2\n'
    live = LiveDaemon(tmp_path / "base", root, settings=settings)
    with live:
        live.wait_idle()
        yield live


def audit(daemon: LiveDaemon, *args: str) -> dict[str, Any]:
    done = daemon.run("audit", "--json", *args, check=False)
    assert done.stdout, done.stderr + daemon.log
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if told["gap_count"] else 0), done.stderr
    return told


def problems(told: dict[str, Any]) -> dict[str, str]:
    return {gap["path"]: gap["problem"] for root in told["roots"] for gap in root["gaps"]}


def edit_queue(daemon: LiveDaemon, sql: str) -> None:
    with sqlite3.connect(daemon.state / "queue.db", timeout=20) as database:
        database.execute(sql)
    database.close()


def test_every_gap_is_found_and_mended(daemon: LiveDaemon) -> None:
    counts = {"indexed": 32, "parked": 1, "ignored": 1}
    assert [root["counts"] for root in audit(daemon)["roots"]] == [counts]
    assert audit(daemon, "nas")["gap_count"] == 0
    assert "every file is accounted for" in daemon.run("audit").stdout
    assert "did you mean 'nas'?" in daemon.run("audit", "nass", check=False).stderr

    # What must never happen is done by hand, behind the daemon's back.
    gold = lancedb.connect(daemon.state / "lake").open_table("gold_assets")
    bronze = lancedb.connect(daemon.state / "lake").open_table("bronze_occurrences")
    lost = bronze.search().where("path_text = 'sub/2.txt'").to_list()[0]["asset_id"]
    daemon.stop()
    edit_queue(daemon, "DELETE FROM seen WHERE name = CAST('3.txt' AS BLOB)")
    edit_queue(daemon, "UPDATE seen SET size = size + 1 WHERE name = CAST('4.txt' AS BLOB)")
    bronze.delete("path_text = 'sub/5.txt'")
    gold.delete(f"asset_id = '{lost}'")
    (daemon.root / "sub/6.txt").unlink()
    (daemon.root / "new.txt").write_text("nobody has seen it")

    told = audit(daemon)  # by the files of a daemon that is down
    assert problems(told) == {
        "nas:new.txt": "on disk, but in no table",
        "nas:sub/2.txt": "indexed, but not published",
        "nas:sub/3.txt": "in the lake, but not known to the queue",
        "nas:sub/4.txt": "changed on disk since it was indexed",
        "nas:sub/5.txt": "known to the queue, but not in the lake",
        "nas:sub/6.txt": "in the lake, but not on disk",
    }
    assert told["roots"][0]["counts"] == {"indexed": 27, "parked": 1, "ignored": 1, "gap": 6}

    daemon.start()
    daemon.wait_idle()  # the scan at the start finds what the disk tells; what only the lake lacks, an audit finds
    told = audit(daemon)
    assert problems(told) == {"nas:sub/2.txt": "indexed, but not published",
                              "nas:sub/5.txt": "known to the queue, but not in the lake"}  # fmt: skip
    assert told["queued"] > 0
    daemon.wait_idle()
    assert audit(daemon)["roots"][0]["counts"] == counts


def test_files_that_change_meanwhile_are_no_gaps(daemon: LiveDaemon) -> None:
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.wait(0.005):
            number += 1
            (daemon.root / f"sub/{number % 40}.txt").write_text(f"new text {number}\n" * (number % 9 + 1))
            (daemon.root / f"moved {number % 7}.txt").unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (daemon.root / f"sub/{(number + 20) % 40}.txt").replace(daemon.root / f"moved {number % 7}.txt")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            assert problems(audit(daemon)) == {}
    finally:
        stop.set()
        thread.join()
    daemon.wait_idle()
    told = audit(daemon)
    on_disk = sum(1 for path in daemon.root.rglob("*") if path.is_file() and path.suffix != ".tmp")
    assert told["roots"][0]["counts"] == {"indexed": on_disk - 1, "parked": 1, "ignored": 1}


def test_the_daemon_checks_itself_after_a_rescan(daemon: LiveDaemon) -> None:
    def root() -> dict[str, Any]:
        status: dict[str, Any] = json.loads(daemon.run("status", "--json").stdout)
        return {**status["roots"][0], "gaps": status["gaps"]}

    wait_until(lambda: root()["audit"], 30, "the first check")
    assert root()["audit"]["counts"] == {"indexed": 33, "ignored": 1} and root()["gaps"] == 0
    table = lancedb.connect(daemon.state / "lake").open_table("bronze_occurrences")
    table.delete("path_text = 'sub/5.txt'")
    daemon.run("scan")
    wait_until(lambda: root()["gaps"] == 1, 30, "the gap is found without being asked for")
    daemon.wait_idle()
    daemon.run("scan")
    wait_until(lambda: root()["gaps"] == 0, 30, "and mended")
    table.checkout_latest()
    assert table.search().where("path_text = 'sub/5.txt'").to_list()


def test_a_root_that_is_away_has_no_gaps(daemon: LiveDaemon) -> None:
    daemon.root.rename(daemon.root.with_name("elsewhere"))
    wait_until(lambda: "away" in daemon.run("status").stdout, 30, "it is away")
    told = audit(daemon)
    assert told["roots"][0]["counts"] == {"away": 33} and told["roots"][0]["problem"]
    daemon.stop()
    assert audit(daemon)["roots"][0]["counts"] == {"away": 33}
