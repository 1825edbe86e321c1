"""An audit mends, and never deletes what a scan would keep: its word for a missing file is the scan's."""

# ruff: noqa: ASYNC221, ASYNC240

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from one_root import until

from lakewatchd.config import Config
from lakewatchd.core.asset import PathKey
from lakewatchd.core.status import FileState
from lakewatchd.daemon import accounts, corrections
from lakewatchd.daemon.accounts import Accounts
from lakewatchd.daemon.audit import Auditor, Look
from lakewatchd.daemon.judge import judge
from lakewatchd.daemon.site import Site
from lakewatchd.daemon.tutor import Tutor
from lakewatchd.errors import ConfigError, LakewatchError, QueueDamaged
from lakewatchd.queue.book import JobFact
from lakewatchd.sources.roots import RootHealth, RootState
from lakewatchd.stages.background import Own
from lakewatchd.stages.teaching import School
from lakewatchd.testing import make_tree
from tests.integration.test_removal_guard import known
from tests.integration.test_stages_histories import built, look_at, run_all


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


class Passing:
    """A scan that is due finds the file, and is over, while the queue is being asked."""

    def __init__(self) -> None:
        self.is_over = False

    def away(self, site: Site) -> str:
        return ""

    def waiting(self, path: str) -> str:
        return ""

    def scan_due(self, path: str) -> str:
        return "" if self.is_over else "a scan will look at it"

    def is_held(self) -> bool:
        return False

    def catch_up(self) -> None:
        return


class Finding(Passing):
    """It is over before that, and the file, which is young, waits."""

    def scan_due(self, path: str) -> str:
        self.is_over = True
        return ""

    def waiting(self, path: str) -> str:
        return "changed just now" if self.is_over else ""


@pytest.mark.parametrize("kind", [Passing, Finding])
async def test_evidence_is_gathered_in_the_order_in_which_a_file_passes_it(
    tmp_path: Path, kind: type[Passing], monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = kind()
    make_tree(tmp_path / "nas", {"new.txt": "1"})
    jobs = Look._jobs

    def asked(look: Look, stage: str, keys: Collection[str]) -> dict[str, JobFact]:
        found = jobs(look, stage, keys)
        witness.is_over = True
        return found

    monkeypatch.setattr(Look, "_jobs", asked)
    async with built(tmp_path, is_watching=False) as daemon:
        with contextlib.closing(Look(daemon.config, daemon.config.roots[0], witness)) as look:
            (found,) = (await look.at(look.on_disk({PathKey("nas", "new.txt"): None}))).values()
        assert judge(found).state is not FileState.GAP


@pytest.mark.parametrize("chore", ["accounts", "tags"])
async def test_damage_that_the_daemon_meets_by_itself_ends_it(
    tmp_path: Path, chore: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def meet(*args: object) -> NoReturn:
        raise QueueDamaged("a job holds what nobody wrote")

    monkeypatch.setattr(accounts, "CHECK_S", 0.01)
    monkeypatch.setattr(Accounts, "_check", meet)
    monkeypatch.setattr(Tutor, "learn", meet)
    async with built(tmp_path) as daemon:
        await daemon.sources["nas"].request_scan()
        daemon.retag.set()
        async with asyncio.timeout(60):
            with pytest.raises(QueueDamaged):
                await (Accounts(daemon) if chore == "accounts" else Tutor(daemon)).run()


async def test_what_was_learned_counts_once_the_stages_heed_it(tmp_path: Path) -> None:
    """A taxonomy that is wrong, as somebody edits it just then, delays that."""
    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with built(tmp_path) as daemon:
        await run_all(daemon, look_at("a.txt"))
        await run_all(daemon)
        await corrections.correct(daemon, [PathKey("nas", "a.txt")], {"add": ["mine"]})
        make, tutor, before = daemon.make_stages, Tutor(daemon), daemon.school

        def refuse(config: Config, school: School) -> NoReturn:
            raise ConfigError("the taxonomy is wrong")

        async def other(*args: object) -> School:
            return School(made_of="other", background=Own(b"1" * 128, 1, "x", 1))

        tutor._learned = other  # type: ignore[method-assign]
        daemon.make_stages = refuse
        with pytest.raises(ConfigError):
            await tutor.learn()
        assert daemon.school is before
        daemon.make_stages = make
        assert await tutor.learn() and daemon.school.made_of == "other"
