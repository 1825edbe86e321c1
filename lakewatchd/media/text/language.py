"""Which language a text is in: what it says of itself, else a detector that is sure."""

from __future__ import annotations

import functools
import importlib.util
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gcld3 import NNetLanguageIdentifier

_SAMPLE_CHARS = 3000
_LEAST_LETTERS = 80
_SURE = 0.95
_TODAY = {"iw": "he", "in": "id", "ji": "yi"}
"""Codes that have another name by now."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_SAID = re.compile(r"\s*([A-Za-z]{2})(?:[-_.\s]|$)")
_LONG = {
    "eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "nld": "nl",
    "dut": "nl", "rus": "ru", "pol": "pl", "jpn": "ja", "zho": "zh", "chi": "zh", "swe": "sv", "dan": "da", "nor": "no",
}  # fmt: skip


def said(words: str) -> str:
    """ISO 639-1 of what a document says (``en-GB``, ``eng``); empty for anything else."""
    match = _SAID.match(words)
    return match[1].lower() if match else _LONG.get(words.strip().lower()[:3], "")


def is_available() -> bool:
    return importlib.util.find_spec("gcld3") is not None


def load() -> None:
    _identifier()


def detect(text: str) -> str:
    """ISO 639-1, or nothing: a short text, a list of names and a text in two languages have none."""
    middle = max(0, len(text) // 2 - _SAMPLE_CHARS // 2)
    samples = {text[:_SAMPLE_CHARS], text[middle : middle + _SAMPLE_CHARS]}
    found = {_of(sample) for sample in samples}
    return found.pop() if len(found) == 1 else ""


def _of(sample: str) -> str:
    words = " ".join(_WORD.findall(sample))
    if len(words) < _LEAST_LETTERS:
        return ""
    found = _identifier().FindLanguage(text=words)
    is_sure = found.is_reliable and found.probability >= _SURE and len(found.language) == 2
    return _TODAY.get(found.language, found.language) if is_sure else ""


@functools.cache
def _identifier() -> NNetLanguageIdentifier:
    """CLD3: its network is part of the library, 4 MB in memory."""
    from gcld3 import NNetLanguageIdentifier

    return NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=4 * _SAMPLE_CHARS)
