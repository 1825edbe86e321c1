"""How commands reach the daemon, or its files when it is down. The only place of the cli that knows its names."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lakewatchd.config import Config
from lakewatchd.control import ask
from lakewatchd.core.status import AuditListing, Explanation, QueueListing, Reloaded, ScanListing, Status
from lakewatchd.core.wire import from_json
from lakewatchd.errors import DaemonDown, LakewatchError

T = TypeVar("T")


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
