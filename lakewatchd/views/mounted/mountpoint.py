"""The folder that the view is mounted at: is it fit, mount, unmount, and what a killed view left there.

The invariants: a place that holds anything is never mounted over, and nothing is taken away that is not a view of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lakewatchd import errors
from lakewatchd.config import RootConfig, ViewConfig

log = logging.getLogger(__name__)

FILE_SYSTEM = "fuse.lakewatchd"
DEVICE = Path("/dev/fuse")
MOUNTINFO = Path("/proc/self/mountinfo")
_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noatime": 1024}
"""Of mount(2); all other options are for the file system."""


def options_of(view: ViewConfig) -> set[str]:
    options = {"ro", "default_permissions", "nodev", "nosuid", "noatime", "fsname=lakewatchd", "subtype=lakewatchd"}
    return options | ({"allow_other"} if view.allow_other else set())


def prepare(
    view: ViewConfig, roots: Sequence[RootConfig], fuse_conf: Path = Path("/etc/fuse.conf"), device: Path = DEVICE
) -> None:
    """Make sure that the view can be mounted. Raises :class:`errors.ConfigError` with what to do about it."""
    place = view.mountpoint
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))  # it may be there without the module behind it
    except OSError as exc:
        hint = "load the fuse module, or pass the device to the container"
        raise errors.ConfigError(f"{device} cannot be used: {exc.strerror}", hint) from exc
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


def is_ours(place: Path) -> bool:
    """Whether what is mounted last at ``place`` is a view. Does not touch the place, which may not answer."""
    _, kind = _mounted_at(place)
    return kind == FILE_SYSTEM


def _mounted_at(place: Path) -> tuple[str, str]:
    """Device number and file system of what is mounted last at a place; empty where nothing is."""
    wanted = str(place.absolute()).translate({char: f"\\{char:03o}" for char in b" \t\n\\"})
    found = "", ""
    for line in MOUNTINFO.read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        _, _, device, _, point, *_ = before.split(" ")
        if point == wanted:
            found = device, after.split(" ")[0]
    return found


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


def mount(place: Path, options: Sequence[str]) -> int:
    """A descriptor by which the kernel is answered. Raises :class:`errors.ConfigError`."""
    try:
        return _mounted_here(place, options)
    except PermissionError:
        return _mounted_by_helper(place, options)


def _mounted_here(place: Path, options: Sequence[str]) -> int:
    """By mount(2), which is for root. Raises PermissionError, and ConfigError."""
    libc = ctypes.CDLL(None, use_errno=True)
    said = dict(option.partition("=")[::2] for option in options)
    flags = sum(_FLAGS[name] for name in said.keys() & _FLAGS)
    source, kind = said.pop("fsname"), f"fuse.{said.pop('subtype')}"
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    rest = [name for name in said if name not in _FLAGS]
    owner = [f"rootmode={stat.S_IFDIR:o}", f"user_id={os.getuid()}", f"group_id={os.getgid()}"]
    data = ",".join([f"fd={fd}", *owner, *rest])
    if libc.mount(source.encode(), os.fsencode(place), kind.encode(), flags, data.encode()) == 0:
        return fd
    os.close(fd)
    problem = ctypes.get_errno()
    if problem in (errno.EPERM, errno.EACCES):
        raise PermissionError(problem, "mounting is for root")
    raise errors.ConfigError(f"{place} cannot be mounted: {os.strerror(problem)}", "choose another mountpoint")


def _mounted_by_helper(place: Path, options: Sequence[str]) -> int:
    """By fusermount3, which is set-uid and sends back what it opened."""
    helper = shutil.which("fusermount3")
    if helper is None:
        raise errors.ConfigError("fusermount3 is missing: only root can mount without", "apt-get install fuse3")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [helper, "-o", ",".join(options), "--", str(place)],
            env=os.environ | {"_FUSE_COMMFD": str(theirs.fileno())}, pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE, text=True, errors="replace", check=False,
        )  # fmt: skip
        theirs.close()
        _, received, _, _ = socket.recv_fds(ours, 1, 1)
    if done.returncode or not received:
        raise errors.ConfigError(f"{place} cannot be mounted: {done.stderr.strip()}", "choose another mountpoint")
    os.set_inheritable(received[0], False)
    return received[0]


def read_further_ahead(place: Path, most_bytes: int) -> None:
    """From front to back the kernel asks for 128 KiB at once, if nobody tells it otherwise; to tell is for root."""
    device, _ = _mounted_at(place)
    with contextlib.suppress(OSError):
        Path(f"/sys/class/bdi/{device}/read_ahead_kb").write_text(str(most_bytes >> 10))
