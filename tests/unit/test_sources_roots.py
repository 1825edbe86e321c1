"""A root that looks wrong in any way is away, and no path leaves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lakewatchd.errors import NotReadable
from lakewatchd.sources import roots
from lakewatchd.sources.roots import Root


def none() -> int:
    return 0


def some() -> int:
    return 7


def test_present(tmp_path: Path) -> None:
    health = roots.look(Root("r", tmp_path), None, none)
    assert not health.is_away and health.identity is not None
    assert not roots.look(Root("r", tmp_path), health.identity, none).is_away


def test_missing_file_and_other_directory_are_away(tmp_path: Path) -> None:
    assert roots.look(Root("r", tmp_path / "no"), None, none).is_away
    (tmp_path / "file").write_text("x")
    assert roots.look(Root("r", tmp_path / "file"), None, none).is_away
    identity = roots.look(Root("r", tmp_path), None, none).identity
    assert identity is not None
    assert roots.look(Root("r", tmp_path), replace(identity, inode=identity.inode + 1), none).is_away
    assert roots.look(Root("r", tmp_path), replace(identity, device=identity.device + 1), none).is_away


def test_empty_is_away_only_while_files_are_known(tmp_path: Path) -> None:
    health = roots.look(Root("r", tmp_path), None, some)
    assert health.is_away and "7 files" in health.reason and "--accept-removals" in health.hint
    assert not roots.look(Root("r", tmp_path), None, none).is_away
    (tmp_path / "x").touch()
    assert not roots.look(Root("r", tmp_path), None, some).is_away


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a\0b", "a/", "."])
def test_no_path_leaves_the_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotReadable):
        roots.local_path(Root("r", tmp_path), path)


def test_local_path(tmp_path: Path) -> None:
    root = Root("r", tmp_path)
    assert roots.local_path(root, "") == tmp_path
    assert roots.local_path(root, "a/..b/c\n") == tmp_path / "a" / "..b" / "c\n"


def test_nothing_is_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/way").symlink_to("../outside")
    root = Root("r", tmp_path / "root")
    assert roots.lstat_inside(root, "way/x") is None
    assert roots.lstat_inside(root, "way") is not None
    assert roots.lstat_inside(root, "no/x") is None
    assert roots.lstat_inside(root, "") is not None
