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

from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon, make_tree, wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    base = tmp_path_factory.mktemp("follows")
    trip = {f"trip/{i}.txt": f"day {i}\n" for i in range(20)}
    root = make_tree(base / "nas", trip | {"notes.md": "# Notes\n", "stays.md": "# Stays\n", "open.txt": "as it was\n"})
    (base / "d" / "mnt").mkdir(parents=True)
    with LiveDaemon(base / "d", root, settings=WITHOUT_MODELS) as running:
        running.wait_idle()
        argv = [sys.executable, "-m", "lakewatchd", "--config", str(running.config), "mount"]
        view = subprocess.Popen(argv)
        try:
            wait_until((base / "d" / "mnt").is_mount, 60, "the view is mounted")
            yield running
        finally:
            view.terminate()
            assert view.wait(60) == 0


def same_trees(root: Path, shown: Path) -> bool:
    """Every file of the root is shown with equal bytes, and nothing else is."""

    def files(base: Path) -> set[str]:
        return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}

    try:
        names = files(root)
        return names == files(shown) and all(filecmp.cmp(root / name, shown / name, shallow=False) for name in names)
    except OSError:  # something moved between listing and looking
        return False


def test_the_view_follows_copies_renames_edits_and_removals(daemon: LiveDaemon) -> None:
    root, lake = daemon.root, daemon.base / "mnt"
    shown = lake / "by-root" / "nas"
    wait_until(lambda: same_trees(root, shown), 60, "all is shown")

    make_tree(root, {"new/deep/er.txt": "deep\n", "copy.txt": "day 3\n"})
    wait_until(lambda: same_trees(root, shown), 60, "copied in")
    (root / "trip").rename(root / "journey")
    wait_until(lambda: same_trees(root, shown), 60, "a directory moved")
    (root / "notes.md").write_text("# Other notes\n\nlonger than before\n")
    wait_until(lambda: same_trees(root, shown), 60, "edited")
    shutil.rmtree(root / "journey")
    wait_until(lambda: same_trees(root, shown), 60, "removed")
    names = {path.name for path in root.rglob("*") if path.is_file()}
    wait_until(lambda: set(os.listdir(lake / "by-kind" / "document")) == names, 60, "by-kind")


def test_an_open_file_survives_its_removal(daemon: LiveDaemon) -> None:
    shown = daemon.base / "mnt" / "by-root" / "nas" / "open.txt"
    wait_until(shown.exists, 60, "it is in the view")
    with shown.open() as open_file:
        (daemon.root / "open.txt").unlink()
        wait_until(lambda: not shown.exists(), 60, "it is gone from the view")
        assert open_file.read() == "as it was\n"


def test_the_view_is_read_only_and_the_originals_are_untouched(daemon: LiveDaemon) -> None:
    before = {path: path.stat() for path in daemon.root.rglob("*")}
    shown = daemon.base / "mnt" / "by-root" / "nas" / "stays.md"
    wait_until(shown.exists, 60, "it is in the view")
    assert shown.read_text() == "# Stays\n"
    for attempt in (shown.unlink, lambda: shown.write_text("x"), lambda: shown.rename(shown.with_name("other.md"))):
        with pytest.raises(OSError, match="Read-only file system"):
            attempt()
    after = {path: path.stat() for path in daemon.root.rglob("*")}
    assert {p: (s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p, s in before.items()} == {
        p: (s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p, s in after.items()
    }
