"""One root with real files, real inotify and real threads."""

# Names that are no text need os.path, and a test may block its own loop
# ruff: noqa: ASYNC240, PTH118

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from one_root import QUICK, Lake, alive, until

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.errors import Busy, NotReadable, OutOfSpace, RootAway
from lakewatchd.sources import inotify
from lakewatchd.sources.listener import KernelWatcher
from lakewatchd.sources.live import RootSource
from lakewatchd.sources.roots import Root, RootState
from lakewatchd.testing import make_tree


def on_disk(base: Path) -> set[str]:
    return {
        os.fsdecode(os.path.relpath(os.path.join(d, f), os.fsencode(base)))
        for d, _, files in os.walk(os.fsencode(base))
        for f in files
        if not f.endswith(b".tmp")
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "root", {"a.jpg": "1", "d/b.jpg": "2"})


@pytest.fixture
def lake(base: Path) -> Lake:
    return Lake(base)


async def test_what_lies_there_and_what_comes_later(base: Path, lake: Lake) -> None:
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "d/b.jpg"}
        make_tree(base, {"new.jpg": "x", "d/new.jpg": "y", "x.tmp": "", "deep/er/and/z.jpg": "z"})
        (base / "a.jpg").write_text("changed")
        (base / "d/b.jpg").unlink()
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "new.jpg", "d/new.jpg", "deep/er/and/z.jpg"}
        assert lake.files["a.jpg"].size_bytes == 7
        status = source.status
        assert status.state is RootState.PRESENT and status.problem == "" and status.settling == 0
        assert status.last_scan is not None and status.last_scan.is_finished
        assert status.watched >= 2 or "polled" in status.watching


async def test_mkdir_and_write_at_once_loses_nothing(base: Path, lake: Lake) -> None:
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        for i in range(200):
            make_tree(base, {f"n{i}/m/{j}.jpg": "x" for j in range(3)})
        await source.wait_caught_up()
        assert set(lake.files) == on_disk(base) and len(lake.files) == 602


async def test_rename_storm_of_files_and_directories(base: Path, lake: Lake) -> None:
    make_tree(base, {f"t/{i}/{j}.jpg": "x" for i in range(5) for j in range(5)})
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        for turn in range(30):
            (base / ("t" if turn % 2 == 0 else "u")).rename(base / ("u" if turn % 2 == 0 else "t"))
            (base / "t" / str(turn % 5)).exists() and (base / "t" / str(turn % 5)).rename(base / "t" / f"x{turn}")
            (base / "a.jpg").rename(base / "b.jpg")
            (base / "b.jpg").rename(base / "a.jpg")
        (base / "t").rename(base / "d" / "v")
        await source.wait_caught_up()
        assert set(lake.files) == on_disk(base)
        (next((base / "d" / "v").iterdir()) / "late.jpg").write_text("in a moved directory")
        await source.wait_caught_up()
        assert set(lake.files) == on_disk(base)


async def test_moves_in_and_out_of_the_root(base: Path, lake: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path, {"out/side/in.jpg": "x"})
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        (tmp_path / "out").rename(base / "in")
        (base / "d").rename(tmp_path / "gone")
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "in/side/in.jpg"}
        (tmp_path / "gone" / "later.jpg").touch()
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "in/side/in.jpg"}


async def test_names_no_one_would_choose(base: Path, lake: Lake) -> None:
    names = [os.fsdecode(name) for name in (b"\xff\xfe.jpg", b"new\nline", b"x" * 255, b" ", b"-rf")]
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        for name in names:
            Path(base, name).write_text("x")
            Path(base, "d\udcff" if len(name) > 250 else name + "-dir").mkdir()
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "d/b.jpg", *names}


async def test_an_ignore_file_holds_as_soon_as_it_is_written(base: Path, lake: Lake) -> None:
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        make_tree(base, {"d/.lakeignore": "*.jpg"})
        await until(lambda: Change.REMOVED in lake.changes("d/b.jpg"))
        assert source.why_ignored("d/b.jpg") == ".lakeignore in d: *.jpg"
        assert await source.explain("d/b.jpg") == ".lakeignore in d: *.jpg"


async def test_a_file_that_grows_is_told_once_it_is_whole(base: Path, lake: Lake) -> None:
    async with alive(base, lake, replace(QUICK, settle_open_s=30)) as source:  # who writes may be slow
        await source.wait_caught_up()
        with (base / "film.mkv").open("wb") as file:
            for _ in range(20):
                file.write(b"x" * 1000)
                file.flush()
                await asyncio.sleep(0.02)
        await source.wait_caught_up()
        told = [e.version.size_bytes for e in lake.events if e.key.path == "film.mkv" and e.version]
        assert told == [20_000]


class Standing(SystemClock):
    """It stands still until it is told to go on: so long no file grows older."""

    def __init__(self) -> None:
        self._stood_at, self.goes_on = (super().now(), super().monotonic()), False

    def now(self) -> float:
        return super().now() if self.goes_on else self._stood_at[0]

    def monotonic(self) -> float:
        return super().monotonic() if self.goes_on else self._stood_at[1]


async def test_a_half_written_file_at_the_start_settles_first(base: Path, lake: Lake) -> None:
    clock = Standing()
    with (base / "half.jpg").open("wb") as file:
        file.write(b"1")
        file.flush()
        async with alive(base, lake, WatchConfig(settle_s=0.05, settle_open_s=2), clock=clock) as source:
            await until(lambda: source.status.last_scan)
            assert lake.changes("half.jpg") == []
            clock.goes_on = True
            await source.wait_caught_up()
            assert lake.changes("half.jpg") == [Change.ADDED]


def exchange(one: Path, other: Path) -> None:
    """Each in the other's place at one stroke, as a mount point is bare at one stroke."""
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), flag):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


async def test_an_unmounted_root_pauses_and_comes_back(
    base: Path, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        (base.parent / "aside").mkdir()
        exchange(base, base.parent / "aside")  # the bare mount point. In between it would not exist: another hint
        # The operator sees the hint in `lakewatchd status`
        await until(lambda: source.status.hint == f"mount {base} again")
        assert source.status.state is RootState.AWAY
        for call in (source.look("a.jpg"), source.request_scan(), source.wait_caught_up()):
            with pytest.raises(RootAway):
                await call
        make_tree(base.parent, {"aside/meanwhile.jpg": "x"})
        base.rmdir()
        (base.parent / "aside").rename(base)
        await until(lambda: source.status.state is RootState.PRESENT)
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "d/b.jpg", "meanwhile.jpg"}
        assert all(event.change is not Change.REMOVED for event in lake.events)
    told = [line for line in caplog.messages if "root is" in line]
    assert "away" in told[0] and any(f"mount {base} again" in line for line in told) and "there again" in told[-1]


async def test_a_root_that_vanishes_during_a_scan_says_so_once(base: Path, lake: Lake) -> None:
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        base.rename(base.parent / "aside")
        with pytest.raises(RootAway) as caught:
            await source.request_scan()
        assert caught.value.message == "root 'r' does not exist"
        await until(lambda: source.status.state is RootState.AWAY)
        assert source.status.reason == "does not exist" and len(lake.files) == 2


async def test_who_asks_for_a_scan_of_a_root_that_is_back_need_not_wait(base: Path, lake: Lake) -> None:
    aside = base.rename(base.parent / "aside")
    async with alive(base, lake, health_s=3600) as source:
        await until(lambda: source.status.state is RootState.AWAY)
        with pytest.raises(RootAway):
            await source.request_scan()
        aside.rename(base)
        assert (await source.request_scan()).seen == 2 and source.status.state is RootState.PRESENT


async def test_a_new_source_answers_no_look_before_it_has_seen_its_root(base: Path, lake: Lake) -> None:
    lake.files = {"a.jpg": Version(1, 1, 1)}
    shutil.rmtree(base)
    base.mkdir()
    source = RootSource(Root("r", base), QUICK, lake, lake.emit, SystemClock(), health_s=0.1)
    early = asyncio.create_task(source.look("a.jpg"))
    task = asyncio.create_task(source.run())
    with pytest.raises(RootAway):
        await early
    task.cancel()
    await asyncio.wait([task])


async def test_deleting_everything_with_the_watch_on_is_believed(base: Path, lake: Lake) -> None:
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        shutil.rmtree(base / "d")
        (base / "a.jpg").unlink()
        await until(lambda: not lake.files)
        assert source.status.state is RootState.PRESENT


async def test_an_empty_root_at_the_start_asks_and_takes_a_persons_word(base: Path, lake: Lake) -> None:
    lake.files = {"a.jpg": Version(1, 1, 1), "d/b.jpg": Version(1, 1, 1)}
    shutil.rmtree(base / "d")
    (base / "a.jpg").unlink()
    async with alive(base, lake) as source:
        await until(lambda: source.status.state is RootState.AWAY)
        assert source.status.reason.startswith("is empty") and len(lake.files) == 2
        summary = await source.request_scan(accept_removals=True)
        assert summary.removed == 2 and lake.files == {}
        await source.wait_caught_up()


async def test_a_flood_collapses_and_still_loses_nothing(base: Path, lake: Lake) -> None:
    config = WatchConfig(buffer_events=50, settle_s=0.05, settle_open_s=0.2)
    make_tree(base, {f"f{i}/first.jpg": "x" for i in range(7)})
    async with alive(base, lake, config) as source:
        await source.wait_caught_up()
        make_tree(base, {f"f{i % 7}/{i}.jpg": "x" for i in range(2000)})
        await source.wait_caught_up()
        await until(lambda: set(lake.files) == on_disk(base))
        assert source.status.collapsed > 0


async def test_an_overflow_of_the_kernels_queue_is_followed_by_a_scan(base: Path, lake: Lake) -> None:
    async with alive(base, lake, replace(QUICK, watcher="inotify")) as source:
        await source.wait_caught_up()
        watcher = source._ears._watcher
        assert isinstance(watcher, KernelWatcher)
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        with watcher._lock:  # the watch thread waits here while the kernel's queue runs over
            for i in range(limit // 2 + 3000):  # two events each; one read of thousands may have come before
                (base / f"{i}.jpg").touch()
        await until(lambda: source.status.overflows > 0)
        await source.wait_caught_up()
        await until(lambda: set(lake.files) == on_disk(base))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dead_watch_thread_is_replaced_and_scanned_after(
    base: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        first = source._ears._watcher
        assert isinstance(first, KernelWatcher)
        monkeypatch.setattr(first._queue, "parse", None)
        make_tree(base, {"unheard.jpg": "x"})
        await until(lambda: source._ears._watcher not in (None, first))
        await source.wait_caught_up()
        assert "unheard.jpg" in lake.files


async def test_without_inotify_rescans_find_everything(base: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inotify._libc, "inotify_init1", lambda flags: -1)
    async with alive(base, lake, replace(QUICK, watcher="inotify")) as source:
        await source.wait_caught_up()
        make_tree(base, {"n/new.jpg": "x"})
        await source.wait_caught_up()
        assert "n/new.jpg" in lake.files
        assert (
            source.status.watching.startswith("rescan every 60 min: changes cannot be")
            and "max_user_instances" in source.status.hint
        )


async def test_look_tells_files_from_everything_else(base: Path, lake: Lake) -> None:
    os.mkfifo(base / "pipe")
    (base / "way").symlink_to("d")
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        version = await source.look("a.jpg")
        assert version is not None and version.size_bytes == 1
        for path in ("pipe", "way", "way/b.jpg", "d", "nothing"):
            assert await source.look(path) is None
        with pytest.raises(NotReadable):
            await source.look("../root/a.jpg")
        assert await source.explain("pipe") == "special file"


async def test_rescans_come_by_themselves(base: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelWatcher, "_tell_files", lambda *args: None)  # a network mount: no events
    async with alive(base, lake, WatchConfig(settle_s=0.05, settle_open_s=0.05, rescan_s=0.3)) as source:
        await source.wait_caught_up()
        make_tree(base, {"by-another-host.jpg": "x"})
        await until(lambda: "by-another-host.jpg" in lake.files)


async def test_an_emit_that_fails_stops_the_source(base: Path, lake: Lake) -> None:
    async def full(events: Sequence[FileEvent]) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    emit: Callable[[Sequence[FileEvent]], Awaitable[None]] = full
    config = WatchConfig(settle_s=0.0, settle_open_s=0.0)
    source = RootSource(Root("r", base), config, lake, emit, SystemClock(), health_s=0.1)
    with pytest.raises(BaseExceptionGroup):
        async with asyncio.timeout(60):
            await source.run()


async def test_a_queue_without_room_makes_changes_wait_and_stops_nothing(tmp_path: Path) -> None:
    class Full(Lake):
        refusals = 3

        async def emit(self, events: Sequence[FileEvent]) -> None:
            if self.refusals:
                self.refusals -= 1
                raise OutOfSpace("no room to write the queue") if self.refusals % 2 else Busy("locked")
            await super().emit(events)

    make_tree(tmp_path, {"before.txt": "there when it starts"})
    lake = Full(tmp_path)
    async with alive(tmp_path, lake, emit_retry_s=0.01):
        await until(lambda: lake.files.keys() == {"before.txt"})
        lake.refusals = 3
        make_tree(tmp_path, {"later.txt": "seen by the kernel"})
        await until(lambda: lake.files.keys() == {"before.txt", "later.txt"})


async def test_a_change_on_its_way_can_be_asked_for_at_every_moment(
    base: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an audit in another thread would take the file for lost."""
    told: dict[str, list[str]] = {"waiting": [], "due": []}
    async with alive(base, lake) as source:
        await source.wait_caught_up()
        add, pass_on = source._settler.add, source._pass_on

        def adding(event: FileEvent) -> None:
            told["waiting"].append(source.waiting(event.key.path))  # it has left the buffer
            add(event)

        async def passing_on(events: Sequence[FileEvent]) -> None:
            dirty = [event.key.path for event in events if event.change is Change.DIRTY]
            told["due"] += [source.scan_due(path) for path in dirty]  # it has left the settler
            await pass_on(events)

        monkeypatch.setattr(source._settler, "add", adding)
        monkeypatch.setattr(source, "_pass_on", passing_on)
        make_tree(base, {"new.jpg": "x"})
        source._buffer.add(FileEvent(PathKey("r", "d"), Change.DIRTY))
        await source.wait_caught_up()
        assert told["waiting"] and all(told["waiting"])
        assert told["due"] and all(told["due"])
        assert not source.waiting("new.jpg") and not source.scan_due("d/b.jpg"), "it is over"


async def test_what_waited_before_the_root_was_looked_at_does_not_seem_to_wait_for_ever(base: Path, lake: Lake) -> None:
    for path in base.rglob("*.jpg"):
        os.utime(path, (1e9, 1e9))
    async with alive(base, lake) as source:
        source._buffer.add(FileEvent(PathKey("r", "a.jpg"), Change.MODIFIED))
        await source.request_scan()
        assert set(lake.files) == {"a.jpg", "d/b.jpg"} and source.waiting("a.jpg") == ""
