"""Looking at a root, in whatever thread may wait for it. Every call here may block.

The invariant: "nothing is there" is only said while the root itself is.
"""

from __future__ import annotations

import stat

from lakewatchd.core.asset import PathKey, Version, path_text
from lakewatchd.errors import NotReadable
from lakewatchd.sources import roots
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.known import Known
from lakewatchd.sources.roots import Identity, Root, RootHealth


class Place:
    """``identity`` is what the root was when it was first seen; None before that."""

    def __init__(self, root: Root, rules: IgnoreRules, known: Known) -> None:
        self.root = root
        self.identity: Identity | None = None
        self._rules = rules
        self._known = known

    def health(self, check_empty: bool) -> RootHealth:
        """``check_empty``: an empty root is away while files are known in it."""
        count = (lambda: self._known.count(self.root.name)) if check_empty else (lambda: 0)
        return roots.look(self.root, self.identity, count)

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
            raise NotReadable(f"{path_text(path)} cannot be read: {exc.strerror}") from exc
        if version is None and (health := self.health(check_empty=False)).is_away:
            raise health.error(self.root.name)
        return None if version is None or self._rules.why_ignored(path) is not None else version

    def why_left_out(self, path: str) -> str | None:
        """By what it is, or by rule, with the ignore files as they are now. Raises :class:`NotReadable`."""
        try:
            status = roots.lstat_inside(self.root, path)
        except OSError as exc:
            raise NotReadable(f"{path_text(path)} cannot be read: {exc.strerror}") from exc
        special = self._rules.why_special(status) if status is not None else None
        return special or self._rules.why_ignored(path, status is not None and stat.S_ISDIR(status.st_mode))
