"""The network to the server of a bucket is cut in the middle of a large object, and comes back after a while.

In seconds here. As long as it may be in a house: ``LAKEWATCHD_CUT_S=30 LAKEWATCHD_CUT_MB=1024 pytest`` of this file.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import servers
from blake3 import blake3

from lakewatchd.buckets.cache import ObjectCache, ObjectRef
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import BucketConfig, ObjectsConfig
from lakewatchd.errors import RootAway, TransientError
from tests.buckets import Wire

pytestmark = [pytest.mark.fuse, pytest.mark.mounts]

CUT_S = float(os.environ.get("LAKEWATCHD_CUT_S", "2"))
MB = 1 << 20
SIZE = int(os.environ.get("LAKEWATCHD_CUT_MB", "48")) * MB


@dataclass
class Site:
    """A server of S3 at the other end of a wire, with one object in a bucket."""

    network: Wire
    settings: BucketConfig
    ref: ObjectRef
    digest: bytes

    def cut(self) -> None:
        self.network.cut()

    def mend(self) -> None:
        self.network.mend()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Wire() as network:
        place = tmp_path_factory.mktemp("gateway")
        with servers.juicefs_gateway(place, host=network.there, within=network.within) as gateway:
            settings = gateway.settings(gateway.make_bucket())
            yield Site(network, settings, *_put(gateway, settings))


def _put(gateway: servers.S3Server, settings: BucketConfig) -> tuple[ObjectRef, bytes]:
    class Content:
        """So much that it is not to be held in memory."""

        left, hasher = SIZE, blake3()

        def read(self, size: int = MB) -> bytes:
            data = os.urandom(min(size, self.left))
            self.left -= len(data)
            self.hasher.update(data)
            return data

    content: Any = Content()
    gateway.client().put_object(settings.bucket, "big", content, SIZE)
    bucket = Bucket(settings, ObjectsConfig())
    found = bucket.head("big")
    bucket.close()
    assert found is not None
    return ObjectRef(settings.name, "big", SIZE, found.etag, found.modified_ns), content.hasher.digest()


def test_who_hashes_it_hears_of_it_and_goes_on_where_it_stopped(
    wire: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ObjectsConfig(timeout_s=3)
    bucket, cache = Bucket(wire.settings, config), ObjectCache(tmp_path / "objects", 4 * SIZE)
    objects, seen = Objects({wire.settings.name: bucket}, cache, config), 0
    asked: list[int] = []
    read = bucket.read
    monkeypatch.setattr(
        bucket, "read", lambda key, start, *said, **more: asked.append(start) or read(key, start, *said, **more)
    )

    def sink(data: memoryview) -> None:
        nonlocal seen
        if seen < SIZE // 3 <= seen + len(data):
            wire.cut()
        seen += len(data)

    try:
        with objects.open(wire.ref) as opened, pytest.raises((RootAway, TransientError)):
            opened.stream(sink)
        assert SIZE // 3 <= seen < SIZE
        asked.clear()
        time.sleep(CUT_S)
    finally:
        wire.mend()
    hasher = blake3()
    until = time.monotonic() + 60
    while True:
        try:
            with objects.open(wire.ref) as opened:
                hasher = blake3()
                opened.stream(hasher.update)
            break
        except (RootAway, TransientError):
            assert time.monotonic() < until, "it does not come back"
            time.sleep(0.2)
    assert hasher.digest() == wire.digest
    assert min(asked) == seen, "what had come was kept"
    objects.close()
    bucket.close()


def test_who_reads_it_through_the_view_gets_an_error_soon_and_then_the_rest(wire: Site, lake: Any) -> None:
    lake.buckets.append(wire.settings)
    said = {"root": wire.ref.root, "etag": wire.ref.etag, "mtime_ns": wire.ref.modified_ns, "size": SIZE}
    lake.index("big", b"", **said)
    lake.timeout_s = 3.0
    assert lake.start() == "mounted"
    folder = lake.mount / "by-root" / wire.ref.root
    hasher, at, began, waited = blake3(), 0, 0.0, 0.0
    with (folder / "big").open("rb", buffering=0) as opened:
        try:
            while at < SIZE:
                if at == SIZE // 3 // MB * MB:
                    wire.cut()
                began = time.monotonic()
                data = os.pread(opened.fileno(), MB, at)  # fewer where only the end of it fails
                hasher.update(data)
                at += len(data)
        except OSError as exc:
            waited = time.monotonic() - began
            assert exc.errno == errno.EIO
        finally:
            assert os.listdir(folder) == ["big"]
            time.sleep(CUT_S)
            wire.mend()
        assert 0 < waited < 60, "soon, and never for as long as the network is away"
        until = time.monotonic() + 60
        while at < SIZE:
            try:
                data = os.pread(opened.fileno(), MB, at)
                hasher.update(data)
                at += len(data)
            except OSError:
                assert time.monotonic() < until, "it does not come back"
                time.sleep(0.2)
    assert hasher.digest() == wire.digest
