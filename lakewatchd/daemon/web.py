"""The web process as the daemon sees it: started where ``[web]`` is enabled or a bucket has a door, started again when
it died, never trusted.

The sockets it listens on are the daemon's (:mod:`lakewatchd.daemon.listeners`). The invariant: the web process hears
"durable" only after the events are in the queue; and however it behaves, it costs the daemon one bounded frame at a
time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from lakewatchd.buckets.access import credentials_of
from lakewatchd.buckets.records import Notice
from lakewatchd.child import Child, Json, Largest, Limits
from lakewatchd.config import BucketConfig, Config, LakeConfig
from lakewatchd.core.clock import Clock
from lakewatchd.core.status import Layer, Problem
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.daemon.listeners import Listeners
from lakewatchd.errors import ConfigError, FatalError, LakewatchError, PauseError, TransientError, WorkerDied
from lakewatchd.models import hub
from lakewatchd.sources.bucket.ways.webhook import Webhook
from lakewatchd.web import wire
from lakewatchd.web.ground import scratch_dir
from lakewatchd.web.wire import Recipient, Settings, Tally

_log = logging.getLogger(__name__)

MODULE = "lakewatchd.web.child_main"
MEMORY_BYTES = 1 << 30
"""Of a process that only receives events; one that reads the lake maps far more than it uses."""
OPEN_FILES = 4096
"""More than the connections it keeps, those that may come at once, and the files of the lake."""
SILENCE_S = 30.0
"""It asks every second; a process that says nothing for so long hangs, and is replaced."""
RETRY_S, RETRY_MAX_S = 1.0, 60.0
LIBRARIES = ("fastapi", "httptools", "python_multipart", "uvicorn")
_INSTALL = "pip install 'lakewatchd[web]', or [web] enabled = false"
_FIRST = asyncio.FIRST_COMPLETED

Keyed = TypeVar("Keyed", BucketConfig, LakeConfig)


class Web:
    """Where buckets put up their doors (:class:`lakewatchd.sources.bucket.ways.webhook.Board`)."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._doors: dict[str, Webhook] = {}
        self._changed = asyncio.Event()
        self._listeners = Listeners()
        self._is_open = False
        self._trouble: LakewatchError | None = None
        self.layers: tuple[Layer, ...] = ()
        """What confines the process that runs, or ran last."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why nobody is answered, for ``status``."""
        troubles = [one for one in (self._trouble, self._listeners.trouble) if one is not None]
        return tuple(Problem(one.message, one.hint or "") for one in troubles[:1])

    @property
    def url(self) -> str:
        """Where the gallery is; empty while it is not."""
        return self._listeners.url if self._is_open and self._config.web.enabled else ""

    def put_up(self, webhook: Webhook) -> None:
        self._doors[webhook.root] = webhook
        self._tell(webhook)

    def take_down(self, webhook: Webhook) -> None:
        if self._doors.get(webhook.root) is webhook:
            del self._doors[webhook.root]

    def apply(self, config: Config) -> None:
        """Other settings: the process is replaced if they say something else to it."""
        is_same = config.web == self._config.web and settings_of(config) == settings_of(self._config)
        self._config = config
        if not is_same:
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled. What it raises is a defect, or comes from the queue and must end the daemon."""
        try:
            while True:
                self._changed.clear()
                async with asyncio.TaskGroup() as tasks:
                    serving = tasks.create_task(self._keep_serving(self._config))
                    await self._changed.wait()
                    serving.cancel()
        finally:
            self._listeners.close()

    async def _keep_serving(self, config: Config) -> None:
        """With these settings, for as long as they hold."""
        self._trouble = self._listeners.trouble = None
        settings = await asyncio.to_thread(settings_of, config)
        if settings.config is not None and (missing := missing_library()):
            self._trouble = ConfigError(f"no search page and no API: {missing} is not installed", _INSTALL)
            settings = dataclasses.replace(settings, config=None)
        if not settings.recipients and settings.config is None:
            self._listeners.close()
            return
        wait_s = RETRY_S
        while True:
            began = self._clock.monotonic()
            try:
                await self._serve(settings, config)
            except FatalError:
                raise
            except LakewatchError as exc:
                if self._trouble is None or self._trouble.message != exc.message:
                    _log.warning("nobody is answered by HTTP: %s", exc.message)
                self._trouble = exc
            finally:
                self._is_open = False
                self._tell(*self._doors.values())
            if self._clock.monotonic() - began > RETRY_MAX_S:
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _serve(self, settings: Settings, config: Config) -> None:
        """Until a process ends, or another would be heard by more. Raises ``ConfigError`` where none can be had, else
        ``WorkerDied``."""
        await self._listeners.open(config)
        answering = asyncio.ensure_future(self._answer(settings))
        waiting = asyncio.ensure_future(self._listeners.wait_for_tcp(config.web.listen))
        try:
            await asyncio.wait({answering, waiting} if self._listeners.tcp is None else {answering}, return_when=_FIRST)
            if answering.done():
                answering.result()
        finally:
            waiting.cancel()
            answering.cancel()
            await asyncio.wait({answering, waiting})

    async def _answer(self, settings: Settings) -> None:
        """One process, until it asks for another. Raises ``WorkerDied`` when it ended otherwise."""
        env = dict[str, str]()
        if settings.config is not None:
            scratch = scratch_dir(settings.config)
            await asyncio.to_thread(_make_scratch, scratch)
            env = {**hub.of_the_machine(), "TMPDIR": str(scratch)}  # torch looks for one when it is loaded
        fds = tuple([one.fileno() for one in self._listeners.open_ones])
        whole = Limits(open_files=OPEN_FILES)
        events_only = Limits(memory_bytes=MEMORY_BYTES, file_bytes=1, open_files=OPEN_FILES)
        child = Child(
            MODULE,
            whole if settings.config is not None else events_only,
            env=env,
            inherits=False,
            on_note=self._note,
            pass_fds=fds,
            arguments=tuple(map(str, fds)),
            largest=Largest(header_bytes=wire.MAX_FRAME_BYTES, blob_bytes=0),
        )
        clock = asyncio.get_running_loop().time
        try:
            await child.start()
            async with asyncio.timeout(SILENCE_S) as silence:

                async def respond(frame: Json) -> Json:
                    silence.reschedule(None)
                    await asyncio.sleep(0)  # one that asks without a pause is not alone on this loop
                    failed = await self._take(frame)
                    silence.reschedule(clock() + SILENCE_S)
                    return {"failed": failed}

                await child.call("serve", to_json(settings), responder=respond)
            _log.info("the web process starts anew: another directory lies where a root was")
        except TimeoutError as exc:
            raise WorkerDied(f"the web process said nothing for {SILENCE_S:g} s") from exc
        finally:
            await child.close()

    def _note(self, note: Json) -> None:
        """Raises ``ValueError``, which ends the process, for all but the one note there is."""
        layers = note.get("layers")
        if not isinstance(layers, list) or self._is_open:
            raise ValueError("no such note is expected")
        self.layers = tuple(from_json(Layer, layer) for layer in layers)

    async def _take(self, frame: Json) -> list[str]:
        """Everything of a frame in its place. The roots whose events are not durable. Raises ``ValueError``."""
        letter = wire.read_letter(frame)
        if not self._is_open:
            self._open()
        for root, tally in letter.tallies.items():
            if (webhook := self._doors.get(root)) is not None:
                _count(webhook, tally)
        kept = await asyncio.gather(*(self._keep(root, notices) for root, notices in letter.posts.items()))
        return [root for root, is_kept in zip(letter.posts, kept, strict=True) if not is_kept]

    async def _keep(self, root: str, notices: Sequence[Notice]) -> bool:
        webhook = self._doors.get(root)
        if webhook is None:
            return False
        try:
            await webhook.take(notices)
        except (PauseError, TransientError) as exc:
            _log.warning("webhook: events cannot be kept now: %s", exc.message, extra={"root": root})
            return False
        return True

    def _open(self) -> None:
        self._is_open = True
        if self._trouble is not None and self._trouble.hint != _INSTALL:
            self._trouble = None
        cell = ", ".join(layer.name for layer in self.layers if layer.holds) or "nothing"
        if self._listeners.trouble is not None:
            _log.warning("HTTP only by %s: %s", self._config.web_socket, self._listeners.trouble.message)
        _log.info("HTTP at %s by a process confined by %s", self._listeners.url or self._config.web_socket, cell)
        self._tell(*self._doors.values())

    def _tell(self, *webhooks: Webhook) -> None:
        """Whether their doors are open now."""
        for webhook in webhooks:
            if self._is_open and self._listeners.url:
                webhook.opened(f"{self._listeners.url}/events/{webhook.root}")
            elif problems := self.problems:
                webhook.closed(problems[0].message, problems[0].hint)
            else:
                webhook.closed()


def _count(webhook: Webhook, tally: Tally) -> None:
    webhook.count(bad=tally.bad, unknown=tally.unknown, foreign=tally.foreign)
    if tally.refused:
        webhook.turned_away()
    if tally.wrong_tokens:
        webhook.wrong_token(tally.wrong_from)


def settings_of(config: Config) -> Settings:
    """What the process is told. No token goes there, only its hash. Reads files of credentials."""
    recipients = tuple(
        Recipient(
            bucket.name,
            bucket.endpoint.rstrip("/").lower(),
            bucket.bucket,
            bucket.prefix,
            hashlib.sha256(bucket.webhook_token.encode()).hexdigest(),
        )
        for bucket in config.buckets
        if bucket.webhook_token
    )
    return Settings(
        recipients,
        config.web.max_body_kb << 10,
        config.web.max_waiting,
        config.daemon.log_level,
        hashlib.sha256(config.web.token.encode()).hexdigest() if config.web.token else "",
        _less_secrets(config) if config.web.enabled else None,
    )


def _less_secrets(config: Config) -> Config:
    """What the process need not know it does not learn; the keys of buckets it does, as it cannot look for them."""
    buckets = [
        dataclasses.replace(_with_keys(one), webhook_token="", mqtt_password="", redis_password="")
        for one in config.buckets
    ]
    return dataclasses.replace(
        config,
        buckets=tuple(buckets),
        lake=_with_keys(config.lake) if config.lake.uri else config.lake,
        captions=dataclasses.replace(config.captions, api_key=""),
        web=dataclasses.replace(config.web, token=""),
    )


def _with_keys(settings: Keyed) -> Keyed:
    try:
        found = credentials_of(settings)
    except ConfigError:  # told by who reads the bucket for the lake
        return settings
    return dataclasses.replace(settings, access_key=found.access_key, secret_key=found.secret_key, credentials="")


def _make_scratch(path: Path) -> None:
    with contextlib.suppress(OSError):  # who needs it says so
        path.mkdir(mode=0o700, exist_ok=True)


def missing_library() -> str:
    """The first one of the extra that is not installed; empty where nothing is missing."""
    return next((name for name in LIBRARIES if importlib.util.find_spec(name) is None), "")
