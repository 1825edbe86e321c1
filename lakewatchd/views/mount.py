"""The life of a mounted view: check the place, load, mount, refresh, unmount.

What requests are answered with is in :mod:`lakewatchd.views.fuse`. The invariants: a place that holds anything is
never mounted over; the mount appears only once the whole lake is in it, so that nobody takes a view that is still
loading for one whose files were deleted; and for the same reason a view that is killed leaves its mount in place,
where every access is an error, until the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakewatchd import errors
from lakewatchd.config import RootConfig, ViewConfig
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.views.feed import Feed
from lakewatchd.views.follow import Follower
from lakewatchd.views.health import Health
from lakewatchd.views.originals import Originals

if TYPE_CHECKING:
    from lakewatchd.views.fuse import LakeView

log = logging.getLogger(__name__)

FILE_SYSTEM = "fuse.lakewatchd"


def mount_options(view: ViewConfig) -> set[str]:
    options = {"ro", "default_permissions", "nodev", "nosuid", "noatime", "fsname=lakewatchd", "subtype=lakewatchd"}
    return options | ({"allow_other"} if view.allow_other else set())


# --- the place ---------------------------------------------------------------------------------------------


def prepare(view: ViewConfig, roots: Sequence[RootConfig], fuse_conf: Path = Path("/etc/fuse.conf")) -> None:
    """Make sure that the view can be mounted. Raises :class:`errors.ConfigError` with what to do about it."""
    place = view.mountpoint
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise errors.ConfigError(
            "/dev/fuse cannot be used", "load the fuse module, or pass the device to the container"
        )
    if view.allow_other and os.geteuid() != 0 and not _has_user_allow_other(fuse_conf):
        hint = f"add a line user_allow_other to {fuse_conf}, or set allow_other = false"
        raise errors.ConfigError("other users may not be let in", hint)
    for root in roots:
        if place.absolute().is_relative_to(root.path.absolute()) or root.path.absolute().is_relative_to(
            place.absolute()
        ):
            raise errors.ConfigError(f"{place} and the root {root.name} lie in one another", "mount the view elsewhere")
    unmount_stale(place)
    _check_empty(place)


def unmount_stale(place: Path) -> None:
    """Take away what a killed view left: a mount of ours that nobody serves."""
    try:
        os.statvfs(place)  # not stat(), which the kernel answers from memory long after the view has died
    except OSError as exc:
        if exc.errno not in (errno.ENOTCONN, errno.ECONNABORTED) or not is_ours(place):
            return
        log.warning("taking away the mount of a view that was killed", extra={"path": str(place)})
        if not unmount(place):
            raise errors.ConfigError(f"the stale mount at {place} stays", f"run: fusermount3 -u -z {place}") from exc


def is_ours(place: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether what is mounted last at ``place`` is a view. Does not touch the place, which may not answer."""
    wanted = str(place.absolute()).translate({char: f"\\{char:03o}" for char in b" \t\n\\"})
    kinds = [
        line.partition(" - ")[2].split(" ")[0]
        for line in mountinfo.read_text(errors="surrogateescape").splitlines()
        if line.split(" ")[4] == wanted
    ]
    return bool(kinds) and kinds[-1] == FILE_SYSTEM


def unmount(place: Path) -> bool:
    """Detach now; programs with open files keep them until they close them."""
    for command in (["fusermount3", "-u", "-z", str(place)], ["umount", "-l", str(place)]):
        with contextlib.suppress(FileNotFoundError):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return True
    return False


def _has_user_allow_other(fuse_conf: Path) -> bool:
    try:
        return "user_allow_other" in (line.strip() for line in fuse_conf.read_text().splitlines())
    except FileNotFoundError:
        return False


def _check_empty(place: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(place.stat().st_mode)
        is_mounted = place.is_mount()
        is_empty = is_folder and not any(place.iterdir())
    except FileNotFoundError as exc:
        raise errors.ConfigError(f"{place} does not exist", f"run: mkdir -p {place}") from exc
    except OSError as exc:
        raise errors.ConfigError(f"{place} cannot be used: {exc.strerror}", "choose another mountpoint") from exc
    if is_mounted:
        raise errors.ConfigError(f"something is mounted at {place}", f"run: fusermount3 -u {place}")
    if not is_folder or not is_empty:
        raise errors.ConfigError(f"{place} is not an empty folder", "choose an empty folder: its files would be hidden")


# --- the mounted view --------------------------------------------------------------------------------------


async def serve(
    feed: Feed,
    view: ViewConfig,
    roots: Sequence[RootConfig],
    on_mounted: Callable[[], None],
    clock: Clock | None = None,
) -> None:
    """Show the lake at the mountpoint until SIGTERM, SIGINT or an unmount from outside; then it is unmounted.

    ``on_mounted`` is called when the whole lake is to be seen. Raises :class:`errors.ConfigError` when it cannot
    be mounted, and whatever the feed raises that waiting does not cure.
    """
    clock = clock or SystemClock()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    prepare(view, roots)
    follower = Follower(feed, clock=clock)
    health = Health(follower)

    def mounted() -> None:
        health.is_mounted = True
        health.tell()
        on_mounted()

    telling = asyncio.create_task(health.run(), name="tell")
    try:
        await _show(follower, view, roots, stop, mounted, int(clock.now() * 1e9))
    finally:
        telling.cancel()


async def _show(
    follower: Follower,
    view: ViewConfig,
    roots: Sequence[RootConfig],
    stop: asyncio.Event,
    on_mounted: Callable[[], None],
    now_ns: int,
) -> None:
    """Load, mount, answer until ``stop``, unmount."""
    import pyfuse3
    import pyfuse3.asyncio

    from lakewatchd.views.fuse import LakeView

    while not await follower.refresh():
        if await _is_set_within(stop, view.refresh_s):
            return
    _spare_the_collector()
    originals = Originals({root.name: root.path for root in roots})
    originals.look_around()
    operations = LakeView(follower.tree, originals, now_ns)
    pyfuse3.asyncio.enable()
    try:
        pyfuse3.init(operations, os.fspath(view.mountpoint), mount_options(view))
    except RuntimeError as exc:
        raise errors.ConfigError(f"{view.mountpoint} cannot be mounted: {exc}", "see the lines above") from exc
    try:
        await _run(pyfuse3, operations, follower, view.refresh_s, stop, on_mounted)
    finally:
        pyfuse3.close(unmount=True)
        operations.close()


def _spare_the_collector() -> None:
    """Millions of objects that live as long as the process: do not look through them for cycles again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _run(
    pyfuse3: Any,
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

    answering = asyncio.create_task(pyfuse3.main(), name="answer")
    refreshing = asyncio.create_task(refresh(), name="refresh")
    on_mounted()
    await asyncio.wait({answering, refreshing}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    while not answering.done():
        with contextlib.suppress(asyncio.InvalidStateError):  # a request has just arrived: it is answered first
            pyfuse3.terminate()
        await asyncio.wait({answering}, timeout=0.1)
    await asyncio.gather(answering, refreshing)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
