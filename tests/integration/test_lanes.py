"""One asset's job in several lanes, with failures, renames and restarts in the middle."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from lakewatchd.core.content import Task
from lakewatchd.core.event import FileEvent
from lakewatchd.core.job import Lane, Outcome
from lakewatchd.core.lineage import Transform
from lakewatchd.daemon.accounts import explanation_from_files
from lakewatchd.daemon.parts import Daemon
from lakewatchd.errors import DamagedMedia, LakewatchError
from lakewatchd.lake.rows import SpanRow
from lakewatchd.queue.retry import Park
from lakewatchd.stages import spans
from lakewatchd.stages.base import Context, Stage, Work, look_closer
from tests.integration.test_stages_histories import look_at, quiet

Run = Callable[[Work, Context], Awaitable[None]]


def stage(name: str, run: Run, lane: Lane) -> Stage:
    return Stage(Transform.of(name, 1, {"test": True}), run, lane)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (200, 90, 10)).save(path)


async def drain(daemon: Daemon, most: int = 12, *, delays: bool = False) -> list[tuple[Lane, Outcome | str]]:
    """What becomes of all jobs, lane by lane; a failure parks."""
    became: list[tuple[Lane, Outcome | str]] = []
    for _ in range(most):
        if delays:
            await daemon.queue_thread(_forget_delays, daemon)
        jobs = [job for lane in Lane for job in await daemon.queue_thread(daemon.queue.claim, lane, 1)]
        if not jobs:
            return became
        for job in jobs:
            try:
                handled = await daemon.handle(job)
                if handled.durable is not None:
                    await handled.durable
                verdict: Outcome | Park = handled.outcome
                became.append((job.lane, handled.outcome))
            except LakewatchError as exc:
                verdict = Park(exc.reason)
                became.append((job.lane, exc.reason))
            await daemon.queue_thread(daemon.queue.ack, [(job, verdict)])
    raise AssertionError(f"jobs without end: {became}")


def _forget_delays(daemon: Daemon) -> None:
    with daemon.queue._db.transaction() as run:
        run.execute("UPDATE job SET state = 0, not_before = NULL WHERE state = 1")


async def says(work: Work, _ctx: Context) -> None:
    work.row = dataclasses.replace(work.row, caption="a dog")


async def fails(_work: Work, _ctx: Context) -> None:
    raise DamagedMedia("cannot be read to its end")


async def test_what_fails_in_one_lane_does_not_keep_the_next_one_from_its_work(tmp_path: Path) -> None:
    picture(tmp_path / "nas" / "a.png")
    async with quiet(tmp_path) as daemon:
        failing, outside = stage("ocr", fails, Lane.HEAVY), stage("caption", says, Lane.OUTSIDE)
        daemon.stages = {**daemon.stages, "ocr": failing, "caption": outside}
        await daemon.queue_thread(daemon.queue.put, [look_at("a.png")])
        await drain(daemon)
        assert [row.caption async for row in daemon.reader.all_gold()] == ["a dog"]
        (left,) = await daemon.queue_thread(daemon.queue.parked)
        assert left.reason == DamagedMedia("").reason


async def test_a_rename_in_the_middle_costs_what_was_being_made_and_nothing_that_was_done(tmp_path: Path) -> None:
    runs: list[str] = []
    old, new = tmp_path / "nas" / "a.png", tmp_path / "nas" / "b.png"
    picture(old)

    async def reads(work: Work, _ctx: Context) -> None:
        runs.append("ocr")
        spans.put(work, spans.READ, [SpanRow(work.asset_id, 0, "text", text="stop")])

    async def looks(work: Work, ctx: Context) -> None:
        runs.append("caption")
        if old.exists():
            old.rename(new)
        await look_closer(work, ctx, Task("legible", 0, 1))
        await says(work, ctx)

    async with quiet(tmp_path) as daemon:
        heavy = {"ocr": stage("ocr", reads, Lane.HEAVY), "caption": stage("caption", looks, Lane.HEAVY)}
        daemon.stages = {**daemon.stages, **heavy}
        await daemon.queue_thread(daemon.queue.put, [look_at("a.png")])
        await drain(daemon, delays=True)
        await daemon.queue_thread(daemon.queue.put, [look_at("b.png")])
        await drain(daemon, delays=True)
        (row,) = [row async for row in daemon.reader.all_gold()]
        assert (row.best.path, row.caption, "stop" in row.text) == ("b.png", "a dog", True)
        assert runs == ["ocr", "caption", "caption"]
        assert [span.kind for span in await daemon.reader.spans(row.asset_id)] == ["image", "text"]


async def test_news_while_a_heavy_stage_runs_is_published_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy arrives, and the first place goes, while the job is on its way in the slow lane."""

    async def unheard(self: Daemon, events: Sequence[FileEvent]) -> None:
        """What the watcher hears of this, and whenever it does, would be rounds of its own."""

    monkeypatch.setattr(Daemon, "emit", unheard)
    old, new = tmp_path / "nas" / "deep" / "a.png", tmp_path / "nas" / "b.png"
    picture(old)
    async with quiet(tmp_path) as daemon:

        async def meanwhile(work: Work, ctx: Context) -> None:
            new.write_bytes(old.read_bytes())
            old.unlink()
            for name in ("b.png", "deep/a.png"):
                await daemon.queue_thread(daemon.queue.put, [look_at(name)])
                (job,) = await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 1, without={"index"})
                handled = await daemon.handle(job)
                if handled.durable is not None:
                    await handled.durable
                await daemon.queue_thread(daemon.queue.ack, [(job, handled.outcome)])
            await says(work, ctx)

        daemon.stages = {**daemon.stages, "caption": stage("caption", meanwhile, Lane.OUTSIDE)}
        await daemon.queue_thread(daemon.queue.put, [look_at("deep/a.png")])
        became = await drain(daemon)
        (row,) = [row async for row in daemon.reader.all_gold()]
        assert (row.best.path, row.occurrences, row.caption) == ("b.png", 1, "a dog")
        lanes = [lane for lane, _ in became]
        assert lanes == [Lane.FAST, Lane.FAST, Lane.OUTSIDE, Lane.FAST]


async def test_what_could_not_be_read_of_a_file_is_told_to_who_asks(tmp_path: Path) -> None:
    odd, even = tmp_path / "nas" / "odd.csv", tmp_path / "nas" / "even.csv"
    odd.parent.mkdir()
    odd.write_bytes("city,name\nKöln,Müller\nBärn,Jürg\n".encode("cp1252"))
    even.write_bytes("city,name\nKöln,Müller\nBärn,Jürg\n".encode())
    told = {}
    async with quiet(tmp_path) as daemon:
        await daemon.queue_thread(daemon.queue.put, [look_at("odd.csv"), look_at("even.csv")])
        await drain(daemon)
        for path in (odd, even):
            found = await asyncio.to_thread(explanation_from_files, daemon.config, str(path))
            told[path.name] = [fact.text for fact in found.facts if fact.label == "not all of it"]
    assert told == {"odd.csv": ["not UTF-8: read as Windows-1252"], "even.csv": []}
