"""The lake as it was: which versions of what is served still exist, and reading the lake at one of them.

A version lasts for minutes after the next commit; one with a tag lasts for as long as its tag. Tables are versioned one
by one, so a moment is a version of gold with the places that were known when it was written. Invariant: nothing here
makes a version, or keeps one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakewatchd.lake.files import Files, dataset, files_at
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.schema import GOLD, OCCURRENCES, TableSpec


@dataclass(frozen=True, slots=True)
class Moment:
    name: str
    """A tag, or the number of the version of gold."""
    at: float
    """When it was written: seconds since the epoch."""
    gold: int
    places: int
    """Versions of the tables that a view reads."""
    is_tagged: bool
    """Somebody wants it to last."""

    @property
    def versions(self) -> Mapping[str, int]:
        return {GOLD.name: self.gold, OCCURRENCES.name: self.places}


@dataclass(frozen=True, slots=True)
class History:
    place: Path | Files

    async def moments(self) -> list[Moment]:
        """Those that can be read now, oldest first, tags last. Raises LakewatchError."""
        return await asyncio.to_thread(lambda: list(_moments(files_at(self.place))))

    def reader(self, moment: Moment) -> PastReader:
        return PastReader(self.place, moment.versions)


class PastReader(LakeReader):
    """Reads ``versions`` of these tables, for as long as they exist; of all others the newest."""

    def __init__(self, place: Path | Files, versions: Mapping[str, int]) -> None:
        super().__init__(place)
        self._versions = versions

    async def table(self, spec: TableSpec) -> Any | None:
        """At its version. Raises ``LakeDamaged`` when that is no more."""
        is_new = spec.name not in self._tables
        table = await super().table(spec)
        if is_new and table is not None and (version := self._versions.get(spec.name)) is not None:
            try:
                with translated(f"going back to version {version} of {spec.name}"):
                    await table.checkout(version)
            except BaseException:
                del self._tables[spec.name]  # it would be read as it is now
                raise
        return table


@dataclass(frozen=True, slots=True)
class _Table:
    times: Mapping[int, float]
    """When each version was written, in order of the versions."""
    tags: Mapping[str, int]

    @classmethod
    def of(cls, files: Files, spec: TableSpec) -> _Table:
        if not files.holds(f"{spec.name}.lance/_versions/"):
            return cls({}, {})
        with translated(f"listing the versions of {spec.name}"):
            newest = dataset(files, spec.name)
            times = {each["version"]: each["timestamp"].timestamp() for each in newest.versions()}
            tags = {name: int(tag["version"]) for name, tag in newest.tags.list().items()}
        return cls(dict(sorted(times.items())), {name: at for name, at in tags.items() if at in times})

    def version_at(self, time: float) -> int | None:
        """The last one that was written by then, else the first that is left."""
        by_then = [version for version, at in self.times.items() if at <= time]
        return max(by_then, default=min(self.times, default=None))


def _moments(files: Files) -> Iterator[Moment]:
    gold, places = _Table.of(files, GOLD), _Table.of(files, OCCURRENCES)
    names = {str(version): version for version in gold.times} | dict(gold.tags)
    for name, version in names.items():
        at = gold.times[version]
        known = places.tags.get(name) if name in gold.tags else None
        if (then := places.version_at(at) if known is None else known) is not None:
            yield Moment(name, at, version, then, is_tagged=name in gold.tags)
