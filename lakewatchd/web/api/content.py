"""``/api/assets/{id}/content`` and ``/thumb``: the original and its small picture."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from lakewatchd.lake.rows import Presence
from lakewatchd.web import content as contents
from lakewatchd.web.api.answers import refusal
from lakewatchd.web.api.filters import AnAsset
from lakewatchd.web.content import IMMUTABLE, Away, Gone
from lakewatchd.web.desk import TheDesk

router = APIRouter(tags=["content"])
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "One range of it"},
}
_IMAGE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/webp": {}, "image/jpeg": {}}}}


@router.get("/assets/{id}/content", responses={**_BYTES, 304: {"description": "As you have it"}})
@router.head("/assets/{id}/content", include_in_schema=False)
async def content(request: Request, desk: TheDesk, id: AnAsset) -> Response:
    """The original, whole or one range of it. What a browser could run comes as a download."""
    gold = await desk.reader.gold(id)
    rows = [row for row in await desk.reader.occurrences_of(id) if row.presence is not Presence.GONE]
    if gold is None or not rows:
        return refusal(404, "no such asset is served", "it may have been removed, or is not indexed yet")
    rows.sort(key=lambda row: (row.presence is not Presence.PRESENT, row.key != gold.best, row.key))
    try:
        original, row = await contents.open_asset(desk.originals, rows)
    except Away:
        place = rows[0].key
        hint = f"is the root {place.root} mounted? lakewatchd explain {place.text}"
        return refusal(503, "the original cannot be read now", hint, **{"Retry-After": "10"})
    except Gone:
        return refusal(410, "another content lies there now", "it is being indexed: search again in a moment")
    return await contents.send(original, row, request.headers, is_head=request.method == "HEAD")


@router.get("/assets/{id}/thumb", responses={**_IMAGE, 304: {"description": "As you have it"}})
@router.head("/assets/{id}/thumb", include_in_schema=False)
async def thumb(request: Request, desk: TheDesk, id: AnAsset) -> Response:
    """A small picture of it. 404: it has none, or is not served any more."""
    if not await desk.finder.is_served(id):
        return refusal(404, "no such asset is served", "it may have been removed, or is not indexed yet")
    if f'"{id}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": f'"{id}"', "Cache-Control": IMMUTABLE})
    image = await asyncio.get_running_loop().run_in_executor(desk.looking, desk.thumbnails.get, id)
    if image is None:
        return refusal(404, "it has no picture", "")
    mime = "image/jpeg" if image.startswith(b"\xff\xd8") else "image/webp"
    return Response(image, headers={"ETag": f'"{id}"', "Cache-Control": IMMUTABLE}, media_type=mime)
