"""``/api/search`` and ``/api/suggest``: the engine, for programs and for the gallery."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from lakewatchd.core.found import Found, Suggestion
from lakewatchd.core.found import Query as Question
from lakewatchd.core.wire import from_json
from lakewatchd.errors import BadQuery
from lakewatchd.web.api.answers import answer
from lakewatchd.web.api.filters import AnAsset, Filters, Name, Text
from lakewatchd.web.body import as_object, read_form, read_json
from lakewatchd.web.desk import TheDesk

router = APIRouter(tags=["search"])

MAX_HITS = 500
MAX_OFFSET = 10_000
_SCHEMA = TypeAdapter(Question).json_schema(ref_template="#/components/schemas/{model}")
_SCHEMA.pop("$defs")
_SCHEMA["properties"].pop("picture")
_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _SCHEMA, "example": {"text": "red car in the snow", "kinds": ["image"]}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["picture"],
                    "properties": {
                        "query": {"type": "string", "description": "the question as JSON", "example": '{"limit": 5}'},
                        "picture": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
}


@router.get("/search", responses={200: {"model": Found}})
async def search(
    desk: TheDesk,
    filters: Filters,
    q: Annotated[Text, Query(description='as typed: words, dates, "phrases", -words, tag:name, kind:video')] = "",
    like: Annotated[AnAsset | None, Query(description="similar to this asset")] = None,
    but: Annotated[Text, Query(description="with like: the same, but so")] = "",
    object: Annotated[Name, Query(description="a thing that the detector saw")] = "",
    after: Annotated[Text, Query(description="what comes before it in the same recording")] = "",
    within: Annotated[float, Query(ge=0, le=86_400, allow_inf_nan=False, description="so many seconds before")] = 30.0,
    limit: Annotated[int, Query(ge=1, le=MAX_HITS)] = 20,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> Response:
    """What is found for `q` among those that fulfil all filters, the best first, and why."""
    question = dataclasses.replace(
        filters,
        text=q,
        like=like or "",
        but=but,
        object=object,
        after=after,
        within_s=within,
        limit=limit,
        offset=offset,
    )
    return answer(await desk.search(question))


@router.post("/search", responses={200: {"model": Found}}, openapi_extra=_BODIES)
async def search_by_picture(request: Request, desk: TheDesk) -> Response:
    """The same for a question as JSON; or for a form with a file that need not be in the lake: what is like it."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with desk.uploading:
            said, picture = await read_form(request, desk.max_picture_bytes)
            return answer(await desk.search(dataclasses.replace(_question(as_object(said)), picture=picture)))
    return answer(await desk.search(_question(await read_json(request))))


@router.get("/suggest", responses={200: {"model": list[Suggestion]}})
async def suggest(desk: TheDesk, q: Text = "", limit: Annotated[int, Query(ge=1, le=50)] = 8) -> Response:
    """What the words that are being typed may become."""
    return answer(await desk.engine.suggest(q, limit))


def _question(said: dict[str, Any]) -> Question:
    """Raises ``BadQuery``."""
    said.pop("picture", None)
    try:
        question = from_json(Question, said)
    except ValueError as exc:
        raise BadQuery(f"not a question: {exc}"[:300], "GET /api/openapi.json describes its fields") from exc
    limit, offset = min(max(question.limit, 1), MAX_HITS), min(max(question.offset, 0), MAX_OFFSET)
    return dataclasses.replace(question, limit=limit, offset=offset)
