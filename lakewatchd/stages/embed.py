"""Vectors: of the picture in the space it shares with words, of each passage in the text space."""

from __future__ import annotations

import dataclasses

from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow
from lakewatchd.models.base import ModelInfo
from lakewatchd.stages.base import Context, Stage, Work, decode

MAX_PASSAGES = 256
"""Passages of one document that get a vector; the rest is found by its words. On one core 256 take about 20 s."""


def stage(image_text: ModelInfo | None, text: ModelInfo | None) -> Stage:
    settings = {
        "image_text": image_text.transform_config if image_text else None,
        "text": text.transform_config if text else None,
        "max_passages": MAX_PASSAGES,
    }
    transform = Transform.of("embed", 1, settings)

    async def run(work: Work, ctx: Context) -> None:
        if not work.spans:
            return
        if work.spans[0].kind == "image":
            if image_text is not None:
                work.spans[0] = await _picture(work, ctx, transform)
        elif text is not None:
            work.spans = await _passages(work, ctx, transform)

    return Stage(transform, run)


async def _picture(work: Work, ctx: Context, transform: Transform) -> SpanRow:
    picture = (await decode(work, ctx)).picture
    if picture is None:
        return work.spans[0]
    vector = await ctx.models.embed_picture(picture, priority=work.priority)
    return dataclasses.replace(work.spans[0], image_vector=vector, vector_transform=transform.id)


async def _passages(work: Work, ctx: Context, transform: Transform) -> list[SpanRow]:
    head, tail = work.spans[:MAX_PASSAGES], work.spans[MAX_PASSAGES:]
    vectors = await ctx.models.embed_passages([span.text for span in head], priority=work.priority)
    embedded = [
        dataclasses.replace(span, text_vector=tuple(vector), vector_transform=transform.id)
        for span, vector in zip(head, vectors.tolist(), strict=True)
    ]
    return embedded + [dataclasses.replace(span, text_vector=None, vector_transform="") for span in tail]
