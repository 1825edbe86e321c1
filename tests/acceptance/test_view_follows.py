"""The daemon and the mounted view together: what lies in the folders is what lies on the NAS."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakewatchd.testing import LiveDaemon, make_tree, wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240)]

WITHOUT_MODELS = '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    root = tmp_path / "nas"
    make_tree(root, {f"trip/{i}.txt": f"day {i}\n" for i in range(20)} | {"notes.md": "# Notes\n"})
    (tmp_path / "d" / "mnt").mkdir(parents=True)
    with LiveDaemon(tmp_path / "d", root, settings=WITHOUT_MODELS) as running:
        running.wait_idle()
        argv = [sys.executable, "-m", "lakewatchd", "--config", str(running.config), "mount"]
        view = subprocess.Popen(argv)
        try:
            wait_until((tmp_path / "d" / "mnt").is_mount, 60, "the view is mounted")
            yield running
        finally:
            view.terminate()
            assert view.wait(30) == 0


def same_trees(root: Path, shown: Path) -> bool:
    """Every file of the root is shown with equal bytes, and nothing else is."""

    def files(base: Path) -> set[str]:
        return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}

    try:
        names = files(root)
        return names == files(shown) and all(filecmp.cmp(root / name, shown / name, shallow=False) for name in names)
    except OSError:  # something moved between listing and looking
        return False


def test_the_view_follows_copies_renames_edits_and_removals(daemon: LiveDaemon, tmp_path: Path) -> None:
    root, lake = daemon.root, tmp_path / "d" / "mnt"
    shown = lake / "by-root" / "nas"
    wait_until(lambda: same_trees(root, shown), 30, "all is shown")

    make_tree(root, {"new/deep/er.txt": "deep\n", "copy.txt": "day 3\n"})
    wait_until(lambda: same_trees(root, shown), 60, "copied in")
    (root / "trip").rename(root / "journey")
    wait_until(lambda: same_trees(root, shown), 60, "a directory moved")
    (root / "notes.md").write_text("# Other notes\n\nlonger than before\n")
    wait_until(lambda: same_trees(root, shown), 60, "edited")
    shutil.rmtree(root / "journey")
    wait_until(lambda: same_trees(root, shown), 60, "removed")
    kinds = lake / "by-kind" / "document"
    wait_until(lambda: sorted(os.listdir(kinds)) == ["copy.txt", "er.txt", "notes.md"], 60, "by-kind")


def test_an_open_file_survives_its_removal(daemon: LiveDaemon, tmp_path: Path) -> None:
    shown = tmp_path / "d" / "mnt" / "by-root" / "nas"
    with (shown / "trip" / "5.txt").open() as open_file:
        (daemon.root / "trip" / "5.txt").unlink()
        wait_until(lambda: not (shown / "trip" / "5.txt").exists(), 60, "it is gone from the view")
        assert open_file.read() == "day 5\n"


def test_the_view_is_read_only_and_the_originals_are_untouched(daemon: LiveDaemon, tmp_path: Path) -> None:
    before = {path: path.stat() for path in daemon.root.rglob("*")}
    shown = tmp_path / "d" / "mnt" / "by-root" / "nas" / "notes.md"
    assert shown.read_text() == "# Notes\n"
    for attempt in (shown.unlink, lambda: shown.write_text("x"), lambda: shown.rename(shown.with_name("other.md"))):
        with pytest.raises(OSError, match="Read-only file system"):
            attempt()
    after = {path: path.stat() for path in daemon.root.rglob("*")}
    assert {p: (s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p, s in before.items()} == {
        p: (s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p, s in after.items()
    }
