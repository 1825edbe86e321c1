"""``lakewatchd taxonomy``: for people and for scripts, and never a traceback for a mistake in the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakewatchd.cli.main import main

SHIPPED = str(Path(__file__).parents[2] / "etc" / "taxonomy.toml")


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "bad\x1b[31m.toml"
    path.write_text("[category.pets.tags]\ncat = { threshold = 9 }\ndog = { objects = ['dogg'] }\n")
    return str(path)


def test_check_of_a_good_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "check", SHIPPED]) == 0
    assert "no problem" in capsys.readouterr().err


def test_check_names_every_problem_and_its_line(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "check", broken]) == 78
    out = capsys.readouterr().out
    assert ".toml:2: threshold" in out and ".toml:3: " in out and "did you mean 'dog'" in out
    assert "\x1b" not in out


def test_check_for_scripts(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "check", broken, "--json"]) == 78
    answer = json.loads(capsys.readouterr().out)
    assert [problem["line"] for problem in answer["problems"]] == [2, 3]
    assert (answer["categories"], answer["tags"]) == (1, 2)


def test_list(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "list", SHIPPED, "--json"]) == 0
    assert "cat" in json.loads(capsys.readouterr().out)["pets"]
    assert main(["taxonomy", "list", broken]) == 78
    assert "2 problems" in capsys.readouterr().err


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "check", str(tmp_path / "none.toml")]) == 78
    assert "No such file" in capsys.readouterr().err
