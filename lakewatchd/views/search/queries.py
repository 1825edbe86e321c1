"""Questions -> vectors, by a model process of search's own: a person never waits behind a batch of ingestion.

The process holds the text sides of the configured models, and their picture side since a weight file has both. It
starts with the first question (or before it, :meth:`Encoder.warm`) and ends when nobody asked for a while. What was
asked lately is remembered. Invariant: a vector is only ever that of the model that :meth:`Encoder.model` names, and
:meth:`Encoder.made_by` tells which rows it may be compared with.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from lakewatchd import errors
from lakewatchd.config import DecodeConfig, ModelConfig
from lakewatchd.core.content import Picture
from lakewatchd.models import vectors
from lakewatchd.models.base import ModelInfo, Role, Vector
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import Resolved, resolve

REMEMBERED = 512
"""Vectors of texts that were asked for; about 2 MB."""
FIRST_S = 120.0
"""To load the models, on a disk that sleeps."""

_NEUTRAL = (
    "a photo", "a picture of something", "a person", "people in a room", "an animal", "a house", "a street in a city",
    "a landscape", "a document with text", "a screenshot of a computer", "food on a plate", "a car on a road",
    "the sky", "water", "a tree", "a machine", "a drawing", "an abstract pattern", "a tool on a table", "clothes",
)  # fmt: skip
"""Everyday subjects: what fits a picture or a text better than any of these is more than an accident."""


class Encoder:
    """Every method raises :class:`errors.ModelUnavailable` where there is no model for it, and
    :class:`errors.TransientError` when its process died or took too long."""

    def __init__(
        self, config: ModelConfig, model_dir: Path, *, decode: DecodeConfig | None = None, idle_s: float = 900.0
    ) -> None:
        """``decode`` as for those who index: clips of a film carry it."""
        self._config = config
        self._max_pixels = (decode or DecodeConfig()).max_pixels
        self._model_dir = model_dir
        self._idle_s = idle_s
        self._resolved: Resolved | None = None
        self._inference: Inference | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._busy = 0
        self._known: collections.OrderedDict[tuple[Role, str], Vector] = collections.OrderedDict()

    async def model(self, role: Role) -> ModelInfo | None:
        """Which model makes the vectors of ``role``; None if there is none."""
        return (await self._resolve()).info(role)

    async def made_by(self) -> frozenset[str]:
        """The transforms whose vectors are of these models: only they may be compared with what is given here."""
        resolved = await self._resolve()
        image_text, text, detector = map(resolved.info, (Role.IMAGE_TEXT, Role.TEXT, Role.DETECTOR))
        made = vectors.embedding(image_text, text), vectors.clipping(self._max_pixels, image_text, detector)
        return frozenset(transform.id for transform in made)

    async def why_missing(self, role: Role) -> tuple[str, str]:
        """Message and hint; empty where the model is simply off."""
        problems = [problem for problem in (await self._resolve()).problems if problem.role is role]
        return (problems[-1].message, problems[-1].hint) if problems else ("", "")

    async def text(self, role: Role, text: str) -> Vector:
        """Unit vector of ``text``: in the space of pictures, or in that of passages."""
        return (await self.texts(role, (text,)))[0]

    async def texts(self, role: Role, texts: Sequence[str]) -> list[Vector]:
        missing = [text for text in dict.fromkeys(texts) if (role, text) not in self._known]
        made: dict[str, Vector] = {}
        if missing:
            async with self._running() as inference:
                embed = inference.embed_text if role is Role.IMAGE_TEXT else inference.embed_passage
                made = dict(zip(missing, await asyncio.gather(*map(embed, missing)), strict=True))
        found = [made.get(text) or self._known[role, text] for text in texts]
        for text, vector in zip(texts, found, strict=True):
            self._remember((role, text), vector)
        return found

    async def neutral(self, role: Role) -> list[Vector]:
        """Of everyday subjects."""
        return await self.texts(role, _NEUTRAL)

    async def picture(self, picture: Picture) -> Vector:
        async with self._running() as inference:
            return await inference.embed_picture(picture)

    async def warm(self) -> None:
        """Load now, so that the first question is as quick as any. A model that is missing is no error."""
        for role in (Role.IMAGE_TEXT, Role.TEXT):
            if await self.model(role) is not None:
                await self.text(role, "warm-up")

    @property
    def pids(self) -> list[int]:
        return self._inference.pids if self._inference else []

    async def close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._ending is not None:
            await self._ending
        inference, self._inference = self._inference, None
        if inference is not None:
            await inference.close()

    # --- its process --------------------------------------------------------------------------------------

    async def _resolve(self) -> Resolved:
        if self._resolved is None:  # reads and hashes files: of a local model all of its weights, once
            self._resolved = await asyncio.to_thread(resolve, self._config, self._model_dir)
        return self._resolved

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[Inference]:
        resolved = await self._resolve()
        if self._inference is None:
            self._inference = Inference(self._config, resolved)
        if self._idle is not None:
            self._idle.cancel()
        self._busy += 1
        try:
            async with asyncio.timeout(FIRST_S):
                yield self._inference
        except TimeoutError as exc:
            raise errors.TimedOut(f"the models gave no answer within {FIRST_S:g} s") from exc
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._end)

    def _end(self) -> None:
        """Nobody asked for long: the memory is for others."""
        inference, self._inference = self._inference, None
        if inference is not None and not self._busy:
            self._ending = asyncio.create_task(inference.close(), name="idle query models")

    def _remember(self, key: tuple[Role, str], vector: Vector) -> None:
        self._known[key] = vector
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
