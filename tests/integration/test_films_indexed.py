"""Films through the whole line: what the lake says of them, and what installing PyAV later changes."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from lakewatchd.core.asset import Kind, PathKey
from lakewatchd.core.job import Lane, Priority
from lakewatchd.daemon.parts import Daemon
from lakewatchd.errors import DamagedMedia
from lakewatchd.lake.compare import compare
from lakewatchd.lake.rows import GoldRow
from lakewatchd.media import scenes, video
from lakewatchd.stages import ingest
from tests.films import film, only_sound, scene
from tests.integration.test_stages_histories import built, handle

NO_PYAV = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "av" else find(name, package)
"""


async def run(daemon: Daemon, *paths: str) -> None:
    """Look at ``paths`` and do whatever is queued, in both lanes."""
    specs = [ingest.spec(PathKey("nas", path), Priority.FRESH) for path in paths]
    await daemon.queue_thread(daemon.queue.put, specs)
    for lane in Lane:
        while jobs := await daemon.queue_thread(daemon.queue.claim, lane, 1):
            outcome = await handle(daemon, jobs[0])
            await daemon.queue_thread(daemon.queue.ack, [(jobs[0], outcome)])


async def gold(daemon: Daemon) -> dict[str, GoldRow]:
    return {row.best.path: row async for row in daemon.reader.all_gold()}


async def widths(daemon: Daemon) -> dict[Kind, int | None]:
    return {row.kind: row.width async for row in daemon.reader.all_assets()}


async def test_a_film_gets_a_frame_a_length_and_a_date(tmp_path: Path) -> None:
    tags = {"com.apple.quicktime.creationdate": "2023-02-01T08:00:00+0100"}
    muxing = {"movflags": "use_metadata_tags"}
    data = film("mov", seconds=4, draw=lambda at_s: scene(int(at_s)), tags=tags, muxing=muxing)
    async with built(tmp_path) as daemon:
        (tmp_path / "nas/beach.jpg").write_bytes(data)
        (tmp_path / "nas/talk.mp4").write_bytes(only_sound(2, {"title": "A talk", "artist": "Ada"}))
        await run(daemon, "beach.jpg", "talk.mp4")
        rows = await gold(daemon)
        row, talk = rows["beach.jpg"], rows["talk.mp4"]
        assert await daemon.reader.spans(talk.asset_id) == []
        heard = await daemon.reader.asset(talk.asset_id)
        asset = await daemon.reader.asset(row.asset_id)
        span, clip = await daemon.reader.spans(row.asset_id)
    assert (row.kind, row.dated_by, row.dated_at) == (
        Kind.VIDEO, "container", dt.datetime.fromisoformat("2023-02-01 08:00"),
    )  # fmt: skip
    assert asset is not None and (asset.width, asset.duration_s) == (320, 4.0)
    assert span.kind == "frame" and span.start_s == span.end_s and span.start_s is not None and span.start_s >= 1
    assert (clip.kind, clip.start_s, clip.end_s) == ("clip", 0.0, 4.0) and clip.phash is not None
    assert (talk.kind, talk.title) == (Kind.AUDIO, "A talk"), "what its container was made for does not count"
    assert heard is not None and (heard.kind, heard.author) == (Kind.VIDEO, "Ada")
    assert asset.signature is not None and [at_s for at_s, _ in scenes.seen_of(asset.signature)] == [0, 1, 2, 3]


async def test_a_damaged_film_stays_in_the_lake_as_bytes(tmp_path: Path) -> None:
    async with built(tmp_path) as daemon:
        (tmp_path / "nas/cut.mp4").write_bytes(film()[:5000])
        with pytest.raises(DamagedMedia):
            await run(daemon, "cut.mp4")
        row = (await gold(daemon))["cut.mp4"]
        assert row.kind is Kind.VIDEO and await daemon.reader.spans(row.asset_id) == []


async def test_installing_pyav_renews_films_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas/film.mp4").write_bytes(film())
    scene().save(tmp_path / "nas/picture.png")
    (tmp_path / "sitecustomize.py").write_text(NO_PYAV)
    with monkeypatch.context() as without:
        without.setattr(video, "is_available", lambda: False)
        without.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        async with built(tmp_path) as daemon:
            await run(daemon, "film.mp4", "picture.png")
            assert await widths(daemon) == {Kind.VIDEO: None, Kind.IMAGE: 320}
            assert await daemon.queue_stale() == 0
    async with built(tmp_path) as daemon:
        assert await daemon.queue_stale() == 2, "what a film is, and its clips"
        await run(daemon)
        assert await widths(daemon) == {Kind.VIDEO: 320, Kind.IMAGE: 320}
        assert await daemon.queue_stale() == 0
    (tmp_path / "state").rename(tmp_path / "lived")
    async with built(tmp_path) as fresh:
        await run(fresh, "film.mp4", "picture.png")
    assert (await compare(tmp_path / "lived/lake", tmp_path / "state/lake")).differences == ()
