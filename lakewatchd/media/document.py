"""Documents: which reader reads what, and what comes after reading, which is the same for all of them.

Offsets count characters of the whole text. The invariant: ``text[p.start:p.end] == p.text`` for every passage, each
character that is not white space lies in at least one of them, and none reaches over the end of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Content, Passage, Task
from lakewatchd.media import exif
from lakewatchd.media.text import (
    books,
    compound,
    language,
    mail,
    markup,
    office,
    opendocument,
    pdf,
    plain,
    rtf,
    small,
)
from lakewatchd.media.text.passages import passages
from lakewatchd.media.text.writing import Locked, Writing

Reader = Callable[[BinaryIO, DecodeConfig], Writing]

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_READERS: Mapping[str, Reader] = {
    "application/pdf": pdf.read,
    _OOXML + "wordprocessingml.document": office.read_word,
    _OOXML + "presentationml.presentation": office.read_slides,
    _ODF + "text": opendocument.read,
    _ODF + "presentation": opendocument.read,
    _ODF + "graphics": opendocument.read,
    _ODF + "flat": opendocument.read_flat,
    "application/msword": compound.read_word,
    "application/vnd.ms-powerpoint": compound.read_slides,
    "application/vnd.ms-outlook": compound.read_message,
    "application/rtf": rtf.read,
    "application/epub+zip": books.read_epub,
    "application/x-fictionbook+xml": books.read_fiction,
    "application/vnd.comicbook+zip": books.read_comic,
    "application/vnd.ms-xpsdocument": books.read_xps,
    "application/vnd.apple.iwork": books.read_preview,
    "text/html": markup.read,
    "message/rfc822": mail.read,
    "multipart/related": mail.read,
    "application/mbox": mail.read_mailbox,
    "application/x-ipynb+json": small.read_notebook,
    "application/x-subrip": small.read_subtitles,
    "text/vtt": small.read_subtitles,
    "text/x-ssa": small.read_subtitles,
    "text/calendar": small.read_calendar,
    "text/vcard": small.read_cards,
    "text/x-tex": plain.read_tex,
    "text/plain": plain.read,
    "text/markdown": plain.read,
    "text/x-rst": plain.read,
}
_TEXT = frozenset(
    [
        "application/xml",
        "application/sql",
        "application/toml",
        "application/yaml",
        "application/json",
        "application/geo+json",
        "application/x-ndjson",
    ]
)
"""Text underneath, as all of ``text/`` is."""

_NEEDS: Mapping[Reader, Callable[[], bool]] = {
    pdf.read: pdf.is_available,
    rtf.read: rtf.is_available,
    compound.read_word: compound.is_available,
    compound.read_slides: compound.is_available,
    compound.read_message: compound.is_available,
}
NOT_INSTALLED = "its text is not read: pip install 'lakewatchd[documents]'"


def installed() -> dict[str, bool]:
    """What is there of the optional libraries: installing one makes documents that were read without it stale."""
    return {
        "pdf": pdf.is_available(),
        "rtf": rtf.is_available(),
        "compound": compound.is_available(),
        "languages": language.is_available(),
    }


def load() -> None:
    """All libraries that are there: afterwards no code can be loaded."""
    plain.load()
    for module in (pdf, rtf, compound, language):
        if module.is_available():
            module.load()


def is_readable(mime: str) -> bool:
    """Whether there is text in files of this type that somebody here reads."""
    return _reader(mime) is not None


def _reader(mime: str) -> Reader | None:
    return _READERS.get(mime) or (plain.read_code if mime.startswith("text/") or mime in _TEXT else None)


def describe_document(stream: BinaryIO, mime: str, name: str, config: DecodeConfig) -> tuple[Content, str]:
    """What the document in ``stream`` says, and its whole text; ``Content.passages`` are slices of it.

    Raises :class:`errors.DamagedMedia` for what is no such document, :class:`errors.UnsupportedMedia` and
    :class:`errors.TooLarge`. One that asks for a password, or whose library is not installed, is known by
    its name only, and a warning says why.
    """
    read = _reader(mime)
    if read is None:
        return _by_name(name, f"the text of {mime} is not read")
    if not _NEEDS.get(read, _always)():
        return _by_name(name, NOT_INSTALLED)
    stream.seek(0)
    try:
        writing = read(stream, config)
    except Locked as exc:
        return _by_name(name, str(exc))
    return _content(writing, name, config), writing.text


def legible(stream: BinaryIO, mime: str, task: Task) -> Content:
    """Pages that have hardly any text of their own, large enough to be read: of a PDF, where scans come from.

    ``Content.frames`` are those among ``task.count`` pages from the page ``task.first`` on, ``Content.pages`` how many
    pages there are: none where no page asks for it.
    """
    if mime != "application/pdf" or not pdf.is_available():
        return Content(pages=0)
    try:
        frames, pages = pdf.legible(stream, task.first, task.count)
    except Locked:
        return Content(pages=0)
    return Content(frames=tuple(frames), pages=pages)


def _always() -> bool:
    return True


def _by_name(name: str, problem: str) -> tuple[Content, str]:
    return Content(title=exif.title_of(name), warnings=(problem,)), ""


def _content(writing: Writing, name: str, config: DecodeConfig) -> Content:
    text = writing.text
    return Content(
        title=writing.title or exif.title_of(name),
        author=writing.author,
        language=_language(writing),
        pages=writing.pages,
        captured_at=writing.created,
        captured_from="document" if writing.created else "",
        exif=writing.facts,
        passages=tuple(
            Passage(
                text[start + begin : start + end],
                start + begin,
                start + end,
                page,
                *writing.said(start + begin, start + end),
            )
            for page, start, stop in writing.page_spans()
            for begin, end in passages(text[start:stop], config.passage_chars, config.passage_overlap)
        ),
        text_chars=len(text),
        warnings=writing.problems,
        picture=writing.picture,
        thumbnail=writing.thumbnail,
        phash=writing.phash,
    )


def _language(writing: Writing) -> str:
    said = language.said(writing.language)
    if said or not writing.is_prose or not language.is_available():
        return said
    return language.detect(writing.text)
