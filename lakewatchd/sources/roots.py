"""A watched tree: where it is, whether it is really there, and what lies where in it.

Everything here may block for as long as a dead network server likes: call it where it can be abandoned, see
:mod:`lakewatchd.sources.worker`. Watching and scanning are elsewhere.

The invariant: a root that looks wrong in any way is *away*. Away costs a pause; a wrong "present" would read
as the deletion of all it held.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.core.asset import path_text
from lakewatchd.errors import NotReadable, RootAway
from lakewatchd.sources import mounts

UNSTABLE_INODES = ("cifs", "smb", "vfat", "exfat", "msdos", "fuse", "9p", "davfs")
"""File systems that may give a file another inode number after a remount."""


@dataclass(frozen=True, slots=True)
class Root:
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a mounted tree from the bare mount point below it, and from another disk."""

    device: int
    inode: int
    file_system: str = ""

    @property
    def is_remote(self) -> bool:
        """Others may change files there without the kernel telling us."""
        return mounts.is_remote(self.file_system)

    @property
    def has_stable_inodes(self) -> bool:
        return not self.file_system.startswith(UNSTABLE_INODES)


class RootState(enum.StrEnum):
    STARTING = "starting"
    PRESENT = "present"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class RootHealth:
    """``identity`` is what was found; None when away."""

    state: RootState
    reason: str = ""
    hint: str = ""
    identity: Identity | None = None

    @property
    def is_away(self) -> bool:
        return self.state is RootState.AWAY

    def error(self, root: str) -> RootAway:
        return RootAway(f"root {root!r} {self.reason}", self.hint)


def look(root: Root, identity: Identity | None, known_count: Callable[[], int]) -> RootHealth:
    """Is the root there? ``identity`` is what it was before, ``known_count`` tells how many files it held.

    The count is asked for only when the root is empty, which is either true or an unmounted mount point.
    """
    try:
        status = root.path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return _away("is not a directory", f"let root {root.name!r} point at a directory")
        with os.scandir(root.path) as entries:
            is_empty = next(entries, None) is None
    except FileNotFoundError:
        return _away("does not exist", f"mount or create {root.path}")
    except OSError as exc:
        return _away(f"cannot be read: {exc.strerror}", f"check the mount and the permissions of {root.path}")
    found = Identity(status.st_dev, status.st_ino, mounts.mount_of(root.path).file_system)
    if identity is not None and (found.device, found.inode) != (identity.device, identity.inode):
        return _away(
            f"is another file system or directory than before ({found.file_system or 'unknown'})",
            f"mount {root.path} again, or restart lakewatchd if it was replaced on purpose",
        )
    if is_empty and (known := known_count()):
        return _away(
            f"is empty, yet {known:,} files are known in it: it looks like an unmounted mount point",
            f"mount {root.path}; if the files were really deleted: lakewatchd scan {root.name} --accept-removals",
        )
    return RootHealth(RootState.PRESENT, identity=found)


def local_path(root: Root, path: str) -> Path:
    """Where ``path`` lies on this machine. Raises :class:`NotReadable` for anything that could leave the root."""
    parts = path.split("/") if path else []
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise NotReadable(f"{path_text(path)!r} is not a path inside root {root.name!r}")
    return root.path.joinpath(*parts)


def lstat_inside(root: Root, path: str) -> os.stat_result | None:
    """The ``lstat`` of ``path`` if it is reached through directories only; None when there is nothing, or a link on
    the way. Raises :class:`NotReadable` as :func:`local_path`, and any other ``OSError``."""
    parts = local_path(root, path).relative_to(root.path).parts
    place = root.path
    try:
        for part in parts[:-1]:
            place = place / part
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                return None
        return os.lstat(place / parts[-1]) if parts else place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _away(reason: str, hint: str) -> RootHealth:
    return RootHealth(RootState.AWAY, reason, hint)
