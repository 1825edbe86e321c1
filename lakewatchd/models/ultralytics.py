"""The detector by ultralytics: any YOLO it can load, from a file, with the classes that file names.

The only home of ultralytics, which is AGPL-3.0: an extra that nothing needs. It would fetch weights, install packages
and write into the home by itself; :data:`QUIET` and a path instead of a name keep it from all three.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from lakewatchd import errors
from lakewatchd.core.asset import Detected
from lakewatchd.models import torch_device, torchvision_compat
from lakewatchd.models.base import Pixels

QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
MIN_SCORE = 0.4
MAX_OBJECTS = 100


class UltralyticsDetector:
    """A :class:`~lakewatchd.models.base.Detector`."""

    def __init__(self, path: str, device: str, threads: int) -> None:
        os.environ.update(QUIET)
        try:
            if torchvision_compat.install():
                torchvision_compat.vouch_for_nms()
            from ultralytics import YOLO
        except ImportError as exc:
            hint = "pip install 'lakewatchd[yolo]'"
            raise errors.ModelUnavailable(f"ultralytics cannot be imported: {exc}", hint) from exc
        self._device = torch_device.choose(device if path.endswith(".pt") else "cpu", threads)
        try:
            self._model = YOLO(path, task="detect")
        except Exception as exc:  # anything, down to unpickling errors
            raise errors.ModelUnavailable(
                f"{path} cannot be loaded: {exc}", 'set models.detector = "embedded"'
            ) from exc

    def detect(self, pictures: Sequence[Pixels]) -> list[tuple[Detected, ...]]:
        """Objects of each picture, surest first."""
        backwards = [np.ascontiguousarray(picture[:, :, ::-1]) for picture in pictures]  # it takes BGR, as OpenCV reads
        found = (self._model.predict(each, device=self._device, conf=MIN_SCORE, verbose=False)[0] for each in backwards)
        return [_objects(result) for result in found]


def _objects(result: object) -> tuple[Detected, ...]:
    boxes, names = result.boxes, result.names  # type: ignore[attr-defined]
    rows = zip(boxes.cls.tolist(), boxes.conf.tolist(), boxes.xyxyn.tolist(), strict=True)
    seen = [
        Detected(str(names[int(number)]).lower(), float(score), tuple(min(1.0, max(0.0, at)) for at in corners))
        for number, score, corners in rows
    ]
    return tuple(sorted(seen, key=lambda one: -one.score)[:MAX_OBJECTS])
