"""Maintenance on a real lake: it is invisible, it is bounded, and it copes with tags and leftovers."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from lake_rows import DIMS, asset_id, batch

from lakewatchd.config import LakeConfig
from lakewatchd.errors import OutOfSpace
from lakewatchd.lake import maintain, schema
from lakewatchd.lake.compare import compare
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.tables import LakeWriter, serving


async def opened(base: Path, **config: float) -> LakeWriter:
    settings = LakeConfig(commit_s=0.0, **config)  # type: ignore[arg-type]
    return await LakeWriter.open(base / "lake", base / "thumbnails.db", DIMS, settings, sync=False)


async def test_optimizing_changes_nothing_a_reader_finds(tmp_path: Path) -> None:
    for name in ("plain", "optimized"):
        async with serving(await opened(tmp_path / name)) as writer:
            for number in range(12):
                await writer.submit(batch(number % 8, spans=2, title=str(number)))
                if name == "optimized" and number % 4 == 3:
                    await writer.optimize()
    assert (await compare(tmp_path / "plain" / "lake", tmp_path / "optimized" / "lake")).differences == ()


async def test_debt_is_paid_between_groups(tmp_path: Path) -> None:
    async with serving(await opened(tmp_path, optimize_commits=10)) as writer:
        for number in range(40):
            await writer.submit(batch(number))
        await writer.purge(before=0.0)  # comes after any step that is still due
        hygiene = writer._maintenance.hygiene(schema.GOLD)
    assert hygiene.fragments <= 20
    assert hygiene.unindexed_rows <= 20


async def test_everything_is_indexed_after_optimize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "INDEX_FROM_ROWS", 5)
    async with serving(await opened(tmp_path)) as writer:
        for number in range(12):
            await writer.submit(batch(number))
        await writer.optimize()
        for spec in schema.TABLES:
            state = writer._maintenance.hygiene(spec)
            assert (state.unindexed_rows, state.fragments) == (0, min(1, state.fragments)), spec.name
        dataset = maintain._dataset(writer._store, schema.GOLD)
        assert {"tag_names_idx", "category_idx", "text_idx", "asset_id_idx"} <= set(maintain._index_names(dataset))


async def test_an_old_tag_stops_neither_indexing_nor_cleaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    monkeypatch.setattr(maintain, "KEEP_VERSIONS", dt.timedelta(0))
    async with serving(await opened(tmp_path)) as writer:
        await writer.submit(batch(1))
        path = tmp_path / "lake" / "silver_assets.lance"
        lance.dataset(path).tags.create("kept", lance.dataset(path).version)
        for number in range(2, 8):
            await writer.submit(batch(number))
        await writer.optimize()
        assert writer._maintenance.hygiene(schema.ASSETS).unindexed_rows == 0
        assert len(lance.dataset(path).versions()) == 2, "the newest and the tagged one"
        assert lance.dataset(path, version="kept").count_rows() == 1


async def test_leftovers_of_killed_writers_go_at_start(tmp_path: Path) -> None:
    async with serving(await opened(tmp_path)) as writer:
        await writer.submit(batch(1))
    orphan = tmp_path / "lake" / "silver_assets.lance" / "data" / "orphan.lance"
    torn = orphan.with_name(".tmpAbCdEf")
    for path in (orphan, torn):
        path.write_bytes(b"x" * 100_000)
    async with serving(await opened(tmp_path)) as writer:
        assert not orphan.exists()
        assert not torn.exists()
        assert await LakeReader(tmp_path / "lake").asset(asset_id(1)) is not None


async def test_a_reader_in_the_middle_keeps_its_version(tmp_path: Path) -> None:
    async with serving(await opened(tmp_path)) as writer:
        await asyncio.gather(*(writer.submit(batch(n)) for n in range(2000)))
        rows = LakeReader(tmp_path / "lake").all_gold()
        seen = [await anext(rows)]
        for number in range(9):
            await writer.submit(batch(number, title="changed"))
        await writer.optimize()
        seen += [row async for row in rows]
    assert len({row.asset_id for row in seen}) == 2000


async def test_a_full_disk_puts_maintenance_off_and_commits_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> list[maintain.Step]:
        raise OutOfSpace("no space left while compacting")

    monkeypatch.setattr(maintain.Maintenance, "_compactions", full)
    async with serving(await opened(tmp_path, optimize_commits=2)) as writer:
        for number in range(5):
            await writer.submit(batch(number))
    assert "maintenance put off" in caplog.text
