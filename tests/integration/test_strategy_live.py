"""A root that changes its strategy while it lives: events that stop arriving, too few watches, a machine that slept."""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from one_root import QUICK, Lake, alive, poll_memory, until

from lakewatchd.core.visit import Visit
from lakewatchd.daemon.wiring import PollPlaces
from lakewatchd.sources import canary
from lakewatchd.sources.canary import Sang, Silent
from lakewatchd.sources.place import Place
from lakewatchd.sources.watcher import Watcher
from lakewatchd.testing import make_tree

AUTO = replace(QUICK, poll_s=1.0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "root", {"a.jpg": "1", "d/b.jpg": "2"})


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[PollPlaces]:
    with poll_memory(tmp_path / "queue.db") as memory:
        yield memory


async def test_polling_takes_over_while_events_do_not_arrive(
    base: Path, memory: PollPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, song = Lake(base), [Sang()]
    monkeypatch.setattr(canary, "sing", lambda *args: song[0])
    async with alive(base, lake, AUTO, poll_memory=memory, canary_s=0.05) as source:
        await source.wait_caught_up()
        assert source.status.watching.startswith("events (") and memory.size("r") == (0, 0)
        song[0] = Silent("no event came")  # type: ignore[assignment]
        await until(lambda: source.status.watching.startswith("polled every"))
        assert "no event came" in source.status.problem and source.status.canary_failures == 1
        await until(lambda: memory.size("r")[0] == 2)
        monkeypatch.setattr(source._buffer, "add_all", lambda events: None)  # deaf
        path = base / "d" / "unheard.jpg"
        path.write_text("x")
        os.utime(path, (1, 1))  # quiet for long, so that it need not settle
        await until(lambda: "d/unheard.jpg" in lake.files)
        song[0] = Sang()
        await until(lambda: source.status.watching.startswith("events ("))
        await until(lambda: memory.size("r") == (0, 0))


async def test_what_cannot_be_watched_is_polled(
    base: Path, memory: PollPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(base)
    async with alive(base, lake, replace(AUTO, watcher="inotify"), poll_memory=memory) as source:
        await source.wait_caught_up()
        watcher = source._ears._watcher
        assert watcher is not None
        limit_watches_before("d", watcher, monkeypatch)
        await source.request_scan()
        await until(lambda: memory.size("r")[0] == 1)
        await until(lambda: source.status.polled.looks > 3)
        assert source.status.unwatched == 1 and "1 directories polled every" in source.status.watching
        monkeypatch.undo()
        await source.request_scan()
        await until(lambda: memory.size("r") == (0, 0))
        assert "polled" not in source.status.watching


def limit_watches_before(name: str, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives no watch for this directory."""
    watch = watcher._queue.watch  # type: ignore[attr-defined]

    def limited(local: bytes) -> Hashable:
        if local.endswith(name.encode()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return watch(local)  # type: ignore[no-any-return]

    monkeypatch.setattr(watcher._queue, "watch", limited)  # type: ignore[attr-defined]


async def test_what_an_earlier_start_polled_is_forgotten_where_events_tell_all(base: Path, memory: PollPlaces) -> None:
    memory.add("r", [Visit("d", 0.0, 1.0)])
    async with alive(base, Lake(base), AUTO, poll_memory=memory) as source:
        await source.wait_caught_up()
        await until(lambda: memory.size("r") == (0, 0))


async def test_all_is_compared_after_a_sleep(base: Path) -> None:
    lake, slept = Lake(base), [0.0]
    async with alive(base, lake, asleep=lambda: slept[0]) as source:
        await source.wait_caught_up()
        first = source.status.last_scan
        slept[0] = 3600.0
        await until(lambda: source.status.last_scan != first)


async def test_our_own_places_are_left_out_by_device_and_inode(base: Path, memory: PollPlaces) -> None:
    """Should they lie in a root after all, by a bind mount or a link in the way."""
    make_tree(base, {"state/queue.db": "x", "state/lake/t": "y", "view/by-tag/cat/a.jpg": "z"})
    own = frozenset((place.stat().st_dev, place.stat().st_ino) for place in (base / "state", base / "view"))
    lake = Lake(base)
    config = replace(AUTO, watcher="inotify")
    async with alive(base, lake, config, poll_memory=memory, excluded=own) as source:
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "d/b.jpg"} and source.status.watched in (2, 3)
        make_tree(base, {"state/more": "x", "view/by-tag/dog/b.jpg": "z"})
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "d/b.jpg"}


async def test_a_scratch_file_is_written_where_that_is_allowed_and_never_told(base: Path, memory: PollPlaces) -> None:
    lake = Lake(base)
    config = replace(AUTO, canary=".lakewatchd-canary")
    async with alive(base, lake, config, poll_memory=memory, canary_s=0.02) as source:
        await source.wait_caught_up()
        (base / "c.jpg").write_text("x")
        await until(lambda: "c.jpg" in lake.files)
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", "d/b.jpg", "c.jpg"} and not source.status.canary_failures


async def test_looks_do_not_tell_a_great_loss_a_few_files_at_a_time(
    base: Path, memory: PollPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of disks that lost one: in each directory some files are gone, in none of them many."""
    monkeypatch.setattr(Place, "is_remote", True)
    files = make_tree(base, {f"{n}/{m}.jpg": f"{n}.{m}" for n in range(10) for m in range(10)}).rglob("*.jpg")
    for path in files:
        os.utime(path, (1e9, 1e9))
    lake = Lake(base)
    config = replace(AUTO, mode="poll", poll_s=0.4, removal_files=20)
    async with alive(base, lake, config, poll_memory=memory) as source:
        await source.wait_caught_up()
        for number in range(50):
            (base / f"{number % 10}/{number // 10}.jpg").unlink()
        await until(lambda: "missing at once" in source.status.problem)
        await until(lambda: source.status.polled.looks > 30)
        assert len(lake.files) > 102 - 25, "what was held stays held, though each part of it is small"
        held = source.status.last_scan
        await until(lambda: source.status.polled.looks > 60)
        assert source.status.last_scan == held, "looks that find it again ask for no scan of all"
        assert (await source.request_scan(accept_removals=True)).removed > 25 and len(lake.files) == 52
