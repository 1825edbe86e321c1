"""Random sequences of reads, restarts, evictions, power cuts and changes, against what really lies in the bucket.

The promise: bytes of an object are those of the content its reference names, or there is an error; never anything else.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from pathlib import Path

from fake_bucket import FakeBucket, content_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lakewatchd import errors
from lakewatchd.buckets import content
from lakewatchd.buckets.cache import BLOCK_BYTES, ObjectCache, ObjectRef
from lakewatchd.buckets.client import ObjectChanged
from lakewatchd.buckets.reader import Objects, OpenObject
from lakewatchd.config import ObjectsConfig
from lakewatchd.testing import wait_until

SIZES = st.sampled_from((0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 17, 30 * BLOCK_BYTES))
SHARES = st.floats(0, 1.02)
LENGTHS = st.sampled_from((0, 1, 4096, 131_072, BLOCK_BYTES, 3 * BLOCK_BYTES + 5, 2**40))
WHICH = st.integers(0, 5)


class Reads(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bucket = FakeBucket()
        self.contents: dict[ObjectRef, bytes] = {}
        self.opened: list[OpenObject] = []
        self.directory = Path(tempfile.mkdtemp(prefix="objects-"))
        self.limit = 0
        self.linger_s, content.LINGER_S = content.LINGER_S, 0.01  # requests end in the middle of things, and soon

    @initialize(
        limit=st.sampled_from((0, 2 << 20, 12 << 20, 1 << 30)), pieces=st.sampled_from((7_000, 65_536, 1 << 20))
    )
    def begin(self, limit: int, pieces: int) -> None:
        self.limit, self.bucket.pieces = limit, pieces
        self._start()
        for seed in range(3):
            self.put(seed, seed, BLOCK_BYTES * (4 * seed + 1) + seed)
            self.open(seed)
            self.read_on_and_on(seed, 131_072)

    def _start(self) -> None:
        config = ObjectsConfig(read_ahead_mb=2, connections=3, timeout_s=10)
        self.objects = Objects({"photos": self.bucket}, ObjectCache(self.directory, self.limit), config)

    def _stop(self) -> None:
        for opened in self.opened:
            opened.close()
        self.opened.clear()
        self.objects.close()
        self._until_quiet()

    def _until_quiet(self) -> None:
        """Nothing is under way any more that was begun when things were different, or that makes room."""
        hands = [each for line in self.objects._lines.values() for each in (line._now, line._ahead)]
        cache = self.objects.cache
        assert cache is not None
        wait_until(lambda: not any(each.unfinished for each in hands) and not cache._tidying.locked())

    @rule(which=WHICH, seed=st.integers(0, 1), size=SIZES)
    def put(self, which: int, seed: int, size: int) -> None:
        self._until_quiet()
        data = content_of(seed, size)
        self.contents[self.bucket.put(f"{which % 3}", data)] = data

    @rule(which=WHICH)
    def open(self, which: int) -> None:
        ref = list(self.contents)[which % len(self.contents)]
        self.opened.append(self.objects.open(ref))

    @contextlib.contextmanager
    def _may_fail(self, opened: OpenObject):  # type: ignore[no-untyped-def]
        """Only for a reason."""
        is_there = self.bucket.objects.get(opened.ref.key) == self.contents[opened.ref]
        try:
            yield
        except errors.RootAway:
            assert self.bucket.is_away
        except ObjectChanged:
            assert not is_there

    @precondition(lambda self: self.opened)
    @rule(which=WHICH, share=SHARES, length=LENGTHS)
    def pread(self, which: int, share: float, length: int) -> None:
        opened = self.opened[which % len(self.opened)]
        start = int(share * opened.ref.size_bytes)
        with self._may_fail(opened):
            assert opened.pread(length, start) == self.contents[opened.ref][start : start + length]

    @precondition(lambda self: self.opened)
    @rule(which=WHICH, step=st.sampled_from((50_000, 131_072, 1 << 20)))
    def read_on_and_on(self, which: int, step: int) -> None:
        opened = self.opened[which % len(self.opened)]
        with self._may_fail(opened):
            for at in range(0, opened.ref.size_bytes, step):
                assert opened.pread(step, at) == self.contents[opened.ref][at : at + step]

    @precondition(lambda self: self.opened)
    @rule(which=WHICH, share=SHARES, length=LENGTHS)
    def ensure(self, which: int, share: float, length: int) -> None:
        opened = self.opened[which % len(self.opened)]
        start = int(share * opened.ref.size_bytes)
        with self._may_fail(opened):
            opened.ensure(start, start + length)
            with opened.path.open("rb") as file:
                file.seek(start)
                assert file.read(min(length, 1 << 30)) == self.contents[opened.ref][start : start + length]

    @precondition(lambda self: self.opened)
    @rule(which=WHICH)
    def stream(self, which: int) -> None:
        opened, got = self.opened[which % len(self.opened)], bytearray()
        with self._may_fail(opened):
            opened.stream(got.extend)
            assert got == self.contents[opened.ref]

    @precondition(lambda self: self.opened)
    @rule(which=WHICH)
    def close(self, which: int) -> None:
        self.opened.pop(which % len(self.opened)).close()

    @rule()
    def go_away_and_come_back(self) -> None:
        self._until_quiet()
        self.bucket.is_away = not self.bucket.is_away
        for line in self.objects._lines.values():
            line.answers()  # the break after a failure has a test of its own

    @rule()
    def evict(self) -> None:
        assert self.objects.cache is not None
        self.objects.cache.limit_bytes = 0
        self.objects.cache.tidy()
        self.objects.cache.limit_bytes = self.limit

    @rule(seed=st.integers(0, 1000))
    def power_cut(self, seed: int) -> None:
        """Any page may be older than any other; what was written last may be zeros, or not be there at all."""
        self._stop()
        loses = random.Random(seed)
        for file in sorted(self.directory.glob("*.data")):
            with file.open("r+b") as data:
                for at in range(0, file.stat().st_size, BLOCK_BYTES):
                    if loses.random() < 0.3:
                        data.seek(at)
                        data.write(bytes(min(4096, file.stat().st_size - at)))
                if loses.random() < 0.2:
                    data.truncate(loses.randrange(file.stat().st_size + 1))
            if loses.random() < 0.2:
                file.unlink()
        for file in sorted(self.directory.glob("*.marks")):
            if loses.random() < 0.2:
                file.unlink()
        self._start()
        for ref in self.contents:
            self.opened.append(self.objects.open(ref))
            with self._may_fail(self.opened[-1]):
                assert self.opened[-1].pread(ref.size_bytes, 0) == self.contents[ref]

    @invariant()
    def nothing_is_above_the_limit_for_long(self) -> None:
        cache = getattr(self, "objects", None)
        if cache is not None and not self.opened:
            self._until_quiet()  # as long as a request has not ended, its object is open
            cache.cache.tidy()
            assert on_disk(self.directory) <= self.limit

    def teardown(self) -> None:
        self._stop()
        content.LINGER_S = self.linger_s
        shutil.rmtree(self.directory)


def on_disk(directory: Path) -> int:
    kept = (*directory.glob("*.data"), *directory.glob("*.marks"))
    return sum(file.stat().st_blocks * 512 for file in kept)


TestReads = Reads.TestCase
TestReads.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
