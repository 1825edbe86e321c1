"""PDF (PDFium): text by page, what the document says of itself, and pages as pictures.

The library reads through one callback, made before the process confines itself: a confined process gets no memory that
can be executed, which every further callback would need. So one document is open at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import importlib.util
import io
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Frame, Picture
from lakewatchd.media import decode
from lakewatchd.media.text import plain, writing
from lakewatchd.media.text.writing import Locked, Pen, Writing

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument, PdfPage

MOST_PAGES = 5000
LEGIBLE_PX = 2000
_LEAST_CHARS = 40
"""Letters and digits: a page with fewer of them says little by its text."""
_MOST_SCALE = 4.0
"""288 dots per inch: small pages are not blown up further."""


def is_available() -> bool:
    return importlib.util.find_spec("pypdfium2") is not None


class _Source:
    """Where PDFium's reads go to."""

    def __init__(self) -> None:
        import pypdfium2.raw as pdfium

        self.stream: BinaryIO | None = None
        self.failure: BaseException | None = None
        self._access = pdfium.FPDF_FILEACCESS()
        self._access.m_GetBlock = type(self._access.m_GetBlock)(self._read)

    def access(self, stream: BinaryIO) -> Any:
        self.stream, self.failure = stream, None
        self._access.m_FileLen = stream.seek(0, io.SEEK_END)
        return self._access

    def _read(self, _: object, position: int, buffer: Any, size: int) -> int:
        assert self.stream is not None, "a document that was closed"
        try:
            self.stream.seek(position)
            data = self.stream.read(size)
            ctypes.memmove(buffer, data, len(data))
        except BaseException as exc:  # nothing may fly through C
            self.failure = exc
            return 0
        return int(len(data) == size)


_source: _Source | None = None


def load() -> None:
    """The library, and the one callback: before confinement."""
    global _source
    import pypdfium2

    _ = pypdfium2.PdfDocument  # submodules load on first use
    _source = _source or _Source()


@contextlib.contextmanager
def _opened(stream: BinaryIO) -> Iterator[PdfDocument]:
    import pypdfium2
    import pypdfium2.raw as pdfium

    load()
    assert _source is not None, "load() made it"
    handle = pdfium.FPDF_LoadCustomDocument(_source.access(stream), None)
    code = pdfium.FPDF_GetLastError() if not handle else 0
    document = pypdfium2.PdfDocument(handle) if handle else None
    try:
        if document is not None:
            yield document
    except pypdfium2.PdfiumError as exc:
        if _source.failure is None:
            raise errors.DamagedMedia(f"a PDF that cannot be read: {exc}") from exc
    finally:
        if document is not None:
            document.close()
        _source.stream = None
        if _source.failure is not None:  # whatever PDFium made of it, the cause is that its file could not be read
            raise _source.failure
    if document is None:
        if code == pdfium.FPDF_ERR_PASSWORD:
            raise Locked
        raise errors.DamagedMedia("a PDF that cannot be read: no pages are found in it")


def read(stream: BinaryIO, config: DecodeConfig) -> Writing:
    with _opened(stream) as document:
        pages = len(document)
        if not pages:
            raise errors.DamagedMedia("a PDF without pages")
        pen = Pen(config.max_text_bytes)
        unreadable = 0
        for number in range(min(pages, MOST_PAGES)):
            pen.begin_page()
            if pen.is_full:
                break
            text = _text(document, number)
            unreadable += text is None
            pen.write(text or "")
        if unreadable == min(pages, MOST_PAGES):
            raise errors.DamagedMedia("a PDF of which no page can be read")
        problems = [f"{unreadable} pages cannot be read"] if unreadable else []
        if pages > MOST_PAGES:
            problems.append(f"only the first {MOST_PAGES} of {pages} pages were read")
        text = pen.text()
        first = text[: pen.starts[1] if len(pen.starts) > 1 else len(text)]
        picture, thumbnail, phash = _looks(document, config)
        says_little = is_scarce(first)
        said = document.get_metadata_dict(skip_empty=True)
        return Writing(
            text=text,
            starts=tuple(pen.starts),
            pages=pages,
            title=_title(said.get("Title", "")) or plain.find_title(first),
            author=writing.name(said.get("Author", "")),
            language=_language(document),
            created=_moment(said.get("CreationDate", "")),
            facts=writing.facts(
                {
                    "subject": said.get("Subject"),
                    "keywords": said.get("Keywords"),
                    "application": said.get("Creator"),
                    "producer": said.get("Producer"),
                }
            ),
            problems=(*pen.problems(), *problems),
            picture=picture if says_little else None,
            thumbnail=thumbnail,
            phash=phash if says_little else None,
        )


def is_scarce(text: str) -> bool:
    """Whether a page with this text is a scan, a drawing or blank: what it says is to be read from its picture."""
    return sum(map(str.isalnum, text[: 20 * _LEAST_CHARS])) < _LEAST_CHARS


def legible(stream: BinaryIO, first: int, count: int) -> tuple[list[Frame], int]:
    """The pages that have hardly any text, among ``count`` of them from the page ``first`` on, which counts from 0; and
    how many pages are to be gone through: none if none of them all is such a page.

    A picture is as large as reading letters from it asks for: :data:`LEGIBLE_PX` at most.
    """
    found = []
    with _opened(stream) as document:
        pages = min(len(document), MOST_PAGES)
        if first == 0 and not any(_is_scarce(document, index) for index in range(pages)):
            return [], 0
        for index in range(first, min(first + count, pages)):
            image = _drawn(document, index, LEGIBLE_PX) if _is_scarce(document, index) else None
            if image is not None:
                found.append(Frame(Picture(*image.size, image.tobytes()), page=index + 1))
    return found, pages


def _is_scarce(document: PdfDocument, index: int) -> bool:
    text = _text(document, index)
    return text is not None and is_scarce(text)


_HYPHENS = re.compile(r"[\ufffe\x02\xad](?:\r?\n)?")
"""What PDFium puts where a word was broken at the end of a line."""


def _text(document: PdfDocument, index: int) -> str | None:
    """Of one page; None if it cannot be read."""
    with _page(document, index) as page:
        if page is None:
            return None
        letters = page.get_textpage()
        try:
            return _HYPHENS.sub("", letters.get_text_range())
        finally:
            letters.close()


@contextlib.contextmanager
def _page(document: PdfDocument, index: int) -> Iterator[PdfPage | None]:
    import pypdfium2

    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        yield None
        return
    try:
        yield page
    finally:
        page.close()


def _looks(document: PdfDocument, config: DecodeConfig) -> tuple[Picture | None, bytes | None, int | None]:
    image = _drawn(document, 0, decode.LONG_PX)
    return (None, None, None) if image is None else decode.looks(image, image.size, config.thumbnail_px)


def _drawn(document: PdfDocument, index: int, long_px: int) -> Image | None:
    """A page on white paper; None for one that cannot be drawn."""
    with _page(document, index) as page:
        size = page.get_size() if page is not None else (0.0, 0.0)
        if page is None or not all(math.isfinite(side) and side > 0 for side in size):
            return None
        if max(size) > 200 * min(size):  # a line: no page
            return None
        scale = min(long_px / max(size), _MOST_SCALE)
        bitmap = page.render(scale=scale, rev_byteorder=True)
        try:
            image: Image = bitmap.to_pil().convert("RGB")
            return image
        finally:
            bitmap.close()


_PROGRAM = re.compile(r"^(?:Microsoft (?:Word|PowerPoint|Excel) - )", re.IGNORECASE)
_NO_TITLE = re.compile(
    r"^(?:untitled|unnamed|title|document\d*|slide 1|powerpoint presentation|[\w-]+\.\w{2,5})$", re.I
)


def _title(said: str) -> str:
    """What a person would call one; programs put file names and worse there."""
    title = _PROGRAM.sub("", writing.name(said))
    return "" if _NO_TITLE.match(title) else title


def _language(document: PdfDocument) -> str:
    import pypdfium2.raw as pdfium

    buffer = (pdfium.FPDF_WCHAR * 32)()
    size = pdfium.FPDFCatalog_GetLanguage(document, buffer, ctypes.sizeof(buffer))
    return bytes(buffer)[: max(0, size - 2)].decode("utf-16-le", "ignore") if size <= ctypes.sizeof(buffer) else ""


_TIME = re.compile(r"D?:?(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(?:([-+Z])(?:(\d\d)'?(\d\d)?)?)?")


def _moment(text: str) -> dt.datetime | None:
    match = _TIME.match(text)
    if match is None:
        return None
    year, month, day, *time = match.groups()
    clock = ":".join(part or "00" for part in time[:3])
    sign, hours, minutes = time[3:]
    zone = f"{sign}{hours or '00'}:{minutes or '00'}" if sign in ("+", "-") else "+00:00" if sign else ""
    return writing.moment(f"{year}-{month}-{day}T{clock}{zone}")
