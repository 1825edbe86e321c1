"""The life of a mounted view: check the place, load, mount, refresh, unmount.

What requests are answered with is in :mod:`lakewatchd.views.mounted.fuse`. The invariant: the mount appears only once
the whole lake is in it, so that nobody takes a view that is still loading for one whose files were deleted; and for the
same reason a view that is killed leaves its mount in place, where every access is an error, until the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lakewatchd import __version__, errors
from lakewatchd.config import RootConfig, ViewConfig
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.garbage import keep_what_is_here
from lakewatchd.views.mounted import mountpoint
from lakewatchd.views.mounted.about import ABOUT, About
from lakewatchd.views.mounted.answers import SEARCH, SIMILAR, Asked, looking_like, searching
from lakewatchd.views.mounted.device import Device
from lakewatchd.views.mounted.feed import Feed
from lakewatchd.views.mounted.follow import Follower
from lakewatchd.views.mounted.fuse import LakeView
from lakewatchd.views.mounted.health import Health
from lakewatchd.views.mounted.house import House
from lakewatchd.views.mounted.index import Index
from lakewatchd.views.mounted.objects import Buckets
from lakewatchd.views.mounted.originals import Originals
from lakewatchd.views.mounted.past import AT, History, Past

SWITCH_S = 0.0005
"""A thread that fetches must not hold up the loop that answers: on busy cores that made reading half as fast again."""


class Server(Asked, Protocol):
    """The one that searches, in a process of its own."""

    async def status(self) -> Mapping[str, object]:
        """Raises LakewatchError."""
        ...


async def serve(
    feed: Feed,
    view: ViewConfig,
    roots: Sequence[RootConfig],
    on_mounted: Callable[[], None],
    clock: Clock | None = None,
    buckets: Buckets | None = None,
    server: Server | None = None,
    history: History | None = None,
    index: Index | None = None,
) -> None:
    """Show the lake at the mountpoint until SIGTERM, SIGINT or an unmount from outside; then it is unmounted.

    ``roots`` are those that are directories; ``index`` is where the folders are kept, by default a private one.
    ``server`` is asked for what the folders themselves do not tell, ``history`` for what they were.

    ``on_mounted`` is called when the whole lake is to be seen. Raises :class:`errors.ConfigError` when it cannot
    be mounted, and whatever the feed raises that waiting does not cure.
    """
    clock = clock or SystemClock()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    mountpoint.prepare(view, roots)
    follower = Follower(feed, index or Index(), clock)
    health = Health(follower)

    def mounted() -> None:
        health.is_mounted = True
        health.tell()
        on_mounted()

    telling = asyncio.create_task(health.run(), name="tell")
    try:
        originals = Originals({root.name: root.path for root in roots}, buckets)
        await _show(
            follower, view, house_of(follower, server, history), originals, stop, mounted, int(clock.now() * 1e9)
        )
    except sqlite3.OperationalError as exc:
        raise errors.TransientError(f"the view's index cannot be read or written: {exc}", "look at its disk") from exc
    except sqlite3.DatabaseError as exc:
        place = index.discard() if index is not None else None
        raise errors.TransientError(f"the view's index {place} is damaged: {exc}", _ANEW) from exc
    finally:
        telling.cancel()


_ANEW = "start the view again: the index is made anew from the lake"


def house_of(follower: Follower, server: Server | None, history: History | None) -> House:
    """The lake's folders, with all rooms."""
    house = House(follower.index)

    def revision() -> int:
        return follower.index.revision

    def view() -> dict[str, object]:
        files = follower.index.places
        return {"version": __version__, "files": files, "revision": revision(), "is_behind": follower.is_behind}

    house.rooms = {
        SEARCH: searching(server, follower.index, revision),
        SIMILAR: looking_like(server, follower.index, revision),
        ABOUT: About(house, revision, view, server.status if server is not None else None),
    }
    if history is not None:
        house.rooms[AT] = Past(history)
    return house


async def _show(
    follower: Follower,
    view: ViewConfig,
    house: House,
    originals: Originals,
    stop: asyncio.Event,
    on_mounted: Callable[[], None],
    now_ns: int,
) -> None:
    """Load, mount, answer until ``stop``, unmount."""
    while not await follower.refresh():
        if await _is_set_within(stop, view.refresh_s):
            return
    keep_what_is_here()
    sys.setswitchinterval(SWITCH_S)
    originals.look_around()
    options, loop = mountpoint.options_of(view), asyncio.get_running_loop()
    device = await asyncio.to_thread(Device, view.mountpoint, options, loop)
    operations = LakeView(house, originals, device, now_ns)
    try:
        await _run(device, operations, follower, view.refresh_s, stop, on_mounted)
    finally:
        device.close()
        operations.close()


async def _run(
    device: Device,
    operations: LakeView,
    follower: Follower,
    refresh_s: float,
    stop: asyncio.Event,
    on_mounted: Callable[[], None],
) -> None:
    """Answer, refresh, and wait for the first of the three to end; an error of either ends the view."""

    async def refresh() -> None:
        while not await _is_set_within(stop, refresh_s):
            operations.originals.look_around()
            await follower.refresh(operations.forget_stale)

    answering = asyncio.create_task(device.serve(operations.answer), name="answer")
    refreshing = asyncio.create_task(refresh(), name="refresh")
    on_mounted()
    await asyncio.wait({answering, refreshing}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.wait({refreshing})  # while requests are still answered: a notice may wait for one
    answering.cancel()
    for ended in await asyncio.gather(answering, refreshing, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
