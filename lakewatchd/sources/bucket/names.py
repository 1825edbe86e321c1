"""Keys of one bucket as paths of a root, and which rule leaves one out. Pure.

The rules are those of ``[watch] ignore``; a bucket has no ignore files, as reading them would take a request for each
"directory" of each key. The invariant: a path has one key and the other way round, whatever the key is.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lakewatchd.buckets import keys
from lakewatchd.config import BucketConfig, WatchConfig
from lakewatchd.sources.ignore import DirectoryRules, IgnoreRules

CACHED_DIRECTORIES = 1024


class Names:
    """Safe from any thread."""

    def __init__(self, settings: BucketConfig, watch: WatchConfig) -> None:
        self._prefix = settings.prefix
        self._rules = IgnoreRules(Path("/"), watch.ignore, "")
        self._within = lru_cache(CACHED_DIRECTORIES)(self._rules_within)

    def path(self, key: str) -> str | None:
        """None for a key outside of the prefix."""
        below = key.removeprefix(self._prefix) if key.startswith(self._prefix) else ""
        return keys.path_of(below) if below else None

    def key(self, path: str) -> str:
        return self._prefix + keys.key_of(path)

    def prefix_of(self, directory: str) -> str:
        """What all keys below a directory begin with; "" is the root."""
        return self.key(directory) + "/" if directory else self._prefix

    def why_ignored(self, path: str) -> str | None:
        """The rule that leaves it out, or None."""
        directory, _, name = path.rpartition("/")
        rules = self._within(directory)
        return rules if isinstance(rules, str) else rules.why(name, is_dir=False)

    def why_left_out(self, path: str, key: str, size_bytes: int) -> str | None:
        """By rule, or by what it is."""
        return keys.why_left_out(key, size_bytes) or self.why_ignored(path)

    def _rules_within(self, directory: str) -> DirectoryRules | str:
        """For what lies in it; or the rule that leaves out all of it."""
        why = self._rules.why_ignored(directory, is_dir=True, cached=True)
        return why if why is not None else self._rules.within(directory, cached=True)
