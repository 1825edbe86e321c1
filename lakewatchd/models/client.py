"""The parent's side of the models: ask for one vector, get it out of a batch.

Four child processes, each with one batch under way: vectors in one, objects in the other, so that two cores help a
single photo; and speech and reading, which take seconds to minutes at a time, in two more. Children start at the first
request and again after they died. The daemon itself never holds torch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from lakewatchd import errors
from lakewatchd.child import Child, Json, Reply
from lakewatchd.config import ModelConfig
from lakewatchd.core.asset import Detected
from lakewatchd.core.content import Picture, Sound
from lakewatchd.core.job import Priority
from lakewatchd.core.wire import from_json
from lakewatchd.models import hub
from lakewatchd.models.arena import Arena, checked
from lakewatchd.models.base import Line, ModelInfo, ModelSpec, Role, Transcript, Vector, Vectors
from lakewatchd.models.batcher import Batcher
from lakewatchd.models.resolve import Resolved

DEADLINE_S = 300.0
"""For a batch, the first of which loads the model."""
MAX_TEXT_CHARS = 8192
"""More than any model reads."""
PASSAGES_PER_PICTURE = 4
"""A passage costs about as much as this many pictures, so batches of passages are smaller by it."""

SLOWEST_LISTENER = 30.0
"""Seconds for each second of sound: a large model on one busy core needs about ten."""

_ROLE_OF = {
    "embed_pictures": Role.IMAGE_TEXT,
    "embed_texts": Role.IMAGE_TEXT,
    "embed_passages": Role.TEXT,
    "detect": Role.DETECTOR,
    "transcribe": Role.SPEECH,
    "read": Role.OCR,
}
_GROUPS = {
    "embed": ("embed_pictures", "embed_texts", "embed_passages"),
    "detect": ("detect",),
    "speech": ("transcribe",),
    "ocr": ("read",),
}


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """What one model process is doing."""

    name: str
    pid: int | None
    loaded: tuple[Role, ...]
    waiting: int
    batches: int
    items: int
    items_per_s: float


class Inference:
    """All models. ``on_progress`` is told in words when a model is being loaded.

    Every request raises :class:`errors.ModelUnavailable` without a model for it, :class:`errors.WorkerDied` and
    :class:`errors.TimedOut` when the process ended, and :class:`errors.DamagedMedia` or :class:`errors.TooLarge` for
    an impossible picture. ``priority`` is a :class:`~lakewatchd.core.job.Priority`: smaller is sooner.
    """

    def __init__(
        self, config: ModelConfig, resolved: Resolved, on_progress: Callable[[str], None] = lambda _text: None
    ) -> None:
        self.resolved = resolved
        self._groups = {
            name: _Group(name, operations, resolved, config, on_progress) for name, operations in _GROUPS.items()
        }

    def info(self, role: Role) -> ModelInfo | None:
        """Which model serves ``role``, None if there is none."""
        return self.resolved.info(role)

    async def embed_picture(self, picture: Picture, priority: int = Priority.FRESH) -> Vector:
        """Unit vector in the image-text space."""
        return await self._ask("embed_pictures", checked(picture), priority)  # type: ignore[no-any-return]

    async def embed_text(self, text: str, priority: int = Priority.FRESH) -> Vector:
        """Unit vector in the image-text space, to be compared with those of pictures."""
        return await self._ask("embed_texts", _clean(text), priority)  # type: ignore[no-any-return]

    async def embed_texts(self, texts: Sequence[str], priority: int = Priority.FRESH) -> Vectors:
        """As :meth:`embed_text`, shape (n, dim)."""
        return await self._ask_all("embed_texts", texts, priority)

    async def embed_passage(self, text: str, priority: int = Priority.FRESH) -> Vector:
        """Unit vector in the text space: of a passage of a document, or of a question about it."""
        return await self._ask("embed_passages", _clean(text), priority)  # type: ignore[no-any-return]

    async def embed_passages(self, texts: Sequence[str], priority: int = Priority.FRESH) -> Vectors:
        """As :meth:`embed_passage`, shape (n, dim)."""
        return await self._ask_all("embed_passages", texts, priority)

    async def detect(self, picture: Picture, priority: int = Priority.FRESH) -> tuple[Detected, ...]:
        """Objects, surest first."""
        return await self._ask("detect", checked(picture), priority)  # type: ignore[no-any-return]

    async def transcribe(self, sound: Sound, language: str = "", priority: int = Priority.ENRICHMENT) -> Transcript:
        """What is said in it; ``language`` is the one of the recording so far, if that is known."""
        return await self._ask("transcribe", (sound, language), priority)  # type: ignore[no-any-return]

    async def read(self, picture: Picture, priority: int = Priority.ENRICHMENT) -> tuple[Line, ...]:
        """What is written in it, line by line."""
        return await self._ask("read", checked(picture), priority)  # type: ignore[no-any-return]

    async def warm(self) -> None:
        """Load every model now instead of with the first request for it."""
        await asyncio.gather(*(group.load_all() for group in self._groups.values()))

    def status(self) -> tuple[GroupStatus, ...]:
        return tuple(group.status() for group in self._groups.values())

    @property
    def loaded(self) -> tuple[Role, ...]:
        return tuple(role for group in self._groups.values() for role in group.status().loaded)

    @property
    def pids(self) -> list[int]:
        return [group.child.pid for group in self._groups.values() if group.child.pid is not None]

    async def close(self) -> None:
        """End the processes. Who still waits gets :class:`errors.WorkerDied`."""
        await asyncio.gather(*(group.close() for group in self._groups.values()))

    async def _ask_all(self, operation: str, texts: Sequence[str], priority: int) -> Vectors:
        info = self._group(operation).require(_ROLE_OF[operation]).info
        rows = await asyncio.gather(*(self._ask(operation, _clean(text), priority) for text in texts))
        return np.array(rows, np.float32).reshape(len(rows), info.dim)

    async def _ask(self, operation: str, item: object, priority: int) -> Any:
        group = self._group(operation)
        group.require(_ROLE_OF[operation])
        return await group.batcher.ask(operation, item, priority)

    def _group(self, operation: str) -> _Group:
        return next(group for group in self._groups.values() if operation in group.operations)


def _clean(text: str) -> str:
    """Without lone surrogates, which tokenizers refuse."""
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


@dataclass(slots=True)
class _Group:
    """One child and its queue."""

    name: str
    operations: tuple[str, ...]
    resolved: Resolved
    config: ModelConfig
    on_progress: Callable[[str], None]
    arena: Arena = field(init=False)
    child: Child = field(init=False)
    batcher: Batcher = field(init=False)
    _loaded: set[tuple[int | None, Role]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.arena = Arena()
        environment = hub.of_the_machine() | hub.environment(self.config, self.resolved.model_dir)
        self.child = Child(
            hub.WORKER, env=environment, inherits=False, on_note=self._on_note, pass_fds=(self.arena.fd,)
        )
        self.batcher = Batcher(self._run, {operation: self._limit(operation) for operation in self.operations})

    def require(self, role: Role) -> ModelSpec:
        spec = self.resolved.specs.get(role)
        if spec is None:
            known = [problem for problem in self.resolved.problems if problem.role is role]
            message, hint = (known[-1].message, known[-1].hint) if known else (f"models.{role.value} is off", None)
            raise errors.ModelUnavailable(message, hint)
        return spec

    async def load_all(self) -> None:
        for role in dict.fromkeys(_ROLE_OF[operation] for operation in self.operations):
            if role in self.resolved.specs:
                await self._call("load", role, {})

    def status(self) -> GroupStatus:
        pid, queue = self.child.pid, self.batcher
        loaded = tuple(role for role in Role if pid is not None and (pid, role) in self._loaded)
        return GroupStatus(self.name, pid, loaded, queue.waiting, queue.batches, queue.items, queue.items_per_s)

    async def close(self) -> None:
        await self.batcher.close()
        await self.child.close()
        self.arena.close()

    def _limit(self, operation: str) -> int:
        """Of what takes seconds a batch is one, so that what is more urgent comes next."""
        if operation in ("transcribe", "read"):
            return 1
        return max(1, self.config.batch // (PASSAGES_PER_PICTURE if operation == "embed_passages" else 1))

    async def _run(self, operation: str, items: Sequence[Any]) -> Sequence[Any]:
        """One batch: a :data:`lakewatchd.models.batcher.Run`."""
        if operation == "transcribe":
            return [await self._transcribe(*item) for item in items]
        if operation in ("embed_pictures", "detect", "read"):
            args: Json = {"fd": self.arena.fd, "places": self.arena.put(items)}
        else:
            args = {"texts": list(items)}
        reply = await self._call(operation, _ROLE_OF[operation], args)
        if operation == "read":
            return [from_json(tuple[Line, ...], lines) for lines in cast(list[object], reply.header["read"])]
        return _objects(reply) if operation == "detect" else _vectors(reply)

    async def _transcribe(self, sound: Sound, language: str) -> Transcript:
        args: Json = {"is_last": sound.is_last, "language": language}
        seconds = len(sound.samples) / 2 / sound.rate
        deadline_s = DEADLINE_S + SLOWEST_LISTENER * seconds
        reply = await self._call("transcribe", Role.SPEECH, args, (sound.samples,), deadline_s)
        return from_json(Transcript, reply.header["transcript"])

    async def _call(
        self, operation: str, role: Role, args: Json, blobs: Sequence[bytes] = (), deadline_s: float = DEADLINE_S
    ) -> Reply:
        load_args = hub.load_args(self.require(role), self.config)
        return await self.child.call(operation, {**load_args, **args}, blobs, deadline_s=deadline_s)

    def _on_note(self, note: Json) -> None:
        if note.get("event") == "loaded":
            self._loaded = {(pid, role) for pid, role in self._loaded if pid == self.child.pid}
            self._loaded.add((self.child.pid, Role(str(note["role"]))))
        self.on_progress(str(note["text"]))


def _vectors(reply: Reply) -> list[Vector]:
    rows = np.frombuffer(reply.blobs[0], "<f4").reshape(int(str(reply.header["count"])), int(str(reply.header["dim"])))
    return [tuple(row) for row in rows.tolist()]


def _objects(reply: Reply) -> list[tuple[Detected, ...]]:
    found: Any = reply.header["found"]
    return [
        tuple(Detected(name, score, (left, top, right, bottom)) for name, score, left, top, right, bottom in objects)
        for objects in found
    ]
