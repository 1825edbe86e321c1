"""A root that is not the one whose files are known pauses; the one that comes back costs what changed meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from lakewatchd.daemon.parts import Daemon
from lakewatchd.errors import RootAway
from lakewatchd.sources.roots import RootState
from lakewatchd.testing import make_tree
from tests.integration.test_removal_guard import take_in
from tests.integration.test_stages_histories import built
from tests.one_root import until

FILES = {"a.txt": "1", "b.txt": "2", "d/c.txt": "3"}


def make_old_tree(base: Path, files: dict[str, str]) -> None:
    """Not so young that a scan would wait for them to settle."""
    make_tree(base, files)
    for name in files:
        os.utime(base / name, (1e9, 1e9))


async def index(base: Path) -> None:
    make_old_tree(base / "nas", FILES)
    async with built(base) as daemon:
        await daemon.sources["nas"].request_scan()
        assert await take_in(daemon) == len(FILES)


async def waiting(daemon: Daemon) -> int:
    """Jobs that a complete scan leads to."""
    await daemon.sources["nas"].request_scan()
    await daemon.sources["nas"].wait_caught_up()
    return (await daemon.queue_thread(daemon.queue.counts)).pending


async def test_a_bare_mount_point_with_a_stray_file_is_away_after_a_restart(tmp_path: Path) -> None:
    await index(tmp_path)
    (tmp_path / "nas").rename(tmp_path / "aside")
    make_tree(tmp_path / "nas", {"stray.txt": "left by a program that ran before the mount"})
    async with built(tmp_path) as daemon:
        with pytest.raises(RootAway, match="known in it"):
            await daemon.sources["nas"].look("a.txt")
        assert (await daemon.queue_thread(daemon.queue.counts)).pending == 0
    shutil.rmtree(tmp_path / "nas")
    (tmp_path / "aside").rename(tmp_path / "nas")
    async with built(tmp_path) as daemon:
        assert await waiting(daemon) == 0


async def test_away_and_back_with_two_changes_is_two_jobs(tmp_path: Path) -> None:
    await index(tmp_path)
    async with built(tmp_path) as daemon:
        source = daemon.sources["nas"]
        assert await waiting(daemon) == 0
        (tmp_path / "nas").rename(tmp_path / "aside")
        make_tree(tmp_path / "nas", {"stray.txt": "x"})
        with pytest.raises(RootAway):
            await source.request_scan()
        await until(lambda: source.status.state is not RootState.PRESENT)  # the scan that fails is told of first
        make_old_tree(tmp_path / "aside", {"d/new.txt": "4"})
        (tmp_path / "aside" / "a.txt").unlink()
        shutil.rmtree(tmp_path / "nas")
        (tmp_path / "aside").rename(tmp_path / "nas")
        while source.status.state is not RootState.PRESENT:
            source._poke.set()
            await asyncio.sleep(0.02)
        assert await waiting(daemon) == 2


async def test_a_copy_on_another_disk_is_recognised_by_its_files(tmp_path: Path) -> None:
    await index(tmp_path)
    shutil.copytree(tmp_path / "nas", tmp_path / "copy")
    shutil.rmtree(tmp_path / "nas")
    (tmp_path / "copy").rename(tmp_path / "nas")
    async with built(tmp_path) as daemon:
        await daemon.sources["nas"].request_scan()
        assert await daemon.sources["nas"].look("a.txt") is not None
        text = await daemon.queue_thread(daemon.queue.seen.root_state, "nas")
        assert text is not None and f'"inode": {(tmp_path / "nas").stat().st_ino}' in text


async def test_a_persons_word_takes_another_tree_for_the_root(tmp_path: Path) -> None:
    await index(tmp_path)
    make_tree(tmp_path / "new", {"other.txt": "x"})  # while the old one is there, so that it has another inode
    shutil.rmtree(tmp_path / "nas")
    (tmp_path / "new").rename(tmp_path / "nas")
    async with built(tmp_path) as daemon:
        source = daemon.sources["nas"]
        with pytest.raises(RootAway):
            await source.look("other.txt")
        summary = await source.request_scan(accept_removals=True)
        assert (summary.added, summary.removed) == (1, 3)
    async with built(tmp_path) as daemon:
        assert await daemon.sources["nas"].look("other.txt") is not None


async def test_a_persons_word_about_a_root_that_is_not_there_is_not_kept_for_the_day_it_is_back(tmp_path: Path) -> None:
    await index(tmp_path)
    async with built(tmp_path) as daemon:
        (tmp_path / "nas").rename(tmp_path / "unplugged")
        async with asyncio.timeout(60):
            with pytest.raises(RootAway):
                await daemon.sources["nas"].request_scan(accept_removals=True)
