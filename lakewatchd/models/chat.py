"""A language model on a server of yours: Ollama, or one that speaks as OpenAI does. No weights are loaded here.

A conversation goes out, what the model says comes back piece by piece. A server that does not answer is not asked for a
while (:class:`Breaker`). The invariant: whatever a server sends, an answer ends: it has at most :data:`MAX_CHARS`,
what it comes in is bounded too (:mod:`lakewatchd.models.transport`), and the server may be silent for ``timeout_s`` at
most.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from lakewatchd.core.clock import Clock

MAX_CHARS = 20_000
"""Of an answer."""
_MAX_LINE_CHARS = 1_000_000
"""Of what it is wrapped in."""
_MAX_REFUSAL_CHARS = 2000
PROBE_S = 10.0
_REFUSALS = frozenset((400, 413, 415, 422))
"""Of HTTP: something else to say may do."""


class Server(Protocol):
    """Where it is, and how it is spoken to: ``[captions]`` and ``[ask]``."""

    @property
    def model(self) -> str: ...
    @property
    def server(self) -> str:
        """Of Ollama; one that ends in ``/v1`` speaks as OpenAI does."""
        ...

    @property
    def api_key(self) -> str: ...
    @property
    def timeout_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    """``system`` for what we say, ``user`` for what is asked and quoted."""
    text: str
    jpegs: tuple[bytes, ...] = ()


class Refused(Exception):
    """The server is there, and does not take what it was sent."""


class Chat(Protocol):
    """One way to talk. Raises whatever its library raises."""

    def say(
        self, turns: Sequence[Turn], *, schema: Mapping[str, Any] | None = None, max_tokens: int = 800
    ) -> AsyncGenerator[str]:
        """The answer, in pieces as they are made; with ``schema``, JSON of that shape. Raises :class:`Refused` where
        something else to say may do."""
        ...

    async def probe(self) -> None:
        """Returns if the server is there and has the model."""
        ...


def chat_of(server: Server) -> Chat:
    return OpenAiChat(server) if is_openai(server) else OllamaChat(server)


def where(server: Server) -> str:
    return f"{server.model} on {server.server}"


def is_openai(server: Server) -> bool:
    return server.server.rstrip("/").endswith("/v1")


def is_near(server: Server) -> bool:
    """Is it on this machine? Else what it is sent leaves it, which only its owner may want."""
    return urlsplit(server.server).hostname in ("127.0.0.1", "localhost", "::1")


def is_installed() -> bool:
    """Whether the extra is: the client of Ollama, and with it that of HTTP."""
    return importlib.util.find_spec("ollama") is not None


async def problem_of(server: Server) -> str:
    """Why it cannot be used; empty if it can."""
    try:
        async with asyncio.timeout(PROBE_S):
            await chat_of(server).probe()
    except Exception as exc:
        return reason(exc)
    return ""


async def whole(parts: AsyncGenerator[str]) -> str:
    """All of an answer at once."""
    async with contextlib.aclosing(parts) as closing:
        return "".join([part async for part in closing])


@dataclass(slots=True)
class Breaker:
    """Closed while all goes well. Opens after :data:`PATIENCE` failures in a row, for longer each time one follows.

    A server that is back is tried with one request: only that ends the row.
    """

    clock: Clock
    is_open: bool = False
    failures: int = 0
    problem: str = ""
    _opened: int = 0
    _until: float = 0.0

    PATIENCE = 3
    FIRST_S, LAST_S = 2.0, 300.0

    @property
    def is_worth_a_try(self) -> bool:
        return not self.is_open or self.clock.monotonic() >= self._until

    def worked(self) -> None:
        self.is_open, self.failures, self._opened, self.problem = False, 0, 0, ""

    def answered(self) -> None:
        """The server is there; whether it does what it is for is another matter."""
        self.is_open = False

    def failed(self, problem: str) -> None:
        self.failures, self.problem = self.failures + 1, problem
        if self.failures >= self.PATIENCE:
            self._until = self.clock.monotonic() + min(self.LAST_S, self.FIRST_S * 2.0 ** min(self._opened, 16))
            self._opened += 1
            self.is_open = True


class OllamaChat:
    """https://github.com/ollama/ollama/blob/main/docs/api.md"""

    def __init__(self, server: Server) -> None:
        import ollama

        from lakewatchd.models.transport import Bounded

        self._model = server.model
        self._client = ollama.AsyncClient(
            server.server,
            follow_redirects=False,
            timeout=server.timeout_s,
            headers=_headers(server),
            trust_env=False,
            transport=Bounded(),
        )

    async def say(
        self, turns: Sequence[Turn], *, schema: Mapping[str, Any] | None = None, max_tokens: int = 800
    ) -> AsyncGenerator[str]:
        import ollama

        messages = [
            {"role": turn.role, "content": turn.text, **({"images": list(turn.jpegs)} if turn.jpegs else {})}
            for turn in turns
        ]
        options = {"temperature": 0.0, "num_predict": max_tokens, "num_ctx": _context(turns, max_tokens)}
        try:
            parts = await self._client.chat(
                self._model, messages=messages, format=dict(schema) if schema else None, options=options, stream=True
            )
            async for piece in _bounded(part.message.content or "" async for part in parts):
                yield piece
        except ollama.ResponseError as exc:
            if exc.status_code in _REFUSALS:
                raise Refused(str(exc)) from exc
            raise

    async def probe(self) -> None:
        await self._client.show(self._model)


class OpenAiChat:
    """``/v1/chat/completions``, as vLLM, llama.cpp and others serve it. A server that does not stream is read too."""

    def __init__(self, server: Server) -> None:
        import httpx

        from lakewatchd.models.transport import Bounded

        self._model = server.model
        self._client = httpx.AsyncClient(
            base_url=server.server.rstrip("/"),
            headers=_headers(server),
            timeout=server.timeout_s,
            trust_env=False,
            transport=Bounded(keeps_alive=False),  # llama.cpp closes after a stream, which is noticed too late
        )

    async def say(
        self, turns: Sequence[Turn], *, schema: Mapping[str, Any] | None = None, max_tokens: int = 800
    ) -> AsyncGenerator[str]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": turn.role, "content": _content(turn)} for turn in turns],
            "temperature": 0.0,
            "max_tokens": max_tokens,
            "stream": True,
        }
        if schema:
            shape = {"name": "answer", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        async with self._client.stream("POST", "/chat/completions", json=body) as response:
            if response.is_error:
                said = ""
                async for part in response.aiter_text():
                    said += part
                    if len(said) > _MAX_REFUSAL_CHARS:
                        break
                failure = Refused if response.status_code in _REFUSALS else OSError
                raise failure(f"HTTP {response.status_code}: {said[:_MAX_REFUSAL_CHARS]}")
            async for piece in _bounded(_said(response.aiter_text())):
                yield piece

    async def probe(self) -> None:
        response = await self._client.get("/models", timeout=PROBE_S)
        response.raise_for_status()


def _headers(server: Server) -> dict[str, str]:
    return {"authorization": f"Bearer {server.api_key}"} if server.api_key else {}


def _context(turns: Sequence[Turn], max_tokens: int) -> int:
    """Tokens that it must be able to keep in mind: Ollama forgets the beginning of what is longer than that. Three
    characters are a token at worst, a picture some hundreds."""
    read = sum(len(turn.text) // 3 + 1024 * len(turn.jpegs) for turn in turns)
    return max(4096, -(-(read + max_tokens + 256) // 1024) * 1024)


def _content(turn: Turn) -> object:
    if not turn.jpegs:
        return turn.text
    urls = (f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in turn.jpegs)
    return [{"type": "text", "text": turn.text}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]


async def _said(parts: AsyncIterator[str]) -> AsyncIterator[str]:
    """What the model says, in a stream of server-sent events or in one object. Raises ``ValueError`` for neither, and
    ``OSError`` with what a server says that failed after it had begun."""
    rest = ""
    async for part in parts:
        if len(rest) > _MAX_LINE_CHARS:
            raise ValueError("what the server says does not end within a line that an answer would fit in")
        *lines, rest = (rest + part).split("\n")
        if rest.startswith("{") or (lines and lines[0].startswith("{")):
            rest = "\n".join((*lines, rest))  # one object, which may have lines
            continue
        for line in lines:
            if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
                said = json.loads(data)
                if said.get("error"):
                    raise OSError(_fault(said["error"]))
                choices = said.get("choices") or [{}]
                yield str((choices[0].get("delta") or {}).get("content") or "")
            elif line.startswith("error:"):  # as llama.cpp says it
                raise OSError(_fault(line[6:]))
    if rest.startswith("{"):
        yield str(json.loads(rest)["choices"][0]["message"]["content"])


def _fault(told: object) -> str:
    return str(told.get("message") or told) if isinstance(told, dict) else str(told)


async def _bounded(parts: AsyncIterator[str]) -> AsyncIterator[str]:
    """The rest of one without end is left unread."""
    left = MAX_CHARS
    async for part in parts:
        yield part[:left]
        left -= len(part)
        if left <= 0:
            return


def clean(text: str, at_most: int = MAX_CHARS) -> str:
    """One printable line."""
    plain = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in text[:at_most])
    return re.sub(r"\s+", " ", plain).strip()


def reason(exc: Exception) -> str:
    return clean(str(exc))[:200] or type(exc).__name__
