"""What a reader takes out of a document, and the pen that collects its text within bounds."""

from __future__ import annotations

import bisect
import datetime as dt
import re
from dataclasses import dataclass, field

from lakewatchd.core.content import Picture
from lakewatchd.media import exif


class Locked(Exception):
    """A document that asks for a password: it is known by its name only."""

    def __init__(self) -> None:
        super().__init__("its text is locked by a password; a copy without one is found by its words")


NAME_CHARS = 120
"""Of a title or an author."""
FACTS = 64
FACT_CHARS = 500


@dataclass(frozen=True, slots=True)
class Writing:
    """``text[starts[n]:starts[n + 1]]`` is page n + 1; without ``starts`` the document has no pages.

    Slides, chapters of a book and mails of a mailbox count as pages too: no passage reaches over their borders.
    """

    text: str = ""
    starts: tuple[int, ...] = ()
    pages: int | None = None
    """How many there are; more than ``starts`` where not all were read."""
    title: str = ""
    author: str = ""
    language: str = ""
    """As the document says it: ISO 639-1, perhaps with a country behind it (``en-GB``)."""
    is_prose: bool = True
    """Whether a detector of languages has a say: not of source code, addresses or dates."""
    created: dt.datetime | None = None
    facts: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    times: tuple[tuple[int, float, float], ...] = ()
    """Where in ``text`` something begins that is said, in order, and from when to when it is, in seconds."""
    picture: Picture | None = None
    """Of the first page or cover, where that says more than the text."""
    thumbnail: bytes | None = None
    phash: int | None = None

    def page_spans(self) -> list[tuple[int | None, int, int]]:
        """``(page, start, end)`` of the pieces that passages may not leave."""
        if not self.starts:
            return [(None, 0, len(self.text))]
        ends = (*self.starts[1:], len(self.text))
        return [(page, *span) for page, span in enumerate(zip(self.starts, ends, strict=True), 1)]

    def said(self, start: int, end: int) -> tuple[float | None, float | None]:
        """From when to when the piece ``text[start:end]`` is said."""
        first = max(0, bisect.bisect_right(self.times, start, key=_place) - 1)
        spoken = self.times[first : max(first + 1, bisect.bisect_left(self.times, end, key=_place))]
        return (spoken[0][1], max(time[2] for time in spoken)) if spoken else (None, None)


def _place(time: tuple[int, float, float]) -> int:
    return time[0]


MOST_PAGES = 20_000
"""That are told apart; the rest of a longer document counts as its last page."""
_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff\ufffe\uffff]")
_ODD = re.compile(f"{_BREAKS.pattern}|{_UNSTORABLE.pattern}")


@dataclass(slots=True)
class Pen:
    """Writes text down until ``at_most`` characters are there; what comes after is counted as cut."""

    at_most: int
    starts: list[int] = field(default_factory=list)
    is_full: bool = False
    size: int = 0
    """Characters so far."""
    _parts: list[str] = field(default_factory=list)

    def write(self, text: str) -> None:
        if self.is_full or not text:
            return
        if _ODD.search(text):
            text = _UNSTORABLE.sub("", _BREAKS.sub("\n", text))
        if self.size + len(text) > self.at_most:
            self.is_full, text = True, text[: self.at_most - self.size]
        if text:
            self._parts.append(text)
            self.size += len(text)

    def end_line(self) -> None:
        """The next words begin a line."""
        if self._parts and not self._parts[-1].endswith("\n"):
            self.write("\n")

    def end_paragraph(self) -> None:
        if self._parts:
            self.end_line()
            self.write("\n" if self._parts[-1] != "\n" or len(self._parts) < 2 or self._parts[-2][-1:] != "\n" else "")

    def begin_page(self) -> None:
        self.end_line()
        if not self.is_full and len(self.starts) < MOST_PAGES:
            self.starts.append(self.size)

    def text(self) -> str:
        return "".join(self._parts)

    def problems(self) -> tuple[str, ...]:
        return (f"only the first {self.at_most} characters were read",) if self.is_full else ()


def facts(pairs: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """What a document says of itself, each as one short line; what is empty is left out."""
    found = ((name, exif.clean(str(value), FACT_CHARS)) for name, value in pairs.items() if value)
    return tuple((name, words) for name, words in found if words)[:FACTS]


def name(text: str) -> str:
    """A title or an author, as one line."""
    return exif.clean(text, NAME_CHARS)


def moment(text: str) -> dt.datetime | None:
    """The wall-clock time of an ISO 8601 date with at least a day; None for anything else, and for unset clocks.

    Where only the time in Greenwich is told, this machine's zone says what clocks showed.
    """
    try:
        found = dt.datetime.fromisoformat(_FRACTION.sub("", text.strip()[:40]))
    except ValueError:
        return None
    return wall_clock(found)


_FRACTION = re.compile(r"[.,]\d+")


def wall_clock(found: dt.datetime) -> dt.datetime | None:
    if not 1900 < found.year < 2100:
        return None
    is_greenwich = found.tzinfo is not None and not found.utcoffset()
    try:
        return (found.astimezone() if is_greenwich else found).replace(tzinfo=None, microsecond=0)
    except (OverflowError, OSError, ValueError):
        return None
