"""Tags and a category: what is known of an asset is compared with the words of the taxonomy, and all voices are merged.

The words are embedded once per model and kept on disk (:mod:`lakewatchd.stages.prompts`). Scoring itself
is arithmetic (:mod:`lakewatchd.stages.zero_shot`) and is redone whenever an asset is published, so that a
rename or an edited taxonomy costs no inference on content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakewatchd.core.asset import Tag
from lakewatchd.core.lineage import Transform
from lakewatchd.models.base import Role
from lakewatchd.stages import background, family, likeness, voices, zero_shot
from lakewatchd.stages.base import Context, Stage, Work
from lakewatchd.stages.prompts import vectors_of
from lakewatchd.stages.synonyms import Synonyms
from lakewatchd.stages.teaching import School
from lakewatchd.stages.zero_shot import Evidence, Verdict
from lakewatchd.taxonomy import Taxonomy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Tagger:
    """The tag stage. Loads or makes its prompt vectors on first use."""

    def __init__(
        self,
        taxonomy: Taxonomy,
        embed: Stage | None,
        detect: Stage | None,
        family: str = "",
        school: School | None = None,
    ) -> None:
        """``family`` is the image-text model's name: it chooses how its similarities are read. ``school`` is what
        corrections have taught."""
        self.taxonomy = taxonomy
        self.school = school or School()
        self._embed, self._detect = embed, detect
        self._has_detector = detect is not None
        self._family = family
        self._embedded_by = embed.transform if embed else None
        settings = {
            "taxonomy": taxonomy.digest,
            "family": family,
            "embed": embed.transform.id if embed else None,
            "detect": detect.transform.id if detect else None,
            "school": self.school.digest,
        }
        self.transform = Transform.of("tag", 4, settings)
        self._vocabulary = voices.Vocabulary.of(taxonomy)
        self._scorer: zero_shot.Scorer | None = None
        self._synonyms: Synonyms | None = None
        self._loading = asyncio.Lock()

    @classmethod
    def of(cls, stage: Stage) -> Tagger:
        """Whose stage it is."""
        owner = getattr(stage.run, "__self__", None)
        assert isinstance(owner, cls)
        return owner

    def using(self, taxonomy: Taxonomy) -> Tagger:
        """The same with another taxonomy."""
        return Tagger(taxonomy, self._embed, self._detect, self._family, self.school)

    @property
    def embedded_by(self) -> str:
        """The transform of the vectors it can compare; empty without a model."""
        return self._embedded_by.id if self._embedded_by else ""

    @property
    def stage(self) -> Stage:
        return Stage(self.transform, self.run)

    async def run(self, work: Work, ctx: Context) -> None:
        (work.verdict,) = await self.judge([work], ctx)

    async def judge(self, works: Sequence[Work], ctx: Context) -> list[Verdict]:
        """What is said of each; it does not depend on the others. Many are scored in a thread."""
        scorer = await self.scorer(ctx)
        unknown = [work for work in works if work.kin is None]
        if len(unknown) == 1:
            await family.find(unknown[0], ctx)
        elif unknown:
            await family.find_all(unknown, ctx)
        said = [voices.heard(work) for work in works]
        same = [await self._meant(tags, ctx) for tags in said]

        def score() -> list[Verdict]:
            verdicts = scorer.score_many([evidence(work, detected=self._has_detector) for work in works])
            return [self._settled(*facts) for facts in zip(works, verdicts, said, same, strict=True)]

        return score() if len(works) == 1 else await asyncio.to_thread(score)

    def evidence(self, work: Work) -> Evidence:
        return evidence(work, detected=self._has_detector)

    def name(self, word: str) -> str:
        """The tag that a person means by ``word``."""
        return self._vocabulary.name(word.rpartition("/")[2])

    def _settled(self, work: Work, verdict: Verdict, said: tuple[Tag, ...], same: Mapping[str, str]) -> Verdict:
        unsorted = self.taxonomy.fallback.of(work.kind)
        return voices.settle(verdict, said, work.correction, self._vocabulary, unsorted, same)

    async def _meant(self, said: tuple[Tag, ...], ctx: Context) -> dict[str, str]:
        """What words mean that the taxonomy does not have; without a model of texts, themselves."""
        words = voices.free_words(said, self._vocabulary)
        if not words or self._embedded_by is None or ctx.models.info(Role.TEXT) is None:
            return {}
        if self._synonyms is None:
            names = sorted(set(self._vocabulary.names.values()))
            self._synonyms = Synonyms(names, ctx.models.embed_passages)
        return await self._synonyms.meant(words)

    async def scorer(self, ctx: Context) -> zero_shot.Scorer:
        async with self._loading:
            if self._scorer is None:
                self._scorer = await self._load(ctx, self.school)
            return self._scorer

    async def untaught(self, ctx: Context) -> zero_shot.Scorer:
        """As it would judge without any corrections."""
        return await self._load(ctx, self.school.uncorrected)

    async def _load(self, ctx: Context, school: School) -> zero_shot.Scorer:
        images = texts = calm = None
        if self._embedded_by is not None:
            cache, name = ctx.config.model_dir / "prompts", self._embedded_by.config_hash
            prompts, models = zero_shot.prompts(self.taxonomy), ctx.models
            if models.info(Role.IMAGE_TEXT) is not None:
                images = await vectors_of(prompts, cache / f"{name}-image.npz", models.embed_texts)
            if (info := models.info(Role.TEXT)) is not None:
                texts = await vectors_of(prompts, cache / f"{name}-text.npz", models.embed_passages)
                own = school.background.sample(self._embedded_by.id)
                calm = background.together(background.shipped(info.name), own)
        return zero_shot.Scorer(self.taxonomy, images, texts, self._family or likeness.EMBEDDED, school, calm)


def evidence(work: Work, *, detected: bool = False) -> Evidence:
    """All that the words are compared with. ``detected``: a detector has looked at the picture, if it is one."""
    import numpy as np

    def arrays(vectors: list[tuple[float, ...] | None]) -> tuple[Vectors, ...]:
        return tuple(np.asarray(v, dtype=np.float32) for v in vectors if v is not None)

    return Evidence(
        kind=work.kind,
        mime=work.mime,
        name=work.name,
        width=work.row.width,
        height=work.row.height,
        image_vectors=arrays([span.image_vector for span in work.spans]),
        passage_vectors=arrays([span.text_vector for span in work.spans]),
        objects=tuple(found for span in work.spans for found in span.objects),
        camera=work.row.camera,
        software=" ".join(words for name, words in work.row.exif if name in ("Software", "UserComment")),
        title=work.row.title,
        folders=tuple(sorted({part for place in work.places for part in place.key.path.split("/")[:-1]})),
        detected=detected and any(span.is_picture for span in work.spans),
    )
