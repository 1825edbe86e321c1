"""Decode once: facts for silver, a thumbnail, and the spans that everything after works on.

One stage for each family of kinds: other settings, or a decoder that was not installed before, make stale what they are
for and nothing else.
"""

from __future__ import annotations

import dataclasses

from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.content import Content
from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow
from lakewatchd.media import document, formats, near, video
from lakewatchd.media.archive import streamed
from lakewatchd.media.kinds import OTHERS_READ
from lakewatchd.media.table import sheets
from lakewatchd.stages import spans
from lakewatchd.stages.base import Context, Stage, Work, decode

_NEAR = {"near": near.VERSION}


def stages(config: DecodeConfig) -> list[Stage]:
    pictures = {"max_pixels": config.max_pixels, "thumbnail_px": config.thumbnail_px}
    passages = {"passage_chars": config.passage_chars, "passage_overlap": config.passage_overlap}
    texts = {"max_text_bytes": config.max_text_bytes, **passages}
    if config.archive_members:
        texts["archive_members"] = config.archive_members
    return [
        Stage(Transform.of("chunk", 3, {**pictures, "formats": formats.installed(), **_NEAR}), run),
        Stage(Transform.of("film", 2, {**pictures, "is_available": video.is_available()}), run),
        Stage(Transform.of("read", 2, {**texts, "thumbnail_px": config.thumbnail_px, **_readers(), **_NEAR}), run),
        Stage(Transform.of("sound", 1, {**pictures, **passages, "is_available": video.is_available()}), run),
    ]


def _readers() -> dict[str, bool]:
    return {**document.installed(), "sheets": sheets.is_available(), "archives": streamed.is_available()}


async def run(work: Work, ctx: Context) -> None:
    if work.kind is Kind.OTHER and work.mime not in OTHERS_READ:
        return  # no decoder would know what to do with it
    content = await decode(work, ctx)
    work.row = dataclasses.replace(
        work.row,
        width=content.width,
        height=content.height,
        duration_s=content.duration_s,
        captured_at=content.captured_at,
        captured_from=content.captured_from,
        camera=content.camera,
        latitude=content.latitude,
        longitude=content.longitude,
        title=content.title,
        exif=content.exif,
        phash=content.phash,
        text_chars=content.text_chars,
        language=content.language,
        author=content.author,
        pages=content.pages,
        signature=work.row.signature if work.kind is Kind.VIDEO else content.signature,  # of a film: stage ``clips``
    )
    spans.put(work, spans.DECODED, decoded(work.asset_id, work.kind, content))


def decoded(asset_id: AssetId, kind: Kind, content: Content) -> list[SpanRow]:
    """Pictures first, in the order of :attr:`Content.pictures`, then the passages of a text, in reading order."""
    made: list[SpanRow] = []
    if content.picture is not None:
        at = content.picture_at_s
        made.append(SpanRow(asset_id, 0, "frame" if kind is Kind.VIDEO else "image", start_s=at, end_s=at))
    for frame in content.frames:
        sort = "page" if frame.page is not None else "frame"
        start_s, end_s = frame.start_s, frame.end_s
        made.append(SpanRow(asset_id, 0, sort, page=frame.page, start_s=start_s, end_s=end_s, phash=frame.phash))
    made += [
        SpanRow(
            asset_id, 0, "passage", text=p.text, start=p.start, end=p.end, page=p.page, start_s=p.start_s, end_s=p.end_s
        )
        for p in content.passages
    ]
    return made
