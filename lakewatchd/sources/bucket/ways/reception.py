"""What a way has heard: counts, the last event, and whether anybody is there to hear it from.

The order and the doubles are counted and nothing more: an event is a hint, and whoever follows it looks at the bucket.

The invariant: bounded, whatever comes; every event received is either handed on or counted as what it is.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

from lakewatchd.buckets.records import Notice, Parsed, rank
from lakewatchd.core.clock import Clock
from lakewatchd.core.status import WayState

REMEMBERED = 50_000
"""Keys whose last sequencer is remembered: some 10 MB."""


class Reception:
    """Use from the event loop. ``bucket`` and ``prefix`` say which events are ours; ``detail`` with whom we speak."""

    def __init__(self, name: str, detail: str, bucket: str, prefix: str, clock: Clock) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._clock = clock
        self._state = WayState(name, detail=detail, since=clock.now())
        self._last: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """Hash of a key -> the highest rank it had, and the hash of that event's name."""

    @property
    def state(self) -> WayState:
        return self._state

    def connected(self, detail: str = "") -> None:
        """``detail``: with whom, where that was not known before."""
        state = self._state
        since = state.since if state.is_connected else self._clock.now()
        self._set(is_connected=True, since=since, problem="", hint="", detail=detail or state.detail)

    def lost(self, problem: str, hint: str = "") -> None:
        """There is no connection, or none that gets on."""
        state = self._state
        since = self._clock.now() if state.is_connected else state.since
        reconnects = state.reconnects + state.is_connected
        self._set(is_connected=False, since=since, reconnects=reconnects, problem=problem, hint=hint)

    def trouble(self, problem: str, hint: str) -> None:
        """Something is wrong although there is a connection. Over with the next event."""
        self._set(problem=problem, hint=hint)

    def foreign(self, count: int) -> None:
        """Events of others that were told apart before they came here."""
        self._set(received=self._state.received + count, foreign=self._state.foreign + count)

    def dropped(self, count: int) -> None:
        """Events that nobody will hear of again."""
        self._set(dropped=self._state.dropped + count)

    def take(self, parsed: Parsed) -> list[Notice]:
        """Count it all; what of it is ours."""
        state = self._state
        mine = [notice for notice in parsed.notices if self._is_mine(notice)]
        duplicates, reordered = state.duplicates, state.reordered
        for notice in mine:
            standing = self._standing(notice)
            duplicates += standing == 0
            reordered += standing < 0
        self._set(
            received=state.received + len(parsed.notices) + parsed.bad + parsed.unknown + parsed.ignored,
            bad=state.bad + parsed.bad,
            unknown=state.unknown + parsed.unknown,
            foreign=state.foreign + len(parsed.notices) - len(mine),
            duplicates=duplicates,
            reordered=reordered,
        )
        if mine:
            now, at = self._clock.now(), mine[-1].at
            self._set(last_event_at=now, lag_s=None if at is None else max(0.0, now - at), problem="", hint="")
        return mine

    def _is_mine(self, notice: Notice) -> bool:
        return notice.bucket == self._bucket and notice.key.startswith(self._prefix)

    def _standing(self, notice: Notice) -> int:
        """To the last event of its key: 1 later, 0 the same, -1 earlier."""
        place = rank(notice.sequencer)
        if place is None:
            return 1
        key, name = hash(notice.key), hash(notice.name)
        last = self._last.pop(key, None)
        self._last[key] = (place, name) if last is None or place >= last[0] else last
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        if last is None or place > last[0] or (place == last[0] and name != last[1]):
            return 1  # a put and the tagging of what was put share a sequencer
        return 0 if place == last[0] else -1

    def _set(self, **changes: object) -> None:
        self._state = dataclasses.replace(self._state, **changes)  # type: ignore[arg-type]
