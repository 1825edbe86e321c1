"""Waiting for companions loses nothing, and delays nothing beyond its bound."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.sources.settle import Settler
from lakewatchd.testing import FakeClock

BOUND_S = 5.0
TICK_S = 0.25
PATHS = st.sampled_from(["a.jpg", "a.xmp", "a.jpg.xmp", "a.mov", "b.jpg", "b.srt", "n.txt"])
CHANGES = st.sampled_from([Change.ADDED, Change.MODIFIED, Change.REMOVED])
STEPS = st.lists(st.tuples(PATHS, CHANGES, st.booleans(), st.integers(0, 30)), max_size=40)


class Run:
    """A settler over the steps, looked at every tick; when each path passed."""

    def __init__(self, group_s: float) -> None:
        self.disk: dict[str, Version] = {}
        self.clock = FakeClock(ticks_s=0.0)
        config = WatchConfig(settle_s=0.5, settle_open_s=2.0, settle_group_s=group_s)
        self.settler = Settler("r", config, lambda key: self.disk.get(key.path), self.clock)
        self.passed: defaultdict[str, list[float]] = defaultdict(list)
        self.batches: list[list[FileEvent]] = []
        self.told: dict[str, Version | None] = {}

    def change(self, number: int, path: str, change: Change, is_closed: bool) -> None:
        if change is Change.REMOVED:
            self.disk.pop(path, None)
        else:
            self.disk[path] = Version(number, number, number)
        self.settler.add(FileEvent(PathKey("r", path), change, is_closed=is_closed))

    def tick(self) -> None:
        batch = self.settler.due()
        for event in batch:
            self.passed[event.key.path].append(self.clock.monotonic())
            self.told[event.key.path] = self.disk.get(event.key.path)
        self.batches.append(batch)
        self.clock.advance(TICK_S)

    def finish(self) -> None:
        while len(self.settler):
            self.tick()


@given(STEPS)
@settings(max_examples=200)
def test_nothing_is_lost_or_late(steps: list[tuple[str, Change, bool, int]]) -> None:
    alone, together = Run(0.0), Run(BOUND_S)
    changed: defaultdict[str, list[float]] = defaultdict(list)
    for number, (path, change, is_closed, ticks) in enumerate(steps):
        changed[path].append(alone.clock.monotonic())
        for run in (alone, together):
            run.change(number, path, change, is_closed)
            for _ in range(ticks):
                run.tick()
    for run in (alone, together):
        run.finish()
        assert {path: version for path, version in run.told.items() if version is not None} == run.disk
    for path, times in alone.passed.items():
        for at in times:
            late = at + BOUND_S
            if any(at < when <= late for when in changed[path]):
                continue  # it was stirred again while it waited: the next time counts
            last = max(when for when in changed[path] if when <= at)
            assert any(last <= when <= late for when in together.passed[path]), (path, at, together.passed[path])


@given(st.permutations(["a.xmp", "a.jpg", "a.mov", "a.jpg.xmp"]), st.lists(st.integers(0, 1), min_size=4, max_size=4))
def test_a_group_that_arrives_together_is_one_batch_sidecars_first(order: list[str], ticks: list[int]) -> None:
    run = Run(BOUND_S)
    for number, (path, wait) in enumerate(zip(order, ticks, strict=True)):
        run.change(number, path, Change.ADDED, True)
        for _ in range(wait):
            run.tick()
    run.finish()
    (batch,) = [batch for batch in run.batches if batch]
    names = [event.key.path for event in batch]
    assert set(names[:2]) == {"a.xmp", "a.jpg.xmp"} and len(names) == 4
