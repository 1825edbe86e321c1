"""OpenDocument texts, presentations and drawings, packed or as one flat XML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO

from lakewatchd.config import DecodeConfig
from lakewatchd.media.text import package, writing
from lakewatchd.media.text.elements import Fields, attribute, walk
from lakewatchd.media.text.office import TOO_LONG
from lakewatchd.media.text.package import Exceeded
from lakewatchd.media.text.writing import Locked, Pen, Writing

_SPACES = re.compile(r"[ \t\r\n]+")
_LINES = frozenset(("p", "h"))


class _Words:
    """Writes down paragraphs and headings of the body; other text is of no reader's concern."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._depth = self._deleted = self._body = 0

    @property
    def is_done(self) -> bool:
        return self._pen.is_full

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "body":
            self._body += 1
        elif tag == "tracked-changes":  # what was deleted
            self._deleted += 1
        elif tag == "page" or (tag == "soft-page-break" and self._pen.starts):
            self._pen.begin_page()
        elif tag == "soft-page-break":
            self._pen.starts.append(0)
            self._pen.begin_page()
        elif tag in _LINES:
            self._depth += 1
        elif tag == "s":
            count = attribute(attributes, "c")
            self._pen.write(" " * min(int(count) if count.isdecimal() and len(count) < 6 else 1, 100))
        elif tag == "tab":
            self._pen.write("\t")
        elif tag == "line-break":
            self._pen.write("\n")

    def end(self, tag: str) -> None:
        if tag == "body":
            self._body -= 1
        elif tag == "tracked-changes":
            self._deleted -= 1
        elif tag in _LINES:
            self._depth -= 1
            if not self._deleted:
                self._pen.write("\n\n" if tag == "h" else "\n")

    def data(self, text: str) -> None:
        if self._depth > 0 and self._body and not self._deleted:
            self._pen.write(_SPACES.sub(" ", text))


def read(stream: BinaryIO, config: DecodeConfig) -> Writing:
    pen, problems = Pen(config.max_text_bytes), []
    with package.opened(stream) as archive:
        if any("encryption-data" in tag for tag, _ in archive.elements("META-INF/manifest.xml", "encryption-data")):
            raise Locked
        try:
            archive.walk("content.xml", _Words(pen))
        except Exceeded:
            problems.append(TOO_LONG)
        return _writing(archive.fields("meta.xml"), pen, problems)


def read_flat(stream: BinaryIO, config: DecodeConfig) -> Writing:
    pen, said = Pen(config.max_text_bytes), Fields()
    walk(stream, said)
    stream.seek(0)
    walk(stream, _Words(pen))
    return _writing(said, pen, [])


def _writing(said: Fields, pen: Pen, problems: list[str]) -> Writing:
    return Writing(
        text=pen.text(),
        starts=tuple(pen.starts),
        pages=len(pen.starts) or None,
        title=writing.name(said.first("title")),
        author=writing.name(said.first("initial-creator", "creator")),
        language=said.first("language"),
        created=writing.moment(said.first("creation-date")),
        facts=writing.facts(
            {
                "subject": said.first("subject"),
                "keywords": ", ".join(said.found.get("keyword", ())),
                "description": said.first("description"),
                "application": said.first("generator"),
            }
        ),
        problems=(*pen.problems(), *problems),
    )
