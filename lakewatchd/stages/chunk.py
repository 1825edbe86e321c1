"""Decode once: facts for silver, a thumbnail, and the spans that everything after works on."""

from __future__ import annotations

import dataclasses

from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.content import Content
from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow
from lakewatchd.stages.base import Context, Stage, Work, decode


def stage(config: DecodeConfig) -> Stage:
    settings = {
        "max_pixels": config.max_pixels,
        "max_text_bytes": config.max_text_bytes,
        "thumbnail_px": config.thumbnail_px,
        "passage_chars": config.passage_chars,
        "passage_overlap": config.passage_overlap,
    }
    return Stage(Transform.of("chunk", 1, settings), run)


async def run(work: Work, ctx: Context) -> None:
    content = await decode(work, ctx)
    work.row = dataclasses.replace(
        work.row,
        width=content.width,
        height=content.height,
        captured_at=content.captured_at,
        captured_from=content.captured_from,
        camera=content.camera,
        latitude=content.latitude,
        longitude=content.longitude,
        title=content.title,
        exif=content.exif,
        phash=content.phash,
        text_chars=content.text_chars,
    )
    work.spans = spans(work.asset_id, work.kind, content)


def spans(asset_id: AssetId, kind: Kind, content: Content) -> list[SpanRow]:
    """One span for a picture, one for each passage of a text, numbered in reading order."""
    if kind is Kind.IMAGE:
        return [SpanRow(asset_id, 0, "image")]
    return [
        SpanRow(asset_id, i, "passage", text=p.text, start=p.start, end=p.end, page=p.page)
        for i, p in enumerate(content.passages)
    ]
