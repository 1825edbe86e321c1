"""Models from a hub: fetched once, when a person asks, and from then on loaded without the network.

What a hub model is (its vector size, the digest of its weights) is learned by loading it and kept in
``<model_dir>/known/``; the downloads lie in ``<model_dir>/hub/``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from lakewatchd import errors
from lakewatchd.child import Child, Json
from lakewatchd.config import ModelConfig
from lakewatchd.models.base import ModelInfo, ModelSpec, Role, read_info, write_info

WORKER = "lakewatchd.models.worker"
EMBEDDED, OFF, LOCAL_DIR = "embedded", "off", "local-dir:"
"""Settings that name no hub model."""
LEARN_DEADLINE_S = 4 * 3600.0
_OF_THE_MACHINE = (
    "CUDA", "NVIDIA_", "HIP_", "HSA_", "ROC", "MIOPEN_", "TORCH", "PYTORCH_", "ORT_",
    "OMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "HOME", "TMPDIR", "XDG_CACHE_HOME",
)  # fmt: skip


def fetch_configured(
    config: ModelConfig, model_dir: Path, progress: Callable[[str], None] = lambda _line: None
) -> tuple[errors.ModelUnavailable, ...]:
    """Learn every configured hub model that is not known yet. Returns why some cannot be had. Blocks."""
    problems = []
    for role in (Role.IMAGE_TEXT, Role.TEXT, Role.SPEECH):
        name = str(getattr(config, role.value))
        is_hub = name not in (EMBEDDED, OFF) and not name.startswith(LOCAL_DIR)
        if is_hub and recall(role, name, model_dir) is None:
            try:
                asyncio.run(learn(role, name, model_dir, config, progress))
            except errors.ModelUnavailable as exc:
                problems.append(exc)
    return tuple(problems)


def recall(role: Role, name: str, model_dir: Path) -> ModelInfo | None:
    return read_info(_record(role, name, model_dir))


async def learn(
    role: Role, name: str, model_dir: Path, config: ModelConfig, progress: Callable[[str], None] = lambda _line: None
) -> ModelInfo:
    """Load ``name`` with the network allowed and record what it is. Raises :class:`errors.ModelUnavailable`."""
    note: Callable[[Json], None] = lambda said: progress(str(said.get("text")))  # noqa: E731
    child = Child(WORKER, env=environment(config, model_dir, offline=False), on_note=note)
    spec = ModelSpec(ModelInfo(role, name, 0, ""), name)
    try:
        reply = await child.call("load", {**load_args(spec, config), "with_digest": True}, deadline_s=LEARN_DEADLINE_S)
    except errors.WorkerDied as exc:
        raise errors.ModelUnavailable(f"{name} cannot be loaded: {exc.message}", "is there enough memory?") from exc
    finally:
        await child.close()
    info = ModelInfo(role, name, int(str(reply.header["dim"])), str(reply.header["digest"]))
    path = _record(role, name, model_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_info(path, info)
    return info


def _record(role: Role, name: str, model_dir: Path) -> Path:
    return model_dir / "known" / f"{hashlib.sha256(f'{role.value} {name}'.encode()).hexdigest()[:32]}.json"


def load_args(spec: ModelSpec, config: ModelConfig) -> Json:
    """How every request names its model, so that a child that was started afresh needs no introduction."""
    return {
        "role": spec.info.role.value,
        "name": spec.info.name,
        "location": spec.location,
        "device": config.device,
        "threads": config.threads,
    }


def of_the_machine(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the daemon's environment says of devices, threads and places; its secrets are no worker's business."""
    return {name: value for name, value in environ.items() if name.startswith(_OF_THE_MACHINE)}


def environment(config: ModelConfig, model_dir: Path, *, offline: bool = True) -> dict[str, str]:
    """For a worker: no network unless asked for, no telemetry, nothing written outside ``model_dir``, few threads."""
    threads = str(max(1, config.threads))
    return {
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "TRANSFORMERS_OFFLINE": "1" if offline else "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HOME": str(model_dir / "hub"),
        "HF_HUB_CACHE": str(model_dir / "hub"),
        "YOLO_CONFIG_DIR": str(model_dir / "hub"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PYTHONWARNINGS": "ignore",
    }
