"""Vectors: of each picture in the space it shares with words, of each text in the text space.

What has a vector of today's models already is passed over, so a stage that adds spans later costs only these. Clips of
a film are embedded by the stage that decodes them (:mod:`lakewatchd.stages.clips`): nobody has their pixels later.
"""

from __future__ import annotations

import dataclasses

from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow
from lakewatchd.models.base import ModelInfo
from lakewatchd.models.vectors import MAX_PASSAGES, embedding
from lakewatchd.stages.base import Context, Stage, Work, decode
from lakewatchd.stages.spans import CLIPS, PICTURED


def stage(image_text: ModelInfo | None, text: ModelInfo | None) -> Stage:
    transform = embedding(image_text, text)

    async def run(work: Work, ctx: Context) -> None:
        work.spans = [_without_old(span, transform) for span in work.spans]
        if image_text is not None:
            await _pictures(work, ctx, transform)
        if text is not None:
            await _texts(work, ctx, transform)

    return Stage(transform, run)


def _without_old(span: SpanRow, transform: Transform) -> SpanRow:
    """Without the vectors of other models."""
    if span.vector_transform in ("", transform.id) or span.kind in CLIPS:
        return span
    return dataclasses.replace(span, image_vector=None, text_vector=None, vector_transform="")


async def _pictures(work: Work, ctx: Context, transform: Transform) -> None:
    at = [number for number, span in enumerate(work.spans) if span.kind in PICTURED]
    if all(work.spans[number].image_vector is not None for number in at):
        return
    for number, picture in zip(at, (await decode(work, ctx)).pictures, strict=False):
        vector = await ctx.models.embed_picture(picture, priority=work.priority)
        work.spans[number] = dataclasses.replace(work.spans[number], image_vector=vector, vector_transform=transform.id)


async def _texts(work: Work, ctx: Context, transform: Transform) -> None:
    worded = [number for number, span in enumerate(work.spans) if span.text and span.kind not in (*PICTURED, *CLIPS)]
    for number in worded[MAX_PASSAGES:]:  # some came to stand before it
        work.spans[number] = dataclasses.replace(work.spans[number], text_vector=None, vector_transform="")
    at = [number for number in worded[:MAX_PASSAGES] if work.spans[number].text_vector is None]
    if not at:
        return
    vectors = await ctx.models.embed_passages([work.spans[number].text for number in at], priority=work.priority)
    for number, vector in zip(at, vectors.tolist(), strict=True):
        work.spans[number] = dataclasses.replace(
            work.spans[number], text_vector=tuple(vector), vector_transform=transform.id
        )
