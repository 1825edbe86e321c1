"""A hundred thousand assets that are not there: the answers of the API that a grid asks for, made up.

What is tried with it is the browser's part, so no lake is in the way. Pictures are small and of one colour.
"""

from __future__ import annotations

import bisect
import datetime as dt
import hashlib
import io
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image

from lakewatchd.web.site import GALLERY

SHAPES = ((4000, 3000), (3000, 4000), (3000, 2000), (1920, 1080), (2000, 2000))


def made(count: int) -> list[dict[str, Any]]:
    """The oldest first: some hours between one and the next, over a dozen years for a hundred thousand."""
    rng, when, items = random.Random(5), dt.datetime.fromisoformat("2012-03-01"), []
    for number in range(count):
        when += dt.timedelta(minutes=rng.expovariate(1 / 60))
        width, height = rng.choice(SHAPES)
        name = hashlib.sha256(str(number).encode()).hexdigest()
        items.append(
            {"id": name, "kind": "image", "title": f"IMG_{number:06}.jpg", "dated_at": when.isoformat(), "width": width,
             "height": height, "duration_s": None, "is_away": False}
        )  # fmt: skip
    return items


def site(count: int) -> FastAPI:
    items = made(count)
    dates = [item["dated_at"] for item in items]
    colours = [_picture(hue) for hue in range(0, 256, 4)]
    site = FastAPI()

    @site.get("/api/timeline")
    async def timeline() -> list[dict[str, int]]:
        months = Counter(date[:7] for date in dates)
        found = [{"year": int(m[:4]), "month": int(m[5:]), "count": n} for m, n in months.items()]
        return sorted(found, key=lambda month: (month["year"], month["month"]), reverse=True)

    @site.get("/api/assets")
    async def assets(since: str, until: str, limit: int, cursor: int = 0) -> dict[str, Any]:
        found = items[bisect.bisect_left(dates, since) : bisect.bisect_left(dates, until)][::-1]
        return {
            "items": found[cursor : cursor + limit],
            "next": cursor + limit if len(found) > cursor + limit else None,
        }

    @site.get("/api/assets/{name}/thumb")
    async def thumb(name: str) -> Response:
        return Response(
            colours[int(name[:2], 16) // 4], media_type="image/webp", headers={"Cache-Control": "max-age=99"}
        )

    site.mount("/gallery", StaticFiles(directory=GALLERY))
    site.add_api_route("/", lambda: FileResponse(GALLERY / "index.html"))
    return site


@contextmanager
def serving(count: int) -> Iterator[str]:
    """The address of a server in a thread of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(site(count), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _picture(hue: int) -> bytes:
    out = io.BytesIO()
    Image.new("HSV", (320, 240), (hue, 90, 190)).convert("RGB").save(out, "WEBP")
    return out.getvalue()
