"""Which objects are in each picture, and where. In clips of a film, :mod:`lakewatchd.stages.clips` looks for them."""

from __future__ import annotations

import dataclasses

from lakewatchd.core.lineage import Transform
from lakewatchd.models.base import ModelInfo
from lakewatchd.stages.base import Context, Stage, Work, decode
from lakewatchd.stages.spans import PICTURED


def stage(detector: ModelInfo) -> Stage:
    return Stage(Transform.of("detect", 2, detector.transform_config), run)


async def run(work: Work, ctx: Context) -> None:
    at = [number for number, span in enumerate(work.spans) if span.kind in PICTURED]
    for number, picture in zip(at, (await decode(work, ctx)).pictures if at else (), strict=False):
        objects = await ctx.models.detect(picture, priority=work.priority)
        work.spans[number] = dataclasses.replace(work.spans[number], objects=tuple(objects))
