"""Most of a root goes at once, with the daemon watching: what the kernel saw deleted is believed, the rest is asked."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lakewatchd.core.asset import Occurrence
from lakewatchd.core.job import Done, Lane
from lakewatchd.daemon.parts import Daemon
from lakewatchd.sources.live import RootSource
from lakewatchd.sources.place import Place
from lakewatchd.stages import ingest
from lakewatchd.testing import make_tree
from tests.integration.test_stages_histories import built

FILES = {f"d/{n}.txt": str(n) for n in range(60)} | {f"stays/{n}.txt": str(n) for n in range(5)}


async def take_in(daemon: Daemon) -> int:
    """Every queued look ends in what lies there now, as if it had been hashed; returns how many there were."""
    await daemon.sources["nas"].wait_caught_up()
    jobs = await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 1000)
    for job in jobs:
        key = ingest.place(job.payload)
        version = await daemon.context.files.look(key)
        done = Done(seen=(Occurrence(key, "aa", version),)) if version else Done(gone=(key,))
        await daemon.queue_thread(daemon.queue.ack, [(job, done)])
    return len(jobs)


async def known(daemon: Daemon) -> int:
    return await daemon.queue_thread(daemon.queue.seen.count, "nas")


async def with_files_known(base: Path, then: Callable[[Daemon, RootSource, Path], Awaitable[None]]) -> None:
    make_tree(base / "nas", FILES)
    for name in FILES:
        os.utime(base / "nas" / name, (1e9, 1e9))
    async with built(base) as daemon:
        source = daemon.sources["nas"]
        await source.request_scan()
        assert await take_in(daemon) == len(FILES)
        await then(daemon, source, base / "nas")


async def test_a_live_rm_is_believed(tmp_path: Path) -> None:
    async def delete(daemon: Daemon, source: RootSource, nas: Path) -> None:
        shutil.rmtree(nas / "d")
        await take_in(daemon)
        assert source.status.problem == "" and await known(daemon) == 5

    await with_files_known(tmp_path, delete)


async def test_a_live_rm_that_floods_the_buffer_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def delete(daemon: Daemon, source: RootSource, nas: Path) -> None:
        source._buffer._limit = 10
        shutil.rmtree(nas / "d")
        await take_in(daemon)
        assert source.status.collapsed > 0
        assert source.status.problem == "" and await known(daemon) == 5

    await with_files_known(tmp_path, delete)


async def test_a_scan_holds_nothing_back_that_is_queued_to_go_already(tmp_path: Path) -> None:
    async def delete(daemon: Daemon, source: RootSource, nas: Path) -> None:
        shutil.rmtree(nas / "d")
        await source.wait_caught_up()
        assert (await source.request_scan()).held_back == 0
        (nas / "stays").rename(tmp_path / "outside")
        await source.wait_caught_up()
        assert source.status.problem == "", "the few that nobody saw go are no great loss"
        assert await take_in(daemon) == 65 and await known(daemon) == 0

    await with_files_known(tmp_path, delete)


async def test_what_is_queued_to_go_does_not_hide_a_loss(tmp_path: Path) -> None:
    async def delete_and_lose(daemon: Daemon, source: RootSource, nas: Path) -> None:
        for name in range(5):
            (nas / "stays" / f"{name}.txt").unlink()
        await source.wait_caught_up()
        (nas / "d").rename(tmp_path / "outside")
        await source.wait_caught_up()
        assert (await source.request_scan()).held_back == 60
        assert await take_in(daemon) == 5 and await known(daemon) == 60

    await with_files_known(tmp_path, delete_and_lose)


async def test_what_left_the_root_at_one_stroke_is_held_until_a_person_says_so(tmp_path: Path) -> None:
    async def move_out(daemon: Daemon, source: RootSource, nas: Path) -> None:
        (nas / "d").rename(tmp_path / "outside")
        assert await take_in(daemon) == 0
        assert source.status.problem.startswith("60 files are missing at once") and await known(daemon) == 65
        assert source.status.hint == "lakewatchd scan nas --accept-removals"
        assert (await source.request_scan()).held_back == 60
        assert (await source.request_scan(accept_removals=True)).removed == 60
        assert await take_in(daemon) == 60
        assert source.status.problem == "" and await known(daemon) == 5

    await with_files_known(tmp_path, move_out)


async def test_a_move_within_the_root_is_no_loss(tmp_path: Path) -> None:
    async def move(daemon: Daemon, source: RootSource, nas: Path) -> None:
        (nas / "d").rename(nas / "stays" / "e")
        async with asyncio.timeout(60):
            while await take_in(daemon) or await known(daemon) != 65:
                pass
        assert source.status.problem == ""
        assert await daemon.queue_thread(daemon.queue.seen.directory, "nas", "d") == {}

    await with_files_known(tmp_path, move)


async def test_files_that_a_server_says_are_gone_are_judged_by_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "is_remote", True)

    async def delete(daemon: Daemon, source: RootSource, nas: Path) -> None:
        buffer = source._buffer
        drain = buffer.drain
        # All at one stroke, however the thread that hears it is interrupted
        monkeypatch.setattr(buffer, "drain", lambda: drain() if buffer.removals >= 60 else [])
        shutil.rmtree(nas / "d")
        assert await take_in(daemon) == 0
        assert source.status.problem.startswith("60 files are missing at once") and await known(daemon) == 65

    await with_files_known(tmp_path, delete)


async def test_files_that_come_and_go_do_not_make_a_later_rm_suspicious(tmp_path: Path) -> None:
    async def churn(daemon: Daemon, source: RootSource, nas: Path) -> None:
        for number in range(80):
            (nas / f"{number}.new").write_text("brief")
            (nas / f"{number}.new").unlink()
        await take_in(daemon)
        source._buffer._limit = 10
        shutil.rmtree(nas / "d")
        await take_in(daemon)
        assert source.status.collapsed > 0
        assert source.status.problem == "" and await known(daemon) == 5

    await with_files_known(tmp_path, churn)
