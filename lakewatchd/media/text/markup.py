"""HTML: what a reader sees of a page, and what it says of itself.

What stands around the words (navigation, sidebars, forms) is left out where the page marks it as such and something
else is left: for a search, a word too many is better than a word too few.
"""

from __future__ import annotations

import html.parser
import re
from dataclasses import dataclass, field
from typing import BinaryIO

from lakewatchd.config import DecodeConfig
from lakewatchd.media.text import plain, writing
from lakewatchd.media.text.writing import Writing

_BLOCK_TAGS = """
    address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6
    header hr li main nav ol p pre section table td th tr ul title
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT = frozenset(("script", "style", "template", "noscript"))
_AROUND = frozenset(("nav", "aside", "footer", "menu", "select", "button"))
_ENOUGH_CHARS = 200
"""A page of which less is left keeps what stands around it."""


@dataclass(slots=True)
class Page:
    text: str = ""
    title: str = ""
    language: str = ""
    meta: dict[str, str] = field(default_factory=dict)
    """Lower-case names of ``<meta>`` -> content; the first of each name."""


class _Stripper(html.parser.HTMLParser):
    """Collects what a reader would see. Flat: no stack that a hostile page could make deep."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.parts: list[str] = []
        self.core: list[str] = []
        """The parts without what stands around them."""
        self.title: list[str] = []
        self._silent = ""
        self._around: dict[str, int] = {}
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT and not self._silent:
            self._silent = tag
        self._in_title = tag == "title" and not self.title
        if tag in _BLOCKS:
            self._add("\n")
        if tag in _AROUND:
            self._around[tag] = self._around.get(tag, 0) + 1
        elif tag == "meta":
            self._note(dict(reversed(attrs)))
        elif tag == "html":
            self.page.language = self.page.language or (dict(attrs).get("lang") or "")[:40]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = ""
        self._in_title = False
        if tag in _BLOCKS:
            self._add("\n")
        if self._around.get(tag):
            self._around[tag] -= 1

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._in_title:
            self.title.append(data)
        else:
            self._add(data)

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """``<![``, and then a word that the parser does not know: browsers take it for a comment."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i, False)

    def _add(self, text: str) -> None:
        self.parts.append(text)
        if not any(self._around.values()):
            self.core.append(text)

    def _note(self, attrs: dict[str, str | None]) -> None:
        name, content = attrs.get("name") or attrs.get("property") or "", attrs.get("content") or ""
        if len(name) <= 60 and len(self.page.meta) < 100:
            self.page.meta.setdefault(name.lower(), content[:2000])


def strip_html(page: str) -> Page:
    """What a reader of ``page`` sees."""
    stripper = _Stripper()
    stripper.feed(_closed(page))
    stripper.close()
    core = _tidy(stripper.core)
    stripper.page.text = core if len(core) >= _ENOUGH_CHARS else _tidy(stripper.parts)
    stripper.page.title = writing.name("".join(stripper.title))
    return stripper.page


def _tidy(parts: list[str]) -> str:
    text = re.sub(r"[ \t\xa0]+", " ", "".join(parts))
    text = re.sub(r" ?\n[ \n]*", lambda gap: "\n\n" if gap[0].count("\n") > 1 else "\n", text)
    return text.strip().removesuffix("-->").rstrip()


def _closed(page: str) -> str:
    """``page`` with an end to its last comment, and without the last tag if that has no end.

    The parser would look for such an end again from every ``<`` behind it: minutes for a page of 100 kB.
    """
    tag = page.find("<", page.rfind(">") + 1)
    page = page if tag < 0 else page[:tag]
    return page + "-->" if page.rfind("<!--") > page.rfind("-->") else page


_CHARSET = re.compile(rb"<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,80}?encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)


def decoded(data: bytes, *, is_cut: bool = False) -> tuple[str, tuple[str, ...]]:
    """Characters of a page in the encoding that it names, where it is not UTF-8."""
    named = _CHARSET.search(data[:4096])
    return plain.read_text(data, is_cut=is_cut, codec=plain.codec_named(named[1].decode()) if named else "")


_DATES = ("article:published_time", "datepublished", "dcterms.date", "dc.date", "date", "dcterms.created")


def read(stream: BinaryIO, config: DecodeConfig) -> Writing:
    data, is_cut = plain.head(stream, config.max_text_bytes)
    text, problems = decoded(data, is_cut=is_cut)
    page = strip_html(text)
    if is_cut:
        problems = (*problems, f"only the first {config.max_text_bytes} bytes were read")
    dates = (writing.moment(page.meta.get(name, "")) for name in _DATES)
    return Writing(
        text=page.text,
        title=page.title or writing.name(page.meta.get("og:title", "")) or plain.find_title(page.text),
        author=writing.name(page.meta.get("author", "")),
        language=page.language,
        created=next((date for date in dates if date), None),
        facts=writing.facts({name: page.meta.get(name) for name in ("description", "keywords")}),
        problems=problems,
    )
