"""A lake that lost files: refused with what to do, mended as far as it can be read, and taken for another lake."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

import lancedb
import pytest
from lake_rows import DIMS, asset_id, batch, place

from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import NO_LABELS
from lakewatchd.errors import AlreadyRunning, LakeDamaged, SchemaTooNew
from lakewatchd.lake import durable, maintain, migrate, schema
from lakewatchd.lake.durable import Ledger
from lakewatchd.lake.files import Directory
from lakewatchd.lake.mend import mend
from lakewatchd.lake.purge import gone_before, with_today
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow
from lakewatchd.lake.tables import LakeWriter, serving

PHOTOS = 6


async def opened(base: Path) -> LakeWriter:
    return await LakeWriter.open(base / "lake", base / "thumbnails.db", DIMS, LakeConfig(commit_s=0.0), sync=False)


@pytest.fixture
async def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photos, each in a part of its own, and nothing tidied."""
    monkeypatch.setattr(maintain, "IDLE_COMMITS", 1000)
    async with serving(await opened(tmp_path)) as writer:
        for number in range(PHOTOS):
            await writer.submit(batch(number))
    return tmp_path / "lake"


async def counts(lake: Path) -> dict[str, int]:
    reader = LakeReader(lake)
    try:
        return {table.table: table.rows for table in await reader.counts()}
    finally:
        reader.close()


def data_files(lake: Path, table: str) -> list[Path]:
    return sorted((lake / f"{table}.lance" / "data").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def manifests(lake: Path, table: str) -> list[Path]:
    """The newest first."""
    return [lake / name for name in durable.manifests(Directory(lake), table)]


def found(lake: Path, pattern: str) -> list[Path]:
    return list(lake.glob(pattern))


def identity(lake: Path) -> str:
    return str(json.loads((lake / "lake.json").read_bytes())["identity"])


@pytest.mark.parametrize(
    ("table", "is_truncated"),
    [("silver_assets", True), ("silver_spans", False), ("bronze_occurrences", False), ("gold_assets", False)],
)
async def test_a_lost_data_file_costs_its_rows_and_no_others(lake: Path, table: str, is_truncated: bool) -> None:
    victim, before = data_files(lake, table)[2], identity(lake)
    if is_truncated:
        os.truncate(victim, victim.stat().st_size - 1)
    else:
        victim.unlink()
    with pytest.raises(LakeDamaged, match=f"{table}: {victim.name}") as caught:
        await opened(lake.parent)
    assert "check --repair" in str(caught.value.hint)
    done = mend(lake, time.time())
    assert any("1 rows are lost, the others are kept" in line for line in done)
    async with serving(await opened(lake.parent)) as writer:
        assert writer.identity != before  # so that the daemon compares what it has seen
        assert (await counts(lake))[table] == PHOTOS - 1
        await writer.submit(batch(2))
        assert (await counts(lake))[table] == PHOTOS
    assert mend(lake, time.time()) == []


async def test_lost_spans_make_their_assets_stale(lake: Path) -> None:
    data_files(lake, "silver_spans")[2].unlink()
    mend(lake, time.time())
    assert [row.asset_id for row in await all_assets(lake) if not row.transforms.get("chunk")] == [asset_id(2)]


async def test_a_torn_manifest_leads_back_to_the_version_before(lake: Path) -> None:
    newest = manifests(lake, "gold_assets")[0]
    os.truncate(newest, 10)
    with pytest.raises(LakeDamaged, match="gold_assets"):
        await opened(lake.parent)
    (told,) = mend(lake, time.time())
    assert "the version before is used" in told
    async with serving(await opened(lake.parent)):
        assert (await counts(lake))["gold_assets"] == PHOTOS - 1
    assert len(found(lake, "gold_assets.lance.damaged-*/*.manifest")) == 1


async def test_an_old_version_that_cannot_be_read_is_set_aside(lake: Path) -> None:
    """Nobody needs it, but whoever tidies up reads it."""
    before = identity(lake)
    manifests(lake, "gold_assets")[2].write_bytes(b"nonsense")
    with pytest.raises(LakeDamaged, match="gold_assets"):
        await opened(lake.parent)
    (told,) = mend(lake, time.time())
    assert "old version" in told
    async with serving(await opened(lake.parent)) as writer:
        assert writer.identity == before
        assert (await counts(lake))["gold_assets"] == PHOTOS


async def test_a_manifest_that_makes_lance_panic_is_damage_like_any_other(lake: Path) -> None:
    """It says that it is longer than its file. Where it begins, the end of the file tells."""
    newest = manifests(lake, "gold_assets")[0]
    data = bytearray(newest.read_bytes())
    start = int.from_bytes(data[-16:-8], "little")
    data[start : start + 4] = (1 << 26).to_bytes(4, "little")
    newest.write_bytes(data)
    with pytest.raises(LakeDamaged, match="gold_assets"):
        await opened(lake.parent)
    (told,) = mend(lake, time.time())
    assert "the version before is used" in told


async def test_a_table_of_which_nothing_can_be_read_is_set_aside(lake: Path) -> None:
    for manifest in manifests(lake, "silver_assets"):
        manifest.write_bytes(b"nonsense")
    (told,) = mend(lake, time.time())
    assert "set aside" in told
    async with serving(await opened(lake.parent)):
        assert (await counts(lake))["silver_assets"] == 0
    assert found(lake, "silver_assets.lance.damaged-*/silver_assets.lance/data/*")


async def test_a_lost_index_is_made_again(lake: Path) -> None:
    import shutil

    for directory in (lake / "gold_assets.lance" / "_indices").iterdir():
        shutil.rmtree(directory)
    await assert_indexes_are_made_again(lake)


async def test_a_torn_index_is_made_again(lake: Path) -> None:
    async with serving(await opened(lake.parent)) as writer:
        await writer.optimize()  # before, no row is in it
    for part in (lake / "gold_assets.lance" / "_indices").rglob("*.lance"):
        os.truncate(part, part.stat().st_size // 2)
    await assert_indexes_are_made_again(lake)


async def assert_indexes_are_made_again(lake: Path) -> None:
    async def write() -> None:
        async with serving(await opened(lake.parent)) as writer:
            await writer.submit(batch(2))

    with pytest.raises(LakeDamaged, match="gold_assets"):
        await write()
    (told,) = mend(lake, time.time())
    assert "index" in told
    await write()
    assert (await counts(lake))["gold_assets"] == PHOTOS


@pytest.mark.parametrize("content", [b"", b'{"schema": 2, "colour": "blue"}', None])
async def test_a_ledger_that_makes_no_sense_is_written_anew(lake: Path, content: bytes | None) -> None:
    ledger, before = lake / "lake.json", identity(lake)
    if content is None:
        ledger.unlink()
    else:
        ledger.write_bytes(content)
    with pytest.raises(LakeDamaged, match=r"lake\.json"):
        await opened(lake.parent)
    assert len(mend(lake, time.time())) == 1
    async with serving(await opened(lake.parent)) as writer:
        assert writer.identity not in ("", before)
        assert (await counts(lake))["gold_assets"] == PHOTOS
        reader = LakeReader(lake)
        assert (await reader.changes_since(1)).is_full  # what was withdrawn since then may not be known any more
        reader.close()


async def test_a_mend_that_was_cut_off_is_finished_by_the_next(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_files(lake, "silver_spans")[2].unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lakewatchd.lake.mend._agree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        mend(lake, time.time())
    with pytest.raises(LakeDamaged):
        await opened(lake.parent)
    assert mend(lake, time.time())
    assert [row.asset_id for row in await all_assets(lake) if not row.transforms.get("chunk")] == [asset_id(2)]


async def test_what_a_power_cut_tore_is_rolled_back_before_anything_counts_as_lost(lake: Path) -> None:
    """A compaction that never reached the disk: the version before it still has all rows."""
    import lance

    table = lake / "gold_assets.lance"
    before = set(data_files(lake, table.stem))
    lance.dataset(table).optimize.compact_files()
    (torn,) = set(data_files(lake, table.stem)) - before
    os.truncate(torn, 0)
    after_another_boot(lake)
    mend(lake, time.time())
    assert (await counts(lake))[table.stem] == PHOTOS


async def test_tables_newer_than_their_ledger_are_refused_and_kept(lake: Path) -> None:
    """As in a copy that was made while the daemon worked."""
    table = lake / "gold_assets.lance"
    for manifest in manifests(lake, table.stem)[1:]:
        manifest.unlink()
    after_another_boot(lake, {table.stem: 3})
    with pytest.raises(LakeDamaged, match="gold_assets: version 3"):
        await opened(lake.parent)
    assert mend(lake, time.time())
    async with serving(await opened(lake.parent)):
        assert (await counts(lake))[table.stem] == PHOTOS


@pytest.mark.parametrize("table", ["silver_spans", "gold_assets"])
async def test_a_table_that_is_gone_is_missed(lake: Path, table: str) -> None:
    import shutil

    shutil.rmtree(lake / f"{table}.lance")
    with pytest.raises(LakeDamaged, match=f"{table}: version"):
        await opened(lake.parent)
    before = identity(lake)
    assert mend(lake, time.time())
    async with serving(await opened(lake.parent)) as writer:
        assert writer.identity != before
        stale = [row.asset_id for row in await all_assets(lake) if not row.transforms.get("chunk")]
        assert len(stale) == (PHOTOS if table == "silver_spans" else 0)


async def all_assets(lake: Path) -> list[AssetRow]:
    reader = LakeReader(lake)
    try:
        return [row async for row in reader.all_assets()]
    finally:
        reader.close()


def after_another_boot(lake: Path, versions: dict[str, int] | None = None) -> None:
    raw = json.loads((lake / "lake.json").read_bytes())
    (lake / "lake.json").write_text(
        json.dumps(raw | {"boot": "another", "versions": raw["versions"] | (versions or {})})
    )


async def test_a_mend_that_was_cut_off_at_its_end_leaves_nothing_behind(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_files(lake, "silver_spans")[2].unlink()
    write_ledger = durable.write_ledger

    def cut_off(*args: object) -> None:
        write_ledger(*args)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(durable, "write_ledger", cut_off)
        mend(lake, time.time())
    assert mend(lake, time.time()) == []
    assert found(lake, "*.mending") == []


async def test_only_while_no_daemon_runs(lake: Path) -> None:
    async with serving(await opened(lake.parent)):
        with pytest.raises(AlreadyRunning):
            mend(lake, time.time())


# --- migrations ------------------------------------------------------------------------------------------------


NEW_IN_3 = ("etag", "version_id", "content_type", "tags", "metadata")
NEW_IN_4 = ("family",)


async def make_older(lake: Path, version: int) -> None:
    """Ledger and tables as the code of ``version`` wrote them."""
    db = await lancedb.connect_async(lake)
    await (await db.open_table("bronze_occurrences")).drop_columns([*NEW_IN_3, *NEW_IN_4])
    raw = json.loads((lake / "lake.json").read_bytes())
    first = ("schema", "identity", "boot", "revision", "forgotten", "versions")
    fields = first if version == 1 else (*first, "days", "day_began")
    (lake / "lake.json").write_text(json.dumps({name: raw[name] for name in fields} | {"schema": version}))


@pytest.mark.parametrize("version", sorted(migrate.STEPS))
async def test_every_earlier_lake_becomes_one_of_today(lake: Path, version: int) -> None:
    before = identity(lake)
    await make_older(lake, version)
    await read_as_if_without_labels(lake)
    async with serving(await opened(lake.parent)) as writer:
        assert writer.identity == before
        assert await counts(lake) == dict.fromkeys(await counts(lake), PHOTOS) | {
            "gold_gone": 0,
            "learned": 0,
            "person_words": 0,
        }
        await read_as_if_without_labels(lake)
        await writer.submit(batch(1))
    ledger = durable.read_ledger(Directory(lake))
    assert ledger.schema == schema.SCHEMA_VERSION
    assert len(ledger.days) == (version == 1)
    reader = LakeReader(lake)
    assert await reader.occurrence(place(1)) == batch(1).occurrences[0]
    assert [row.key for row in await reader.companions(place(2))] == [place(2)]
    reader.close()


async def read_as_if_without_labels(lake: Path) -> None:
    """By a view, which may be of today before the daemon is, and by whoever asks for one place."""
    reader = LakeReader(lake)
    try:
        shown = {row.key: row for row in (await reader.changes_since(0)).occurrences}
        one = await reader.occurrence(place(1))
    finally:
        reader.close()
    assert one is not None
    assert one == shown[one.key] == dataclasses.replace(batch(1).occurrences[0], version=one.version, labels=NO_LABELS)
    assert one.version.etag == ""


def test_there_is_a_step_from_every_schema() -> None:
    assert sorted(migrate.STEPS) == list(range(1, schema.SCHEMA_VERSION))


async def test_a_newer_lake_is_refused_whatever_its_ledger_holds(lake: Path) -> None:
    newer = {"schema": schema.SCHEMA_VERSION + 1, "unheard_of": True}
    (lake / "lake.json").write_text(json.dumps(newer))
    for attempt in (lambda: durable.read_ledger(Directory(lake)), lambda: mend(lake, time.time())):
        with pytest.raises(SchemaTooNew):
            attempt()
    assert json.loads((lake / "lake.json").read_bytes()) == newer


KILLED = """
import os, signal, sys
from pathlib import Path
from lakewatchd.lake import durable, migrate
from lakewatchd.lake.files import Directory

def killed(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

durable.write_ledger = killed
lake = Directory(Path(sys.argv[1]))
migrate.migrate(lake, durable.read_ledger(lake))
"""


async def test_killed_in_the_middle_of_a_migration_it_is_done_again(lake: Path) -> None:
    await make_older(lake, 1)
    died = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(lake))
    assert await died.wait() == -signal.SIGKILL
    assert durable.read_ledger(Directory(lake)).schema == 1
    async with serving(await opened(lake.parent)):
        assert durable.read_ledger(Directory(lake)).schema == schema.SCHEMA_VERSION


# --- days --------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_purges_nothing_early_and_stops_nothing() -> None:
    day, keep, now, ledger, revision = 86_400.0, 30.0, 1.8e9, Ledger(), 0

    def look(seconds: float) -> int:
        nonlocal now, ledger, revision
        now, revision = now + seconds, revision + 1
        ledger = with_today(ledger, now, revision, keep)
        return gone_before(ledger, keep, revision)

    assert look(0) == 0
    assert [look(day / 24) for _ in range(23)] == [0] * 23, "restarts are no days"
    assert look(14 * 365 * day) == 0
    assert look(-14 * 365 * day) == 0
    looks = 0
    while not look(day):
        looks += 1
    assert looks in (27, 28), "two days early at most, for two jumps"
    assert len(ledger.days) == 31
    assert gone_before(ledger, 0, 99) == 100
