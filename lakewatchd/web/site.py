"""Search, gallery and API as one FastAPI application.

Who may ask is told before (:mod:`lakewatchd.web.gate`). The invariant: every answer says what a browser may do with it
(:data:`HEADERS`), none is larger than its endpoint's bounds, and what goes wrong is JSON with a hint, no traceback.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from lakewatchd import __version__
from lakewatchd.errors import LakewatchError
from lakewatchd.web import login
from lakewatchd.web.allowance import Allowance
from lakewatchd.web.answer import Message, Receive, Send
from lakewatchd.web.api import ask, assets, content, duplicates, metrics, queue, search, sql, status, tags
from lakewatchd.web.api.answers import PROBLEMS, refusal, trouble
from lakewatchd.web.description import described
from lakewatchd.web.desk import Desk
from lakewatchd.web.gate import Gate
from lakewatchd.web.traffic import Traffic

log = logging.getLogger(__name__)

Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""By ASGI."""
GALLERY = Path(__file__).parent / "gallery"
PREFIX = "/api"
SEARCH = f"{PREFIX}/search"
PAGES = ("/", "/search", "/asset/{asset_id}", "/duplicates", "/status", "/tags", "/ask")
"""What the gallery's own router shows; all are its one page."""
ASKING, QUERYING = (10, 6.0), (30, 1.0)
"""Of one address: so many at once, and another one after so many seconds."""
MAX_BODY_BYTES = 256 << 10
"""Of what is posted anywhere but to a search by picture, which counts by itself."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On every answer that does not say something stricter."""
_DESCRIPTION = """\
Which files there are, what is in them, and the files themselves. All answers are JSON; what is wrong is told as
`{"error": …, "hint": …}`. Times are wall-clock times without a zone. An asset is named by the hash of its content.
"""


def make_site(desk: Desk, gate: Gate) -> Application:
    return _Guarded(make_api(desk, gate), desk.traffic)


def make_api(desk: Desk, gate: Gate) -> FastAPI:
    site = FastAPI(
        title="lakewatchd",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        responses=PROBLEMS,
        redirect_slashes=False,
    )
    site.state.desk = desk
    for noun in (assets, content, duplicates, metrics, queue, search, status, tags):
        site.include_router(noun.router, prefix=PREFIX)
    for noun, allowance in ((ask, Allowance(time.monotonic, *ASKING)), (sql, Allowance(time.monotonic, *QUERYING))):
        site.include_router(noun.router, prefix=PREFIX, dependencies=[Depends(allowance)])
    site.include_router(metrics.router)
    site.include_router(login.router(gate))
    site.openapi = lambda: described(site)  # type: ignore[method-assign]  # as FastAPI says to refine it
    for path in PAGES:
        site.add_api_route(path, _page, methods=["GET", "HEAD"], include_in_schema=False)
    site.mount("/gallery", _Files(directory=GALLERY))
    site.add_exception_handler(LakewatchError, _trouble)
    site.add_exception_handler(RequestValidationError, _invalid)
    site.add_exception_handler(HTTPException, _refused)
    return site


async def _page() -> Response:
    return FileResponse(GALLERY / "index.html", headers={"Cache-Control": "no-cache"})


class _Files(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"  # asked for again each time, answered with 304
        return response


class _Guarded:
    """By ASGI: the headers that every answer has, an end to what is posted, an answer where a defect left none."""

    def __init__(self, app: Application, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        has_begun, began, received = False, time.perf_counter(), 0

        async def send_more(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self._traffic.count(_path_of(scope), message["status"], time.perf_counter() - began)
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES and scope["path"] != SEARCH:
                raise HTTPException(413, f"too long: more than {MAX_BODY_BYTES:,} bytes")
            return message

        try:
            await self._app(scope, receive_some, send_more)
        except OSError as exc:  # of an original that is half sent: its reader sees a connection that was cut
            log.warning("%s: %s", scope["path"], exc)
        except Exception:
            log.exception("%s failed", scope["path"])
            if not has_begun:
                await _BROKEN(dict(scope), receive, send_more)


def _path_of(scope: Message) -> str:
    """As it is described, so that there are few; all that is none of the API are one."""
    route = scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return "other"
    return (PREFIX if scope["path"].startswith(PREFIX) else "") + str(route.path)  # a router does not know its prefix


async def _trouble(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, LakewatchError)
    return trouble(exc)


async def _invalid(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    message = first["msg"].removeprefix("Value error, ")
    return refusal(422, f"{where}: {message}"[:300], "GET /api/openapi.json describes every parameter")


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == HTTPStatus.NOT_FOUND:
        said = f"there is nothing at {request.url.path}"[:300]
        return refusal(exc.status_code, said, "GET /api/openapi.json tells what there is")
    said = str(exc.detail or HTTPStatus(exc.status_code).phrase)
    headers = dict(exc.headers or {})
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return refusal(exc.status_code, said, **headers)


def _methods(request: Request) -> set[str]:
    """What may be done at this path, by the description."""
    paths = described(request.app)["paths"]
    known = [one for path, one in paths.items() if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path)]
    return {method.upper() for one in known for method in one}


_BROKEN = refusal(500, "this failed by a defect of lakewatchd", "its log says more: journalctl -u lakewatchd")
