"""XML as a stream of elements: no tree, so no depth and no size that a file could choose for us.

A document that declares entities is refused: no program writes such ones into the formats read here, and they are how
a kilobyte becomes a gigabyte. Nothing outside is ever fetched. Names come without their prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Protocol
from xml.parsers import expat

from lakewatchd import errors
from lakewatchd.media import exif

_BLOCK_BYTES, _LARGEST_BLOCK_BYTES = 64 << 10, 16 << 20


class Handler(Protocol):
    def start(self, tag: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...

    def data(self, text: str) -> None: ...

    @property
    def is_done(self) -> bool:
        """Whether the rest of the document need not be read."""


def walk(stream: BinaryIO, handler: Handler) -> None:
    """Tell ``handler`` of each element. Raises :class:`errors.DamagedMedia` for what is not well-formed."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: handler.start(name.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda name: handler.end(name.rpartition(":")[2])
    parser.CharacterDataHandler = handler.data
    parser.EntityDeclHandler = _refuse
    size, at = _BLOCK_BYTES, -1
    try:
        while block := stream.read(size):
            parser.Parse(block, False)
            if handler.is_done:
                return
            before, at = at, parser.CurrentByteIndex
            # expat before 2.6 looks through a tag or comment from its beginning whenever it is given more of it
            size = min(2 * size, _LARGEST_BLOCK_BYTES) if at == before else _BLOCK_BYTES
        parser.Parse(b"", True)
    except expat.ExpatError as exc:
        raise errors.DamagedMedia(f"its XML cannot be read: {exif.clean(str(exc))}") from exc


def _refuse(*_: object) -> None:
    raise errors.DamagedMedia("its XML declares entities, which no program does that writes such documents")


def attribute(attributes: Mapping[str, str], name: str) -> str:
    """The attribute ``name``, whatever its prefix; empty if there is none."""
    found = attributes.get(name)
    if found is not None:
        return found
    return next((value for key, value in attributes.items() if key.rpartition(":")[2] == name), "")


class Fields:
    """A handler for small documents: the text of the elements that have no others in them, by name; the first few."""

    _MOST, _CHARS = 200, 2000

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self._parts: list[str] = []
        self._count = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._parts = []

    def end(self, tag: str) -> None:
        text = "".join(self._parts).strip()[: self._CHARS]
        if text:
            self.found.setdefault(tag, []).append(text)
            self._count += 1
        self._parts = []

    def data(self, text: str) -> None:
        if len(self._parts) < self._CHARS:
            self._parts.append(text[: self._CHARS])

    @property
    def is_done(self) -> bool:
        return self._count >= self._MOST

    def first(self, *tags: str) -> str:
        return next((self.found[tag][0] for tag in tags if tag in self.found), "")


class Attributes:
    """A handler that keeps the attributes of the elements named ``tags``, in order, up to ``at_most`` of them."""

    def __init__(self, *tags: str, at_most: int = 20_000) -> None:
        self.found: list[tuple[str, dict[str, str]]] = []
        self._tags, self._at_most = frozenset(tags), at_most

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in self._tags:
            short = {key.rpartition(":")[2]: value[:1000] for key, value in attributes.items() if key[:6] != "xmlns:"}
            self.found.append((tag, short | {key: value[:1000] for key, value in attributes.items()}))

    def end(self, tag: str) -> None:
        pass

    def data(self, text: str) -> None:
        pass

    @property
    def is_done(self) -> bool:
        return len(self.found) >= self._at_most
