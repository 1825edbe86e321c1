"""What every watcher promises, on the real kernel: fanotify (by itself, and by the helper), inotify, watchdog."""

# Names that are no text need os.path

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakewatchd import fanotify as fan
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.errors import LakewatchError
from lakewatchd.sources import budget, inotify
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.listener import KernelWatcher
from lakewatchd.sources.observer import ObserverWatcher
from lakewatchd.sources.roots import Root
from lakewatchd.sources.watch import start_watcher
from lakewatchd.sources.watcher import Tier, Watcher
from lakewatchd.testing import make_tree, wait_until
from tests.contract.event_helper import serving

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify needs root")
KERNEL = [
    pytest.param("fanotify", marks=needs_root),
    pytest.param("fanotify by the helper", marks=needs_root),
    "inotify",
]
# It warns of a callback that is set twice, and a warning is an error in these tests, in its thread as well
WATCHDOG = pytest.param("watchdog", marks=pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning"))
ALL = [*KERNEL, WATCHDOG]


class Ears:
    """A watcher and what ``live`` does around it: covers what is dirty before it lists it, and remembers all."""

    def __init__(self, base: Path, watcher: Watcher, buffer: Buffer, rules: IgnoreRules) -> None:
        self.base = base
        self.watcher = watcher
        self.buffer = buffer
        self.rules = rules
        self.told: dict[str, Change] = {}
        self.closed: set[str] = set()
        self.dirty: list[str] = []
        self.found: set[str] = set()
        self.again: Callable[[Path], Ears]
        """Another of the same kind."""
        self.cover_all("")

    def cover_all(self, path: str) -> None:
        """As a scan does."""
        todo = [path]
        while todo:
            directory = todo.pop()
            self.watcher.cover(directory)
            try:
                with os.scandir(self.base / directory) as entries:
                    for entry in entries:
                        below = f"{directory}/{entry.name}" if directory else entry.name
                        is_dir = entry.is_dir(follow_symlinks=False)
                        if self.rules.why_ignored(below, is_dir) is not None:
                            continue
                        if is_dir:
                            todo.append(below)
                        else:
                            self.found.add(below)
            except OSError:
                continue

    def listen(self) -> None:
        for event in self.buffer.drain():
            self._hear(event)

    def _hear(self, event: FileEvent) -> None:
        path = event.key.path
        if event.change is Change.DIRTY:
            self.dirty.append(path)
            self.cover_all(path)
            self.watcher.prune()
        else:
            is_same_news = event.change is Change.MODIFIED and self.told.get(path) is Change.ADDED
            self.told[path] = Change.ADDED if is_same_news else event.change
            if event.is_closed:
                self.closed.add(path)

    def until(self, condition: Callable[[], object]) -> None:
        try:
            wait_until(lambda: (self.listen(), condition())[1], 60)
        except AssertionError as exc:
            raise AssertionError(f"{self.watcher.problem}, told {self.told}, dirty {self.dirty}") from exc

    def quiet(self) -> None:
        """All that was done until now has been heard."""
        passed = threading.Event()
        if self.watcher.mark(passed.set):
            assert passed.wait(60)
        else:
            time.sleep(1)
        self.listen()
        self.told.clear()
        self.dirty.clear()
        self.found.clear()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "root", {"a.jpg": "1", "d/b.jpg": "2", "no/c.jpg": "3"})


def forbid_fanotify(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(fan, "open_group", refuse)


@pytest.fixture
def helper(tmp_path: Path, base: Path) -> Iterator[Path]:
    config = tmp_path / "lakewatchd.toml"
    config.write_text(f'[[root]]\nname = "r"\npath = "{base}"\n')
    with serving(config, tmp_path) as socket:
        yield socket


def listen_to(base: Path, wanted: str, helper: Path | None = None) -> Ears:
    rules, buffer = IgnoreRules(base, ("*.tmp", "no/")), Buffer("r", 10_000)
    return Ears(base, start_watcher(Root("r", base), rules, buffer, wanted, helper), buffer, rules)


@pytest.fixture
def ears(request: pytest.FixtureRequest, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ears]:
    wanted, _, by_helper = request.param.partition(" ")
    if by_helper:
        forbid_fanotify(monkeypatch)
    socket = request.getfixturevalue("helper") if by_helper else None
    ears = listen_to(base, wanted, socket)
    ears.again = lambda path: listen_to(path, wanted, socket)
    assert ears.watcher.tier == wanted
    yield ears
    ears.watcher.stop()


every = pytest.mark.parametrize("ears", ALL, indirect=True)
kernel = pytest.mark.parametrize("ears", KERNEL, indirect=True)


@every
def test_files_written_replaced_moved_and_removed(ears: Ears, tmp_path: Path) -> None:
    base = ears.base
    (base / "new.jpg").write_text("x")
    (base / "d/b.jpg").write_text("longer")
    ears.until(lambda: {"new.jpg", "d/b.jpg"} <= ears.closed and ears.told["new.jpg"] is Change.ADDED)
    (base / "half.tmp").write_text("x")
    (base / "half.tmp").rename(base / "whole.jpg")
    ears.until(lambda: ears.told.get("whole.jpg") is Change.ADDED)
    assert "half.tmp" not in ears.told
    (base / "new.jpg").rename(base / "d/moved.jpg")
    ears.until(lambda: (ears.told.get("new.jpg"), ears.told.get("d/moved.jpg")) == (Change.REMOVED, Change.ADDED))
    (base / "d/moved.jpg").rename(tmp_path / "out.jpg")
    (base / "a.jpg").unlink()
    ears.until(lambda: ears.told.get("d/moved.jpg") is Change.REMOVED and ears.told.get("a.jpg") is Change.REMOVED)
    (tmp_path / "out.jpg").rename(base / "back.jpg")
    os.link(base / "back.jpg", base / "linked.jpg")
    ears.until(lambda: ears.told.get("back.jpg") is Change.ADDED and ears.told.get("linked.jpg") is Change.ADDED)


@kernel
def test_other_rights_are_told(ears: Ears) -> None:
    (ears.base / "a.jpg").chmod(0o600)
    ears.until(lambda: ears.told.get("a.jpg") is Change.MODIFIED)


def test_watchdog_tells_of_directories_that_come_and_go(base: Path, tmp_path: Path) -> None:
    """Under load it may miss what happens in one that came a moment ago: its problem says so, rescans find it."""
    make_tree(tmp_path, {"tree/in/x.jpg": "x"})
    ears = listen_to(base, "watchdog")
    try:
        (tmp_path / "tree").rename(base / "tree")
        ears.until(lambda: "tree" in ears.dirty and "tree/in/x.jpg" in ears.found)
        (base / "tree").rename(base / "d/other")
        ears.until(lambda: {"tree", "d/other"} <= set(ears.dirty))
        (base / "d/other").rename(tmp_path / "tree")
        ears.until(lambda: ears.dirty.count("d/other") >= 2)
        shutil.rmtree(base / "d")
        ears.until(lambda: "d" in ears.dirty)
    finally:
        ears.watcher.stop()


@kernel
def test_directories_made_moved_in_moved_within_moved_out_and_removed(ears: Ears, tmp_path: Path) -> None:
    base = ears.base
    make_tree(tmp_path, {"tree/in/x.jpg": "x"})
    (tmp_path / "tree").rename(base / "tree")
    ears.until(lambda: "tree" in ears.dirty and "tree/in/x.jpg" in ears.found)
    (base / "tree/in/later.jpg").write_text("in a tree that was moved in")
    ears.until(lambda: "tree/in/later.jpg" in ears.closed)
    (base / "tree").rename(base / "d/other")
    ears.until(lambda: {"tree", "d/other"} <= set(ears.dirty))
    (base / "d/other/in/again.jpg").write_text("x")
    ears.until(lambda: "d/other/in/again.jpg" in ears.told)
    (base / "d/other").rename(tmp_path / "tree")
    ears.until(lambda: ears.dirty.count("d/other") >= 2)
    ears.quiet()
    (tmp_path / "tree/in/unheard.jpg").write_text("not ours any more")
    (base / "d/heard.jpg").write_text("x")
    ears.until(lambda: "d/heard.jpg" in ears.told)
    assert not any("unheard" in path for path in ears.told)
    shutil.rmtree(base / "d")
    ears.until(lambda: "d" in ears.dirty)


@every
def test_files_in_directories_made_a_moment_ago(ears: Ears) -> None:
    made = {f"n{i}/m/{j}.jpg" for i in range(200) for j in range(3)}
    for i in range(200):
        make_tree(ears.base, {f"n{i}/m/{j}.jpg": "x" for j in range(3)})
        if i % 20 == 0:
            ears.listen()
    ears.until(lambda: made <= ears.found | set(ears.told))


@every
def test_names_no_one_would_choose(ears: Ears) -> None:
    names = {os.fsdecode(name) for name in (b"\xff\xfe.jpg", b"new\nline", b"x" * 255, b" ", b"-rf", "\u00fc".encode())}
    for name in names:
        Path(ears.base, "d", name).write_text("x")
    ears.until(lambda: {f"d/{name}" for name in names} <= ears.closed)
    for name in names:
        Path(ears.base, name).mkdir()
    ears.until(lambda: names <= set(ears.dirty))
    for name in names:
        Path(ears.base, name, "in").write_text("x")
    ears.until(lambda: {f"{name}/in" for name in names} <= set(ears.told) | ears.found)


@every
def test_what_a_rule_leaves_out_is_not_told_and_a_new_rule_is(ears: Ears) -> None:
    make_tree(ears.base, {"no/x.jpg": "x", "x.tmp": "x", "d/no/y.jpg": "y"})
    (ears.base / "seen.jpg").write_text("x")
    ears.until(lambda: "seen.jpg" in ears.closed)
    assert set(ears.told) == {"seen.jpg"} and not ears.dirty
    if ears.watcher.tier is not Tier.WATCHDOG:  # it watches what it likes
        assert ears.watcher.watched == 2
    make_tree(ears.base, {"d/.lakeignore": "*.jpg"})
    ears.until(lambda: ears.dirty == ["d"])


@kernel
def test_the_barrier_comes_behind_all_that_was_done_before(ears: Ears) -> None:
    for turn in range(20):
        passed = threading.Event()
        names = {f"d/{turn}-{i}.jpg" for i in range(50)}
        for name in names:
            (ears.base / name).write_text("x")
        assert ears.watcher.mark(passed.set) and passed.wait(60)
        ears.listen()
        assert names <= ears.closed


def test_watchdog_has_no_barrier_and_says_so(base: Path) -> None:
    ears = listen_to(base, "watchdog")
    assert not ears.watcher.mark(lambda: None)
    assert ears.watcher.problem is not None and "does not say" in ears.watcher.problem.reason
    assert [why.split(":")[0] for why in ears.watcher.why_not] == ["fanotify", "inotify"]
    ears.watcher.stop()


@kernel
def test_the_root_itself_moved_away_is_told(ears: Ears) -> None:
    ears.base.rename(ears.base.parent / "aside")
    ears.until(lambda: "" in ears.dirty)


@kernel
def test_a_directory_in_two_places_is_told_in_both(ears: Ears) -> None:
    (ears.base / "twin").mkdir()
    subprocess.run(["mount", "--bind", ears.base / "d", ears.base / "twin"], check=True)
    try:
        ears.cover_all("")
        (ears.base / "d/new.jpg").write_text("x")
        ears.until(lambda: {"d/new.jpg", "twin/new.jpg"} <= ears.closed)
    finally:
        subprocess.run(["umount", "-l", ears.base / "twin"], check=True)


@every
def test_a_root_reached_through_a_link(ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(ears.base)
    other = ears.again(tmp_path / "link")
    try:
        (ears.base / "d/new.jpg").write_text("x")
        for each in (ears, other):  # two roots on one file system, too
            each.until(lambda each=each: "d/new.jpg" in each.closed)
    finally:
        other.watcher.stop()


@kernel
def test_directories_that_are_gone_are_forgotten(ears: Ears, tmp_path: Path) -> None:
    make_tree(ears.base, {"t/u/x": "", "t/v/x": ""})
    ears.until(lambda: ears.watcher.watched == 5)
    (ears.base / "t").rename(tmp_path / "elsewhere")
    ears.until(lambda: ears.watcher.watched == 2)
    shutil.rmtree(ears.base / "d")
    ears.until(lambda: ears.watcher.watched == 1)


@every
def test_a_directory_that_may_not_be_read_is_told_and_heard_of_when_it_may(
    ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ears.base / "secret").mkdir()
    ears.quiet()
    if os.geteuid() == 0:  # rights do not hold for root: let the calls answer as they do for others
        real_access, real_add = os.access, inotify.InotifyQueue._add

        def access(path: str | bytes, mode: int) -> bool:
            return not os.fsdecode(path).rstrip("/").endswith("secret") and real_access(path, mode)

        def add(queue: inotify.InotifyQueue, local: bytes, mask: int) -> int:
            if local.endswith(b"secret"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real_add(queue, local, mask)

        monkeypatch.setattr(os, "access", access)
        monkeypatch.setattr(inotify.InotifyQueue, "_add", add)
    (ears.base / "secret").chmod(0)
    assert ears.watcher.cover("secret") is False
    ears.watcher.cover("")  # as a scan does that finds its directory gone
    problem = ears.watcher.problem
    assert problem is not None and problem.reason.startswith("1 directories are not watched: Permission denied")
    assert len(ears.watcher.unwatched) == 1
    ears.quiet()
    monkeypatch.undo()
    if ears.watcher.tier is not Tier.WATCHDOG:  # it is not told of rights
        (ears.base / "secret").chmod(0o755)
        ears.until(lambda: "secret" in ears.dirty)
        assert ears.watcher.problem is None


@every
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_is_told(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a defect")

    if isinstance(ears.watcher, KernelWatcher):
        monkeypatch.setattr(ears.watcher._queue, "parse", fail)
    else:
        assert isinstance(ears.watcher, ObserverWatcher)
        monkeypatch.setattr(ears.watcher._observer, "dispatch_events", fail)
    (ears.base / "x.jpg").write_text("x")
    wait_until(lambda: not ears.watcher.is_alive)
    assert ears.watcher.problem is not None and "has ended" in ears.watcher.problem.reason
    if isinstance(ears.watcher, KernelWatcher):
        ears.until(lambda: "" in ears.dirty)


@every
def test_stopping_in_the_middle_of_a_flood_leaves_nothing_open(base: Path, ears: Ears) -> None:
    ears.watcher.stop()
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            (base / "d/flood.jpg").write_text("x")

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        for _ in range(5):
            other = ears.again(base)
            other.until(lambda other=other: "d/flood.jpg" in other.told)
            other.watcher.stop()
            other.watcher.stop()
            assert not other.watcher.is_alive
    finally:
        is_over.set()
        writer.join()
    wait_until(lambda: threading.active_count() <= threads and len(os.listdir("/proc/self/fd")) <= files)


@pytest.mark.parametrize("wanted", ["inotify", "watchdog"])
def test_an_overflow_of_the_kernels_queue_makes_the_root_dirty(base: Path, wanted: str) -> None:
    ears = listen_to(base, wanted)
    try:
        limit = int((budget.PROC / "max_queued_events").read_text())
        watcher = ears.watcher
        with watcher._lock if isinstance(watcher, KernelWatcher) else watcher._reader._lock:  # type: ignore[attr-defined]
            for i in range(limit + 5000):  # the reader waits; in turns, since the kernel merges what is the same twice
                os.close(os.open(base / ("a.jpg" if i % 2 else "d/b.jpg"), os.O_WRONLY))
        ears.until(lambda: "" in ears.dirty)
        assert ears.watcher.overflows > 0
    finally:
        ears.watcher.stop()


def test_the_watch_limit_is_told_with_its_fix(base: Path) -> None:
    """In a user namespace of its own, where the limit is two."""
    script = f"""
import sys
from pathlib import Path
from tests.contract.test_watchers import listen_to
Path("/proc/sys/user/max_inotify_watches").write_text("2")  # of the namespace, not of the machine
ears = listen_to(Path({str(base)!r}), "inotify")
assert ears.watcher.cover("d") is False, ears.watcher.watched
print(ears.watcher.problem.reason, "|", ears.watcher.problem.hint)
ears.watcher.stop()
"""
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 directories are not watched: the kernel allows 2;"), done.stdout
    assert "sudo sysctl fs.inotify.max_user_watches=" in done.stdout


def test_the_budget_of_this_machine() -> None:
    watches, instances = budget.limit(), budget.instances()
    assert watches > 0 and instances > 0


def test_no_way_at_all_is_one_error_with_every_reason(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_fanotify(monkeypatch)

    def refuse(*args: object) -> None:
        raise LakewatchError("changes cannot be watched: Too many open files", "sudo sysctl x")

    monkeypatch.setattr(inotify.InotifyQueue, "__init__", refuse)
    monkeypatch.setattr(ObserverWatcher, "start", refuse)
    with pytest.raises(LakewatchError) as caught:
        listen_to(base, "auto")
    for tier in Tier:
        assert f"{tier}: " in caught.value.message
    assert caught.value.hint == "sudo sysctl x"
