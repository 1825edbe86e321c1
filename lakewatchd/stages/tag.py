"""Tags and a category, by comparing what is known of an asset with the words of the taxonomy.

The words are embedded once per model and taxonomy and kept on disk: a restart embeds nothing. Scoring itself
is arithmetic (:mod:`lakewatchd.stages.zero_shot`) and is redone whenever an asset is published, so that a
rename or an edited taxonomy costs no inference on content.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.core.asset import Kind
from lakewatchd.core.lineage import Transform
from lakewatchd.models.base import Role
from lakewatchd.stages import likeness, zero_shot
from lakewatchd.stages.base import Context, Stage, Work
from lakewatchd.taxonomy import Taxonomy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Tagger:
    """The tag stage. Loads or makes its prompt vectors on first use."""

    def __init__(self, taxonomy: Taxonomy, embed: Stage | None, detect: Stage | None, family: str = "") -> None:
        """``family`` is the image-text model's name: it chooses how its similarities are read."""
        self._taxonomy = taxonomy
        self._has_vectors = embed is not None
        self._has_detector = detect is not None
        self._family = family
        settings = {
            "taxonomy": taxonomy.digest,
            "family": family,
            "embed": embed.transform.id if embed else None,
            "detect": detect.transform.id if detect else None,
        }
        self.transform = Transform.of("tag", 1, settings)
        self._scorer: zero_shot.Scorer | None = None
        self._loading = asyncio.Lock()

    @property
    def stage(self) -> Stage:
        return Stage(self.transform, self.run)

    async def run(self, work: Work, ctx: Context) -> None:
        scorer = await self._ready(ctx)
        work.verdict = scorer.score(evidence(work, detected=self._has_detector))

    async def _ready(self, ctx: Context) -> zero_shot.Scorer:
        async with self._loading:
            if self._scorer is None:
                self._scorer = await self._load(ctx)
            return self._scorer

    async def _load(self, ctx: Context) -> zero_shot.Scorer:
        images = texts = None
        if self._has_vectors:
            cache = ctx.config.model_dir / "prompts"
            prompts = zero_shot.prompts(self._taxonomy)
            models, name = ctx.models, self.transform.config_hash
            if models.info(Role.IMAGE_TEXT) is not None:
                images = await _cached(cache / f"{name}-image.npy", lambda: models.embed_texts(prompts))
            if models.info(Role.TEXT) is not None:
                texts = await _cached(cache / f"{name}-text.npy", lambda: models.embed_passages(prompts))
        return zero_shot.Scorer(self._taxonomy, images, texts, family=self._family or likeness.EMBEDDED)


def evidence(work: Work, *, detected: bool = False) -> zero_shot.Evidence:
    """All that the words are compared with. ``detected``: a detector has looked at the picture, if it is one."""
    import numpy as np

    def arrays(vectors: list[tuple[float, ...] | None]) -> tuple[Vectors, ...]:
        return tuple(np.asarray(v, dtype=np.float32) for v in vectors if v is not None)

    return zero_shot.Evidence(
        kind=work.kind,
        mime=work.mime,
        name=work.name,
        width=work.row.width,
        height=work.row.height,
        image_vectors=arrays([span.image_vector for span in work.spans]),
        passage_vectors=arrays([span.text_vector for span in work.spans]),
        objects=tuple(found for span in work.spans for found in span.objects),
        has_camera=bool(work.row.camera),
        detected=detected and work.kind is Kind.IMAGE,
    )


async def _cached(path: Path, make: Callable[[], Awaitable[Vectors]]) -> Vectors:
    """The vectors kept at ``path``; made and kept there the first time."""
    kept = await asyncio.to_thread(_load, path)
    if kept is None:
        kept = await make()
        await asyncio.to_thread(_save, path, kept)
    return kept


def _load(path: Path) -> Vectors | None:
    import numpy as np

    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    except (OSError, ValueError, EOFError):  # not there, or torn by a power cut: made again
        return None


def _save(path: Path, vectors: Vectors) -> None:
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
