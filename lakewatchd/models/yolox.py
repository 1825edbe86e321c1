"""The detector: a YOLOX network in an ONNX file, with onnxruntime.

The only home of onnxruntime. Preparation and decoding follow the YOLOX reference code (Megvii-BaseDetection/YOLOX,
``preproc`` and ``demo_postprocess``): the picture is fitted into the top left of a grey square, in BGR 0..255; each
cell of three grids (strides 8, 16, 32) answers with a box relative to itself, an objectness and 80 class scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lakewatchd import errors
from lakewatchd.core.asset import Detected
from lakewatchd.models.base import Pixels

Floats = NDArray[np.float32]

MIN_SCORE = 0.5
"""Below it this network is wrong too often to show."""
MAX_OVERLAP = 0.45
MAX_OBJECTS = 100
_GREY = 114
_STRIDES = (8, 16, 32)

_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop "
    "sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, "
    "umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball "
    "glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, "
    "apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, "
    "dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
COCO = tuple(_NAMES.split(", "))
"""The 80 classes, in the network's order."""


class YoloxDetector:
    """A :class:`~lakewatchd.models.base.Detector`."""

    def __init__(self, path: str, threads: int, min_score: float = MIN_SCORE) -> None:
        try:
            import onnxruntime
        except ImportError as exc:
            hint = "pip install 'lakewatchd[detect]'"
            raise errors.ModelUnavailable(f"onnxruntime cannot be imported: {exc}", hint) from exc
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            (picture,) = self._session.get_inputs()
            self._input, self._side = picture.name, int(picture.shape[-1])
            _check_outputs(self._session.get_outputs()[0].shape)
        except Exception as exc:  # onnxruntime's errors derive from Exception alone
            hint = 'fetch it again, or set models.detector = "off"'
            raise errors.ModelUnavailable(f"{path} cannot be loaded: {exc}", hint) from exc
        self._cells, self._strides = grid(self._side)
        self._min_score = min_score

    def detect(self, pictures: Sequence[Pixels]) -> list[tuple[Detected, ...]]:
        """Objects of each picture, surest first. One by one: the network gains nothing from batches on a CPU."""
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture: Pixels) -> tuple[Detected, ...]:
        square, scale = fit(picture, self._side)
        (answer,) = self._session.run(None, {self._input: square})
        boxes, scores, classes = decode(answer[0], self._cells, self._strides, self._min_score)
        height, width = picture.shape[:2]
        shares = np.clip(boxes / (np.array([width, height] * 2, np.float32) * scale), 0.0, 1.0)
        keep = suppress(shares, scores, classes)[:MAX_OBJECTS]
        return tuple(
            Detected(COCO[classes[i]], float(scores[i]), tuple(shares[i].astype(float).tolist())) for i in keep
        )


def _check_outputs(shape: Sequence[object]) -> None:
    if shape[-1] != 5 + len(COCO):
        raise ValueError(f"answers of {shape[-1]} numbers, a YOLOX trained on COCO has {5 + len(COCO)}")


def grid(side: int) -> tuple[Floats, Floats]:
    """Column and row of every cell, shape (n, 2), and its stride, shape (n, 1), in the network's order."""
    cells, strides = [], []
    for stride in _STRIDES:
        count = side // stride
        rows, columns = np.divmod(np.arange(count * count), count)
        cells.append(np.stack([columns, rows], 1))
        strides.append(np.full((count * count, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def fit(picture: Pixels, side: int) -> tuple[Floats, float]:
    """The network's input, shape (1, 3, side, side), and the scale that took the picture there."""
    from PIL import Image

    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, int(width * scale)), max(1, int(height * scale))
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    square = np.full((side, side, 3), _GREY, np.float32)
    square[: size[1], : size[0]] = np.asarray(resized)[:, :, ::-1]
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None]), scale


def decode(
    answer: Floats, cells: Floats, strides: Floats, min_score: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Boxes (left, top, right, bottom) in pixels of the input, scores and classes of the cells that are sure enough."""
    scores = answer[:, 4:5] * answer[:, 5:]
    classes = scores.argmax(1)
    best = scores.max(1)
    sure = best >= min_score
    answer, strides = answer[sure], strides[sure]
    centres = (answer[:, :2] + cells[sure]) * strides
    halves = np.exp(np.minimum(answer[:, 2:4], 20.0)) * strides / 2
    return np.concatenate([centres - halves, centres + halves], 1), best[sure], classes[sure]


def suppress(boxes: Floats, scores: Floats, classes: NDArray[np.int64]) -> list[int]:
    """Greedy non-maximum suppression within each class: indexes to keep, surest first."""
    keep: list[int] = []
    order = np.argsort(-scores, kind="stable")
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        overlap = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = np.prod(np.clip(overlap, 0.0, None), axis=1)
        union = areas[best] + areas[rest] - shared
        order = rest[(shared <= MAX_OVERLAP * union) | (classes[rest] != classes[best])]
    return keep
