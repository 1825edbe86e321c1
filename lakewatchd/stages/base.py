"""What every stage is given, and what it gives back.

Stages read the lake, ask for content and ask models, and return rows. They never write, never queue and never see
a clock or a path of the machine other than through :class:`Context`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from lakewatchd.config import Config
from lakewatchd.core.asset import NO_CORRECTION, AssetId, Correction, Kind, Labels, Occurrence, PathKey, Version
from lakewatchd.core.clock import Clock
from lakewatchd.core.content import DESCRIBE, Content, Identity, Sample, Sound, Task
from lakewatchd.core.job import Lane, Outcome, Priority
from lakewatchd.core.lineage import StageRun, Transform
from lakewatchd.errors import LakewatchError, NotReadable, RootAway
from lakewatchd.lake.neighbours import Neighbours
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, Batch, OccurrenceRow, SpanRow
from lakewatchd.models.client import Inference
from lakewatchd.stages.places import NOWHERE, Place
from lakewatchd.stages.zero_shot import Verdict

T = TypeVar("T")


class Files(Protocol):
    """The originals, by place: files and objects. Implemented by the daemon over the configured roots.

    What reads content raises ``FileNotFoundError`` where nothing lies any more, ``AssetError`` about the content,
    ``RootAway``, and ``TransientError`` where it is too slow or refused for now.
    """

    def why_ignored(self, key: PathKey) -> str | None:
        """The rule that leaves the place out, or None."""
        ...

    async def look(self, key: PathKey) -> Version | None:
        """The version of the regular file or the object there, None if there is none. Never follows a symbolic link.

        Raises ``RootAway`` when the root is not there: an absent file proves nothing then.
        """
        ...

    async def identify(self, key: PathKey, version: Version) -> Identity | None:
        """Read all of it and say which content it is; None if it changed meanwhile. ``version`` is what a look at it
        just found."""
        ...

    async def sample(self, key: PathKey) -> Sample | None:
        """Read a few pieces of a large file; None if it changed meanwhile, and for what no sample is taken of."""
        ...

    async def describe(self, key: PathKey, identity: Identity, task: Task = DESCRIBE) -> Content | None:
        """Decode it; None if it is no longer the version that ``identity`` was made of. Any other ``task`` may take
        long, and holds up nobody who is described."""
        ...

    async def sound(self, key: PathKey, identity: Identity, start_s: float, end_s: float) -> Sound | None:
        """What is to be heard from ``start_s`` until ``end_s``; None as for :meth:`describe`."""
        ...

    async def labels(self, key: PathKey) -> Labels | None:
        """What its bucket says of the object there now; None for a file, which has no labels."""
        ...


class Known(Protocol):
    """What was seen where, as of the last acknowledged ingest."""

    async def at(self, key: PathKey) -> Occurrence | None: ...

    async def twin(self, root: str, version: Version) -> Occurrence | None:
        """An occurrence of that inode, size and time: perhaps the same file under another name. Its sample tells."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    config: Config
    clock: Clock
    lake: LakeReader
    files: Files
    known: Known
    models: Inference
    neighbours: Neighbours | None = None
    """None: nobody looks for near-duplicates."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a job came to. ``batch`` is committed first; then ``error`` is raised, if there is one."""

    outcome: Outcome
    batch: Batch | None = None
    error: LakewatchError | None = None
    """A bad file keeps its place in the lake and the view (as bytes without meaning) while its job is parked."""


@dataclass(frozen=True, slots=True)
class Kin:
    """The relatives of one asset: :mod:`lakewatchd.stages.family`."""

    head: AssetId = ""
    """What it is a part of; itself, for a sidecar without anything beside it; empty for all others."""
    sidecars: tuple[AssetRow, ...] = ()
    """Those whose facts are told of it, the most trusted first."""
    relatives: tuple[AssetId, ...] = ()
    """All whose rows may say something else when there is news of this one."""


@dataclass(slots=True)
class Work:
    """One asset on its way through the stages. Each stage reads what it needs and replaces what it makes."""

    asset_id: AssetId
    kind: Kind
    mime: str
    name: str
    """File name of the best occurrence."""
    priority: Priority
    places: tuple[OccurrenceRow, ...]
    """Where it can be read now, best first."""
    row: AssetRow
    spans: list[SpanRow] = field(default_factory=list)
    correction: Correction = NO_CORRECTION
    content: Content | None = None
    """Decoded once, by the first stage that asks :func:`decode`."""
    verdict: Verdict | None = None
    kin: Kin | None = None
    """Found once, by the first that asks :func:`lakewatchd.stages.family.find`; always before it is published."""
    place: Place = NOWHERE
    runs: list[StageRun] = field(default_factory=list)


class ContentMoved(Exception):
    """No place holds this content any more; the events that follow will say what does."""

    def __init__(self, changed: tuple[PathKey, ...]) -> None:
        super().__init__(f"{len(changed)} places changed")
        self.changed = changed


async def decode(work: Work, ctx: Context) -> Content:
    """The decoded content, from the first place that still holds it.

    Raises :class:`ContentMoved` when none does, ``AssetError`` when it cannot be decoded, ``RootAway`` when it
    may lie where nobody can look now.
    """
    if work.content is None:
        work.content = await _from_a_place(work, ctx, ctx.files.describe)
    return work.content


async def look_closer(work: Work, ctx: Context, task: Task) -> Content:
    """What else decoding tells, for heavy stages. Raises as :func:`decode`; nothing is kept."""
    return await _from_a_place(work, ctx, lambda key, identity: ctx.files.describe(key, identity, task))


async def listen(work: Work, ctx: Context, start_s: float, end_s: float) -> Sound:
    """A stretch of what is to be heard. Raises as :func:`decode`."""
    return await _from_a_place(work, ctx, lambda key, identity: ctx.files.sound(key, identity, start_s, end_s))


async def _from_a_place(work: Work, ctx: Context, read: Callable[[PathKey, Identity], Awaitable[T | None]]) -> T:
    changed: list[PathKey] = []
    unreadable: LakewatchError | None = None
    for place in sorted(work.places, key=lambda place: bool(place.version.etag)):  # a file is nearer than an object
        try:
            found = await read(place.key, Identity(work.asset_id, place.version, work.kind, work.mime))
        except (NotReadable, RootAway) as exc:  # says nothing of the content: a copy may do
            unreadable = unreadable or exc
            continue
        except FileNotFoundError:
            await ctx.files.look(place.key)  # raises ``RootAway`` if all of its root is gone
            found = None
        if found is not None:
            return found
        changed.append(place.key)
    if unreadable is not None and not changed:
        raise unreadable
    raise ContentMoved(tuple(changed))


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the plan: what it is called, which code and settings it is, and what it does to the work."""

    transform: Transform
    run: Callable[[Work, Context], Awaitable[None]]
    lane: Lane = Lane.FAST
    """What takes long, or asks others, runs in a lane of its own, when the file can be found already."""
    is_there: Callable[[], bool] = lambda: True
    """False while what it needs is away: it is left out, and somebody sees to it once that is back."""

    @property
    def name(self) -> str:
        return self.transform.name
