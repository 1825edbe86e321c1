"""``/api/ask``: an answer as it is made, with the passages it is made from. Only a few at once: a model is busy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from lakewatchd.core.asset import Kind
from lakewatchd.core.found import Query
from lakewatchd.errors import LakewatchError
from lakewatchd.views.answer.answering import MAX_QUESTION_CHARS, Event, event_json
from lakewatchd.web.api.filters import Name
from lakewatchd.web.desk import Desk, TheDesk

router = APIRouter(tags=["ask"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"passages":[{"n":1,"path":"talk.mp3","start_s":751.0}]}\n{"text":"Lithium. [1]"}\n'
                '{"done":true,"answered":true,"outcome":"answered","advice":[]}\n',
            },
            "text/event-stream": {"schema": {"type": "string"}},
        }
    }
}


class Question(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"question": "which talks mention battery chemistry?"}]}
    )
    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARS)]
    kinds: Annotated[list[Kind], Field(max_length=6)] = []
    tags: Annotated[list[Name], Field(max_length=20)] = []
    root: Name = ""


@router.post("/ask", responses=_STREAM, response_class=StreamingResponse)
async def ask(request: Request, desk: TheDesk, question: Question) -> Response:
    """Lines of JSON (or events, with `Accept: text/event-stream`): first `passages`, then pieces of `text` in which
    `[n]` is passage n, last `done` with the outcome. What goes wrong half-way is a last line with `error`, `hint`."""
    query = Query(text=question.question, kinds=tuple(question.kinds), tags=tuple(question.tags), root=question.root)
    events = desk.answerer.answer(query)
    first = await anext(events)  # what is wrong with the question is told by the status
    as_events = "text/event-stream" in request.headers.get("accept", "")
    lines = _lines(desk, first, events, "data: {}\n\n" if as_events else "{}\n")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        lines, headers=headers, media_type="text/event-stream" if as_events else "application/x-ndjson"
    )


async def _lines(desk: Desk, first: Event, events: AsyncIterator[Event], frame: str) -> AsyncIterator[bytes]:
    def line(value: dict[str, Any]) -> bytes:
        return frame.replace("{}", json.dumps(value, ensure_ascii=False), 1).encode("utf-8", "replace")

    try:
        yield line(event_json(first))
        async with desk.asking.one():
            async for event in events:
                yield line(event_json(event))
    except LakewatchError as exc:
        yield line({"error": exc.message, "hint": exc.hint or ""})
    finally:
        await events.aclose()  # type: ignore[attr-defined]  # a generator
