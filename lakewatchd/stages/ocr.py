"""What is written in a picture, or on the pages of a document that are pictures: a span of text for each.

A decoder gives pictures large enough to read, a few pages at a time; a model reads them. So a scanned book takes as
much memory as its four largest pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from lakewatchd.core.content import Frame, Task
from lakewatchd.core.job import Lane
from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow
from lakewatchd.models.base import ModelInfo
from lakewatchd.stages import page_text, spans
from lakewatchd.stages.base import Context, Stage, Work, look_closer

AT_ONCE = 4
"""Pages that are decoded by one request."""
MAX_PAGES = 1000
MAX_CHARS = 20_000
"""Of one page: a newspaper has about as many."""


def stage(model: ModelInfo) -> Stage:
    settings = {**model.transform_config, "page_text": page_text.VERSION, "max_pages": MAX_PAGES}
    return Stage(Transform.of("ocr", 1, settings), run, Lane.HEAVY)


async def run(work: Work, ctx: Context) -> None:
    made = []
    async for frame, text in _read(work, ctx):
        if text:
            made.append(SpanRow(work.asset_id, 0, "text", text=text, page=frame.page))
    spans.put(work, spans.READ, made)


async def _read(work: Work, ctx: Context) -> AsyncIterator[tuple[Frame, str]]:
    for first in range(0, MAX_PAGES, AT_ONCE):
        content = await look_closer(work, ctx, Task("legible", first, AT_ONCE))
        pictures = [frame.picture for frame in content.frames]
        found = await asyncio.gather(*(ctx.models.read(picture, work.priority) for picture in pictures))
        for frame, lines in zip(content.frames, found, strict=True):
            shape = frame.picture.width / frame.picture.height
            yield frame, page_text.text_of(lines, shape)[:MAX_CHARS]
        if first + AT_ONCE >= (content.pages or 1):
            return
