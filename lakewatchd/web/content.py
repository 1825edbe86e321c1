"""The bytes of an asset, from whatever place of it can be read: whole, or one range of them.

The invariant: whoever asks for an asset gets bytes of that content or an error. A place where something else lies by
now is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Response
from starlette.responses import StreamingResponse

from lakewatchd.core.asset import path_text
from lakewatchd.lake.rows import OccurrenceRow, Presence
from lakewatchd.views.mounted.objects import Place
from lakewatchd.views.mounted.originals import Original, Originals
from lakewatchd.web.api.answers import refusal

PIECE_BYTES = 256 << 10
"""Read and sent at once: what one slow reader holds in memory."""
SHOWN = re.compile(
    r"image/(jpeg|png|gif|webp|avif|bmp|heic|heif|jxl|tiff|x-icon)|(audio|video)/[\w.+-]+|application/pdf|text/plain"
)
"""Types that a browser shows and cannot run."""
IMMUTABLE = "private, max-age=31536000, immutable"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Gone(Exception):
    """Other content lies at all places of it, or nothing."""


class Away(Exception):
    """None of its places can be read now."""


@dataclass(frozen=True, slots=True)
class _Lies:
    """A place as who opens originals wants it."""

    root: str
    path: str
    size_bytes: int
    mtime_ns: int
    etag: str


async def open_asset(originals: Originals, places: Sequence[OccurrenceRow]) -> tuple[Original, OccurrenceRow]:
    """The first of ``places`` that holds what the lake says. Raises :class:`Gone` or :class:`Away`."""
    is_away = False
    for row in places:
        version = row.version
        try:
            place: Place = _Lies(row.key.root, row.key.path, version.size_bytes, version.mtime_ns, version.etag)
            original = await originals.open(place)
        except FileNotFoundError:
            is_away |= row.presence is Presence.AWAY
            continue
        except OSError:
            is_away = True
            continue
        said = original.version
        if (said.size_bytes, said.mtime_ns) == (version.size_bytes, version.mtime_ns):
            return original, row
        await original.close()
    raise Away if is_away else Gone


@dataclass(frozen=True, slots=True)
class Range:
    first: int
    length: int

    @classmethod
    def of(cls, header: str, size: int) -> Range | None:
        """None: the whole, also where several ranges or another unit are asked for. Raises ``ValueError`` for one that
        holds nothing."""
        match = _RANGE.fullmatch(header.strip())
        if match is None or not any(match.groups()):
            return None
        first, last = match.groups()
        if not first:
            begin, end = max(0, size - int(last)), size
        else:
            begin, end = int(first), min(size, int(last) + 1) if last else size
            if last and int(last) < begin:
                return None
        if begin >= end:
            raise ValueError("nothing lies there")
        return cls(begin, end - begin)


async def send(original: Original, row: OccurrenceRow, asked: Mapping[str, str], *, is_head: bool) -> Response:
    """Closes ``original`` when all is sent, or nobody waits any more. ``asked`` are the headers of the request."""
    size, etag = original.version.size_bytes, f'"{row.asset_id}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": IMMUTABLE, **_handling(row)}
    if _names(asked.get("if-none-match", ""), etag):
        await _close(original)
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    wanted = None
    if asked.get("if-range", etag).strip() == etag:
        try:
            wanted = Range.of(asked.get("range", ""), size)
        except ValueError:
            await _close(original)
            return refusal(416, "nothing lies in that range", "", **{"Content-Range": f"bytes */{size}"})
    piece = wanted or Range(0, size)
    headers["Content-Length"] = str(piece.length)
    if wanted:
        headers["Content-Range"] = f"bytes {wanted.first}-{wanted.first + wanted.length - 1}/{size}"
    if is_head:
        await _close(original)
        return Response(status_code=206 if wanted else 200, headers=headers)
    return StreamingResponse(_pieces(original, piece), 206 if wanted else 200, headers)


async def _pieces(original: Original, piece: Range) -> AsyncIterator[bytes | memoryview]:
    at, end = piece.first, piece.first + piece.length
    try:
        while at < end:
            size = min(PIECE_BYTES, end - at)
            if (data := original.read_at_once(size, at)) is None:
                data = await original.read(size, at)
            if not data:
                raise ConnectionAbortedError("the file became shorter")  # its reader sees a connection that was cut
            yield data
            at += len(data)
            await asyncio.sleep(0)  # what is in memory comes without waiting: others have a turn, who left is noticed
    finally:
        await _close(original)


async def _close(original: Original) -> None:
    with contextlib.suppress(OSError):
        await original.close()


def _handling(row: OccurrenceRow) -> dict[str, str]:
    """What a browser may do with it: show it, or keep it in a file; run it never."""
    kind = "text/plain" if row.mime == "text/markdown" else row.mime
    is_shown = SHOWN.fullmatch(kind) is not None
    name = path_text(row.key.path.rpartition("/")[2])
    said = {
        "Content-Type": f"{kind}; charset=utf-8" if kind == "text/plain" else kind if _is_type(kind) else _UNKNOWN,
        "Content-Disposition": f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{quote(name, safe='')}",
    }
    if is_shown:
        return {**said, "Content-Security-Policy": "script-src 'none'; frame-ancestors 'self'"}
    return {**said, "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'"}


_UNKNOWN = "application/octet-stream"


def _is_type(mime: str) -> bool:
    return re.fullmatch(r"[\w.+-]{1,100}/[\w.+-]{1,100}", mime, re.ASCII) is not None


def _names(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in header.split(",")]
