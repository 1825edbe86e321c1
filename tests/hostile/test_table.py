"""The whole corpus, as `python -m tests.hostile.table` runs it: in a process of its own, which gives up rights."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_hostile_file_gets_its_answer(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.table", str(tmp_path / "corpus")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as expected" in done.stdout
