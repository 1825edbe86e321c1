"""Any sequence of batches leaves the tables as a dict would be: groups, repeats, withdrawals, restarts."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_rows import DIMS, asset_id, batch, occurrence

from lakewatchd.config import LakeConfig
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, Batch, GoldRow, OccurrenceRow, Presence, SpanRow
from lakewatchd.lake.tables import LakeWriter, serving

numbers = st.integers(0, 3)
indexed = st.builds(lambda n, spans, title: batch(n, spans=spans, title=title), numbers, st.integers(0, 3), st.text())
withdrawn = st.builds(lambda n: Batch((occurrence(n, Presence.GONE),), gold_gone=(asset_id(n),)), numbers)
moved = st.builds(lambda n, content: Batch((occurrence(n, content=content),)), numbers, numbers)
OPTIMIZE, RESTART = "optimize", "restart"
turns = st.lists(st.lists(indexed | withdrawn | moved, min_size=1, max_size=4) | st.sampled_from([OPTIMIZE, RESTART]))


class Model:
    def __init__(self) -> None:
        self.places: dict[str, OccurrenceRow] = {}
        self.assets: dict[str, AssetRow] = {}
        self.spans: dict[str, tuple[SpanRow, ...]] = {}
        self.gold: dict[str, GoldRow] = {}

    def apply(self, batch: Batch) -> None:
        for place in batch.occurrences:
            self.places[place.key.occurrence_id] = place
        for asset in batch.assets:
            self.assets[asset.asset_id], self.spans[asset.asset_id] = asset, batch.spans
        for gold in batch.gold:
            self.gold[gold.asset_id] = gold
        for gone in batch.gold_gone:
            self.gold.pop(gone, None)


async def play(base: Path, script: list[list[Batch] | str]) -> None:
    model, at = Model(), 0
    while at <= len(script):
        config = LakeConfig(commit_s=0.0, optimize_commits=3)
        async with serving(await LakeWriter.open(base / "lake", base / "t.db", DIMS, config, sync=False)) as writer:
            while at < len(script) and script[at] != RESTART:
                step = script[at]
                at += 1
                if isinstance(step, str):
                    await writer.optimize()
                    continue
                await asyncio.gather(*map(writer.submit, step))
                for batch in step:
                    model.apply(batch)
            at += 1
            await check(LakeReader(base / "lake"), model)


async def check(reader: LakeReader, model: Model) -> None:
    assert sorted([r.key async for r in reader.all_occurrences()]) == sorted(r.key for r in model.places.values())
    for place in model.places.values():
        assert await reader.occurrence(place.key) == place
    assert {row.asset_id: row async for row in reader.all_assets()} == model.assets
    assert {row.asset_id: row async for row in reader.all_gold()} == model.gold
    spans = sorted([row async for row in reader.all_spans()], key=lambda row: (row.asset_id, row.span))
    assert spans == [span for key in sorted(model.spans) for span in model.spans[key]]


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(turns)
def test_tables_equal_a_dict(script: list[list[Batch] | str]) -> None:
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(play(Path(base), script))
