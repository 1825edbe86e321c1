"""What the models are to the rest: roles, identities and Protocols.

No model library is imported here, and none is needed to know a model: its :class:`ModelInfo` lies as a small JSON
file beside the weights, so that what was derived with it can be told fresh from stale before anything is loaded.

The invariant: two models whose vectors must not be compared never have equal infos.
"""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lakewatchd import errors
from lakewatchd.core.asset import Detected

Pixels = NDArray[np.uint8]
"""Upright RGB, shape (height, width, 3)."""

Vectors = NDArray[np.float32]
"""Shape (n, dim); every row has unit length."""

Vector = tuple[float, ...]

Samples = NDArray[np.float32]
"""Of sound, one channel, -1 to 1."""

INFO_FILE = "model.json"

ULTRALYTICS = "ultralytics:"
"""Before the path of a detector that ultralytics loads: ``models.detector = "ultralytics:/srv/models/yolo11m.pt"``."""


class Role(enum.StrEnum):
    IMAGE_TEXT = "image_text"
    """Pictures and short texts in one space: search by words, tags by prompts."""
    TEXT = "text"
    """Passages of documents, and questions about them."""
    DETECTOR = "detector"
    """Objects in a picture, with boxes."""
    SPEECH = "speech"
    """What is said in a recording, word by word."""
    OCR = "ocr"
    """What is written in a picture, line by line."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model, told apart by its weights: equal infos give comparable results on every machine."""

    role: Role
    name: str
    dim: int
    """Length of its vectors; 0 for a detector."""
    digest: str
    """Names the weights and the way they were put together."""

    @property
    def transform_config(self) -> dict[str, str | int]:
        """What belongs into the config hash of a :class:`~lakewatchd.core.lineage.Transform`.

        The digest stands for the whole model; the name is for people and may change without a recomputation.
        """
        return {"role": self.role.value, "dim": self.dim, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and where to load it from: a directory, an ONNX file, or a name the library knows."""

    info: ModelInfo
    location: str


class ImageTextModel(Protocol):
    dim: int

    def embed_pictures(self, pictures: Sequence[Pixels]) -> Vectors: ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors: ...


class TextModel(Protocol):
    dim: int

    def embed(self, passages: Sequence[str]) -> Vectors: ...


class Detector(Protocol):
    def detect(self, pictures: Sequence[Pixels]) -> list[tuple[Detected, ...]]:
        """Objects of each picture, surest first."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """Something that is written in a picture, and how sure the model is of it, 0 to 1."""

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float
    """Of the picture's width and height, from its upper left corner."""


class TextReader(Protocol):
    def read(self, pictures: Sequence[Pixels]) -> list[tuple[Line, ...]]:
        """The lines of each picture, in no order that means anything."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word, and when it was said, in seconds. Where a space belongs in front of it, it has one."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something that was said, as the model wrote it down at once, and how sure it was. Times in seconds."""

    text: str
    words: tuple[Spoken, ...]
    start_s: float
    end_s: float
    avg_logprob: float
    """Mean natural logarithm of the probabilities of its tokens."""
    no_speech_prob: float
    """How likely nothing at all was said."""
    compression: float
    """How many times shorter zlib makes the text: high where it repeats itself."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in a stretch of sound. Times count from where the stretch begins in the recording's own."""

    utterances: tuple[Utterance, ...]
    until_s: float
    """As far as was listened: the end, or before a sentence that the end cuts through."""
    speech_s: float
    """For how long somebody spoke."""
    language: str = ""
    """ISO 639-1; empty where nobody spoke."""


class SpeechModel(Protocol):
    def transcribe(self, samples: Samples, *, is_last: bool, language: str) -> Transcript:
        """``samples`` at 16 kHz. Without ``is_last``, what goes on at their end is left for the next stretch.
        ``language`` is the one of the recording so far, for where this stretch does not tell."""
        ...


def read_info(path: Path) -> ModelInfo | None:
    """The info beside some weights; None if there is none or it cannot be understood."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text())["info"]
        return ModelInfo(Role(raw["role"]), str(raw["name"]), int(raw["dim"]), str(raw["digest"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_info(path: Path, info: ModelInfo, **more: object) -> None:
    """Replaces ``path`` whole or not at all. ``more`` is for people: sources, licences."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps({"info": asdict(info), **more}, indent=1) + "\n")
        scratch.replace(path)
    except OSError as exc:
        raise errors.ModelUnavailable(
            f"cannot write {path}: {exc.strerror}", "make the state directory writable"
        ) from exc
