"""Is every file accounted for? The disk, the queue and the lake are compared file by file.

::

    walk ─► a thousand files ─► evidence, in the order a file passes it ─► judge() ─► counts, suspects
    lake ─► places that the walk did not see ──────────────────────────────────────► suspects
    wait until all that was on disk by then was heard of ─► look at the suspects again ─► gaps

A file that changes meanwhile is no gap: what looks wrong once is looked at again, and must be wrong in the same way.
Memory is bounded by :data:`FILES_AT_ONCE` and :data:`MAX_SUSPECTS`, whatever the size of the root. Runs in a thread
of its own with connections of its own, so that indexing waits for nothing; the daemon lends only what is in no file
(:class:`Witness`), and without a daemon there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lakewatchd.config import AnyRoot, Config
from lakewatchd.core.asset import AssetId, Occurrence, PathKey, Version
from lakewatchd.core.status import FileState, Gap, RootAudit
from lakewatchd.daemon.judge import Evidence, Verdict, judge
from lakewatchd.daemon.site import Site, site_of
from lakewatchd.lake.census import Census
from lakewatchd.lake.files import files_of
from lakewatchd.lake.reader import LakeReader
from lakewatchd.queue.book import JobFact, QueueBook
from lakewatchd.stages import ingest, plan

FILES_AT_ONCE = 1000
MAX_SUSPECTS = 100_000
"""Files that look wrong are remembered up to so many; of more, the rest is counted as gaps unseen."""
LOOK = "queued for a look"


class Witness(Protocol):
    """What only a running daemon knows of a root. Asked from another thread."""

    def away(self, site: Site) -> str:
        """Why the root is not there; empty if it is."""
        ...

    def waiting(self, path: str) -> str:
        """Whether a change of the file is on its way to the queue, in words."""
        ...

    def scan_due(self, path: str) -> str:
        """Whether a scan that runs or waits will come by the file, in words."""
        ...

    def is_held(self) -> bool:
        """Whether removals wait for a person."""
        ...

    def catch_up(self) -> None:
        """Returns when all that was on disk at the call is in the queue, or after a while."""
        ...


@dataclass(frozen=True, slots=True)
class Nobody:
    """The witness of a daemon that is down: the storage itself says whether the root is there."""

    def away(self, site: Site) -> str:
        return site.why_away()

    def waiting(self, path: str) -> str:
        return ""

    def scan_due(self, path: str) -> str:
        return ""

    def is_held(self) -> bool:
        return False

    def catch_up(self) -> None:
        return


@dataclass(slots=True)
class Auditor:
    """Audits one root, once. Blocks: for a thread."""

    config: Config
    root: AnyRoot
    witness: Witness
    limit: int = 100
    """Gaps to name."""
    _counts: Counter[str] = field(default_factory=Counter)
    _suspects: dict[PathKey, tuple[Version | None, Occurrence | None]] = field(default_factory=dict)
    """What lay there at the first look, and what was known of it."""
    _gaps: list[Gap] = field(default_factory=list)
    places: list[PathKey] = field(default_factory=list)
    """Of the gaps: to be looked at."""
    assets: list[AssetId] = field(default_factory=list)
    """The same, as far as assets are known."""
    needs_scan: bool = False
    """Files are missing or cannot be read: that is for a scan to judge, which holds what looks like an accident."""
    is_stopped: bool = False
    """To be set by who does not wait for it any more: it ends soon."""

    def run(self, directory: str = "", max_files: int | None = None) -> RootAudit:
        """``directory`` audits a part, and only what is on disk or was seen there."""
        began = time.monotonic()
        with contextlib.closing(Look(self.config, self.root, self.witness)) as look:
            problem = self.witness.away(look.site)
            if problem:
                self._counts[FileState.AWAY] = look.book.seen.count(self.root.name)
            else:
                asyncio.run(self._audit(look, directory, max_files))
        took = time.monotonic() - began
        counts = {state: count for state, count in self._counts.items() if count}
        return RootAudit(self.root.name, counts, tuple(self._gaps), time.time(), took, problem)

    async def _audit(self, look: Look, directory: str, max_files: int | None) -> None:
        keys = self._on_disk(look, directory)
        for batch in _batches(itertools.islice(keys, max_files) if max_files else keys):
            self._first_look(await look.at(batch))
        if not directory and not self.is_stopped:
            async for places in look.census.places(self.root.name):
                unseen = look.on_disk({place.key: None for place in places if look.book.seen.get(place.key) is None})
                self._first_look(await look.at({key: None for key, version in unseen.items() if version is None}))
                if self.is_stopped:
                    return
        if self._suspects and not self.is_stopped:
            self.witness.catch_up()
            for batch in _batches((key, None) for key in list(self._suspects)):
                self._second_look(await look.at(look.on_disk(batch)))

    def _on_disk(self, look: Look, directory: str) -> Iterator[tuple[PathKey, Version | None]]:
        """Files there are, and files there should be."""
        for found in look.site.survey(directory):
            if self.is_stopped:
                return
            self._counts[FileState.IGNORED] += found.ignored
            for path, reason in found.unreadable:
                self._add_gap(PathKey(self.root.name, path), f"cannot be read: {reason}")
                self.needs_scan = True
            yield from ((PathKey(self.root.name, path), version) for path, version in found.files.items())

    def _first_look(self, evidence: Mapping[PathKey, Evidence]) -> None:
        for key, found in evidence.items():
            verdict = judge(found) if not found.is_nowhere else None
            if verdict is None or key in self._suspects:
                continue
            if verdict.state is not FileState.GAP:
                self._counts[verdict.state] += 1
            elif len(self._suspects) < MAX_SUSPECTS:
                self._suspects[key] = found.disk, found.known
            else:
                self._counts[FileState.GAP] += 1

    def _second_look(self, evidence: Mapping[PathKey, Evidence]) -> None:
        for key, found in evidence.items():
            if found.is_nowhere:
                continue
            verdict = judge(found)
            if verdict.state is FileState.GAP and (found.disk, found.known) != self._suspects[key]:
                # It changed while we looked: somebody is at it. It may have come and gone again, which only what is
                # known of it tells.
                verdict = Verdict(FileState.SETTLING)
            if verdict.state is FileState.GAP:
                self._add_gap(key, verdict.detail)
                self._have_mended(key, found)
            else:
                self._counts[verdict.state] += 1

    def _add_gap(self, key: PathKey, problem: str) -> None:
        self._counts[FileState.GAP] += 1
        if len(self._gaps) < self.limit:
            self._gaps.append(Gap(key.text, problem))

    def _have_mended(self, key: PathKey, found: Evidence) -> None:
        if found.disk is None and found.known is not None:
            self.needs_scan = True
        else:
            self.places.append(key)
            self.assets += [found.known.asset_id] if found.known else []


class Look:
    """Gathers evidence about places, in the order a file passes them. Owns its connections."""

    def __init__(self, config: Config, root: AnyRoot, witness: Witness) -> None:
        self.book = QueueBook(config.queue_path)
        self.site = site_of(config, root, self.book.seen)
        self._reader = LakeReader(files_of(config))
        self.census = Census(self._reader)
        self._witness = witness

    def close(self) -> None:
        self.book.close()
        self._reader.close()

    def on_disk(self, keys: Mapping[PathKey, Version | None]) -> dict[PathKey, Version | None]:
        """What lies there now, as the walk would have it."""
        return {key: self.site.version(key.path) for key in keys}

    async def at(self, disk: Mapping[PathKey, Version | None]) -> dict[PathKey, Evidence]:
        """Evidence about all of these places."""
        if not disk:
            return {}
        waiting = {key: self._witness.waiting(key.path) for key in disk}
        due = {key: self._witness.scan_due(key.path) for key in disk}
        # Once more: of what a scan found, the young has to wait.
        waiting = {key: told or self._witness.waiting(key.path) for key, told in waiting.items()}
        by_id = {key.occurrence_id: key for key in disk}
        ingests = self._jobs(ingest.NAME, by_id)
        known = self._known(disk)
        assets = {key: place.asset_id for key, place in known.items()}
        bronze = await self.census.at(disk)
        indexes = self._jobs(plan.INDEX, set(assets.values()))
        gold = await self.census.served(set(assets.values()))
        is_held = self._witness.is_held()
        return {
            by_id[id_]: Evidence(
                disk[by_id[id_]],
                waiting[by_id[id_]],
                ingests.get(id_),
                known.get(by_id[id_]),
                tuple(bronze.get(by_id[id_], ())),
                indexes.get(assets.get(by_id[id_], "")),
                gold.get(assets.get(by_id[id_], ""), 0),
                due[by_id[id_]],
                is_held,
                self.site.has_stable_inodes,
            )
            for id_ in by_id
        }

    def _jobs(self, stage: str, keys: Collection[str]) -> dict[str, JobFact]:
        return self.book.jobs(stage, keys)

    def _known(self, keys: Iterable[PathKey]) -> dict[PathKey, Occurrence]:
        return {key: place for key in keys if (place := self.book.seen.get(key)) is not None}


def _batches(
    keys: Iterable[tuple[PathKey, Version | None]],
) -> Iterator[dict[PathKey, Version | None]]:
    rest = iter(keys)
    while batch := dict(itertools.islice(rest, FILES_AT_ONCE)):
        yield batch


async def orphans(reader: LakeReader, book: QueueBook) -> list[tuple[AssetId, str]]:
    """Assets that are served and that no place holds, each with the place it speaks of."""
    census, found = Census(reader), list[tuple[AssetId, str]]()
    async for rows in census.gold():
        living = await census.living({row.asset_id for row in rows})
        dead = {row.asset_id: row.key for row in rows if not living[row.asset_id]}
        jobs = book.jobs(plan.INDEX, dead)
        found += [(asset_id, key.text) for asset_id, key in dead.items() if asset_id not in jobs]
        if len(found) >= MAX_SUSPECTS:
            break
    return found


def orphans_of(config: Config) -> list[tuple[AssetId, str]]:
    """The same, looked at twice. Blocks: for a thread."""

    async def look() -> list[tuple[AssetId, str]]:
        with contextlib.closing(LakeReader(files_of(config))) as reader:
            return await orphans(reader, book)

    with contextlib.closing(QueueBook(config.queue_path)) as book:
        first = asyncio.run(look())
        second = dict(asyncio.run(look())) if first else {}
        return [(asset_id, place) for asset_id, place in first if asset_id in second]
