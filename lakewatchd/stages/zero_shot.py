"""How well the words of the taxonomy fit what is known of an asset: arithmetic on vectors, no model, no table.

A tag can be said by these witnesses: the picture (image vector against ``looks``), the text (passage vectors
against ``about``), the detector (``objects``) and plain facts (``words`` in the file's name, its title or the names of
its folders, the picture's frame). Each speaks in log-odds (:mod:`lakewatchd.stages.likeness`): 0 is "perhaps", +2 is
"surely". Witnesses who know the same thing check each other: the picture's word for a dog counts less where a detector
saw none, and the detector's less where the picture surely shows an animal that the detector has no name for.

The invariant: where no witness is sure, nothing is said. An untagged file is better than a wrongly tagged one.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd.core.asset import Detected, Kind, Tag
from lakewatchd.stages.likeness import EMBEDDED, GENERIC, IMAGE_CALIBRATIONS, TEXT_CALIBRATION, Comparer, Odds, middles
from lakewatchd.stages.teaching import FLOOR, School
from lakewatchd.taxonomy import Category, TagRule, Taxonomy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lakewatchd.stages.likeness import Matrix, PromptVectors, Vectors

MAX_TAGS = 8
MAX_NAME_CHARS = 1000
"""Of a name or title; no name of a file is longer."""
KNOWN_NAMES = 1024
"""Of folders and cameras, remembered with what they tell."""


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
    title: str = ""
    folders: tuple[str, ...] = ()
    """Names of folders it lies in."""
    camera: str = ""
    software: str = ""
    """What the file says made it, and its maker's comment."""
    detected: bool = False
    """A detector has looked at it: what it could have seen and is not among ``objects`` is doubtful."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say: tags best first, at most :data:`MAX_TAGS`, and the category (score 0 if it is the fallback)."""

    tags: tuple[Tag, ...]
    category: str
    category_score: float
    own: tuple[tuple[str, float], ...] = ()
    """Categories, and how well their own descriptions fit: what speaks for them besides their tags."""


DETECTOR_EVEN, DETECTOR_STEP = 0.72, 0.06
"""A small detector is sure of much that is not there; below this share it needs a second witness."""
JOINT_BONUS = 4.0
"""Two witnesses that each say "hardly" (-2) make even odds together."""
SURE, STRANGER = 1.0, 3.0
"""A detector calls what it has no name for by the nearest it has. Where the picture is ``SURE`` of such a thing,
``STRANGER`` is what the detector's word for its like loses: a cheetah is no dog, unless a dog is clear (0.90)."""
RIVAL_SHARE, ANY_SHARE = 0.85, 0.65
"""What must stand out this much of the best of its category, and of all: a cat resembles a tiger."""
NAME_ODDS, FOLDER_ODDS, HINT_ODDS = 1.5, 0.5, 0.5
"""A folder is named after most of what is in it, and one odd file lies in every folder."""

SOURCES = frozenset({"camera", "camera roll", "camera uploads", "phone", "my phone", "handy", "smartphone", "computer"})
"""Folders that say which device files came from, as phones and their apps name them (``DCIM/Camera``): their pictures
show anything but that."""

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
    lists = itertools.chain(*_prompt_lists(taxonomy))
    return list(dict.fromkeys(text for texts in lists for text in texts))


class Scorer:
    """A taxonomy made ready for one pair of models. Either model may be absent.

    ``family`` is the name of the image-text model, looked up in :data:`IMAGE_CALIBRATIONS`; others are read as
    :data:`GENERIC`. ``school`` is what corrections have taught, ``background`` what texts are like that are about
    something else (:func:`lakewatchd.stages.background.together`).
    Raises ``ValueError`` if vectors are not as many as :func:`prompts`.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        image_text_vectors: PromptVectors | None,
        text_vectors: PromptVectors | None,
        family: str = EMBEDDED,
        school: School | None = None,
        background: Matrix | None = None,
    ) -> None:
        import numpy as np

        school = school or School()
        self._taxonomy = taxonomy
        described = _subjects(taxonomy)
        names = {subject.rule.name for subject in described if not subject.is_category}
        new = sorted({*school.pictures.tags, *school.texts.tags} - names)
        self._subjects = (*described, *(_Subject("", TagRule(name), False, False, ()) for name in new))
        self._numbers = {s.rule.name: number for number, s in enumerate(self._subjects) if not s.is_category}
        order = {text: row for row, text in enumerate(prompts(taxonomy))}
        calibration = IMAGE_CALIBRATIONS.get(family, GENERIC)
        places = [subject.is_place for subject in self._subjects]
        looks, about = ([*lists[:-1], *([] for _ in new), lists[-1]] for lists in _prompt_lists(taxonomy))
        self._picture = Comparer.of(looks, order, places, image_text_vectors, calibration)
        self._text = Comparer.of(about, order, places, text_vectors, TEXT_CALIBRATION, background)
        self._lessons = [
            (learned, np.array([self._numbers[tag] for tag in learned.tags], dtype=np.intp), vectors_of)
            for learned, vectors_of in ((school.pictures, picture_of), (school.texts, text_of))
            if learned.tags
        ]
        self._is_taught = np.zeros(len(self._subjects), dtype=bool)
        for _, numbers, _ in self._lessons:
            self._is_taught[numbers] = True
        self._silence = calibration.doubt
        self._seen, self._facts = _Seen(self._subjects), _Facts(self._subjects)
        self._hurdles = np.array([_hurdle(subject.rule) for subject in self._subjects], dtype=np.float64)
        self._nameless = np.array([not s.rule.objects and not s.is_category for s in self._subjects], dtype=bool)
        runs = [len(list(run)) for _, run in itertools.groupby(self._subjects, key=lambda subject: subject.category)]
        self._runs = np.array(runs, dtype=np.intp)

    def score(self, evidence: Evidence) -> Verdict:
        """Deterministic. Raises ``ValueError`` if vectors are of another length than the prompts'."""
        return self.score_many([evidence])[0]

    def score_many(self, all_evidence: Sequence[Evidence]) -> list[Verdict]:
        """The same of many: what is said of one does not depend on the others."""
        verdicts = []
        for evidence, weighed in zip(all_evidence, self._weigh(all_evidence), strict=True):
            said = [
                (self._subjects[number], Tag(self._subjects[number].rule.name, _probability(odds), origin))
                for number, odds, origin in weighed
                if odds >= 0
            ]
            verdicts.append(self._verdict(said, evidence.kind))
        return verdicts

    def odds_of(self, tag: str, evidence: Evidence) -> float:
        """Log-odds of one tag, less its hurdle: from 0 on it is said. ``-inf`` for a tag that nothing speaks for."""
        number = self._numbers.get(tag)
        if number is None:
            return -math.inf
        (weighed,) = self._weigh([evidence], also=(number,))
        return next(odds for other, odds, _ in weighed if other == number)

    def _weigh(
        self, all_evidence: Sequence[Evidence], also: Collection[int] = ()
    ) -> Iterator[list[tuple[int, float, str]]]:
        """Of each: the subjects that may be said, and ``also`` these, with log-odds less their hurdles, and who speaks
        loudest."""
        import numpy as np

        all_seen = [self._seen.of(evidence.objects) for evidence in all_evidence]
        pictured = self._pictured(all_evidence, all_seen)
        read = self._odds(self._text, [evidence.passage_vectors for evidence in all_evidence])
        taught = self._corrected(all_evidence)
        best = np.maximum(pictured, read) - self._hurdles
        best = np.where(self._is_taught, np.maximum(best, FLOOR) + taught, best)
        likely = _by_row(best >= 0)
        strange = _by_row((pictured - self._hurdles >= SURE) & self._nameless)
        for at, (evidence, seen) in enumerate(zip(all_evidence, all_seen, strict=True)):
            facts = self._facts.of(evidence)
            numbers = sorted({*likely.get(at, ()), *facts, *seen, *also})
            strangers = set[str]()
            if evidence.detected:
                strangers = {self._subjects[number].category for number in strange.get(at, ())}
            weighed = []
            for number in numbers:
                odds, origin = _heard(
                    self._subjects[number],
                    float(pictured[at, number]),
                    float(read[at, number]),
                    seen.get(number, 0.0),
                    facts.get(number),
                    strangers,
                )
                if self._is_taught[number]:
                    odds = max(odds, FLOOR) + float(taught[at, number])
                weighed.append((number, odds, origin))
            yield weighed

    def _corrected(self, all_evidence: Sequence[Evidence]) -> Matrix:
        """What corrections have taught to add to the odds."""
        import numpy as np

        added = np.zeros((len(all_evidence), len(self._subjects)))
        for learned, numbers, vectors_of in self._lessons:
            contents = [vectors_of(evidence) for evidence in all_evidence]
            has = [at for at, vectors in enumerate(contents) if len(vectors)]
            if has:
                corrections = learned.corrections(middles([contents[at] for at in has]))
                added[np.ix_(np.array(has), numbers)] += corrections
        return added

    def _verdict(self, said: list[tuple[_Subject, Tag]], kind: Kind) -> Verdict:
        weights: dict[str, float] = {}
        for subject, tag in ((subject, tag) for subject, tag in said if subject.category):
            weights[subject.category] = 1 - (1 - weights.get(subject.category, 0.0)) * (1 - tag.score)
        category = max(weights, key=weights.__getitem__, default=self._taxonomy.fallback.of(kind))
        tags = sorted((tag for subject, tag in said if not subject.is_category), key=lambda tag: -tag.score)
        own = tuple((subject.category, tag.score) for subject, tag in said if subject.is_category)
        return Verdict(tuple(tags[:MAX_TAGS]), category, weights.get(category, 0.0), own)

    def _pictured(self, all_evidence: Sequence[Evidence], all_seen: Sequence[Collection[int]]) -> Matrix:
        """The picture's word, less where a detector who knows the thing did not see it."""
        import numpy as np

        odds = self._odds(self._picture, [picture_of(evidence) for evidence in all_evidence])
        missed = np.outer([evidence.detected for evidence in all_evidence], self._seen.known)
        for at, seen in enumerate(all_seen):
            if seen:
                missed[at, list(seen)] = False
        return odds - self._silence * missed

    def _odds(self, comparer: Comparer | None, contents: Sequence[Sequence[Vectors]]) -> Matrix:
        import numpy as np

        if comparer is None or not any(len(vectors) for vectors in contents):
            return np.full((len(contents), len(self._subjects)), -np.inf)
        return _without_weak_rivals(comparer.odds(contents), self._runs)


class _Seen:
    """Which subjects the detector speaks of."""

    def __init__(self, subjects: Sequence[_Subject]) -> None:
        import numpy as np

        self._by_object: dict[str, list[int]] = {}
        for number, subject in enumerate(subjects):
            for name in subject.rule.objects:
                self._by_object.setdefault(name, []).append(number)
        self.known = np.array([bool(subject.rule.objects) for subject in subjects], dtype=bool)

    def of(self, objects: Iterable[Detected]) -> dict[int, float]:
        """How sure the detector is of each subject of which it saw something."""
        seen: dict[int, float] = {}
        for found in objects:
            for number in self._by_object.get(found.name.replace("_", " "), ()):
                seen[number] = max(found.score, seen.get(number, 0.0))
        return seen


class _Facts:
    """What names and frames tell: no model is needed."""

    def __init__(self, subjects: Sequence[_Subject]) -> None:
        self._words = _Phrases(
            (word, n) for n, subject in enumerate(subjects) for word in _words(subject, by_name=False)
        )
        self._names = _Phrases(
            (word, n) for n, subject in enumerate(subjects) for word in _words(subject, by_name=True)
        )
        self._hints = [(subject.rule.hint, number) for number, subject in enumerate(subjects) if subject.rule.hint]

    def of(self, evidence: Evidence) -> dict[int, tuple[float, str]]:
        """By subject the odds, and who says so."""
        found: dict[int, tuple[float, str]] = {}
        for folder in evidence.folders:
            if _spaced(folder) not in SOURCES:
                found |= dict.fromkeys(self._names.known(folder), (FOLDER_ODDS, "folder"))
        for hint, number in self._hints:
            if _HINTS[hint](evidence):
                found[number] = (HINT_ODDS, "name")
        found |= dict.fromkeys(self._words.known(evidence.camera), (NAME_ODDS, "exif"))
        found |= dict.fromkeys(self._words.within(evidence.title), (NAME_ODDS, "text"))
        found |= dict.fromkeys(self._words.within(_stem(evidence.name)), (NAME_ODDS, "name"))
        return found


class _Phrases:
    """Words, and words of several, that are looked for in short texts: as whole words, in any case."""

    def __init__(self, phrases: Iterable[tuple[str, int]]) -> None:
        self._numbers: dict[str, list[int]] = {}
        for phrase, number in phrases:
            self._numbers.setdefault(_spaced(phrase), []).append(number)
        self._longest = max((phrase.count(" ") + 1 for phrase in self._numbers), default=0)
        self.known = functools.lru_cache(KNOWN_NAMES)(lambda text: tuple(self.within(text)))
        """The same, for what many files share: the name of a camera, of a folder."""

    def within(self, text: str) -> Iterator[int]:
        words = _spaced(text[:MAX_NAME_CHARS]).split()
        for length in range(1, self._longest + 1):
            for at in range(len(words) - length + 1):
                yield from self._numbers.get(" ".join(words[at : at + length]), ())


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


def _prompt_lists(taxonomy: Taxonomy) -> tuple[list[list[str]], list[list[str]]]:
    """For pictures and for texts: one list per subject, then the neutral ones."""
    subjects, templates, neutral = _subjects(taxonomy), taxonomy.templates, taxonomy.neutral
    looks = [*(subject.rule.looks for subject in subjects), neutral.pictures]
    about = [*(subject.rule.about for subject in subjects), neutral.texts]
    return (
        [[templates.picture.format(text) for text in texts] for texts in looks],
        [[templates.text.format(text) for text in texts] for texts in about],
    )


def picture_of(evidence: Evidence) -> Sequence[Vectors]:
    """The vectors that show what it looks like; pictures inside a document do not speak for it."""
    return evidence.image_vectors if evidence.kind in (Kind.IMAGE, Kind.VIDEO) else ()


def text_of(evidence: Evidence) -> Sequence[Vectors]:
    return evidence.passage_vectors


def _by_row(true: NDArray[np.bool_]) -> dict[int, list[int]]:
    """The columns that are true, for each row that has some."""
    import numpy as np

    found: dict[int, list[int]] = {}
    for row, column in zip(*(numbers.tolist() for numbers in np.nonzero(true)), strict=True):
        found.setdefault(row, []).append(column)
    return found


def _without_weak_rivals(fit: Odds, runs: NDArray[np.intp]) -> Matrix:
    """The odds, but "no" for what stands out clearly less than the best of its category, or of all. ``runs``: how many
    subjects each category has, in their order."""
    import numpy as np

    if not fit.z.size:
        return fit.odds
    best = np.maximum(np.maximum.reduceat(fit.z, np.cumsum(runs) - runs, axis=1), 0.0)
    enough = np.maximum(RIVAL_SHARE * best, ANY_SHARE * best.max(axis=1, keepdims=True))
    enough = np.repeat(enough, runs, axis=1)
    return np.where(fit.z >= enough, fit.odds, np.minimum(fit.odds, -JOINT_BONUS))


def _heard(
    subject: _Subject,
    by_picture: float,
    by_text: float,
    seen: float,
    fact: tuple[float, str] | None,
    strangers: Collection[str],
) -> tuple[float, str]:
    """The log-odds of all witnesses together, less the hurdle that the rule's threshold sets, and who spoke loudest.

    Where the picture shows ``strangers`` that the detector takes for this, its odds count less.
    """
    doubt = STRANGER if any(name in strangers for name in subject.resembles) else 0.0
    by_detector = (seen - DETECTOR_EVEN) / DETECTOR_STEP - doubt if seen else -math.inf
    witnesses = [(by_picture, "model"), (by_text, "text"), (by_detector, "detector")]
    odds, origin = max([*witnesses, *([fact] if fact else [])], key=lambda witness: witness[0])
    odds = max(odds, max(by_picture, by_text) + by_detector + JOINT_BONUS)
    return odds - _hurdle(subject.rule), origin


def _hurdle(rule: TagRule) -> float:
    return math.log(rule.threshold / (1 - rule.threshold))


def _words(subject: _Subject, *, by_name: bool) -> Iterator[str]:
    """What names it; ``by_name``: its own name too, which is too common a word to be trusted in the name of a file."""
    if not subject.is_category:
        yield from dict.fromkeys(
            (*subject.rule.words, *subject.rule.synonyms, *([subject.rule.name] if by_name else []))
        )


def _spaced(text: str) -> str:
    """Whole words: ``IMG-invoice_3`` has ``invoice``, not ``voice``."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))


def _stem(name: str) -> str:
    """The file's name without its extension."""
    name = name.rpartition("/")[2]
    return name.rpartition(".")[0] or name


_CAPTURES = re.compile(
    r"screen[ -]?(?:shot|capture|clip)|snip|greenshot|sharex|flameshot|spectacle|ksnapshot|lightshot|\bscrot\b",
    re.IGNORECASE,
)
"""What programs that copy a screen call themselves; Apple writes it as a comment."""


def _is_screen(evidence: Evidence) -> bool:
    """No camera, and made by a program that copies screens; or else lossless, and exactly a screen's pixels."""
    if evidence.kind is not Kind.IMAGE or evidence.camera:
        return False
    if _CAPTURES.search(evidence.software):
        return True
    if evidence.mime != "image/png":
        return False
    if evidence.width is None or evidence.height is None:
        return False
    return (max(evidence.width, evidence.height), min(evidence.width, evidence.height)) in SCREENS


def _is_panorama(evidence: Evidence) -> bool:
    """Taken with a camera and more than two and a half times as wide as high, which no sensor is."""
    if evidence.kind is not Kind.IMAGE or not evidence.camera:
        return False
    return bool(evidence.width and evidence.height and evidence.width > 2.5 * evidence.height)


_HINTS: Mapping[str, Callable[[Evidence], bool]] = {"screen-size": _is_screen, "panorama": _is_panorama}


def _probability(odds: float) -> float:
    """Logistic, bounded so that no score is a certainty and none overflows; rounded: sums of many contents at once
    differ from those of one in the last digits."""
    return round(1 / (1 + math.exp(-min(max(odds, -30.0), 6.0))), 9)
