"""What was seen where: one row per file that is in the lake, for the next scan to compare with.

Lives in the queue's database so that "the job is done" and "this version is known" are one transaction.
Paths are ``str`` outside and bytes inside. Invariants: whatever ``stat`` can say comes back exactly as it was; a
directory has a digest only while what is known of it is what its listing showed, so each change of what is known
takes the digests of its directory and of those above it away, in the same transaction.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence

from lakewatchd.core.asset import Agreement, AssetId, DirectoryDigest, Occurrence, PathKey, Version
from lakewatchd.queue.database import Connection, Database

PAGE_ROWS = 1000

_PUT = """
    INSERT OR REPLACE INTO seen (root, dir, name, size, mtime_ns, inode, device, ctime_ns, calm, etag, asset_id, sample)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DELETE = "DELETE FROM seen WHERE root = ? AND dir = ? AND name = ?"
_ADOPT = """
    UPDATE seen SET inode = ?, device = ?, ctime_ns = ? WHERE root = ? AND dir = ? AND name = ?
"""
_VERSION = "size, mtime_ns, inode, device, ctime_ns, calm, etag"
_GET = f"SELECT {_VERSION}, asset_id, sample FROM seen WHERE root = ? AND dir = ? AND name = ?"
_DIRECTORY = f"SELECT name, {_VERSION}, asset_id FROM seen WHERE root = ? AND dir = ?"
# Without statistics the planner prefers a walk over all of the root to a partial index.
_BY_VERSION = f"""
    SELECT dir, name, {_VERSION}, asset_id, sample FROM seen INDEXED BY seen_inode
    WHERE root = ? AND inode = ? AND inode <> 0 AND size = ? AND mtime_ns = ? ORDER BY sample DESC, dir, name LIMIT 1
"""
_ELSEWHERE = """
    SELECT dir, name FROM seen INDEXED BY seen_inode
    WHERE root = ? AND inode = ? AND inode <> 0 AND size = ? AND mtime_ns = ? AND (dir, name) <> (?, ?) LIMIT ?
"""
_WANTED = f"""
    WITH wanted (dir, name) AS (VALUES {{}})
    SELECT dir, name, {_VERSION} FROM wanted CROSS JOIN seen USING (dir, name) WHERE root = ?
"""
_DIGESTS = "SELECT name, digest, files, ignored FROM directory WHERE root = ? AND parent = ?"
_PUT_DIGEST = """
    INSERT OR REPLACE INTO directory (root, parent, name, digest, files, ignored) VALUES (?, ?, ?, ?, ?, ?)
"""
_DROP_DIGEST = "DELETE FROM directory WHERE root = ? AND parent = ? AND name = ?"
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
        for *version, asset_id, sample in self._db.rows(_GET, (key.root, *_split(key.path))):
            return Occurrence(key, asset_id, _version(*version), sample.hex())
        return None

    def directory(self, root: str, directory: str) -> dict[str, tuple[Version, AssetId]]:
        """The files directly in ``directory`` (relative to the root, ``""`` is the root itself), by name."""
        rows = self._db.rows(_DIRECTORY, (root, os.fsencode(directory)))
        return {os.fsdecode(name): (_version(*version), asset_id) for name, *version, asset_id in rows}

    def versions(self, root: str, paths: Sequence[str]) -> dict[str, Version]:
        """What is known of these places; those of which nothing is known are left out. Costs an index seek for each."""
        found: dict[str, Version] = {}
        for at in range(0, len(paths), PAGE_ROWS):
            page = {_split(path): path for path in paths[at : at + PAGE_ROWS]}
            wanted = _WANTED.format(", ".join(["(?, ?)"] * len(page)))
            rows = self._db.rows(wanted, (*itertools.chain.from_iterable(page), root))
            found.update((page[directory, name], _version(*version)) for directory, name, *version in rows)
        return found

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
        """A place that held a file of this inode, size and time, one with a sample if there is one. It may be the same
        file under another name, or another one that was given a free inode: its sample tells."""
        numbers = (version.inode, version.size_bytes, version.mtime_ns)
        for directory, name, *found, asset_id, sample in self._db.rows(_BY_VERSION, (root, *map(_number, numbers))):
            return Occurrence(PathKey(root, _join(directory, name)), asset_id, _version(*found), sample.hex())
        return None

    def elsewhere(self, key: PathKey, version: Version, limit: int = 4) -> list[str]:
        """Other places in its root where a file of this inode, size and time is known."""
        numbers = (version.inode, version.size_bytes, version.mtime_ns)
        rows = self._db.rows(_ELSEWHERE, (key.root, *map(_number, numbers), *_split(key.path), limit))
        return [_join(directory, name) for directory, name in rows]

    def digests(self, root: str, parent: str) -> dict[str, DirectoryDigest]:
        """Of directories directly in ``parent``, by name; that of the root itself is in ``""``, by the name ``""``."""
        return {
            os.fsdecode(name): DirectoryDigest(value, files, tuple(map(tuple, json.loads(ignored))) if ignored else ())
            for name, value, files, ignored in self._db.rows(_DIGESTS, (root, os.fsencode(parent)))
        }

    def agree(self, root: str, found: Sequence[Agreement]) -> int:
        """Keeps the digests of directories that hold what is known, and what ``stat`` says of their files now where
        that alone is new (a device, a ctime that was unknown). One of which more became known meanwhile is left out.
        Returns how many were kept. Not durable: a digest saves time and nothing else.
        """
        with self._db.transaction(durable=False) as run:
            return sum(self._agree(run, root, one) for one in found)

    def _agree(self, run: Connection, root: str, one: Agreement) -> bool:
        known = {name: version for name, (version, _) in self.directory(root, one.directory).items()}
        if known != one.known or not self.subdirectories(root, one.directory) <= one.directories:
            return False
        directory = os.fsencode(one.directory)
        news = [(*_adopted(version), root, directory, os.fsencode(name)) for name, version in one.news.items()]
        run.executemany(_ADOPT, news)
        ignored = json.dumps(one.digest.ignored) if one.digest.ignored else ""
        run.execute(_PUT_DIGEST, (root, *_split(one.directory), one.digest.value, one.digest.files, ignored))
        return True

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
            run.execute("DELETE FROM directory WHERE root = ?", (root,))
            run.execute("DELETE FROM root_state WHERE root = ?", (root,))


def write(run: Connection, places: dict[PathKey, Occurrence | None]) -> None:
    """Within a transaction: what lies at each place now, None for nothing."""
    gone = [(key.root, *_split(key.path)) for key, place in places.items() if place is None]
    seen = [_row(place) for place in places.values() if place is not None]
    if gone:
        run.executemany(_DELETE, gone)
    if seen:
        run.executemany(_PUT, seen)
    if places:
        run.executemany(_DROP_DIGEST, _directories_above(places))


def _directories_above(places: Iterable[PathKey]) -> set[tuple[str, bytes, bytes]]:
    """As rows of ``directory``: a file that comes or goes may be the first or the last one below any of them."""
    found = {(key.root, b"", b"") for key in places}
    for key in places:
        directory = _split(key.path)[0]
        while directory and (row := (key.root, *_split(directory))) not in found:
            found.add(row)
            directory = row[1]
    return found


def _row(place: Occurrence) -> tuple[object, ...]:
    version = place.version
    numbers = (version.size_bytes, version.mtime_ns, version.inode, version.device, version.ctime_ns)
    facts = (version.calm, version.etag, place.asset_id, bytes.fromhex(place.sample))
    return (place.key.root, *_split(place.key.path), *map(_number, numbers), *facts)


def _adopted(version: Version) -> tuple[int | str, ...]:
    return tuple(map(_number, (version.inode, version.device, version.ctime_ns)))


def _number(value: int) -> int | str:
    """SQLite's integers have 64 bits and a sign; a hostile ``stat`` has more."""
    return value if -(1 << 63) <= value < 1 << 63 else str(value)


def _version(
    size: int | str, mtime_ns: int | str, inode: int | str, device: int | str, ctime_ns: int | str, calm: int, etag: str
) -> Version:
    return Version(int(size), int(mtime_ns), int(inode), int(device), int(ctime_ns), calm, etag)


def _split(path: str | bytes) -> tuple[bytes, bytes]:
    directory, _, name = os.fsencode(path).rpartition(b"/")
    return directory, name


def _join(directory: bytes, name: bytes) -> str:
    return os.fsdecode(directory + b"/" + name if directory else name)


def _inside(directory: str) -> bytes:
    """What the directories below ``directory`` begin with."""
    return os.fsencode(directory) + b"/" if directory else b""
