"""Films through real decoder processes: confined, with holes where nothing was read, and with PyAV not installed."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.buckets.cache import ObjectCache, ObjectRef
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import DecodeConfig, ObjectsConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Identity
from lakewatchd.media import video
from lakewatchd.media.sandbox import Decoders
from tests.films import film, scene, second_of_noise, write_long
from tests.servers import S3Server

WITHOUT_PYAV = """
import sys
from lakewatchd.child import serve
from lakewatchd.media import child_main, video
video.is_available = lambda: False
sys.exit(serve(child_main.operations))
"""
LONG_BYTES = 200 << 20


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    pool = Decoders(DecodeConfig(), 1)
    yield pool
    await pool.close()


async def test_a_confined_decoder_looks_into_films(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(film(seconds=4, draw=lambda at_s: scene(int(at_s * 10)), sound=True))
    identity = await decoders.identify("a.mp4", root=str(tmp_path))
    assert identity is not None and (identity.kind, identity.mime) == (Kind.VIDEO, "video/mp4")
    content = await decoders.describe("a.mp4", identity, "VID_20200102_030405.mp4", root=str(tmp_path))
    assert content is not None and content.picture is not None and content.thumbnail is not None
    assert (content.width, content.height, content.captured_from) == (320, 240, "name")
    assert content.duration_s == pytest.approx(4, abs=0.2)
    assert content.picture_at_s is not None and content.picture_at_s >= 1
    assert all(layer.holds for layer in decoders.layers)


async def test_little_memory_is_an_answer(tmp_path: Path) -> None:
    """15 000 x 15 000 pixels in a few kilobytes: what ``max_pixels`` allows, the address space does not."""
    data = film("avi", "utvideo", seconds=0.5, draw=lambda at_s: scene(0, (64, 64)))
    bomb = data.replace(struct.pack("<II", 64, 64), struct.pack("<II", 15_000, 15_000))
    (tmp_path / "a.avi").write_bytes(bomb)
    pool = Decoders(DecodeConfig(memory_mb=600), 1)
    try:
        identity = await pool.identify("a.avi", root=str(tmp_path))
        assert identity is not None
        with pytest.raises(errors.TooLarge, match="memory"):
            await pool.describe("a.avi", identity, "a.avi", root=str(tmp_path))
        assert await pool.identify("a.avi", root=str(tmp_path)) == identity
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("form", "codec", "muxing"),
    [
        ("mp4", "libx264", {}),  # its index lies at the end
        ("mp4", "libx264", {"movflags": "faststart"}),
        ("matroska", "libx264", {}),
        ("webm", "libvpx", {}),
    ],
)
async def test_of_a_long_film_little_is_fetched(
    decoders: Decoders, tmp_path: Path, form: str, codec: str, muxing: dict[str, str]
) -> None:
    write_long(tmp_path / "whole", form, second_of_noise(codec), LONG_BYTES, muxing)
    size = (tmp_path / "whole").stat().st_size
    with (tmp_path / "object").open("wb") as stream:
        stream.truncate(size)
    fetched = 0

    async def provide(start: int, end: int) -> None:
        nonlocal fetched
        fetched += end - start
        with (tmp_path / "whole").open("rb") as source, (tmp_path / "object").open("r+b") as target:
            os.pwrite(target.fileno(), os.pread(source.fileno(), end - start, start), start)

    mime = {"mp4": "video/mp4", "matroska": "video/x-matroska", "webm": "video/webm"}[form]
    identity = Identity("0" * 64, Version(size, 5, 0), Kind.VIDEO, mime)
    content = await decoders.describe("object", identity, "", root=str(tmp_path), provide=provide)
    (tmp_path / "whole").unlink()
    assert content is not None and (content.width, content.height) == (640, 480)
    assert content.picture_at_s is not None and content.duration_s is not None
    assert 1 <= content.picture_at_s <= content.duration_s, "frames from all over it were looked at"
    assert 0 < fetched < 0.05 * size


async def test_a_film_in_a_bucket_is_looked_into_where_it_lies(
    decoders: Decoders, gateway: S3Server, tmp_path: Path
) -> None:
    write_long(tmp_path / "film.mp4", "mp4", second_of_noise("libx264"), LONG_BYTES // 2)
    name = gateway.make_bucket()
    gateway.client().fput_object(name, "film.mp4", str(tmp_path / "film.mp4"))
    objects = ObjectsConfig()
    bucket = Bucket(gateway.settings(name), objects)
    cached = Objects({name: bucket}, ObjectCache(tmp_path / "cache", 1 << 30), objects)
    found = bucket.head("film.mp4")
    assert found is not None
    with cached.open(ObjectRef(name, found.key, found.size_bytes, found.etag, found.modified_ns)) as opened:

        async def provide(start: int, end: int) -> None:
            await asyncio.to_thread(opened.ensure, start, end)

        identity = Identity("0" * 64, Version(found.size_bytes, found.modified_ns, 0), Kind.VIDEO, "video/mp4")
        where = (opened.path.name, str(opened.path.parent))
        content = await decoders.describe(where[0], identity, "", root=where[1], provide=provide)
        kept = opened.path.stat().st_blocks * 512
    cached.close()
    assert content is not None and content.picture is not None and content.picture_at_s
    assert 0 < kept < 0.05 * found.size_bytes


async def test_an_index_that_cannot_be_fetched_is_no_damage(decoders: Decoders, tmp_path: Path) -> None:
    data = film(seconds=60, draw=lambda at_s: scene(int(at_s)))
    (tmp_path / "object").write_bytes(bytes(len(data)))

    async def provide(start: int, end: int) -> None:
        if start:
            raise errors.RootAway("root 'photos' does not answer")
        with (tmp_path / "object").open("r+b") as stream:
            stream.write(data[:end])

    identity = Identity("0" * 64, Version(len(data), 5, 0), Kind.VIDEO, "video/mp4")
    with pytest.raises(errors.RootAway):
        await decoders.describe("object", identity, "", root=str(tmp_path), provide=provide)


async def test_without_pyav_a_film_is_known_by_name(tmp_path: Path) -> None:
    (tmp_path / "bare_decoder.py").write_text(WITHOUT_PYAV)
    (tmp_path / "a.mp4").write_bytes(film())
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    pool = Decoders(DecodeConfig(), 1, module="bare_decoder", env={"PYTHONPATH": path})
    try:
        identity = await pool.identify(str(tmp_path / "a.mp4"))
        assert identity is not None and identity.kind is Kind.VIDEO
        content = await pool.describe(str(tmp_path / "a.mp4"), identity, "Summer.mp4")
    finally:
        await pool.close()
    assert content is not None and content.title == "Summer"
    assert content.picture is None and content.warnings == (video.NOT_INSTALLED,)
    assert "lakewatchd[video]" in video.NOT_INSTALLED
