"""TOML text -> frozen dataclasses, with every problem and its line.

Generic: knows no key of lakewatchd. A dataclass is a table, its fields are the keys, their annotations say type
and limits: ``Annotated[float, Range(0, 60)]``. Reading never stops at the first problem and never guesses: a key
that no field has is a problem with a suggestion.

The invariant: a value that did not pass is never used; its field keeps the default and the problem is kept.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from lakewatchd.core.nearest import did_you_mean

T = TypeVar("T")
Where = tuple[str | int, ...]
"""A place in the document: ``("root", 0, "path")``."""


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest value allowed, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OneOf:
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """What the value must look like as a whole, and what to call that."""

    pattern: str
    expected: str


@dataclass(frozen=True, slots=True)
class Secret:
    """Nobody but its owner may read a file that holds such a value, and it is never printed, not even when wrong."""


@dataclass(frozen=True, slots=True)
class TomlProblem:
    line: int
    message: str


@dataclass(slots=True)
class Document:
    """One TOML text, where its keys stand, and what is wrong with it so far."""

    text: str
    problems: list[TomlProblem] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    _lines: dict[Where, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lines = _key_lines(self.text)
        try:
            self.data = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as exc:
            found = re.search(r" \(at line (\d+), column \d+\)$", str(exc))
            last = self.text.count("\n") + 1
            line, message = (int(found[1]), str(exc)[: found.start()]) if found else (last, str(exc))
            self.problems.append(TomlProblem(line, f"not valid TOML: {message}"))

    def complain(self, message: str, *where: str | int) -> None:
        """Keep a problem with what stands at ``where``, or with the nearest table around it."""
        while where and where not in self._lines:
            where = where[:-1]
        self.problems.append(TomlProblem(self._lines.get(where, 1), message))

    def check_keys(self, known: Iterable[str], table: dict[str, Any], *where: str | int) -> None:
        """Complain about keys of ``table`` that are not ``known``, with the nearest name that is."""
        names = list(known)
        for key in table.keys() - set(names):
            self.complain(f"unknown key {key!r}; {did_you_mean(key, names)}", *where, key)

    def read(self, kind: type[T], table: object, *where: str | int, default: T | None = None) -> T | None:
        """``table`` as a ``kind``; what it does not say is as in ``default``.

        None if a field is missing that neither has a default of its own nor is in ``default``.
        """
        if not isinstance(table, dict):
            self.complain(f"{where[-1] if where else 'the file'}: a table is expected", *where)
            return default
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # T is a dataclass by contract
        self.check_keys([item.name for item in fields], table, *where)
        hints = typing.get_type_hints(kind, include_extras=True)
        values = {}
        for name in (item.name for item in fields if item.name in table):
            try:
                values[name] = _convert(hints[name], table[name])
            except ValueError as exc:
                self.complain(f"{name}: {exc}", *where, name)
        if default is not None:
            return dataclasses.replace(default, **values)  # type: ignore[type-var]
        required = [item.name for item in fields if item.default is item.default_factory is dataclasses.MISSING]
        for name in (name for name in required if name not in table):
            self.complain(f"{name} is missing", *where)
        return kind(**values) if set(required) <= values.keys() else None


def secret_fields(kind: type) -> frozenset[str]:
    """The fields of a dataclass that are annotated as :class:`Secret`."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return frozenset(name for name, hint in hints.items() if any(isinstance(m, Secret) for m in _marks(hint)))


def _marks(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()


def _convert(annotation: Any, value: object) -> Any:
    """``value`` as its field wants it. Raises ``ValueError`` with what was expected."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:  # "or not given"
        (annotation,) = (kind for kind in typing.get_args(annotation) if kind is not type(None))
    limits = _marks(annotation)
    if any(isinstance(limit, Secret) for limit in limits):
        return _convert_secret(limits, value)
    result = _convert_type(typing.get_args(annotation)[0] if limits else annotation, value)
    for limit in limits:
        if isinstance(limit, Range) and not limit.low <= result <= limit.high:
            raise ValueError(f"{result:.12g} is not between {limit.low:.12g} and {limit.high:.12g}")
        if isinstance(limit, OneOf) and result not in limit.values:
            raise ValueError(f"{result!r} is none of {', '.join(limit.values)}")
        if isinstance(limit, Like) and not re.fullmatch(limit.pattern, result):
            shown = re.sub(r"//.*@", "//…@", result)  # a password may stand there, where no key for it is known
            raise ValueError(f"{shown!r} is not {limit.expected}")
    return result


def _convert_secret(limits: tuple[Any, ...], value: object) -> str:
    """A text, as :func:`_convert` does it, but what is wrong is told without the value."""
    if not isinstance(value, str):
        raise ValueError(f"{_IN_WORDS[str]} is expected")
    for limit in limits:
        if isinstance(limit, Like) and not re.fullmatch(limit.pattern, value):
            raise ValueError(f"{limit.expected} is expected")
    return value


def _convert_type(kind: Any, value: object) -> Any:
    if kind is Path:
        return _path(value)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError('a list of texts is expected, such as ["*.tmp"]')
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{_IN_WORDS[kind]} is expected, not {value!r:.80}")
    if kind is float and not math.isfinite(typing.cast(float, value)):
        raise ValueError(f"a finite number is expected, not {value!r}")
    return value


_IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text in quotes"}


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"a path in quotes is expected, not {value!r:.80}")
    try:
        path = Path(value).expanduser()
    except RuntimeError as exc:  # ~nobody-of-this-name
        raise ValueError(f"{value!r}: {exc}") from exc
    if not path.is_absolute():
        raise ValueError(f"{value!r} is relative; write it from / or from ~/")
    return path


_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def _key_lines(text: str) -> dict[Where, int]:
    """Where headers and keys stand: tomllib does not tell. Read line by line, right for what people write."""
    lines: dict[Where, int] = {(): 1}
    table: Where = ()
    repeats: dict[Where, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _names(header[2])
            if header[1] == "[[":
                lines.setdefault(table, number)
                repeats[table] = repeats.get(table, -1) + 1
                table = (*table, repeats[table])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            names = (*table, *_names(key[1]))
            for length in range(len(table) + 1, len(names) + 1):
                lines.setdefault(names[:length], number)
    return lines


def _names(dotted: str) -> Where:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
