"""How well the words of the taxonomy fit what is known of an asset: arithmetic on vectors, no model, no table.

A tag can be said by four witnesses: the picture (image vector against ``looks``), the text (passage vectors
against ``about``), the detector (``objects``) and plain facts (the file's ``words``, the picture's frame). Each speaks
in log-odds (:mod:`lakewatchd.stages.likeness`): 0 is "perhaps", +2 is "surely". Witnesses who know the same thing check
each other: the picture's word for a dog counts less where a detector saw none, and the detector's less where the
picture surely shows an animal that the detector has no name for.

The invariant: where no witness is sure, nothing is said. An untagged file is better than a wrongly tagged one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd.core.asset import Detected, Kind, Tag
from lakewatchd.stages.likeness import EMBEDDED, GENERIC, IMAGE_CALIBRATIONS, TEXT_CALIBRATION, Comparer, Odds
from lakewatchd.taxonomy import SAY, Category, TagRule, Taxonomy

if TYPE_CHECKING:
    from lakewatchd.stages.likeness import PromptVectors, Vectors

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
    detected: bool = False
    """A detector has looked at it: what it could have seen and is not among ``objects`` is doubtful."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say: tags best first, at most :data:`MAX_TAGS`, and the category (score 0 if it is the fallback)."""

    tags: tuple[Tag, ...]
    category: str
    category_score: float


DETECTOR_EVEN, DETECTOR_STEP = 0.72, 0.06
"""A small detector is sure of much that is not there; below this share it needs a second witness."""
JOINT_BONUS = 4.0
"""Two witnesses that each say "hardly" (-2) make even odds together."""
SURE, STRANGER = 1.0, 3.0
"""A detector calls what it has no name for by the nearest it has. Where the picture is ``SURE`` of such a thing,
``STRANGER`` is what the detector's word for its like loses: a cheetah is no dog, unless a dog is clear (0.90)."""
RIVAL_SHARE, ANY_SHARE = 0.85, 0.65
"""What must stand out this much of the best of its category, and of all: a cat resembles a tiger."""
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
        places = [subject.is_place for subject in self._subjects]
        self._picture = Comparer.of(_picture_prompts(taxonomy), order, places, image_text_vectors, calibration)
        self._text = Comparer.of(_text_prompts(taxonomy), order, places, text_vectors, TEXT_CALIBRATION)
        self._silence = calibration.doubt

    def score(self, evidence: Evidence) -> Verdict:
        """Deterministic. Raises ``ValueError`` if vectors are of another length than the prompts'."""
        pictured = self._pictured(evidence)
        read = self._odds(self._text, evidence.passage_vectors)
        strangers = self._strangers(pictured) if evidence.detected else frozenset()
        said: list[Tag] = []
        weights: dict[str, float] = {}
        for subject, by_picture, by_text in zip(self._subjects, pictured, read, strict=True):
            doubt = STRANGER if strangers.intersection(subject.resembles) else 0.0
            tag = _decide(subject.rule, evidence, max(by_picture, by_text), doubt)
            if tag is None:
                continue
            if not subject.is_category:
                said.append(tag)
            weights[subject.category] = 1 - (1 - weights.get(subject.category, 0.0)) * (1 - tag.score)
        said.sort(key=lambda tag: -tag.score)  # stable: equal scores keep the order of the file
        category = max(weights, key=weights.__getitem__, default=self._taxonomy.fallback.of(evidence.kind))
        return Verdict(tuple(said[:MAX_TAGS]), category, weights.get(category, 0.0))

    def _pictured(self, evidence: Evidence) -> list[float]:
        """The picture's word, less where a detector who knows the thing did not see it."""
        odds = self._odds(self._picture, evidence.image_vectors if _is_visual(evidence.kind) else ())
        if not evidence.detected:
            return odds
        rules = [subject.rule for subject in self._subjects]
        missing = [bool(rule.objects) and not _seen(rule, evidence) for rule in rules]
        return [odd - self._silence * missed for odd, missed in zip(odds, missing, strict=True)]

    def _strangers(self, pictured: list[float]) -> frozenset[str]:
        """The categories of which the picture surely shows a thing that no detector has a name for."""
        return frozenset(
            subject.category
            for subject, odds in zip(self._subjects, pictured, strict=True)
            if not subject.rule.objects and not subject.is_category and odds - _hurdle(subject.rule) >= SURE
        )

    def _odds(self, comparer: Comparer | None, vectors: Sequence[Vectors]) -> list[float]:
        if comparer is None or not vectors:
            return [-math.inf] * len(self._subjects)
        return _without_weak_rivals(comparer.odds(vectors), self._subjects)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What can be said: a tag, or a category by its own descriptions."""

    category: str
    rule: TagRule
    is_category: bool
    is_place: bool
    resembles: tuple[str, ...]


def _subjects(taxonomy: Taxonomy) -> tuple[_Subject, ...]:
    def of(category: Category) -> Iterable[_Subject]:
        own = TagRule(category.name, category.looks, category.about)
        yield _Subject(category.name, own, True, category.places, category.resembles)
        yield from (_Subject(category.name, rule, False, category.places, category.resembles) for rule in category.tags)

    return tuple(subject for category in taxonomy.categories for subject in of(category))


def _picture_prompts(taxonomy: Taxonomy) -> list[list[str]]:
    """One list per subject, then the neutral ones."""
    lists = [*(subject.rule.looks for subject in _subjects(taxonomy)), taxonomy.neutral.pictures]
    return [[taxonomy.templates.picture.format(text) for text in texts] for texts in lists]


def _text_prompts(taxonomy: Taxonomy) -> list[list[str]]:
    lists = [*(subject.rule.about for subject in _subjects(taxonomy)), taxonomy.neutral.texts]
    return [[taxonomy.templates.text.format(text) for text in texts] for texts in lists]


def _without_weak_rivals(fit: Odds, subjects: Sequence[_Subject]) -> list[float]:
    """The odds, but "no" for what stands out clearly less than the best of its category, or of all."""
    best: dict[str, float] = {}
    for subject, z in zip(subjects, fit.z, strict=True):
        best[subject.category] = max(best.get(subject.category, 0.0), z)
    enough = {category: max(RIVAL_SHARE * z, ANY_SHARE * max(best.values())) for category, z in best.items()}
    return [
        odds if z >= enough[subject.category] else min(odds, -JOINT_BONUS)
        for subject, odds, z in zip(subjects, fit.odds, fit.z, strict=True)
    ]


def _decide(rule: TagRule, evidence: Evidence, by_model: float, doubt: float) -> Tag | None:
    """The tag with its score and the witness that spoke loudest, or None if it is not to be said.

    ``doubt`` is taken from the detector's odds. The rule's threshold shifts the score: one half is "say it" for every
    tag.
    """
    seen = _seen(rule, evidence)
    by_detector = (seen - DETECTOR_EVEN) / DETECTOR_STEP - doubt if seen else -math.inf
    witnesses = {"model": by_model, "detector": by_detector, "name": _by_facts(rule, evidence)}
    origin = max(witnesses, key=witnesses.__getitem__)
    odds = max(witnesses[origin], by_model + by_detector + JOINT_BONUS)
    score = _probability(odds - _hurdle(rule))
    return Tag(rule.name, score, origin) if score >= SAY else None


def _hurdle(rule: TagRule) -> float:
    return math.log(rule.threshold / (1 - rule.threshold))


def _seen(rule: TagRule, evidence: Evidence) -> float:
    """How sure the detector is of the rule's objects; 0 where it saw none."""
    return max((found.score for found in evidence.objects if found.name.replace("_", " ") in rule.objects), default=0.0)


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
