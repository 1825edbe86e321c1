"""``lakewatchd search``: what it prints for people, pipes and scripts, and its exit codes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
from lake_rows import DIMS, batch

from lakewatchd.cli.main import main
from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import PathKey
from lakewatchd.core.found import Found
from lakewatchd.core.wire import from_json
from lakewatchd.lake.tables import LakeWriter, serving

NAMES = ("plain.jpg", "new\nline \udcff.jpg")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a lake with two files, one with a name that is trouble. No daemon runs."""
    base = tmp_path_factory.mktemp("search")
    (base / "nas").mkdir()
    asyncio.run(_fill(base / "state"))
    path = base / "lakewatchd.toml"
    path.write_text(
        f'[[root]]\nname = "nas"\npath = "{base}/nas"\n'
        f'[daemon]\nstate_dir = "{base}/state"\nruntime_dir = "{base}/run"\n'
    )
    return str(path)


async def _fill(state: Path) -> None:
    writer = await LakeWriter.open(state / "lake", state / "thumbnails.db", DIMS, LakeConfig(commit_s=0.01), sync=False)
    async with serving(writer):
        for number, name in enumerate(NAMES, 1):
            whole = batch(number)
            gold = dataclasses.replace(whole.gold[0], title="A \x1b[31mred car", best=PathKey("nas", name))
            await writer.submit(dataclasses.replace(whole, gold=(gold,)))


def search(config: str, *args: str) -> int:
    return main(["--config", config, "search", "--words-only", *args])


def test_for_people(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(config, "red", "car", "in", "2023", "--explain") == 0
    out, err = capsys.readouterr()
    assert "/nas/plain.jpg  image, 2023-02-01" in out and "words #" in out and "\x1b" not in out
    assert "since 2023-01-01, until 2024-01-01 (in 2023); in quotes it is only words" in err


def test_a_word_that_must_not_be_there_may_come_first(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(config, "-car", "--explain") == 1, "both say it"
    assert search(config, "-boat", "red") == 0
    assert "without boat (-boat)" in capsys.readouterr().err
    assert search(config, "--object", "se") == 1
    assert "no 'se' was seen; did you mean 'sea'?" in capsys.readouterr().err


def test_for_pipes_and_scripts(config: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert search(config, "red", "--print0") == 0
    paths = capsysbinary.readouterr().out.split(b"\0")[:-1]
    assert sorted(path.rpartition(b"/nas/")[2] for path in paths) == [b"new\nline \xff.jpg", b"plain.jpg"]
    assert search(config, "--kind", "image", "--json", "--limit", "1") == 0
    found = from_json(Found, json.loads(capsysbinary.readouterr().out))
    assert (len(found.hits), found.total) == (1, 2)


def test_nothing_found_and_nothing_that_can_be_asked(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(config, "submarine") == 1
    assert "nothing like that here" in capsys.readouterr().err
    assert search(config) == 1
    assert "say what to look for" in capsys.readouterr().err
    for args, said in (
        (("--where", "kidn = 'x'"), "did you mean kind?"),
        (("--since", "soon"), "is no day"),
        (("--near", "here"), "for example: --near"),
        (("--like", "/nowhere"), "is no file"),
        (("--limit", "0"), "ask for 1 to"),
        (("--but", "at night"), "--like FILE"),
    ):
        assert search(config, *args) == 2, args
        assert said in capsys.readouterr().err, args
