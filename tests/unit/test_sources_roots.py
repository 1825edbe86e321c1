"""A root that looks wrong in any way is away, and no path leaves it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lakewatchd.core.asset import PathKey, Version
from lakewatchd.errors import NotReadable, RootAway
from lakewatchd.sources import roots
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.place import Place
from lakewatchd.sources.roots import Root


def none() -> int:
    return 0


def seven() -> int:
    return 7


def yes() -> bool:
    return True


def no() -> bool:
    return False


def test_present(tmp_path: Path) -> None:
    health = roots.recognise(Root("r", tmp_path), None, none, no)
    assert not health.is_away and health.identity is not None
    assert not roots.same(Root("r", tmp_path), health.identity, none).is_away


def test_missing_file_and_other_directory_are_away(tmp_path: Path) -> None:
    for path in (tmp_path / "no", tmp_path / "file"):
        assert roots.same(Root("r", path), None, none).is_away
        assert roots.recognise(Root("r", path), None, none, yes).is_away
        (tmp_path / "file").write_text("x")
    identity = roots.look(Root("r", tmp_path))[0].identity
    assert identity is not None
    assert roots.same(Root("r", tmp_path), replace(identity, inode=identity.inode + 1), none).is_away
    assert roots.same(Root("r", tmp_path), replace(identity, device=identity.device + 1), none).is_away


@pytest.mark.parametrize(
    "change", [{"device": 1}, {"inode": 1}, {"source": "nas:/other"}, {"file_system": "nfs4"}, {"file_system_id": 1}]
)
def test_another_identity_needs_a_sample_of_what_is_known(tmp_path: Path, change: dict[str, int | str]) -> None:
    (tmp_path / "stray.txt").touch()
    root = Root("r", tmp_path)
    found = roots.look(root)[0].identity
    assert found is not None
    before = replace(found, **change)  # type: ignore[arg-type]
    assert not roots.recognise(root, found, seven, no).is_away
    assert roots.recognise(root, before, seven, yes).identity == found
    assert not roots.recognise(root, before, none, no).is_away
    for recorded in (before, None):
        health = roots.recognise(root, recorded, seven, no)
        assert health.is_away and "known in it" in health.reason and "--accept-removals" in health.hint


def test_an_identity_is_written_and_read(tmp_path: Path) -> None:
    found = roots.look(Root("r", tmp_path))[0].identity
    assert found is not None and roots.Identity.from_text(found.to_text()) == found
    for text in ("", "{}", "[]", "7", '{"device": 1}'):
        assert roots.Identity.from_text(text) is None


def test_empty_is_away_only_while_files_are_known(tmp_path: Path) -> None:
    root = Root("r", tmp_path)
    identity = roots.look(root)[0].identity
    for health in (roots.same(root, None, seven), roots.recognise(root, identity, seven, yes)):
        assert health.is_away and "7 files" in health.reason and "--accept-removals" in health.hint
    assert not roots.same(root, None, none).is_away
    (tmp_path / "x").touch()
    assert not roots.same(root, None, seven).is_away


def test_a_root_without_its_marker_is_away(tmp_path: Path) -> None:
    root = Root("r", tmp_path, ".marker [1]")
    (tmp_path / "x").touch()
    health = roots.recognise(root, None, none, yes)
    assert health.is_away and "lacks its marker" in health.reason and "touch" in health.hint
    (tmp_path / root.marker).touch()
    assert not roots.recognise(root, None, none, yes).is_away
    rules = IgnoreRules(tmp_path, root.rules)
    assert rules.why_ignored(root.marker) and not rules.why_ignored("d/" + root.marker)


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


def test_a_mount_that_died_is_away_and_its_files_are_not_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its files answers so until the root is looked at again."""
    place = Place(Root("r", tmp_path), IgnoreRules(tmp_path, ()), Nothing())

    def died(path: object) -> os.stat_result:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr(os, "lstat", died)
    with pytest.raises(NotReadable):
        place.version_or_away("a.jpg")
    monkeypatch.setattr(Path, "stat", died)
    with pytest.raises(RootAway):
        place.version_or_away("a.jpg")


class Nothing:
    """Nothing is known."""

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        return {}

    def subdirectories(self, root: str, dir: str) -> set[str]:
        return set()

    def under(self, root: str, dir: str) -> Iterator[PathKey]:
        return iter(())

    def count(self, root: str) -> int:
        return 0
