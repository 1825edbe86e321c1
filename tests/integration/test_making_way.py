"""What takes hours holds nobody up: a file that is moved or deleted meanwhile is shown where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lakewatchd.core.asset import Kind, PathKey, Version
from lakewatchd.core.content import Sound
from lakewatchd.core.job import Lane, Priority
from lakewatchd.core.lineage import Transform
from lakewatchd.daemon.parts import Daemon
from lakewatchd.lake.rows import AssetRow, OccurrenceRow, Presence
from lakewatchd.models.base import Spoken, Transcript, Utterance
from lakewatchd.queue import worker
from lakewatchd.stages import speech
from lakewatchd.stages.base import Context, Stage, Work
from lakewatchd.testing import make_tree
from tests.integration.test_stages_histories import built


class Hours:
    """A heavy stage that does not end."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, work: Work, _ctx: Context) -> None:
        self._begun.put_nowait(work.name)
        await asyncio.Event().wait()

    async def at_work_on(self, name: str) -> None:
        async with asyncio.timeout(100):
            while await self._begun.get() != name:
                pass


@asynccontextmanager
async def working(base: Path) -> AsyncIterator[tuple[Daemon, Hours]]:
    """A daemon that reads letters for hours."""
    hours = Hours()
    async with built(base) as daemon:
        daemon.stages["ocr"] = Stage(Transform.of("ocr", 1, {}), hours.run, Lane.HEAVY)
        pool = asyncio.create_task(daemon.pool.run())
        try:
            yield daemon, hours
        finally:
            await daemon.pool.drain(0.0)
            await pool


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(100):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_file_that_is_moved_and_deleted_while_it_is_read_for_hours_is_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PATIENCE_S", 0.0)
    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with working(tmp_path) as (daemon, hours):
        await hours.at_work_on("a.txt")
        (tmp_path / "nas" / "a.txt").rename(tmp_path / "nas" / "b.txt")
        await hours.at_work_on("b.txt")  # and it goes on

        async def is_moved() -> bool:
            return [row.best.path async for row in daemon.reader.all_gold()] == ["b.txt"]

        await until(is_moved)
        (tmp_path / "nas" / "b.txt").unlink()

        async def is_gone() -> bool:
            return not [row async for row in daemon.reader.all_gold()]

        await until(is_gone)


async def test_a_recording_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Three stretches; it has to make way in the second one."""
    asked: list[float] = []
    interrupted = asyncio.Event()

    async def sound(_key: PathKey, _identity: object, start_s: float, _end_s: float) -> Sound:
        return Sound(bytes(2 * 8000), 8000, 0.0, start_s >= 2 * speech.STRETCH_S)

    async def transcribe(_sound: Sound, language: str, _priority: Priority) -> Transcript:
        number = len(asked)
        asked.append(number)
        if number == 1:
            interrupted.set()
            await asyncio.Event().wait()
        words = (Spoken(f" word{number}", 1.0, 2.0),)
        said = Utterance(f"word{number}", words, 1.0, 2.0, -0.1, 0.0, 1.0)
        return Transcript((said,), speech.STRETCH_S, 1.0, "en")

    version = Version(1, 1, 1)
    place = OccurrenceRow(PathKey("nas", "a.mp3"), "a" * 64, Kind.AUDIO, "audio/mpeg", version, Presence.PRESENT, 1, 1)
    work = Work(
        "a" * 64, Kind.AUDIO, "audio/mpeg", "a.mp3", Priority.FRESH, (place,), AssetRow("a" * 64, Kind.AUDIO, "", 1)
    )
    ctx: Any = SimpleNamespace(files=SimpleNamespace(sound=sound), models=SimpleNamespace(transcribe=transcribe))
    listener = speech.Listener()
    task = asyncio.create_task(listener.run(work, ctx))
    waiting = asyncio.create_task(interrupted.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.spans
    await listener.run(work, ctx)
    assert [(span.text, span.start_s) for span in work.spans] == [("word0", 1.0), ("word2", 301.0), ("word3", 601.0)]
