"""Word documents and PowerPoint slides (Office Open XML): their words, page by page.

Pages of a Word document are where the program that saved it last broke them; one that was never laid out has none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media.text import package, writing
from lakewatchd.media.text.elements import attribute
from lakewatchd.media.text.package import Exceeded, Package
from lakewatchd.media.text.writing import Pen, Writing

MOST_SLIDES = 5000


class _Words:
    """Writes down what stands in ``t`` elements: both languages name the same things alike."""

    def __init__(self, pen: Pen, *, has_pages: bool = False) -> None:
        self._pen, self._has_pages = pen, has_pages
        self._is_text = False
        self._cells = self._fallbacks = 0

    @property
    def is_done(self) -> bool:
        return self._pen.is_full

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "Fallback":  # the same again, for programs that do not know the better form
            self._fallbacks += 1
        elif tag == "t":
            self._is_text = not self._fallbacks
        elif tag == "tc":
            self._cells += 1
        elif tag == "tab":
            self._pen.write("\t")
        elif tag == "br" and attribute(attributes, "type") == "page":
            pass  # followed by a lastRenderedPageBreak once it was laid out
        elif tag in ("br", "cr"):
            self._pen.write("\n")
        elif tag == "lastRenderedPageBreak" and self._has_pages and not self._fallbacks:
            self._pen.begin_page()

    def end(self, tag: str) -> None:
        self._is_text = False
        if tag == "Fallback":
            self._fallbacks -= 1
        elif tag == "p":
            self._pen.write(" " if self._cells else "\n\n")
        elif tag == "tc":
            self._cells -= 1
            self._pen.write("\t")
        elif tag == "tr":
            self._pen.end_line()

    def data(self, text: str) -> None:
        if self._is_text:
            self._pen.write(text)


def read_word(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Body, then footnotes, comments, and one of each header and footer."""
    pen = Pen(config.max_text_bytes)
    with package.opened(stream) as archive:
        main = _main_part(archive, "word/document.xml")
        parts = archive.related(main).values()
        beside = [
            name for kind in ("footnotes", "endnotes", "comments", "header", "footer") for name in _of(parts, kind)
        ]
        problems = []
        pen.begin_page()
        try:
            archive.walk(main, _Words(pen, has_pages=True))
            for name in beside:
                with contextlib.suppress(errors.DamagedMedia):
                    pen.end_paragraph()
                    archive.walk(name, _Words(pen))
        except Exceeded:
            problems.append(TOO_LONG)
        if len(pen.starts) == 1:
            pen.starts.clear()
        return _writing(archive, pen, problems, pages=len(pen.starts) or None)


def read_slides(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Each slide is a page, with its speaker's notes."""
    pen = Pen(config.max_text_bytes)
    with package.opened(stream) as archive:
        main = _main_part(archive, "ppt/presentation.xml")
        parts = archive.related(main)
        ids = [each.get("r:id") or each.get("id", "") for _, each in archive.elements(main, "sldId")]
        slides = [parts[id_][1] for id_ in ids if id_ in parts]
        problems = [f"only the first {MOST_SLIDES} slides were read"] if len(slides) > MOST_SLIDES else []
        try:
            for name in slides[:MOST_SLIDES]:
                pen.begin_page()
                archive.walk(name, _Words(pen))
                for notes in _of(archive.related(name).values(), "notesSlide"):
                    archive.walk(notes, _Words(pen))
        except Exceeded:
            problems.append(TOO_LONG)
        return _writing(archive, pen, problems, pages=len(slides))


TOO_LONG = f"more than {package.MOST_BYTES >> 20} MB of markup: only its beginning was read"


def _main_part(archive: Package, usual: str) -> str:
    return next(iter(_of(archive.related("").values(), "officeDocument")), usual)


def _of(parts: Iterable[tuple[str, str]], kind: str) -> list[str]:
    return list(dict.fromkeys(name for type_, name in parts if type_ == kind))


def _writing(archive: Package, pen: Pen, problems: list[str], *, pages: int | None) -> Writing:
    said = archive.fields("docProps/core.xml")
    made = archive.fields("docProps/app.xml")
    return Writing(
        text=pen.text(),
        starts=tuple(pen.starts),
        pages=pages,
        title=writing.name(said.first("title")),
        author=writing.name(said.first("creator", "lastModifiedBy")),
        language=said.first("language"),
        created=writing.moment(said.first("created")),
        facts=writing.facts(
            {
                "subject": said.first("subject"),
                "keywords": said.first("keywords"),
                "description": said.first("description"),
                "category": said.first("category"),
                "company": made.first("Company"),
                "application": made.first("Application"),
            }
        ),
        problems=(*pen.problems(), *problems),
    )
