"""Known files that a scan did not find: noted on the way, looked for once more at the end, and perhaps held.

The invariant: a path comes out only if nothing lies there now, in a directory that could be read, and a loss as
large as no person deletes unseen comes out only once a person says so.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from lakewatchd.core.asset import Version
from lakewatchd.sources.coalesce import parent_of
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import Known, ScanMemory
from lakewatchd.sources.roots import Root

SPOOL_BYTES = 4 << 20

Problem = Callable[[str, OSError | str], None]


@dataclass(frozen=True, slots=True)
class RemovalGuard:
    """Removals are held when more than ``share`` of the known files and at least ``files`` are lost at once."""

    share: float = 0.2
    files: int = 50

    def allows(self, known: int) -> float:
        """So many of the ``known`` files may be lost at once."""
        return max(self.files - 1, self.share * known)


class Missing:
    """Of one scan. Notes go to the disk when they are many: a whole root may be missing."""

    def __init__(
        self,
        root: Root,
        rules: IgnoreRules,
        known: Known,
        memory: ScanMemory | None,
        add_problem: Problem,
        *,
        trust_empty: bool,
    ) -> None:
        self._root = root
        self._base = os.fspath(root.path)
        self._rules = rules
        self._known = known
        self._memory = memory
        self._add_problem = add_problem
        self._trust_empty = trust_empty
        self._is_cut = False
        self._notes = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - see close
        self._added = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115

    def close(self) -> None:
        for file in (self._notes, self._added):
            with contextlib.suppress(OSError):  # what could not be written is no matter now
                file.close()

    # --- on the way ------------------------------------------------------------------------------------------

    def note_files(self, directory: str) -> None:
        """Of the files known in ``directory``, some were not in it."""
        self._note(b"F", directory)

    def note_directory(self, directory: str) -> None:
        """``directory`` holds known files and was not found."""
        self._note(b"D", directory)

    def note_added(self, status: os.stat_result) -> None:
        """A file that was not known: it may be one of the missing, moved."""
        self._write(self._added, _likeness(status.st_size, status.st_mtime_ns))

    def _note(self, kind: bytes, path: str) -> None:
        """Kind and path, ended by NUL: the one byte that no path holds."""
        self._write(self._notes, kind + os.fsencode(path) + b"\0")

    def _write(self, file: IO[bytes], record: bytes) -> None:
        if not self._is_cut:
            self._guard(lambda: file.write(record))

    def _guard(self, write: Callable[[], object]) -> None:
        """Without room for notes nothing is told as removed: the next scan looks again."""
        try:
            write()
        except OSError as exc:
            self._is_cut = True
            self._add_problem("", f"what is missing is not told now: {exc.strerror} in {tempfile.gettempdir()}")

    # --- at the end ------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        for file in (self._notes, self._added):
            if not self._is_cut:
                self._guard(file.flush)
        return not self._is_cut and self._notes.tell() > 0

    def paths(self) -> Iterator[str]:
        """Each is looked for now. May be asked again, and then looks again."""
        for kind, path in self._read_notes():
            if self._looks_unmounted(parent_of(path) if kind == b"D" else path):
                continue
            if kind == b"D":
                yield from self._below(path)
            else:
                prefix = path + "/" if path else ""
                names = list(self._known.directory(self._root.name, path))
                yield from (prefix + name for name in names if self._is_gone(prefix + name, is_dir=False))

    def count_held(self, guard: RemovalGuard, witnessed: int, told: int = 0) -> int:
        """How many files are lost if that is more than ``guard`` lets pass, else 0.

        Not lost is what lies elsewhere now, what a queued job will find out about by itself, and what was seen to be
        deleted: the kernel told of ``witnessed`` deletions that no scan has confirmed yet. ``told`` were let pass
        before, a few at a time.
        """
        allowed = guard.allows(self._known.count(self._root.name)) + witnessed - told
        missing = sum(1 for _ in self.paths())
        if missing <= allowed:
            return 0
        lost = sum(1 for path, version in self._versions() if not self._is_explained(path, version))
        return lost if lost > allowed else 0

    def _versions(self) -> Iterator[tuple[str, Version]]:
        """The missing paths, with what was known there."""
        at, versions = "", dict[str, Version]()
        for path in self.paths():
            directory, _, name = path.rpartition("/")
            if directory != at or not versions:
                at, versions = directory, dict(self._known.directory(self._root.name, directory))
            if name in versions:
                yield path, versions[name]

    def _is_explained(self, path: str, version: Version) -> bool:
        if _likeness(version.size_bytes, version.mtime_ns) in self._likenesses():
            return True
        if self._memory is None:
            return False
        others = self._memory.elsewhere(self._root.name, path, version)
        if any(not self._is_gone(other, is_dir=False) for other in others):
            return True
        # In this order: a job that ends meanwhile takes the file from what is known.
        return self._memory.is_queued(self._root.name, path) or not self._known.versions(self._root.name, [path])

    def _likenesses(self) -> frozenset[bytes]:
        """Only asked for after a great loss, and then in memory: 60 bytes for each file that is new to the root."""
        if self._added.tell():
            self._added.seek(0)
            self._all_added = frozenset(iter(lambda: self._added.read(8), b""))
            self._added.truncate(0)
            self._added.seek(0)
        return self._all_added

    _all_added: frozenset[bytes] = frozenset()

    def _below(self, directory: str) -> Iterator[str]:
        if self._is_gone(directory, is_dir=True):
            yield from (key.path for key in self._known.under(self._root.name, directory))

    def _is_gone(self, path: str, is_dir: bool) -> bool:
        """Nothing of that kind lies there, or a rule leaves it out. When in doubt, no."""
        try:
            status = os.lstat(self._local(path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as exc:
            self._add_problem(path, exc)
            return False
        if stat.S_ISDIR(status.st_mode) != is_dir or self._rules.why_special(status) is not None:
            return True
        return self._rules.why_ignored(path, is_dir) is not None

    def _looks_unmounted(self, directory: str) -> bool:
        """An empty directory whose files lay on another file system than it does now, while it shares its parent's:
        a mount point below the root that lost its mount."""
        if not directory or self._trust_empty:
            return False
        try:
            with os.scandir(self._local(directory)) as entries:
                if next(entries, None) is not None:
                    return False
            here = os.lstat(self._local(directory)).st_dev
            above_it = os.lstat(self._local(parent_of(directory))).st_dev
        except OSError:
            return False
        before = self._known_device(directory)
        if here != above_it or before in (0, here):
            return False
        fix = f"; if its files were deleted: lakewatchd scan {self._root.name} --accept-removals"
        self._add_problem(directory, "is empty and looks like an unmounted mount point" + fix)
        return True

    def _known_device(self, directory: str) -> int:
        """The device of any file known below; 0 when there is none."""
        for key in self._known.under(self._root.name, directory):
            parent, _, name = key.path.rpartition("/")
            version = self._known.directory(self._root.name, parent).get(name)
            return version.device if version is not None else 0
        return 0

    def _local(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    def _read_notes(self) -> Iterator[tuple[bytes, str]]:
        self._notes.seek(0)
        rest = b""
        while block := self._notes.read(1 << 16):
            *records, rest = (rest + block).split(b"\0")
            for record in records:
                yield record[:1], os.fsdecode(record[1:])


def _likeness(size_bytes: int, mtime_ns: int) -> bytes:
    """A move keeps size and time, to another file system or by a tool that copies too; an inode it may not."""
    return (hash((size_bytes, mtime_ns)) & (1 << 64) - 1).to_bytes(8)
