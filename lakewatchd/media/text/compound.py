"""What Office wrote before 2007, and Outlook's messages: streams in a compound file (olefile).

Only the words are read, by the few tables that lead to them ([MS-DOC] 2.4.1, [MS-PPT] 2.4.14, [MS-OXMSG]).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media import exif, files
from lakewatchd.media.text import markup, plain, writing
from lakewatchd.media.text.writing import Locked, Pen, Writing

if TYPE_CHECKING:
    from olefile import OleFileIO

_MOST_BYTES = 256 << 20


def is_available() -> bool:
    return importlib.util.find_spec("olefile") is not None


def load() -> None:
    import olefile  # noqa: F401


@contextlib.contextmanager
def _opened(stream: BinaryIO) -> Iterator[OleFileIO]:
    import olefile

    with files.translated():
        try:
            with olefile.OleFileIO(stream) as ole:
                if ole.exists("EncryptedPackage"):
                    raise Locked
                yield ole
        except (errors.LakewatchError, Locked, MemoryError):
            raise
        except (OSError, struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError) as exc:
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            raise errors.DamagedMedia(f"its compound file is broken: {exif.clean(str(exc))}") from exc


def _bytes(ole: OleFileIO, *path: str) -> bytes:
    """Of a stream; empty if there is none."""
    if not ole.exists(list(path)):
        return b""
    if ole.get_size(list(path)) > _MOST_BYTES:
        raise errors.TooLarge(f"a part of it is larger than {_MOST_BYTES} bytes")
    data: bytes = ole.openstream(list(path)).read(_MOST_BYTES)
    return data


def _writing(ole: OleFileIO, pen: Pen) -> Writing:
    said = ole.get_metadata()

    def words(value: object) -> str:
        return plain.read_text(value)[0] if isinstance(value, bytes) else ""

    created = said.create_time.replace(tzinfo=dt.UTC) if isinstance(said.create_time, dt.datetime) else None
    return Writing(
        text=pen.text(),
        starts=tuple(pen.starts),
        pages=len(pen.starts) or None,
        title=writing.name(words(said.title)),
        author=writing.name(words(said.author)),
        created=writing.wall_clock(created) if created else None,
        facts=writing.facts(
            {
                "subject": words(said.subject),
                "keywords": words(said.keywords),
                "company": words(said.company),
                "application": words(said.creating_application),
            }
        ),
        problems=pen.problems(),
    )


# --- Word --------------------------------------------------------------------------------------------------

_FIELD_CODE = re.compile(r"\x13[^\x13\x14\x15]{0,2000}(?:\x14|(?=\x15))")
_WORD_MARKS = str.maketrans(
    {7: "\t", 0x1E: "-", 0x1F: None, 0x13: None, 0x14: None, 0x15: None, 1: None, 2: None, 8: None}
)


def read_word(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Body, footnotes, headers and comments of Word 97 and later; pages where they were broken by hand."""
    with _opened(stream) as ole:
        main = _bytes(ole, "WordDocument")
        magic, flags = struct.unpack_from("<H8xH", main)
        if magic != 0xA5EC:
            raise errors.UnsupportedMedia(
                "a document of Word 95 or before", hint="save it as DOCX to find it by its text"
            )
        if flags & 0x100:
            raise Locked
        table = _bytes(ole, "1Table" if flags & 0x200 else "0Table")
        at, size = struct.unpack_from("<II", main, 0x1A2)
        text = "".join(_pieces(main, table[at : at + size], config.max_text_bytes))
        pen = Pen(config.max_text_bytes)
        for part in _FIELD_CODE.sub("", text).translate(_WORD_MARKS).split("\f"):
            pen.begin_page()
            pen.write(part)
        if len(pen.starts) == 1:
            pen.starts.clear()
        return _writing(ole, pen)


def _pieces(main: bytes, clx: bytes, at_most: int) -> Iterator[str]:
    """The text of the piece table ``clx``: each piece is eight-bit or UTF-16, somewhere in ``main``."""
    at = 0
    while at < len(clx) and clx[at] == 1:  # settings that pieces refer to
        at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
    if at >= len(clx) or clx[at] != 2:
        raise errors.DamagedMedia("its table of text is broken")
    plc = clx[at + 5 : at + 5 + struct.unpack_from("<I", clx, at + 1)[0]]
    count = (len(plc) - 4) // 12
    places = struct.unpack_from(f"<{count + 1}I", plc)
    for number in range(count):
        size = places[number + 1] - places[number]
        where = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * number + 2)[0]
        if size < 0 or at_most <= 0:
            break
        size = min(size, at_most)
        at_most -= size
        if where & 0x4000_0000:
            begin = (where & 0x3FFF_FFFF) // 2
            yield main[begin : begin + size].decode("cp1252", "replace")
        else:
            yield main[where : where + 2 * size].decode("utf-16-le", "replace")


# --- PowerPoint --------------------------------------------------------------------------------------------

_TEXT_CHARS, _TEXT_BYTES, _MASTER, _SLIDE, _NOTES = 4000, 4008, 1016, 1006, 1008


def read_slides(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """All text of slides and notes, in the order of the file, which keeps no account of what is on which slide."""
    with _opened(stream) as ole:
        if ole.exists("EncryptedSummary"):
            raise Locked
        pen = Pen(config.max_text_bytes)
        seen: set[str] = set()
        for text in _texts(_bytes(ole, "PowerPoint Document")):
            if text not in seen and not pen.is_full:  # outline and slide say the same
                seen.add(text)
                pen.write(text)
                pen.end_paragraph()
        return _writing(ole, pen)


def _texts(data: bytes) -> Iterator[str]:
    """Records lie in each other: one that holds others is entered, but for what slides are modelled on."""
    at = 0
    while at + 8 <= len(data):
        version, kind, size = struct.unpack_from("<HHI", data, at)
        at += 8
        if version & 0xF == 0xF:
            at += size if kind == _MASTER else 0
            continue
        if kind in (_TEXT_CHARS, _TEXT_BYTES):
            codec = "utf-16-le" if kind == _TEXT_CHARS else "latin-1"
            yield data[at : at + size].decode(codec, "replace").strip()
        at += size


# --- Outlook -----------------------------------------------------------------------------------------------

_SUBJECT, _SENDER, _TO, _CC, _BODY, _HTML, _FILE_NAME = "0037", "0C1A", "0E04", "0E03", "1000", "1013", "3707"
_SENT = 0x0039_0040


def read_message(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Headers, the words, and the names of what is attached."""
    with _opened(stream) as ole:
        pen = Pen(config.max_text_bytes)
        body = _property(ole, _BODY)
        if not body:
            body = markup.strip_html(markup.decoded(_bytes(ole, f"__substg1.0_{_HTML}0102"))[0]).text
        pen.write(body)
        folders = [path[0] for path in ole.listdir(streams=False, storages=True) if path[0].startswith("__attach")]
        attached = [_property(ole, _FILE_NAME, folder) for folder in dict.fromkeys(folders)][:200]
        sender = _property(ole, _SENDER)
        return Writing(
            text=pen.text(),
            title=writing.name(_property(ole, _SUBJECT)),
            author=writing.name(sender),
            created=_sent(_bytes(ole, "__properties_version1.0")),
            facts=writing.facts(
                {
                    "from": sender,
                    "to": _property(ole, _TO),
                    "cc": _property(ole, _CC),
                    "attachments": ", ".join(filter(None, attached)),
                }
            ),
            problems=pen.problems(),
        )


def _property(ole: OleFileIO, number: str, *folder: str) -> str:
    wide = _bytes(ole, *folder, f"__substg1.0_{number}001F")
    if wide:
        return wide.decode("utf-16-le", "replace")
    return plain.read_text(_bytes(ole, *folder, f"__substg1.0_{number}001E"))[0]


def _sent(properties: bytes) -> dt.datetime | None:
    for at in range(32, len(properties) - 15, 16):
        tag, ticks = struct.unpack_from("<I4xQ", properties, at)
        if tag == _SENT:
            with contextlib.suppress(OverflowError):
                return writing.wall_clock(
                    dt.datetime(1601, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=ticks // 10)
                )
    return None
