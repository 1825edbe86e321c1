"""Ignore rules: what gitignore promises, on trees and ignore files that mean harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakewatchd.config import IGNORE_DEFAULT
from lakewatchd.errors import ConfigError
from lakewatchd.sources.ignore import IGNORE_FILE, OWN, SPECIAL, SYMLINK, IgnoreRules
from lakewatchd.testing import make_tree


def rules(base: Path, *patterns: str) -> IgnoreRules:
    return IgnoreRules(base, patterns)


@pytest.mark.parametrize(
    ("path", "is_dir", "why"),
    [
        ("a/film.part", False, "config: *.part"),
        ("a/film.part.mkv", False, None),
        ("deep/@eaDir/x.jpg", False, "config: @eaDir"),
        ("~$letter.docx", False, "config: ~$*"),
        ("notes~", False, "config: *~"),
        (".Trash-1000/photo.jpg", False, "config: .Trash-*"),
        ("Trash-1000/photo.jpg", False, None),
        ("$RECYCLE.BIN", True, "config: $RECYCLE.BIN"),
        ("", True, None),
    ],
)
def test_default_rules(tmp_path: Path, path: str, is_dir: bool, why: str | None) -> None:
    assert rules(tmp_path, *IGNORE_DEFAULT).why_ignored(path, is_dir) == why


def test_a_name_that_ends_with_a_newline_is_another_name(tmp_path: Path) -> None:
    assert rules(tmp_path, "*.raw", "x*y.raw").why_ignored("a.raw\n") is None
    assert rules(tmp_path, "x*y.raw").why_ignored("x\ny.raw") == "config: x*y.raw"


def test_undecodable_names_match_like_any_other(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.raw")
    assert rules(tmp_path, "*.raw").why_ignored(name) == "config: *.raw"


def test_ignore_files_nest_the_deepest_and_last_decides(tmp_path: Path) -> None:
    make_tree(tmp_path, {".lakeignore": "*.raw\n!keep.raw\n", "a/b/.lakeignore": "!*.raw\nsecret.raw\n"})
    judge = rules(tmp_path)
    assert judge.why_ignored("x.raw") == ".lakeignore: *.raw"
    assert judge.why_ignored("keep.raw") is None
    assert judge.why_ignored("a/x.raw") == ".lakeignore: *.raw"
    assert judge.why_ignored("a/b/x.raw") is None
    assert judge.why_ignored("a/b/secret.raw") == ".lakeignore in a/b: secret.raw"


def test_an_ignore_file_brings_back_what_the_config_leaves_out(tmp_path: Path) -> None:
    make_tree(tmp_path, {".lakeignore": "!*.tmp"})
    assert rules(tmp_path, "*.tmp").why_ignored("a.tmp") is None


def test_nothing_below_an_ignored_directory_comes_back(tmp_path: Path) -> None:
    make_tree(tmp_path, {".lakeignore": "out/\n!out/keep", "out/.lakeignore": "!*"})
    assert rules(tmp_path).why_ignored("out/keep") == ".lakeignore: out/"


def test_all_but_one_directory(tmp_path: Path) -> None:
    make_tree(tmp_path, {".lakeignore": "/*\n!/photos/\n", "sub/.lakeignore": "keep/**\n!keep/me\n"})
    judge = rules(tmp_path)
    assert judge.why_ignored("photos", is_dir=True) is None
    assert judge.why_ignored("photos/a.jpg") is None
    assert judge.why_ignored("other", is_dir=True) == ".lakeignore: /*"


def test_two_stars_leave_the_directory_itself(tmp_path: Path) -> None:
    judge = rules(tmp_path, "keep/**", "!keep/me")
    assert judge.why_ignored("keep", is_dir=True) is None
    assert judge.why_ignored("keep/me") is None
    assert judge.why_ignored("keep/x") == "config: keep/**"


def test_only_directories_and_anchors(tmp_path: Path) -> None:
    judge = rules(tmp_path, "build/", "/top", "a/b")
    assert judge.why_ignored("build") is None
    assert judge.why_ignored("x/build", is_dir=True) == "config: build/"
    assert judge.why_ignored("top") and judge.why_ignored("x/top") is None
    assert judge.why_ignored("a/b/c") == "config: a/b"
    assert judge.why_ignored("x/a/b") is None


def test_an_edit_holds_at_once_and_a_removed_file_too(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a/.lakeignore": "*.raw"})
    judge = rules(tmp_path)
    assert judge.why_ignored("a/x.raw")
    make_tree(tmp_path, {"a/.lakeignore": "*.rawest"})
    assert judge.why_ignored("a/x.raw") is None
    (tmp_path / "a/.lakeignore").unlink()
    assert judge.why_ignored("a/x.rawest") is None
    assert judge.why_ignored("a/.lakeignore") == IGNORE_FILE


def test_the_cached_answer_reads_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path, {".lakeignore": "*.raw"})
    judge = rules(tmp_path)
    assert judge.why_ignored("x.raw", cached=True) is None
    judge.within("")
    assert judge.why_ignored("x.raw", cached=True) == ".lakeignore: *.raw"


def test_hostile_ignore_files_are_told_and_bounded(tmp_path: Path) -> None:
    make_tree(tmp_path, {".lakeignore": "a*a*a*a*a*b\n*.raw\n\\\n" + "x\n" * 5000})
    judge = rules(tmp_path)
    assert judge.why_ignored("x.raw") == ".lakeignore: *.raw"
    assert judge.why_ignored("a" * 255) is None
    assert any("wildcards" in text for text in judge.problems)
    assert any("first 1000 rules" in text for text in judge.problems)


def test_an_ignore_file_that_is_a_fifo_or_a_directory_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lakeignore")
    (tmp_path / "a/.lakeignore").mkdir(parents=True)
    assert rules(tmp_path).why_ignored("a/x.raw") is None


def test_bad_configured_patterns_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        rules(tmp_path, "ok", "bad\\", "a*b*c*d*e*f")
    assert "bad" in caught.value.message and "a*b*c*d*e*f" in caught.value.message


def test_what_is_no_file_is_left_out_by_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    own = tmp_path / "own"
    own.mkdir()
    status = own.stat()
    judge = IgnoreRules(tmp_path, (), excluded=frozenset({(status.st_dev, status.st_ino)}))
    assert judge.why_special((tmp_path / "pipe").lstat()) == SPECIAL
    assert judge.why_special((tmp_path / "link").lstat()) == SYMLINK
    assert judge.why_special(own.lstat()) == OWN
    assert judge.why_special(tmp_path.lstat()) is None
