"""Every file accounted for, on a real daemon: ``audit`` finds each kind of gap, and nothing where nothing is wrong."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import pytest

from lakewatchd.cli import main as front
from lakewatchd.testing import LiveDaemon, make_tree, wait_until

UGLY = os.fsdecode(b"sub/line\nbreak \xff\x1b[31m.txt")


COUNTS = {"indexed": 33, "parked": 1, "ignored": 1}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """One for all: each test leaves it as it was."""
    base = tmp_path_factory.mktemp("accounts")
    root = make_tree(
        base / "nas",
        {**{f"sub/{n}.txt": f"text {n}\n" for n in range(30)}, "same.txt": "text 1\n", UGLY: "ugly\n",
         "skipped.tmp": "-", "broken.jpg": b"\xff\xd8\xff\xe0 no picture", "half.zip": b"PK\x03\x04 and no more"},
    )  # fmt: skip
    models = "".join(f'{role} = "off"\n' for role in ("image_text", "text", "detector", "speech", "ocr"))
    settings = f"[models]\n{models}[watch]\nsettle_s = 0.2\n"
    with LiveDaemon(base / "daemon", root, settings=settings) as live:
        live.wait_idle()
        yield live


@pytest.fixture(autouse=True)
def as_it_was(daemon: LiveDaemon) -> Iterator[None]:
    yield
    daemon.run("queue", "resume")  # a test that failed may have left it paused
    daemon.wait_idle()
    assert audit(daemon)["roots"][0]["counts"] == COUNTS


def told_by(daemon: LiveDaemon, *args: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and its JSON. In this process: there are many, and a start costs more than an answer."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = front.main(["--config", str(daemon.config), *args, "--json"])
    return code, json.loads(out.getvalue())


def audit(daemon: LiveDaemon, *args: str) -> dict[str, Any]:
    code, told = told_by(daemon, "audit", *args)
    assert code == (1 if told["gap_count"] else 0)
    return told


def status(daemon: LiveDaemon) -> dict[str, Any]:
    return told_by(daemon, "status")[1]


def problems(told: dict[str, Any]) -> dict[str, str]:
    return {gap["path"]: gap["problem"] for root in told["roots"] for gap in root["gaps"]}


def edit_queue(daemon: LiveDaemon, sql: str) -> None:
    with sqlite3.connect(daemon.state / "queue.db", timeout=20) as database:
        database.execute(sql)
    database.close()


def test_every_gap_is_found_and_mended(daemon: LiveDaemon) -> None:
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
    assert told["roots"][0]["counts"] == {"indexed": 28, "parked": 1, "ignored": 1, "gap": 6}

    assert explain(daemon, daemon.root / "sub/2.txt")["verdict"] == "something was lost: indexed, but not published"
    same = explain(daemon, daemon.root / "same.txt")
    assert same["state"] == "indexed" and same["by_files"] and same["facts"]["kind"] == "document"
    assert explain(daemon, daemon.root / "sub")["facts"]["gap"]

    before = len(daemon.log)
    daemon.start()  # the scan at the start finds what the disk tells, the check after it what the lake lacks
    wait_until(lambda: "are not accounted for" in daemon.log[before:], 60, "the check after the scan")
    wait_until(lambda: status(daemon)["gaps"] == 0, 60, "what it queued is mended, and checked again")
    (daemon.root / "sub/6.txt").write_text("text 6\n")
    (daemon.root / "new.txt").unlink()


def test_files_that_change_meanwhile_are_no_gaps(daemon: LiveDaemon) -> None:
    base, stop = daemon.root / "churn", threading.Event()
    base.mkdir()

    def churn() -> None:
        for number in itertools.count():
            (base / f"{number % 40}.txt").write_text(f"new text {number}\n" * (number % 9 + 1))
            (base / f"moved {number % 7}.txt").unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (base / f"{(number + 20) % 40}.txt").replace(base / f"moved {number % 7}.txt")
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            assert problems(audit(daemon)) == {}
    finally:
        stop.set()
        thread.join()
    daemon.wait_idle()
    assert audit(daemon)["roots"][0]["counts"]["indexed"] == COUNTS["indexed"] + len(list(base.iterdir()))
    shutil.rmtree(base)


def test_an_audit_queues_what_it_finds_and_a_rescan_checks_cheaply(daemon: LiveDaemon) -> None:
    table = lancedb.connect(daemon.state / "lake").open_table("bronze_occurrences")
    # Work that waits keeps the daemon from checking by itself, which would find first what the audit is to find. A
    # check that was under way has ended when an audit has.
    daemon.run("queue", "pause")
    (daemon.root / "waits.txt").write_text("until the queue goes on")
    wait_until(lambda: explain(daemon, daemon.root / "waits.txt")["state"] == "queued", 60, "work waits")
    assert problems(audit(daemon)) == {}
    table.delete("path_text = 'sub/5.txt'")
    told = audit(daemon)
    assert problems(told) == {"nas:sub/5.txt": "known to the queue, but not in the lake"} and told["queued"] == 2
    assert status(daemon)["gaps"] == 1 and "1 not accounted for" in status(daemon)["headline"]
    daemon.run("queue", "resume")
    (daemon.root / "waits.txt").unlink()
    daemon.wait_idle()
    table.checkout_latest()
    assert table.search().where("path_text = 'sub/5.txt'").to_list()
    daemon.run("scan")
    cheap = {"indexed": 34, "ignored": 1}
    wait_until(lambda: status(daemon)["roots"][0]["audit"]["counts"] == cheap, 60, "the cheap form")


def explain(daemon: LiveDaemon, path: Path | str) -> dict[str, Any]:
    code, told = told_by(daemon, "explain", str(path))
    assert code == (1 if told["state"] in ("outside", "nothing", "gap") else 0)
    assert told["verdict"] and told["path"]
    told["facts"] = {fact["label"]: fact["text"] for fact in told["facts"]}
    return told


def test_explain_has_an_answer_for_every_path(daemon: LiveDaemon, tmp_path: Path) -> None:
    root = daemon.root
    same = explain(daemon, root / "same.txt")
    assert same["state"] == "indexed" and "shown in the view" in same["verdict"]
    assert same["facts"]["same content"] == "nas:sub/1.txt" and same["facts"]["kind"] == "document"
    assert same["facts"]["root"].startswith(f"nas at {root}: ") and "rescan" in same["next"]
    assert f"{daemon.base}/mnt/by-root/nas/same.txt" in same["view"]
    by_kind = {f"{daemon.base}/mnt/by-kind/document/{name}.txt" for name in ("same", "1")}  # the first to be seen
    assert len(by_kind.intersection(same["view"])) == 1
    assert explain(daemon, root / UGLY)["state"] == "indexed"
    assert (same["facts"]["format"], same["facts"]["text"], same["facts"]["pieces"]) == (
        "text/plain",
        "text 1",
        "1 passage",
    )
    half = explain(daemon, root / "half.zip")
    assert half["state"] == "indexed" and "members cannot be listed" in half["facts"]["not all of it"]

    parked = explain(daemon, root / "broken.jpg")
    assert parked["state"] == "parked" and "damaged-media" in parked["verdict"] and "retry" in parked["hint"]
    assert "index" in parked["facts"]["parked"] and "until the file changes" in parked["next"]

    ignored = explain(daemon, root / "skipped.tmp")
    assert (ignored["state"], ignored["facts"]["ignored by"]) == ("ignored", "config: *.tmp")
    (root / "sub/link").symlink_to(root / "same.txt")
    assert explain(daemon, root / "sub/link")["facts"]["ignored by"] == "symbolic link"
    (root / "sub/link").unlink()
    make_tree(tmp_path, {"elsewhere/below/a.txt": "not ours"})
    (root / "sub/way").symlink_to(tmp_path / "elsewhere")
    assert explain(daemon, root / "sub/way/below")["state"] == "nothing", "no link leads out of the root"
    (root / "sub/way").unlink()

    directory = explain(daemon, root / "sub")
    assert directory["state"] == "directory" and directory["facts"]["indexed"] == "31"
    assert explain(daemon, root)["facts"]["parked"] == "1"

    assert "no such file" in explain(daemon, root / "never.txt")["verdict"]
    outside = explain(daemon, tmp_path / "x")
    assert outside["state"] == "outside" and f"the nearest root is nas at {root}" in outside["hint"]
    assert "[[root]]" in outside["hint"]
    assert "[[root]]" not in explain(daemon, root.parent / "x")["hint"], "roots must lie apart"
    in_view = explain(daemon, daemon.base / "mnt" / "by-tag")
    assert in_view["state"] == "outside" and "[[root]]" not in in_view["hint"], "a view is never watched"

    (root / "brief.txt").write_text("here and gone\n")
    daemon.wait_idle()
    (root / "brief.txt").unlink()
    daemon.wait_idle()
    assert explain(daemon, root / "brief.txt")["verdict"] == "it was here once and is gone"

    daemon.run("queue", "pause")
    (root / "waits.txt").write_text("wait for it\n")
    wait_until(lambda: explain(daemon, root / "waits.txt")["state"] == "queued", 60, "queued")
    waits = explain(daemon, root / "waits.txt")
    assert "nothing while the queue rests" in waits["next"] and waits["hint"] == "lakewatchd queue resume"
    daemon.run("queue", "resume")
    (root / "waits.txt").unlink()

    with (root / "grows.txt").open("w") as growing:

        def grows() -> bool:
            growing.write("more\n")
            growing.flush()
            return bool(explain(daemon, root / "grows.txt")["state"] == "settling")

        wait_until(grows, 60, "settling")
    (root / "grows.txt").unlink()


def test_a_root_that_is_away_has_no_gaps(daemon: LiveDaemon) -> None:
    elsewhere = daemon.root.with_name("elsewhere")
    daemon.root.rename(elsewhere)
    wait_until(lambda: status(daemon)["roots"][0]["state"] == "away", 60, "it is away")
    told = audit(daemon)
    assert told["roots"][0]["counts"] == {"away": 34} and told["roots"][0]["problem"]
    same = explain(daemon, daemon.root / "same.txt")
    assert same["state"] == "away" and "only real differences" in same["next"] and same["view"]
    elsewhere.rename(daemon.root)
    wait_until(lambda: status(daemon)["roots"][0]["state"] == "present", 60, "it is back")
