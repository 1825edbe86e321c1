"""How commands reach the daemon, or its files when it is down. The only place of the cli that knows its names."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lakewatchd.config import Config
from lakewatchd.control import ask
from lakewatchd.core.found import Found, Query
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.status import (
    AuditListing,
    CorrectionListing,
    DuplicateListing,
    Explanation,
    Preview,
    QueueListing,
    Reloaded,
    ScanListing,
    Status,
)
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import BadQuery, DaemonDown, LakewatchError, NotReadable

T = TypeVar("T")

LOADING_S = 180.0
"""That models may take to load, where a command has to load them itself."""


def live_status(config: Config) -> Status:
    """What the running daemon says. Raises :class:`DaemonDown`."""
    return _typed(Status, ask(config.socket_path, "status"))


def status_or_files(config: Config) -> Status:
    """What the daemon says, or what its files tell; ``pid`` is None then."""
    try:
        return live_status(config)
    except DaemonDown:
        from lakewatchd.daemon.report import status_from_files

        return status_from_files(config)


def away_roots(config: Config) -> tuple[str, ...]:
    """Names of roots that the daemon knows to be away; none where it cannot be asked."""
    try:
        return tuple(root.name for root in live_status(config).roots if root.state == "away")
    except LakewatchError:
        return ()


def queue_listing(config: Config, *, parked: bool, reason: str | None, stage: str | None, limit: int) -> QueueListing:
    """Jobs by reason, from the daemon or from its files."""
    query: dict[str, Any] = {"parked": parked, "reason": reason, "stage": stage, "limit": limit}
    try:
        return _typed(QueueListing, ask(config.socket_path, "queue_list", **query))
    except DaemonDown:
        from lakewatchd.daemon.report import queue_from_files

        return queue_from_files(config, **query)


def explanation(config: Config, path: str) -> Explanation:
    """From the daemon, or from its files; then :attr:`Explanation.by_files` is set."""
    try:
        return _typed(Explanation, ask(config.socket_path, "explain", path=path))
    except DaemonDown:
        from lakewatchd.daemon.accounts import explanation_from_files

        return dataclasses.replace(explanation_from_files(config, path), by_files=True)


def scan(config: Config, root: str | None, *, accept_removals: bool = False) -> ScanListing:
    args = {"root": root, "accept_removals": accept_removals}
    return _typed(ScanListing, ask(config.socket_path, "scan", timeout_s=None, **args))


def reload(config: Config) -> Reloaded:
    """Has the daemon read its configuration again. Raises :class:`ConfigError` when that is wrong."""
    return _typed(Reloaded, ask(config.socket_path, "reload", timeout_s=None))


def audit(config: Config, root: str | None, limit: int) -> AuditListing:
    """Every file, by the daemon, or by its files when it is down."""
    try:
        return _typed(AuditListing, ask(config.socket_path, "audit", timeout_s=None, root=root, limit=limit))
    except DaemonDown:
        from lakewatchd.daemon.accounts import audit_from_files

        return audit_from_files(config, root, limit)


def correct(config: Config, batches: Sequence[list[str]], change: dict[str, Any]) -> CorrectionListing:
    """Have the daemon keep what a person says of these places. Raises :class:`DaemonDown`."""
    for places in batches[:-1] and batches:  # of several questions none is to be half answered
        ask(config.socket_path, "corrections", places=places)
    answers = [ask(config.socket_path, "correct", places=places, **change) for places in batches]
    return CorrectionListing(tuple(c for answer in answers for c in _typed(CorrectionListing, answer).corrections))


def corrections(config: Config, places: list[str]) -> CorrectionListing:
    """What was said, of these places or of all: from the daemon, or from its files."""
    try:
        return _typed(CorrectionListing, ask(config.socket_path, "corrections", timeout_s=None, places=places))
    except DaemonDown:
        from lakewatchd.daemon.corrections import listing_from_files
        from lakewatchd.daemon.explain import place_of_text

        return listing_from_files(config, [place_of_text(config, place) for place in places])


def preview(config: Config, path: Path, text: str, tag: str) -> Preview:
    """What the taxonomy ``text`` of ``path`` would change. Raises :class:`DaemonDown`, ``ConfigError``."""
    return _typed(Preview, ask(config.socket_path, "preview", timeout_s=None, path=str(path), text=text, tag=tag))


def take_in_corrections(config: Config, said: list[Mapping[str, Any]]) -> int:
    return order(config, "take_in_corrections", said=said)


def duplicates(config: Config, *, near: bool, exact: bool, kind: str | None) -> DuplicateListing:
    """From the lake, which can be read while the daemon runs and while it does not."""
    import asyncio

    from lakewatchd.core.asset import Kind
    from lakewatchd.daemon import groups

    return asyncio.run(groups.duplicates(config, groups.Wanted(near, exact, Kind(kind) if kind else None)))


def search(config: Config, query: Query, *, words_only: bool) -> Found:
    """By the web process, whose models are loaded; where none answers, or for words only, by the engine itself."""
    from lakewatchd.cli.output import say
    from lakewatchd.views.search.finding import require_bounded

    require_bounded(query)
    if not words_only:
        try:
            return _search_remotely(config, query)
        except DaemonDown:
            say("no web process answers, so the models are loaded for this question alone (--words-only needs none)")
    return _search_here(config, query, words_only=words_only)


def _search_remotely(config: Config, query: Query) -> Found:
    from lakewatchd import unixhttp

    asked = to_json(dataclasses.replace(query, picture=b""))
    del asked["picture"]
    if query.picture:
        answer = unixhttp.post_file(config.web_socket, "/api/search", asked, query.picture)
    else:
        answer = unixhttp.post_json(config.web_socket, "/api/search", asked)
    return _typed(Found, answer)


def _search_here(config: Config, query: Query, *, words_only: bool) -> Found:
    import asyncio

    from lakewatchd.views.search import opening

    async def find() -> Found:
        async with opening.opened(config, words_only=words_only, patience_s=LOADING_S) as searching:
            return await searching.engine.find(query)

    return asyncio.run(find())


def answer(config: Config, query: Query, *, here: bool) -> Iterator[dict[str, Any]]:
    """The events of an answer as they come: from the server, whose models are loaded, or made here where there is none.
    ``here``: do not ask the server."""
    if not here:
        from lakewatchd import unixhttp

        asked = {"question": query.text, "kinds": list(query.kinds), "tags": list(query.tags), "root": query.root}
        try:
            yield from unixhttp.stream_lines(config.web_socket, "/api/ask", asked, timeout_s=5 * config.ask.timeout_s)
            return
        except (DaemonDown, NotReadable):
            pass  # slower, and all the same
    yield from _answered_here(config, query)


def _answered_here(config: Config, query: Query) -> Iterator[dict[str, Any]]:
    import asyncio
    import contextlib

    from lakewatchd.lake.files import files_of
    from lakewatchd.lake.reader import LakeReader
    from lakewatchd.views.answer.answering import Answerer, Event, event_json
    from lakewatchd.views.search import opening

    async def events() -> AsyncIterator[Event]:
        reader = LakeReader(files_of(config))
        async with opening.opened(config, patience_s=LOADING_S) as searching:
            with contextlib.closing(reader):
                async for event in Answerer(config.ask, searching.engine, reader).answer(query):
                    yield event

    stream = events()
    with asyncio.Runner() as runner:
        while (event := runner.run(_next(stream))) is not None:
            yield event_json(event)


async def _next(stream: AsyncIterator[T]) -> T | None:
    return await anext(stream, None)


def asset_at(config: Config, text: str) -> str:
    """The id of the asset at a place that a person named; empty if the lake knows nothing there."""
    import asyncio

    from lakewatchd.cli.in_view import place_named
    from lakewatchd.daemon.explain import place_of_text
    from lakewatchd.lake.files import files_of
    from lakewatchd.lake.reader import LakeReader

    async def look() -> str:
        reader = LakeReader(files_of(config))
        try:
            occurrence = await reader.occurrence(place_of_text(config, place_named(text, config)))
            return occurrence.asset_id if occurrence is not None else ""
        except LakewatchError:  # lies in no root
            return ""
        finally:
            reader.close()

    return asyncio.run(look())


def place_text(config: Config, root: str, path: str) -> str:
    """Where a file is, for people and for ``open``: a path, or ``s3://bucket/key``. ``path`` as in the lake."""
    from lakewatchd.core.asset import text_path
    from lakewatchd.daemon import site

    found = next((known for known in config.all_roots if known.name == root), None)
    return site.place_text(found, text_path(path)) if found else f"{root}:{path}"


def require_root(config: Config, name: str) -> None:
    """Raises :class:`BadQuery` where ``name`` is given and no root is called so."""
    names = [root.name for root in config.all_roots]
    if name and name not in names:
        raise BadQuery(f"there is no root {name!r}", did_you_mean(name, names, "roots"))


def order(config: Config, op: str, **args: object) -> int:
    """Have the daemon do something; how many jobs it did it to."""
    return int(ask(config.socket_path, op, timeout_s=30.0, **args).get("count", 0))


def meanwhile(work: Callable[[], T], look: Callable[[], None], every_s: float = 0.5) -> T:
    """The result of ``work``, done in a thread, with ``look`` called every so often until it is there.

    The thread is not waited for when the user interrupts: it only waits for the daemon.
    """
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as exc:
            outcome.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(every_s)
        if thread.is_alive():
            look()
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


def _typed(kind: type[T], answer: dict[str, Any]) -> T:
    try:
        return from_json(kind, answer)
    except ValueError as exc:
        hint = "restart it: it is of another version than this command"
        raise LakewatchError(f"the daemon's answer cannot be read: {exc}", hint) from exc
