"""A digest never hides a change: a scan that passes directories over tells what one that compares them all tells."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import Occurrence, PathKey
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.daemon.wiring import QueueThread, ScanPast
from lakewatchd.queue.store import QueueStore
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import ScanOptions
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scan import Scanner
from lakewatchd.testing import FakeClock

OPERATIONS = ("write", "rewrite", "chmod", "remove", "mkdir", "rename", "link", "ignore", "swap")
PATHS = st.lists(st.sampled_from(["a", "b", "c.tmp", "\udcff"]), min_size=1, max_size=3).map("/".join)
STEPS = st.lists(st.tuples(st.sampled_from(OPERATIONS), PATHS, PATHS), max_size=6)


class Lab:
    """The real memory of scans, and what a daemon does with their events, all of it or only some."""

    def __init__(self, base: Path, queue: QueueStore, past: ScanPast, thread: QueueThread) -> None:
        self.base = base
        self.queue = queue
        self.past = past
        self.thread = thread

    def clear(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir()
        self.thread.wait(self.queue.seen.forget_root, "r")

    def scan(self, *, digests: bool) -> set[tuple[str, Change]]:
        return {(event.key.path, event.change) for event in self.events(digests=digests)}

    def events(self, *, digests: bool) -> list[FileEvent]:
        rules = IgnoreRules(self.base, ("*.tmp",))
        memory = self.past if digests else None
        scanner = Scanner(Root("r", self.base), rules, self.past, FakeClock(), memory=memory)
        return [event for batch in scanner.scan("", ScanOptions(accept_removals=True)) for event in batch]

    def take_in(self, events: list[FileEvent]) -> None:
        seen = [Occurrence(e.key, "aa", e.version) for e in events if e.version is not None]
        gone = [PathKey("r", e.key.path) for e in events if e.change is Change.REMOVED]
        self.thread.wait(self.queue.seen.record, seen, gone)

    def kept(self) -> int:
        return self.thread.wait(self.queue.seen._db.rows, "SELECT count(*) FROM directory")[0][0]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    path = tmp_path / "q.db"
    with closing(QueueThread(FakeClock())) as thread:
        with closing(QueueStore(path, QueueConfig(), FakeClock())) as queue:
            pass
        queue = thread.wait(QueueStore, path, QueueConfig(), FakeClock())
        yield Lab(tmp_path / "root", queue, ScanPast(path, queue.seen, thread, FakeClock()), thread)
        thread.wait(queue.close)


@given(st.lists(st.tuples(STEPS, st.integers(1, 3)), max_size=6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_digest_never_hides_a_change(lab: Lab, rounds: list[tuple[list[tuple[str, str, str]], int]]) -> None:
    lab.clear()
    for steps, share in rounds:
        for what, path, other in steps:
            with suppress(OSError):  # the random steps do not always fit the tree
                do(what, lab.base / path, lab.base / other)
        expected = lab.scan(digests=False)
        events = lab.events(digests=True)
        assert {(event.key.path, event.change) for event in events} == expected
        lab.take_in(events[::share])
    while events := lab.events(digests=True):
        lab.take_in(events)
    assert lab.scan(digests=False) == set()


def do(what: str, path: Path, other: Path) -> None:
    if what == "mkdir":
        path.mkdir(parents=True)
    elif what == "remove":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif what == "ignore":
        (path.parent / ".lakeignore").write_bytes(os.fsencode(other.name))
    elif what == "chmod":
        path.chmod(0o640 if path.stat().st_mode & 0o4 else 0o644)
    elif what == "link":
        other.hardlink_to(path)
    elif what == "rename":
        path.rename(other)
    elif what == "swap":  # two files of one size trade places, with their times
        aside = path.with_name("aside")
        path.rename(aside)
        other.rename(path)
        aside.rename(other)
    elif what == "rewrite":  # as long as before, and its time set back
        status = path.stat()
        path.write_bytes(os.urandom(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")


def test_all_is_passed_over_the_third_time_and_nothing_above_a_change(lab: Lab) -> None:
    lab.clear()
    for name in ("a/b/1", "a/c/2", "d/3", "d/x.tmp"):
        do("write", lab.base / name, lab.base)
    lab.take_in(lab.events(digests=True))
    assert lab.kept() == 0
    assert lab.events(digests=True) == [] and lab.kept() == 5  # "", a, a/b, a/c, d
    do("rewrite", lab.base / "a/b/1", lab.base)
    events = lab.events(digests=True)
    assert [(event.key.path, event.change) for event in events] == [("a/b/1", Change.MODIFIED)]
    lab.take_in(events)
    assert lab.kept() == 2  # a/c, d


def test_what_a_scan_counts_does_not_depend_on_digests(lab: Lab) -> None:
    lab.clear()
    for name in ("a/1", "a/x.tmp", "a/y.tmp", "2"):
        do("write", lab.base / name, lab.base)
    lab.take_in(lab.events(digests=True))
    rules, seen = IgnoreRules(lab.base, ("*.tmp",)), []
    for _ in range(3):
        scan = Scanner(Root("r", lab.base), rules, lab.past, FakeClock(), memory=lab.past).scan()
        assert list(scan) == []
        seen.append((scan.summary.seen, scan.summary.ignored, scan.summary.directories))
    assert seen == [(2, (("config: *.tmp", 2),), 2)] * 3


def test_what_became_known_while_a_scan_compared_keeps_its_digest_away(lab: Lab) -> None:
    """A digest written then would hide that the file is gone."""
    lab.clear()
    do("write", lab.base / "a/1", lab.base)
    lab.take_in(lab.events(digests=True))
    real = lab.past.agree

    def late(root: str, found: list[object]) -> int:
        version = lab.past.directory("r", "a")["1"]
        lab.thread.wait(lab.queue.seen.record, [Occurrence(PathKey("r", "a/2"), "bb", version)])
        lab.past.agree = real  # type: ignore[method-assign]
        return real(root, found)  # type: ignore[arg-type]

    lab.past.agree = late  # type: ignore[method-assign,assignment]
    assert lab.events(digests=True) == []
    assert lab.scan(digests=True) == {("a/2", Change.REMOVED)}


def test_a_device_that_was_numbered_anew_is_no_change_and_brought_up_to_date(lab: Lab) -> None:
    lab.clear()
    do("write", lab.base / "a", lab.base)
    (event,) = lab.events(digests=True)
    assert event.version is not None
    old = Occurrence(event.key, "aa", type(event.version)(*(5, event.version.mtime_ns, event.version.inode, 99)))
    lab.thread.wait(lab.queue.seen.record, [old])
    assert lab.events(digests=True) == []
    assert lab.past.directory("r", "")["a"] == event.version


def test_a_rule_above_or_in_the_configuration_is_part_of_the_digest(lab: Lab) -> None:
    lab.clear()
    for name in ("a/b/1", "a/b/2.tmp"):
        do("write", lab.base / name, lab.base)
    lab.take_in(lab.events(digests=True))
    assert lab.events(digests=True) == []
    (lab.base / ".lakeignore").write_text("1")
    assert lab.scan(digests=True) == {("a/b/1", Change.REMOVED)}
    (lab.base / ".lakeignore").unlink()
    plain = Scanner(Root("r", lab.base), IgnoreRules(lab.base, ()), lab.past, FakeClock(), memory=lab.past)
    assert [event.key.path for batch in plain.scan() for event in batch] == ["a/b/2.tmp"]
