"""The writer on a real Lance lake."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from lake_rows import DIMS, asset_id, batch, occurrence, place

from lakewatchd.config import LakeConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.errors import AlreadyRunning, AssetError, Busy, FatalError, OutOfSpace, SchemaTooNew
from lakewatchd.lake import durable, files, maintain, schema, tables
from lakewatchd.lake.compare import compare
from lakewatchd.lake.files import Directory
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Batch, Presence
from lakewatchd.lake.store import Store
from lakewatchd.lake.tables import LakeWriter, serving

QUICK = LakeConfig(commit_s=0.02)


@contextlib.asynccontextmanager
async def lake(base: Path, dims: schema.Dims = DIMS, config: LakeConfig = QUICK) -> AsyncIterator[LakeWriter]:
    async with serving(await LakeWriter.open(base / "lake", base / "thumbnails.db", dims, config)) as writer:
        yield writer


async def test_a_repeat_changes_nothing(tmp_path: Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    async with lake(once) as a, lake(twice) as b:
        for number in range(5):
            await a.submit(batch(number, spans=2))
        await asyncio.gather(*(b.submit(batch(number, spans=2)) for number in range(5)))
        await asyncio.gather(*(b.submit(batch(number, spans=2)) for number in reversed(range(5))))
    result = await compare(once / "lake", twice / "lake")
    assert result.differences == ()
    assert result.compared["silver_spans"] == 10


async def test_the_newest_wins_across_and_within_groups(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1, title="first"))
        await asyncio.gather(*(writer.submit(batch(1, title=f"{n}")) for n in range(20)))
        reader = LakeReader(tmp_path / "lake")
        assert (await reader.assets([asset_id(1)]))[0].title == "19"
        assert [row.title for row in await reader.gold_of_many([asset_id(1)])] == ["19"]


async def test_waiting_batches_share_one_commit(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        before = {c.table: c.version for c in await LakeReader(tmp_path / "lake").counts()}
        await asyncio.gather(*(writer.submit(batch(n)) for n in range(64)))
        after = {c.table: c.version for c in await LakeReader(tmp_path / "lake").counts()}
    assert after["silver_assets"] - before["silver_assets"] == 1
    assert after["bronze_occurrences"] - before["bronze_occurrences"] == 1


async def test_a_shorter_rewrite_removes_the_old_spans(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1, spans=5))
        await writer.submit(batch(2, spans=5))
        await writer.submit(batch(1, spans=2))
        reader = LakeReader(tmp_path / "lake")
        assert [row.span for row in await reader.spans(asset_id(1))] == [0, 1]
        assert len(await reader.spans(asset_id(2))) == 5


async def test_rows_no_table_holds_are_refused_at_the_door(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        short = dataclasses.replace(batch(1).spans[0], image_vector=(1.0,))
        with pytest.raises(ValueError, match="image_vector"):
            writer.submit(Batch(spans=(short,)))


async def test_only_the_guilty_batch_of_a_group_fails(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        too_large = dataclasses.replace(batch(2).assets[0], size_bytes=1 << 70)
        guilty = Batch(assets=(too_large,))
        results = await asyncio.gather(
            *(writer.submit(item) for item in (batch(1), guilty, batch(3))), return_exceptions=True
        )
        assert [isinstance(result, AssetError) for result in results] == [False, True, False]
        await writer.submit(batch(4))
        assert len(await LakeReader(tmp_path / "lake").assets(map(asset_id, range(5)))) == 3


async def test_a_cancelled_submitter_disturbs_nobody(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        writer.submit(batch(1)).cancel()
        await writer.submit(batch(2))
        assert await LakeReader(tmp_path / "lake").asset(asset_id(1)) is not None


async def test_stopping_commits_what_waits_and_refuses_more(tmp_path: Path) -> None:
    async with lake(tmp_path, config=LakeConfig(commit_s=3600)) as writer:
        waiting = writer.submit(batch(1))
    assert waiting.done() and waiting.exception() is None
    with pytest.raises(FatalError):
        writer.submit(batch(2))


async def test_one_writer_at_a_time(tmp_path: Path) -> None:
    async with lake(tmp_path):
        with pytest.raises(AlreadyRunning, match=str(os.getpid())):
            await LakeWriter.open(tmp_path / "lake", tmp_path / "thumbnails.db", DIMS)
    async with lake(tmp_path):
        pass


async def test_a_newer_lake_is_left_alone(tmp_path: Path) -> None:
    async with lake(tmp_path):
        pass
    ledger = tmp_path / "lake" / "lake.json"
    ledger.write_text(json.dumps(json.loads(ledger.read_text()) | {"schema": schema.SCHEMA_VERSION + 1}))
    with pytest.raises(SchemaTooNew):
        await LakeWriter.open(tmp_path / "lake", tmp_path / "thumbnails.db", DIMS)
    with pytest.raises(SchemaTooNew):
        await LakeReader(tmp_path / "lake").changes_since(0)


async def test_another_model_drops_the_old_vectors_and_keeps_the_rest(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1))
    async with lake(tmp_path, schema.Dims(image=6, text=0)) as writer:
        reader = LakeReader(tmp_path / "lake")
        span = (await reader.spans(asset_id(1)))[0]
        gold = await reader.gold(asset_id(1))
        assert (span.image_vector, gold and gold.vector) == (None, None)
        assert (span.objects, span.text_vector) == (batch(1).spans[0].objects, batch(1).spans[0].text_vector)
        longer = dataclasses.replace(span, image_vector=(1.0,) * 6)
        await writer.submit(Batch(spans=(longer,)))
        assert await reader.spans(asset_id(1)) == [longer]


async def test_what_loses_its_vectors_is_embedded_again_whichever_model_comes_back(tmp_path: Path) -> None:
    embedded = dataclasses.replace(batch(1).assets[0], transforms={"chunk": "chunk/1/a", "embed": "embed/1/c"})
    async with lake(tmp_path) as writer:
        await writer.submit(dataclasses.replace(batch(1), assets=(embedded,)))
    async with lake(tmp_path, schema.Dims(image=6, text=3)):
        pass  # for a moment only: nothing was embedded with it
    async with lake(tmp_path):
        reader = LakeReader(tmp_path / "lake")
        assert (await reader.spans(asset_id(1)))[0].image_vector is None
        assert [page async for page in reader.stale("embed", "embed/1/c")] == [[asset_id(1)]]
        assert [page async for page in reader.stale("chunk", "chunk/1/a")] == []


async def test_vectors_survive_while_their_model_is_off(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1))
    async with lake(tmp_path, schema.Dims(image=0, text=0)) as writer:
        reader = LakeReader(tmp_path / "lake")
        row, spans = await reader.asset(asset_id(1)), await reader.spans(asset_id(1))
        assert row is not None
        await writer.submit(Batch(assets=(row,), spans=tuple(spans)))  # another stage ran meanwhile
        await writer.submit(batch(2))
    async with lake(tmp_path):
        assert await reader.spans(asset_id(1)) == list(batch(1).spans)
        assert await reader.spans(asset_id(2)) == list(batch(2).spans)


async def test_a_lake_from_before_a_column_gets_it(tmp_path: Path) -> None:
    import lancedb

    async with lake(tmp_path) as writer:
        await writer.submit(batch(1))
    table = await (await lancedb.connect_async(tmp_path / "lake")).open_table("silver_assets")
    await table.drop_columns(["embed_transform", "camera"])
    async with lake(tmp_path) as writer:
        await writer.submit(batch(2))
        reader = LakeReader(tmp_path / "lake")
        assert await reader.asset(asset_id(2)) == batch(2).assets[0]
        assert (await reader.assets([asset_id(1)]))[0].mime == "image/jpeg"


class Backwards(SystemClock):
    """A clock that was set to the past."""

    def now(self) -> float:
        return 1000.0


async def test_revisions_grow_though_the_clock_goes_back(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1))
    reader = LakeReader(tmp_path / "lake")
    before = (await reader.changes_since(0)).revision
    past = await LakeWriter.open(tmp_path / "lake", tmp_path / "thumbnails.db", DIMS, QUICK, Backwards())
    async with serving(past) as writer:
        await writer.submit(batch(2))
        changes = await reader.changes_since(before)
    assert changes.revision > before
    assert [row.asset_id for row in changes.gold] == [asset_id(2)]


async def test_purge_forgets_only_what_nothing_holds(tmp_path: Path) -> None:
    async with lake(tmp_path) as writer:
        for number in (1, 2, 3):
            await writer.submit(batch(number, spans=2))
        # 1 is gone; 2 is gone here but its content lies elsewhere; 3 is there.
        await writer.submit(Batch((occurrence(1, Presence.GONE),), gold_gone=(asset_id(1),)))
        await writer.submit(Batch((occurrence(2, Presence.GONE), occurrence(9, content=2)), gold_gone=(asset_id(2),)))
        reader = LakeReader(tmp_path / "lake")
        revision = (await reader.changes_since(0)).revision
        await writer.purge(before=1000.0)
        assert await reader.occurrence(place(1)) is not None
        await writer.purge(before=revision / 1e6 + 1)
        assert await reader.occurrence(place(1)) is None
        assert await reader.asset(asset_id(1)) is None
        assert await reader.spans(asset_id(1)) == []
        assert (await reader.asset(asset_id(2)), len(await reader.spans(asset_id(2)))) == (
            batch(2, spans=2).assets[0],
            2,
        )
        assert await reader.asset(asset_id(3)) is not None
        assert (await reader.changes_since(revision - 1)).is_full, "a reader from before the purge must start anew"
    from lakewatchd.lake.thumbnails import Thumbnails

    thumbnails = Thumbnails(tmp_path / "thumbnails.db", read_only=True)
    assert thumbnails.ids() == {asset_id(2), asset_id(3)}
    thumbnails.close()


async def test_a_writer_that_dies_fails_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = await LakeWriter.open(tmp_path / "lake", tmp_path / "thumbnails.db", DIMS, LakeConfig(commit_s=3600))
    waiting = writer.submit(batch(1))
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(FatalError, match="stopped"):
        await waiting
    await writer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "small"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(target)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    yield target
    subprocess.run(["umount", "--lazy", str(target)], check=True)


async def test_a_full_disk_pauses_and_loses_nothing_acked(small_disk: Path) -> None:
    async with lake(small_disk) as writer:
        await writer.submit(batch(1))
        acked = [1]
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - 200_000))
        with pytest.raises(OutOfSpace):
            for number in range(2, 500):
                await writer.submit(batch(number, spans=20))
                acked.append(number)
        with pytest.raises(OutOfSpace):
            await writer.submit(batch(500, spans=200))
        ballast.unlink()
        await writer.submit(batch(501))
        reader = LakeReader(small_disk / "lake")
        assert {row.asset_id for row in await reader.assets(map(asset_id, acked))} == set(map(asset_id, acked))
    async with lake(small_disk) as writer:
        await writer.submit(batch(502))


async def test_a_disk_that_is_full_during_maintenance_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(*_: object, **__: object) -> None:
        loop.call_soon_threadsafe(refused.set)
        raise OSError(errno.ENOSPC, "No space left on device")

    async with lake(tmp_path, config=LakeConfig(commit_s=0.02, optimize_commits=2)) as writer:
        for number in range(2):
            await writer.submit(batch(number))
        with monkeypatch.context() as patch:
            patch.setattr(tables.durable, "write_ledger", full)
            async with asyncio.timeout(60):
                await refused.wait()
            await asyncio.sleep(0.05)
        await writer.submit(batch(3))
        assert await LakeReader(tmp_path / "lake").asset(asset_id(3)) is not None


async def test_a_reader_that_knows_all_is_not_sent_back_by_a_purge(tmp_path: Path) -> None:
    """Not even by one whose clock runs ahead: each look of a view would read the whole lake."""
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1))
        await writer.submit(Batch(gold_gone=(asset_id(1),)))
        reader = LakeReader(tmp_path / "lake")
        revision = (await reader.changes_since(0)).revision
        await writer.purge(before=revision / 1e6 + 1e8)
        assert not (await reader.changes_since(revision)).is_full
        assert (await reader.changes_since(revision - 1)).is_full


class TestPowerCut:
    """A power cut keeps what was synced, and may empty or tear anything newer."""

    async def torn_lake(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with lake(base) as writer:
            await writer.submit(batch(1))
            await writer.submit(batch(2))
            with monkeypatch.context() as patch:  # the cut comes before the third group is synced
                patch.setattr(tables.durable, "write_ledger", lambda *_, **__: None)
                await writer.submit(batch(3))
            ledger = durable.read_ledger(Directory(base / "lake"))
            for table in (base / "lake").glob("*.lance"):
                newest = min((table / "_versions").glob("*.manifest"), key=lambda path: int(path.stem))
                if durable.version_of(newest.name) > ledger.versions[table.stem]:
                    newest.write_bytes(b"")

    async def test_torn_versions_are_dropped_and_acked_rows_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.torn_lake(tmp_path, monkeypatch)
        monkeypatch.setattr(files, "boot_id", lambda: "another boot")
        async with lake(tmp_path) as writer:
            reader = LakeReader(tmp_path / "lake")
            assert len(await reader.assets(map(asset_id, (1, 2, 3)))) == 2
            await writer.submit(batch(3))
        fresh = tmp_path / "fresh"
        async with lake(fresh) as writer:
            await asyncio.gather(*(writer.submit(batch(number)) for number in (1, 2, 3)))
        assert (await compare(tmp_path / "lake", fresh / "lake")).differences == ()

    async def test_cleaning_up_at_the_start_spares_what_the_ledger_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with lake(tmp_path) as writer:
            await writer.submit(batch(1))
            with monkeypatch.context() as patch:  # killed before the ledger knew of the second group
                patch.setattr(tables.durable, "write_ledger", lambda *_, **__: None)
                await writer.submit(batch(2))
        tidy = maintain.Maintenance.tidy_at_start

        async def tidy_and_cut(self: maintain.Maintenance) -> None:
            await tidy(self)
            raise KeyboardInterrupt("the power goes")

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(maintain, "KEEP_VERSIONS", dt.timedelta(0))
            patch.setattr(maintain.Maintenance, "tidy_at_start", tidy_and_cut)
            await LakeWriter.open(tmp_path / "lake", tmp_path / "thumbnails.db", DIMS, QUICK)
        monkeypatch.setattr(files, "boot_id", lambda: "another boot")
        async with lake(tmp_path):
            assert len(await LakeReader(tmp_path / "lake").assets(map(asset_id, (1, 2)))) == 2

    async def test_without_the_roll_back_the_lake_would_be_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.torn_lake(tmp_path, monkeypatch)
        with pytest.raises(FatalError):
            async with lake(tmp_path):
                pass

    async def test_a_torn_first_start_is_forgotten(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "lake").mkdir()
        durable.recover(Directory(tmp_path / "lake"))
        versions = tmp_path / "lake" / "silver_spans.lance" / "_versions"
        versions.mkdir(parents=True)
        (versions / f"{(1 << 64) - 2}.manifest").touch()
        monkeypatch.setattr(files, "boot_id", lambda: "another boot")
        async with lake(tmp_path) as writer:
            await writer.submit(batch(1))

    async def test_everything_is_synced_before_the_ack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: set[Path] = set()
        real = files._fsync

        def spy(path: Path) -> None:
            synced.add(Path(path))
            real(path)

        monkeypatch.setattr(files, "_fsync", spy)
        async with lake(tmp_path) as writer:
            await writer.submit(batch(1))
            written = {path for path in (tmp_path / "lake").rglob("*") if path.name != "lake.json"}
            assert written <= synced


def test_importing_the_lake_is_cheap() -> None:
    code = (
        "import sys, lakewatchd.lake.tables, lakewatchd.lake.reader; "
        "sys.exit(any(m in sys.modules for m in ('lancedb', 'lance', 'pyarrow', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_another_programs_commit_is_waited_for_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tables, "CONFLICT_WAITS_S", (0.0, 0.0))
    real, conflicts = Store.merge, 2

    async def merge(store: Store, spec: schema.TableSpec, rows: Any) -> None:
        nonlocal conflicts
        if spec.name == "gold_assets" and conflicts:
            conflicts -= 1
            raise Busy("another commit came first")
        await real(store, spec, rows)

    monkeypatch.setattr(Store, "merge", merge)
    async with lake(tmp_path) as writer:
        await writer.submit(batch(1))
        assert "another commit came first: it is written again" in caplog.text
        conflicts = 3
        with pytest.raises(Busy):
            await writer.submit(batch(2))
        conflicts = 0
        await writer.submit(batch(2))
        reader = LakeReader(tmp_path / "lake")
        assert len([row async for row in reader.all_gold()]) == 2
        assert len([row async for row in reader.all_spans()]) == 2
        reader.close()


async def test_who_has_much_waits_until_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_UNWRITTEN_BYTES", 1)
    async with lake(tmp_path) as writer:
        await writer.room()
        first = writer.submit(batch(1))
        assert writer._unwritten_bytes > 1
        await writer.room()
        assert first.done() and writer._unwritten_bytes == 0
        second = writer.submit(batch(2))
        second.cancel()
        writer.submit(batch(3))
        await writer.room()  # who gave up frees its room too
        assert writer._unwritten_bytes == 0


@pytest.mark.parametrize("step", ["sync", "ledger"])
async def test_a_disk_that_fails_to_write_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The kernel tells of a failed write once: a second sync would succeed without what was lost."""
    calls = 0

    def fail(*_args: object, **_options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with lake(tmp_path) as writer:
        await writer.submit(batch(0))
        if step == "sync":
            monkeypatch.setattr(Directory, "sync", fail)
        else:
            monkeypatch.setattr(durable, "write_ledger", fail)
        outcomes = await asyncio.gather(*(writer.submit(batch(n)) for n in (1, 2)), return_exceptions=True)
        assert all(isinstance(outcome, FatalError) for outcome in outcomes)
        assert calls == 1
        monkeypatch.undo()
