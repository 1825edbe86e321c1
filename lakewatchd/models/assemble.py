"""Builds the embedded image-text model: an open_clip checkpoint out of two published networks, without training.

EfficientNet-Lite0 gives the probabilities of 1000 classes, MiniLM the vectors of texts. A picture's vector is the
mean of the vectors of "a photo of <class>", weighted by the probabilities; so pictures and texts share MiniLM's space.
What all class names have in common (they are all photos of things) is projected out on both sides, or every picture
would resemble every text.

Run as a process of its own, ``python -m lakewatchd.models.assemble TEXT_DIR EFFICIENTNET_FILE TARGET_DIR``: it needs
torch, its caller need not hold it. :data:`RECIPE` must change with anything here that changes a vector.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

RECIPE = "lakewatchd-embedded-clip/1"
DIM = 384
CONTEXT_TOKENS = 77
LOGIT_SCALE = 30.0
CHECKPOINT = "open_clip_model.safetensors"
TRUNK = "lakewatchd_efficientnet_lite0"
"""As trunk.py registers it. Not imported from there: torchvision must be made importable before timm is."""
CLASSES = 1000
_TOKENIZER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def assemble(text_dir: Path, efficientnet: Path, target: Path) -> None:
    """Write a complete ``local-dir:`` checkpoint into the existing directory ``target``."""
    for name in _TOKENIZER_FILES:
        shutil.copyfile(text_dir / name, target / name)
    (target / "open_clip_config.json").write_text(json.dumps(_config(), indent=1) + "\n")

    from lakewatchd.models.clip import load_open_clip

    model, tokenize = load_open_clip(f"local-dir:{target}", load_weights=False)
    _load_vision(model, efficientnet)
    _load_text(model, text_dir / "model.safetensors")
    _join(model, tokenize)
    _save(model, target / CHECKPOINT)


def _config() -> dict[str, Any]:
    """``hf_model_name`` is relative to the checkpoint, so that the directory may be moved; clip.py resolves it."""
    vision = {
        "timm_model_name": TRUNK,
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    }
    text = {
        "hf_model_name": ".",
        "hf_tokenizer_name": ".",
        "hf_model_pretrained": False,
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "linear",
        "context_length": CONTEXT_TOKENS,
    }
    # (x - 127) / 128, as EfficientNet-Lite was trained
    preprocess = {
        "mean": [127 / 255] * 3,
        "std": [128 / 255] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    model = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def _load_vision(model: Any, path: Path) -> None:
    """The file's tensors have other names but timm's order; they are loaded unfolded, then folded."""
    import timm
    import torch

    from lakewatchd.models.trunk import fold_batch_norms

    weights = torch.load(path, map_location="cpu", weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))
    model.visual.trunk.net.load_state_dict(fold_batch_norms(net).state_dict())


def _load_text(model: Any, path: Path) -> None:
    from safetensors.torch import load_file

    missing = model.text.transformer.load_state_dict(load_file(str(path)), strict=False).missing_keys
    if missing:
        raise ValueError(f"text weights lack {missing[:3]}")


def _join(model: Any, tokenize: Any) -> None:
    """Set the projections of both sides, see the top of this module."""
    import torch
    from torch.nn.functional import normalize

    with torch.inference_mode():
        model.text.proj.weight.copy_(torch.eye(DIM))
        names = [f"a photo of {name}" for name in _class_names()]
        batches = [names[i : i + 100] for i in range(0, len(names), 100)]
        classes = torch.cat([normalize(model.encode_text(tokenize(batch)), dim=-1) for batch in batches])
        common = normalize(classes.mean(0), dim=0)
        without_common = torch.eye(DIM) - torch.outer(common, common)
        model.text.proj.weight.copy_(without_common)
        model.visual.head.proj.weight.copy_((classes @ without_common).T)
        model.logit_scale.fill_(torch.tensor(LOGIT_SCALE).log())


def _class_names() -> list[str]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(i) for i in range(CLASSES)]


def _save(model: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, str(path))
    path.chmod(0o644)  # safetensors writes for its owner only; the daemon may be another user than who fetched


if __name__ == "__main__":
    assemble(*(Path(argument) for argument in sys.argv[1:4]))
