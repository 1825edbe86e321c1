"""Readers beside a writer, in this process and in another."""

import asyncio
import dataclasses
import multiprocessing
from pathlib import Path

import pytest
from lake_rows import DIMS, asset_id, batch, occurrence, place

from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import Kind
from lakewatchd.lake.reader import Changes, LakeReader
from lakewatchd.lake.rows import Batch, Presence
from lakewatchd.lake.tables import LakeWriter, serving

QUICK = LakeConfig(commit_s=0.02)


async def opened(base: Path) -> LakeWriter:
    return await LakeWriter.open(base / "lake", base / "thumbnails.db", DIMS, QUICK)


async def test_a_lake_that_is_not_there_is_empty_and_stays_away(tmp_path: Path) -> None:
    reader = LakeReader(tmp_path / "lake")
    assert await reader.asset(asset_id(1)) is None
    assert await reader.occurrences_of(asset_id(1)) == []
    assert [page async for page in reader.stale("embed", "embed/1/x")] == []
    assert await reader.counts() == []
    assert await reader.changes_since(0) == Changes(0, is_full=True)
    assert not (tmp_path / "lake").exists()
    async with serving(await opened(tmp_path)) as writer:
        assert (await reader.changes_since(0)).occurrences == ()
        await writer.submit(batch(1))
        assert await reader.asset(asset_id(1)) == batch(1).assets[0]


async def test_rows_by_key(tmp_path: Path) -> None:
    async with serving(await opened(tmp_path)) as writer:
        await asyncio.gather(*(writer.submit(batch(n, spans=2)) for n in range(20)))
        await writer.submit(Batch((occurrence(50, content=3),)))
        reader = LakeReader(tmp_path / "lake")
        assert await reader.occurrence(place(3)) == occurrence(3)
        assert [row.key for row in await reader.occurrences_of(asset_id(3))] == sorted([place(3), place(50)])
        assert await reader.gold(asset_id(3)) == batch(3).gold[0]
        assert await reader.spans(asset_id(3)) == list(batch(3, spans=2).spans)
        assert len(await reader.assets(map(asset_id, range(10, 2000)))) == 10
        assert await reader.asset("'; DROP TABLE silver_assets; --") is None
        reader.close()


async def test_changes_are_told_once_and_none_is_missed(tmp_path: Path) -> None:
    async with serving(await opened(tmp_path)) as writer:
        reader = LakeReader(tmp_path / "lake")
        await asyncio.gather(*(writer.submit(batch(n)) for n in range(3)))
        first = await reader.changes_since(0)
        assert (first.is_full, len(first.occurrences), len(first.gold)) == (True, 3, 3)
        light = dataclasses.replace(batch(1).gold[0], text="", vector=None)
        assert [row for row in first.gold if row.asset_id == asset_id(1)] == [light]
        await writer.submit(batch(3))
        second = await reader.changes_since(first.revision)
        assert [row.asset_id for row in second.gold] == [asset_id(3)]
        assert [row.key for row in second.occurrences] == [place(3)]
        assert await reader.changes_since(second.revision) == Changes(second.revision, is_full=False)


async def test_withdrawals_are_told_unless_served_again(tmp_path: Path) -> None:
    async with serving(await opened(tmp_path)) as writer:
        reader = LakeReader(tmp_path / "lake")
        await writer.submit(batch(1))
        await writer.submit(batch(2))
        start = (await reader.changes_since(0)).revision
        await writer.submit(Batch((occurrence(1, Presence.GONE),), gold_gone=(asset_id(1),)))
        await writer.submit(Batch(gold_gone=(asset_id(2),)))
        await writer.submit(batch(2))
        changes = await reader.changes_since(start)
        assert changes.gold_gone == (asset_id(1),)
        assert [row.asset_id for row in changes.gold] == [asset_id(2)]
        assert await reader.gold(asset_id(1)) is None


async def test_a_view_that_polls_during_commits_ends_up_equal(tmp_path: Path) -> None:
    gold: dict[str, str] = {}
    revision = 0

    async def follow() -> None:
        nonlocal revision
        changes = await reader.changes_since(revision)
        if changes.is_full:
            gold.clear()
        for gone in changes.gold_gone:
            gold.pop(gone, None)
        gold.update((row.asset_id, row.title) for row in changes.gold)
        revision = changes.revision

    async with serving(await opened(tmp_path)) as writer:
        reader = LakeReader(tmp_path / "lake")
        for turn in range(15):
            work = [writer.submit(batch(n, title=str(turn))) for n in range(turn, turn + 5)]
            work.append(writer.submit(Batch(gold_gone=(asset_id(turn),))))
            await asyncio.gather(follow(), *work)
        await follow()
        assert gold == {row.asset_id: row.title async for row in reader.all_gold()}
        assert len(gold) == 4


async def test_stale_by_stage_kind_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakewatchd.lake.reader.STALE_AT_ONCE", 2)  # several ranges of ids
    ids = [64 * digit for digit in "016df"]
    async with serving(await opened(tmp_path)) as writer:
        await writer.submit(Batch(assets=tuple(dataclasses.replace(batch(1).assets[0], asset_id=one) for one in ids)))
        reader = LakeReader(tmp_path / "lake")
        assert [page async for page in reader.stale("chunk", "chunk/1/a")] == []
        assert [page async for page in reader.stale("embed", "embed/1/x", page=9)] == [ids[:2], ids[2:3], ids[3:]]
        assert [page async for page in reader.stale("chunk", "chunk/2/a", page=1)] == [[one] for one in ids]
        assert [page async for page in reader.stale("chunk", "chunk/2/a", kinds=[Kind.VIDEO])] == []


def _reads_in_another_process(directory: Path, expected: int) -> int:
    async def read() -> int:
        reader = LakeReader(directory)
        return len((await reader.changes_since(0)).gold) if expected else 0

    return asyncio.run(read())


async def test_another_process_sees_each_commit(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        async with serving(await opened(tmp_path)) as writer:
            for count in (1, 2, 3):
                await writer.submit(batch(count))
                seen = await asyncio.to_thread(pool.apply, _reads_in_another_process, (tmp_path / "lake", count))
                assert seen == count
