"""Everything that runs, in one place, and the three things rooms ask of the daemon: handle, emit, queue what is stale.

:mod:`lakewatchd.daemon.service` builds and runs it; reports and orders look at it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lakewatchd import telemetry
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import Config
from lakewatchd.core.asset import PathKey
from lakewatchd.core.clock import Clock
from lakewatchd.core.event import FileEvent
from lakewatchd.core.job import Done, Handled, Job, Priority
from lakewatchd.core.status import Problem
from lakewatchd.daemon.files import Crews
from lakewatchd.daemon.patience import patiently
from lakewatchd.daemon.watched import Watched
from lakewatchd.daemon.web import Web
from lakewatchd.daemon.wiring import QueueThread, jobs
from lakewatchd.errors import FatalError, QueueDamaged
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.tables import LakeWriter
from lakewatchd.models.captioner import Captioner
from lakewatchd.models.client import Inference
from lakewatchd.queue.report import PausedScope
from lakewatchd.queue.store import QueueStore
from lakewatchd.queue.worker import WorkerPool
from lakewatchd.sources.source import Source
from lakewatchd.stages import index, ingest, plan
from lakewatchd.stages.base import Context, Result, Stage
from lakewatchd.stages.tag import Tagger
from lakewatchd.stages.teaching import School

_log = logging.getLogger(__name__)

PLACES_AT_ONCE = 5000

T = TypeVar("T")


@dataclass(slots=True)
class Daemon:
    """Everything that runs, built by :func:`open_daemon`. Nobody else keeps references to rooms."""

    config: Config
    clock: Clock
    queue: QueueStore
    queue_thread: QueueThread
    writer: LakeWriter
    reader: LakeReader
    decoders: Crews
    objects: Objects
    models: Inference
    captioner: Captioner | None
    """None: captions are off."""
    context: Context
    stages: dict[str, Stage]
    watched: Watched
    web: Web
    pool: WorkerPool
    make_stages: Callable[[Config, School], dict[str, Stage]]
    """The stages that a configuration asks for. Raises ``ConfigError`` for a taxonomy that is wrong. Reads files."""
    lag: telemetry.LoopLag = field(default_factory=telemetry.LoopLag)
    started_s: float = field(default_factory=time.monotonic)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    paused: tuple[PausedScope, ...] = ()
    """What a person has paused, as of the last order and the start."""
    waits_for: str = ""
    """What the start, or a reload, needs and cannot have yet: room, or a lock."""
    notes: tuple[Problem, ...] = ()
    """What was put right at this start and a person should know."""
    queue_damage: asyncio.Queue[QueueDamaged] = field(default_factory=asyncio.Queue)
    """Found by somebody who only asked: the daemon must end over it all the same."""
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    school: School = field(default_factory=School)
    """What corrections have taught, as the stages of today heed it."""
    retag: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when tags may be out of date: :mod:`lakewatchd.daemon.tutor` looks."""
    is_retagging: bool = False
    is_catching_up: bool = False
    """After a start: groups of duplicates may be found to want more work."""
    correcting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """A correction is read, changed and written: by one at a time."""
    needs_restart: tuple[str, ...] = ()
    """Settings that changed in the file and wait for a restart."""

    @property
    def sources(self) -> dict[str, Source]:
        """What is watched, by the name of its root."""
        return self.watched.sources

    @property
    def tagger(self) -> Tagger:
        return Tagger.of(self.stages["tag"])

    async def handle(self, job: Job) -> Handled:
        """A job in, a verdict out; its rows are on their way to the lake."""
        result = await self._run_stage(job)
        durable = None
        if result.batch is not None:
            await self.writer.room()
            durable = self.writer.submit(result.batch, urgent=job.priority <= Priority.CHANGED)
        if result.error is not None:
            if durable is not None:
                await durable
            if isinstance(result.outcome, Done) and result.outcome.then:  # what it means to others holds all the same
                await self.queue_thread(self.queue.put, result.outcome.then)
            raise result.error
        return Handled(result.outcome, durable)

    async def _run_stage(self, job: Job) -> Result:
        if job.stage == ingest.NAME:
            return await ingest.run(job, self.context)
        if job.stage == index.NAME:
            return await index.run(job, self.context, self.stages, self.pool.overtaken(job))
        raise FatalError(f"unknown stage {job.stage!r} in the queue", "was it written by a newer version?")

    async def patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """What ``step`` comes to, for as long as it takes; ``status`` says what it waits for."""

        def tell(waits_for: str) -> None:
            self.waits_for = waits_for

        return await patiently(step, tell)

    async def emit(self, events: Sequence[FileEvent]) -> None:
        """Where sources put what they see. Returns once it is durable."""
        await self.queue_thread(self.queue.put, jobs(events))
        self.pool.wake()

    async def queue_unwatched(self) -> int:
        """Files of roots that were taken out of the configuration are to be looked at, and found ignored.

        What was derived from them is kept for ``keep_gone_days``: putting the root back costs no second embedding.
        """
        count = 0
        await self.queue_thread(self.queue.polled.keep_only, tuple(root.name for root in self.config.roots))
        for root in await self.queue_thread(self.queue.seen.roots):
            places = self.queue.seen.under(root, "") if root not in self.sources else iter(())
            while keys := await self.queue_thread(_page, places):
                specs = [ingest.spec(key, Priority.BACKFILL) for key in keys]
                count += await self.queue_thread(self.queue.put, specs)
        if count:
            _log.info("%d files lie in roots that are not configured any more: they are taken out", count)
        return count

    async def queue_stale(self, only: str = "") -> int:
        """Work that today's code, models or settings would do differently is queued; of ``only`` one stage."""
        count = 0
        for name, stage in self.stages.items():
            if not stage.is_there() or only not in ("", name):
                continue
            if name == "tag":  # the tutor does not queue what would come out the same
                self.retag.set()
                continue
            async for stale in self.reader.stale(name, stage.transform.id, kinds=plan.kinds_with(name)):
                specs = [plan.index_spec(asset_id, Priority.BACKFILL) for asset_id in stale]
                count += await self.queue_thread(self.queue.put, specs)
        unheard = [plan.index_spec(asset_id, Priority.ASKED) for asset_id in await self.reader.unheard()]
        await self.queue_thread(self.queue.put, unheard)
        if count:
            _log.info("%d results are of other code, models or settings: their assets are queued", count)
        return count


def _page(places: Iterator[PathKey]) -> list[PathKey]:
    return list(itertools.islice(places, PLACES_AT_ONCE))
