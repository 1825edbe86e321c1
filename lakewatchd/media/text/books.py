"""Electronic books: EPUB, FictionBook, comics (pictures in a ZIP file), and pages of XPS."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Content
from lakewatchd.media import decode
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.text import markup, package, plain, writing
from lakewatchd.media.text.elements import attribute, walk
from lakewatchd.media.text.office import TOO_LONG
from lakewatchd.media.text.package import Exceeded, Package, joined
from lakewatchd.media.text.writing import Pen, Writing

MOST_CHAPTERS = 5000


def read_epub(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Each chapter, as the book is cut into files, counts as a page."""
    pen, problems = Pen(config.max_text_bytes), []
    with package.opened(stream) as archive:
        root = next((e for _, e in archive.elements("META-INF/container.xml", "rootfile")), {}).get("full-path", "")
        if not archive.has(root):
            raise errors.DamagedMedia("an EPUB without a table of what is in it")
        folder = root.rpartition("/")[0]
        listed = archive.elements(root, "item", "itemref", "meta")
        items = {each.get("id", ""): each for tag, each in listed if tag == "item"}
        spine = (items.get(each.get("idref", ""), {}) for tag, each in listed if tag == "itemref")
        chapters = list(dict.fromkeys(joined(folder, item.get("href", "")) for item in spine))  # each is read once
        try:
            for name in chapters[:MOST_CHAPTERS]:
                if pen.is_full or not archive.has(name):
                    continue
                page = markup.strip_html(markup.decoded(archive.small(name))[0])
                if page.text:
                    pen.begin_page()
                    pen.write(page.text)
        except Exceeded:
            problems.append(TOO_LONG)
        said = archive.fields(root)
        cover = _look(archive, joined(folder, _cover(listed, items)), config)
        return Writing(
            text=pen.text(),
            starts=tuple(pen.starts),
            pages=len(pen.starts) or None,
            title=writing.name(said.first("title")),
            author=writing.name(", ".join(said.found.get("creator", ()))),
            language=said.first("language"),
            created=writing.moment(said.first("date")),
            facts=writing.facts(
                {
                    "publisher": said.first("publisher"),
                    "subject": ", ".join(said.found.get("subject", ())),
                    "description": markup.strip_html(said.first("description")).text,
                }
            ),
            problems=(*pen.problems(), *problems),
            picture=cover.picture,
            thumbnail=cover.thumbnail,
            phash=cover.phash,
        )


def _cover(listed: list[tuple[str, dict[str, str]]], items: Mapping[str, Mapping[str, str]]) -> str:
    """The file of the cover, as books of version 3 or of version 2 say it."""
    for item in items.values():
        if "cover-image" in item.get("properties", "").split():
            return item.get("href", "")
    named = next((each.get("content", "") for tag, each in listed if tag == "meta" and each.get("name") == "cover"), "")
    return items.get(named, {}).get("href", "")


def _look(archive: Package, name: str, config: DecodeConfig) -> Content:
    """Of a picture in the archive; of what is none, or is broken, there is nothing to see."""
    if archive.has(name):
        with contextlib.suppress(errors.AssetError, Exceeded):
            data = archive.small(name)
            mime, _ = kind_of(data[:HEAD_BYTES], name)
            return decode.describe_image(
                io.BytesIO(data), mime, name, max_pixels=config.max_pixels, thumbnail_px=config.thumbnail_px
            )
    return Content()


_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|bmp)$", re.IGNORECASE)


def read_comic(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Pictures in the order of their names: the first of them is the cover."""
    with package.opened(stream) as archive:
        pages = sorted(name for name in archive.names if _PICTURE.search(name) and not name.startswith("__MACOSX"))
        said = archive.fields("ComicInfo.xml")
        cover = _look(archive, pages[0], config) if pages else Content()
        return Writing(
            text=said.first("Summary"),
            pages=len(pages),
            title=writing.name(
                " ".join(filter(None, (said.first("Series"), said.first("Number"), said.first("Title"))))
            ),
            author=writing.name(said.first("Writer")),
            language=said.first("LanguageISO"),
            picture=cover.picture,
            thumbnail=cover.thumbnail,
            phash=cover.phash,
        )


def read_preview(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Of documents of Apple's Pages, Keynote and Numbers: the picture that lies in them. Their text is no XML."""
    with package.opened(stream) as archive:
        name = next((name for name in _PREVIEWS if archive.has(name)), "")
        look = _look(archive, name, config)
        return Writing(
            picture=look.picture,
            thumbnail=look.thumbnail,
            phash=look.phash,
            problems=("its text cannot be read; export a PDF beside it to find it by its words",),
        )


_PREVIEWS = ("preview.jpg", "QuickLook/Thumbnail.jpg", "preview-web.jpg", "preview-micro.jpg")


class _Fiction:
    """FictionBook: paragraphs of the body; sections are no pages, as they lie in each other."""

    def __init__(self, pen: Pen) -> None:
        self.said: dict[str, str] = {}
        self._pen = pen
        self._is_body = False
        self._tag = ""

    @property
    def is_done(self) -> bool:
        return self._pen.is_full

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._tag = tag
        self._is_body = self._is_body or tag == "body"
        if tag == "binary":
            self._is_body = False

    def end(self, tag: str) -> None:
        self._tag = ""
        if tag in ("p", "v", "subtitle", "text-author"):
            self._pen.end_line()

    def data(self, text: str) -> None:
        if self._is_body:
            self._pen.write(text.replace("\n", " "))
        elif self._tag and len(self.said.setdefault(self._tag, "")) < writing.NAME_CHARS:
            self.said[self._tag] += text


def read_fiction(stream: BinaryIO, config: DecodeConfig) -> Writing:
    pen = Pen(config.max_text_bytes)
    words = _Fiction(pen)
    walk(stream, words)
    said = words.said
    return Writing(
        text=pen.text(),
        title=writing.name(said.get("book-title", "")),
        author=writing.name(f"{said.get('first-name', '')} {said.get('last-name', '')}"),
        language=said.get("lang", "").strip(),
        facts=writing.facts({"genre": said.get("genre")}),
        problems=pen.problems(),
    )


class _Glyphs:
    """XPS: pieces of lines, each an attribute, in the order in which they are drawn."""

    def __init__(self, pen: Pen) -> None:
        self._pen, self._line = pen, ""

    @property
    def is_done(self) -> bool:
        return self._pen.is_full

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        text = attribute(attributes, "UnicodeString") if tag == "Glyphs" else ""
        if text:
            line = attribute(attributes, "OriginY")
            self._pen.write(" " if line == self._line else "\n")
            self._line = line
            self._pen.write(text.removeprefix("{}"))

    def end(self, tag: str) -> None:
        pass

    def data(self, text: str) -> None:
        pass


_FIXED_PAGE = re.compile(r"(\d+)\.fpage$", re.IGNORECASE)


def read_xps(stream: BinaryIO, config: DecodeConfig) -> Writing:
    pen, problems = Pen(config.max_text_bytes), []
    with package.opened(stream) as archive:
        numbered = [(match[1].zfill(9), name) for name in archive.names if (match := _FIXED_PAGE.search(name))]
        pages = [name for _, name in sorted(numbered)]
        try:
            for name in pages[:MOST_CHAPTERS]:
                pen.begin_page()
                archive.walk(name, _Glyphs(pen))
        except Exceeded:
            problems.append(TOO_LONG)
        said = archive.fields("docProps/core.xml")
        return Writing(
            text=pen.text(),
            starts=tuple(pen.starts),
            pages=len(pages),
            title=writing.name(said.first("title")) or plain.find_title(pen.text()),
            author=writing.name(said.first("creator")),
            created=writing.moment(said.first("created")),
            problems=(*pen.problems(), *problems),
        )
