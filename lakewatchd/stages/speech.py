"""What is said in a recording or a film: passages with the time of every word.

The sound comes from a decoder and goes to a model, a few minutes at a time; each stretch begins where the one before
stopped listening, at a pause. So a recording of any length takes the same memory. Nothing is written before the end: a
daemon that is stopped in the middle starts that recording again. Who is interrupted otherwise, because the file was
moved, say, goes on where it was.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from lakewatchd.core.asset import AssetId, path_text
from lakewatchd.core.job import Lane
from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow, Word
from lakewatchd.models import speech as adapter
from lakewatchd.models.base import ModelInfo, Spoken
from lakewatchd.stages import spans, transcript
from lakewatchd.stages.base import Context, Stage, Work, listen

_log = logging.getLogger(__name__)

STRETCH_S = 300.0
"""How much is listened to at once."""
LEAST_S = 0.1
"""What is shorter holds no word."""
MOST_S = 100 * 3600.0
"""Of one recording that are listened to: a file of a few bytes may promise years of silence."""
KEPT = 4
"""Recordings that were begun and are remembered."""


def stage(model: ModelInfo) -> Stage:
    settings = {
        **model.transform_config,
        "adapter": adapter.VERSION,
        "stretch_s": STRETCH_S,
        "transcript": transcript.VERSION,
    }
    return Stage(Transform.of("speech", 1, settings), Listener().run, Lane.HEAVY)


@dataclass(slots=True)
class Heard:
    """Of one recording, so far."""

    spans: list[SpanRow] = field(default_factory=list)
    start_s: float = 0.0
    """Where the next stretch begins."""
    spoken: Counter[str] = field(default_factory=Counter)
    """Seconds of each language."""
    is_all: bool = False

    @property
    def language(self) -> str:
        return next((language for language, _ in self.spoken.most_common(1)), "")


class Listener:
    """The stage, and what it heard of recordings that it could not listen to until their end."""

    def __init__(self) -> None:
        self._begun: OrderedDict[AssetId, Heard] = OrderedDict()

    async def run(self, work: Work, ctx: Context) -> None:
        heard = self._begun.pop(work.asset_id, None) or Heard()
        try:
            while not heard.is_all:
                await _listen_on(heard, work, ctx)
        except BaseException:  # cancelled, or the file is elsewhere, or the model went away
            self._begun[work.asset_id] = heard
            while len(self._begun) > KEPT:
                self._begun.popitem(last=False)
            raise
        spans.put(work, spans.SPOKEN, heard.spans)


async def _listen_on(heard: Heard, work: Work, ctx: Context) -> None:
    """To one more stretch. ``heard`` changes when it is all understood, or not at all."""
    sound = await listen(work, ctx, heard.start_s, heard.start_s + STRETCH_S)
    seconds = len(sound.samples) / 2 / sound.rate
    if seconds < LEAST_S:
        heard.is_all = True
        return
    said = await ctx.models.transcribe(sound, heard.language, work.priority)
    words = (word for utterance in transcript.said(said.utterances) for word in utterance.words)
    heard.spans += [_span(work, passage, heard.start_s, said.language) for passage in transcript.passages(words)]
    heard.spoken[said.language] += round(said.speech_s) if said.language else 0
    heard.start_s += max(said.until_s, STRETCH_S / 2)  # on and on, whatever the model says
    heard.is_all = sound.is_last or heard.start_s >= MOST_S
    if not heard.is_all:
        _log.info("listening to %s: %.0f min so far", path_text(work.name), heard.start_s / 60)


def _span(work: Work, words: tuple[Spoken, ...], start_s: float, language: str) -> SpanRow:
    return SpanRow(
        work.asset_id,
        0,
        "speech",
        text=transcript.text_of(words),
        start_s=round(start_s + words[0].start_s, 2),
        end_s=round(start_s + words[-1].end_s, 2),
        words=tuple(
            Word(word.text.strip(), round(start_s + word.start_s, 2), round(start_s + word.end_s, 2)) for word in words
        ),
        language=language,
    )
