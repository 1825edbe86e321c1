"""Where it was taken: country and city of the position that it, or a sidecar of it, tells.

Cheap, and done whenever an asset is published: positions come with sidecars. The transform names the data, so that
other data renews all places.
"""

from __future__ import annotations

import asyncio

from lakewatchd.core.lineage import Transform
from lakewatchd.stages import family, places
from lakewatchd.stages.base import Context, Stage, Work
from lakewatchd.stages.places import Gazetteer


def stage(gazetteer: Gazetteer) -> Stage | None:
    """None where the data is not installed."""
    found = places.versions()
    if found is None:
        return None

    async def run(work: Work, ctx: Context) -> None:
        kin = await family.find(work, ctx)
        at = family.position(work.row, kin.sidecars)
        if at is not None:
            work.place = await asyncio.to_thread(gazetteer.at, *at)

    return Stage(Transform.of("place", 1, found), run)
