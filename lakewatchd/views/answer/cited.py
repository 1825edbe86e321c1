"""What a model says, sentence by sentence, held against the passages it was given.

The rule: a number in brackets that names no passage is left out. A sentence that names none is marked ``(no source)``.
A figure (a year, an amount) that is in none of the passages its sentence names is marked ``(not in the source: 1987)``.
Short sentences that only lead on to a list are left alone. Invariant: what is told is plain text without control
characters, and each ``[n]`` in it names a passage.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

NO_SOURCE = "(no source)"
_CITED = re.compile(r"\s?\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")
_ENDS = re.compile(r"[.!?…]['\"”’)]*(?:\s*\[[\d\s,;]*\])*(?=\s+['\"“‘(]?[^\s\[a-zß-ÿ\d])|\n(?=\s*[^\s\[])")
_FIGURE = re.compile(r"\d[\d.,:]*\d")
_LONGEST = 2000
"""Of a sentence, in characters; a model that ends none is cut into such pieces."""


@dataclass(slots=True)
class Checked:
    """Takes what a model says in pieces, gives whole sentences. ``texts`` are those of passages 1, 2, ..."""

    texts: Sequence[str]
    sourced: int = 0
    """Sentences that name a passage."""
    unsourced: int = 0
    _rest: str = ""
    _known: tuple[frozenset[str], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._known = tuple(frozenset(_figures(text)) for text in self.texts)

    def add(self, piece: str) -> Iterator[str]:
        self._rest += _printable(piece)
        while (end := self._end()) is not None:
            sentence, self._rest = self._rest[:end], self._rest[end:]
            yield self._told(sentence)

    def close(self) -> Iterator[str]:
        """What is left when the model has ended."""
        sentence, self._rest = self._rest, ""
        if sentence.strip():
            yield self._told(sentence)

    def _end(self) -> int | None:
        if match := _ENDS.search(self._rest):
            return match.end()
        return _LONGEST if len(self._rest) > _LONGEST else None

    def _told(self, sentence: str) -> str:
        cited: list[int] = []

        def keep(match: re.Match[str]) -> str:
            numbers = [int(number) for number in re.findall(r"\d+", match[1])]
            real = [number for number in numbers if 1 <= number <= len(self.texts)]
            cited.extend(real)
            return "".join(f" [{number}]" for number in real)

        said = _CITED.sub(keep, sentence)
        plain = _CITED.sub("", sentence).strip(" \n*#-•>")
        if not plain:
            return said
        if cited:
            self.sourced += 1
            known = frozenset().union(*(self._known[number - 1] for number in cited))
            wrong = [figure for figure in _figures(plain) if figure not in known]
            return _marked(said, f"(not in the source: {', '.join(dict.fromkeys(wrong))})") if wrong else said
        if plain.endswith(":") or len(plain.split()) < 3:
            return said
        self.unsourced += 1
        return _marked(said, NO_SOURCE)


def _marked(sentence: str, mark: str) -> str:
    body = sentence.rstrip()
    return f"{body} {mark}{sentence[len(body) :]}"


def _figures(text: str) -> list[str]:
    """Numbers of two digits or more, however their thousands are written."""
    return [re.sub(r"[.,:]", "", found) for found in _FIGURE.findall(text)]


def _printable(text: str) -> str:
    return "".join(char for char in text if char == "\n" or unicodedata.category(char)[0] != "C")
