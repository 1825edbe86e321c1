"""The files of a lake, wherever they are: in a directory (:class:`Directory`), or in a bucket
(:class:`~lakewatchd.lake.bucket.BucketFiles`).

Lance reads and writes the tables by itself, given :attr:`Files.uri` and :attr:`Files.options`. What we do to its files
beside it, in a power cut's wake or a repair, goes through here. A name is relative to the lake, with ``/`` between its
parts: ``gold_assets.lance/_versions/1.manifest``. All calls block.

The invariant: what :meth:`Files.write` and :meth:`Files.sync` returned from survives a power cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lakewatchd.errors import AlreadyRunning

if TYPE_CHECKING:
    from lakewatchd.config import Config

LOCK = "writer.lock"
_SYNCS_AT_ONCE = 8
"""Parallel fsyncs share journal commits and flushes of the disk's cache."""


class Lock(Protocol):
    """The right to write, which one process has."""

    def require(self) -> None:
        """Returns while it is ours, at no cost as a rule. Raises ``FatalError`` once it is somebody else's, and
        ``LakeAway`` where that cannot be told."""
        ...

    @property
    def doubt(self) -> str:
        """Whom it does not keep out, for people; empty: it keeps everybody out."""
        ...

    def release(self) -> None: ...


class Files(Protocol):
    @property
    def uri(self) -> str:
        """Of the lake: for people, and for Lance."""
        ...

    @property
    def options(self) -> Mapping[str, str] | None:
        """What Lance has to be told to open it. Holds secrets."""
        ...

    @property
    def era(self) -> str:
        """What Lance wrote and nobody synced is whole for as long as this stays the same."""
        ...

    @property
    def writer(self) -> str:
        """Tells the ledgers of two writers apart; empty where there can be one only."""
        ...

    def lock(self) -> Lock:
        """Raises ``AlreadyRunning`` with the owner, or ``Busy`` for as long as it may have ended."""
        ...

    def sizes(self, below: str = "") -> dict[str, int]:
        """Bytes by name, of all files below a name that ends with ``/``, or of the whole lake."""
        ...

    def holds(self, below: str) -> bool:
        """Whether there is any such file."""
        ...

    def tables(self) -> list[str]:
        """Names of tables that have any file, in order."""
        ...

    def read(self, name: str) -> bytes | None:
        """None: no such file."""
        ...

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        """Replace it in one step. ``sync`` false: quicker, and not safe from a power cut."""
        ...

    def remove(self, name: str) -> None:
        """A file, or all below a name that ends with ``/``; nothing if there is none."""
        ...

    def move(self, name: str, to: str) -> None:
        """The same of a file, or of all below ``name`` where both end with ``/``. A stop half-way leaves some of many
        files at each end, and none lost."""
        ...

    def sync(self) -> int:
        """Bring to the disk what Lance wrote since the last call; returns how many files."""
        ...


def files_of(config: Config, lock_dir: Path | None = None) -> Files:
    """Where the configuration says that the lake is. Raises ``ConfigError`` for keys that cannot be read.

    ``lock_dir``: where this machine's lock of a lake in a bucket is, for who must leave nothing in the state directory.
    """
    if not config.lake.uri:
        return Directory(config.lake_dir)
    from lakewatchd.buckets.access import credentials_of
    from lakewatchd.lake.bucket import BucketFiles

    return BucketFiles(config.lake, credentials_of(config.lake), lock_dir or config.lake_dir)


def files_at(place: Path | Files) -> Files:
    """A path is a directory."""
    return Directory(place) if isinstance(place, Path) else place


def table_uri(files: Files, table: str) -> str:
    return f"{files.uri}/{table}.lance"


def dataset(files: Files, table: str, version: int | None = None) -> Any:
    """A table, opened with pylance."""
    import lance

    return lance.dataset(table_uri(files, table), version=version, storage_options=own_options(files))


def bytes_below(files: Files, table: str) -> int:
    """Bytes of all files of a table, as ``ls`` counts them."""
    return sum(files.sizes(f"{table}.lance/").values())


def own_options(files: Files) -> dict[str, str] | None:
    """A copy of :attr:`Files.options`: Lance may keep what it is given."""
    return None if files.options is None else dict(files.options)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


# --- a directory -------------------------------------------------------------------------------------------


class FileLock:
    """Held until the file is closed, by us or by our death."""

    doubt = ""

    def __init__(self, path: Path, writes_to: str) -> None:
        """Raises ``AlreadyRunning`` with the pid of the owner."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            pid = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            hint = "stop it first, or use another state_dir"
            raise AlreadyRunning(f"process {pid} writes to {writes_to}", hint) from exc
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk: the next try must find the lock free
            os.close(fd)
            raise
        self._fd = fd

    def require(self) -> None:
        """The kernel takes it from nobody who lives."""

    def release(self) -> None:
        os.close(self._fd)


class Directory:
    """Lance never changes a file once written, so a name is synced once."""

    options: Mapping[str, str] | None = None
    writer = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._synced: set[Path] = set()

    @property
    def uri(self) -> str:
        return str(self.path)

    @property
    def era(self) -> str:
        """This boot: what the page cache holds is whole, whoever died."""
        return boot_id()

    def lock(self) -> FileLock:
        return FileLock(self.path / LOCK, self.uri)

    def sizes(self, below: str = "") -> dict[str, int]:
        found = {}
        for path in self._paths(below):
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(self.path).as_posix()] = path.stat().st_size
        return found

    def holds(self, below: str) -> bool:
        return any(True for _ in self._paths(below))

    def tables(self) -> list[str]:
        return sorted(path.stem for path in self.path.glob("*.lance"))

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        path = self.path / name
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
        if sync:
            _fsync(path.parent)

    def remove(self, name: str) -> None:
        path = self.path / name
        if name.endswith("/"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path)
            return
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _fsync(path.parent)

    def move(self, name: str, to: str) -> None:
        target = self.path / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).replace(target)

    def sync(self) -> int:
        """Blocks for one disk flush or a few."""
        found = set(self._paths(""))
        fresh = found - self._synced
        fresh_dirs = {parent for path in fresh for parent in (path.parent, path.parent.parent)}
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            list(pool.map(_fsync, fresh))
        for directory in sorted(fresh_dirs, key=lambda path: -len(path.parts)):
            _fsync(directory)
        self._synced = found
        return len(fresh)

    def _paths(self, below: str) -> Iterator[Path]:
        for base, _, names in os.walk(self.path / below):
            yield from (Path(base, name) for name in names)


def _fsync(path: Path) -> None:
    """A file that cleaning up took away meanwhile needs no sync."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
