"""What a scan asks of the past, what it may be told to do, and what it says of itself. No behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lakewatchd.core.asset import Agreement, DirectoryDigest, PathKey, Version
from lakewatchd.core.job import Priority


class Known(Protocol):
    """What was there before. Names and paths are ``str`` as :func:`os.fsdecode` makes them; "" is the root."""

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        """The files directly in ``dir``, by name."""
        ...

    def versions(self, root: str, paths: Sequence[str]) -> Mapping[str, Version]:
        """What is known of these files; those that are not known are left out."""
        ...

    def subdirectories(self, root: str, dir: str) -> set[str]:
        """The names of directories directly in ``dir`` that hold files, at any depth."""
        ...

    def under(self, root: str, dir: str) -> Iterator[PathKey]:
        """Every file below ``dir``, at any depth. May be read slowly while what is known changes."""
        ...

    def count(self, root: str) -> int: ...


class ScanMemory(Protocol):
    """What scans leave for later scans, so that they cost little; all of it may be lost. Raises ``LakewatchError``."""

    def digests(self, root: str, parent: str) -> Mapping[str, DirectoryDigest]:
        """Of directories directly in ``parent``, by name; that of the root itself is in ``""``, by the name ``""``."""
        ...

    def agree(self, root: str, found: Sequence[Agreement]) -> int:
        """Keep what was found, where what is known is still the same."""
        ...

    def elsewhere(self, root: str, path: str, version: Version) -> list[str]:
        """Some of the other places where a file of this inode, size and time is known."""
        ...

    def is_queued(self, root: str, path: str) -> bool:
        """Whether a job will look at this place by itself."""
        ...

    def identity(self, root: str) -> str | None:
        """What :meth:`keep_identity` kept."""
        ...

    def keep_identity(self, root: str, identity: str) -> None:
        """What proves that the same tree is mounted there."""
        ...


@dataclass(frozen=True, slots=True)
class ScanProblem:
    """A place that could not be read. Nothing below it was told as removed."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """How far a scan is, or how it ended."""

    root: str
    directory: str
    started_at: float
    """Seconds since the epoch."""
    duration_s: float = 0.0
    directories: int = 0
    seen: int = 0
    """Files that are not ignored."""
    added: int = 0
    modified: int = 0
    removed: int = 0
    held_back: int = 0
    """Files that vanished all at once and were not told as removed: a person has to say that it is true."""
    ignored: tuple[tuple[str, int], ...] = ()
    """Entries left out, by rule. What lies in an ignored directory is not counted."""
    problems: tuple[ScanProblem, ...] = ()
    """The first hundred."""
    problem_count: int = 0
    is_finished: bool = False

    @property
    def ignored_count(self) -> int:
        return sum(count for _, count in self.ignored)


@dataclass(frozen=True, slots=True)
class ScanOptions:
    recursive: bool = True
    enter: Callable[[str], bool] = lambda path: True
    """Asked of each subdirectory that a recursive scan would enter."""
    priority: Priority = Priority.ENRICHMENT
    """Events are at least this urgent; by themselves, new files are BACKFILL and changed ones CHANGED."""
    accept_removals: bool = False
    """A person said that missing files are meant to be missing."""
    witnessed: int = 0
    """So many deletions were heard of one by one and not told yet: that many missing files are no surprise."""
    told: int = 0
    """So many removals were told by looks at parts since all of the root was compared: they are part of one loss."""
