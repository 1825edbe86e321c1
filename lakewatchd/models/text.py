"""The text adapter: a transformers encoder, mean pooling over its tokens, unit length.

The only home of transformers for passages. The location is a directory, or a name the hub knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from lakewatchd import errors
from lakewatchd.models import torch_device, torchvision_compat
from lakewatchd.models.base import Vectors

MAX_TOKENS = 256
"""As the embedded model was trained; a passage of the default length has fewer."""


class PassageModel:
    """A :class:`~lakewatchd.models.base.TextModel`."""

    def __init__(self, location: str, device: str, threads: int) -> None:
        try:
            torchvision_compat.install()
            from transformers import AutoModel, AutoTokenizer

            self._device = torch_device.choose(device, threads)
        except ImportError as exc:
            hint = "pip install 'lakewatchd[clip]'"
            raise errors.ModelUnavailable(f"transformers cannot be imported: {exc}", hint) from exc
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(location)
            self.network = AutoModel.from_pretrained(location).eval().to(self._device)
        except Exception as exc:  # whatever damaged weights or a hub client raises
            hint = 'fetch it while there is a network, or set models.text = "embedded"'
            raise errors.ModelUnavailable(f"{location} cannot be loaded: {exc}", hint) from exc
        self.dim = int(self.network.config.hidden_size)

    def embed(self, passages: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim). What is beyond :data:`MAX_TOKENS` is not seen."""
        return torch_device.one_by_one(self._embed, passages, self.dim, self._device)

    def _embed(self, passages: Sequence[str]) -> Vectors:
        tokens = self._tokenizer(
            list(passages), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(self._device)
        states = self.network(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return torch_device.to_unit_rows((states * mask).sum(1) / mask.sum(1).clamp(min=1))
