"""A film scene by scene: which clips it has, what each looks like, and what is in it.

Vectors and objects are made here and not by ``embed`` and ``detect``, since the pixels of clips are only there while
the film is decoded. So another image-text model or detector renews this stage; another text model does not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Iterable, Sequence

from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Detected
from lakewatchd.core.content import Frame, Picture, Task
from lakewatchd.core.job import Lane
from lakewatchd.core.lineage import Transform
from lakewatchd.lake.rows import SpanRow, Vector
from lakewatchd.models.base import ModelInfo
from lakewatchd.models.vectors import clipping
from lakewatchd.stages import spans
from lakewatchd.stages.base import Context, Stage, Work, look_closer

CLIPS = Task("clips")
AT_ONCE = 16
"""Pictures that wait for a model at the same time: a batch or two."""


def stage(config: DecodeConfig, image_text: ModelInfo | None, detector: ModelInfo | None) -> Stage:
    transform = clipping(config.max_pixels, image_text, detector)

    async def run(work: Work, ctx: Context) -> None:
        content = await look_closer(work, ctx, CLIPS)
        pictures = [frame.picture for frame in content.frames]
        vectors = await _vectors(pictures, work, ctx) if image_text else [None] * len(pictures)
        objects = await _objects(pictures, work, ctx) if detector else [()] * len(pictures)
        seen = zip(content.frames, vectors, objects, strict=True)
        by_clip = itertools.groupby(seen, key=lambda one: (one[0].start_s, one[0].end_s))
        spans.put(work, spans.CLIPS, (_span(work, transform, list(clip)) for _, clip in by_clip))
        work.row = dataclasses.replace(work.row, signature=content.signature)

    return Stage(transform, run, Lane.HEAVY)


def _span(
    work: Work, transform: Transform, clip: Sequence[tuple[Frame, Vector | None, tuple[Detected, ...]]]
) -> SpanRow:
    """One clip, of its pictures with what models say of each."""
    frames, vectors, objects = zip(*clip, strict=True)
    vector = mean(vectors)
    return SpanRow(
        work.asset_id,
        0,
        "clip",
        start_s=frames[0].start_s,
        end_s=frames[0].end_s,
        image_vector=vector,
        vector_transform=transform.id if vector else "",
        objects=surest(objects),
        phash=frames[0].phash,
    )


async def _vectors(pictures: Sequence[Picture], work: Work, ctx: Context) -> list[Vector | None]:
    made: list[Vector | None] = []
    for some in _some(pictures):
        made += await asyncio.gather(*(ctx.models.embed_picture(picture, priority=work.priority) for picture in some))
    return made


async def _objects(pictures: Sequence[Picture], work: Work, ctx: Context) -> list[tuple[Detected, ...]]:
    found: list[tuple[Detected, ...]] = []
    for some in _some(pictures):
        found += await asyncio.gather(*(ctx.models.detect(picture, priority=work.priority) for picture in some))
    return found


def _some(pictures: Sequence[Picture]) -> Iterable[Sequence[Picture]]:
    return (pictures[at : at + AT_ONCE] for at in range(0, len(pictures), AT_ONCE))


def mean(vectors: Iterable[Vector | None]) -> Vector | None:
    """Of unit vectors, the unit vector between them; None if there is none."""
    import numpy as np

    there = [vector for vector in vectors if vector is not None]
    if not there:
        return None
    between = np.mean(np.asarray(there, dtype=np.float64), axis=0)
    length = float(np.linalg.norm(between))
    return tuple((between / length).tolist()) if length else there[0]


def surest(pictures: Iterable[tuple[Detected, ...]]) -> tuple[Detected, ...]:
    """What is in any of the pictures: objects of one sort are those of the picture where one of them is surest, so that
    a dog that is in three pictures is one dog."""
    best: dict[str, list[Detected]] = {}
    for objects in pictures:
        alike: dict[str, list[Detected]] = {}
        for found in objects:
            alike.setdefault(found.name, []).append(found)
        for name, here in alike.items():
            best[name] = max(best.get(name, []), here, key=_score)
    every = (found for here in best.values() for found in here)
    return tuple(sorted(every, key=lambda found: found.score, reverse=True))


def _score(alike: Sequence[Detected]) -> float:
    return max((found.score for found in alike), default=0.0)
