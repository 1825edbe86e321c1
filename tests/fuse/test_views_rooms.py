"""Promises of the folders that ask somebody, asked of the kernel: ``search``, ``similar``, ``.lake``."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.fuse

Lake = Any  # the fixture's class lives in conftest
Wait = Callable[[Callable[[], bool]], None]

PROBES = (
    ".hidden",
    ".Trash-1000",
    ".xdg-volume-info",
    "desktop.ini",
    "autorun.inf",
    "Thumbs.db",
    "folder.jpg",
    "a.txt~",
)


def notes(file: Path) -> dict[str, str]:
    return {name.removeprefix("user.lakewatchd."): os.getxattr(file, name).decode() for name in os.listxattr(file)}


def test_a_search_is_a_folder_once_it_is_named(lake: Lake, wait_until: Wait) -> None:
    sea, bay = lake.add("a/sea.jpg", b"sea"), lake.add("b/bay.jpg", b"bay", caption="")
    new = lake.index("c/new.jpg", b"new", presence="gone")
    lake.answers({
        "red sea": {"hits": [bay, "0" * 64, sea]},
        "the/sea": {"hits": [sea], "is_partial": ["picture"]},
        "nothing": {"advice": ["Did you mean sea?"]},
    })  # fmt: skip
    lake.start()
    search = lake.mount / "search"
    assert os.listdir(search) == ["README.txt"]

    assert (search / "red sea").is_dir()
    for probe in PROBES:
        assert not (search / probe).exists()
        assert not (search / "red sea" / probe).exists()
    assert not lake.asked  # whoever only looks whether there is such a folder asks nobody
    assert os.listdir(search) == ["README.txt"]

    assert sorted(os.listdir(search / "red sea")) == ["0001 bay.jpg", "0002 sea.jpg"]
    assert (search / "red sea" / "0001 bay.jpg").read_bytes() == b"bay"
    assert notes(search / "red sea" / "0001 bay.jpg") == {
        "asset": bay, "origin": str(lake.root / "b/bay.jpg"), "tags": "sea", "category": "people",
        "score": "1.0000", "rank": "1", "doors": "picture", "start_s": "12.5", "snippet": "a red car",
    }  # fmt: skip
    assert not (search / "red sea" / "0001 sea.jpg").exists()
    assert "picture" in (search / "the%2Fsea" / "README.txt").read_text()
    assert (search / "nothing" / "README.txt").read_text() == "Nothing was found.\nDid you mean sea?\n"
    assert sorted(os.listdir(search)) == ["README.txt", "nothing", "red sea", "the%2Fsea"]
    assert lake.asked == ["red sea", "the/sea", "nothing"]

    lake.answers({"red sea": {"hits": [new, bay]}})
    lake.add("c/new.jpg", b"new")  # whatever changes in the lake makes old answers old
    wait_until(lambda: sorted(os.listdir(search / "red sea")) == ["0001 new.jpg", "0002 bay.jpg"])
    assert (search / "red sea" / "0001 new.jpg").read_bytes() == b"new"


def test_hostile_searches_are_questions_or_nothing(lake: Lake) -> None:
    asset = lake.add("x" * 251 + ".jpg", b"long")
    names = ["'; DROP TABLE gold; --", "💥" * 60, "-rf", "%", "a\nb", "*", "x" * 255]
    lake.answers({name: {"hits": [asset]} for name in names})
    lake.start()
    for name in names:
        (found,) = os.listdir(lake.mount / "search" / name)
        assert found.startswith("0001 x") and found.endswith(".jpg") and len(found) <= 255
        assert (lake.mount / "search" / name / found).read_bytes() == b"long"
    assert lake.asked == names
    for name in (b"\xff\xfe", b" ", b"%00", b"%ED%A0%80"):
        assert not os.path.exists(os.fsencode(lake.mount / "search") + b"/" + name)  # noqa: PTH110
    for number in range(100):
        os.listdir(lake.mount / "search" / f"many {number}")
    assert len(os.listdir(lake.mount / "search")) == 65
    with pytest.raises(FileNotFoundError):
        os.listdir(lake.mount / "search" / "many 1" / "more")


def test_who_waits_for_a_server_that_is_silent_waits_alone(lake: Lake) -> None:
    """More than can be served at a time, were each of them to hold a place."""
    asset = lake.add("a.jpg", b"a")
    answers: dict[str, dict[str, object]] = {"away": {"error": "nobody listens"}, asset: {"hits": [asset]}}
    lake.answers({"slow": {"waits": True}, **answers})
    lake.start()
    assert os.listdir(lake.mount / "search" / "away") == ["README.txt"]
    said = (lake.mount / "search" / "away" / "README.txt").read_text()
    assert "nobody listens" in said and "start it" in said
    waiting = [subprocess.Popen(["ls", lake.mount / "search" / "slow"], stdout=subprocess.PIPE) for _ in range(150)]
    try:
        while "slow" not in lake.asked:
            time.sleep(0.01)
        assert (lake.mount / "by-tag" / "sea" / "a.jpg").read_bytes() == b"a"
        assert os.listdir(lake.mount / "similar" / "a.jpg") == ["0001 a.jpg"]
        assert any(one.poll() is None for one in waiting)
        lake.answers(answers)
        for one in waiting:
            assert one.communicate()[0] == b"README.txt\n"
        assert lake.asked.count("slow") == 1
    finally:
        for one in waiting:
            one.kill()
            one.wait()


def test_without_a_server_a_search_says_so(lake: Lake) -> None:
    lake.add("a.jpg", b"a")
    lake.start()
    assert "without a way to ask" in (lake.mount / "search" / "sea" / "README.txt").read_text()
    assert json.loads((lake.mount / ".lake" / "status.json").read_bytes())["daemon"] is None


def test_similar_files_are_named_by_name_or_by_asset(lake: Lake) -> None:
    one, other, near = lake.add("1/x.jpg", b"1"), lake.add("2/x.jpg", b"2"), lake.add("y.jpg", b"3")
    lake.answers({one: {"hits": [near]}, other: {"hits": [near, one]}, near: {"hits": [one]}})
    lake.start()
    similar = lake.mount / "similar"
    assert not (similar / "z.jpg").exists()
    assert os.listdir(similar / "y.jpg") == ["0001 x.jpg"]
    assert sorted(os.listdir(similar / "x.jpg")) == ["0001 y.jpg", "README.txt"]
    assert one in (similar / "x.jpg" / "README.txt").read_text()
    assert sorted(os.listdir(similar / other)) == ["0001 y.jpg", "0002 x.jpg"]
    assert not (similar / ("0" * 64)).exists()


def test_every_folder_has_a_list_and_a_playlist(lake: Lake, wait_until: Wait) -> None:
    film = lake.add("tëst #1.mp4", b"film", kind="video")
    lake.add("a.jpg", b"a")
    lake.add("two\nlines.mp4", b"other", kind="video")
    lake.answers({"red sea": {"hits": [film]}})
    lake.start()
    about = lake.mount / ".lake"
    assert set(os.listdir(about)) == {"README.txt", "status.json"}
    status = json.loads((about / "status.json").read_bytes())
    assert (status["view"]["files"], status["daemon"]) == (3, {"headline": "all is well"})
    folder = about / "by-tag" / "sea"
    assert set(os.listdir(folder)) == {"index.json", "sea.m3u8"}
    index = json.loads((folder / "index.json").read_bytes())
    assert {file["name"] for file in index["files"]} == {"tëst #1.mp4", "a.jpg", "two\nlines.mp4"}
    assert {file["name"]: file["kind"] for file in index["files"]}["a.jpg"] == "image"
    assert (folder / "index.json").stat().st_size == len((folder / "index.json").read_bytes())
    first, *lines = (folder / "sea.m3u8").read_text().splitlines()
    assert first == "#EXTM3U"
    assert [(folder / line).read_bytes() for line in lines if not line.startswith("#")] == [b"film"]
    found = about / "search" / "red sea"
    assert json.loads((found / "index.json").read_bytes())["files"][0]["start_s"] == "12.5"
    assert (found / (found / "red sea.m3u8").read_text().splitlines()[-1]).read_bytes() == b"film"
    for missing in ("by-tag/none", "by-tag/sea/a.jpg", ".lake", "by-tag/sea/index.json/index.json"):
        assert not (about / missing).exists()
    lake.add("b.jpg", b"b")
    wait_until(lambda: len(json.loads((folder / "index.json").read_bytes())["files"]) == 4)


def test_two_hundred_programs_read_at_once(lake: Lake) -> None:
    contents = {f"{number}.bin": os.urandom(300_000) for number in range(8)}
    for name, content in contents.items():
        lake.add(name, content)
    lake.answers({"sea": {"hits": []}})
    lake.start()

    def read(number: int) -> bool:
        name = f"{number % len(contents)}.bin"
        os.listdir(lake.mount / "search" / "sea")
        return (lake.mount / "by-tag" / "sea" / name).read_bytes() == contents[name]

    with concurrent.futures.ThreadPoolExecutor(200) as programs:
        assert all(programs.map(read, range(800)))
