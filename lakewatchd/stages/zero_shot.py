"""How well the words of the taxonomy fit what is known of an asset: arithmetic on vectors, no model, no table.

A tag can be said by four witnesses: the picture (image vector against ``looks``), the text (passage vectors
against ``about``), the detector (``objects``) and plain facts (the file's ``words``, the picture's frame). Each speaks
in log-odds: 0 is "perhaps", +2 is "surely". Similarities of different models have different ranges, so they are read
relative to how the *whole* vocabulary fits this content: a tag must stand out from the other tags and beat prompts
that mean nothing in particular.

The invariant: where no witness is sure, nothing is said. An untagged file is better than a wrongly tagged one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd.core.asset import Detected, Kind, Tag
from lakewatchd.taxonomy import SAY, Category, TagRule, Taxonomy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    PromptVectors = Vectors
    """``(N, dim)`` unit rows in the order of :func:`prompts`."""

MAX_TAGS = 8


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of an asset. Vectors have unit length; a side without a model is empty."""

    kind: Kind
    mime: str = ""
    name: str = ""
    width: int | None = None
    height: int | None = None
    image_vectors: tuple[Vectors, ...] = ()
    passage_vectors: tuple[Vectors, ...] = ()
    objects: tuple[Detected, ...] = ()
    has_camera: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say: tags best first, at most :data:`MAX_TAGS`, and the category (score 0 if it is the fallback)."""

    tags: tuple[Tag, ...]
    category: str
    category_score: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a similarity must be for even odds, and how fast the odds change around it.

    ``z`` is how many spreads a tag stands above the median tag; ``margin`` is the cosine less ``neutral`` times the
    cosine of the best neutral prompt. Both must convince: the smaller log-odds count.
    """

    z: float
    z_step: float
    margin: float
    margin_step: float
    neutral: float


EMBEDDED = "efficientnet-lite0+all-MiniLM-L6-v2"
IMAGE_CALIBRATIONS = {
    # EfficientNet-Lite0 class probabilities in MiniLM's space: cosines near 1 for a class it knows, and a
    # wide spread of accidental ones, so that the absolute size says most.
    EMBEDDED: Calibration(z=3.0, z_step=0.4, margin=0.54, margin_step=0.06, neutral=0.5),
}
GENERIC = Calibration(z=4.5, z_step=0.5, margin=0.0, margin_step=0.01, neutral=1.0)
"""For CLIP-like models, whose cosines all lie close together: only the rank among the vocabulary tells."""
TEXT_CALIBRATION = Calibration(z=4.8, z_step=0.5, margin=0.30, margin_step=0.04, neutral=0.0)
"""For sentence embedders: the middle of a document against a short topic."""

DETECTOR_EVEN, DETECTOR_STEP = 0.72, 0.06
"""A small detector is sure of much that is not there; below this share it needs a second witness."""
JOINT_BONUS = 3.0
"""Two witnesses that each say "hardly" (-1.5) make even odds together."""
RIVAL_SHARE, ANY_SHARE = 0.85, 0.65
"""What must stand out this much of the best of its category, and of all: a cat resembles a tiger."""
MIN_SPREAD = 0.01
"""Keeps rounding from becoming a score where all prompts fit alike."""
NAME_ODDS, HINT_ODDS = 1.5, 0.5

SCREENS = frozenset({
    (1024, 768), (1280, 720), (1280, 800), (1280, 1024), (1366, 768), (1440, 900), (1536, 864), (1600, 900),
    (1680, 1050), (1920, 1080), (1920, 1200), (2160, 1440), (2256, 1504), (2560, 1080), (2560, 1440), (2560, 1600),
    (2880, 1800), (3024, 1964), (3072, 1920), (3440, 1440), (3456, 2234), (3840, 2160), (5120, 2880),
    (1136, 640), (1334, 750), (1792, 828), (2208, 1242), (2340, 1080), (2400, 1080), (2436, 1125), (2532, 1170),
    (2556, 1179), (2622, 1206), (2688, 1242), (2778, 1284), (2796, 1290), (2868, 1320), (3088, 1440), (3120, 1440),
    (3200, 1440), (2048, 1536), (2224, 1668), (2360, 1640), (2388, 1668), (2732, 2048),
})  # fmt: skip
"""Long side, short side in pixels, of common displays, phones and tablets."""


def prompts(taxonomy: Taxonomy) -> list[str]:
    """Every text to embed, each once, in an order that depends on the taxonomy only."""
    lists = (*_picture_prompts(taxonomy), *_text_prompts(taxonomy))
    return list(dict.fromkeys(text for texts in lists for text in texts))


class Scorer:
    """A taxonomy made ready for one pair of models. Either model may be absent.

    ``family`` is the name of the image-text model, looked up in :data:`IMAGE_CALIBRATIONS`;
    others are read as :data:`GENERIC`.
    Raises ``ValueError`` if vectors are not as many as :func:`prompts`.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        image_text_vectors: PromptVectors | None,
        text_vectors: PromptVectors | None,
        family: str = EMBEDDED,
    ) -> None:
        self._taxonomy = taxonomy
        self._subjects = _subjects(taxonomy)
        order = {text: row for row, text in enumerate(prompts(taxonomy))}
        calibration = IMAGE_CALIBRATIONS.get(family, GENERIC)
        self._picture = _Comparer.of(_picture_prompts(taxonomy), order, image_text_vectors, calibration)
        self._text = _Comparer.of(_text_prompts(taxonomy), order, text_vectors, TEXT_CALIBRATION)

    def score(self, evidence: Evidence) -> Verdict:
        """Deterministic. Raises ``ValueError`` if vectors are of another length than the prompts'."""
        pictured = self._odds(self._picture, evidence.image_vectors if _is_visual(evidence.kind) else ())
        read = self._odds(self._text, evidence.passage_vectors)
        said: list[Tag] = []
        weights: dict[str, float] = {}
        for subject, by_picture, by_text in zip(self._subjects, pictured, read, strict=True):
            tag = _decide(subject.rule, evidence, max(by_picture, by_text))
            if tag is None:
                continue
            if not subject.is_category:
                said.append(tag)
            weights[subject.category] = 1 - (1 - weights.get(subject.category, 0.0)) * (1 - tag.score)
        said.sort(key=lambda tag: -tag.score)  # stable: equal scores keep the order of the file
        category = max(weights, key=weights.__getitem__, default=self._taxonomy.fallback.of(evidence.kind))
        return Verdict(tuple(said[:MAX_TAGS]), category, weights.get(category, 0.0))

    def _odds(self, comparer: _Comparer | None, vectors: Sequence[Vectors]) -> list[float]:
        if comparer is None or not vectors:
            return [-math.inf] * len(self._subjects)
        return _without_weak_rivals(comparer.odds(vectors), self._subjects)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What can be said: a tag, or a category by its own descriptions."""

    category: str
    rule: TagRule
    is_category: bool


def _subjects(taxonomy: Taxonomy) -> tuple[_Subject, ...]:
    def of(category: Category) -> Iterable[_Subject]:
        own = TagRule(category.name, category.looks, category.about)
        yield _Subject(category.name, own, is_category=True)
        yield from (_Subject(category.name, rule, is_category=False) for rule in category.tags)

    return tuple(subject for category in taxonomy.categories for subject in of(category))


def _picture_prompts(taxonomy: Taxonomy) -> list[list[str]]:
    """One list per subject, then the neutral ones."""
    lists = [*(subject.rule.looks for subject in _subjects(taxonomy)), taxonomy.neutral.pictures]
    return [[taxonomy.templates.picture.format(text) for text in texts] for texts in lists]


def _text_prompts(taxonomy: Taxonomy) -> list[list[str]]:
    lists = [*(subject.rule.about for subject in _subjects(taxonomy)), taxonomy.neutral.texts]
    return [[taxonomy.templates.text.format(text) for text in texts] for texts in lists]


@dataclass(frozen=True, slots=True)
class _Odds:
    """Per subject: log-odds, and how far it stands out (z). ``-inf`` for what has no description."""

    odds: Sequence[float]
    z: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Comparer:
    """The prompts of one side (pictures or texts) and what their similarities mean."""

    rows: Vectors
    """All descriptions of all subjects, then the neutral ones."""
    owners: NDArray[np.intp]
    """Per row the number of its subject; the neutral set counts as the last."""
    subjects: int
    calibration: Calibration

    @classmethod
    def of(
        cls, lists: list[list[str]], order: dict[str, int], vectors: PromptVectors | None, calibration: Calibration
    ) -> _Comparer | None:
        import numpy as np

        if vectors is None:
            return None
        if len(vectors) != len(order):
            raise ValueError(f"{len(vectors)} prompt vectors for {len(order)} prompts")
        rows = vectors[[order[text] for texts in lists for text in texts]]
        owners = [owner for owner, texts in enumerate(lists) for _ in texts]
        return cls(rows, np.array(owners, dtype=np.intp), len(lists) - 1, calibration)

    def odds(self, vectors: Sequence[Vectors]) -> _Odds:
        import numpy as np

        middle = np.mean(np.stack(vectors), axis=0, dtype=np.float64)
        middle /= max(float(np.linalg.norm(middle)), 1e-12)
        best = np.full(self.subjects + 1, -math.inf)
        np.maximum.at(best, self.owners, self.rows @ middle)
        fits, neutral = best[:-1], best[-1]
        described = fits[np.isfinite(fits)]
        if not described.size:  # nothing to compare, or a vector that is no number
            return _Odds([-math.inf] * fits.size, [-math.inf] * fits.size)
        median = np.median(described)
        spread = max(1.4826 * float(np.median(np.abs(described - median))), MIN_SPREAD)
        z = (fits - median) / spread
        scale = self.calibration
        margin = fits - scale.neutral * max(float(neutral), 0.0)
        odds = np.minimum((z - scale.z) / scale.z_step, (margin - scale.margin) / scale.margin_step)
        return _Odds(odds.tolist(), z.tolist())


def _without_weak_rivals(fit: _Odds, subjects: Sequence[_Subject]) -> list[float]:
    """The odds, but "no" for what stands out clearly less than the best of its category, or of all."""
    best: dict[str, float] = {}
    for subject, z in zip(subjects, fit.z, strict=True):
        best[subject.category] = max(best.get(subject.category, 0.0), z)
    enough = {category: max(RIVAL_SHARE * z, ANY_SHARE * max(best.values())) for category, z in best.items()}
    return [
        odds if z >= enough[subject.category] else min(odds, -JOINT_BONUS)
        for subject, odds, z in zip(subjects, fit.odds, fit.z, strict=True)
    ]


def _decide(rule: TagRule, evidence: Evidence, by_model: float) -> Tag | None:
    """The tag with its score and the witness that spoke loudest, or None if it is not to be said.

    The rule's threshold shifts the score: one half is "say it" for every tag.
    """
    seen = max((found.score for found in evidence.objects if found.name.replace("_", " ") in rule.objects), default=0.0)
    by_detector = (seen - DETECTOR_EVEN) / DETECTOR_STEP if seen else -math.inf
    witnesses = {"model": by_model, "detector": by_detector, "name": _by_facts(rule, evidence)}
    origin = max(witnesses, key=witnesses.__getitem__)
    odds = max(witnesses[origin], by_model + by_detector + JOINT_BONUS)
    score = _probability(odds - math.log(rule.threshold / (1 - rule.threshold)))
    return Tag(rule.name, score, origin) if score >= SAY else None


def _by_facts(rule: TagRule, evidence: Evidence) -> float:
    if rule.words and _has_word(evidence.name, rule.words):
        return NAME_ODDS
    if rule.hint == "screen-size" and _is_screen(evidence):
        return HINT_ODDS
    if rule.hint == "panorama" and _is_panorama(evidence):
        return HINT_ODDS
    return -math.inf


def _has_word(name: str, words: Iterable[str]) -> bool:
    """Whole words of the name without its extension: ``IMG-invoice_3.pdf`` has ``invoice``, not ``voice``."""
    stem = name.rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    spaced = " ".join(["", *re.findall(r"[^\W\d_]+", stem.lower()), ""])
    return any(f" {word} " in spaced for word in words)


def _is_screen(evidence: Evidence) -> bool:
    """Lossless, no camera, exactly a screen's pixels."""
    if evidence.kind is not Kind.IMAGE or evidence.has_camera or evidence.mime != "image/png":
        return False
    if evidence.width is None or evidence.height is None:
        return False
    return (max(evidence.width, evidence.height), min(evidence.width, evidence.height)) in SCREENS


def _is_panorama(evidence: Evidence) -> bool:
    """Taken with a camera and more than two and a half times as wide as high, which no sensor is."""
    if evidence.kind is not Kind.IMAGE or not evidence.has_camera:
        return False
    return bool(evidence.width and evidence.height and evidence.width > 2.5 * evidence.height)


def _is_visual(kind: Kind) -> bool:
    return kind in (Kind.IMAGE, Kind.VIDEO)


def _probability(odds: float) -> float:
    """Logistic, bounded so that no score is a certainty and none overflows."""
    return 1 / (1 + math.exp(-min(max(odds, -30.0), 6.0)))
