"""Directories of watchers: none outlives its process for longer than until the next one is made."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lakewatchd.sources.scratch import Scratch

CHILD = """
import sys
from lakewatchd.sources.scratch import Scratch
scratch = Scratch()
print(scratch.path, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = Scratch()
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", CHILD], env=environ, **piped) as child:  # type: ignore[call-overload]
        killed = Path(child.stdout.readline().strip())
        assert killed.is_dir()
        (killed / "1").touch()
        child.kill()
    theirs = tmp_path / killed.name[: killed.name.rindex("-")]
    theirs.with_name(f"{theirs.name}-file").touch()
    theirs.with_name(f"{theirs.name}-link").symlink_to("/")
    for place in tmp_path.iterdir():
        os.utime(place, (0, 0), follow_symlinks=False)

    other = Scratch()
    assert not killed.exists()
    assert Path(mine.path).is_dir() and Path(other.path).is_dir()
    mine.close()
    other.close()
    assert {path.name for path in tmp_path.iterdir()} == {f"{theirs.name}-file", f"{theirs.name}-link"}
