"""The place inside a file that answers the question, and a line of what is there.

A recording is entered at the second the word is said, a document at its page, a picture at the box of the thing.
Invariant: a piece is always of the hit's own asset, and says only what its row says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakewatchd.core.asset import Detected
from lakewatchd.core.found import Piece
from lakewatchd.lake.rows import SpanRow
from lakewatchd.views.search import snippet

SHOWN = ("kind", "text", "page", "start_s", "end_s", "objects", "words")
"""What of a span a piece is made of."""
SURE = 0.5
"""Of a thing that is to be pointed at."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the piece is to show."""

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    thing: str = ""
    """A thing that was asked for by name, with its box."""


def piece_of(span: SpanRow, wanted: Wanted, text: str = "") -> Piece:
    """Of the span that was found. ``text`` is what to quote where it has none of its own."""
    said = span.text or text
    start_s = next(iter(said_at(span, wanted)), span.start_s) if span.words else span.start_s
    box = _box(span.objects, wanted)
    line = snippet.snippet(said, wanted.words, wanted.phrases) if said else ""
    return Piece(span.span, span.kind, start_s, span.end_s, span.page, box, line)


def whole(text: str, wanted: Wanted, tags: Sequence[str] = ()) -> Piece | None:
    """Where it was found by what is said of the asset as a whole; None if that says none of the words.

    The line of its ``tags`` is passed over: whoever shows a hit shows them anyhow.
    """
    lines = (line for line in text.split("\n") if line != " ".join(tags))
    line = next((line for line in lines if snippet.find(line, wanted.words, wanted.phrases)), "")
    return Piece(0, "", snippet=snippet.snippet(line, wanted.words, wanted.phrases)) if line else None


def said_at(span: SpanRow, wanted: Wanted) -> list[float]:
    """When the words are said, each time; of a phrase, when it begins. Where single words have no times, the span's."""
    if not span.words:
        is_said = snippet.find(span.text, wanted.words, wanted.phrases)
        return [span.start_s] if is_said and span.start_s is not None else []
    line, starts = "", []
    for word in span.words:
        line += " " + word.text.strip()
        starts.append((len(line) - len(word.text.strip()), word.start_s))
    found = snippet.find(line, wanted.words, wanted.phrases)
    of_phrases = [match for match in found if match[2] in wanted.phrases]
    return [max(start_s for at, start_s in starts if at <= match[0]) for match in of_phrases or found]


def _box(objects: Sequence[Detected], wanted: Wanted) -> tuple[float, ...] | None:
    """Of the surest thing that was asked for by name or by a word."""
    words = [snippet.fold(word) for word in (wanted.thing, *wanted.words) if word]
    named = (
        seen
        for seen in objects
        if seen.name == wanted.thing
        or (seen.score >= SURE and any(snippet.is_form_of(snippet.fold(seen.name), word) for word in words))
    )
    best = max(named, key=lambda seen: seen.score, default=None)
    return best.box if best else None
