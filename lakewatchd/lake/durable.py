"""What makes a commit survive a power cut: the lock, the fsyncs and the ledger.

Lance itself never calls fsync (seen with strace): a manifest that was renamed into place may be empty after a
power cut, and then the whole table is unreadable. So the writer syncs all new files after a commit and writes
the table versions it synced into ``lake.json``. When the lake is opened after another boot than the one of the
ledger, versions newer than the ledger's are dropped (:func:`roll_back`): nobody was told that they exist.

Invariant: every version in the ledger is on the disk, not only in the page cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lakewatchd.errors import AlreadyRunning, LakeDamaged, SchemaTooNew
from lakewatchd.lake.schema import SCHEMA_VERSION

log = logging.getLogger(__name__)

LEDGER = "lake.json"
_LOCK = "writer.lock"
_SYNCS_AT_ONCE = 8
"""Parallel fsyncs share journal commits and flushes of the disk's cache."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known to be durable."""

    schema: int = SCHEMA_VERSION
    identity: str = ""
    """Made with the lake, at random: what lies beside it can tell whether it belongs to it."""
    boot: str = ""
    revision: int = 0
    """All rows up to this one are in the tables."""
    forgotten: int = 0
    """Withdrawals up to this revision may have been purged: a reader that is older must read everything."""
    versions: dict[str, int] = field(default_factory=dict)
    """Newest synced version of each table."""
    days: tuple[int, ...] = ()
    """The revision at the begin of each day of work, the newest last: what has been gone for long is told by them."""
    day_began: float = 0.0
    """The newest of those days, by the wall clock."""


def is_lake(directory: Path) -> bool:
    return (directory / LEDGER).is_file()


def read_ledger(directory: Path) -> Ledger:
    """Raises ``SchemaTooNew``, ``LakeDamaged`` if it makes no sense or is gone. Of any schema up to today's."""
    try:
        raw = json.loads((directory / LEDGER).read_bytes())
        schema = raw["schema"]
        if isinstance(schema, int) and schema > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"the lake has schema {schema}, this lakewatchd knows up to {SCHEMA_VERSION}",
                "install the newer lakewatchd again, or point daemon.state_dir at an empty directory",
            )
        return Ledger(**raw | {"days": tuple(map(int, raw.get("days", ())))})
    except FileNotFoundError as exc:
        if any(directory.glob("*.lance")):
            raise LakeDamaged(f"{directory / LEDGER} is missing") from exc
        return Ledger()
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise LakeDamaged(f"{directory / LEDGER} is damaged: {exc}") from exc


def write_ledger(directory: Path, ledger: Ledger, *, sync: bool = True) -> None:
    """Replace it in one step."""
    fresh = directory / f"{LEDGER}.new"
    with fresh.open("w") as file:
        json.dump(asdict(replace(ledger, boot=_boot_id())), file)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(directory / LEDGER)
    if sync:
        _fsync(directory)


def take_lock(directory: Path) -> int:
    """The open file that holds the writer's lock until it is closed, by us or by our death.

    Raises ``AlreadyRunning`` with the pid of the owner.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        pid = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise AlreadyRunning(f"process {pid} writes to {directory}", "stop it first, or use another state_dir") from exc
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError:  # a full disk: the next try must find the lock free
        os.close(fd)
        raise
    return fd


class Syncer:
    """Brings new files to the disk. Lance never changes a file once written, so a name is synced once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._synced: set[Path] = set()

    def sync(self) -> int:
        """Sync all files below the lake that were not; returns how many. Blocks for one disk flush or a few."""
        found = set(_files(self._directory))
        fresh = found - self._synced
        fresh_dirs = {parent for path in fresh for parent in (path.parent, path.parent.parent)}
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            list(pool.map(_fsync, fresh))
        for directory in sorted(fresh_dirs, key=lambda path: -len(path.parts)):
            _fsync(directory)
        self._synced = found
        return len(fresh)


def recover(directory: Path) -> Ledger:
    """The ledger, after :func:`roll_back`. A new lake gets one before its first table, in case that is torn."""
    ledger = read_ledger(directory)
    if not ledger.boot and not any(directory.glob("*.lance")):
        write_ledger(directory, ledger)
    roll_back(directory, ledger)
    return ledger


def roll_back(directory: Path, ledger: Ledger) -> dict[str, int]:
    """Drop what a power cut may have torn. Returns how many versions of which table were dropped.

    Does nothing within the boot that wrote the ledger: what the page cache holds is whole, whoever died.
    Raises ``LakeDamaged`` before it drops anything if a version of the ledger is not there: no power cut does that, but
    a lost directory does, and a copy that was made while the lake was written.
    """
    for name, version in ledger.versions.items():
        if version not in map(version_of, manifests(directory / f"{name}.lance")):
            raise LakeDamaged(f"{name}: version {version} is missing, which {LEDGER} speaks of")
    if not ledger.boot or ledger.boot == _boot_id():
        return {}
    dropped = {}
    for table in directory.glob("*.lance"):
        torn = [path for path in manifests(table) if version_of(path) > ledger.versions.get(table.stem, 0)]
        for path in torn:
            path.unlink()
        if torn:
            (table / "_versions" / "latest_version_hint.json").unlink(missing_ok=True)
            _fsync(table / "_versions")
            dropped[table.stem] = len(torn)
            log.warning("dropped unsynced versions after a power cut", extra={"table": table.stem, "count": len(torn)})
        if not any(manifests(table)):
            _remove_tree(table)
    return dropped


def bytes_below(directory: Path) -> int:
    """Bytes of all files, as ``ls`` counts them."""
    total = 0
    for path in _files(directory):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def manifests(table: Path) -> list[Path]:
    """Of all versions of a table, the newest first."""
    return sorted(path for path in (table / "_versions").glob("*.manifest") if path.stem.isdigit())


def version_of(manifest: Path) -> int:
    """Manifests are named so that the newest sorts first."""
    return (1 << 64) - 1 - int(manifest.stem)


def _files(directory: Path) -> Iterator[Path]:
    for base, _, names in os.walk(directory):
        yield from (Path(base, name) for name in names)


def _fsync(path: Path) -> None:
    """A file that cleaning up took away meanwhile needs no sync."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _remove_tree(table: Path) -> None:
    import shutil

    shutil.rmtree(table)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
