"""Objects in the mounted view, from a real server of S3: their bytes, or an error soon, and never anything else."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import S3Server, juicefs_gateway

from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.keys import path_of
from lakewatchd.config import BucketConfig, ObjectsConfig
from lakewatchd.core.asset import PathKey

pytestmark = pytest.mark.fuse

Lake = Any  # the fixture's class lives in conftest
Wait = Callable[[Callable[[], bool]], None]
MB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Of our own, as it is killed."""
    with juicefs_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


class Shelf:
    """A bucket that is a root of the view, and what was put into it."""

    def __init__(self, lake: Lake, server: S3Server, prefix: str = "") -> None:
        self.lake = lake
        self.server = server
        self.settings: BucketConfig = server.settings(server.make_bucket(), prefix=prefix)
        lake.buckets.append(self.settings)
        self._bucket = Bucket(self.settings, ObjectsConfig())

    @property
    def folder(self) -> Path:
        return Path(self.lake.mount / "by-root" / self.settings.name)

    def put(self, key: str, content: bytes, tags: tuple[str, ...] = ("sea",)) -> None:
        self.overwrite(key, content)
        found = self._bucket.head(key)
        assert found is not None
        said = {"root": self.settings.name, "etag": found.etag, "mtime_ns": found.modified_ns}
        self.lake.index(path_of(key.removeprefix(self.settings.prefix)), content, tags, **said)

    def overwrite(self, key: str, content: bytes) -> None:
        """Without the lake's knowing."""
        self.server.client().put_object(self.settings.bucket, key, io.BytesIO(content), len(content))


@pytest.fixture
def shelf(lake: Lake, server: S3Server) -> Shelf:
    return Shelf(lake, server)


def fails_with(number: int, work: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=r"\w") as refused:
        work()
    assert refused.value.errno == number


def test_every_byte_of_a_large_object_in_order_at_random_and_by_two_readers(lake: Lake, shelf: Shelf) -> None:
    content = random.Random(1).randbytes(100 * MB + 77)
    shelf.put("films/long.bin", content)
    assert lake.start() == "mounted"
    original = lake.folder / "original"
    original.write_bytes(content)
    shown = lake.mount / "by-tag" / "sea" / "long.bin"
    assert os.getxattr(shown, "user.lakewatchd.origin").decode() == f"s3://{shelf.settings.bucket}/films/long.bin"
    other = subprocess.Popen(["cmp", shelf.folder / "films" / "long.bin", original])
    with shown.open("rb", buffering=0) as opened:
        rng = random.Random(2)
        for _ in range(50):
            at, size = rng.randrange(len(content)), rng.randrange(300_000)
            assert os.pread(opened.fileno(), size, at) == content[at : at + size]
    assert other.wait(60) == 0
    assert subprocess.run(["cmp", shown, original], check=False).returncode == 0


def test_names_that_no_file_system_takes_are_shown_and_readable(lake: Lake, server: S3Server) -> None:
    shelf = Shelf(lake, server, prefix="below/")
    long = "é" * 200
    keys = ["a b+c%20", "back\\slash", "new\nline", "é🏖", f"{long}.jpg", f"{long}/{long}.jpg", f"{long}/x", "%2F", "~"]
    for number, key in enumerate(keys):
        shelf.put(f"below/{key}", b"%d" % number)
    assert lake.start() == "mounted"
    found = {}
    for at, _, files in os.walk(os.fsencode(shelf.folder)):
        for name in files:
            assert len(name) <= 255
            path = os.path.join(at, name)  # noqa: PTH118 (names as bytes)
            found[os.getxattr(path, "user.lakewatchd.origin").decode()] = Path(os.fsdecode(path)).read_bytes()
    assert found == {f"s3://{shelf.settings.bucket}/below/{key}": b"%d" % number for number, key in enumerate(keys)}
    cut = [name for name in os.listdir(os.fsencode(shelf.folder)) if b"%~" in name]
    assert len(cut) == 2 and sum(name.endswith(b".jpg") for name in cut) == 1


def test_a_file_and_a_folder_of_one_name_are_both_there(lake: Lake, shelf: Shelf) -> None:
    shelf.put("a/b", b"below")
    said = {"root": shelf.settings.name, "etag": "", "mtime_ns": 0}
    lake.index("a", b"beside", **said)  # as on servers that take both
    assert lake.start() == "mounted"
    place = PathKey(shelf.settings.name, "a").occurrence_id  # which an edit does not change
    assert sorted(os.listdir(shelf.folder)) == ["a", f"a~{place[:4]}"]
    assert (shelf.folder / "a" / "b").read_bytes() == b"below"


def test_other_content_than_the_lake_knows_is_an_error_until_the_lake_follows(
    lake: Lake, shelf: Shelf, wait_until: Wait
) -> None:
    old, new = os.urandom(3 * MB), os.urandom(3 * MB)
    shelf.put("read.bin", old)
    shelf.put("unread.bin", old)
    shelf.put("gone.bin", old + b"!")
    assert lake.start() == "mounted"
    read, unread = shelf.folder / "read.bin", shelf.folder / "unread.bin"
    assert read.read_bytes() == old
    for name in ("read.bin", "unread.bin"):
        shelf.overwrite(name, new)
    shelf.server.client().remove_object(shelf.settings.bucket, "gone.bin")
    assert read.read_bytes() == old, "all of it is kept: it is what the lake says it is"
    fails_with(errno.ESTALE, unread.read_bytes)
    fails_with(errno.ENOENT, (shelf.folder / "gone.bin").read_bytes)
    shelf.put("unread.bin", new)
    shelf.put("read.bin", new)
    asset = hashlib.sha256(new).hexdigest().encode()
    wait_until(lambda: all(os.getxattr(file, "user.lakewatchd.asset") == asset for file in (read, unread)))
    assert read.read_bytes() == unread.read_bytes() == new


def test_a_bucket_that_is_away_is_an_error_at_once_and_comes_back(lake: Lake, shelf: Shelf) -> None:
    content = os.urandom(40 * MB)
    shelf.put("big.bin", content)
    shelf.put("kept.bin", content[:MB])
    shelf.put("copy.bin", content[: 2 * MB])
    lake.add("here.bin", content[: 2 * MB])
    assert lake.start() == "mounted"
    big = shelf.folder / "big.bin"
    assert (shelf.folder / "kept.bin").read_bytes() == content[:MB]
    with big.open("rb", buffering=0) as opened:
        assert os.pread(opened.fileno(), 1000, 0) == content[:1000]
        shelf.server.kill()
        fails_with(errno.EIO, lambda: os.pread(opened.fileno(), 1000, 30 * MB))
        assert sorted(os.listdir(shelf.folder)) == ["big.bin", "copy.bin", "kept.bin"]
        assert big.stat().st_size == len(content)
        assert (shelf.folder / "kept.bin").read_bytes() == content[:MB]
        assert (lake.mount / "by-tag" / "sea" / "copy.bin").read_bytes() == content[: 2 * MB], "the other place"
        shelf.server.start()
        until = time.monotonic() + 60
        while True:
            try:
                assert os.pread(opened.fileno(), 1000, 30 * MB) == content[30 * MB : 30 * MB + 1000]
                break
            except OSError:
                assert time.monotonic() < until, "it does not come back"
                time.sleep(0.1)
    assert big.read_bytes() == content


def test_a_server_that_stops_in_the_middle_ends_every_reader(lake: Lake, shelf: Shelf) -> None:
    content = os.urandom(3 * MB)
    for number in range(4):
        shelf.put(f"{number}.bin", content)
    lake.timeout_s = 1.0
    assert lake.start() == "mounted"
    shelf.server.freeze()
    try:
        ended: list[int | None] = []

        def read(number: int) -> None:
            try:
                (shelf.folder / f"{number}.bin").read_bytes()
            except OSError as exc:
                ended.append(exc.errno)

        readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for reader in readers:
            reader.start()
        assert len(os.listdir(shelf.folder)) == 4
        for reader in readers:
            reader.join()
        assert ended == [errno.EIO] * 4
    finally:
        shelf.server.thaw()
