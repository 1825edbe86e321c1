"""XML as servers of S3 write it, read piece by piece.

The invariant: what a server sends costs memory and time in proportion to what was agreed on, never more; a document
type (the way to entities that grow) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from xml.parsers import expat

MAX_DEPTH = 16
MAX_TEXT = 16_384
"""Characters of one element: a key of 1024 bytes, each written as ``%XX``, fits several times."""


class BadMarkup(ValueError):
    """It is no XML, or none that a server of S3 would send."""


def read(pieces: Iterable[bytes], on_start: Callable[[str], None], on_end: Callable[[str, str], None]) -> None:
    """Call ``on_start(tag)`` where an element begins and ``on_end(tag, text)`` where it ends; tags without namespace.

    ``text`` is what stands between, empty for an element that holds others. Raises :class:`BadMarkup`, and whatever
    ``pieces`` and the callables raise.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth, texts = 0, [""]

    def start(tag: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise BadMarkup("too deep")
        texts[0] = ""
        on_start(tag.rpartition(":")[2])

    def text(piece: str) -> None:
        texts[0] += piece
        if len(texts[0]) > MAX_TEXT:
            raise BadMarkup("an endless text")

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        on_end(tag.rpartition(":")[2], texts[0])
        texts[0] = ""

    def refuse(*_: object) -> None:
        raise BadMarkup("a document type")

    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        for piece in pieces:
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as exc:
        raise BadMarkup(str(exc)) from exc


def texts_of(pieces: Iterable[bytes]) -> list[tuple[str, str]]:
    """The tags and texts of a small document, in the order in which they end, elements that hold others left out.

    Raises as :func:`read` does.
    """
    found: list[tuple[str, str]] = []
    holds_others = False

    def on_start(_tag: str) -> None:
        nonlocal holds_others
        holds_others = False

    def on_end(tag: str, text: str) -> None:
        nonlocal holds_others
        if not holds_others:
            found.append((tag, text))
        holds_others = True

    read(pieces, on_start, on_end)
    return found
