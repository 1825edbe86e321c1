"""Jobs with real decoders, a real queue and a real lake, in the orders that break things."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lakewatchd.config import parse
from lakewatchd.core.asset import PathKey
from lakewatchd.core.content import Content, Identity
from lakewatchd.core.job import Done, Job, JobSpec, Lane, Outcome, Priority, Skip
from lakewatchd.core.lineage import Transform
from lakewatchd.daemon import parked, repair
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.errors import DamagedMedia, RootAway
from lakewatchd.lake.rows import Presence
from lakewatchd.queue.retry import Park
from lakewatchd.stages import ingest, prompts
from lakewatchd.stages.base import Context, Stage, Work
from lakewatchd.stages.plan import index_spec
from lakewatchd.testing import WITHOUT_MODELS, config_text, make_tree

SETTINGS = f"{WITHOUT_MODELS}[lake]\ncommit_s = 0.02\n"


@asynccontextmanager
async def built(base: Path, *, is_watching: bool = True, settings: str = SETTINGS) -> AsyncIterator[Daemon]:
    """All parts of a daemon on ``base/nas``, its roots looked at; jobs run only in :func:`run_all`."""
    (base / "nas").mkdir(exist_ok=True)
    async with open_daemon(parse(config_text(base, settings=settings), base / "lakewatchd.toml")) as daemon:
        watching = [asyncio.create_task(source.run()) for source in daemon.sources.values()] if is_watching else []
        try:
            yield daemon
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


NOTHING_SETTLES = f"{SETTINGS}[watch]\nsettle_s = 600.0\nsettle_open_s = 3600.0\n"
quiet = functools.partial(built, settings=NOTHING_SETTLES)
"""One whose watcher queues nothing while a test takes its time: there are the jobs that the test asks for."""


async def claim(daemon: Daemon, stage: str) -> Job:
    """The next job of ``stage``; there must be one."""
    others = {"ingest", "index"} - {stage}
    (job,) = await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 1, without=others)
    return job


async def handle(daemon: Daemon, job: Job) -> Outcome:
    """Its rows are in the lake; nothing is acked yet."""
    handled = await daemon.handle(job)
    if handled.durable is not None:
        await handled.durable
    return handled.outcome


async def run_all(daemon: Daemon, *specs: JobSpec) -> list[Outcome]:
    """Queue ``specs`` and run whatever is ready until nothing is. Errors are left to the caller."""
    await daemon.queue_thread(daemon.queue.put, specs)
    outcomes: list[Outcome] = []
    while jobs := await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 1):
        outcomes.append(await handle(daemon, jobs[0]))
        await daemon.queue_thread(daemon.queue.ack, [(jobs[0], outcomes[-1])])
    return outcomes


def look_at(path: str) -> JobSpec:
    return ingest.spec(PathKey("nas", path), Priority.FRESH)


async def test_another_device_number_is_the_same_file(tmp_path: Path) -> None:
    """A reboot numbers devices anew; taking that for news, an index job would ask for a look for ever."""
    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with quiet(tmp_path) as daemon:
        key = PathKey("nas", "a.txt")
        identity = await daemon.decoders.quick.identify("a.txt", root=str(tmp_path / "nas"))
        assert identity is not None
        moved = dataclasses.replace(identity, version=dataclasses.replace(identity.version, device=12345))
        assert await daemon.decoders.quick.describe(key.path, moved, "", root=str(tmp_path / "nas")) is not None


async def test_a_stage_that_fails_after_decoding_leaves_the_passages(tmp_path: Path) -> None:
    """The lake must not say that the content was cut into spans when it has none: no later run would look again."""

    async def refuse(_work: Work, _ctx: Context) -> None:
        raise DamagedMedia("the model cannot take it")

    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with quiet(tmp_path) as daemon:
        await run_ingest(daemon, "a.txt")
        job = await claim(daemon, "index")
        daemon.stages["embed"] = Stage(Transform.of("embed", 1, {}), refuse)
        with pytest.raises(DamagedMedia):
            await handle(daemon, job)
        assert [span.text for span in await daemon.reader.spans(job.key)] == ["some words"]


async def test_a_copy_that_cannot_be_read_does_not_stand_before_one_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path / "nas", {"a.txt": "some words", "deep/b.txt": "some words"})
    async with quiet(tmp_path) as daemon:
        await run_ingest(daemon, "a.txt")
        await run_ingest(daemon, "deep/b.txt")
        describe = daemon.context.files.describe

        async def only_one(key: PathKey, identity: Identity) -> Content | None:
            if key.path == "a.txt":
                raise RootAway("root 'nas' is not configured any more")
            return await describe(key, identity)

        monkeypatch.setattr(daemon.context.files, "describe", only_one)
        job = await claim(daemon, "index")
        assert await handle(daemon, job) == Done()
        assert [span.text for span in await daemon.reader.spans(job.key)] == ["some words"]


async def test_an_index_job_waits_for_a_root_that_went_away(tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with quiet(tmp_path) as daemon:
        await run_ingest(daemon, "a.txt")
        job = await claim(daemon, "index")
        (tmp_path / "nas").rename(tmp_path / "unplugged")
        (tmp_path / "nas").mkdir()
        with pytest.raises(RootAway):  # a look at a root that is not there proves nothing: no new jobs
            await handle(daemon, job)


async def test_what_was_published_before_a_crash_is_taken_back(tmp_path: Path) -> None:
    """Killed between lake and ack, while another job had seen the rows: the next look must mend both assets."""
    make_tree(tmp_path / "nas", {"a.txt": "first", "b/copy.txt": "second"})
    async with quiet(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"), look_at("b/copy.txt"))
        make_tree(tmp_path / "nas", {"a.txt": "second"})
        await daemon.queue_thread(daemon.queue.put, [look_at("a.txt")])
        cut_off = await claim(daemon, "ingest")
        await handle(daemon, cut_off)  # in the lake, never acked
        second = (await daemon.reader.occurrence(cut_off_key := PathKey("nas", "a.txt"))).asset_id
        await run_all(daemon, index_spec(second, Priority.FRESH))
        assert (await daemon.reader.gold(second)).best == cut_off_key
        make_tree(tmp_path / "nas", {"a.txt": "the third"})
        await daemon.queue_thread(daemon.queue.reclaim_all)
        await run_all(daemon)
        gold = await daemon.reader.gold(second)
        assert (gold.best.path, gold.occurrences) == ("b/copy.txt", 1)


async def test_a_file_that_went_before_its_ack_leaves_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"new.txt": "short-lived"})
    async with quiet(tmp_path) as daemon:
        await daemon.queue_thread(daemon.queue.put, [look_at("new.txt")])
        await handle(daemon, await claim(daemon, "ingest"))  # in the lake; then it is killed
        (tmp_path / "nas" / "new.txt").unlink()
        await daemon.queue_thread(daemon.queue.reclaim_all)
        await run_all(daemon)
        row = await daemon.reader.occurrence(PathKey("nas", "new.txt"))
        assert row is None or row.presence is Presence.GONE


async def test_a_file_that_was_put_back_before_the_ack_is_what_it_was(tmp_path: Path) -> None:
    first = tmp_path / "nas" / "a.txt"
    make_tree(tmp_path / "nas", {"a.txt": "first"})
    async with quiet(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"))
        first.rename(tmp_path / "aside")
        make_tree(tmp_path / "nas", {"a.txt": "second"})
        await daemon.queue_thread(daemon.queue.put, [look_at("a.txt")])
        await handle(daemon, await claim(daemon, "ingest"))  # in the lake; then it is killed
        (tmp_path / "aside").replace(first)
        await daemon.queue_thread(daemon.queue.reclaim_all)
        await run_all(daemon)
        assert [row.size_bytes async for row in daemon.reader.all_gold()] == [len("first")]


@pytest.mark.parametrize(("before", "after"), [("a.md", "md"), ("a.md", ".md"), ("md", "b.md")])
async def test_a_name_after_a_rename_says_what_it_says_to_a_fresh_look(tmp_path: Path, before: str, after: str) -> None:
    make_tree(tmp_path / "nas", {before: "# words"})
    async with quiet(tmp_path) as daemon:
        await run_all(daemon, look_at(before))
        (tmp_path / "nas" / before).rename(tmp_path / "nas" / after)
        await run_all(daemon, look_at(after), look_at(before))
        row = await daemon.reader.occurrence(PathKey("nas", after))
        fresh = await daemon.decoders.quick.identify(after, root=str(tmp_path / "nas"))
        assert (row.mime, row.kind) == (fresh.mime, fresh.kind)


async def run_ingest(daemon: Daemon, path: str) -> None:
    """The look at ``path`` and its ack, and nothing that follows."""
    await daemon.queue_thread(daemon.queue.put, [look_at(path)])
    job = await claim(daemon, "ingest")
    await daemon.queue_thread(daemon.queue.ack, [(job, await handle(daemon, job))])


@pytest.mark.parametrize("torn", [b"", b"\x93NUMPY", b"PK\3\4" + bytes(100), b"\0" * 4096])
async def test_prompt_vectors_that_a_power_cut_tore_are_made_again(tmp_path: Path, torn: bytes) -> None:
    import numpy as np

    asked: list[list[str]] = []

    async def make(texts: Sequence[str]) -> prompts.Vectors:
        asked.append(list(texts))
        return np.array([[len(text), 1] for text in texts], np.float32)

    cache = tmp_path / "prompts" / "x-image.npz"
    cache.parent.mkdir()
    cache.write_bytes(torn)
    for texts in (["a", "bb"], ["bb", "a"], ["ccc", "bb"]):
        assert (await prompts.vectors_of(texts, cache, make))[:, 0].tolist() == [len(text) for text in texts]
    assert asked == [["a", "bb"], ["ccc"]], "what is kept is not asked for again"


async def test_jobs_from_before_a_restart_heed_an_ignore_file_that_no_scan_has_read_yet(tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"private/.lakeignore": "*.txt", "private/a.txt": "not for the lake"})
    async with built(tmp_path, is_watching=False) as daemon:
        await daemon.queue_thread(daemon.queue.put, [look_at("private/a.txt")])
        early = asyncio.create_task(handle(daemon, await claim(daemon, "ingest")))
        await asyncio.sleep(0.05)  # it waits for the root, as in a daemon that starts
        watching = asyncio.create_task(daemon.sources["nas"].run())
        try:
            assert not isinstance(await early, Done)
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def test_a_lake_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    """As every hint about a damaged lake promises."""
    make_tree(tmp_path / "nas", {"a.txt": "some words", "b/c.txt": "others"})
    async with quiet(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_all(daemon, look_at("a.txt"), look_at("b/c.txt"))
    (tmp_path / "state" / "lake").rename(tmp_path / "damaged")
    async with quiet(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_all(daemon, look_at("a.txt"), look_at("b/c.txt"))
        assert {row.best.path async for row in daemon.reader.all_gold()} == {"a.txt", "b/c.txt"}
        assert await repair.agree(daemon) == 0


async def test_what_was_parked_is_shown_by_a_lake_that_was_made_again(tmp_path: Path) -> None:
    """A bad file keeps its place in the view. The scan that fills the new lake wakes nobody."""
    make_tree(tmp_path / "nas", {"bad.txt": "some words"})
    async with quiet(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_ingest(daemon, "bad.txt")
        job = await claim(daemon, "index")
        await handle(daemon, job)
        await daemon.queue_thread(daemon.queue.park, job, "damaged-media", "it was bad")
    (tmp_path / "state" / "lake").rename(tmp_path / "damaged")
    async with quiet(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_all(daemon, ingest.spec(PathKey("nas", "bad.txt"), Priority.BACKFILL))
        assert [row.best.path async for row in daemon.reader.all_gold()] == ["bad.txt"]


async def test_what_nothing_holds_is_withdrawn_though_the_queue_was_lost_with_the_job_for_it(tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"a.txt": "as it was"})
    async with quiet(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_all(daemon, look_at("a.txt"))
        make_tree(tmp_path / "nas", {"a.txt": "as it is now"})
        await daemon.queue_thread(daemon.queue.put, [look_at("a.txt")])
        await handle(daemon, await claim(daemon, "ingest"))  # the lake knows of the change, the queue does not
    for leftover in (tmp_path / "state").glob("queue.db*"):
        leftover.unlink()
    async with quiet(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_all(daemon)
        assert [row.size_bytes async for row in daemon.reader.all_gold()] == [len("as it is now")]


async def test_a_queue_that_was_moved_away_forgets_no_file_of_the_lake(tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"stays.txt": "1", "goes.txt": "2", "changes.txt": "3"})
    names = ("stays.txt", "goes.txt", "changes.txt")
    async with built(tmp_path) as daemon:
        await repair.agree(daemon)
        await run_all(daemon, *map(look_at, names))
    for leftover in (tmp_path / "state").glob("queue.db*"):
        leftover.unlink()
    (tmp_path / "nas" / "goes.txt").unlink()
    make_tree(tmp_path / "nas", {"changes.txt": "3, changed"})
    async with built(tmp_path) as daemon:
        assert await repair.agree(daemon) == 3
        await daemon.sources["nas"].request_scan()
        await daemon.sources["nas"].wait_caught_up()
        await run_all(daemon)
        gold = {row.best.path: row.size_bytes async for row in daemon.reader.all_gold()}
        assert gold == {"stays.txt": 1, "changes.txt": 10}


async def test_a_parked_asset_that_lost_its_place_is_withdrawn_however_patient_the_look(tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with quiet(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"))
        (asset,) = [row.asset_id async for row in daemon.reader.all_gold()]
        await daemon.queue_thread(daemon.queue.put, [index_spec(asset, Priority.FRESH)])
        await daemon.queue_thread(daemon.queue.ack, [(await claim(daemon, "index"), Park("bug"))])
        (tmp_path / "nas" / "a.txt").unlink()
        await run_all(daemon, ingest.spec(PathKey("nas", "a.txt"), Priority.BACKFILL))
        assert [row async for row in daemon.reader.all_gold()] == []
        assert await daemon.queue_thread(daemon.queue.parked) == []


async def test_parked_jobs_of_files_that_are_gone_are_let_go(tmp_path: Path) -> None:
    """A file that was never indexed is missed by no scan."""
    make_tree(tmp_path / "nas", {"stays.jpg": "1", "goes.jpg": "2"})
    async with quiet(tmp_path) as daemon:
        await daemon.queue_thread(daemon.queue.put, [look_at("stays.jpg"), look_at("goes.jpg")])
        for _ in range(2):
            job = await claim(daemon, "ingest")
            await daemon.queue_thread(daemon.queue.ack, [(job, Park("not-readable"))])
        (tmp_path / "nas" / "goes.jpg").unlink()
        assert await parked.let_go(daemon) == 1
        assert await run_all(daemon) == [Skip("never seen")]
        (left,) = await daemon.queue_thread(daemon.queue.parked)
        assert left.payload["path"] == "stays.jpg"
