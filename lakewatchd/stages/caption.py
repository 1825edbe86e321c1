"""What a vision-language model says of a picture, where a server has one: a sentence and free tags."""

from __future__ import annotations

import asyncio
import dataclasses
import io

from lakewatchd.core.content import Picture, Task
from lakewatchd.core.job import Lane
from lakewatchd.core.lineage import Transform
from lakewatchd.errors import UnsupportedMedia
from lakewatchd.models.captioner import Captioner
from lakewatchd.stages.base import Context, Stage, Work, decode, look_closer

_QUALITY = 90


def stage(captioner: Captioner) -> Stage:
    async def run(work: Work, ctx: Context) -> None:
        picture = await _picture(work, ctx)
        if picture is None:
            return
        jpeg = await asyncio.to_thread(_jpeg, picture, captioner.config.picture_px)
        caption = await captioner.describe(jpeg)
        work.row = dataclasses.replace(work.row, caption=caption.text, caption_tags=caption.tags)

    transform = Transform.of("caption", 1, dict(captioner.transform_config))
    return Stage(transform, run, Lane.OUTSIDE, lambda: captioner.is_there)


async def _picture(work: Work, ctx: Context) -> Picture | None:
    """As large as letters need it where that can be had, else what the other models look at."""
    try:
        closer = await look_closer(work, ctx, Task("legible", 0, 1))
    except UnsupportedMedia:
        closer = await decode(work, ctx)
    return next(iter(closer.pictures), None)


def _jpeg(picture: Picture, longest_px: int) -> bytes:
    from PIL import Image

    image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
    image.thumbnail((longest_px, longest_px))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
