"""The vision side of the embedded image-text model, as a timm model that open_clip can name.

EfficientNet-Lite0 is used for what it knows: its features are the 1000 class probabilities, softened by a
temperature, and the projection behind it turns them into a weighted mean of the class names' text vectors. Its
batch norms are folded into the convolutions, which changes results by rounding only and spares half the time on a
CPU; the checkpoint holds the folded weights.

Imported only where torch and timm are; importing it registers :func:`lakewatchd_efficientnet_lite0`.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.models import register_model
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TEMPERATURE = 1.5


class ClassProbabilities(nn.Module):  # type: ignore[misc]
    """Pictures (n, 3, 224, 224) -> probabilities (n, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = fold_batch_norms(timm.create_model("tf_efficientnet_lite0", pretrained=False).eval())
        self.num_features = self.net.num_classes
        self.default_cfg = {"pool_size": None}

    def reset_classifier(self, *_args: object, **_kwargs: object) -> None:
        """open_clip asks for it; the classifier is what this trunk is for."""

    def forward(self, pictures: Any) -> Any:
        return (self.net(pictures) / TEMPERATURE).softmax(-1)


@register_model  # type: ignore[untyped-decorator]
def lakewatchd_efficientnet_lite0(pretrained: bool = False, **_kwargs: object) -> ClassProbabilities:
    return ClassProbabilities()


def fold_batch_norms(net: Any) -> Any:
    """Merge every batch norm into the convolution defined before it, keeping its activation. In place."""
    convolution = None
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d):
            convolution = module
        elif isinstance(module, nn.BatchNorm2d):
            assert convolution is not None and convolution.out_channels == module.num_features
            _fold(convolution, module)
            parent, _, leaf = name.rpartition(".")
            setattr(net.get_submodule(parent), leaf, getattr(module, "act", nn.Identity()))
    return net


def _fold(convolution: Any, norm: Any) -> None:
    with torch.no_grad():
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
