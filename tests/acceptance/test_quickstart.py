"""What a newcomer does first: ``scripts/quickstart --once``, look into the view, once more, ``--stop``."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from lakewatchd.testing import make_tree, wait_until

CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "scripts" / "quickstart.py"

pytestmark = [
    pytest.mark.models,
    pytest.mark.fuse,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs /dev/fuse"),
]

Run = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, model_dir: Path) -> Iterator[Path]:
    made = tmp_path / "quick"
    (made / "state").mkdir(parents=True)
    (made / "state" / "models").symlink_to(model_dir)
    yield made
    subprocess.run(["umount", "--lazy", made / "lake"], capture_output=True, check=False)


@pytest.fixture
def quickstart(place: Path) -> Run:
    def run(*args: str | Path) -> str:
        argv = [sys.executable, SCRIPT, *args, "--place", place]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    base = make_tree(tmp_path / "files", {"notes/to do.txt": "water the flowers\n", "a\n b.md": "# Title\n"})
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 60).convert("RGB").save(base / "picture.jpg")
    return base


def same(place: Path, files: Path) -> bool:
    """Every original is in the view, byte for byte, and nothing else is."""
    shown = place / "lake" / "by-root" / "files"
    trees = [{path.relative_to(base): path.read_bytes() for path in base.rglob("*") if path.is_file()}
             for base in (files, shown)]  # fmt: skip
    return trees[0] == trees[1]


def embedded(told: str) -> int:
    found = re.search(r"(\d+) files, (\d+) of them photos; (\d+) parked; (\d+) embedded now; [\d.]+ s\.", told)
    assert found, told
    assert found.groups()[1:3] == ("1", "0")
    return int(found[4])


def view_of(place: Path) -> int | None:
    """The process that serves the view."""
    config = os.fsencode(place / "lakewatchd.toml")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"mount" in words and config in words:
            return int(process.name)
    return None


def test_once_leaves_the_view_and_later_runs_embed_nothing_twice(
    quickstart: Run, place: Path, files: Path, tmp_path: Path
) -> None:
    (files / "many").mkdir()
    for number in range(60):  # more than a removal guard lets pass
        shutil.copy(files / "a\n b.md", files / "many" / f"{number}.md")
    assert embedded(quickstart(files, "--once")) == 3
    assert same(place, files)
    first = view_of(place)

    other = shutil.copytree(files, tmp_path / "other", ignore=shutil.ignore_patterns("many"))
    (other / "picture.jpg").rename(other / "renamed.jpg")
    assert embedded(quickstart(other, "--once")) == 0, "the same content in another directory"
    assert same(place, other), "a view of another directory is replaced, and none of the old files is held back"
    wait_until(lambda: not Path(f"/proc/{first}").exists(), 60, "the view before has ended")
    second = view_of(place)
    assert second not in (None, first)

    shutil.copy(other / "renamed.jpg", other / "copy.jpg")
    (other / "notes" / "to do.txt").unlink()
    assert embedded(quickstart(other, "--once")) == 0
    assert same(place, other), "the view was waited for"
    assert view_of(place) == second, "the mounted view is used again"

    os.kill(second or 0, signal.SIGKILL)
    wait_until(lambda: view_of(place) is None, 60, "it is dead")
    assert embedded(quickstart(other, "--once")) == 0
    assert same(place, other), "a dead view is replaced"

    assert "unmounted" in quickstart("--stop")
    assert not (place / "lake").is_mount()
    wait_until(lambda: view_of(place) is None, 60, "the view's process ends")
    assert "nothing is mounted" in quickstart("--stop")
