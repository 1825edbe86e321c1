"""Text: bytes of whatever encoding -> characters, a title, and passages to embed.

Offsets count characters of the text as :func:`read_text` gives it (newlines are ``\\n``, HTML is stripped). The
invariant: ``text[p.start:p.end] == p.text`` for every passage, and each character that is not white space lies
in at least one of them.
"""

from __future__ import annotations

import codecs
import html.parser
import os
import re
from collections.abc import Iterator

from lakewatchd import errors
from lakewatchd.core.content import Content, Passage
from lakewatchd.media import exif, files
from lakewatchd.media.kinds import BYTE_ORDER_MARKS, HEAD_BYTES, is_text

TITLE_CHARS = 120
_PROSE = ("text/plain", "text/markdown", "text/x-rst", "text/html")
_OTHER_TEXT = frozenset(
    (
        "application/xml",
        "application/x-subrip",
        "application/sql",
        "application/toml",
        "application/yaml",
        "message/rfc822",
    )
)


def is_readable(mime: str) -> bool:
    """Whether documents of this type are plain text underneath."""
    return mime.startswith("text/") or mime in _OTHER_TEXT


def describe_text(
    fd: int, mime: str, name: str, *, max_bytes: int, passage_chars: int, passage_overlap: int
) -> tuple[Content, str]:
    """What the text in ``fd`` says, and the whole text; ``Content.passages`` are slices of it.

    Reads ``max_bytes`` at most. Raises :class:`errors.DamagedMedia` if what lies there is no text.
    """
    data, is_cut = _read(fd, max_bytes)
    if not is_text(data[:HEAD_BYTES]):
        raise errors.DamagedMedia("not text after all")
    text, problems = read_text(data, is_cut=is_cut)
    if is_cut:
        problems = (*problems, f"only the first {max_bytes} bytes were read")
    title = ""
    if mime == "text/html":
        text, title = strip_html(text)
    title = title or (find_title(text) if mime in _PROSE else "")
    spans = passages(text, passage_chars, passage_overlap)
    content = Content(
        title=title or exif.title_of(name),
        passages=tuple(Passage(text[start:end], start, end) for start, end in spans),
        text_chars=len(text),
        warnings=problems,
    )
    return content, text


def _read(fd: int, max_bytes: int) -> tuple[bytes, bool]:
    """The first ``max_bytes``, and whether there is more. Never asks for more than that, whatever the size is."""
    with files.translated(), open(fd, "rb", closefd=False) as stream:
        size = os.fstat(fd).st_size
        data = stream.read(min(size, max_bytes))
    return data, size > len(data)


def read_text(data: bytes, *, is_cut: bool = False) -> tuple[str, tuple[str, ...]]:
    """Characters and warnings. ``is_cut`` allows ``data`` to end within a character.

    Marks decide, then UTF-8, then Windows-1252. Text ends where binary data begins (the first NUL).
    """
    codec = next((codec for mark, codec in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    problems: tuple[str, ...] = ()
    try:
        text = _decode(data, codec, is_cut)
    except UnicodeDecodeError as exc:
        if codec == "utf-8" and data[: exc.start].isascii():
            text, problems = data.decode("cp1252", "replace"), ("not UTF-8: read as Windows-1252",)
        else:
            text, problems = data.decode(codec, "replace"), (f"not all of it is valid {codec.upper()}",)
    text, nul, _ = text.partition("\0")
    if nul:
        problems = (*problems, f"binary data after {len(text)} characters")
    return text.replace("\r\n", "\n").replace("\r", "\n"), problems


def _decode(data: bytes, codec: str, is_cut: bool) -> str:
    return codecs.getincrementaldecoder(codec)().decode(data, final=not is_cut)


# --- titles ------------------------------------------------------------------------------------------------

_HEADING = re.compile(r"^#{1,6}[ \t]+(\S[^\n]{0,400})", re.MULTILINE)
_TITLE_WITHIN = 4096


def find_title(text: str) -> str:
    """The first Markdown heading near the start, else the first line with words; at most 120 characters."""
    start = text[:_TITLE_WITHIN]
    heading = _HEADING.search(start)
    if heading:
        return exif.clean(heading[1].rstrip("# \t"), TITLE_CHARS)
    lines = (exif.clean(line, TITLE_CHARS) for line in start.splitlines())
    return next((line for line in lines if any(char.isalnum() for char in line)), "")


# --- HTML --------------------------------------------------------------------------------------------------

_BLOCK_TAGS = """
    address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6
    header hr li main nav ol p pre section table td th tr ul title
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT = frozenset(("script", "style", "template", "noscript"))


class _Stripper(html.parser.HTMLParser):
    """Collects what a reader would see. Flat: no stack that a hostile page could make deep."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self._silent = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT and not self._silent:
            self._silent = tag
        self._in_title = tag == "title"
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = ""
        self._in_title = False
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        (self.title if self._in_title else self.parts).append(data)


def strip_html(page: str) -> tuple[str, str]:
    """The text a reader sees, and the page's title."""
    stripper = _Stripper()
    stripper.feed(_closed(page))
    stripper.close()
    text = re.sub(r"[ \t]+", " ", "".join(stripper.parts))
    text = re.sub(r" ?\n[ \n]*", lambda gap: "\n\n" if gap[0].count("\n") > 1 else "\n", text)
    return text.strip().removesuffix("-->").rstrip(), exif.clean("".join(stripper.title), TITLE_CHARS)


def _closed(page: str) -> str:
    """``page`` with an end to its last comment, and without the last tag if that has no end.

    The parser would look for such an end again from every ``<`` behind it: minutes for a page of 100 kB.
    """
    tag = page.find("<", page.rfind(">") + 1)
    page = page if tag < 0 else page[:tag]
    return page + "-->" if page.rfind("<!--") > page.rfind("-->") else page


# --- passages ----------------------------------------------------------------------------------------------

_NOT_SPACE = re.compile(r"\S")
_SENTENCE_END = re.compile(r"[.!?…][\"'»”’)\]]*\s|[。！？]|\n")
_SPACE = re.compile(r"\s")
_BORDERS = (re.compile(r"\n[ \t]*\n"), _SENTENCE_END, _SPACE)


def passages(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Cut ``text`` into pieces of at most ``size`` characters, each starting within ``overlap`` before the last end.

    A piece ends at the best border of its second half: paragraph, sentence, word, or just there. Pieces neither
    start nor end with white space.
    """
    size = max(2, size)
    overlap = max(0, min(overlap, size // 2 - 1))
    start = _next_word(text, 0)
    while start < len(text):
        end = _end_of_piece(text, start, size)
        yield start, start + len(text[start:end].rstrip())
        if end >= len(text):
            return
        start = _next_word(text, _start_of_next(text, end, overlap))


def _end_of_piece(text: str, start: int, size: int) -> int:
    if start + size >= len(text):
        return len(text)
    low, high = start + (size + 1) // 2, start + size
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(text, low, high)]
        if ends:
            return ends[-1]
    return high


def _start_of_next(text: str, end: int, overlap: int) -> int:
    """The first sentence, else the first word, that starts within ``overlap`` before ``end``."""
    for border in (_SENTENCE_END, _SPACE):
        match = border.search(text, end - overlap, end)
        if match and match.end() < end:
            return match.end()
    return end - overlap


def _next_word(text: str, at: int) -> int:
    match = _NOT_SPACE.search(text, at)
    return match.start() if match else len(text)
