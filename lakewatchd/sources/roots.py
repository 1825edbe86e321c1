"""A watched tree: where it is, whether it is really there, and what lies where in it.

Everything here may block for as long as a dead network server likes: call it where it can be abandoned, see
:mod:`lakewatchd.sources.worker`. Watching and scanning are elsewhere.

The invariant: a root that looks wrong in any way is *away*. Away costs a pause; a wrong "present" would read
as the deletion of all it held.
"""

from __future__ import annotations

import enum
import errno
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lakewatchd.core.asset import path_text
from lakewatchd.errors import NotReadable, RootAway
from lakewatchd.sources import mounts

UNSTABLE_INODES = ("cifs", "smb", "vfat", "exfat", "msdos", "fuse", "9p", "davfs")
"""File systems that may give a file another inode number after a remount. Their ctime is made up as well."""


@dataclass(frozen=True, slots=True)
class Root:
    name: str
    path: Path
    marker: str = ""
    """A file that has to be in it; empty for none."""

    @property
    def rules(self) -> tuple[str, ...]:
        """What is left out besides what is configured: the marker is ours."""
        return ("/" + re.sub(r"([*?\[\]\\ ])", r"\\\1", self.marker),) if self.marker else ()


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a mounted tree from the bare mount point below it, and from another disk."""

    device: int
    inode: int
    file_system: str = ""
    source: str = ""
    """A device, ``host:/export``, or what a FUSE program says."""
    file_system_id: int = 0
    """``f_fsid`` of statvfs(3); 0 where there is none."""

    def is_same_directory(self, other: Identity) -> bool:
        """As long as nothing is mounted or unmounted."""
        return (self.device, self.inode) == (other.device, other.inode)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Identity | None:
        """None for what another version wrote: as good as never recorded."""
        try:
            values = json.loads(text)
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except (ValueError, TypeError, KeyError):
            return None

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


def look(root: Root) -> tuple[RootHealth, bool]:
    """Can it be read, and is it empty? Nothing is asked of the past."""
    try:
        status = root.path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return _away("is not a directory", f"let root {root.name!r} point at a directory"), True
        with os.scandir(root.path) as entries:
            is_empty = next(entries, None) is None
        if root.marker and not os.path.lexists(root.path / root.marker):
            hint = f"mount {root.path}; or, if it is the right one: touch {root.path / root.marker}"
            return _away(f"lacks its marker {path_text(root.marker)}", hint), is_empty
        found = _identity(root.path, status)
    except FileNotFoundError:
        return _away("does not exist", f"mount or create {root.path}"), True
    except OSError as exc:
        return _away(f"cannot be read: {exc.strerror}", f"check the mount and the permissions of {root.path}"), True
    return RootHealth(RootState.PRESENT, identity=found), is_empty


def same(root: Root, before: Identity | None, known_count: Callable[[], int]) -> RootHealth:
    """Is it there, and still the directory that ``before`` was? An empty one with known files is away."""
    health, is_empty = look(root)
    found = health.identity
    if found is not None and before is not None and not found.is_same_directory(before):
        return _away(
            f"is another file system or directory than before ({found.file_system or 'unknown'})",
            f"mount {root.path} again",
        )
    return _empty(root, known) if found and is_empty and (known := known_count()) else health


def recognise(
    root: Root, recorded: Identity | None, known_count: Callable[[], int], has_sample: Callable[[], bool]
) -> RootHealth:
    """Is it there, and the tree whose files are known? ``recorded`` is what it was when it was last there.

    Devices are numbered anew at a reboot, and a disk may be replaced by its copy: then some of the known files are
    there, and ``has_sample`` says so. It is asked only when the identity is new, ``known_count`` only then or when the
    root is empty.
    """
    health, is_empty = look(root)
    found = health.identity
    if found is None or (found == recorded and not is_empty) or not (known := known_count()):
        return health
    if is_empty:
        return _empty(root, known)
    if found != recorded and not has_sample():
        what = f"holds none of the files looked for among the {known:,} known in it"
        return _away(
            f"{what}, and is {_differs(found, recorded)}: it looks like an unmounted mount point or another disk",
            f"mount {root.path}; if it was replaced on purpose: lakewatchd scan {root.name} --accept-removals",
        )
    return health


def _identity(path: Path, status: os.stat_result) -> Identity:
    mount = mounts.mount_of(path)
    try:
        number = os.statvfs(path).f_fsid
    except OSError as exc:
        if exc.errno != errno.ENOSYS:  # some FUSE programs do not know the call
            raise
        number = 0
    return Identity(status.st_dev, status.st_ino, mount.file_system, mount.source, number)


def _differs(found: Identity, recorded: Identity | None) -> str:
    if recorded is None:
        return "a tree of unknown identity"
    if (found.file_system, found.source) != (recorded.file_system, recorded.source):
        before, now = (f"{path_text(one.source)} ({one.file_system})" for one in (recorded, found))
        return f"{now} where {before} was"
    return "another file system or directory than before"


def _empty(root: Root, known: int) -> RootHealth:
    return _away(
        f"is empty, yet {known:,} files are known in it: it looks like an unmounted mount point",
        f"mount {root.path}; if the files were really deleted: lakewatchd scan {root.name} --accept-removals",
    )


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
