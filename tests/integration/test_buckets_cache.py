"""What the object cache promises its readers: how much it takes, how long it stays, what it asks the bucket for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_bucket import FakeBucket, content_of

from lakewatchd import errors
from lakewatchd.buckets import content, pieces
from lakewatchd.buckets.cache import BLOCK_BYTES, ObjectCache, ObjectRef
from lakewatchd.buckets.client import ObjectChanged
from lakewatchd.buckets.ledger import Ledger, Lock
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import ObjectsConfig
from lakewatchd.testing import wait_until

MB = 1 << 20
HAMMER = Path(__file__).with_name("cache_hammer.py")


class Desk:
    """A bucket, a cache directory, and as many readers with caches of their own as a test wants: as in processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bucket = FakeBucket()
        self._all: list[Objects] = []

    def objects(self, limit: int = 100 * MB, spare: int = 0, **settings: int) -> Objects:
        cache = ObjectCache(self.directory, limit, spare)
        self._all.append(Objects({"photos": self.bucket}, cache, ObjectsConfig(**settings)))
        return self._all[-1]

    def put(self, key: str, size: int, seed: int = 1) -> ObjectRef:
        return self.bucket.put(key, content_of(seed, size))

    def on_disk(self) -> int:
        sizes = 0
        for file in [*self.directory.glob("*.data"), *self.directory.glob("*.marks")]:
            try:
                sizes += file.stat().st_blocks * 512
            except FileNotFoundError:
                continue
        return sizes

    def close(self) -> None:
        for objects in self._all:
            objects.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "objects")
    yield made
    made.close()


def whole(objects: Objects, ref: ObjectRef) -> bytes:
    with objects.open(ref) as opened:
        read = opened.pread(ref.size_bytes, 0)
    come_to_rest(objects)
    return read


def come_to_rest(objects: Objects) -> None:
    """Who fetches an object holds it for a moment longer than who reads it, and who tidies does it beside all that."""
    lines = objects._lines.values()
    wait_until(lambda: not any(hands.unfinished for line in lines for hands in (line._now, line._ahead)))
    assert objects.cache is not None
    with objects.cache._tidying:
        pass


def test_what_one_process_fetched_another_reads_though_the_bucket_is_away(desk: Desk) -> None:
    ref = desk.put("a", 3 * MB)
    one, other = desk.objects(), desk.objects()
    with one.open(ref) as opened:
        opened.stream(lambda _: None)
    assert len(desk.bucket.requests) == 1
    desk.bucket.is_away = True
    assert whole(other, ref) == desk.bucket.objects["a"]
    with other.open(ref) as opened:
        opened.ensure(0, ref.size_bytes)
        assert opened.is_whole and opened.path.read_bytes() == desk.bucket.objects["a"]
    assert len(desk.bucket.requests) == 1


def test_who_reads_on_while_a_request_is_being_closed_is_brought_it_by_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To close one takes a while, and whoever is as slow as a player of music comes back in just that while."""
    monkeypatch.setattr(content, "LINGER_S", 0.0)
    ref, read = desk.put("a", 8 * BLOCK_BYTES), desk.bucket.read
    is_closing, may_close = threading.Event(), threading.Event()

    def slow_to_close(*args: Any, **said: Any) -> Iterator[bytes]:
        try:
            yield from read(*args, **said)
        finally:
            is_closing.set()
            assert may_close.wait(60)

    monkeypatch.setattr(desk.bucket, "read", slow_to_close)
    with desk.objects().open(ref) as opened:
        opened._content.want(0, 1, reach=8)[0].result(60)
        assert is_closing.wait(60)
        later = opened._content.want(1, 2)[1]
        may_close.set()
        later.result(60)
        assert opened.pread(2 * BLOCK_BYTES, 0) == desk.bucket.objects["a"][: 2 * BLOCK_BYTES]


def test_other_content_under_the_same_key_is_never_mixed_in(desk: Desk) -> None:
    objects, old = desk.objects(read_ahead_mb=0), desk.put("a", 5 * MB, seed=1)
    before = desk.bucket.objects["a"]
    with objects.open(old) as opened:
        assert opened.pread(MB, 0) == before[:MB]
        new = desk.put("a", 5 * MB, seed=2)
        assert opened.pread(MB, 0) == before[:MB]
        with pytest.raises(ObjectChanged):
            opened.pread(2 * MB, 0)
        with pytest.raises(ObjectChanged):
            opened.stream(lambda _: None)
    assert whole(objects, new) == desk.bucket.objects["a"]
    del desk.bucket.objects["a"]
    with objects.open(old) as opened, pytest.raises(FileNotFoundError):
        opened.pread(1, 4 * MB)
    files = len(list(desk.directory.iterdir()))
    with objects.open(desk.put("unread", MB)):
        pass
    assert len(list(desk.directory.iterdir())) == files, "nothing is left of what was only opened"


def test_nothing_that_is_open_anywhere_is_removed_and_the_rest_goes_by_age(desk: Desk) -> None:
    one, other = desk.objects(limit=4 * MB), desk.objects(limit=4 * MB)
    refs = [desk.put(f"{number}", MB - 20_000, seed=number) for number in range(5)]
    with one.open(refs[0]) as opened:
        opened.ensure(0, MB)
        come_to_rest(one)
        for age, ref in enumerate(refs[1:4]):
            assert whole(other, ref) == desk.bucket.objects[ref.key]
            os.utime(desk.directory / f"{ref.name}.marks", (age, age))  # and not within one tick of the clock
        other.cache.tidy()
        whole(other, refs[1])  # used again: 2 is the oldest now
        whole(other, refs[4])
        desk.bucket.is_away = True
        with opened.path.open("rb") as file:
            assert file.read() == desk.bucket.objects["0"]
        for ref in (refs[0], refs[1], refs[3], refs[4]):
            assert whole(other, ref) == desk.bucket.objects[ref.key]
        with pytest.raises(errors.RootAway):
            whole(other, refs[2])


def test_a_film_does_not_push_out_everything_else(desk: Desk) -> None:
    objects, photo, film = desk.objects(limit=8 * MB), desk.put("photo", MB), desk.put("film", 20 * MB)
    whole(objects, photo)
    assert whole(objects, film) == desk.bucket.objects["film"]
    with objects.open(film) as opened:
        opened.stream(lambda _: None)
    assert desk.on_disk() <= 5.2 * MB
    desk.bucket.is_away = True
    assert whole(objects, photo) == desk.bucket.objects["photo"]


@pytest.mark.parametrize(("limit", "spare"), [(0, 0), (100 * MB, 1 << 60)], ids=["no cache", "no room on the disk"])
def test_without_room_bytes_are_handed_through_and_what_a_decoder_needs_is_lent(
    desk: Desk, limit: int, spare: int
) -> None:
    objects, ref = desk.objects(limit, spare), desk.put("a", 3 * MB + 5)
    content = desk.bucket.objects["a"]
    with objects.open(ref) as opened:
        assert b"".join(opened.pread(131_072, at) for at in range(0, ref.size_bytes, 131_072)) == content
        assert desk.on_disk() == 0
        assert desk.bucket.served_bytes <= ref.size_bytes + 40 * desk.bucket.pieces, (
            "each block once: the kernel asks for less than a block"
        )
        opened.ensure(MB, 2 * MB)
        with opened.path.open("rb") as file:
            assert os.pread(file.fileno(), MB, MB) == content[MB : 2 * MB]
    come_to_rest(objects)
    if not limit:
        assert sorted(file.name for file in desk.directory.iterdir()) == ["evicting", "used"]


def test_a_block_is_on_its_way_once_whoever_asks_for_it(desk: Desk) -> None:
    objects, ref = desk.objects(read_ahead_mb=0), desk.put("a", 8 * MB)
    desk.bucket.gate.clear()
    with objects.open(ref) as one, objects.open(ref) as other:
        got: list[bytes] = []
        readers = [
            threading.Thread(target=lambda opened=opened: got.append(opened.pread(1000, 2 * MB)))
            for opened in (one, other) * 4
        ]
        for reader in readers:
            reader.start()
        desk.bucket.gate.set()
        for reader in readers:
            reader.join()
    assert set(got) == {desk.bucket.objects["a"][2 * MB : 2 * MB + 1000]}
    assert desk.bucket.requests == [("a", 2 * MB, BLOCK_BYTES)]


def test_who_reads_on_and_on_is_fetched_ahead_in_few_requests_and_who_jumps_is_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "LINGER_S", 30.0)  # however slowly it reads
    objects, ref = desk.objects(read_ahead_mb=8), desk.put("a", 40 * MB)
    with objects.open(ref) as opened:
        for at in (30 * MB, 5 * MB, 20 * MB, 10 * MB):
            opened.pread(4096, at)
        assert desk.bucket.served_bytes == 4 * BLOCK_BYTES
        desk.bucket.requests.clear()
        for at in range(0, ref.size_bytes, 131_072):
            assert opened.pread(131_072, at) == desk.bucket.objects["a"][at : at + 131_072]
    assert desk.bucket.served_bytes <= ref.size_bytes + 8 * desk.bucket.pieces
    assert len(desk.bucket.requests) < 20, "instead of 160"


def test_a_small_object_is_one_request(desk: Desk) -> None:
    objects, ref = desk.objects(), desk.put("a", 3 * BLOCK_BYTES + 1)
    with objects.open(ref) as opened:
        opened.pread(10, 0)
        opened.pread(10, 2 * BLOCK_BYTES)
        assert opened.pread(10, ref.size_bytes - 1) == desk.bucket.objects["a"][-1:]
    assert desk.bucket.requests == [("a", 0, ref.size_bytes)]


def test_a_bucket_that_just_failed_is_left_alone_for_a_moment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, ref = desk.objects(), desk.put("a", MB)
    monkeypatch.setattr("lakewatchd.buckets.line.BREAK_S", 3600.0)
    desk.bucket.is_away = True
    with objects.open(ref) as opened:
        for _ in range(20):
            with pytest.raises(errors.RootAway, match="photos: does not answer"):
                opened.pread(10, 0)
        assert len(desk.bucket.requests) == 1
        desk.bucket.is_away = False
        monkeypatch.setattr("lakewatchd.buckets.line.time.monotonic", lambda: 1e12)
        assert opened.pread(10, 0) == desk.bucket.objects["a"][:10]


def test_after_a_failure_an_object_that_is_gone_says_nothing_against_its_bucket(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, gone, there = desk.objects(), desk.put("gone", MB), desk.put("there", MB)
    with objects.open(gone) as one, objects.open(there) as other:
        desk.bucket.is_away = True
        with pytest.raises(errors.RootAway):
            one.pread(10, 0)
        desk.bucket.is_away = False
        monkeypatch.setattr("lakewatchd.buckets.line.time.monotonic", lambda: 1e12)  # the break is over
        del desk.bucket.objects["gone"]
        with pytest.raises(FileNotFoundError):
            one.pread(10, 0)
        assert other.pread(10, 0) == desk.bucket.objects["there"][:10]


def test_what_the_disk_cannot_read_any_more_is_fetched_again(desk: Desk) -> None:
    objects, ref = desk.objects(), desk.put("a", 2 * MB)
    whole(objects, ref)
    with objects.open(ref) as opened:
        with opened.path.open("ab") as deaf:  # a descriptor that can be written and not be read
            os.dup2(deaf.fileno(), opened._content.kept._data)
        assert not opened._content.kept.has(0)
    with objects.open(ref) as opened:
        opened.stream(lambda _: None)
        assert opened.is_whole


def test_a_process_ends_though_a_server_says_nothing() -> None:
    program = """
from fake_bucket import FakeBucket
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import ObjectsConfig
import threading, time
bucket = FakeBucket()
bucket.gate.wait = lambda _: threading.Event().wait()
objects = Objects({"photos": bucket}, None, ObjectsConfig())
opened = objects.open(bucket.put("a", bytes(9 << 20)))
opened.ask(9 << 20, 0)
while not bucket.requests:
    time.sleep(0.01)
opened.close()
objects.close()
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True, timeout=60)


def test_objects_of_which_nothing_is_kept_leave_nothing_behind(desk: Desk) -> None:
    objects = desk.objects(limit=2 * MB)
    empty, large, kept = desk.put("empty", 0), desk.put("large", 3 * MB), desk.put("kept", MB // 2)
    for ref in (empty, large, kept):
        with objects.open(ref) as opened, objects.open(ref) as other:
            other.stream(lambda _: None)
            opened.close()
    assert {file.name for file in desk.directory.iterdir()} == {
        f"{kept.name}.data", f"{kept.name}.marks", "used", "evicting"
    }  # fmt: skip
    with objects.open(kept):
        pass
    desk.bucket.is_away = True
    assert whole(objects, kept) == desk.bucket.objects["kept"]


def test_what_was_removed_and_is_open_again_is_not_removed_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, ref = desk.objects(), desk.objects(), desk.put("a", MB)
    one.open(ref).close()
    turns, lock = iter([True]), pieces.lock

    def overtaken(fd: int, how: int, within_s: float = 1.0) -> bool:
        if next(turns, False):  # between the opening of the marks and their lock
            other.cache.drop(ref.name)
            other.open(ref).ensure(0, MB)
        return lock(fd, how, within_s)

    one.cache.drop(ref.name)
    (desk.directory / f"{ref.name}.marks").touch()
    monkeypatch.setattr(pieces, "lock", overtaken)
    one.cache.drop(ref.name)
    assert (desk.directory / f"{ref.name}.data").read_bytes() == desk.bucket.objects["a"]


def test_closing_under_a_reader_ends_with_the_reader(desk: Desk) -> None:
    objects, ref = desk.objects(), desk.put("a", 4 * MB)
    desk.bucket.gate.clear()
    opened, got, began = objects.open(ref), bytearray(), threading.Event()

    def sink(data: memoryview) -> None:
        got.extend(data)
        began.set()
        desk.bucket.gate.wait(60)

    desk.bucket.pieces = MB
    reader = threading.Thread(target=lambda: opened.stream(sink))
    reader.start()
    began.wait(60)
    opened.close()
    stranger = os.open("/dev/null", os.O_RDONLY)  # gets the number of a descriptor that was closed too early
    desk.bucket.gate.set()
    reader.join()
    os.close(stranger)
    assert got == desk.bucket.objects["a"]
    with pytest.raises(ValueError, match="after close"):
        opened.pread(1, 0)


def test_nobody_else_can_look_into_it(desk: Desk) -> None:
    desk.directory.mkdir(mode=0o777)
    whole(desk.objects(), desk.put("../../etc/passwd\n", 1000))
    assert oct(desk.directory.stat().st_mode) == "0o40700"
    assert {oct(file.stat().st_mode) for file in desk.directory.iterdir()} == {"0o100600"}
    assert sorted(file.suffix for file in desk.directory.iterdir()) == ["", "", ".data", ".marks"]


def test_a_cache_that_cannot_be_had_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.ConfigError) as refused:
        ObjectCache(tmp_path / "file" / "objects", MB)
    assert "objects.cache_dir" in str(refused.value.hint)


def test_many_processes_and_kills_serve_no_wrong_byte_and_stay_below_the_limit(tmp_path: Path) -> None:
    limit, started = 6 * MB, 0
    directory = tmp_path / "objects"
    desk = Desk(directory)

    def start() -> subprocess.Popen[bytes]:
        nonlocal started
        started += 1
        argv = [sys.executable, "-W", "error", HAMMER, directory, str(limit), str(started)]
        return subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, HAMMER.parents[1:3]))},
        )

    running = [start() for _ in range(3)]
    try:
        for _ in range(5):
            for process in running:
                assert process.stdout is not None and process.stdout.readline() == b"read\n", process.wait(60)
                # What is removed while we count, and what is written then, would both count
                with Lock(directory / "evicting").held(60), Ledger(directory / "used").held(60):
                    assert desk.on_disk() <= limit
            victim = running.pop(0)
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            running.append(start())
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert 0 < desk.on_disk() <= limit
    tidied = ObjectCache(directory, limit)
    assert tidied.used_bytes >= desk.on_disk()
    tidied.limit_bytes = 0
    tidied.tidy()
    assert sorted(file.name for file in directory.iterdir()) == ["evicting", "used"]
