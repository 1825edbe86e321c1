"""Reading what is posted, within bounds: in memory only, and not more than an endpoint says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

MAX_JSON_BYTES = 64 << 10


async def read_json(request: Request) -> dict[str, Any]:
    """Raises ``HTTPException`` for what is no object, or too long."""
    raw = b"".join([piece async for piece in _bounded(request, MAX_JSON_BYTES)])
    return as_object(raw)


def as_object(raw: bytes | str) -> dict[str, Any]:
    try:
        data = json.loads(raw)
        if not isinstance(data, dict):
            raise ValueError
        json.dumps(data, ensure_ascii=False).encode()  # halves of characters are no text
    except (ValueError, RecursionError) as exc:
        raise HTTPException(400, "not JSON: an object is expected") from exc
    return data


async def read_form(request: Request, most: int) -> tuple[str, bytes]:
    """The field ``query`` and the file ``picture`` of a form. Raises ``HTTPException``."""
    whole = most + MAX_JSON_BYTES
    stream = _bounded(request, whole)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=2, max_part_size=MAX_JSON_BYTES)
    parser.spool_max_size = whole  # nothing is written to the disk: the process has no right to
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError) as exc:
        raise HTTPException(400, "not a form with a file named picture") from exc
    query, picture = form.get("query", "{}"), form.get("picture")
    if not isinstance(query, str) or not isinstance(picture, UploadFile):
        raise HTTPException(400, "not a form with a file named picture")
    try:
        return query, await picture.read()
    finally:
        await form.close()


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 15 or int(length) > most:
        raise HTTPException(413, f"too long: more than {most:,} bytes")
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise HTTPException(413, f"too long: more than {most:,} bytes")
        yield piece
