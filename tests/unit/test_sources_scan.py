"""Scans of real directories against a model of what is known."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.errors import RootAway
from lakewatchd.sources import listing, missing, roots, scan
from lakewatchd.sources.ignore import SPECIAL, SYMLINK, IgnoreRules
from lakewatchd.sources.known import ScanOptions, ScanSummary
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scan import Scanner
from lakewatchd.testing import FakeClock, make_tree

A, M, R = Change.ADDED, Change.MODIFIED, Change.REMOVED


class Known:
    """A plain dictionary of what is known; ``before`` runs once before the first answer, to change the disk."""

    def __init__(self) -> None:
        self.files: dict[str, Version] = {}
        self.before: dict[str, Callable[[], None]] = {}

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        self.before.pop(dir, lambda: None)()
        return {p.rpartition("/")[2]: v for p, v in self.files.items() if p.rpartition("/")[0] == dir}

    def subdirectories(self, root: str, dir: str) -> set[str]:
        prefix = dir + "/" if dir else ""
        return {p[len(prefix) :].split("/")[0] for p in self.files if p.startswith(prefix) and "/" in p[len(prefix) :]}

    def under(self, root: str, dir: str) -> Iterator[PathKey]:
        return iter([PathKey(root, p) for p in list(self.files) if not dir or p.startswith(dir + "/")])

    def count(self, root: str) -> int:
        return len(self.files)


class Lab:
    def __init__(self, base: Path, *patterns: str) -> None:
        self.base = base
        self.known = Known()
        root = Root("r", base)
        identity = roots.look(root)[0].identity
        self.rules = IgnoreRules(base, patterns)
        self.scanner = Scanner(
            root,
            self.rules,
            self.known,
            FakeClock(),
            health=lambda: roots.same(root, identity, lambda: len(self.known.files)),
        )
        self.summary: ScanSummary | None = None

    def run(self, directory: str = "", options: ScanOptions = ScanOptions()) -> list[FileEvent]:  # noqa: B008
        one = self.scanner.scan(directory, options)
        events = []
        try:
            for batch in one:
                assert len(batch) <= scan.BATCH + 1000
                events += batch
                self.absorb(batch)
        finally:
            self.summary = one.summary
        return events

    def changes(self, directory: str = "", options: ScanOptions = ScanOptions()) -> set[tuple[str, Change]]:  # noqa: B008
        return {(e.key.path, e.change) for e in self.run(directory, options)}

    def absorb(self, events: list[FileEvent]) -> None:
        for event in events:
            if event.change is R:
                self.known.files.pop(event.key.path)
            else:
                assert event.version is not None
                self.known.files[event.key.path] = event.version


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    base = make_tree(tmp_path / "root", {"a.jpg": "1", "d/b.jpg": "2", "d/e/c.jpg": "3", "x.tmp": "4"})
    return Lab(base, "*.tmp")


def test_first_scan_then_silence(lab: Lab) -> None:
    events = lab.run()
    assert {(e.key.path, e.change, e.priority) for e in events} == {
        (p, A, Priority.BACKFILL) for p in ("a.jpg", "d/b.jpg", "d/e/c.jpg")
    }
    assert lab.run() == []
    assert lab.summary is not None and lab.summary.is_finished
    assert (lab.summary.seen, lab.summary.directories, lab.summary.ignored) == (3, 3, (("config: *.tmp", 1),))


def test_changes_and_removals_last(lab: Lab) -> None:
    lab.run()
    (lab.base / "a.jpg").write_text("longer")
    (lab.base / "d/b.jpg").unlink()
    (lab.base / "new.jpg").touch()
    events = lab.run()
    assert {(e.key.path, e.change) for e in events} == {("a.jpg", M), ("d/b.jpg", R), ("new.jpg", A)}
    assert events[-1].change is R
    assert lab.run() == []


def test_a_vanished_tree_takes_all_its_files(lab: Lab) -> None:
    lab.run()
    shutil.rmtree(lab.base / "d")
    assert lab.changes() == {("d/b.jpg", R), ("d/e/c.jpg", R)}


def test_a_file_and_a_directory_that_trade_places(lab: Lab) -> None:
    lab.run()
    shutil.rmtree(lab.base / "d")
    (lab.base / "d").write_text("a file now")
    (lab.base / "a.jpg").unlink()
    make_tree(lab.base, {"a.jpg/inner": "x"})
    assert lab.changes() == {("d", A), ("d/b.jpg", R), ("d/e/c.jpg", R), ("a.jpg", R), ("a.jpg/inner", A)}
    assert lab.run() == []


def test_one_directory_alone(lab: Lab) -> None:
    assert lab.changes("d", ScanOptions(recursive=False)) == {("d/b.jpg", A)}
    assert lab.changes("d", ScanOptions(priority=Priority.ASKED)) == {("d/e/c.jpg", A)}


def test_a_directory_that_is_gone_is_told_by_the_nearest_one_above(lab: Lab) -> None:
    lab.run()
    shutil.rmtree(lab.base / "d/e")
    (lab.base / "a.jpg").unlink()
    assert lab.changes("d/e/f") == {("d/e/c.jpg", R)}
    assert lab.changes() == {("a.jpg", R)}


def test_a_new_rule_removes_what_it_leaves_out(lab: Lab) -> None:
    lab.run()
    make_tree(lab.base, {".lakeignore": "e/\n", "d/.lakeignore": "b.*"})
    assert lab.changes() == {("d/b.jpg", R), ("d/e/c.jpg", R)}
    (lab.base / ".lakeignore").unlink()
    assert lab.changes() == {("d/e/c.jpg", A)}


def test_links_and_special_files_are_counted_not_followed(lab: Lab) -> None:
    os.mkfifo(lab.base / "pipe")
    (lab.base / "loop").symlink_to(".")
    (lab.base / "d/up").symlink_to("../..")
    lab.run()
    assert lab.summary is not None and dict(lab.summary.ignored) == {SPECIAL: 1, SYMLINK: 2, "config: *.tmp": 1}


def test_a_directory_replaced_by_a_link_is_not_walked_through(lab: Lab) -> None:
    lab.run()
    shutil.move(lab.base / "d", lab.base.parent / "outside")
    (lab.base / "d").symlink_to("../outside")
    assert lab.changes("d/e") == {("d/b.jpg", R), ("d/e/c.jpg", R)}


def test_names_no_one_would_choose(lab: Lab) -> None:
    for name in (b"\xff\xfe", b"new\nline", b" ", b"-rf", b"x" * 255, b"\\", b"..."):
        Path(os.fsdecode(os.fsencode(lab.base) + b"/" + name)).write_text("x")
    assert len(lab.run()) == 10
    assert lab.run() == []


@pytest.mark.parametrize("when", ["before", "while", "emptied"])
def test_a_root_that_vanishes_is_not_a_deletion(lab: Lab, when: str) -> None:
    lab.run()
    away = lab.base.parent / "away"

    def unmount() -> None:
        lab.base.rename(away)
        if when == "emptied":
            lab.base.mkdir()

    if when == "before":
        unmount()
    else:
        lab.known.before["d"] = unmount
    with pytest.raises(RootAway):
        lab.run()
    assert len(lab.known.files) == 3


def test_a_root_that_vanishes_while_removals_are_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH", 1)
    lab.run()
    shutil.rmtree(lab.base / "d/e")
    (lab.base / "d/b.jpg").unlink()
    batches = iter(lab.scanner.scan())
    assert len(next(batches)) == 1
    lab.base.rename(lab.base.parent / "away")
    with pytest.raises(RootAway):
        list(batches)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_an_unreadable_directory_removes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    lab.run()
    real = listing.read

    def broken(path: str, *, follow: bool = False) -> listing.Listing:  # root may read all: the error is made up
        if path.endswith("/d"):
            raise OSError(number, os.strerror(number))
        return real(path, follow=follow)

    shutil.rmtree(lab.base / "d/e")
    monkeypatch.setattr(listing, "read", broken)
    assert lab.changes() == set()
    assert lab.summary is not None and lab.summary.problems[0].path == "d" and lab.summary.problem_count == 1


def test_an_entry_of_which_nothing_can_be_told_is_not_gone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run()
    real = listing.read

    def broken(path: str, *, follow: bool = False) -> listing.Listing:
        found = real(path, follow=follow)
        if path.endswith("/root"):
            at = found.names.index("a.jpg")
            del found.names[at], found.stats[at]
            found.unknown.append(("a.jpg", False, OSError(errno.EIO, "Input/output error")))
        return found

    monkeypatch.setattr(listing, "read", broken)
    assert lab.changes() == set()
    assert lab.summary is not None and lab.summary.problems[0].path == "a.jpg"


def test_a_directory_that_vanishes_between_listing_and_entering(lab: Lab) -> None:
    lab.known.before[""] = lambda: shutil.rmtree(lab.base / "d")
    assert lab.changes() == {("a.jpg", A)}


def test_a_removal_that_came_back_is_not_told(lab: Lab) -> None:
    lab.run()
    (lab.base / "a.jpg").unlink()
    lab.known.before["d/e"] = lambda: (lab.base / "a.jpg").write_text("1")
    assert lab.changes() == set()


def known(lab: Lab, path: str) -> Version:
    return lab.known.files[path]


@pytest.mark.parametrize(
    ("files", "lost", "held"), [(300, 60, 0), (300, 61, 61), (100, 49, 0), (100, 50, 50), (49, 48, 0)]
)
def test_a_great_loss_is_held_until_a_person_says_so(tmp_path: Path, files: int, lost: int, held: int) -> None:
    lab = Lab(make_tree(tmp_path / "root", {f"d/{i}": "" for i in range(files)}))
    lab.run()
    for i in range(lost):
        (lab.base / f"d/{i}").unlink()
    for directory in ("d", ""):  # wherever it is noticed
        batches = [event for batch in lab.scanner.scan(directory) for event in batch]
        assert len(batches) == (0 if held else lost)
    told = lab.changes()
    assert lab.summary is not None and lab.summary.held_back == held
    assert len(told) == (0 if held else lost)
    assert len(lab.changes(options=ScanOptions(accept_removals=True))) == held
    assert lab.changes() == set()


def test_deletions_that_were_heard_of_are_no_surprise(tmp_path: Path) -> None:
    lab = Lab(make_tree(tmp_path / "root", {"stays": "", **{f"d/{i}": "" for i in range(300)}}))
    lab.run()
    shutil.rmtree(lab.base / "d")
    assert lab.changes(options=ScanOptions(witnessed=200)) == set()
    assert len(lab.changes(options=ScanOptions(witnessed=290))) == 300


def test_most_files_missing_and_as_many_others_new_is_another_disk(tmp_path: Path) -> None:
    lab = Lab(make_tree(tmp_path / "root", {f"old/{i}": "" for i in range(300)}))
    lab.run()
    shutil.rmtree(lab.base / "old")
    make_tree(lab.base, {f"new/{i}": "other content" for i in range(300)})
    assert {change for _, change in lab.changes()} == {A}
    assert lab.summary is not None and lab.summary.held_back == 300


@pytest.mark.parametrize("mtime_ns", [0, -1, 1, 1 << 62, 2**33 * 10**9])
def test_any_time_is_just_a_number(lab: Lab, mtime_ns: int) -> None:
    lab.run()
    os.utime(lab.base / "a.jpg", ns=(0, mtime_ns))
    assert lab.changes() == {("a.jpg", M)}
    assert lab.changes() == set()


def test_an_edit_that_restores_size_and_time_is_found_last_of_all(lab: Lab) -> None:
    lab.run()
    status = (lab.base / "a.jpg").stat()
    while (lab.base / "a.jpg").stat().st_ctime_ns == status.st_ctime_ns:  # the kernel's clock for it ticks
        (lab.base / "a.jpg").write_text("X")
        os.utime(lab.base / "a.jpg", ns=(0, status.st_mtime_ns))
    (event,) = lab.run(options=ScanOptions(priority=Priority.ASKED))
    assert (event.key.path, event.change, event.priority) == ("a.jpg", M, Priority.ENRICHMENT)
    assert lab.run() == []
    lab.scanner.compare_ctime = False
    lab.known.files["a.jpg"] = replace(known(lab, "a.jpg"), ctime_ns=1)
    assert lab.run() == []


def test_a_ctime_that_moves_by_itself_is_looked_into_less_and_less(lab: Lab) -> None:
    lab.run()
    clock = lab.scanner.clock
    assert isinstance(clock, FakeClock)
    old = replace(known(lab, "a.jpg"), ctime_ns=int(clock.now() * 1e9))
    for calm, hours in ((3, 0), (4, 2), (5, 4), (16, 8192), (99, 8192)):
        lab.known.files["a.jpg"] = replace(old, calm=calm, ctime_ns=int((clock.now() - hours * 3600) * 1e9))
        assert [event.key.path for batch in lab.scanner.scan("") for event in batch] == ["a.jpg"]
        lab.known.files["a.jpg"] = replace(old, calm=calm, ctime_ns=int((clock.now() - hours * 3599) * 1e9))
        assert len([event for batch in lab.scanner.scan("") for event in batch]) == (calm == 3)


def test_an_unknown_ctime_is_no_change(lab: Lab) -> None:
    lab.run()
    lab.known.files["a.jpg"] = replace(known(lab, "a.jpg"), ctime_ns=0)
    assert lab.run() == []


def test_a_rename_of_most_files_is_no_loss(tmp_path: Path) -> None:
    lab = Lab(make_tree(tmp_path / "root", {f"old/{i}": "" for i in range(300)}))
    lab.run()
    (lab.base / "old").rename(lab.base / "new")
    assert len(lab.changes()) == 600


def test_a_mount_point_below_the_root_that_lost_its_mount(lab: Lab) -> None:
    lab.run()
    for path in ("d/b.jpg", "d/e/c.jpg"):
        lab.known.files[path] = replace(lab.known.files[path], device=987654)
    shutil.rmtree(lab.base / "d")
    (lab.base / "d").mkdir()
    assert lab.changes() == set()
    assert lab.summary is not None and "unmounted" in lab.summary.problems[0].reason
    assert lab.changes(options=ScanOptions(accept_removals=True)) == {("d/b.jpg", R), ("d/e/c.jpg", R)}


def test_another_device_number_after_a_reboot_is_no_change(lab: Lab) -> None:
    lab.run()
    lab.known.files = {path: replace(version, device=987654) for path, version in lab.known.files.items()}
    assert lab.changes() == set()
    lab.scanner.compare_inodes = False
    lab.known.files = {path: replace(version, inode=1) for path, version in lab.known.files.items()}
    assert lab.changes() == set()


def test_our_own_directories_are_left_out(lab: Lab) -> None:
    status = (lab.base / "d").stat()
    lab.rules._excluded = frozenset({(status.st_dev, status.st_ino)})
    assert lab.changes() == {("a.jpg", A)}
    assert lab.changes("d") == lab.changes("d/e") == set()


def test_each_directory_is_announced_before_it_is_listed(lab: Lab) -> None:
    def announce(path: str) -> None:
        make_tree(lab.base, {f"{path}/late-{path.count('/')}" if path else "late": "x"})

    lab.scanner.on_directory = announce
    assert {path for path, _ in lab.changes()} >= {"late", "d/late-0", "d/e/late-1"}


def test_a_stopped_scan_tells_no_removals(lab: Lab) -> None:
    lab.run()
    (lab.base / "a.jpg").unlink()
    one = lab.scanner.scan()
    lab.known.before["d"] = one.stop
    assert list(one) == [] and not one.summary.is_finished


def test_batches_are_bounded(tmp_path: Path) -> None:
    lab = Lab(make_tree(tmp_path / "root", {f"{i % 5}/{i}": "" for i in range(2500)}))
    sizes = [len(batch) for batch in lab.scanner.scan()]
    assert sum(sizes) == 2500 and max(sizes) <= 1500


def test_only_the_subdirectories_asked_for_are_entered(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a.txt": "", "new/b.txt": "", "new/deep/c.txt": "", "old/d.txt": ""})
    asked: list[str] = []

    def enter(path: str) -> bool:
        asked.append(path)
        return path != "old"

    assert {event.key.path for event in Lab(tmp_path).run("", ScanOptions(enter=enter))} == {
        "a.txt",
        "new/b.txt",
        "new/deep/c.txt",
    }
    assert sorted(asked) == ["new", "new/deep", "old"]


def test_without_room_for_notes_nothing_is_told_as_removed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(lab.base, {f"{n}.jpg": str(n) for n in range(30)})
    lab.run()
    for number in range(30):
        (lab.base / f"{number}.jpg").unlink()
    make_tree(lab.base, {"new.jpg": "new"})
    monkeypatch.setattr(missing, "SPOOL_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(lab.base / "no such directory"))
    assert lab.changes() == {("new.jpg", Change.ADDED)}
    assert lab.summary is not None and "is not told now" in lab.summary.problems[0].reason
    monkeypatch.undo()
    assert len(lab.changes()) == 30
