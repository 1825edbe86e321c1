"""Promises of the view to programs that know nothing of it: copiers, archivers, walkers, and Samba."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.fuse

Lake = Any  # the fixture's class lives in conftest

CONTENTS = {
    f"{folder}/{number} é\n.jpg": os.urandom(number * 9001) for folder in ("one", "two/deep") for number in range(9)
}


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def hashes(folder: Path) -> set[tuple[str, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


@pytest.fixture
def shown(lake: Lake) -> Iterator[Lake]:
    ids = [lake.add(path, content) for path, content in CONTENTS.items()]
    lake.answers({"red sea": {"hits": ids[:3]}})
    lake.start()
    os.listdir(lake.mount / "search" / "red sea")  # those that walk come by it
    yield lake


def test_what_copies_walks_and_packs_finds_every_byte_once(shown: Lake) -> None:
    source, goal = shown.mount / "by-root" / "photos", shown.folder / "copies"
    wanted = hashes(shown.root)
    goal.mkdir()
    run("cp", "-a", source, goal / "cp")
    run("rsync", "-a", f"{source}/", goal / "rsync")
    run("tar", "--create", "--file", goal / "tar.tar", "--directory", source, ".")
    (goal / "tar").mkdir()
    with tarfile.open(goal / "tar.tar") as packed:
        packed.extractall(goal / "tar", filter="data")
    for copy in ("cp", "rsync", "tar"):
        assert hashes(goal / copy) == wanted
    kept = (goal / "cp" / "one" / "1 é\n.jpg").stat()
    assert (kept.st_mtime_ns, kept.st_mode & 0o777) == (1_700_000_000_123_456_789, 0o444)
    assert (
        run("rsync", "-a", "--itemize-changes", f"{source}/", goal / "rsync") == ""
    )  # a second time there is nothing to do

    everything = run("find", shown.mount, "-type", "f", "-print0").split("\0")
    assert len(everything) == len(set(everything))
    assert int(run("du", "--apparent-size", "--block-size=1", "-s", source).split()[0]) >= sum(
        map(len, CONTENTS.values())
    )
    run("cp", "-r", shown.mount / "search", goal / "search")
    assert len(os.listdir(goal / "search" / "red sea")) == 3
    assert shown.asked == ["red sea"]  # who walks through all folders asks nothing anew


@pytest.mark.long
def test_samba_hands_it_on() -> None:
    if shutil.which("smbclient") is None or not Path("/usr/sbin/smbd").exists():
        pytest.skip("samba and smbclient are missing: scripts/setup-system --samba")
    assert subprocess.run([sys.executable, "-m", "tests.samba"], check=False).returncode == 0
