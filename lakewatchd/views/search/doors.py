"""The ways in which an asset can be found, each a ranking of its own, asked at the same time.

``words`` looks for what was typed in titles, folders, tags, captions and passages, ``parts`` for longer words that hold
it, and ``name`` tells which of these are called so; ``picture`` and ``text`` look for what is meant, by vectors;
``object`` for what a detector saw; ``like`` for look-alikes of an example. Invariant: a door answers in time or is told
to be missing, and nothing that a question rules out comes through any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lakewatchd import errors
from lakewatchd.core.asset import AssetId, path_text
from lakewatchd.lake.finder import Finder, Near, Space, Words
from lakewatchd.lake.rows import SpanRow, Vector
from lakewatchd.models.base import ModelInfo, Role
from lakewatchd.views.search import filters, gate, snippet
from lakewatchd.views.search.condition import Condition
from lakewatchd.views.search.example import Example
from lakewatchd.views.search.gate import Gate
from lakewatchd.views.search.queries import Encoder
from lakewatchd.views.search.words import Asked

EXAMPLE_VECTORS = 4
"""Of one example, that are asked for: a film has hundreds."""
UNKNOWN = 0.5
"""The cosine that is like enough within one recording, of a model that was not measured."""
AGAINST = 200
"""Pictures that are most like what must not be in them."""

_T = TypeVar("_T")
_SPACES: dict[Role, Space] = {Role.IMAGE_TEXT: "image", Role.TEXT: "text"}


@dataclass(slots=True)
class Answers:
    """What came through the doors."""

    rankings: dict[str, list[Near]] = field(default_factory=dict)
    pieces: dict[tuple[AssetId, int], SpanRow] = field(default_factory=dict)
    """That were read on the way."""
    has_more: bool = False
    """A door was not asked for all that it has."""
    missing: list[str] = field(default_factory=list)
    """Doors that gave no answer."""
    advice: list[str] = field(default_factory=list)


class Doors:
    """``patience_s`` is how long a model may take; the lake is waited for."""

    def __init__(self, finder: Finder, encoder: Encoder | None, patience_s: float) -> None:
        self._finder = finder
        self._encoder = encoder
        self._patience_s = patience_s

    async def ask(self, asked: Asked, condition: Condition, depth: int, example: Example | None) -> Answers:
        """The ``depth`` best of each door that has something to say. Raises what the lake raises."""
        answers = Answers()
        asking: dict[str, Awaitable[list[Near]]] = {}
        if asked.has_words:
            asking["words"] = self._words(asked, condition.gold, depth, answers)
        if asked.longer:
            asking["parts"] = self._parts(asked, condition.gold, depth, answers)
        if asked.query.object:
            asking["object"] = self._objects(asked.query.object, condition, depth, answers)
        if asked.text and self._encoder is not None:
            for door, role in (("picture", Role.IMAGE_TEXT), ("text", Role.TEXT)):
                asking[door] = self._meaning(door, role, asked.text, condition.gold, depth, answers)
        if example is not None:
            asking["like"] = self._like(example, asked, condition.gold, depth, answers)
        found = await asyncio.gather(*asking.values())
        answers.rankings = {door: hits for door, hits in zip(asking, found, strict=True) if hits}
        if asked.names:
            await self._name(answers, asked)
        await self._support(answers, asked)
        self._demand(answers, asked)
        if asked.without:
            await self._refuse(answers, asked)
        return answers

    async def of_meaning(self, text: str, where: str, depth: int, answers: Answers) -> dict[str, list[Near]]:
        """The two doors of vectors for any text."""
        if self._encoder is None:
            return {}
        doors = (("picture", Role.IMAGE_TEXT), ("text", Role.TEXT))
        found = await asyncio.gather(*(self._meaning(door, role, text, where, depth, answers) for door, role in doors))
        return {door: hits for (door, _), hits in zip(doors, found, strict=True) if hits}

    async def compared(self, text: str) -> tuple[dict[Role, Vector], dict[Role, float]]:
        """The vectors of ``text``, and the cosine from which on something is like it."""
        vectors, leasts, ignored = {}, {}, Answers()
        for role in _SPACES:
            model = await self._model(role)
            if model is None or not text:
                continue
            vector = await self._text(role.value, role, text, ignored)
            if vector is not None:
                vectors[role], leasts[role] = vector, gate.LEAST.get((role, model.name), UNKNOWN)
        return vectors, leasts

    async def made_by(self) -> frozenset[str]:
        """The transforms whose vectors may be compared with a question's."""
        return await self._encoder.made_by() if self._encoder is not None else frozenset()

    # --- one by one ---------------------------------------------------------------------------------------

    async def _words(self, asked: Asked, where: str, depth: int, answers: Answers) -> list[Near]:
        wanted = Words(any=asked.words, phrases=asked.phrases, none=asked.without)
        if not asked.years:
            found = await self._finder.words(wanted, depth, where)
            return _noted(gate.of_best(found, gate.OF_BEST_WORDS), depth, answers)
        # "report 2019" is a report of that year, or one that says so
        undated = filters.where_of(asked, dated=False).gold
        saying = Words(all=(*asked.years, *asked.words), phrases=asked.phrases, none=asked.without)
        dated, said = await asyncio.gather(
            self._finder.words(wanted, depth, where), self._finder.words(saying, depth, undated)
        )
        best = {near.asset_id: near for near in sorted((*said, *dated), key=lambda near: near.score)}
        hits = sorted(best.values(), key=lambda near: (-near.score, near.asset_id))
        return _noted(hits[:depth], depth, answers)

    async def _parts(self, asked: Asked, where: str, depth: int, answers: Answers) -> list[Near]:
        wanted = Words(any=tuple(asked.forms), phrases=asked.phrases, none=asked.without)
        found = await self._finder.words(wanted, depth, where)
        return _noted(gate.of_best(found, gate.OF_BEST_WORDS), depth, answers)

    async def _objects(self, thing: str, condition: Condition, depth: int, answers: Answers) -> list[Near]:
        found = await self._finder.objects(thing, depth, condition.gold, condition.thing)
        return _noted(found, depth, answers)

    async def _meaning(self, door: str, role: Role, text: str, where: str, depth: int, answers: Answers) -> list[Near]:
        model = await self._model(role)
        vector = await self._text(door, role, text, answers) if model else None
        if model is None or vector is None:
            return []
        made_by = await self.made_by()
        hits = await self._finder.nearest(_SPACES[role], vector, depth, where, made_by=made_by)
        return await self._near_enough(hits, role, model, depth, answers)

    async def _near_enough(
        self, hits: list[Near], role: Role, model: ModelInfo, depth: int, answers: Answers
    ) -> list[Near]:
        known = Gate(role, model.name)
        least = gate.LEAST.get((role, model.name), -1.0)
        hits = _noted(gate.of_best((near for near in hits if near.score >= least), gate.OF_BEST), depth, answers)
        if known.needs_vectors:
            neutral = await self._patiently(role.value, answers, lambda encoder: encoder.neutral(role))
            known = Gate(role, model.name, neutral or ())
        if not known.reads:
            return known.pass_through(hits)
        wanted = ((hit.asset_id, hit.span) for hit in hits if hit.span is not None)
        return known.pass_through(hits, await self._finder.pieces(wanted, known.reads))

    async def _like(self, example: Example, asked: Asked, where: str, depth: int, answers: Answers) -> list[Near]:
        """By pictures where it has any, else by texts; of several, the best for each asset."""
        role = Role.IMAGE_TEXT if example.pictures else Role.TEXT
        space = _SPACES[role]
        vectors = (example.pictures or example.texts)[:EXAMPLE_VECTORS]
        if asked.query.but:
            shift = await self._shift(role, asked.query.but, answers)
            vectors = tuple(_moved(vector, shift) for vector in vectors) if shift else vectors
        asking = (self._finder.nearest(space, vector, depth + 1, where, made_by=example.made_by) for vector in vectors)
        found = await asyncio.gather(*asking)
        best: dict[AssetId, Near] = {}
        for near in sorted((near for hits in found for near in hits), key=lambda near: near.score):
            best[near.asset_id] = near
        best.pop(example.asset_id, None)
        model = await self._model(role)
        least = 0.0 if model is None or asked.query.but else gate.LEAST.get((role, model.name), 0.0)
        hits = sorted(best.values(), key=lambda near: (-near.score, near.asset_id))[:depth]
        return _noted(gate.of_best((near for near in hits if near.score >= least), gate.OF_BEST), depth, answers)

    async def _shift(self, role: Role, but: str, answers: Answers) -> Vector | None:
        """What the words add to an everyday picture: pictures and words lie apart in the space they share, so a word's
        own vector would move everything the same way."""
        import numpy as np

        vector = await self._text("like", role, but, answers)
        neutral = await self._patiently("like", answers, lambda encoder: encoder.neutral(role))
        if vector is None or neutral is None:
            return None
        moved = np.asarray(vector) - np.mean(np.asarray(neutral), axis=0)
        return tuple((moved / max(float(np.linalg.norm(moved)), 1e-9)).tolist())

    async def _name(self, answers: Answers, asked: Asked) -> None:
        """Of what holds the words, that whose path holds the names as they were typed: first what is called just so."""
        found = {near.asset_id: near for door in ("parts", "words") for near in answers.rankings.get(door, ())}
        names, whole = [snippet.fold(name) for name in asked.names], snippet.fold(asked.text)
        paths = {row.asset_id: f"{row.best.root}/{snippet.fold(path_text(row.best.path))}"
                 for row in (await self._finder.facts(found)).values()}  # fmt: skip

        def fit(near: Near) -> tuple[bool, bool]:
            path = f"/{paths[near.asset_id]}"
            return not path.endswith(f"/{whole}"), whole not in path

        named = [near for key, near in found.items() if key in paths and all(name in paths[key] for name in names)]
        if named:
            answers.rankings["name"] = sorted(named, key=lambda near: (*fit(near), -near.score, near.asset_id))

    # --- all of them --------------------------------------------------------------------------------------

    async def _support(self, answers: Answers, asked: Asked) -> None:
        """Drop what one model finds a little like the question, and nothing else does."""
        for door, role in (("text", Role.TEXT), ("picture", Role.IMAGE_TEXT)):
            model = await self._model(role) if door in answers.rankings else None
            if model is None:
                continue
            least = gate.alone(role, model.name, asks=asked.asks)
            others = {near.asset_id for name, hits in answers.rankings.items() if name != door for near in hits}
            hits = [near for near in answers.rankings[door] if near.score >= least or near.asset_id in others]
            kept = {**answers.rankings, door: hits}
            answers.rankings = {name: hits for name, hits in kept.items() if hits}

    def _demand(self, answers: Answers, asked: Asked) -> None:
        """A phrase must be said, a thing must be seen: what other doors found beside that is dropped."""
        for door, is_demanded in (("words", bool(asked.phrases)), ("object", bool(asked.query.object))):
            if is_demanded:
                ids = {near.asset_id for near in answers.rankings.get(door, ())}
                kept = {
                    name: [near for near in hits if near.asset_id in ids] for name, hits in answers.rankings.items()
                }
                answers.rankings = {name: hits for name, hits in kept.items() if hits}

    async def _refuse(self, answers: Answers, asked: Asked) -> None:
        """Drop what says, or shows, what must not be there."""
        ids = {near.asset_id for hits in answers.rankings.values() for near in hits}
        refused = await self._finder.saying(asked.without, ids)
        seen = await asyncio.gather(*(self._shown(text, answers) for text in asked.without))
        refused |= set().union(*seen)
        kept = {
            door: [near for near in hits if near.asset_id not in refused] for door, hits in answers.rankings.items()
        }
        answers.rankings = {door: hits for door, hits in kept.items() if hits}

    async def _shown(self, text: str, answers: Answers) -> set[AssetId]:
        found = await self.of_meaning(text, "", AGAINST, answers)
        return {near.asset_id for near in found.get("picture", ())}

    async def _model(self, role: Role) -> ModelInfo | None:
        return await self._encoder.model(role) if self._encoder is not None else None

    async def _text(self, door: str, role: Role, text: str, answers: Answers) -> Vector | None:
        return await self._patiently(door, answers, lambda encoder: encoder.text(role, text))

    async def _patiently(self, door: str, answers: Answers, ask: Callable[[Encoder], Awaitable[_T]]) -> _T | None:
        """What a model says, or None: then the door is told to be missing, and what the model does goes on."""
        if self._encoder is None:
            return None
        try:
            async with asyncio.timeout(self._patience_s):
                return await ask(self._encoder)
        except TimeoutError:
            _note(answers, door, "the models are still being loaded: ask again in a moment")
        except (errors.PauseError, errors.TransientError) as exc:
            _note(answers, door, f"{exc.message}{f': {exc.hint}' if exc.hint else ''}")
        return None


def _noted(hits: list[Near], depth: int, answers: Answers) -> list[Near]:
    """The best, of which none was left out for its score: where they are as many as were asked for, more may follow."""
    answers.has_more |= len(hits) >= depth
    return hits


def _note(answers: Answers, door: str, advice: str) -> None:
    for said, to in ((door, answers.missing), (advice, answers.advice)):
        if said not in to:
            to.append(said)


def _moved(vector: Sequence[float], shift: Vector) -> Vector:
    """Between the two, of unit length."""
    import numpy as np

    moved = np.asarray(vector) + np.asarray(shift)
    return tuple((moved / max(float(np.linalg.norm(moved)), 1e-9)).tolist())
