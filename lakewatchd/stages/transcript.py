"""From what a speech model wrote down to passages that can be searched and read: what it made up is left out.

Speech models were taught with subtitles. On noise, music and silence they write what subtitles say when nobody speaks:
thanks to viewers, credits, the same words over and over. Voice activity detection keeps most of that away from them;
what is left gives itself away by its numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from lakewatchd.models.base import Spoken, Utterance

VERSION = 1
"""Changes with anything here that changes passages."""

# --- what was never said -----------------------------------------------------------------------------------

_MOST_WORDS_PER_S = 8.0
"""An auctioneer says six."""
_MOST_COMPRESSION = 2.4
"""As Whisper itself takes for a loop."""
_LEAST_LOGPROB = -1.1
_NO_SPEECH = 0.6
_DOUBTED_LOGPROB = -0.5
_RUN = 3
"""So many utterances in a row with the same words are a loop."""

_NEVER_SAID = (
    "subtitles by", "subtitled by", "captions by", "captioned by", "transcribed by", "amara.org", "untertitel von",
    "untertitel der", "untertitelung", "untertitel im auftrag", "sous-titres", "sous-titrage", "sottotitoli",
    "subtítulos", "legendas pela", "napisy stworzone", "ondertiteling", "субтитры", "редактор субтитров", "字幕",
)  # fmt: skip
"""Credits of subtitles: what begins with, or is made of these few words, was read and not heard."""
_POLITE = frozenset(
    (
        "thank you", "thanks", "thank you very much", "thanks for watching", "thank you for watching", "bye", "bye bye",
        "you", "so", "okay", "please subscribe", "im sorry", "the end", "vielen dank", "danke", "merci", "gracias",
        "obrigado", "ご視聴ありがとうございました", "谢谢观看", "продолжение следует",
    )
)  # fmt: skip
"""What people do say, and models too when nobody does: it takes less doubt to leave it out."""
_CREDIT_WORDS = 12


def said(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Those that somebody did say, in order."""
    kept: list[Utterance] = []
    for _, group in itertools.groupby(utterances, key=lambda utterance: _plain(utterance.text)):
        run = list(group)
        if len(run) < _RUN:
            kept += [utterance for utterance in run if not is_invented(utterance)]
    return kept


def is_invented(utterance: Utterance) -> bool:
    """Whether its numbers or its words say that the model made it up."""
    text, words = _plain(utterance.text), len(utterance.words)
    is_credit = words <= _CREDIT_WORDS and any(mark in utterance.text.lower() for mark in _NEVER_SAID)
    if not text or not words or is_credit:
        return True
    seconds = max(0.01, utterance.end_s - utterance.start_s)
    is_doubted = utterance.no_speech_prob > _NO_SPEECH or utterance.avg_logprob < _DOUBTED_LOGPROB
    return (
        (words > 3 and words / seconds > _MOST_WORDS_PER_S)
        or utterance.compression > _MOST_COMPRESSION
        or utterance.avg_logprob < _LEAST_LOGPROB
        or (utterance.no_speech_prob > _NO_SPEECH and utterance.avg_logprob < _DOUBTED_LOGPROB)
        or (text in _POLITE and is_doubted)
    )


def _plain(text: str) -> str:
    """Without case, punctuation and spaces at its ends."""
    return "".join(char for char in text.lower() if char.isalnum() or char.isspace()).strip()


# --- passages ----------------------------------------------------------------------------------------------

ENOUGH_S, ENOUGH_CHARS = 15.0, 300
"""From here on a passage ends with its sentence."""
MOST_S, MOST_CHARS = 30.0, 600
"""And here it ends anyway."""
PAUSE_S = 4.0
"""After a silence as long as this, something else begins."""
_ENDS = (".", "?", "!", "。", "？", "！", "…")


def passages(words: Iterable[Spoken]) -> Iterator[tuple[Spoken, ...]]:
    """Sentences in groups, in order: together all words, each once."""
    held: list[Spoken] = []
    for word in words:
        if held and _is_over(held, word):
            yield tuple(held)
            held = []
        held.append(word)
    if held:
        yield tuple(held)


def text_of(words: Sequence[Spoken]) -> str:
    return "".join(word.text for word in words).strip()


def _is_over(held: Sequence[Spoken], word: Spoken) -> bool:
    seconds, chars = word.end_s - held[0].start_s, len(text_of(held)) + len(word.text)
    if seconds > MOST_S or chars > MOST_CHARS or word.start_s - held[-1].end_s > PAUSE_S:
        return True
    return held[-1].text.rstrip().endswith(_ENDS) and (seconds > ENOUGH_S or chars > ENOUGH_CHARS)
