"""Looking at a root, in whatever thread may wait for it. Every call here may block.

The invariant: "nothing is there" is only said while the root itself is.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from itertools import islice

from lakewatchd.core.asset import PathKey, Version, path_text
from lakewatchd.errors import LakewatchError, NotReadable
from lakewatchd.sources import roots
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import Known, ScanMemory
from lakewatchd.sources.roots import Identity, Root, RootHealth

SAMPLE_DIRECTORIES = 16
SAMPLE_FILES = 4
"""Of each directory at the top, so that a few that were moved or deleted do not make the root a stranger."""


def sample(known: Known, root: str) -> Iterator[PathKey]:
    """Some of the known files of a root, from several of its directories."""
    for directory in ("", *islice(known.subdirectories(root, ""), SAMPLE_DIRECTORIES)):
        yield from islice(known.under(root, directory), SAMPLE_FILES)


class Place:
    """``identity`` is what the root was when it was last recognised; None before that."""

    def __init__(self, root: Root, rules: IgnoreRules, known: Known, memory: ScanMemory | None = None) -> None:
        self.root = root
        self.identity: Identity | None = None
        self.rules = rules
        self._known = known
        self._memory = memory

    @property
    def is_remote(self) -> bool:
        """Others may change files there without the kernel telling us."""
        return self.identity is not None and self.identity.is_remote

    def health(self, check_empty: bool) -> RootHealth:
        """Is it still what was recognised? ``check_empty``: an empty root is away while files are known in it."""
        return roots.same(self.root, self.identity, self._count if check_empty else lambda: 0)

    def recognise(self, accept: bool) -> RootHealth:
        """Is it the root whose files are known? ``accept``: a person says so, whatever it looks like.

        What is recognised is recorded for the next time.
        """
        recorded = self._recorded()
        health = roots.recognise(self.root, recorded, (lambda: 0) if accept else self._count, self._has_sample)
        found = health.identity
        if self._memory is not None and found is not None and found != recorded:
            with contextlib.suppress(LakewatchError):  # a full disk: there will be a next time
                self._memory.keep_identity(self.root.name, found.to_text())
        return health

    def _recorded(self) -> Identity | None:
        text = self._memory.identity(self.root.name) if self._memory is not None else None
        return Identity.from_text(text) if text else self.identity

    def _count(self) -> int:
        return self._known.count(self.root.name)

    def _has_sample(self) -> bool:
        """At least one of some known files lies at its place and has its size."""
        return any(self._is_there(key) for key in sample(self._known, self.root.name))

    def _is_there(self, key: PathKey) -> bool:
        directory, _, name = key.path.rpartition("/")
        known = self._known.directory(key.root, directory).get(name)
        try:
            found = self.version(key)
        except OSError:
            return False
        return known is not None and found is not None and found.size_bytes == known.size_bytes

    def version(self, key: PathKey) -> Version | None:
        """Of a file; None for anything else. Raises ``OSError``."""
        status = roots.lstat_inside(self.root, key.path)
        return Version.of(status) if status is not None and stat.S_ISREG(status.st_mode) else None

    def version_or_away(self, path: str) -> Version | None:
        """As :meth:`version`, but None for what a rule leaves out, by the ignore files as they are now: a job may be
        older than the first scan. Raises :class:`NotReadable`, and :class:`RootAway` if all is gone."""
        try:
            version = self.version(PathKey(self.root.name, path))
        except OSError as exc:
            self._require_root()  # a mount that died says so of each file
            raise NotReadable(f"{path_text(path)} cannot be read: {exc.strerror}") from exc
        if version is None:
            self._require_root()
        return None if version is None or self.rules.why_ignored(path) is not None else version

    def _require_root(self) -> None:
        health = self.health(check_empty=False)
        if health.is_away:
            raise health.error(self.root.name)

    def is_directory(self, path: str) -> bool:
        """Never through a link."""
        try:
            status = roots.lstat_inside(self.root, path)
        except OSError:
            return False
        return status is not None and stat.S_ISDIR(status.st_mode)

    def why_left_out(self, path: str) -> str | None:
        """By what it is, or by rule, with the ignore files as they are now. Raises :class:`NotReadable`."""
        try:
            status = roots.lstat_inside(self.root, path)
        except OSError as exc:
            raise NotReadable(f"{path_text(path)} cannot be read: {exc.strerror}") from exc
        special = self.rules.why_special(status) if status is not None else None
        return special or self.rules.why_ignored(path, status is not None and stat.S_ISDIR(status.st_mode))
