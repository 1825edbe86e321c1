"""Why a path is, or is not, in the view, and what happens next: by the same evidence that an audit judges by.

Blocks, for a thread of its own. With a daemon or without: what only a daemon knows comes from a
:class:`~lakewatchd.daemon.audit.Witness`. Every answer has a state, a reason, what is next and what a person can do.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lakewatchd.buckets.keys import key_of, path_of
from lakewatchd.config import AnyRoot, BucketConfig, Config, RootConfig, place_of
from lakewatchd.core.asset import AssetId, PathKey, path_text, text_path
from lakewatchd.core.job import JobState, Priority
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.status import Explanation, Fact, FileState, duration_text
from lakewatchd.daemon import portrait
from lakewatchd.daemon.audit import Auditor, Look, Witness
from lakewatchd.daemon.judge import Evidence, judge
from lakewatchd.daemon.site import place_text
from lakewatchd.errors import LakewatchError, NotReadable
from lakewatchd.lake.files import files_of
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.queue.book import JobFact
from lakewatchd.queue.retry import PASSING
from lakewatchd.views.mounted.catalog import Catalog, Rows
from lakewatchd.views.mounted.folders import placements

DIRECTORY_FILES = 20_000
"""A directory is summed up by so many of its files at most."""
PLACES_SHOWN = 5
OUTSIDE, DIRECTORY, NOTHING = "outside", "directory", "nothing"


@dataclass(frozen=True, slots=True)
class Case:
    """A question: which path, and who can tell of its root."""

    config: Config
    key: PathKey
    root: AnyRoot
    witness: Witness
    watching: str = ""
    """How changes of the root are noticed."""
    paused: str = ""
    """Why nothing is worked on, empty when the workers run."""

    @property
    def where(self) -> str:
        """For people: a path, or ``s3://bucket/key``."""
        return path_text(place_text(self.root, self.key.path))

    def told(
        self, state: str, verdict: str, facts: Sequence[Fact] = (), *, next: str = "", hint: str = ""
    ) -> Explanation:
        first = [Fact("place", self.key.text)]
        if self.watching:
            first.append(Fact("root", f"{self.root.name} at {path_text(place_of(self.root))}: {self.watching}"))
        return Explanation(self.where, (*first, *facts), verdict, state, next, hint)


def find(config: Config, text: str) -> tuple[AnyRoot, PathKey] | Explanation:
    """The root that holds the place, and the path in it; or that none does, and which comes nearest.

    ``text`` is a whole path, ``s3://bucket/key`` or ``root:path``.
    """
    if text.startswith("s3://"):
        return _find_object(config, text)
    if not text.startswith("/"):
        name, _, inside = text.partition(":")
        return _find_root(config, name, text_path(inside))
    path = Path(os.path.normpath(text_path(text)))
    for root in config.roots:
        if path.is_relative_to(root.path):
            inside = str(path.relative_to(root.path))
            return root, PathKey(root.name, "" if inside == "." else inside)
    near = max(config.roots, key=lambda root: len(os.path.commonpath([root.path, path])), default=None)
    hint = f"the nearest root is {near.name} at {path_text(str(near.path))}" if near else _no_directory(config)
    if path.is_relative_to(config.view.mountpoint):
        hint = "name a file of the view, or its original; if the view is not mounted: lakewatchd mount"
        return Explanation(path_text(str(path)), (), "is no file that the view shows", OUTSIDE, "nothing", hint)
    taken = (*(root.path for root in config.roots), config.daemon.state_dir, config.view.mountpoint)
    if not any(place.is_relative_to(path.parent) for place in taken):
        hint += f"; to watch it too, add a [[root]] with path = {path_text(str(path.parent))!r} to the configuration"
    return Explanation(path_text(str(path)), (), "lies in no root: it is not watched", OUTSIDE, "nothing", hint)


def place_of_text(config: Config, text: str) -> PathKey:
    """The place that ``text`` names. Raises :class:`LakewatchError` if no root holds it."""
    found = find(config, text)
    if isinstance(found, Explanation):
        raise LakewatchError(f"{found.path} {found.verdict}", found.hint)
    return found[1]


def _no_directory(config: Config) -> str:
    return f"no directory is watched, only {_buckets(config)}" if config.buckets else "no root is configured"


def _buckets(config: Config) -> str:
    return ", ".join(path_text(place_of(root)) for root in config.buckets)


def _find_object(config: Config, text: str) -> tuple[AnyRoot, PathKey] | Explanation:
    bucket, _, key = text_path(text.removeprefix("s3://")).partition("/")
    for root in config.buckets:
        if root.bucket == bucket and key.startswith(root.prefix):
            inside = key.removeprefix(root.prefix).removesuffix("/")
            return root, PathKey(root.name, path_of(inside) if inside else "")
    hint = f"buckets that are watched: {_buckets(config)}" if config.buckets else "no bucket is configured"
    return Explanation(text, (), "lies in no root: it is not watched", OUTSIDE, "nothing", hint)


def _find_root(config: Config, name: str, inside: str) -> tuple[AnyRoot, PathKey] | Explanation:
    root = next((root for root in config.all_roots if root.name == name), None)
    if isinstance(root, RootConfig):
        return find(config, path_text(str(root.path / inside.lstrip("/"))))
    if root is not None:
        return root, PathKey(name, path_of(key_of(inside)) if inside else "")
    hint = did_you_mean(name, (root.name for root in config.all_roots), "roots")
    return Explanation(f"{name}:{path_text(inside)}", (), f"there is no root {name!r}", OUTSIDE, "nothing", hint)


def explain(case: Case) -> Explanation:
    """All of it. Raises what the queue's and the lake's files may raise."""
    with contextlib.closing(Look(case.config, case.root, case.witness)) as look:
        away = case.witness.away(look.site)
        if away:
            return asyncio.run(_away(case, look, away))
        try:
            ignored = look.site.why_left_out(case.key.path)
        except NotReadable as exc:
            fix = f"let the daemon's user read it; what was known of it is kept: {exc.hint or ''}"
            return case.told(FileState.GAP, exc.message, next="it is tried again at each rescan", hint=fix)
        if ignored:
            return _ignored(case, ignored)
        if look.site.is_directory(case.key.path):
            return _directory(case)
        return asyncio.run(_file(case, look))


async def _away(case: Case, look: Look, why: str) -> Explanation:
    known = look.book.seen.get(case.key)
    facts = [Fact("root", f"{case.root.name} is away: {why}")]
    if known is None:
        return case.told(NOTHING, "not known, and its root is not there to look", facts, next=_WHEN_BACK)
    told = await _with_asset(case, look, facts, known.asset_id)
    return replace(told, state=FileState.AWAY, verdict="known, and its root is away: it is kept as it was",
                   next=_WHEN_BACK, hint=_how_back(case.root))  # fmt: skip


def _how_back(root: AnyRoot) -> str:
    if isinstance(root, BucketConfig):
        return f"check the server at {root.endpoint}; lakewatchd check"
    return f"mount {path_text(str(root.path))}"


_WHEN_BACK = "when the root is back, it is compared with what is known, and only real differences are processed"


def _ignored(case: Case, rule: str) -> Explanation:
    verdict = "left out: it is in no table and in no view"
    after = "nothing, as long as this holds; a change of the rule is found by the next rescan"
    return case.told(FileState.IGNORED, verdict, [Fact("ignored by", rule)], next=after, hint=_ignore_hint(case, rule))


def _ignore_hint(case: Case, rule: str) -> str:
    if rule.startswith("config: "):
        fix = "take the pattern out of watch.ignore"
        in_tree = isinstance(case.root, RootConfig)
        return f"{fix}, or bring it back in {case.config.watch.ignore_file}: !NAME" if in_tree else fix
    if rule.startswith(case.config.watch.ignore_file):
        return "take the line out of that file"
    return ""


def _directory(case: Case) -> Explanation:
    audit = Auditor(case.config, case.root, case.witness, limit=PLACES_SHOWN).run(case.key.path, DIRECTORY_FILES)
    count = audit.files
    facts = [Fact(state, f"{audit.counts[state]:,}") for state in FileState if audit.counts.get(state)]
    facts += [Fact("gap", f"{gap.path}: {gap.problem}") for gap in audit.gaps]
    more = f" (only the first {DIRECTORY_FILES:,} were looked at)" if count >= DIRECTORY_FILES else ""
    verdict = f"a directory with {count:,} files in and below it{more}"
    hint = f"lakewatchd audit {case.root.name}" if audit.gap_count else ""
    return case.told(DIRECTORY, verdict, facts, hint=hint)


async def _file(case: Case, look: Look) -> Explanation:
    found = (await look.at(look.on_disk({case.key: None})))[case.key]
    facts = list(_disk_facts(found))
    with contextlib.closing(LakeReader(files_of(case.config))) as lake:
        row = await lake.occurrence(case.key)
    if found.is_nowhere and not found.waiting:
        return _nothing(case, facts, row)
    verdict = judge(found)
    facts += _job_facts(found)
    told = await _with_asset(case, look, facts, found.known.asset_id if found.known else None)
    state, after = _ANSWERS[verdict.state], _next(case, found, verdict.state)
    text = state.format(detail=verdict.detail, root=case.root.name)
    if verdict.state is FileState.PARKED and found.known and found.gold:
        text += "; it is shown in the view, with what is known without its content"
    if _is_only_deeper(found, verdict.state):
        text = f"{_ANSWERS[FileState.INDEXED]}; the rest of it is read in the background"
    return replace(told, state=verdict.state, verdict=text, next=after, hint=_hint(case, found, verdict.state))


_ANSWERS = {
    FileState.INDEXED: "indexed, and shown in the view",
    FileState.QUEUED: "queued: {detail}",
    FileState.SETTLING: "settling: {detail}",
    FileState.PARKED: "parked: {detail}",
    FileState.HELD: "missing, with so many other files that it looks like an accident: it is kept",
    FileState.GAP: "something was lost: {detail}",
}


def _is_only_deeper(found: Evidence, state: FileState) -> bool:
    """It was indexed before, and what is queued is what takes long."""
    job = found.index
    is_late = job is not None and job.priority is Priority.ENRICHMENT
    return state is FileState.QUEUED and is_late and found.ingest is None and found.gold == 1


def _nothing(case: Case, facts: list[Fact], row: OccurrenceRow | None) -> Explanation:
    if row is not None and row.presence is Presence.GONE:
        facts.append(Fact("last seen", f"{_when(row.last_seen)}, as asset {row.asset_id}"))
        return case.told(NOTHING, "it was here once and is gone", facts, next=_KEPT.format(_days(case)))
    hint = "check the spelling: upper and lower case count"
    return case.told(NOTHING, "there is no such file, and none is known", facts, hint=hint)


_KEPT = "what was derived from it is kept for {} days: if it comes back, nothing is computed twice"


def _days(case: Case) -> str:
    return f"{case.config.lake.keep_gone_days:g}"


def _next(case: Case, found: Evidence, state: FileState) -> str:
    job = found.ingest or found.index
    if state is FileState.QUEUED and case.paused:
        return f"nothing while the queue rests: {case.paused}"
    match state:
        case FileState.INDEXED:
            return "nothing until it changes; each rescan compares it with what is there"
        case FileState.QUEUED if job is not None and job.state is JobState.LEASED:
            return "a worker has it in hand"
        case FileState.QUEUED if job is not None and job.not_before:
            return f"it is tried again in {duration_text(job.not_before - time.time())}"
        case FileState.QUEUED:
            return "a worker takes it up when its turn comes" if job else "the scan finds it"
        case FileState.SETTLING:
            return "it is queued as soon as it is quiet"
        case FileState.PARKED if job is not None and job.reason in PASSING:
            return "it is tried again by itself, within a day, and when the file changes"
        case FileState.PARKED:
            return "nothing until the file changes, or a new version or setting may read it"
        case FileState.HELD:
            return "nothing until you say that it was deleted, or it comes back"
    return "the next rescan, or `lakewatchd audit`, queues it for a look"


def _hint(case: Case, found: Evidence, state: FileState) -> str:
    job = found.ingest or found.index
    match state:
        case FileState.PARKED if job is not None:
            return job.hint or f"lakewatchd queue retry {case.where}"
        case FileState.QUEUED if case.paused:
            return "lakewatchd queue resume" if "person" in case.paused else ""
        case FileState.HELD:
            return f"lakewatchd scan {case.root.name} --accept-removals"
        case FileState.GAP:
            return f"lakewatchd audit {case.root.name}"
    return ""


# --- facts -------------------------------------------------------------------------------------------------


def _disk_facts(found: Evidence) -> Iterator[Fact]:
    if found.disk is None:
        yield Fact("there now", "nothing")
    else:
        yield Fact("there now", f"{found.disk.size_bytes:,} bytes, changed {_when(found.disk.mtime_ns / 1e9)}")
    if found.known is not None and found.disk is not None and not found.known.version.is_like(found.disk):
        known = found.known.version
        yield Fact("known as", f"{known.size_bytes:,} bytes, changed {_when(known.mtime_ns / 1e9)}")


def _job_facts(found: Evidence) -> Iterator[Fact]:
    for stage, job in (("ingest", found.ingest), ("index", found.index)):
        if job is not None:
            yield Fact("parked" if job.is_parked else "job", _job_text(stage, job))
            if job.message:
                yield Fact("because", f"{job.reason}: {job.message}")


def _job_text(stage: str, job: JobFact) -> str:
    since = job.parked_at if job.is_parked and job.parked_at else job.queued_at
    tries = f", {job.attempts} tries failed" if job.attempts > 1 else ""
    return f"{stage}, {job.priority.name.lower()}, {job.state.value} since {_when(since)}{tries}"


async def _with_asset(case: Case, look: Look, facts: list[Fact], asset_id: AssetId | None) -> Explanation:
    """What the lake knows of the content that lies there, and where the view shows it."""
    if asset_id is None:
        return case.told("", "", facts)
    with contextlib.closing(LakeReader(files_of(case.config))) as lake:
        rows = [row for row in await lake.occurrences_of(asset_id) if row.presence is not Presence.GONE]
        gold, asset = await lake.gold(asset_id), await lake.asset(asset_id)
        lacks = await lake.lacks(asset) if asset is not None else {}
        read = await portrait.pieces(lake, asset_id)
    facts.append(Fact("asset", asset_id))
    for row in rows:
        facts += _place_facts(row) if row.key == case.key else ()
    if asset is not None:
        facts += portrait.of_content(asset)
    if gold is not None:
        facts += portrait.as_served(gold)
        facts += _standing(gold)
    facts += read
    others = [row.key.text for row in rows if row.key != case.key]
    if others:
        more = f", and {len(others) - PLACES_SHOWN:,} more" if len(others) > PLACES_SHOWN else ""
        facts.append(Fact("same content", ", ".join(others[:PLACES_SHOWN]) + more))
    facts += [Fact("not all of it", text) for text in lacks.values()]
    if asset is not None:
        facts += [Fact(f"{stage} by", made) for stage, made in sorted(asset.transforms.items()) if made]
    told = case.told("", "", facts)
    return replace(told, asset=asset_id, view=tuple(_view(case.key, rows, gold)))


def _place_facts(row: OccurrenceRow) -> Iterator[Fact]:
    yield Fact("seen", f"first {_when(row.first_seen)}, read {_when(row.last_seen)}")
    told = {
        "etag": row.version.etag,
        "version": row.labels.version_id,
        "put as": row.labels.content_type,
        "object tags": ", ".join(f"{name}={value}" for name, value in row.labels.tags),
        "metadata": ", ".join(f"{name}={value}" for name, value in row.labels.metadata),
    }
    yield from (Fact(name, path_text(text)) for name, text in told.items() if text)


def _standing(gold: GoldRow) -> Iterator[Fact]:
    """Why it is shown in some folders only."""
    if gold.family:
        yield Fact("belongs to", "another file, whose facts it adds to: shown where it lies, and nowhere else")
    elif gold.duplicate_group and not gold.is_representative:
        yield Fact("duplicate", "a better one stands for it in by-tag, by-date and the like: lakewatchd dups")
    elif gold.duplicate_group:
        yield Fact("duplicates", "it stands for others that are nearly the same: lakewatchd dups")


def _view(key: PathKey, rows: Sequence[OccurrenceRow], gold: GoldRow | None) -> Iterator[str]:
    """Where the view shows this place, or the asset by its best place; relative to the mountpoint."""
    catalog = Catalog()
    catalog.apply(Rows(occurrences=rows, gold=[gold] if gold is not None else []))
    for asset in catalog.assets.values():
        for folder, file, _ in placements(asset.state):
            if (file.path == key.path and file.root == key.root) or folder[:1] not in ((b"by-root",), (b"duplicates",)):
                yield path_text(os.fsdecode(b"/".join((*folder, file.name))))


def _when(seconds: float) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"  # noqa: DTZ006 - for a person's clock
    except (OverflowError, ValueError, OSError):
        return "at no date a calendar has"
