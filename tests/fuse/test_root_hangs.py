"""A daemon one of whose roots does not answer at all: the rest goes on, and so does every command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakewatchd.testing import LiveDaemon, make_tree, wait_until

pytestmark = pytest.mark.fuse
Mount = tuple[Path, "subprocess.Popen[bytes]"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    place = tmp_path / "mnt"
    place.mkdir()
    argv = [sys.executable, str(Path(__file__).parent / "dead_disk.py"), str(place)]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == b"mounted\n"
    yield place, server
    server.kill()
    server.wait()
    server.stdout.close()
    subprocess.run(["fusermount3", "-u", "-z", str(place)], check=False, capture_output=True)


def told_by(daemon: LiveDaemon, *command: str) -> Any:
    return json.loads(daemon.run(*command, "--json", timeout_s=60, check=False).stdout)


def roots(daemon: LiveDaemon) -> dict[str, dict[str, object]]:
    return {root["name"]: root for root in told_by(daemon, "status")["roots"]}


@pytest.mark.long
def test_a_root_that_hangs_from_the_start(disk: Mount, tmp_path: Path) -> None:
    place, server = disk
    fine = make_tree(tmp_path / "fine", {"a.txt": "words"})
    settings = f'[watch]\nignore = ["dead.txt", "slow.txt"]\n\n[[root]]\nname = "dead"\npath = "{place}"\n'
    daemon = LiveDaemon(tmp_path / "daemon", fine, settings=settings)
    os.kill(server.pid, signal.SIGSTOP)
    with daemon:
        wait_until(lambda: roots(daemon)["nas"]["files"] == 1, what="the other root is indexed")
        assert roots(daemon)["dead"]["state"] in ("starting", "away")
        assert told_by(daemon, "audit")["roots"][0]["counts"] == {"indexed": 1}
        assert told_by(daemon, "audit")["roots"][1]["problem"] in ("starting", "does not answer")
        assert "its root is not there" in told_by(daemon, "explain", str(place / "good.txt"))["verdict"]
        make_tree(fine, {"b.txt": "more words"})
        wait_until(lambda: roots(daemon)["nas"]["files"] == 2)
        os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: roots(daemon)["dead"]["state"] == "present" and roots(daemon)["dead"]["files"] == 1, 60)
        assert "shows no changes made by others" in str(roots(daemon)["dead"]["watching"])
        os.kill(server.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 25, "within drain_s, and a little"
