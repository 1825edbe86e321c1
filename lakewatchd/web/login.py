"""``/login``: a token becomes a cookie, so that a browser on another machine can look around."""

from __future__ import annotations

import html
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response

from lakewatchd.web.gate import COOKIE, Gate
from lakewatchd.web.tokens import MAX_TOKEN_BYTES

KEPT_S = 180 * 24 * 3600
MAX_FORM_BYTES = 4 * MAX_TOKEN_BYTES

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>lakewatchd: log in</title>
<link rel="stylesheet" href="/login.css">
<main>
  <h1>lakewatchd</h1>
  <p role="status">{said}</p>
  <form method="post" action="/login">
    <input type="hidden" name="next" value="{next}">
    <label for="token">Token</label>
    <input id="token" name="token" type="password" required autofocus autocomplete="current-password">
    <button>Open</button>
  </form>
  <p class="hint">It is web.token in the configuration. <code>lakewatchd open</code> prints a link that holds it.</p>
</main>
"""
_STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 22rem; margin: 18vh auto 0; padding: 0 1rem }
form { display: grid; gap: .5rem }
input, button { font: inherit; padding: .6rem .8rem; border-radius: 8px; border: 1px solid #8888 }
button { background: #0b62c4; color: #fff; border: 0 }
.hint { font-size: .875rem; opacity: .8 }
"""


def router(gate: Gate) -> APIRouter:
    found = APIRouter(include_in_schema=False)

    @found.get("/login")
    async def page(
        request: Request,
        token: Annotated[str, Query(max_length=MAX_TOKEN_BYTES)] = "",
        next: Annotated[str, Query(max_length=2000)] = "/",
    ) -> Response:
        return enter(token, next, request) if token else show("", next)

    @found.post("/login")
    async def form(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                return show("That is too long for a token.", "/", 413)
        said = parse_qs(body.decode("utf-8", "replace"))
        return enter(said.get("token", [""])[0], said.get("next", ["/"])[0], request)

    @found.get("/login.css")
    async def style() -> Response:
        return Response(_STYLE, media_type="text/css")

    def enter(token: str, wanted: str, request: Request) -> Response:
        if gate.key is None or not gate.key.fits(token.encode()):
            address = request.client.host if request.client else ""
            if gate.strikes.strike(address):
                return show("Too many wrong tokens: wait some seconds.", wanted, 429)
            return show("That token is wrong." if gate.key else "No token is set: you are in already.", wanted, 401)
        cookie = f"{COOKIE.decode()}={gate.key.cookie.decode()}; Path=/; Max-Age={KEPT_S}; HttpOnly; SameSite=Lax"
        return Response(status_code=303, headers={"Location": _here(wanted), "Set-Cookie": cookie})

    def show(said: str, wanted: str, status: int = 200) -> Response:
        text = _PAGE.format(said=html.escape(said), next=html.escape(_here(wanted)))
        return Response(text, status, {"Cache-Control": "no-store"}, "text/html")

    return found


def _here(wanted: str) -> str:
    """A page of ours and no other: no link may lead through the login elsewhere."""
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_ours and wanted.isascii() else "/"
