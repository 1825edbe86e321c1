"""Lets torchvision be imported beside a torch that was built for other hardware.

A torchvision wheel linked to CUDA cannot load its C++ part beside a CPU build of torch; the operator
``torchvision::nms`` is then never defined, and ``import torchvision`` itself fails on its registration. open_clip
and timm import torchvision for its transforms only. So where the C++ part does not load, the missing operators are
declared here, with a plain torch NMS, and nothing else changes. On matching wheels this does nothing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: list[Any] = []
"""Keeps the operator library alive: torch removes its operators when it is collected."""


def install() -> bool:
    """Call before anything imports torchvision. True if the stand-ins were needed."""
    import torch

    if _library:
        return True
    spec = importlib.util.find_spec("torchvision")
    if (
        spec is None
        or not spec.submodule_search_locations
        or _extension_loads(Path(spec.submodule_search_locations[0]))
    ):
        return False
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(operator)
    library.impl("nms", _nms, "CPU")
    _library.append(library)
    return True


def _extension_loads(package: Path) -> bool:
    import torch

    for path in package.glob("_C*.so"):
        try:
            torch.ops.load_library(str(path))
        except OSError:
            continue
        return True
    return False


def _nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Greedy non-maximum suppression: indexes of the boxes to keep, best first."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    keep = []
    while order.numel():
        best, rest = order[0], order[1:]
        keep.append(best)
        overlap = torch.minimum(boxes[best, 2:], boxes[rest, 2:]) - torch.maximum(boxes[best, :2], boxes[rest, :2])
        shared = overlap.clamp(min=0).prod(1)
        order = rest[shared / (areas[best] + areas[rest] - shared) <= iou_threshold]
    return torch.stack(keep) if keep else torch.empty(0, dtype=torch.long)


def vouch_for_nms() -> None:
    """Have torchvision believe that its operators are there: who calls its NMS gets the one of :func:`install`."""
    import torchvision.extension

    torchvision.extension._has_ops = lambda: True
