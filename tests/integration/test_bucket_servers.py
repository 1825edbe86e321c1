"""Buckets of real servers as roots: MinIO's code (the gateway of JuiceFS), and SeaweedFS, which tells nothing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.keys import key_of
from lakewatchd.config import BucketConfig, ObjectsConfig, WatchConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.errors import RootAway
from lakewatchd.sources.bucket.compare import version_of
from lakewatchd.sources.bucket.source import BucketSource
from lakewatchd.sources.bucket.ways import remote
from lakewatchd.sources.bucket.ways.listen import Listen
from tests.one_bucket import QUICK, FakeBucket, Lake, Late, until
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, juicefs_gateway

OBJECTS = ObjectsConfig(timeout_s=60)
HOSTILE = ("a b+c%20&=?#.jpg", "back\\slash", "new\nline", "ünï/🏖.jpg", "q'uote\"<>&amp;", "%/..%", "x" * 200)


class RealLake(Lake):
    """Looks at the real bucket, as a handler does."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(FakeBucket())
        self.real = bucket
        self._looking = threading.Lock()  # of one place one job runs at a time

    async def emit(self, events: Sequence[FileEvent]) -> None:
        self.events += events
        await asyncio.to_thread(self._look, {event.key.path for event in events})

    def _look(self, paths: set[str]) -> None:
        for path in paths:
            with self._looking:
                info = self.real.head(self.real.settings.prefix + key_of(path))
                if info is None:
                    self.files.pop(path, None)
                else:
                    self.files[path] = version_of(info)


@asynccontextmanager
async def alive(
    settings: BucketConfig, lake: Lake | None = None, **more: Any
) -> AsyncIterator[tuple[BucketSource, Lake]]:
    bucket = Bucket(settings, OBJECTS)
    lake = lake or RealLake(bucket)
    watch = more.pop("watch", WatchConfig())
    if more.pop("listens", False):
        more["make_ways"] = lambda deliver, on_gap: [Listen(settings, bucket, deliver, on_gap, SystemClock())]
    source = BucketSource(
        settings, watch, OBJECTS, bucket, lake, lake.emit, SystemClock(), memory=lake, **{**QUICK, **more}
    )  # type: ignore[arg-type]
    task = asyncio.create_task(source.run())
    try:
        yield source, lake
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])
        bucket.close()


def put(server: S3Server, bucket: str, *keys: str, content: bytes = b"x", **more: Any) -> None:
    client = server.client()
    for key in keys:
        client.put_object(bucket, key, io.BytesIO(content), len(content), **more)


def stored(server: S3Server, bucket: str) -> set[str]:
    return {str(item.object_name) for item in server.client().list_objects(bucket, recursive=True)}


@pytest.fixture(params=["gateway", "weed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


async def test_put_overwrite_copy_rename_and_delete_are_found_by_the_listing(server: S3Server) -> None:
    from minio.commonconfig import CopySource

    bucket, client = server.make_bucket(), server.client()
    put(server, bucket, *(f"trip/{number}.jpg" for number in range(30)), *HOSTILE)
    put(server, bucket, "folder/", content=b"")
    async with alive(server.settings(bucket, listen=False)) as (source, lake):
        await source.wait_caught_up()
        assert {source.key(path) for path in lake.files} == stored(server, bucket) - {"folder/"}
        assert source.why_ignored("a.tmp") and not source.status.problem
        before = lake.files["trip/0.jpg"]
        put(server, bucket, "trip/0.jpg", content=b"another")
        client.copy_object(bucket, "copy.jpg", CopySource(bucket, "trip/1.jpg"))
        for number in range(5, 30):  # a "directory" is renamed: most of the bucket
            put(server, bucket, f"journey/{number}.jpg")
            client.remove_object(bucket, f"trip/{number}.jpg")
        client.remove_object(bucket, HOSTILE[0])
        await source.wait_caught_up()
        assert {source.key(path) for path in lake.files} == stored(server, bucket) - {"folder/"}
        assert lake.files["trip/0.jpg"].size_bytes == 7 and not lake.files["trip/0.jpg"].is_like(before)
        lake.events.clear()
        await source.wait_caught_up()
        assert not lake.events, "what HEAD says and what the listing says differ"


async def test_labels_come_from_the_server(server: S3Server) -> None:
    from minio.commonconfig import Tags

    bucket, client = server.make_bucket(), server.client()
    tags = Tags.new_object_tags()
    tags["album"] = "summer + sea"
    put(server, bucket, "a.jpg", content_type="image/jpeg", metadata={"Camera": "X100"}, tags=tags)
    put(server, bucket, "plain.jpg")
    async with alive(server.settings(bucket, listen=False)) as (source, _):
        before = await source.look("a.jpg")
        labels = await source.labels("a.jpg")
        assert labels.tags == (("album", "summer + sea"),) and labels.content_type == "image/jpeg"
        assert ("camera", "X100") in labels.metadata
        assert not (await source.labels("plain.jpg")).tags
        tags["album"] = "winter"
        client.set_object_tags(bucket, "a.jpg", tags)
        after = await source.look("a.jpg")
        assert before and after and before.is_like(after) and not before.is_same_as(after)


async def test_a_bucket_that_is_emptied_is_held_and_one_that_is_removed_is_away(server: S3Server) -> None:
    bucket, client = server.make_bucket(), server.client()
    put(server, bucket, *(f"{number}.jpg" for number in range(5)))
    async with alive(server.settings(bucket, listen=False)) as (source, lake):
        await source.wait_caught_up()
        for key in stored(server, bucket):
            client.remove_object(bucket, key)
        assert (await source.request_scan()).held_back == 5
        client.remove_bucket(bucket)
        await until(lambda: source.status.state == "away")
        with pytest.raises(RootAway):
            await source.look("0.jpg")
        client.make_bucket(bucket)
        await until(lambda: source.status.state == "present")
        assert (await source.request_scan()).held_back == 5 and len(lake.files) == 5


async def test_keys_that_are_changed_at_the_server_make_the_root_away_until_they_are_changed_here(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "keys"

    def write(secret_key: str) -> None:
        secret.write_text(f"access_key = {ACCESS_KEY}\nsecret_key = {secret_key}\n")
        secret.chmod(0o600)

    write(SECRET_KEY)
    with juicefs_gateway(tmp_path / "gateway") as server:
        bucket = server.make_bucket()
        put(server, bucket, "a.jpg")
        settings = server.settings(bucket, listen=False, access_key="", secret_key="", credentials=str(secret))
        async with alive(settings) as (source, lake):
            await source.wait_caught_up()
            server.kill()
            server.environ = {**server.environ, "MINIO_ROOT_PASSWORD": "changed-at-the-server"}
            server.start()
            await until(lambda: "secret key" in source.status.reason and source.status.hint)
            await asyncio.sleep(0.3)
            assert source.status.state == "away" and len(lake.files) == 1
            assert SECRET_KEY not in str(source.status)
            write("changed-at-the-server")
            await until(lambda: source.status.state == "present")
            await source.wait_caught_up()


async def test_a_server_that_comes_late_and_dies_in_a_burst_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own notifications, which it forgets when it dies, and the rescan that follows each connect."""
    monkeypatch.setattr(remote, "RETRY_MAX_S", 1.0)  # however long its starts take
    server = juicefs_gateway(tmp_path / "gateway")
    with server:
        bucket = server.make_bucket()
        put(server, bucket, "early.jpg")
    async with alive(server.settings(bucket), listens=True) as (source, lake):
        await until(lambda: source.status.state == "away")
        with pytest.raises(RootAway):
            await source.wait_caught_up()
        server.start()
        try:
            await until(lambda: source.status.state == "present" and source.status.ways[0].is_connected)
            burst = asyncio.gather(*(asyncio.to_thread(keep_putting, server, bucket, part) for part in range(4)))
            await until(lambda: len(lake.files) > 50)
            server.restart()
            written = {key for keys in await burst for key in keys}
            await until(lambda: {source.key(path) for path in list(lake.files)} == written | {"early.jpg"})
        finally:
            server.kill()


def keep_putting(server: S3Server, bucket: str, part: int) -> list[str]:
    """Until each is stored, whatever happens to the server."""
    from minio import Minio
    from minio.error import MinioException
    from urllib3 import PoolManager
    from urllib3.exceptions import HTTPError

    host, keys = server.endpoint.partition("://")[2], [f"burst/{part}-{number}" for number in range(60)]
    client = Minio(
        host, server.access_key, server.secret_key, secure=False, http_client=PoolManager(retries=False), region="r"
    )
    for key in keys:
        while True:
            with contextlib.suppress(MinioException, HTTPError):
                client.put_object(bucket, key, io.BytesIO(b"x"), 1)
                break
            time.sleep(0.02)
    return keys


async def test_what_the_server_tells_nobody_is_found_by_the_rescan_and_counted(gateway: S3Server) -> None:
    from minio.deleteobjects import DeleteObject

    bucket = gateway.make_bucket()
    async with alive(gateway.settings(bucket), listens=True, connect_s=60, late_s=0.0) as (source, lake):
        late = Late(source)
        await until(lambda: source.status.ways[0].is_connected and source.status.last_scan)
        scanned = source.status.last_scan
        put(gateway, bucket, "a b+c.jpg", "gone.jpg", "gone too.jpg", "last.jpg")
        await until(lambda: len(lake.files) == 4)
        assert source.status.last_scan is scanned, "events alone have told of them"
        assert "listen" in source.status.watching and source.status.events >= 4
        await source.wait_caught_up()
        # A bulk deletion raises no event here
        gone = [DeleteObject(key) for key in ("gone.jpg", "gone too.jpg")]
        assert not list(gateway.client().remove_objects(bucket, gone))
        gateway.client().remove_object(bucket, "last.jpg")
        await source.wait_caught_up()
        assert set(lake.files) == {"a b+c.jpg"}
        await until(
            lambda: any(
                (event.key.path, event.change, event.priority) == ("last.jpg", Change.REMOVED, Priority.FRESH)
                for event in lake.events
            )
        )
        await late.is_over(2)
        assert source.status.missed == 2
