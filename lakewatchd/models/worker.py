"""The child that runs the models. Nothing here is imported by the daemon.

Each request names its model (see :func:`lakewatchd.models.hub.load_args`); it is loaded at its first use and kept.
So a child that was killed and started again answers the next request as if nothing had been.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lakewatchd.child import Blob, Json, Operation, Parent, serve
from lakewatchd.core.wire import to_json
from lakewatchd.models.arena import Window
from lakewatchd.models.base import ULTRALYTICS, Pixels, Role, Vectors

Answer = tuple[Json, Sequence[Blob]]


class Worker:
    """The operations, and the models they have loaded."""

    def __init__(self, parent: Parent) -> None:
        self._note = parent.note
        self._window = functools.cache(Window)
        self._models: dict[tuple[object, ...], Any] = {}

    def operations(self) -> Mapping[str, Operation]:
        return {
            "load": self.load,
            "embed_pictures": self.embed_pictures,
            "embed_texts": self.embed_texts,
            "embed_passages": self.embed_passages,
            "detect": self.detect,
            "transcribe": self.transcribe,
            "read": self.read,
        }

    def load(self, args: Json, _blobs: tuple[bytes, ...]) -> Answer:
        """Load now. Says the size of its vectors and, where that names it, the digest of its weights."""
        from lakewatchd.models.digests import digest_of_weights

        model = self._model(args)
        digest = ""
        if args.get("with_digest"):
            digest = model.digest() if hasattr(model, "digest") else digest_of_weights(model.network)
        return {"dim": getattr(model, "dim", 0), "digest": digest}, ()

    def embed_pictures(self, args: Json, _blobs: tuple[bytes, ...]) -> Answer:
        return _vectors(self._model(args).embed_pictures(self._pictures(args)))

    def embed_texts(self, args: Json, _blobs: tuple[bytes, ...]) -> Answer:
        return _vectors(self._model(args).embed_texts(args["texts"]))

    def embed_passages(self, args: Json, _blobs: tuple[bytes, ...]) -> Answer:
        return _vectors(self._model(args).embed(args["texts"]))

    def detect(self, args: Json, _blobs: tuple[bytes, ...]) -> Answer:
        found = self._model(args).detect(self._pictures(args))
        return {"found": [[[d.name, d.score, *d.box] for d in objects] for objects in found]}, ()

    def transcribe(self, args: Json, blobs: tuple[bytes, ...]) -> Answer:
        samples = np.frombuffer(blobs[0], "<i2").astype(np.float32) / 32_768
        language, is_last = str(args["language"]), args["is_last"] is True
        return {"transcript": to_json(self._model(args).transcribe(samples, is_last=is_last, language=language))}, ()

    def read(self, args: Json, _blobs: tuple[bytes, ...]) -> Answer:
        return {
            "read": [[to_json(line) for line in lines] for lines in self._model(args).read(self._pictures(args))]
        }, ()

    def _pictures(self, args: Json) -> list[Pixels]:
        places: Any = args["places"]
        return self._window(int(str(args["fd"]))).get(places)

    def _model(self, args: Json) -> Any:
        key = tuple(args[name] for name in ("role", "location", "device", "threads"))
        if key not in self._models:
            self._note({"event": "loading", "role": args["role"], "text": f"loading {args['name']}"})
            self._models[key] = _load(*key)
            self._note({"event": "loaded", "role": args["role"], "text": f"loaded {args['name']}"})
        return self._models[key]


def _load(role: Any, location: Any, device: Any, threads: Any) -> Any:
    match Role(role):
        case Role.IMAGE_TEXT:
            from lakewatchd.models.clip import ClipModel

            return ClipModel(location, device, threads)
        case Role.TEXT:
            from lakewatchd.models.text import PassageModel

            return PassageModel(location, device, threads)
        case Role.DETECTOR if location.startswith(ULTRALYTICS):
            from lakewatchd.models.ultralytics import UltralyticsDetector

            return UltralyticsDetector(location.removeprefix(ULTRALYTICS), device, threads)
        case Role.DETECTOR:
            from lakewatchd.models.yolox import YoloxDetector

            return YoloxDetector(location, threads)
        case Role.SPEECH:
            from lakewatchd.models.speech import Whisper

            return Whisper(location, device, threads)
        case Role.OCR:
            from lakewatchd.models.ocr import RapidReader

            return RapidReader(location, threads)


def _vectors(vectors: Vectors) -> Answer:
    count, dim = vectors.shape
    return {"count": count, "dim": dim}, [vectors.astype("<f4").tobytes()]


if __name__ == "__main__":
    sys.exit(serve(lambda parent: Worker(parent).operations()))
