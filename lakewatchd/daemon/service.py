"""Build everything, run it, stop it.

::

    lock lake ─► open queue ─► choose models ─► lake and queue agree ─► queue what is stale ─► READY ─► run
    ─► SIGTERM ─► sources stop ─► running jobs finish (at most drain_s) ─► last commit ─► children end ─► exit 0

Every task has an owner here. If one fails, all stop: there is no half a daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence

from lakewatchd import telemetry
from lakewatchd.buckets.cache import ObjectCache
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import AnyRoot, BucketConfig, Config, WatchConfig, watch_of
from lakewatchd.control import ControlServer
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.event import FileEvent
from lakewatchd.core.garbage import keep_what_is_here
from lakewatchd.core.job import Handled, Job
from lakewatchd.daemon import metrics, orders, repair
from lakewatchd.daemon.accounts import Accounts
from lakewatchd.daemon.captions import watch_server
from lakewatchd.daemon.duplicates import catch_up, open_neighbours
from lakewatchd.daemon.files import Crews, RootFiles
from lakewatchd.daemon.lanes import lanes_of
from lakewatchd.daemon.parked import tend
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.patience import keep_reserve, patiently
from lakewatchd.daemon.reload import reload
from lakewatchd.daemon.report import Reporter
from lakewatchd.daemon.tutor import SCHOOL, Tutor
from lakewatchd.daemon.watched import Watched
from lakewatchd.daemon.web import Web
from lakewatchd.daemon.wiring import (
    KnownPlaces,
    PollPlaces,
    QueueThread,
    ScanPast,
    SourceBuckets,
    object_cache,
    own_places,
)
from lakewatchd.errors import ConfigError, FatalError, LakewatchError, PauseError, QueueDamaged, TransientError
from lakewatchd.lake.files import Files, files_of
from lakewatchd.lake.neighbours import Neighbours
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.schema import Dims
from lakewatchd.lake.tables import LakeWriter, serving
from lakewatchd.media import video
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models.base import Role
from lakewatchd.models.captioner import Captioner
from lakewatchd.models.chat import is_installed as captions_installed
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import Resolved, resolve
from lakewatchd.queue.store import QueueStore
from lakewatchd.queue.worker import WorkerPool
from lakewatchd.sources.bucket.source import BucketSource, MakeWays
from lakewatchd.sources.bucket.way import Deliver, OnGap, Way
from lakewatchd.sources.bucket.ways import remote_ways
from lakewatchd.sources.bucket.ways.webhook import Webhook
from lakewatchd.sources.live import RootSource
from lakewatchd.sources.roots import Root
from lakewatchd.sources.source import Source
from lakewatchd.stages import caption, chunk, clips, detect, embed, locate, ocr, speech
from lakewatchd.stages.base import Context, Stage
from lakewatchd.stages.places import Gazetteer
from lakewatchd.stages.tag import Tagger
from lakewatchd.stages.teaching import School
from lakewatchd.taxonomy import Taxonomy
from lakewatchd.taxonomy import parse as read_taxonomy

_log = logging.getLogger(__name__)

STATUS_S = 2.0
"""How often systemd's status line is renewed."""
START_STEP_S = 20.0
"""How often a start that is not done asks for more time, three times as much."""
PURGE_S = 3600.0
QUEUE_DOUBT_S, QUEUE_LOOK_S = 60.0, 0.5
"""How often the queue's file is looked into for damage, and for how long at most: 100 MB take half a second."""
CLOSE_S = 30.0
"""How long the last commit and the end of the children may take, after running jobs were given drain_s."""


async def run(config: Config, *, on_ready: Callable[[Daemon], None] | None = None) -> int:
    """The daemon, until SIGTERM or SIGINT. Returns the exit status; raises what must not be survived."""
    loop = asyncio.get_running_loop()
    early = _StopsTheStart(loop)
    starting = loop.create_task(_ask_for_time())

    def ready(daemon: Daemon) -> None:
        starting.cancel()
        if on_ready is not None:
            on_ready(daemon)

    try:
        async with open_daemon(config) as daemon:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, _stop, daemon, loop)
            loop.add_signal_handler(signal.SIGHUP, daemon.hang_up.set)
            try:
                await _serve(daemon, ready)
            except BaseExceptionGroup as failed:
                raise _cause(failed) from failed
    except QueueDamaged as exc:  # found while it was in use: the next start makes it again
        repair.condemn(config, exc, SystemClock())
        raise
    except asyncio.CancelledError:
        if not early.was_asked:
            raise
        _log.info("stopped before it was ready")
    finally:
        starting.cancel()
    return 0


async def _ask_for_time() -> None:
    """Have systemd wait for as long as the start gets on. It may wait for room, or compare millions of files with a
    lake that is new to it: ended there, it would begin again, and never be done."""
    while True:
        telemetry.notify(f"EXTEND_TIMEOUT_USEC={int(3e6 * START_STEP_S)}")
        await asyncio.sleep(START_STEP_S)


class _StopsTheStart:
    """Until the daemon can drain there is nothing to drain: a signal ends the start, which may wait for room."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.was_asked = False
        self._task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        assert self._task is not None
        self.was_asked = True
        self._task.cancel()


def _stop(daemon: Daemon, loop: asyncio.AbstractEventLoop) -> None:
    """The first signal asks, the second insists."""
    _log.info("stopping: running jobs get %.0f s", daemon.config.daemon.drain_s)
    daemon.stopping.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: signal.raise_signal(signal.SIGKILL))


async def _serve(daemon: Daemon, on_ready: Callable[[Daemon], None]) -> None:
    accounts = Accounts(daemon)
    reporter = Reporter(daemon, accounts.latest)
    settings = daemon.config
    control = ControlServer(settings.socket_path, orders.table(daemon, reporter, accounts), settings.daemon.group)
    async with asyncio.TaskGroup() as tasks:
        chores = {
            "work": _work(daemon, tasks, on_ready),
            "reserve": keep_reserve(daemon),
            "parked": tend(daemon),
            "reload": _reload(daemon),
            "web": daemon.web.run(),
            "lag": daemon.lag.run(),
            "report": _report(daemon, reporter),
            "watchdog": _feed_watchdog(daemon),
            "purge": _purge(daemon),
            "queue": _doubt_the_queue(daemon),
            "accounts": accounts.run(),
            "duplicates": _catch_up(daemon),
            "captions": watch_server(daemon),
            "tags": Tutor(daemon).run(),
        }
        daemon.is_catching_up = True
        side = [tasks.create_task(chore, name=name) for name, chore in chores.items()]
        await control.start()
        try:
            await daemon.stopping.wait()
            drain_us = int((daemon.config.daemon.drain_s + CLOSE_S) * 1e6)
            telemetry.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={drain_us}")
        finally:
            await control.close()
            for task in side:
                task.cancel()
            await daemon.pool.drain(daemon.config.daemon.drain_s)


async def _work(daemon: Daemon, tasks: asyncio.TaskGroup, on_ready: Callable[[Daemon], None]) -> None:
    """Prepare, which may have to wait for room; then be ready, and watch. The pool outlives this: it is drained."""
    async with daemon.reloading:
        await daemon.patiently(lambda: repair.agree(daemon))
        daemon.paused = await daemon.queue_thread(daemon.queue.paused)
        tasks.create_task(daemon.pool.run(), name="pool")
        await daemon.patiently(daemon.queue_unwatched)
        await daemon.patiently(daemon.queue_stale)
    keep_what_is_here()
    telemetry.notify("READY=1")
    _log.info("ready: lake at %s, roots: %d", daemon.config.lake.uri or daemon.config.lake_dir, len(daemon.sources))
    on_ready(daemon)
    await daemon.watched.run()


async def _report(daemon: Daemon, reporter: Reporter) -> None:
    """Tell systemd and whoever scrapes how it goes."""
    before = ""
    with metrics.serving(daemon.config.daemon.metrics) as exporter:
        while True:
            exporter.latest = status = await reporter.glance()
            if status.headline != before:
                telemetry.notify_status(status.headline)
                before = status.headline
            await asyncio.sleep(STATUS_S)


async def _feed_watchdog(daemon: Daemon) -> None:
    """Ping systemd while everything gets on: a loop, a queue or a writer that hangs stops the pings, and systemd
    starts another daemon. A full disk or a root that is away is a state, which `status` tells, and no hang."""
    interval = telemetry.watchdog_interval_s()
    every = min(STATUS_S, interval) if interval else STATUS_S
    is_told = False
    while True:
        if not daemon.writer.is_running:
            raise FatalError("the lake's writer ended by itself", "see the log above; systemd starts the daemon again")
        stuck = [pulse for pulse in (daemon.queue_thread.pulse, daemon.writer.pulse) if pulse.stuck_s]
        if not stuck:
            telemetry.notify("WATCHDOG=1")
        elif not is_told:
            _log.critical("%s hangs since %.0f s: the watchdog is not fed any more", stuck[0].name, stuck[0].stuck_s)
        is_told = bool(stuck)
        await asyncio.sleep(every)


async def _reload(daemon: Daemon) -> None:
    """Read the configuration again on each SIGHUP."""
    while True:
        await daemon.hang_up.wait()
        daemon.hang_up.clear()
        try:
            await reload(daemon)
        except ConfigError as exc:
            _log.error("the configuration is wrong, the old one stays in use: %s", exc.message)


async def _doubt_the_queue(daemon: Daemon) -> None:
    """Look into the queue's file as somebody who opens it anew: the daemon's own pages in memory may be sound while the
    file is not, and work put there would never come out again. Raises ``QueueDamaged``, which ends the daemon."""
    while True:
        with contextlib.suppress(PauseError, TransientError):
            await asyncio.to_thread(repair.look_at_queue, daemon.config, QUEUE_LOOK_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUEUE_DOUBT_S):
                raise await daemon.queue_damage.get()


async def _catch_up(daemon: Daemon) -> None:
    """Once, beside all other work: groups of duplicates that the last end left half told, or other rules."""
    await patiently(lambda: catch_up(daemon), lambda waits_for: None)
    daemon.is_catching_up = False


async def _purge(daemon: Daemon) -> None:
    """Forget what has been gone for longer than it is kept for a return; the writer counts the days."""
    while True:
        try:
            await daemon.writer.purge_old(daemon.config.lake.keep_gone_days)
        except (PauseError, TransientError) as exc:  # a full disk, say: it can wait
            _log.warning("old rows were not purged: %s", exc.message)
        await asyncio.sleep(PURGE_S)


@contextlib.asynccontextmanager
async def open_daemon(config: Config, clock: Clock | None = None) -> AsyncIterator[Daemon]:
    """Everything built, nothing started but the lake's writer. Closed in the reverse order, whatever happens."""
    clock = clock or SystemClock()
    await asyncio.to_thread(_make_places, config)
    models = Inference(config.models, resolve(config.models, config.model_dir), on_progress=_log.info)
    captioner = Captioner(config.captions, clock) if config.captions.model and captions_installed() else None
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(models.close)
        files = files_of(config)
        opened = await patiently(lambda: _open_lake(config, files, models.resolved, clock), telemetry.notify_status)
        writer = await stack.enter_async_context(serving(opened))
        queue_thread = QueueThread(clock)
        stack.callback(queue_thread.close)
        queue = await patiently(lambda: queue_thread(repair.open_queue, config, clock), telemetry.notify_status)
        stack.push_async_callback(queue_thread, queue.close)
        decoders = Crews(
            Decoders(config.decode, config.workers.decoders), Decoders.deep(config.decode, config.workers.heavy)
        )
        stack.push_async_callback(decoders.close)
        cache = await asyncio.to_thread(object_cache, config)
        neighbours = await patiently(lambda: asyncio.to_thread(open_neighbours, config), telemetry.notify_status)
        if neighbours is not None:
            stack.callback(neighbours.close)
        reader = LakeReader(files_of(config))
        school = School.of(await reader.learned(SCHOOL))
        daemon = _connect(
            config, clock, queue, queue_thread, writer, decoders, cache, models, captioner, neighbours, reader, school
        )
        stack.callback(daemon.objects.close)
        yield daemon


def _make_places(config: Config) -> None:
    try:
        config.daemon.state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as exc:
        hint = "create it for the user that runs lakewatchd, or set daemon.state_dir"
        raise ConfigError(f"cannot use {config.daemon.state_dir}: {exc.strerror}", hint) from exc


async def _open_lake(config: Config, files: Files, resolved: Resolved, clock: Clock) -> LakeWriter:
    image_text, text = resolved.info(Role.IMAGE_TEXT), resolved.info(Role.TEXT)
    dims = Dims(image_text.dim if image_text else 0, text.dim if text else 0)
    return await LakeWriter.open(files, config.thumbnail_path, dims, config.lake, clock)


def _connect(
    config: Config,
    clock: Clock,
    queue: QueueStore,
    queue_thread: QueueThread,
    writer: LakeWriter,
    decoders: Crews,
    cache: ObjectCache | None,
    models: Inference,
    captioner: Captioner | None,
    neighbours: Neighbours | None,
    reader: LakeReader,
    school: School,
) -> Daemon:
    memory = ScanPast(config.queue_path, queue.seen, queue_thread, clock)
    excluded = own_places(config)

    async def emit(events: Sequence[FileEvent]) -> None:
        await daemon.emit(events)

    web = Web(config, clock)

    def ways_of(root: BucketConfig, bucket: Bucket) -> MakeWays:
        def make_ways(deliver: Deliver, on_gap: OnGap) -> list[Way]:
            doors = [Webhook(root, deliver, on_gap, web, clock)] if root.webhook_token else []
            return [*remote_ways(root, bucket, deliver, on_gap, clock, config.daemon.state_dir), *doors]

        return make_ways

    def make_source(root: AnyRoot, watch: WatchConfig) -> Source:
        if isinstance(root, BucketConfig):
            bucket = Bucket(root, config.objects)
            return BucketSource(
                root, watch, config.objects, bucket, memory, emit, clock, memory=memory, make_ways=ways_of(root, bucket)
            )
        return RootSource(
            Root(root.name, root.path, root.marker),
            watch_of(root, watch),
            memory,
            emit,
            clock,
            memory=memory,
            poll_memory=PollPlaces(queue.polled, queue_thread),
            excluded=excluded,
        )

    gazetteer = Gazetteer()

    def make_stages(config: Config, school: School) -> dict[str, Stage]:
        return _stages(config, models.resolved, read_taxonomy(config.tags.taxonomy), school, captioner, gazetteer)

    watched = Watched(make_source, config.all_roots, config.watch)
    objects = Objects(SourceBuckets(watched.sources), cache, config.objects)
    known = KnownPlaces(queue.seen, queue_thread)
    context = Context(config, clock, reader, RootFiles(watched.sources, decoders, objects), known, models, neighbours)
    lanes = lanes_of(config)
    daemon: Daemon

    async def handle(job: Job) -> Handled:
        return await daemon.handle(job)

    pool = WorkerPool(queue, lanes, config.workers.reserved, handle, clock, config.queue, queue_thread)
    daemon = Daemon(
        config, clock, queue, queue_thread, writer, reader, decoders, objects, models, captioner, context,
        make_stages(config, school), watched, web, pool, make_stages, school=school,
    )  # fmt: skip
    return daemon


def _stages(
    config: Config,
    resolved: Resolved,
    taxonomy: Taxonomy,
    school: School,
    captioner: Captioner | None,
    gazetteer: Gazetteer,
) -> dict[str, Stage]:
    """The stages that can run here, by name. A model or data that is not to be had takes its stage with it."""
    image_text, text, detector = (resolved.info(role) for role in (Role.IMAGE_TEXT, Role.TEXT, Role.DETECTOR))
    listener = resolved.info(Role.SPEECH)
    reader = resolved.info(Role.OCR)
    stages = chunk.stages(config.decode)
    detecting = detect.stage(detector) if detector else None
    embedding = embed.stage(image_text, text) if image_text or text else None
    captioning = caption.stage(captioner) if captioner else None
    tagger = Tagger(taxonomy, embedding, detecting, image_text.name if image_text else "", school)
    optional = (detecting, embedding, captioning, locate.stage(gazetteer), tagger.stage)
    stages += [stage for stage in optional if stage is not None]
    if listener is not None:
        stages.append(speech.stage(listener))
    if reader is not None:
        stages.append(ocr.stage(reader))
    if video.is_available():
        stages.append(clips.stage(config.decode, image_text, detector))
    return {stage.name: stage for stage in stages}


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that explains the others: one of ours if there is one."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions
        else:
            leaves.append(error)
    return next((error for error in leaves if isinstance(error, LakewatchError)), leaves[0])
