"""What a changed configuration changes at once, and what it says needs a restart."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from one_root import until

from lakewatchd.config import Config, RootConfig, defaults
from lakewatchd.core.event import FileEvent
from lakewatchd.daemon import orders
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.reload import LIVE, changes, merged, reload
from lakewatchd.errors import Busy, ConfigError
from lakewatchd.sources.live import RootSource
from lakewatchd.testing import config_text
from tests.integration.test_stages_histories import SETTINGS, built

BASE = dataclasses.replace(defaults(), roots=(RootConfig("nas", Path("/nas")),))


def change(section: str, **values: object) -> Config:
    return dataclasses.replace(BASE, **{section: dataclasses.replace(getattr(BASE, section), **values)})


def test_nothing_changed() -> None:
    assert list(changes(BASE, BASE)) == []
    assert merged(BASE, BASE) == BASE


def test_a_root_added_moved_or_taken_out_is_applied() -> None:
    asked = dataclasses.replace(BASE, roots=(RootConfig("nas", Path("/other")), RootConfig("music", Path("/m"))))
    assert list(changes(BASE, asked)) == ["root nas", "root music"]
    assert list(changes(asked, BASE)) == ["root nas", "root music"]
    assert merged(BASE, asked).roots == asked.roots


def test_every_key_is_either_applied_or_told() -> None:
    """Whatever :func:`merged` takes over is what LIVE names, and nothing else."""
    for asked in (
        change("watch", rescan_s=60.0),
        change("tags", taxonomy=Path("/t")),
        change("workers", fast=3),
        change("workers", reserved=1),
        change("workers", heavy=2),
        change("workers", decoders=7),
        change("daemon", drain_s=1.0),
        change("daemon", log_level="debug"),
        change("daemon", state_dir=Path("/s")),
        change("models", device="cpu"),
        change("decode", deadline_s=1.0),
        change("lake", commit_s=2.0),
        change("view", refresh_s=2.0),
        change("queue", lease_s=9.0),
    ):
        (key,) = changes(BASE, asked)
        assert (merged(BASE, asked) == asked) is key.startswith(LIVE), key


async def test_a_reload_is_done_to_its_end_though_nobody_waits_for_it(tmp_path: Path) -> None:
    """Half of one would be a root that is listed and not watched."""
    async with built(tmp_path, is_watching=False) as daemon:
        daemon.config = dataclasses.replace(daemon.config, source=tmp_path / "lakewatchd.toml")
        daemon.config.source.write_text(config_text(tmp_path, settings=SETTINGS) + "[watch]\nrescan_s = 77.0\n")
        watching = asyncio.create_task(daemon.watched.run())
        first = daemon.sources["nas"]
        await first.wait_caught_up()
        stop = first._ears.stop

        nobody_waits = asyncio.Event()

        async def slow_stop() -> None:
            await nobody_waits.wait()
            await stop()

        first._ears.stop = slow_stop  # type: ignore[method-assign]
        asked = asyncio.ensure_future(orders._reload(daemon, {}))
        await until(lambda: daemon.config.watch.rescan_s == 77)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        nobody_waits.set()
        await until(lambda: daemon.sources.get("nas") not in (None, first))
        await daemon.sources["nas"].wait_caught_up()
        assert (await reload(daemon)).applied == ()
        watching.cancel()
        await asyncio.wait([watching])


async def test_a_root_that_cannot_be_watched_leaves_all_as_it_is(tmp_path: Path) -> None:
    async with built(tmp_path, is_watching=False) as daemon:
        daemon.config = dataclasses.replace(daemon.config, source=tmp_path / "lakewatchd.toml")
        daemon.config.source.write_text(config_text(tmp_path, settings=SETTINGS) + '[watch]\nignore = ["a*b*c*d*e"]\n')
        watching = asyncio.create_task(daemon.watched.run())
        first, before = daemon.sources["nas"], daemon.config
        with pytest.raises(ConfigError, match="ignore"):
            await reload(daemon)
        assert daemon.sources == {"nas": first} and daemon.config is before
        await first.wait_caught_up()
        watching.cancel()
        await asyncio.wait([watching])


async def test_who_waits_for_the_daemon_waits_for_the_source_that_a_reload_puts_in_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_told, may_go_on = asyncio.Event(), asyncio.Event()

    async def emit(daemon: Daemon, events: Sequence[FileEvent]) -> None:
        is_told.set()
        await may_go_on.wait()

    async def hang(*args: object) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    monkeypatch.setattr(Daemon, "emit", emit)
    async with built(tmp_path, is_watching=False) as daemon:
        daemon.config = dataclasses.replace(daemon.config, source=tmp_path / "lakewatchd.toml")
        daemon.config.source.write_text(config_text(tmp_path, settings=SETTINGS) + "[watch]\nrescan_s = 77.0\n")
        watching = asyncio.create_task(daemon.watched.run())
        first = daemon.sources["nas"]
        assert isinstance(first, RootSource)
        await first.wait_caught_up()
        monkeypatch.setattr(first._workers["settle"], "run", hang)  # it hears of the file, and gets no further
        (tmp_path / "nas" / "new.txt").write_text("some words")
        waiting = asyncio.create_task(orders._wait_idle(daemon))
        await until(lambda: first._barrier._waiters)
        await orders._reload(daemon, {})
        assert daemon.sources["nas"] is not first
        await is_told.wait()  # the other one has found it
        assert not waiting.done()
        may_go_on.set()
        assert await waiting == {"parked": 0}
        watching.cancel()
        await asyncio.wait([watching])


async def test_a_file_of_a_root_that_a_reload_is_about_to_watch_cannot_be_explained_yet(tmp_path: Path) -> None:
    async with built(tmp_path, is_watching=False) as daemon:
        more = (*daemon.config.roots, RootConfig("new", tmp_path / "new"))
        daemon.config = dataclasses.replace(daemon.config, roots=more)  # and its source is made soon
        with pytest.raises(Busy, match="'new' is not watched yet"):
            await orders._explain(daemon, {"path": str(tmp_path / "new" / "a.txt")})
