"""What lies where in a root now, for audits and explanations: a directory tree or a bucket, looked at in the same way.

A site compares with what was seen, tells nobody and changes nothing. It blocks as long as the storage does: for a
thread of its own, with connections of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.keys import key_of
from lakewatchd.config import AnyRoot, BucketConfig, Config, RootConfig, place_of, watch_of
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.daemon.wiring import own_places
from lakewatchd.errors import LakewatchError
from lakewatchd.queue.seen import SeenStore
from lakewatchd.sources import roots
from lakewatchd.sources.bucket.compare import version_of
from lakewatchd.sources.bucket.listed import Listed
from lakewatchd.sources.bucket.names import Names
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.place import Place
from lakewatchd.sources.roots import Root
from lakewatchd.sources.survey import Directory, survey


@dataclass(slots=True)
class Found:
    """A part of what there is."""

    files: dict[str, Version | None] = field(default_factory=dict)
    """By path; None for one that was seen before and is not there. What a rule leaves out is not among them."""
    ignored: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Paths and reasons."""


class Site(Protocol):
    """Of a bucket, all raise what its client raises."""

    def why_away(self) -> str:
        """Why the root is not there; empty if it is. For when no daemon says so."""

    def survey(self, directory: str = "") -> Iterator[Found]:
        """All files there are below it, and all there should be, each once."""

    def version(self, path: str) -> Version | None:
        """What lies there, as :meth:`survey` has it; None for nothing and for what is left out."""

    def why_left_out(self, path: str) -> str | None:
        """By rule or by what it is. Raises :class:`~lakewatchd.errors.NotReadable`."""

    def is_directory(self, path: str) -> bool: ...

    @property
    def has_stable_inodes(self) -> bool: ...


def site_of(config: Config, root: AnyRoot, seen: SeenStore) -> Site:
    return BucketSite(config, root, seen) if isinstance(root, BucketConfig) else DirectorySite(config, root, seen)


def place_text(root: AnyRoot, path: str) -> str:
    """Where a file is, for people: a path, or ``s3://bucket/key``."""
    if isinstance(root, BucketConfig):
        return place_of(root) + (key_of(path) if path else "")
    return str(root.path / path)


class DirectorySite:
    def __init__(self, config: Config, root: RootConfig, seen: SeenStore) -> None:
        there = Root(root.name, root.path, root.marker)
        patterns = (*config.watch.ignore, *there.rules)
        self._rules = IgnoreRules(root.path, patterns, config.watch.ignore_file, own_places(config))
        self._place = Place(there, self._rules, _Seen(seen))
        self._seen = seen

    def why_away(self) -> str:
        return self._place.recognise(accept=False).reason

    def survey(self, directory: str = "") -> Iterator[Found]:
        for here in survey(self._place.root, self._rules, directory):
            unreadable = {path for path, _ in here.unreadable}
            missing = self._missing(here) if here.path not in unreadable else ()
            yield Found({path: None for path in missing if path not in unreadable}, here.ignored, list(here.unreadable))
            prefix = f"{here.path}/" if here.path else ""
            yield Found({prefix + name: version for name, version in here.files.items()})

    def version(self, path: str) -> Version | None:
        try:
            version = self._place.version(PathKey(self._place.root.name, path))
        except OSError:
            return None
        return None if version is None or self._rules.why_ignored(path) is not None else version

    def why_left_out(self, path: str) -> str | None:
        return self._place.why_left_out(path)

    def is_directory(self, path: str) -> bool:
        return self._place.is_directory(path)

    @cached_property
    def has_stable_inodes(self) -> bool:
        """Asked of a root that is there: another one may not answer."""
        identity = roots.look(self._place.root)[0].identity
        return identity is None or identity.has_stable_inodes

    def _missing(self, here: Directory) -> Iterator[str]:
        """Paths that are known in a directory that was read, and that are not there."""
        root, prefix = self._place.root.name, f"{here.path}/" if here.path else ""
        names = self._seen.directory(root, here.path).keys() - here.files.keys()
        yield from (prefix + name for name in sorted(names))
        for name in sorted(self._seen.subdirectories(root, here.path) - here.subdirectories):
            yield from (key.path for key in self._seen.under(root, prefix + name))


class BucketSite:
    """Versions are those of a listing: without a mark of the labels."""

    has_stable_inodes = True

    def __init__(self, config: Config, root: BucketConfig, seen: SeenStore) -> None:
        self._root = root.name
        self._bucket = Bucket(root, config.objects)
        self._names = Names(root, watch_of(root, config.watch))
        self._seen = seen

    def why_away(self) -> str:
        try:
            self._bucket.require()
        except LakewatchError as exc:
            return exc.message
        return ""

    def survey(self, directory: str = "") -> Iterator[Found]:
        listed = Listed()
        for page in self._bucket.pages(prefix=self._names.prefix_of(directory)):
            found = Found()
            for info in page:
                path = self._names.path(info.key)
                if path is None:
                    continue
                if self._names.why_left_out(path, info.key, info.size_bytes) is None:
                    found.files[path] = version_of(info)
                else:
                    found.ignored += 1
            listed.add(found.files)
            yield found
        known = (key.path for key in self._seen.under(self._root, directory))
        yield from (Found(dict.fromkeys(paths)) for paths in listed.missing(known))

    def version(self, path: str) -> Version | None:
        key = self._names.key(path)
        info = self._bucket.head(key)
        is_out = info is None or self._names.why_left_out(path, key, info.size_bytes) is not None
        return None if info is None or is_out else version_of(info)

    def why_left_out(self, path: str) -> str | None:
        if not path:
            return None
        why = self._names.why_ignored(path)
        if why is not None:
            return why
        info = self._bucket.head(self._names.key(path))
        return self._names.why_left_out(path, info.key, info.size_bytes) if info is not None else None

    def is_directory(self, path: str) -> bool:
        """No object lies there, and some lie below it."""
        if not path:
            return True
        if self._bucket.head(self._names.key(path)) is not None:
            return False
        return any(self._bucket.pages(prefix=self._names.prefix_of(path)))


class _Seen:
    """``sources.known.Known`` over what was seen: it tells a bare mount point from the root."""

    def __init__(self, seen: SeenStore) -> None:
        self._seen = seen
        self.subdirectories, self.under, self.count = seen.subdirectories, seen.under, seen.count
        self.versions = seen.versions

    def directory(self, root: str, dir: str) -> Mapping[str, Version]:
        return {name: version for name, (version, _) in self._seen.directory(root, dir).items()}
