"""An audit mends, and never deletes what a scan would keep: its word for a missing file is the scan's."""

# ruff: noqa: ASYNC221, ASYNC240

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_root import until

from lakewatchd.core.status import FileState
from lakewatchd.daemon import accounts
from lakewatchd.daemon.accounts import Accounts
from lakewatchd.daemon.audit import Auditor
from lakewatchd.errors import LakewatchError
from lakewatchd.sources.roots import RootHealth, RootState
from lakewatchd.testing import make_tree
from tests.integration.test_removal_guard import known
from tests.integration.test_stages_histories import built, run_all


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk mounted below the root."""
    place = tmp_path / "nas" / "usb"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
async def test_a_disk_that_was_unmounted_below_the_root_keeps_its_files(disk: Path, tmp_path: Path) -> None:
    make_tree(tmp_path / "nas", {"stays.txt": "1", "usb/a.txt": "2", "usb/sub/b.txt": "3"})
    for path in tmp_path.rglob("*.txt"):
        os.utime(path, (1e9, 1e9))
    async with built(tmp_path) as daemon:
        source = daemon.sources["nas"]
        await source.request_scan()
        await source.wait_caught_up()
        await run_all(daemon)
        assert await known(daemon) == 3
        subprocess.run(["umount", str(disk)], check=True)
        await source.request_scan()
        await source.wait_caught_up()
        assert not await run_all(daemon)
        told = await Accounts(daemon).audit(["nas"], 10, orphans=False)
        assert {gap.path for gap in told.roots[0].gaps} == {"nas:usb/a.txt", "nas:usb/sub/b.txt"}
        await source.wait_caught_up()
        await run_all(daemon)
        assert await known(daemon) == 3


async def test_an_audit_of_a_root_that_goes_away_ends_and_so_does_one_nobody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, ended = threading.Event(), threading.Event()

    def run(auditor: Auditor) -> None:
        hangs.set()
        while not auditor.is_stopped:
            time.sleep(0.005)
        ended.set()

    monkeypatch.setattr(Auditor, "run", run)
    monkeypatch.setattr(accounts, "CHECK_S", 0.02)
    async with built(tmp_path, is_watching=False) as daemon:
        books = Accounts(daemon)
        asked = asyncio.ensure_future(books.audit(["nas"], 10, orphans=False))
        await until(hangs.is_set)
        asked.cancel()
        await until(ended.is_set)
        ended.clear()
        daemon.sources["nas"]._go_away(RootHealth(RootState.AWAY, "does not answer"), keep_accepting=True)
        (told,) = (await books.audit(["nas"], 10, orphans=False)).roots
        assert told.problem == "does not answer" and told.counts == {FileState.AWAY: 0}
        await until(ended.is_set)


async def test_a_root_that_a_reload_takes_out_is_no_defect(tmp_path: Path) -> None:
    async with built(tmp_path, is_watching=False) as daemon:
        daemon.config = dataclasses.replace(daemon.config, roots=())
        with pytest.raises(LakewatchError, match="not watched any more"):
            await Accounts(daemon).audit(["nas"], 10, orphans=False)
