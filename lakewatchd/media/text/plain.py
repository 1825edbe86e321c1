"""Plain text: bytes of whatever encoding -> characters; its title; what a header in it says."""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media import files
from lakewatchd.media.kinds import BYTE_ORDER_MARKS, HEAD_BYTES, is_text
from lakewatchd.media.text import writing
from lakewatchd.media.text.writing import Writing


def read(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """A text that is its own title page: prose, Markdown (with a header of TOML or YAML), reStructuredText."""
    text, problems = characters(stream, config.max_text_bytes)
    header = front_matter(text)
    return Writing(
        text=text,
        title=writing.name(header.get("title", "")) or find_title(text[_end_of_front_matter(text) :]),
        author=writing.name(header.get("author", "") or header.get("authors", "")),
        language=header.get("lang", "") or header.get("language", ""),
        created=writing.moment(header.get("date", "")),
        facts=writing.facts({name: header.get(name) for name in ("tags", "keywords", "categories", "description")}),
        problems=problems,
    )


def read_code(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Source code and settings: words to find, but no title and no language that people speak."""
    text, problems = characters(stream, config.max_text_bytes)
    return Writing(text=text, is_prose=False, problems=problems)


_TEX_COMMAND = re.compile(r"\\(title|author|date)\s*(?:\[[^\]\n]{0,200}\]\s*)?\{([^{}]{1,300})\}")


def read_tex(stream: BinaryIO, config: DecodeConfig) -> Writing:
    r"""LaTeX as it is written, comments left out; ``\title`` and ``\author`` where they say something simple."""
    text, problems = characters(stream, config.max_text_bytes)
    text = re.sub(r"(?m)(?<!\\)%.*$", "", text)
    said = {match[1]: match[2].replace("~", " ").replace("\\\\", " ") for match in _TEX_COMMAND.finditer(text[:50_000])}
    return Writing(
        text=text,
        title=writing.name(said.get("title", "")),
        author=writing.name(said.get("author", "")),
        created=writing.moment(said.get("date", "")),
        problems=problems,
    )


def characters(stream: BinaryIO, at_most: int) -> tuple[str, tuple[str, ...]]:
    """The text in the first ``at_most`` bytes, and what was wrong. Raises :class:`errors.DamagedMedia` for no text."""
    data, is_cut = head(stream, at_most)
    if not is_text(data[:HEAD_BYTES]):
        raise errors.DamagedMedia("not text after all")
    text, problems = read_text(data, is_cut=is_cut)
    return text, (*problems, *([f"only the first {at_most} bytes were read"] if is_cut else []))


def head(stream: BinaryIO, at_most: int) -> tuple[bytes, bool]:
    """The first ``at_most`` bytes, and whether there is more. Never asks for more than that, whatever the size is."""
    with files.translated():
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        data = stream.read(min(size, at_most))
    return data, size > len(data)


def read_text(data: bytes, *, is_cut: bool = False, codec: str = "") -> tuple[str, tuple[str, ...]]:
    """Characters and warnings. ``is_cut`` allows ``data`` to end within a character; ``codec`` is what it claims.

    Marks decide, then a claim that all of it is ASCII, then UTF-8, then what it claims, then Windows-1252. Text ends
    where binary data begins: at a NUL.
    """
    mark = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "")
    problems: tuple[str, ...] = ()
    try:
        text = _decode(data, mark or (codec if codec.startswith(_SEVEN_BIT) else "utf-8"), is_cut)
    except UnicodeDecodeError as exc:
        if codec and not mark:
            text = data.decode(codec, "replace")
        elif not mark and data[: exc.start].isascii():
            text, problems = data.decode("cp1252", "replace"), ("not UTF-8: read as Windows-1252",)
        else:
            text = data.decode(mark or "utf-8", "replace")
            problems = (f"not all of it is valid {(mark or 'utf-8').upper()}",)
    text, nul, _ = text.partition("\0")
    if nul:
        problems = (*problems, f"binary data after {len(text)} characters")
    return text.replace("\r\n", "\n").replace("\r", "\n"), problems


_SEVEN_BIT = ("iso2022", "hz", "utf-7")
"""Begin the names of encodings whose bytes are all ASCII, and would pass for UTF-8: as in most Japanese mail."""


def codec_named(name: str) -> str:
    """``name`` if it is an encoding of text that is known here, else nothing."""
    try:
        return codecs.lookup(name).name if codecs.lookup(name)._is_text_encoding else ""
    except (LookupError, ValueError):
        return ""


_EAST_ASIA = ("gb18030", "big5", "big5hkscs", "shift_jis", "euc_kr", "iso2022_jp")
"""One of each library of Python's that decodes several: all other encodings are tables that are read when needed."""


def load() -> None:
    """Those of East Asia: their code cannot be loaded once the process is confined, and mail would be gibberish."""
    for codec in _EAST_ASIA:
        codecs.lookup(codec)


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
        return writing.name(heading[1].rstrip("# \t"))
    lines = (writing.name(line) for line in start.splitlines())
    return next((line for line in lines if any(char.isalnum() for char in line)), "")


_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.{0,8000}?)\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
_PAIR = re.compile(r"^([A-Za-z][\w-]{0,40})[ \t]*[:=][ \t]*(.{1,2000}?)[ \t]*$", re.MULTILINE)


def front_matter(text: str) -> dict[str, str]:
    """The plain pairs of a header between ``---`` or ``+++``, as blogs and notes have it; lists become words."""
    match = _FRONT.match(text)
    if match is None:
        return {}
    return {pair[1].lower(): re.sub(r"[\[\]\"']", "", pair[2]).strip() for pair in _PAIR.finditer(match[2])}


def _end_of_front_matter(text: str) -> int:
    match = _FRONT.match(text)
    return match.end() if match and front_matter(text) else 0
