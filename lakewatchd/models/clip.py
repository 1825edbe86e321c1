"""The image-text adapter: any model that open_clip can load, the embedded one among them.

The only home of open_clip. A location is ``local-dir:PATH``, ``hf-hub:ORG/REPO``, or ``ARCHITECTURE/WEIGHTS`` as
open_clip lists them (``ViT-B-32/laion2b_s34b_b79k``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lakewatchd import errors
from lakewatchd.models import torch_device
from lakewatchd.models.base import Pixels, Vectors

LOCAL_DIR = "local-dir:"
MAX_ASPECT = 8
"""Pictures longer than this are cut about their middle before they are resized. A model that looks at the middle
square loses nothing, and 5000 x 3 pixels do not become 373 000 x 224."""


def load_open_clip(location: str, *, load_weights: bool = True) -> tuple[Any, Any]:
    """The bare model on the CPU, and its tokenizer. Raises :class:`errors.ModelUnavailable`."""
    try:
        from lakewatchd.models import torchvision_compat

        torchvision_compat.install()
        import open_clip

        from lakewatchd.models import trunk  # noqa: F401  registers the embedded model's vision side
    except ImportError as exc:
        raise errors.ModelUnavailable(f"open_clip cannot be imported: {exc}", "pip install 'lakewatchd[clip]'") from exc
    name, weights = _split(location)
    cache = os.environ.get("HF_HUB_CACHE")  # also for what open_clip gets elsewhere: it would use the home
    try:
        model = open_clip.create_model(
            name,
            pretrained=weights,
            load_weights=load_weights,
            require_pretrained=load_weights,
            pretrained_text=False,
            cache_dir=cache,
            **_overrides(location),
        )
        return model.eval(), open_clip.get_tokenizer(name, cache_dir=cache)
    except Exception as exc:  # whatever a damaged checkpoint or a hub client raises
        hint = 'fetch it while there is a network, or set models.image_text = "embedded"'
        raise errors.ModelUnavailable(f"{location} cannot be loaded: {exc}", hint) from exc


def _split(location: str) -> tuple[str, str | None]:
    if ":" in location:
        return location, None
    name, _, weights = location.partition("/")
    return name, weights or None


def _overrides(location: str) -> dict[str, Any]:
    """A checkpoint's own ``hf_model_name = "."`` means its directory; open_clip would take it as the working one."""
    if not location.startswith(LOCAL_DIR):
        return {}
    directory = Path(location.removeprefix(LOCAL_DIR))
    text: dict[str, Any] = json.loads((directory / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if text.get("hf_model_name") != ".":
        return {}
    return {"text_cfg": {**text, "hf_model_name": str(directory.resolve()), "hf_model_pretrained": False}}


class ClipModel:
    """An :class:`~lakewatchd.models.base.ImageTextModel`."""

    def __init__(self, location: str, device: str, threads: int) -> None:
        import torch

        self._device = torch_device.choose(device, threads)
        model, self._tokenize = load_open_clip(location)
        # convolutions run twice as fast on a CPU in this layout; transformers do not care
        self.network = model.to(self._device, memory_format=torch.channels_last)
        self._preprocess = _preprocess_of(model)
        self.dim = self.embed_texts(["warm-up"]).shape[1]

    def embed_pictures(self, pictures: Sequence[Pixels]) -> Vectors:
        """Unit vectors, shape (n, dim)."""
        return torch_device.one_by_one(self._embed_pictures, pictures, self.dim, self._device)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim), comparable with those of pictures. Long texts are cut."""
        return torch_device.in_halves(self._embed_texts, texts, getattr(self, "dim", 0))

    def _embed_pictures(self, pictures: Sequence[Pixels]) -> Vectors:
        import torch

        batch = torch.stack([self._preprocess(picture) for picture in pictures])
        batch = batch.to(self._device, memory_format=torch.channels_last)
        return torch_device.to_unit_rows(self.network.encode_image(batch))

    def _embed_texts(self, texts: Sequence[str]) -> Vectors:
        tokens = self._shortened(self._tokenize(list(texts)))
        return torch_device.to_unit_rows(self.network.encode_text(tokens.to(self._device)))

    def _shortened(self, tokens: Any) -> Any:
        """Without the columns that are padding in every row, where the text side masks padding anyway."""
        from open_clip.hf_model import HFTextEncoder, MeanPooler

        side = getattr(self.network, "text", None)
        if not (isinstance(side, HFTextEncoder) and isinstance(side.pooler, MeanPooler)):
            return tokens
        return tokens[:, : int((tokens != side.config.pad_token_id).sum(1).max())]


def _preprocess_of(model: Any) -> Callable[[Pixels], Any]:
    """The model's own preparation of a picture, from pixels to a normalised tensor."""
    import open_clip
    from PIL import Image

    config = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(config, is_train=False)
    cuts = config.resize_mode == "shortest"
    return lambda picture: transform(Image.fromarray(middle(picture) if cuts else picture))


def middle(picture: Pixels, max_aspect: int = MAX_ASPECT) -> Pixels:
    """At most ``max_aspect`` times as long as wide: the middle of what is longer."""
    height, width = picture.shape[:2]
    longest = max_aspect * min(height, width)
    top, left = max(0, (height - longest) // 2), max(0, (width - longest) // 2)
    return np.ascontiguousarray(picture[top : top + longest, left : left + longest])
