"""Who has to hear that a copy, which a person spoke of, is a copy no more."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import cast

from lake_rows import asset_id, batch

from lakewatchd.core.asset import Correction
from lakewatchd.lake.rows import GoldRow
from lakewatchd.stages import dedupe
from lakewatchd.stages.base import Context

COPY, LEADER = asset_id(1), asset_id(2)
SAID = Correction(tags=("tiger",))


async def told(now: str, correction: Correction) -> list[str]:
    """Of a copy that stood in the group of ``LEADER`` and is now in the group ``now``."""
    (row,) = batch(1).gold
    before = dataclasses.replace(row, duplicate_group=LEADER, is_representative=False)

    async def gold(_: str) -> GoldRow:
        return before

    ctx = cast(Context, SimpleNamespace(neighbours=object(), lake=SimpleNamespace(gold=gold)))
    published = dataclasses.replace(row, duplicate_group=now, is_representative=not now)
    same, jobs = await dedupe.heard(published, correction, ctx)
    assert same == published
    return [job.key for job in jobs]


async def test_the_group_that_a_copy_left_is_told_whatever_it_is_now() -> None:
    assert await told("", SAID) == [LEADER], "it became a part of a raw picture, and is alone"
    assert await told(asset_id(3), SAID) == [LEADER, asset_id(3)]
    assert await told("", Correction()) == []
