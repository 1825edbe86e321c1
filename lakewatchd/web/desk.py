"""What the endpoints work with: opened once, shared by all requests, closed with the process.

Everything here reads. What changes something is asked of the daemon (:mod:`lakewatchd.web.daemon_line`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from lakewatchd.buckets.cache import ObjectCache
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import Config
from lakewatchd.control import Json
from lakewatchd.core.found import Found, Query
from lakewatchd.core.status import Status
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import ConfigError, LakewatchError, TimedOut
from lakewatchd.lake.files import files_of
from lakewatchd.lake.finder import Finder
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.thumbnails import Thumbnails
from lakewatchd.views.answer.answering import Answerer
from lakewatchd.views.mounted.objects import Buckets
from lakewatchd.views.mounted.originals import Originals
from lakewatchd.views.search import opening
from lakewatchd.views.search.finding import Search
from lakewatchd.views.sql.session import Sql
from lakewatchd.web.absence import Absence
from lakewatchd.web.bulletin import Bulletin
from lakewatchd.web.daemon_line import DaemonLine
from lakewatchd.web.ground import scratch_dir
from lakewatchd.web.traffic import Traffic
from lakewatchd.web.turns import Turns

SEARCH_S = 30.0
UPLOADS = 2
"""Files to compare with that are held at once."""
ANSWERS, QUERIES = 2, 2
"""Of a language model, and in SQL, that are made at once."""
SEARCHES, SEARCHES_WAITING = 4, 256
"""More at once would all be late: they share the cores."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Desk:
    config: Config
    reader: LakeReader
    finder: Finder
    thumbnails: Thumbnails
    originals: Originals
    daemon: DaemonLine
    engine: Search
    answerer: Answerer
    sql: Sql
    max_picture_bytes: int
    looking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "thumbnails"))
    uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS))
    searching: Turns = field(default_factory=lambda: Turns(SEARCHES, "search", SEARCHES_WAITING))
    asking: Turns = field(default_factory=lambda: Turns(ANSWERS, "ask a model"))
    querying: Turns = field(default_factory=lambda: Turns(QUERIES, "ask in SQL"))
    traffic: Traffic = field(default_factory=Traffic)
    bulletin: Bulletin = field(init=False)
    absence: Absence = field(init=False)

    def __post_init__(self) -> None:
        self.bulletin = Bulletin(self._said)
        self.absence = Absence(lambda: self.daemon.ask("status"))

    async def search(self, query: Query) -> Found:
        """Raises ``BadQuery``, ``TimedOut``, ``Busy``, and what the engine raises."""
        async with self.searching.one():
            try:
                async with asyncio.timeout(SEARCH_S):
                    return await self.engine.find(query)
            except TimeoutError as exc:
                raise TimedOut(
                    f"nothing was found within {SEARCH_S:g} s", "ask for less, or again in a moment"
                ) from exc

    async def status(self) -> Json:
        """As ``lakewatchd status --json``, and its one line. Raises what :class:`DaemonLine` raises."""
        said = from_json(Status, await self.daemon.ask("status"))
        return {"headline": said.headline, **to_json(said)}

    async def _said(self) -> str:
        try:
            return json.dumps(await self.status())
        except LakewatchError as exc:
            return json.dumps({"error": exc.message, "hint": exc.hint or ""})


@contextlib.asynccontextmanager
async def open_desk(config: Config) -> AsyncIterator[Desk]:
    async with contextlib.AsyncExitStack() as stack:
        search = opening.opened(config, is_warm=config.search.warm, scratch=scratch_dir(config))
        opened = await stack.enter_async_context(search)
        reader = stack.enter_context(contextlib.closing(LakeReader(files_of(config))))
        thumbnails = stack.enter_context(contextlib.closing(Thumbnails(config.thumbnail_path, read_only=True)))
        buckets = stack.enter_context(_buckets(config))
        # Never told which roots are local: a disk that sleeps must not hold up everybody.
        originals = Originals({root.name: root.path for root in config.roots}, buckets)
        line = DaemonLine(config.socket_path)
        answerer, sql = Answerer(config.ask, opened.engine, reader), Sql(config)
        most = config.search.like_mb << 20
        yield Desk(config, reader, opened.finder, thumbnails, originals, line, opened.engine, answerer, sql, most)


@contextlib.contextmanager
def _buckets(config: Config) -> Iterator[Buckets | None]:
    """To read objects by. Without a cache, if that cannot be had: slower, and all the same."""
    if not config.buckets:
        yield None
        return
    cache = None
    try:
        cache = ObjectCache.of(config)
    except ConfigError as exc:
        log.warning("%s; objects are read without being kept (%s)", exc.message, exc.hint)
    buckets = {root.name: Bucket(root, config.objects) for root in config.buckets}
    objects = Objects(buckets, cache, config.objects)
    try:
        yield Buckets({root.name: root for root in config.buckets}, objects)
    finally:
        objects.close()
        for bucket in buckets.values():
            bucket.close()


def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


TheDesk = Annotated[Desk, Depends(_desk)]
"""As the parameter of an endpoint."""
