"""The reader: what is written in a picture, by RapidOCR (PaddleOCR's networks, with onnxruntime).

One network finds where something is written, in the picture reduced to :data:`SEARCH_PX`; so a photo without a letter
costs a fifth of a second. Another reads each place at full size. RapidOCR fetches models that it is not given; it is
given all that it uses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lakewatchd import errors
from lakewatchd.models.base import Line, Pixels

SEARCH_PX = 960
"""Long side of the picture in which text is searched: print of a whole page is found, and lines stay apart."""
_SMALL_PX = 800
"""A picture with a shorter long side is enlarged to twice its size: letters of eight pixels are seldom read."""
_MOST_ELONGATED = 200
"""Long side by short: beyond it is a line and no text, and RapidOCR would enlarge it for half a minute, or fail."""
MAX_LINES = 1000
MAX_CHARS = 2000
"""Of a line."""


class RapidReader:
    """A :class:`~lakewatchd.models.base.TextReader`."""

    def __init__(self, location: str, threads: int) -> None:
        try:
            import cv2
            from rapidocr import RapidOCR
        except ImportError as exc:
            raise errors.ModelUnavailable(
                f"rapidocr cannot be imported: {exc}", "pip install 'lakewatchd[ocr]'"
            ) from exc
        cv2.setNumThreads(threads)
        engine = "EngineConfig.onnxruntime"
        settings = {
            "Global.log_level": "error",
            "Global.use_cls": False,  # what turns lines by half a circle turns as many wrongly
            f"{engine}.intra_op_num_threads": threads,
            f"{engine}.inter_op_num_threads": 1,
            "Det.limit_type": "max",
            "Det.limit_side_len": SEARCH_PX,
            "Det.model_path": str(Path(location) / "detect.onnx"),
            "Rec.model_path": str(Path(location) / "recognize.onnx"),
        }
        try:
            self._engine: Any = RapidOCR(params=settings)
        except Exception as exc:  # onnxruntime's errors derive from Exception alone
            hint = 'lakewatchd models fetch, or set models.ocr = "off"'
            raise errors.ModelUnavailable(f"{location} cannot be loaded: {exc}", hint) from exc

    def read(self, pictures: Sequence[Pixels]) -> list[tuple[Line, ...]]:
        """The lines of each picture, in no order that means anything. One by one: a page is a batch of lines."""
        return [tuple(self._lines(picture)) for picture in pictures]

    def _lines(self, picture: Pixels) -> Iterator[Line]:
        if max(picture.shape[:2]) > _MOST_ELONGATED * min(picture.shape[:2]):
            return
        seen = self._engine(_prepared(picture), use_cls=False)
        if seen.boxes is None or seen.txts is None:
            return
        height, width = picture.shape[:2]
        scale = _scale(picture)
        for corners, text, score in list(zip(seen.boxes, seen.txts, seen.scores, strict=True))[:MAX_LINES]:
            shares = np.clip(np.asarray(corners, np.float64) / scale / (width, height), 0.0, 1.0)
            (left, top), (right, bottom) = shares.min(0).tolist(), shares.max(0).tolist()
            if text and math.isfinite(score):
                yield Line(str(text)[:MAX_CHARS], float(score), left, top, right, bottom)


def _scale(picture: Pixels) -> int:
    return 2 if max(picture.shape[:2]) < _SMALL_PX else 1


def _prepared(picture: Pixels) -> Pixels:
    """BGR, as OpenCV has it."""
    from PIL import Image

    if _scale(picture) == 1:
        return np.ascontiguousarray(picture[:, :, ::-1])
    height, width = picture.shape[:2]
    large = Image.fromarray(picture).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(large)[:, :, ::-1])
