"""``/api/queue``: what needs a person, and another try of it. The daemon has the queue; this passes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lakewatchd.core.status import QueueListing
from lakewatchd.web.api.answers import answer
from lakewatchd.web.api.filters import Name, Text
from lakewatchd.web.desk import TheDesk

router = APIRouter(prefix="/queue", tags=["queue"])

MAX_ITEMS = 1000


class Which(BaseModel):
    """Parked jobs that fulfil all that is said; all of them where nothing is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "corrupt"}]})
    reason: Name | None = None
    stage: Name | None = None
    path: Text | None = Field(None, description="`root:path` of a file or directory, as the list has it: never opened")


@dataclass(frozen=True, slots=True)
class Retried:
    count: int
    """Jobs that run again."""


@router.get("/parked", responses={200: {"model": QueueListing}})
async def parked(
    desk: TheDesk,
    reason: Name | None = None,
    stage: Name | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = 100,
) -> Response:
    """Files that could not be indexed, by reason, and the first of them one by one."""
    return answer(await desk.daemon.ask("queue_list", parked=True, reason=reason, stage=stage, limit=limit))


@router.post("/retry", responses={200: {"model": Retried}})
async def retry(desk: TheDesk, which: Which) -> Response:
    """Try again what is parked."""
    said = await desk.daemon.ask("queue_retry", **which.model_dump())
    return answer(Retried(int(said["count"])))
