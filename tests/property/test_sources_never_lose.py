"""Whatever the order of changes, looks and clock ticks: the last change of every path comes out."""

# Names that are no text need os and os.path
# ruff: noqa: PTH102, PTH103, PTH108, PTH112, PTH114, PTH118, PTH120, PTH123, PTH211

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.sources.coalesce import Buffer, above
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scan import Scanner
from lakewatchd.sources.settle import Settler
from lakewatchd.testing import FakeClock

NAMES = st.sampled_from(["a", "b", "c", "ab"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CHANGES = st.sampled_from([Change.ADDED, Change.MODIFIED, Change.REMOVED, Change.DIRTY])


@given(
    st.lists(st.tuples(PATHS, CHANGES, st.booleans(), st.floats(0, 3), st.booleans()), max_size=60),
    st.integers(2, 40),
)
@settings(max_examples=200, deadline=None)
def test_settling_never_loses_the_last_change(steps: list[tuple[str, Change, bool, float, bool]], limit: int) -> None:
    disk: dict[str, Version] = {}
    clock = FakeClock()
    settler = Settler("r", WatchConfig(settle_s=0.7, settle_open_s=2.0), lambda key: disk.get(key.path), clock, limit)
    told: dict[str, Version | None] = {}
    """What a handler believes: the version of each path when it was last told of it or of a directory above."""

    def handle(events: list[FileEvent]) -> None:
        for event in events:
            if event.change is Change.DIRTY:
                for path in {*disk, *told}:
                    if event.key.path in above(path):
                        told[path] = disk.get(path)
            else:
                told[event.key.path] = disk.get(event.key.path)

    for number, (path, change, is_closed, wait_s, looks) in enumerate(steps):
        if change is Change.REMOVED:
            disk.pop(path, None)
        elif change is not Change.DIRTY:
            disk[path] = Version(number, number, number)
        settler.add(FileEvent(PathKey("r", path), change, is_closed=is_closed))
        assert len(settler) <= limit
        clock.advance(wait_s)
        if looks:
            handle(settler.due())
    while (due := settler.next_due()) is not None:
        clock.advance(max(0.0, due - clock.monotonic()))
        handle(settler.due())
    assert {path: version for path, version in told.items() if version is not None} == disk


@given(st.lists(st.tuples(PATHS, CHANGES), max_size=200), st.integers(1, 20), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_the_buffer_stays_bounded_and_covers_every_change(
    changes: list[tuple[str, Change]], limit: int, drain_every: int
) -> None:
    buffer = Buffer("r", limit)
    open_changes: list[str] = []
    for number, (path, change) in enumerate(changes):
        buffer.add(FileEvent(PathKey("r", path), change))
        open_changes.append(path)
        assert len(buffer) <= max(2, limit)
        if number % drain_every == 0 or number == len(changes) - 1:
            drained = buffer.drain()
            files = {e.key.path for e in drained if e.change is not Change.DIRTY}
            dirty = {e.key.path for e in drained if e.change is Change.DIRTY}
            assert all(p in files or not dirty.isdisjoint(above(p)) for p in open_changes)
            assert not any(set(list(above(d))[1:]) & dirty for d in dirty)
            open_changes.clear()


class Model:
    """What is known, as a plain dictionary: the events of a scan are applied to it."""

    def __init__(self) -> None:
        self.files: dict[str, Version] = {}

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        return {p.rpartition("/")[2]: v for p, v in self.files.items() if p.rpartition("/")[0] == dir}

    def subdirectories(self, root: str, dir: str) -> set[str]:
        prefix = dir + "/" if dir else ""
        return {p[len(prefix) :].split("/")[0] for p in self.files if p.startswith(prefix) and "/" in p[len(prefix) :]}

    def under(self, root: str, dir: str) -> Iterator[PathKey]:
        return iter([PathKey(root, p) for p in list(self.files) if not dir or p.startswith(dir + "/")])

    def count(self, root: str) -> int:
        return len(self.files)

    def apply(self, events: list[FileEvent]) -> None:
        for event in events:
            if event.change is Change.REMOVED:
                self.files.pop(event.key.path, None)
            else:
                assert event.version is not None
                self.files[event.key.path] = event.version


TREE_NAMES = st.sampled_from([b"a", b"b.jpg", b"\xff", b"new\nline", b" ", b"x.tmp", b"-rf", "ä".encode()])
TREE_PATHS = st.lists(TREE_NAMES, min_size=1, max_size=3).map(b"/".join)


@given(st.lists(st.tuples(st.sampled_from(["write", "remove", "mkdir", "link"]), TREE_PATHS), max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scan_and_what_is_known_converge(tmp_path: Path, steps: list[tuple[str, bytes]]) -> None:
    base = tmp_path / "root"
    shutil.rmtree(os.fsencode(base), ignore_errors=True)
    base.mkdir()
    model = Model()
    scanner = Scanner(Root("r", base), IgnoreRules(base, ("*.tmp",)), model, FakeClock())
    for number, (what, path) in enumerate(steps):
        _do(what, os.fsencode(base) + b"/" + path)
        if number % 4 == 3:
            _absorb(scanner, model)
    _absorb(scanner, model)
    assert list(scanner.scan()) == []
    on_disk = {
        os.fsdecode(os.path.relpath(os.path.join(d, f), os.fsencode(base)))
        for d, _, files in os.walk(os.fsencode(base))
        for f in files
        if not os.path.islink(os.path.join(d, f))
    }
    assert set(model.files) == {p for p in on_disk if not any(part == "x.tmp" for part in p.split("/"))}


def _absorb(scanner: Scanner, model: Model) -> None:
    for batch in scanner.scan():
        model.apply(batch)


def _do(what: str, path: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if what == "write":
            with open(path, "ab") as file:
                file.write(b"x")
        elif what == "mkdir":
            os.mkdir(path)
        elif what == "link":
            os.symlink(b"..", path)
        elif os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError:
        pass  # the random steps do not always fit the tree
