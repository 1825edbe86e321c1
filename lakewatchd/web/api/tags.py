"""``/api/tags``: the tags there are; and what a person says of those of one asset.

A correction is the daemon's to keep. The invariant: what ``undo`` of an answer says, posted as it is, leaves exactly
what a person had said before.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lakewatchd.core.asset import Correction, Tag
from lakewatchd.lake.rows import GoldRow
from lakewatchd.web.api.answers import answer, refusal
from lakewatchd.web.api.filters import AnAsset, Name
from lakewatchd.web.desk import Desk, TheDesk

router = APIRouter(tags=["tags"])

MAX_NAMES = 10_000
"""That one answer lists."""
MAX_SAID = 100
PUBLISHED_S = 1.5
"""How long an answer waits for the row in which the correction is served."""
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Counted:
    name: str
    assets: int


@dataclass(frozen=True, slots=True)
class Names:
    items: tuple[Counted, ...]


class Said(BaseModel):
    """What a person says. The last word counts."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"add": ["holiday"], "remove": ["work"]}, {"clear": True}]}
    )
    add: list[Name] = Field([], max_length=MAX_SAID)
    remove: list[Name] = Field([], max_length=MAX_SAID, description="it is not so, whoever says it")
    category: Name | None = None
    clear: bool = Field(False, description="forget first what was said before")


@dataclass(frozen=True, slots=True)
class Undo:
    """A body that takes back what was said."""

    add: tuple[str, ...]
    remove: tuple[str, ...]
    category: str | None
    clear: bool = True


@dataclass(frozen=True, slots=True)
class Tagged:
    tags: tuple[Tag, ...]
    category: str
    is_published: bool
    """Search and folders know it already; else in a moment, and ``tags`` is what they will say."""
    undo: Undo


@router.get("/tags", responses={200: {"model": Names}})
async def tags(
    desk: TheDesk,
    q: Annotated[str, Query(max_length=200, description="only those that hold this")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_NAMES)] = 1000,
) -> Response:
    """All tags, those of most files first."""
    found = (await desk.finder.listed.facets(top=MAX_NAMES)).tags
    wanted = [Counted(name, count) for name, count in found if q.casefold() in name.casefold()]
    return answer(Names(tuple(wanted[:limit])))


@router.post("/assets/{id}/tags", responses={200: {"model": Tagged}})
async def correct(desk: TheDesk, id: AnAsset, said: Said) -> Response:
    """Correct its tags and category. A person's word stands over that of models, and is learned from."""
    before = await desk.reader.gold(id)
    if before is None:
        return refusal(404, "no such asset is served", "it may have been removed, or is not indexed yet")
    was = await desk.reader.correction(id)
    told = await desk.daemon.ask("correct", assets=[id], **said.model_dump())
    (view,) = told["corrections"]
    now = Correction(tuple(view["tags"]), tuple(view["denied"]), view["category"])
    served = await _published(desk, before, now) if now != was else before
    after = served or _predicted(before, now)
    undo = Undo(was.tags, was.denied, was.category or None)
    return answer(Tagged(after.tags, after.category, served is not None, undo))


async def _published(desk: Desk, before: GoldRow, said: Correction) -> GoldRow | None:
    """The row in which the daemon publishes what was said, if that is soon."""
    try:
        async with asyncio.timeout(PUBLISHED_S):
            while True:
                await asyncio.sleep(_LOOK_S)
                row = await desk.reader.gold(before.asset_id)
                if row is not None and (row.tags, row.category) != (before.tags, before.category) and _tells(row, said):
                    return row
    except TimeoutError:
        return None


def _tells(row: GoldRow, said: Correction) -> bool:
    """As far as that can be seen without knowing which words mean the same: the row may tell what was said earlier."""
    by_person = any(tag.origin == "person" for tag in row.tags)
    return by_person == bool(said.tags) and not {tag.name for tag in row.tags} & set(said.denied)


def _predicted(row: GoldRow, said: Correction) -> GoldRow:
    theirs = {name.casefold() for name in (*said.tags, *said.denied)}
    others = (tag for tag in row.tags if tag.name.casefold() not in theirs)
    tags = (*(Tag(name, 1.0, "person") for name in said.tags), *others)
    return dataclasses.replace(row, tags=tags, category=said.category or row.category)
