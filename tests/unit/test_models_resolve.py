"""Choosing models without loading one: fall back, say so, and never mix two."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import pytest

from lakewatchd.config import ModelConfig
from lakewatchd.models import fetch, hub
from lakewatchd.models.base import INFO_FILE, ModelInfo, Role, write_info
from lakewatchd.models.resolve import resolve


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model directory in which the embedded parts seem complete."""
    for part in fetch.PARTS.values():
        path = part.path(tmp_path)
        path.mkdir(parents=True)
        (path / part.weights).touch()
        write_info(path / INFO_FILE, part.info)
    return tmp_path


@pytest.fixture(autouse=True)
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Add a module's name to hide it."""
    hidden: set[str] = set()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in hidden else object())
    return hidden


def local_clip(path: Path, weights: bytes = b"w", dim: int = 512) -> str:
    path.mkdir(exist_ok=True)
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"embed_dim": dim}}))
    (path / "model.safetensors").write_bytes(weights)
    return f"local-dir:{path}"


def test_embedded_models_are_known_without_loading(models: Path):
    resolved = resolve(ModelConfig(), models)
    assert resolved.problems == ()
    assert {role: spec.info for role, spec in resolved.specs.items()} == {
        role: part.info for role, part in fetch.PARTS.items()
    }
    assert resolved.specs[Role.IMAGE_TEXT].location == f"local-dir:{models}/embedded/clip"


def test_nothing_fetched_is_a_problem_for_each_role_and_no_crash(tmp_path: Path):
    resolved = resolve(ModelConfig(), tmp_path / "nowhere")
    assert resolved.specs == {}
    assert {problem.role for problem in resolved.problems} == set(Role)
    assert all("lakewatchd models fetch" in problem.hint for problem in resolved.problems)


def test_without_torch_the_detector_still_serves(models: Path, everything_installed: set[str]):
    everything_installed |= {"torch"}
    resolved = resolve(ModelConfig(), models)
    assert set(resolved.specs) == {Role.DETECTOR, Role.SPEECH, Role.OCR}
    assert [(problem.role, problem.hint) for problem in resolved.problems] == [
        (Role.IMAGE_TEXT, "pip install 'lakewatchd[clip]'"),
        (Role.TEXT, "pip install 'lakewatchd[clip]'"),
    ]


def test_off_is_a_choice_and_no_problem(models: Path):
    resolved = resolve(ModelConfig(detector="off", text="off", speech="off", ocr="off"), models)
    assert set(resolved.specs) == {Role.IMAGE_TEXT}
    assert resolved.problems == ()


def test_without_faster_whisper_nothing_is_heard_and_the_extra_is_named(models: Path, everything_installed: set[str]):
    everything_installed |= {"faster_whisper"}
    resolved = resolve(ModelConfig(speech="small"), models)
    assert resolved.info(Role.SPEECH) is None and resolved.info(Role.TEXT) is not None
    assert [problem.hint for problem in resolved.problems] == ["pip install 'lakewatchd[speech]'"]


def test_a_directory_of_a_speech_model(models: Path, tmp_path: Path):
    path = tmp_path / "whisper"
    path.mkdir()
    (path / "model.bin").write_bytes(b"w")
    (path / "config.json").write_text('{"hidden_size": 3}')
    (problem,) = resolve(ModelConfig(speech=f"local-dir:{path}"), models).problems
    assert "not a complete model directory" in problem.message, "a model of something else"
    (path / "config.json").write_text('{"lang_ids": [50259]}')
    resolved = resolve(ModelConfig(speech=f"local-dir:{path}"), models)
    info = resolved.info(Role.SPEECH)
    assert info is not None and info.name == "whisper" and resolved.problems == ()
    assert resolved.specs[Role.SPEECH].location == str(path)


@pytest.mark.parametrize(
    "setting", ["local-dir:/does/not/exist", "hf-hub:org/model", "ViT-B-32/laion2b", "", "local-dir:"]
)
def test_what_cannot_be_had_is_replaced_and_reported(models: Path, setting: str):
    resolved = resolve(ModelConfig(image_text=setting), models)
    assert resolved.info(Role.IMAGE_TEXT) == fetch.CLIP.info
    (problem,) = resolved.problems
    assert problem.role is Role.IMAGE_TEXT
    assert problem.hint


def test_a_local_model_is_told_apart_by_its_weights(models: Path, tmp_path: Path):
    setting = local_clip(tmp_path / "mine", b"one")
    first = resolve(ModelConfig(image_text=setting), models).info(Role.IMAGE_TEXT)
    again = resolve(ModelConfig(image_text=setting), models).info(Role.IMAGE_TEXT)
    assert first == again
    assert first is not None and (first.name, first.dim) == ("mine", 512)
    local_clip(tmp_path / "mine", b"two")
    os.utime(tmp_path / "mine" / "model.safetensors", ns=(1, 1))
    other = resolve(ModelConfig(image_text=setting), models).info(Role.IMAGE_TEXT)
    assert other is not None and other.transform_config != first.transform_config


def test_a_moved_model_is_the_same_model(models: Path, tmp_path: Path):
    local_clip(tmp_path / "a")
    first = resolve(ModelConfig(image_text=f"local-dir:{tmp_path}/a"), models).info(Role.IMAGE_TEXT)
    (tmp_path / "a").rename(tmp_path / "b")
    second = resolve(ModelConfig(image_text=f"local-dir:{tmp_path}/b"), models).info(Role.IMAGE_TEXT)
    assert first is not None and second is not None
    assert first.transform_config == second.transform_config


def test_who_loads_a_detector_is_part_of_what_it_is(models: Path, tmp_path: Path, everything_installed: set[str]):
    (tmp_path / "own.onnx").write_bytes(b"o")
    one, other = (
        resolve(ModelConfig(detector=f"{prefix}{tmp_path}/own.onnx"), models).info(Role.DETECTOR)
        for prefix in ("", "ultralytics:")
    )
    assert one is not None and other is not None and one.name == other.name == "own.onnx"
    assert one.transform_config != other.transform_config


def test_a_hub_model_is_known_once_it_was_learned(models: Path):
    info = ModelInfo(Role.TEXT, "org/encoder", 768, "d")
    path = hub._record(Role.TEXT, "org/encoder", models)
    path.parent.mkdir()
    write_info(path, info)
    resolved = resolve(ModelConfig(text="org/encoder"), models)
    assert resolved.problems == ()
    assert resolved.specs[Role.TEXT].location == "org/encoder"
    assert resolved.info(Role.TEXT) == info


def test_a_detector_of_ones_own(models: Path, tmp_path: Path):
    (tmp_path / "own.onnx").write_bytes(b"onnx")
    resolved = resolve(ModelConfig(detector=str(tmp_path / "own.onnx")), models)
    assert resolved.problems == ()
    assert resolved.specs[Role.DETECTOR].location == str(tmp_path / "own.onnx")
    assert resolved.info(Role.DETECTOR) != fetch.DETECTOR.info


def test_a_read_only_model_directory_can_be_used(models: Path, tmp_path: Path):
    (models / "digests").write_text("in the way")  # nothing can be kept here
    setting = local_clip(tmp_path / "mine")
    assert resolve(ModelConfig(image_text=setting), models).problems == ()


def test_transforms_do_not_depend_on_what_a_model_is_called():
    info = ModelInfo(Role.TEXT, "a", 3, "d")
    assert info.transform_config == dataclasses.replace(info, name="b").transform_config
    assert info.transform_config != dataclasses.replace(info, digest="e").transform_config
