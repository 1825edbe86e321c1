"""HTTP to a language model's server that may send whatever it likes: what is read of one answer is bounded.

A client of Ollama keeps a line until it ends, and the text of an error whole. Here the bytes are counted before any of
that. The invariant: of one answer at most :data:`MAX_BYTES` come through, and they are the bytes that were sent: none
are unpacked, as a few of them could become a great many.

Loaded on use: needs httpx, which the extras ``caption`` and ``ask`` bring.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

MAX_BYTES = 8_000_000
"""A token takes some 300 as JSON, and what a model may do, licence included, tens of thousands."""


class Bounded(httpx.AsyncHTTPTransport):
    """Of the answers of one server. An answer that is too long, or packed, is an ``httpx.RemoteProtocolError``."""

    def __init__(self, *, keeps_alive: bool = True) -> None:
        limits = httpx.Limits(max_keepalive_connections=4 if keeps_alive else 0)
        super().__init__(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        packed = response.headers.get("content-encoding", "identity")
        if packed != "identity":
            await response.aclose()
            raise httpx.RemoteProtocolError(f"the server packs its answer ({packed[:20]}), which nobody asked for")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Counted(response.stream)
        return response


class _Counted(httpx.AsyncByteStream):
    def __init__(self, parts: httpx.AsyncByteStream) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BYTES
        async for part in self._parts:
            left -= len(part)
            if left < 0:
                raise httpx.RemoteProtocolError(f"the server's answer does not end within {MAX_BYTES:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._parts.aclose()
