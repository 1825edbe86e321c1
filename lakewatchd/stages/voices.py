"""One vocabulary from many voices: who said which tag of an asset, and what is made of it.

::

    what each voice says ─► one word for one thing ─► less what a person took away ─► of namesakes the best voice
                            (synonyms, near-equals)                                        │
                      tags, each with its score and origin, and the category  ◄── parents, bounds

What models, detectors and names say is a :class:`~lakewatchd.stages.zero_shot.Verdict`; the other voices are functions
in :data:`VOICES`. A person's word wins over all. Pure; the invariant: the outcome depends on what is said, never on the
order in which it came to be said.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lakewatchd.core.asset import Correction, Tag
from lakewatchd.stages import family, labelled
from lakewatchd.stages.base import Work
from lakewatchd.stages.zero_shot import Verdict
from lakewatchd.taxonomy import MAX_DEPTH, Taxonomy, name_fault

ORIGINS = ("person", "copy", "bucket", "sidecar", "exif", "detector", "caption", "model", "text", "name", "folder")
"""Whose word counts more where several say the same, best first. ``copy``: a person, of a near-duplicate."""
FREE = frozenset({"sidecar", "exif", "caption"})
"""Those who use words of their own: what they say is folded with what means the same."""
BY_HAND = frozenset({"person", "copy", "bucket", "sidecar", "exif"})
"""Somebody wrote it down: shown first, however sure the others are."""
CAPTION_SCORE = 0.6
"""Models that write captions say what is there, and now and then what is not."""
MAX_SAID = 50
"""Tags that one voice is heard with."""
MAX_TAGS = 64

_RANK = {origin: rank for rank, origin in enumerate(ORIGINS)}
_KEYWORD_KEYS = re.compile(r"(?i)(?:.*[:.])?(keywords?|subject|xpkeywords|hierarchicalsubject|tagslist)$")
_NO_GENRES = frozenset({"other", "unknown", "misc", "none", "undefined", "genre"})
_LEVELS = re.compile(r"\s*[/|\\]\s*")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of a taxonomy, whatever they are called, and how they hang together."""

    names: Mapping[str, str]
    """Any spelling of a name or synonym, of one or of many, folded -> the tag's name."""
    parents: Mapping[str, str]
    categories: Mapping[str, str]
    """Tag -> category."""
    order: tuple[str, ...] = ()
    """The categories, as the file has them."""

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> Vocabulary:
        rules = [(category.name, rule) for category in taxonomy.categories for rule in category.tags]
        names = {_folded(rule.parent): rule.parent for _, rule in rules if rule.parent}
        spoken = {_folded(word): rule.name for _, rule in rules for word in (*rule.synonyms, rule.name)}
        names = {f"{word}s": name for word, name in spoken.items()} | names | spoken
        return cls(
            names,
            {rule.name: rule.parent for _, rule in rules if rule.parent},
            {rule.name: category for category, rule in rules},
            tuple(category.name for category in taxonomy.categories),
        )

    def name(self, word: str) -> str:
        """The tag that ``word`` names, or ``word``."""
        return self.names.get(_folded(word), word)

    def line(self, name: str) -> Iterator[str]:
        """What the tag is a kind of, the nearest first."""
        seen = {name}
        while (parent := self.parents.get(name)) and parent not in seen:
            yield parent
            seen.add(parent)
            name = parent


NO_VOCABULARY = Vocabulary({}, {}, {})


def heard(work: Work) -> tuple[Tag, ...]:
    """What is said besides the verdict."""
    return tuple(itertools.chain.from_iterable(itertools.islice(voice(work), MAX_SAID) for voice in VOICES))


def settle(
    verdict: Verdict,
    said: Iterable[Tag],
    correction: Correction,
    vocabulary: Vocabulary,
    unsorted: str,
    same: Mapping[str, str] | None = None,
) -> Verdict:
    """All voices as one. ``same`` has what the words of :data:`FREE` voices mean, where that is another word;
    ``unsorted`` is the category where none is sure."""
    denied = {vocabulary.name(level) for name in correction.denied for level in _levels(name)[-1:]}
    named: dict[str, Tag] = {}
    for tag in (*(Tag(name, 1.0, "person") for name in correction.tags), *said, *verdict.tags):
        for name in _meant(tag, same or {}, vocabulary):
            if name not in denied or tag.origin == "person":
                own = dataclasses.replace(tag, name=name)
                named[name] = min(named.get(name, own), own, key=_weight)
    tags = sorted(named.values(), key=_order)
    category, score = category_of(tags, verdict.own, vocabulary)
    for tag in tuple(tags):
        for parent in vocabulary.line(tag.name):
            if parent not in named and parent not in denied:
                named[parent] = tag
                tags.append(dataclasses.replace(tag, name=parent))
    if correction.category:
        category, score = correction.category, 1.0
    return Verdict(tuple(tags[:MAX_TAGS]), category or unsorted, score, verdict.own)


def category_of(tags: Iterable[Tag], own: Iterable[tuple[str, float]], vocabulary: Vocabulary) -> tuple[str, float]:
    """The category that most of what is said speaks for, and how surely; none and 0 if nothing does.

    ``own`` is what speaks for a category itself, by its own descriptions.
    """
    weights: dict[str, float] = {}
    for category, score in (*own, *((vocabulary.categories.get(tag.name, ""), tag.score) for tag in tags)):
        if category:
            weights[category] = 1 - (1 - weights.get(category, 0.0)) * (1 - score)
    best = max((name for name in vocabulary.order if name in weights), key=weights.__getitem__, default="")
    return best, weights.get(best, 0.0)


def free_words(said: Iterable[Tag], vocabulary: Vocabulary) -> list[str]:
    """What voices with words of their own said that the vocabulary does not know, the best voice first."""
    words = (tag.name for tag in sorted(said, key=_order) if tag.origin in FREE)
    unknown = (word for word in words if not any(_folded(level) in vocabulary.names for level in _levels(word)))
    return list(dict.fromkeys(unknown))


def tidy(word: str) -> str:
    """A tag of a text from outside: one line, no spaces around it, nothing that no folder can have; "" if none is left.

    Levels of a hierarchy, ``animal/dog`` or ``animal|dog``, are kept, with "/" between them.
    """
    levels = (_tidy_level(level) for level in _LEVELS.split(unicodedata.normalize("NFC", word[:400])))
    return "/".join([level for level in levels if level][-MAX_DEPTH:])


def _tidy_level(level: str) -> str:
    text = " ".join("".join(char for char in level if char not in ':*?"<>').split()).lstrip("+-. ").rstrip(". ")
    return "" if name_fault(text) else text


def _meant(tag: Tag, same: Mapping[str, str], vocabulary: Vocabulary) -> Iterator[str]:
    """The names of the tag: ``animal/dog`` is an animal and a dog."""
    if tag.origin in FREE or tag.origin == "person":
        yield from (vocabulary.name(level) for level in _levels(same.get(tag.name, tag.name)))
    else:
        yield vocabulary.name(tag.name)


def _levels(name: str) -> list[str]:
    return name.split("/") if "/" in name else [name]


def _folded(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).casefold().replace("_", " ").split())


def _weight(tag: Tag) -> tuple[int, float, str]:
    """Least for the tag that speaks for its namesakes."""
    return _RANK.get(tag.origin, len(_RANK)), -tag.score, tag.name


def _order(tag: Tag) -> tuple[int, float, int, str]:
    rank = _RANK.get(tag.origin, len(_RANK))
    return (rank if tag.origin in BY_HAND else len(_RANK)), -tag.score, rank, tag.name


# --- the voices ---------------------------------------------------------------------------------------------------


def _bucket(work: Work) -> Iterable[Tag]:
    return labelled.tags(work.places)


def _exif(work: Work) -> Iterator[Tag]:
    """Keywords, genre, people and stars that the file itself carries."""
    yield from (Tag(name, 1.0, "exif") for word in family.tags((work.row,)) if (name := tidy(word)))
    for key, value in work.row.exif:
        is_genre = key == "Genre"
        if is_genre or _KEYWORD_KEYS.match(key):
            for word in re.split(r"[;,\n]", value[:4000]):
                name = tidy(word)
                if name and not (is_genre and _is_no_genre(name)):
                    yield Tag(name, 1.0, "exif")


def _is_no_genre(name: str) -> bool:
    """A number is one of a list that ID3 had, which players name."""
    return name.casefold() in _NO_GENRES or not any(char.isalpha() for char in name)


def _sidecar(work: Work) -> Iterator[Tag]:
    """What files beside it say. ``work.kin`` has been found."""
    said = family.tags(work.kin.sidecars if work.kin else ())
    return (Tag(name, 1.0, "sidecar") for word in said if (name := tidy(word)))


def _caption(work: Work) -> Iterator[Tag]:
    return (Tag(name, CAPTION_SCORE, "caption") for word in work.row.caption_tags if (name := tidy(word)))


VOICES: tuple[Callable[[Work], Iterable[Tag]], ...] = (_bucket, _sidecar, _exif, _caption)
"""Each gives the tags that it says of an asset, the best first; bounded by :data:`MAX_SAID`."""
