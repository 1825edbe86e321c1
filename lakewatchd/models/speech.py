"""The speech adapter: Whisper by faster-whisper (CTranslate2), behind the Silero voice activity detector it ships.

The only home of both. Only what the detector takes for a voice reaches the model, without the silence between, and the
times are put back afterwards. Decoding samples nothing: the same sound gives the same words, so a lake does not depend
on its history. The location is a directory, or a name that faster-whisper or the hub knows.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakewatchd import errors
from lakewatchd.models.base import Samples, Spoken, Transcript, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable

RATE = 16_000
VERSION = 1
"""Changes with anything here that changes words."""
LONGEST_VOICE_S = 30.0
"""A voice without a pause is cut after this, at the shortest of breaths: what Whisper hears at once."""
_VOICE = {
    "threshold": 0.5,
    "min_speech_duration_ms": 250,  # clicks, beeps and plugs are shorter; no word is
    "min_silence_duration_ms": 2000,  # pauses are part of how it is said: models err without them
    "speech_pad_ms": 400,
    "max_speech_duration_s": LONGEST_VOICE_S,
}
_AT_THE_END_S = 0.5
_SURE = 0.5
"""How likely a language must be for it to count against the one of the recording so far."""
_ISO_639 = {"jw": "jv"}
"""Where Whisper has a code of its own."""
_DECODING = {
    "beam_size": 5,
    "temperature": 0.0,  # above it the model draws lots, and a lake would depend on them
    "condition_on_previous_text": False,  # a loop ends with its window
    "no_repeat_ngram_size": 10,  # nobody says ten syllables twice; a loop does, for half a minute of computing
    "max_new_tokens": 224,
    "word_timestamps": True,
}


class Whisper:
    """A :class:`~lakewatchd.models.base.SpeechModel`."""

    def __init__(self, location: str, device: str, threads: int) -> None:
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.utils import download_model
        except ImportError as exc:
            hint = "pip install 'lakewatchd[speech]'"
            raise errors.ModelUnavailable(f"faster-whisper cannot be imported: {exc}", hint) from exc
        place, index, precision = _device(device)
        try:
            self._path = (
                location
                if Path(location).is_dir()
                else download_model(location, cache_dir=os.environ.get("HF_HUB_CACHE"), local_files_only=_is_offline())
            )
            self._model: Any = WhisperModel(
                self._path, device=place, device_index=index, compute_type=precision, cpu_threads=max(1, threads)
            )
        except Exception as exc:  # whatever damaged weights or a hub client raises
            hint = 'fetch it while there is a network, or set models.speech = "embedded"'
            raise errors.ModelUnavailable(f"{location} cannot be loaded: {exc}", hint) from exc

    def digest(self) -> str:
        """SHA-256 of its weights."""
        with (Path(self._path) / "model.bin").open("rb") as weights:
            return hashlib.file_digest(weights, "sha256").hexdigest()

    def transcribe(self, samples: Samples, *, is_last: bool, language: str) -> Transcript:
        """See :class:`~lakewatchd.models.base.SpeechModel`."""
        voices = _voices(samples)
        until = len(samples)
        if not is_last and voices and _goes_on(voices[-1], until):
            until = voices.pop()["start"]
        spoken = sum(voice["end"] - voice["start"] for voice in voices)
        if not spoken:
            return Transcript((), until / RATE, 0.0)
        heard = np.concatenate([samples[voice["start"] : voice["end"]] for voice in voices])
        segments, info = self._model.transcribe(heard, **_DECODING)
        if language in self._model.supported_languages and info.language_probability < _SURE:
            segments, info = self._model.transcribe(heard, language=language, **_DECODING)
        from faster_whisper.transcribe import restore_speech_timestamps

        restored = restore_speech_timestamps(segments, voices, RATE)
        said_in = _ISO_639.get(info.language, info.language)
        return Transcript(tuple(_utterances(restored)), until / RATE, spoken / RATE, said_in)


def _device(setting: str) -> tuple[str, int, str]:
    """As CTranslate2 calls it, its number, and in which numbers to compute there."""
    import ctranslate2

    kind, _, number = setting.partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if kind == "cuda":
        return "cuda", int(number or 0), "float16"
    return "cpu", 0, "int8"  # it knows no other device


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE") == "1"


def _voices(samples: Samples) -> list[dict[str, int]]:
    """Where somebody speaks: ``start`` and ``end`` in samples, in order, not overlapping."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    if not len(samples):
        return []
    found: list[dict[str, int]] = get_speech_timestamps(samples, VadOptions(**_VOICE))
    return found


def _goes_on(voice: dict[str, int], until: int) -> bool:
    """Whether the end cuts through it. One from the first half is taken as it is, or nothing would be heard ever."""
    return voice["end"] > until - _AT_THE_END_S * RATE and voice["start"] >= until / 2


def _utterances(segments: Iterable[Any]) -> Iterable[Utterance]:
    for segment in segments:
        words = tuple(Spoken(word.word, float(word.start), float(word.end)) for word in segment.words or ())
        yield Utterance(
            segment.text.strip(),
            words,
            float(segment.start),
            float(segment.end),
            float(segment.avg_logprob),
            float(segment.no_speech_prob),
            float(segment.compression_ratio),
        )
