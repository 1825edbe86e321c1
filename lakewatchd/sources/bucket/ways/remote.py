"""A way that calls somebody, and calls again for ever.

The invariant: nothing that a server, a network or a person's settings do ends :meth:`Remote.run`; only being
cancelled does, or an error of ours that must end the daemon.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from lakewatchd.buckets.records import Encoding, Parsed, merged, parse
from lakewatchd.core.status import WayState
from lakewatchd.errors import FatalError, LakewatchError
from lakewatchd.sources.bucket.way import Deliver, OnGap
from lakewatchd.sources.bucket.ways.reception import Reception

RETRY_S = 0.5
RETRY_MAX_S = 30.0
"""The first wait after a connection was lost, and the longest."""

REFUSED_S = 60.0
"""The wait after the other side said no: a person has to do something about it."""

STEADY_S = 10.0
"""A connection that was lost sooner counts as one more failure."""

BATCH = 500
"""Messages that are delivered, and then acknowledged, together."""

_BREATH_BYTES = 64 << 10

_log = logging.getLogger(__name__)


class Lost(LakewatchError):
    """The connection, or an attempt at one, came to nothing."""


class Refused(Lost):
    """The other side is there, and will say no again."""


class Remote(ABC):
    """One way over a network. Subclasses hold one connection in :meth:`_session`."""

    def __init__(self, root: str, reception: Reception, deliver: Deliver, on_gap: OnGap) -> None:
        self._root = root
        self._reception = reception
        self._deliver = deliver
        self._on_gap = on_gap
        self._rng = random.Random()
        self._failures = 0
        self._wait_s = 0.0
        self._stood_at: float | None = None

    @property
    def name(self) -> str:
        return self._reception.state.name

    @property
    def state(self) -> WayState:
        return self._reception.state

    async def run(self) -> None:
        while True:
            try:
                await self._session()
                self._note(Lost("the connection was closed"))
            except FatalError:
                raise
            except LakewatchError as exc:
                self._note(exc)
            except Exception as exc:
                _log.exception("a defect in the way %s", self.name, extra={"root": self._root})
                self._note(Refused(f"{type(exc).__name__}: {exc}", "please report it, with the log of this time"))
            await asyncio.sleep(self._wait_s)

    @abstractmethod
    async def _session(self) -> None:
        """One connection, until it is lost: returns, or raises :class:`Lost` or whatever ``deliver`` raised."""

    def _stands(self, gap: str) -> None:
        """The connection stands, and what happens from now on is heard. ``gap``: why something may be lost."""
        self._stood_at = asyncio.get_running_loop().time()
        self._reception.connected()
        _log.info("%s: connected to %s", self.name, self.state.detail, extra={"root": self._root})
        self._on_gap(gap)

    async def _take(self, parts: Sequence[Parsed]) -> None:
        """All of it is durable, or counted as what it is, when this returns."""
        if notices := self._reception.take(merged(parts)):
            await self._deliver(notices)

    def _note(self, error: LakewatchError) -> None:
        before, now = self.state, asyncio.get_running_loop().time()
        self._reception.lost(error.message, error.hint or "")
        if before.is_connected or before.problem != error.message:
            message = "%s: no events from %s: %s; a rescan makes up for them"
            _log.warning(message, self.name, before.detail, error.message, extra={"root": self._root})
        if self._stood_at is not None and now - self._stood_at >= STEADY_S:
            self._failures = 0
        self._stood_at = None
        ceiling = REFUSED_S if isinstance(error, Refused) else min(RETRY_MAX_S, RETRY_S * 2.0**self._failures)
        self._wait_s = self._rng.uniform(ceiling / 2, ceiling)  # not all of those who lost one server at once
        self._failures = min(self._failures + 1, 16)


async def parsed(payloads: Iterable[bytes], encoding: Encoding) -> list[Parsed]:
    """What each holds. The event loop has its turn in between, however much it is."""
    parts, parsed_bytes = [], 0
    for payload in payloads:
        parts.append(parse(payload, encoding))
        parsed_bytes += len(payload)
        if parsed_bytes > _BREATH_BYTES:
            parsed_bytes = 0
            await asyncio.sleep(0)
    return parts
