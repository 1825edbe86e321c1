"""``/api/status``: what the daemon does, once or as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from lakewatchd.web.api.answers import answer, refusal
from lakewatchd.web.bulletin import MAX_LISTENERS, Full
from lakewatchd.web.desk import TheDesk

router = APIRouter(tags=["status"])

HEARTBEAT_S = 15.0
"""How often something is said when nothing changes: who has gone is noticed by it."""
_STATUS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": {"headline": "watching 1 root, 57 files"}},
            "text/event-stream": {"schema": {"type": "string"}},
        }
    }
}


@router.get("/status", responses=_STATUS)
async def status(request: Request, desk: TheDesk) -> Response:
    """What `lakewatchd status --json` says, and `headline`, its one line. With `Accept: text/event-stream` as events,
    one for each change; while the daemon is away they are `{"error": …}`."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        return answer(await desk.status())
    latest = desk.bulletin.listen(HEARTBEAT_S)
    try:
        first = await anext(latest)
    except Full:
        hint = f"{MAX_LISTENERS} others do: close some, or ask without events"
        return refusal(503, "nobody else can listen", hint, **{"Retry-After": "10"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(first, latest), headers=headers, media_type="text/event-stream")


async def _events(first: str, latest: AsyncIterator[str]) -> AsyncIterator[bytes]:
    try:
        yield _event(first)
        async for one in latest:
            yield _event(one)
    finally:
        await latest.aclose()  # type: ignore[attr-defined]  # a generator


def _event(text: str) -> bytes:
    """``text`` is JSON on one line; empty: nothing new."""
    return f"data: {text}\n\n".encode() if text else b": still here\n\n"
