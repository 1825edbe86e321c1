"""What every stage is given, and what it gives back.

Stages read the lake, ask decoders and models, and return rows. They never write, never queue and never see
a clock or a path of the machine other than through :class:`Context`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from lakewatchd.config import Config
from lakewatchd.core.asset import AssetId, Kind, Occurrence, PathKey, Version
from lakewatchd.core.clock import Clock
from lakewatchd.core.content import Content, Identity
from lakewatchd.core.job import Outcome, Priority
from lakewatchd.core.lineage import StageRun, Transform
from lakewatchd.errors import LakewatchError, NotReadable, RootAway
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, Batch, OccurrenceRow, SpanRow
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models.client import Inference
from lakewatchd.stages.zero_shot import Verdict


class Files(Protocol):
    """The originals, by place. Implemented by the daemon over the configured roots."""

    def root(self, key: PathKey) -> str:
        """The directory that ``key.path`` is opened below, without following a link on the way.

        Raises ``NotReadable`` if the place would lie outside its root.
        """
        ...

    def why_ignored(self, key: PathKey) -> str | None:
        """The rule that leaves the place out, or None."""
        ...

    async def look(self, key: PathKey) -> Version | None:
        """The version of the regular file there, None if there is none. Never follows a symbolic link.

        Raises ``RootAway`` when the root is not there: an absent file proves nothing then.
        """
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
    decoders: Decoders
    models: Inference


@dataclass(frozen=True, slots=True)
class Result:
    """What a job came to. ``batch`` is committed first; then ``error`` is raised, if there is one."""

    outcome: Outcome
    batch: Batch | None = None
    error: LakewatchError | None = None
    """A bad file keeps its place in the lake and the view (as bytes without meaning) while its job is parked."""


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
    content: Content | None = None
    """Decoded once, by the first stage that asks :func:`decode`."""
    verdict: Verdict | None = None
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
    if work.content is not None:
        return work.content
    changed: list[PathKey] = []
    unreadable: LakewatchError | None = None
    for place in work.places:
        try:
            content = await _decode_at(place, work, ctx)
        except (NotReadable, RootAway) as exc:  # says nothing of the content: a copy may do
            unreadable = unreadable or exc
            continue
        if content is not None:
            work.content = content
            return content
        changed.append(place.key)
    if unreadable is not None and not changed:
        raise unreadable
    raise ContentMoved(tuple(changed))


async def _decode_at(place: OccurrenceRow, work: Work, ctx: Context) -> Content | None:
    """None if something else lies there, or nothing. Raises ``RootAway`` if all of its root is gone."""
    identity = Identity(work.asset_id, place.version, work.kind, work.mime)
    try:
        # Without a name: what a name says belongs to the place and is read by publish, not kept with the content.
        return await ctx.decoders.describe(place.key.path, identity, "", root=ctx.files.root(place.key))
    except FileNotFoundError:
        await ctx.files.look(place.key)
        return None


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the plan: what it is called, which code and settings it is, and what it does to the work."""

    transform: Transform
    run: Callable[[Work, Context], Awaitable[None]]

    @property
    def name(self) -> str:
        return self.transform.name
