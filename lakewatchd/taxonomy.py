"""The words files are filed under: categories, their tags, and the evidence that makes a tag be said.

The file is written by people (``etc/taxonomy.toml`` explains its keys in its head); here it becomes frozen values.
How well a tag fits a picture is not decided here, but in :mod:`lakewatchd.stages.zero_shot`.

The invariant: every name of a :class:`Taxonomy` can be a folder, and names one thing only.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from lakewatchd.core.asset import Kind
from lakewatchd.core.typed_toml import Document, Range, TomlProblem
from lakewatchd.errors import ConfigError

T = TypeVar("T", "Templates", "Neutral", "Fallback")

OBJECTS = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""What the detector can see: the classes of COCO."""

HINTS = ("screen-size", "panorama")
"""Facts about a picture's frame that a tag can rest on."""

MAX_NAME_BYTES = 64
MAX_DEPTH = 4
"""Words of a tag with its parents, ``animal/pet/dog/terrier``."""
_CATEGORY_KEYS = ("looks", "about", "places", "resembles", "parent")


@dataclass(frozen=True, slots=True)
class TagRule:
    """A tag and what makes it be said. The fields are the keys of its table in the file."""

    name: str
    looks: tuple[str, ...] = ()
    """Descriptions of a picture of it, to be completed with the template."""
    about: tuple[str, ...] = ()
    """Topics of a text, to be completed with the template."""
    objects: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """Lower case; words of a file's name, of the folders it lies in, or of its title."""
    synonyms: tuple[str, ...] = ()
    """Other names of it: whoever says one of them says this tag."""
    parent: str = ""
    """What it is a kind of: said whenever this is said. Need not be a tag of the file itself."""
    hint: str = ""
    threshold: Annotated[float, Range(0.05, 0.99)] = 0.5
    """How probable it must be; one half is as calibrated, more says it less often."""


@dataclass(frozen=True, slots=True)
class Category:
    """A group of tags. Its own descriptions file content that no tag names."""

    name: str
    tags: tuple[TagRule, ...] = ()
    looks: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    places: bool = False
    """Its pictures show surroundings rather than things: these blend into each other, but into little else."""
    resembles: tuple[str, ...] = ()
    """Categories of things that a detector takes for those of this one, having no name for them."""
    parent: str = ""
    """Of its tags that name none."""


@dataclass(frozen=True, slots=True)
class Templates:
    picture: str = "a photo of {}"
    text: str = "{}"


@dataclass(frozen=True, slots=True)
class Neutral:
    """Descriptions of nothing in particular: what fits must fit better than these."""

    pictures: tuple[str, ...] = ("something", "a background", "a texture", "a blurry picture")
    texts: tuple[str, ...] = ("something", "various topics")


@dataclass(frozen=True, slots=True)
class Fallback:
    """The category of content that no category surely fits, by kind."""

    image: str = "unsorted"
    video: str = "unsorted"
    audio: str = "unsorted"
    document: str = "unsorted"
    table: str = "unsorted"
    other: str = "unsorted"

    def of(self, kind: Kind) -> str:
        return str(getattr(self, kind.value))


@dataclass(frozen=True, slots=True)
class Taxonomy:
    categories: tuple[Category, ...] = ()
    templates: Templates = field(default_factory=Templates)
    neutral: Neutral = field(default_factory=Neutral)
    fallback: Fallback = field(default_factory=Fallback)

    @property
    def tags(self) -> tuple[TagRule, ...]:
        return tuple(tag for category in self.categories for tag in category.tags)

    @property
    def digest(self) -> str:
        """Changes with whatever can change a tag; comments and layout of the file do not."""
        raw = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.blake2b(raw.encode(), digest_size=8).hexdigest()


def parse(path: Path) -> Taxonomy:
    """The taxonomy in ``path``. Raises ``ConfigError`` that lists all problems as ``file:line: problem``."""
    return _right(*check(path), path)


def of_text(text: str, path: str) -> Taxonomy:
    """The taxonomy in the text of a file at ``path``. Raises as :func:`parse`."""
    return _right(*_understood(text), path)


def _right(taxonomy: Taxonomy, problems: tuple[TomlProblem, ...], path: Path | str) -> Taxonomy:
    if problems:
        lines = [f"{path}:{problem.line}: {problem.message}" for problem in problems]
        raise ConfigError("\n".join(lines), "lakewatchd taxonomy check lists the problems of the file")
    return taxonomy


def check(path: Path) -> tuple[Taxonomy, tuple[TomlProblem, ...]]:
    """What can be understood of ``path``, and all its problems by line. Raises ``ConfigError`` if it is unreadable."""
    try:
        text = path.read_bytes().decode()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}", "set tags.taxonomy to a readable file") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8 at byte {exc.start}", "save the file as UTF-8") from exc
    return _understood(text)


def _understood(text: str) -> tuple[Taxonomy, tuple[TomlProblem, ...]]:
    document = Document(text)
    taxonomy = _Reader(document).taxonomy() if not document.problems else Taxonomy()
    return taxonomy, tuple(sorted(document.problems, key=lambda problem: problem.line))


class _Reader:
    """One pass over a document that keeps all its complaints there."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen: dict[str, str] = {}

    def taxonomy(self) -> Taxonomy:
        data = self._document.data
        self._document.check_keys(("templates", "neutral", "fallback", "category"), data)
        return Taxonomy(
            self._categories(data.get("category", {})), self._templates(), self._neutral(), self._fallback()
        )

    def _templates(self) -> Templates:
        templates = self._section("templates", Templates())
        for key, text in dataclasses.asdict(templates).items():
            if text.count("{}") != 1 or re.search(r"[{}]", text.replace("{}", "")):
                self._complain(f"{key}: write {{}} once, where the description goes", "templates", key)
        return templates

    def _neutral(self) -> Neutral:
        neutral = self._section("neutral", Neutral())
        for key, texts in dataclasses.asdict(neutral).items():
            if not texts:
                self._complain(f"{key}: at least one text is needed", "neutral", key)
            self._check_texts(key, texts, "neutral", key)
        return neutral

    def _fallback(self) -> Fallback:
        fallback = self._section("fallback", Fallback())
        for key, name in dataclasses.asdict(fallback).items():
            self._check_name(name, "fallback", key)
        return fallback

    def _section(self, key: str, default: T) -> T:
        read = self._document.read(type(default), self._document.data.get(key, {}), key, default=default)
        return default if read is None else read

    def _categories(self, tables: object) -> tuple[Category, ...]:
        if not isinstance(tables, dict):
            self._complain("category: write [category.NAME]", "category")
            return ()
        categories = tuple([self._category(name, table) for name, table in tables.items()])
        for category in categories:
            where = ("category", category.name, "resembles")
            self._check_known(category.resembles, tuple(tables), "there is no category", *where)
        self._check_parents(categories)
        return categories

    def _category(self, name: str, table: object) -> Category:
        where = ("category", name)
        self._check_name(name, *where)
        plain = dict(table) if isinstance(table, dict) else table
        tags = plain.pop("tags", {}) if isinstance(plain, dict) else {}
        if isinstance(plain, dict):
            self._document.check_keys((*_CATEGORY_KEYS, "tags"), plain, *where)
            plain = {key: plain[key] for key in _CATEGORY_KEYS if key in plain}
        category = self._document.read(Category, plain, *where, default=Category(name)) or Category(name)
        self._check_texts("looks", category.looks, *where, "looks")
        self._check_texts("about", category.about, *where, "about")
        if category.parent:
            self._check_name(category.parent, *where, "parent")
        if not isinstance(tags, dict):
            self._complain(f"tags: write [category.{name}.tags]", *where, "tags")
            tags = {}
        rules = [self._tag(name, tag, rule) for tag, rule in tags.items()]
        heirs = [
            rule if rule.parent or rule.name == category.parent else dataclasses.replace(rule, parent=category.parent)
            for rule in rules
        ]
        return dataclasses.replace(category, tags=tuple(heirs))

    def _tag(self, category: str, name: str, rule: object) -> TagRule:
        where = ("category", category, "tags", name)
        self._check_name(name, *where)
        self._check_unique(name, category, *where)
        if isinstance(rule, list):
            rule = {"looks": rule}  # the short form
        if isinstance(rule, dict) and "name" in rule:
            self._complain("unknown key 'name'; a tag is named by what stands before the =", *where)
            rule = {key: value for key, value in rule.items() if key != "name"}
        tag = self._document.read(TagRule, rule, *where, default=TagRule(name)) or TagRule(name)
        for key in ("looks", "about", "objects", "words", "synonyms"):
            self._check_texts(key, getattr(tag, key), *where, key)
        self._check_known(tag.objects, OBJECTS, "the detector knows no", *where, "objects")
        self._check_known((tag.hint,) if tag.hint else (), HINTS, "there is no hint", *where, "hint")
        for synonym in tag.synonyms:
            self._check_name(synonym, *where, "synonyms")
            self._check_unique(synonym, category, *where, "synonyms")
        if tag.parent:
            self._check_name(tag.parent, *where, "parent")
        return dataclasses.replace(tag, words=tuple(word.lower() for word in tag.words))

    def _check_unique(self, name: str, category: str, *where: str) -> None:
        folder = name.casefold()
        if folder in self._seen:
            self._complain(f"tag {name!r} is already in category {self._seen[folder]!r}", *where)
        self._seen.setdefault(folder, category)

    def _check_parents(self, categories: Iterable[Category]) -> None:
        """No tag is, by way of its parents, a kind of itself, nor of too much."""
        tags = {tag.name: (category.name, tag.parent) for category in categories for tag in category.tags}
        for name, (category, above) in tags.items():
            line = [name]
            while above and above not in line and len(line) <= MAX_DEPTH:
                line.append(above)
                above = tags.get(above, ("", ""))[1]  # noqa: PLW2901 - one step up
            if above in line or len(line) > MAX_DEPTH:
                problem = "it is a kind of itself" if above in line else f"more than {MAX_DEPTH} words in a line"
                self._complain(f"parent: {problem}: {' < '.join(line)}", "category", category, "tags", name)

    def _check_known(self, values: Iterable[str], known: tuple[str, ...], complaint: str, *where: str) -> None:
        for value in values:
            if value not in known:
                nearest = difflib.get_close_matches(value, known, n=1)
                tip = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
                self._complain(f"{complaint} {value!r}; {tip}", *where)

    def _check_texts(self, key: str, texts: tuple[str, ...], *where: str) -> None:
        if any(not text.strip() for text in texts):
            self._complain(f"{key}: a text is empty", *where)
        if repeated := {text for text in texts if texts.count(text) > 1}:
            self._complain(f"{key}: {min(repeated)!r} stands there twice", *where)

    def _check_name(self, name: str, *where: str) -> None:
        if fault := name_fault(name):
            self._complain(f"{name!r} {fault}", *where)

    def _complain(self, message: str, *where: str) -> None:
        self._document.complain(message, *where)


_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of characters that show nothing, or begin a line."""


def name_fault(name: str) -> str | None:
    """Why ``name`` cannot name a folder that every file manager and share can show; None if it can."""
    if not name or name != name.strip() or name.endswith("."):
        return "is empty, or begins or ends with a space or dot"
    if name[0] in "+-." or any(char in '/\\:*?"<>|' or unicodedata.category(char) in _UNSEEN for char in name):
        return "has a character that a folder's name or the tag command cannot have"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None
