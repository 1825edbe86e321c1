"""What the daemon waits for without ending: room, and its own start."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from lakewatchd import telemetry
from lakewatchd.config import Config, defaults, parse
from lakewatchd.daemon import patience, service
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.reload import reload
from lakewatchd.errors import FatalError, OutOfSpace
from lakewatchd.testing import config_text
from tests.integration.test_stages_histories import SETTINGS, built


def test_a_disk_too_full_for_scratch_files_is_a_shortage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python finds no directory for them where not even four bytes can be written."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "full")])
    config = parse(f'[daemon]\nstate_dir = "{tmp_path}"\nmin_free_mb = 0\n', tmp_path / "lakewatchd.toml")
    assert [shortage for shortage in patience.shortages(config) if "temporary" in shortage]


async def test_a_reload_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been asked for by a signal: then nobody is there to be told that it failed."""
    (tmp_path / "lakewatchd.toml").write_text(config_text(tmp_path, settings=SETTINGS))
    tries: list[str] = []

    async def full_at_first(daemon: Daemon) -> int:
        tries.append(daemon.waits_for)
        if len(tries) < 3:
            raise OutOfSpace("no room for it")
        return 0

    monkeypatch.setattr(patience, "RETRY_S", 0.0)
    async with built(tmp_path) as daemon:
        monkeypatch.setattr(Daemon, "queue_unwatched", full_at_first)
        await reload(daemon)
        assert tries == ["", "no room for it", "no room for it"]
        assert daemon.waits_for == ""


async def test_a_long_start_asks_for_more_time_and_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    enough = asyncio.Event()

    def notify(state: str) -> bool:
        told.append(state)
        if len(told) == 3:
            enough.set()
        return True

    @contextlib.asynccontextmanager
    async def slow(_config: Config) -> AsyncIterator[NoReturn]:
        await enough.wait()
        raise FatalError("cannot be opened")
        yield

    monkeypatch.setattr(telemetry, "notify", notify)
    monkeypatch.setattr(service, "open_daemon", slow)
    monkeypatch.setattr(service, "START_STEP_S", 0.001)
    with pytest.raises(FatalError):
        await asyncio.wait_for(service.run(defaults()), 60)
    count = len(told)
    assert all(state.startswith("EXTEND_TIMEOUT_USEC=") for state in told)
    await asyncio.sleep(0.05)
    assert len(told) == count
