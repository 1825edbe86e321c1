"""Captions and free tags by a vision-language model, on a server of its own (:mod:`lakewatchd.models.chat`).

A picture goes out as JPEG, an answer of a fixed JSON shape comes back. The invariant: whatever comes back, a
:class:`Caption` is short, printable text, or empty.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakewatchd.config import CaptionConfig
from lakewatchd.core.clock import Clock
from lakewatchd.errors import ServiceAway, UnsupportedMedia
from lakewatchd.models.chat import PROBE_S, Breaker, Chat, Refused, Turn, chat_of, clean, reason, where, whole

PROMPT = (
    "Describe this picture for somebody who looks for it later: one plain sentence of what is to be seen, and up to "
    "eight tags of one or two words (things, place, activity, mood). Only what is visible; read no names into it."
)
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "caption": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
    },
    "required": ["caption", "tags"],
}
VERSION = 1
"""Raised with any change to the words or the shape above."""

MAX_CAPTION_CHARS, MAX_TAG_CHARS, MAX_TAGS = 400, 40, 8
_MAX_TOKENS = 400
_LONGEST = 5
"""The whole of an answer may take so many times ``timeout_s``, for which the server may be silent."""


@dataclass(frozen=True, slots=True)
class Caption:
    text: str = ""
    tags: tuple[str, ...] = ()


class Captioner:
    """The daemon's door to the server. Callable from one event loop."""

    def __init__(self, config: CaptionConfig, clock: Clock, chat: Chat | None = None) -> None:
        self.config = config
        self._breaker = Breaker(clock)
        self._chat = chat or chat_of(config)
        self._has_worked = False
        self.nonsense = 0
        """Answers that were not of the shape that was asked for."""

    @property
    def transform_config(self) -> Mapping[str, object]:
        """What decides the captions, as far as it is known without asking the server."""
        return {"model": self.config.model, "picture_px": self.config.picture_px, "version": VERSION}

    @property
    def is_there(self) -> bool:
        return not self._breaker.is_open

    @property
    def problem(self) -> str:
        """Why it is not asked now; empty while it is."""
        return f"{where(self.config)} does not answer: {self._breaker.problem}" if self._breaker.is_open else ""

    async def describe(self, jpeg: bytes) -> Caption:
        """One picture. Raises :class:`ServiceAway`, and :class:`UnsupportedMedia` where the server, which described
        others, refuses this one."""
        if not self.is_there:
            raise ServiceAway(self.problem, HINT)
        try:
            async with asyncio.timeout(_LONGEST * self.config.timeout_s):
                turn = Turn("user", PROMPT, (jpeg,))
                answer = await whole(self._chat.say([turn], schema=SCHEMA, max_tokens=_MAX_TOKENS))
        except Exception as exc:
            if isinstance(exc, Refused) and self._has_worked:
                self._breaker.worked()
                message = f"{where(self.config)} refuses its picture: {reason(exc)}"
                raise UnsupportedMedia(message, "lakewatchd queue retry PATH, once the server takes it") from exc
            self._breaker.failed(reason(exc))
            raise ServiceAway(f"{where(self.config)} gave no caption: {reason(exc)}", HINT) from exc
        self._breaker.worked()
        self._has_worked = True
        caption = read(answer)
        self.nonsense += caption == Caption()
        return caption

    async def probe(self) -> bool:
        """Whether a server that was not there is back; True once, when it is."""
        if self.is_there or not self._breaker.is_worth_a_try:
            return False
        try:
            async with asyncio.timeout(PROBE_S):
                await self._chat.probe()
        except Exception as exc:
            self._breaker.failed(reason(exc))
            return False
        self._breaker.answered()
        return True


NOT_INSTALLED = "captions.model is set, and the package ollama is not installed"
INSTALL = "pip install 'lakewatchd[caption]'"
HINT = "captions go on by themselves once it answers; to do without: remove captions.model"


def read(answer: str) -> Caption:
    """What the model said, or nothing where that has not the shape it was asked for."""
    try:
        said = json.loads(answer)
        caption, tags = said["caption"], said["tags"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return Caption()
    if not isinstance(caption, str) or not isinstance(tags, list):
        return Caption()
    names = (clean(tag).lower().strip(" #.,") for tag in tags if isinstance(tag, str))
    kept = dict.fromkeys(name for name in names if 1 < len(name) <= MAX_TAG_CHARS and "/" not in name)
    return Caption(clean(caption)[:MAX_CAPTION_CHARS], tuple(kept)[:MAX_TAGS])
