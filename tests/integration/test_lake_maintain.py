"""Maintenance on a real lake: it is invisible, it is bounded, and it copes with tags and leftovers."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from lake_rows import DIMS, asset_id, batch

from lakewatchd.config import LakeConfig
from lakewatchd.errors import OutOfSpace
from lakewatchd.lake import files, indexes, maintain, schema
from lakewatchd.lake.compare import compare
from lakewatchd.lake.finder import Finder
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.store import Store
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
        for number in range(70):
            await writer.submit(batch(number))
        await writer.purge(before=0.0)  # comes after any step that is still due
        hygiene = writer._maintenance.hygiene(schema.GOLD)
    assert hygiene.fragments <= 50, "a table's turn comes once all others had theirs: some forty steps"
    assert hygiene.unindexed_rows <= 50


async def test_everything_is_indexed_after_optimize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "BITMAPS_FROM_ROWS", 5)
    async with serving(await opened(tmp_path)) as writer:
        for number in range(12):
            await writer.submit(batch(number))
        await writer.optimize()
        for spec in schema.TABLES:
            state = writer._maintenance.hygiene(spec)
            assert (state.unindexed_rows, state.fragments) == (0, min(1, state.fragments)), spec.name
        dataset = maintain._dataset(writer._store, schema.GOLD)
        assert {"tag_names_idx", "category_idx", "text_words", "asset_id_idx"} <= indexes.unindexed_rows(dataset).keys()


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


async def test_new_rows_are_indexed_in_parts_that_grow_by_doubling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "TAIL_ROWS", 8)
    async with serving(await opened(tmp_path, optimize_commits=10_000)) as writer:
        for turn in range(0, 128, 8):
            await asyncio.gather(*(writer.submit(batch(n)) for n in range(turn, turn + 8)))
        await writer.purge(before=0.0)
        for _ in range(20):  # one step after each commit: what is still due
            await writer.submit(batch(0))
        table = files.dataset(files.Directory(tmp_path / "lake"), "gold_assets")
        parts = {index.name: len(index.segments) for index in table.describe_indices()}
        assert parts["text_words"] <= 7
        assert indexes.unindexed_rows(table)["text_words"] <= 64, "though nothing was due by commits"


@pytest.mark.parametrize(
    ("new", "sizes", "merged"), [(5, [], 0), (5, [6], 0), (5, [5], 1), (5, [5, 11], 1), (5, [5, 10, 100], 2)]
)
def test_parts_are_merged_with_what_is_no_smaller(new: int, sizes: list[int], merged: int) -> None:
    assert indexes.merged_with(new, sizes) == merged


async def test_vectors_are_indexed_beside_commits_and_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "VECTORS_FROM_ROWS", 50)
    async with serving(await opened(tmp_path, optimize_commits=4)) as writer:
        await asyncio.gather(*(writer.submit(batch(n)) for n in range(200)))
        finder = Finder(tmp_path / "lake")
        for number in range(200, 240):
            await writer.submit(batch(number))
            length = (1 + (number % 7) ** 2) ** 0.5
            near = await finder.nearest("image", (number % 7 / length, 0.0, 1 / length, 0.0), 1)
            assert near[0].score == pytest.approx(1.0, abs=1e-4)
        await writer.optimize()
        names = indexes.unindexed_rows(files.dataset(files.Directory(tmp_path / "lake"), "silver_spans"))
        assert "image_vector_ivf_sq" in names
        assert "text_vector_ivf_sq" in names


async def test_an_index_that_takes_long_is_given_up_when_the_writer_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "VECTORS_FROM_ROWS", 50)
    begun = asyncio.Event()

    create_index = Store.create_index

    async def forever(store: Store, spec: schema.TableSpec, column: schema.Column, rows: int = 0) -> None:
        if column.index != "vectors":
            return await create_index(store, spec, column, rows)
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Store, "create_index", forever)
    async with serving(await opened(tmp_path, optimize_commits=2)) as writer:
        await asyncio.gather(*(writer.submit(batch(n)) for n in range(100)))
        while not begun.is_set():
            await writer.submit(batch(1))
    async with serving(await opened(tmp_path)) as writer:
        await writer.submit(batch(1))
