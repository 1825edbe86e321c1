"""What a file is, told by its first bytes. No decoding: a few comparisons, whatever the bytes are.

The name decides only between flavours of one container (``.docx`` is a ZIP, ``.nef`` is a TIFF, ``.md`` is
text); it never turns a picture into a document or back. A table of our own instead of ``puremagic``: what lies
here is exactly what the plan has stages for, the same on every machine, without a score to interpret.
"""

from __future__ import annotations

import codecs
import posixpath
import re

from lakewatchd.core.asset import Kind

HEAD_BYTES = 64 << 10
"""How much of a file :func:`kind_of` wants to see."""

EMPTY = ("inode/x-empty", Kind.OTHER)
UNKNOWN = ("application/octet-stream", Kind.OTHER)

_IMAGE, _VIDEO, _AUDIO, _DOCUMENT, _TABLE, _OTHER = (
    Kind.IMAGE, Kind.VIDEO, Kind.AUDIO, Kind.DOCUMENT, Kind.TABLE, Kind.OTHER,
)  # fmt: skip

_SIGNATURES: tuple[tuple[int, bytes, str, Kind], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg", _IMAGE),
    (0, b"\x89PNG\r\n\x1a\n", "image/png", _IMAGE),
    (0, b"GIF87a", "image/gif", _IMAGE),
    (0, b"GIF89a", "image/gif", _IMAGE),
    (0, b"II*\0", "image/tiff", _IMAGE),
    (0, b"MM\0*", "image/tiff", _IMAGE),
    (0, b"IIRO", "image/x-olympus-orf", _IMAGE),
    (0, b"IIU\0", "image/x-panasonic-rw2", _IMAGE),
    (0, b"FUJIFILMCCD-RAW", "image/x-fuji-raf", _IMAGE),
    (0, b"8BPS", "image/vnd.adobe.photoshop", _IMAGE),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2", _IMAGE),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl", _IMAGE),
    (0, b"\xff\x0a", "image/jxl", _IMAGE),
    (0, b"\0\0\1\0", "image/vnd.microsoft.icon", _IMAGE),
    (0, b"%PDF-", "application/pdf", _DOCUMENT),
    (0, b"{\\rtf", "application/rtf", _DOCUMENT),
    (0, b"PAR1", "application/vnd.apache.parquet", _TABLE),
    (0, b"ARROW1", "application/vnd.apache.arrow.file", _TABLE),
    (0, b"fLaC", "audio/flac", _AUDIO),
    (0, b"ID3", "audio/mpeg", _AUDIO),
    (0, b"MThd", "audio/midi", _AUDIO),
    (0, b"#!AMR", "audio/amr", _AUDIO),
    (0, b"FLV\1", "video/x-flv", _VIDEO),
    (0, b"\0\0\1\xba", "video/mpeg", _VIDEO),
    (0, b"\0\0\1\xb3", "video/mpeg", _VIDEO),
    (0, b"\x1f\x8b", "application/gzip", _OTHER),
    (0, b"BZh", "application/x-bzip2", _OTHER),
    (0, b"\xfd7zXZ\0", "application/x-xz", _OTHER),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd", _OTHER),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", _OTHER),
    (0, b"Rar!\x1a\x07", "application/vnd.rar", _OTHER),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3", _OTHER),
    (0, b"\x7fELF", "application/x-executable", _OTHER),
    (257, b"ustar", "application/x-tar", _OTHER),
)

_RAW_PHOTOS = {
    ".nef": "nikon-nef", ".arw": "sony-arw", ".dng": "adobe-dng", ".cr2": "canon-cr2", ".pef": "pentax-pef",
    ".srw": "samsung-srw", ".nrw": "nikon-nrw", ".sr2": "sony-sr2",
}  # fmt: skip

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_ZIPPED: dict[str, tuple[str, Kind]] = {
    ".docx": (_OOXML + "wordprocessingml.document", _DOCUMENT),
    ".pptx": (_OOXML + "presentationml.presentation", _DOCUMENT),
    ".xlsx": (_OOXML + "spreadsheetml.sheet", _TABLE),
    ".odt": (_ODF + "text", _DOCUMENT),
    ".odp": (_ODF + "presentation", _DOCUMENT),
    ".ods": (_ODF + "spreadsheet", _TABLE),
    ".epub": ("application/epub+zip", _DOCUMENT),
}
_COMPOUND: dict[str, tuple[str, Kind]] = {
    ".doc": ("application/msword", _DOCUMENT),
    ".ppt": ("application/vnd.ms-powerpoint", _DOCUMENT),
    ".xls": ("application/vnd.ms-excel", _TABLE),
}

PLAIN = ("text/plain", Kind.DOCUMENT)
_TEXTS: dict[str, tuple[str, Kind]] = {
    ".md": ("text/markdown", _DOCUMENT),
    ".markdown": ("text/markdown", _DOCUMENT),
    ".rst": ("text/x-rst", _DOCUMENT),
    ".html": ("text/html", _DOCUMENT),
    ".htm": ("text/html", _DOCUMENT),
    ".xhtml": ("text/html", _DOCUMENT),
    ".xml": ("application/xml", _DOCUMENT),
    ".svg": ("image/svg+xml", _IMAGE),
    ".tex": ("text/x-tex", _DOCUMENT),
    ".srt": ("application/x-subrip", _DOCUMENT),
    ".vtt": ("text/vtt", _DOCUMENT),
    ".py": ("text/x-python", _DOCUMENT),
    ".sh": ("text/x-shellscript", _DOCUMENT),
    ".c": ("text/x-c", _DOCUMENT),
    ".h": ("text/x-c", _DOCUMENT),
    ".cpp": ("text/x-c++", _DOCUMENT),
    ".rs": ("text/x-rust", _DOCUMENT),
    ".go": ("text/x-go", _DOCUMENT),
    ".java": ("text/x-java", _DOCUMENT),
    ".js": ("text/javascript", _DOCUMENT),
    ".ts": ("text/x-typescript", _DOCUMENT),
    ".css": ("text/css", _DOCUMENT),
    ".sql": ("application/sql", _DOCUMENT),
    ".toml": ("application/toml", _DOCUMENT),
    ".yaml": ("application/yaml", _DOCUMENT),
    ".yml": ("application/yaml", _DOCUMENT),
    ".eml": ("message/rfc822", _DOCUMENT),
    ".csv": ("text/csv", _TABLE),
    ".tsv": ("text/tab-separated-values", _TABLE),
    ".json": ("application/json", _TABLE),
    ".jsonl": ("application/x-ndjson", _TABLE),
    ".ndjson": ("application/x-ndjson", _TABLE),
}


def kind_of(head: bytes, name: str) -> tuple[str, Kind]:
    """``(mime, kind)`` of a file that starts with ``head``: its first :data:`HEAD_BYTES`, or all of it."""
    if not head:
        return EMPTY
    extension = posixpath.splitext(name)[1].lower()
    found = _by_container(head, extension) or _by_signature(head) or _by_frame(head)
    if found is not None:
        return _raw_photo(*found, head, extension)
    return _text_flavour(head, extension) if is_text(head) else UNKNOWN


def is_text(head: bytes) -> bool:
    """Whether ``head`` reads as text: UTF-8, UTF-16 or UTF-32 with a mark, or an 8-bit encoding; no NULs."""
    for mark, codec in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return _decodes(head, codec)
    if b"\0" in head:
        return False
    return not _is_noisy(head) and (_decodes(head, "utf-8") or _looks_latin(head))


BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark starts with the one of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b\b")) + b"\x7f"
_NOT_CP1252 = b"\x81\x8d\x8f\x90\x9d"
_HIGH = bytes(range(128, 256))


def _is_noisy(head: bytes) -> bool:
    return len(head) - len(head.translate(None, _CONTROLS)) > len(head) // 200


def _decodes(head: bytes, codec: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return False
    return "\0" not in text


def _looks_latin(head: bytes) -> bool:
    """Western 8-bit text: mostly ASCII, and nothing that no keyboard makes."""
    high = len(head) - len(head.translate(None, _HIGH))
    return high * 3 < len(head) and len(head.translate(None, _NOT_CP1252)) == len(head)


def _by_container(head: bytes, extension: str) -> tuple[str, Kind] | None:
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return ("audio/aiff", _AUDIO)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(head, extension)
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return _COMPOUND.get(extension, ("application/x-ole-storage", _OTHER))
    if head[:4] == b"\x1aE\xdf\xa3":
        return _matroska(head, extension)
    if head[:4] == b"OggS":
        return ("video/ogg", _VIDEO) if b"theora" in head[:4096] else ("audio/ogg", _AUDIO)
    if head[:16] == b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c":
        return ("audio/x-ms-wma", _AUDIO) if extension == ".wma" else ("video/x-ms-wmv", _VIDEO)
    return None


_RIFF: dict[bytes, tuple[str, Kind]] = {
    b"WEBP": ("image/webp", _IMAGE),
    b"WAVE": ("audio/wav", _AUDIO),
    b"AVI ": ("video/x-msvideo", _VIDEO),
}


def _iso_media(head: bytes) -> tuple[str, Kind]:
    size = min(int.from_bytes(head[:4]), 256)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
    major = head[8:12]
    if brands & {b"avif", b"avis"}:
        return ("image/avif", _IMAGE)
    if major in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        return ("image/heic", _IMAGE)
    if major == b"crx ":
        return ("image/x-canon-cr3", _IMAGE)
    if major in (b"M4A ", b"M4B "):
        return ("audio/mp4", _AUDIO)
    return ("video/quicktime", _VIDEO) if major == b"qt  " else ("video/mp4", _VIDEO)


def _zip(head: bytes, extension: str) -> tuple[str, Kind]:
    if head[30:38] == b"mimetype":  # OpenDocument and EPUB put their type first, uncompressed
        declared = head[38:102]
        for mime, kind in _ZIPPED.values():
            if declared.startswith(mime.encode()):
                return (mime, kind)
    return _ZIPPED.get(extension, ("application/zip", _OTHER))


def _matroska(head: bytes, extension: str) -> tuple[str, Kind]:
    if extension == ".mka":
        return ("audio/x-matroska", _AUDIO)
    return ("video/webm", _VIDEO) if b"webm" in head[:64] else ("video/x-matroska", _VIDEO)


def _by_signature(head: bytes) -> tuple[str, Kind] | None:
    for at, magic, mime, kind in _SIGNATURES:
        if head.startswith(magic, at):
            return (mime, kind)
    return None


def _by_frame(head: bytes) -> tuple[str, Kind] | None:
    """Formats without a name in them, told by the shape of their first header."""
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[14:18] in _BMP_HEADERS:
        return ("image/bmp", _IMAGE)
    if head[:1] == b"\x47" and head[188:189] == b"\x47" and head[376:377] in (b"\x47", b""):
        return ("video/mp2t", _VIDEO)
    if len(head) > 4 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:  # ADTS: sync word, layer 0
            return ("audio/aac", _AUDIO)
        if head[1] & 0xE6 == 0xE2 and head[2] >> 4 not in (0, 15) and head[2] & 12 != 12:  # layer 3
            return ("audio/mpeg", _AUDIO)
    return None


_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


def _raw_photo(mime: str, kind: Kind, head: bytes, extension: str) -> tuple[str, Kind]:
    """Raw photos are TIFF files whose first picture is a stamp: they must not pass for that picture."""
    if mime != "image/tiff":
        return (mime, kind)
    if head[8:10] == b"CR":
        return ("image/x-canon-cr2", kind)
    maker = _RAW_PHOTOS.get(extension)
    return (f"image/x-{maker}", kind) if maker else (mime, kind)


_HTML = re.compile(rb"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)


def _text_flavour(head: bytes, extension: str) -> tuple[str, Kind]:
    by_name = _TEXTS.get(extension)
    if by_name is not None:
        return by_name
    return ("text/html", _DOCUMENT) if _HTML.match(head) else PLAIN
