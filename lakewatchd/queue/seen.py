"""What was seen where: one row per file that is in the lake, for the next scan to compare with.

Lives in the queue's database so that "the job is done" and "this version is known" are one transaction.
Paths are ``str`` outside and bytes inside. Invariant: whatever ``stat`` can say comes back exactly as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from lakewatchd.core.asset import AssetId, Occurrence, PathKey, Version
from lakewatchd.queue.database import Connection, Database

PAGE_ROWS = 1000

_PUT = """
    INSERT INTO seen (root, dir, name, size, mtime_ns, inode, device, asset_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode,
        device = excluded.device, asset_id = excluded.asset_id
"""
_DELETE = "DELETE FROM seen WHERE root = ? AND dir = ? AND name = ?"
_GET = "SELECT size, mtime_ns, inode, device, asset_id FROM seen WHERE root = ? AND dir = ? AND name = ?"
_DIRECTORY = "SELECT name, size, mtime_ns, inode, device, asset_id FROM seen WHERE root = ? AND dir = ?"
_BY_VERSION = """
    SELECT dir, name, asset_id FROM seen
    WHERE root = ? AND inode = ? AND size = ? AND mtime_ns = ? AND device = ? ORDER BY dir, name LIMIT 1
"""
_NEXT_DIR = "SELECT min(dir) FROM seen WHERE root = ? AND dir >= ?"
_NEXT_ROOT = "SELECT min(root) FROM seen WHERE root > ?"
_PAGE = "SELECT dir, name FROM seen WHERE root = ? AND (dir, name) > (?, ?) ORDER BY dir, name LIMIT ?"


class SeenStore:
    """Belongs to a :class:`~lakewatchd.queue.store.QueueStore` and its thread."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, seen: Iterable[Occurrence] = (), gone: Iterable[PathKey] = ()) -> None:
        """Notes files outside of a job, in one durable transaction."""
        with self._db.transaction() as run:
            write(run, {**dict.fromkeys(gone), **{place.key: place for place in seen}})

    def get(self, key: PathKey) -> Occurrence | None:
        for *version, asset_id in self._db.rows(_GET, (key.root, *_split(key.path))):
            return Occurrence(key, asset_id, _version(*version))
        return None

    def directory(self, root: str, directory: str) -> dict[str, tuple[Version, AssetId]]:
        """The files directly in ``directory`` (relative to the root, ``""`` is the root itself), by name."""
        rows = self._db.rows(_DIRECTORY, (root, os.fsencode(directory)))
        return {os.fsdecode(name): (_version(*version), asset_id) for name, *version, asset_id in rows}

    def subdirectories(self, root: str, directory: str) -> set[str]:
        """Names of the directories in ``directory`` that hold known files, at whatever depth.

        Costs two index seeks per name, not a walk over what lies below.
        """
        prefix = _inside(directory)
        found: set[str] = set()
        at: bytes | None = prefix or b"\0"
        while at is not None:
            ((nearest,),) = self._db.rows(_NEXT_DIR, (root, at))
            if nearest is None or not nearest.startswith(prefix):
                break
            child, slash, _ = nearest[len(prefix) :].partition(b"/")
            found.add(os.fsdecode(child))
            at = prefix + child + b"0" if slash else nearest + b"\0"  # "0" follows "/": beyond all that is below
        return found

    def by_version(self, root: str, version: Version) -> Occurrence | None:
        """A place that held exactly this version: after a rename the content need not be read again."""
        numbers = (version.inode, version.size_bytes, version.mtime_ns, version.device)
        for directory, name, asset_id in self._db.rows(_BY_VERSION, (root, *map(_number, numbers))):
            return Occurrence(PathKey(root, _join(directory, name)), asset_id, version)
        return None

    def under(self, root: str, directory: str) -> Iterator[PathKey]:
        """All known files in and below ``directory``. Read in pages: what changes meanwhile may be missed."""
        own, prefix = os.fsencode(directory), _inside(directory)
        if prefix:
            yield from (PathKey(root, f"{directory}/{name}") for name in self.directory(root, directory))
        at = (prefix, b"")
        while page := self._db.rows(_PAGE, (root, *at, PAGE_ROWS)):
            for path_dir, name in page:
                if not path_dir.startswith(prefix):
                    return
                if path_dir != own or not prefix:
                    yield PathKey(root, _join(path_dir, name))
            at = page[-1]

    def count(self, root: str) -> int:
        ((files,),) = self._db.rows("SELECT count(*) FROM seen WHERE root = ?", (root,))
        return int(files)

    def roots(self) -> list[str]:
        """Names of the roots that have known files."""
        found: list[str] = []
        while (nearest := self._db.rows(_NEXT_ROOT, (found[-1] if found else "",))[0][0]) is not None:
            found.append(nearest)
        return found

    def root_state(self, root: str) -> str | None:
        """The JSON that :meth:`set_root_state` kept."""
        for (identity,) in self._db.rows("SELECT identity FROM root_state WHERE root = ?", (root,)):
            return str(identity)
        return None

    def set_root_state(self, root: str, identity: str) -> None:
        """Keeps what proves that the same file system is mounted at ``root``."""
        with self._db.transaction() as run:
            run.execute("INSERT OR REPLACE INTO root_state (root, identity) VALUES (?, ?)", (root, identity))

    def forget_root(self, root: str) -> None:
        """Removes all that is known of ``root``: it is no longer configured."""
        with self._db.transaction() as run:
            run.execute("DELETE FROM seen WHERE root = ?", (root,))
            run.execute("DELETE FROM root_state WHERE root = ?", (root,))


def write(run: Connection, places: dict[PathKey, Occurrence | None]) -> None:
    """Within a transaction: what lies at each place now, None for nothing."""
    gone = [(key.root, *_split(key.path)) for key, place in places.items() if place is None]
    seen = [_row(place) for place in places.values() if place is not None]
    if gone:
        run.executemany(_DELETE, gone)
    if seen:
        run.executemany(_PUT, seen)


def _row(place: Occurrence) -> tuple[object, ...]:
    version = place.version
    numbers = (version.size_bytes, version.mtime_ns, version.inode, version.device)
    return (place.key.root, *_split(place.key.path), *map(_number, numbers), place.asset_id)


def _number(value: int) -> int | str:
    """SQLite's integers have 64 bits and a sign; a hostile ``stat`` has more."""
    return value if -(1 << 63) <= value < 1 << 63 else str(value)


def _version(size: int | str, mtime_ns: int | str, inode: int | str, device: int | str) -> Version:
    return Version(int(size), int(mtime_ns), int(inode), int(device))


def _split(path: str) -> tuple[bytes, bytes]:
    directory, _, name = os.fsencode(path).rpartition(b"/")
    return directory, name


def _join(directory: bytes, name: bytes) -> str:
    return os.fsdecode(directory + b"/" + name if directory else name)


def _inside(directory: str) -> bytes:
    """What the directories below ``directory`` begin with."""
    return os.fsencode(directory) + b"/" if directory else b""
