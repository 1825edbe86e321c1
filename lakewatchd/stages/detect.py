"""Which objects are in the picture, and where."""

from __future__ import annotations

import dataclasses

from lakewatchd.core.lineage import Transform
from lakewatchd.models.base import ModelInfo
from lakewatchd.stages.base import Context, Stage, Work, decode


def stage(detector: ModelInfo) -> Stage:
    return Stage(Transform.of("detect", 1, detector.transform_config), run)


async def run(work: Work, ctx: Context) -> None:
    picture = (await decode(work, ctx)).picture
    if picture is None or not work.spans:
        return
    objects = await ctx.models.detect(picture, priority=work.priority)
    work.spans[0] = dataclasses.replace(work.spans[0], objects=tuple(objects))
