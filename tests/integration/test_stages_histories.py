"""Jobs with real decoders, a real queue and a real lake, in the orders that break things."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lakewatchd.config import parse
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.job import Again, Done, Job, JobSpec, Lane, Outcome, Priority, Skip
from lakewatchd.daemon import service
from lakewatchd.daemon.service import Daemon, open_daemon
from lakewatchd.errors import DamagedMedia, LakewatchError
from lakewatchd.lake.rows import Presence
from lakewatchd.stages import ingest
from lakewatchd.stages.base import Context, Stage, Work
from lakewatchd.testing import make_tree

CONFIG = """
[[root]]
name = "nas"
path = "{base}/nas"
[daemon]
state_dir = "{base}/state"
runtime_dir = "{base}/run"
[view]
mountpoint = "{base}/mnt"
[models]
image_text = "off"
text = "off"
detector = "off"
[lake]
commit_s = 0.02
"""


@asynccontextmanager
async def built(base: Path, *, is_watching: bool = True) -> AsyncIterator[Daemon]:
    """All parts of a daemon on ``base/nas``, its roots looked at; jobs run only in :func:`run_all`."""
    (base / "nas").mkdir(exist_ok=True)
    async with open_daemon(parse(CONFIG.format(base=base), base / "lakewatchd.toml")) as daemon:
        watching = [asyncio.create_task(source.run()) for source in daemon.sources.values()] if is_watching else []
        try:
            yield daemon
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def claim(daemon: Daemon, stage: str) -> Job:
    """The next job of ``stage``; there must be one."""
    others = {"ingest", "index"} - {stage}
    (job,) = await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 1, without=others)
    return job


async def handle(daemon: Daemon, job: Job) -> Outcome:
    """Its rows are in the lake; nothing is acked yet."""
    handled = await daemon.handle(job)
    if handled.durable is not None:
        await handled.durable
    return handled.outcome


async def run_all(daemon: Daemon, *specs: JobSpec) -> list[Outcome]:
    """Queue ``specs`` and run whatever is ready until nothing is. Errors are left to the caller."""
    await daemon.queue_thread(daemon.queue.put, specs)
    outcomes: list[Outcome] = []
    while jobs := await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 1):
        outcomes.append(await handle(daemon, jobs[0]))
        await daemon.queue_thread(daemon.queue.ack, [(jobs[0], outcomes[-1])])
    return outcomes


def look_at(path: str) -> JobSpec:
    return ingest.spec(PathKey("nas", path), Priority.FRESH)


async def test_another_device_number_is_the_same_file(tmp_path: Path) -> None:
    """A reboot numbers devices anew; taking that for news, an index job would ask for a look for ever."""
    make_tree(tmp_path / "nas", {"a.txt": "some words"})
    async with built(tmp_path) as daemon:
        key = PathKey("nas", "a.txt")
        identity = await daemon.decoders.identify("a.txt", root=str(tmp_path / "nas"))
        assert identity is not None
        moved = dataclasses.replace(identity, version=dataclasses.replace(identity.version, device=12345))
        assert await daemon.decoders.describe(key.path, moved, "", root=str(tmp_path / "nas")) is not None
