"""The real daemon over a lake that lost files: it refuses, is mended, and ends where a fresh index would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakewatchd.lake.compare import compare
from lakewatchd.testing import LiveDaemon, make_tree

FILES = {f"d{n % 3}/note {n}.txt": f"this is note number {n}, " * 9 for n in range(9)} | {
    "broken.jpg": b"\xff\xd8\xff\xe0no"
}


@pytest.mark.long
async def test_a_damaged_lake_is_refused_mended_and_whole_again_after_a_rescan(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "nas", FILES)
    daemon = LiveDaemon(tmp_path / "one", root)
    with daemon:
        daemon.wait_idle()
        assert daemon.run("check", "--repair", check=False).returncode == 70  # a daemon runs
        retried = daemon.run("queue", "retry", str(root), "--reason", "damaged-media", "--json")
        assert json.loads(retried.stdout) == {"count": 1}
        assert daemon.run("queue", "retry", str(root / "d1"), check=False).returncode == 1
        daemon.wait_idle()
    for table in ("bronze_occurrences", "silver_spans"):
        max(
            (daemon.state / "lake" / f"{table}.lance" / "data").iterdir(), key=lambda path: path.stat().st_size
        ).unlink()
    (root / "d0/note 0.txt").unlink()  # while nobody looked
    daemon.start(wait=False)
    assert daemon.process is not None and daemon.process.wait(60) == 70
    assert "check --repair" in daemon.log
    told = daemon.run("check", "--repair").stdout
    assert "silver_spans" in told and "bronze_occurrences" in told
    with daemon:
        daemon.wait_idle()
    with LiveDaemon(tmp_path / "two", root) as fresh:
        fresh.wait_idle()
    found = await compare(daemon.state / "lake", fresh.state / "lake")
    assert found.differences == ()
    assert found.compared["gold_assets"] == len(FILES) - 1
