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
    (0, b"IIRS", "image/x-olympus-orf", _IMAGE),
    (0, b"MMOR", "image/x-olympus-orf", _IMAGE),
    (0, b"IIU\0", "image/x-panasonic-rw2", _IMAGE),
    (0, b"FUJIFILMCCD-RAW", "image/x-fuji-raf", _IMAGE),
    (0, b"FOVb", "image/x-sigma-x3f", _IMAGE),
    (0, b"\0MRM", "image/x-minolta-mrw", _IMAGE),
    (0, b"8BPS", "image/vnd.adobe.photoshop", _IMAGE),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2", _IMAGE),
    (0, b"\xff\x4f\xff\x51", "image/jp2", _IMAGE),  # the bare code stream
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl", _IMAGE),
    (0, b"\xff\x0a", "image/jxl", _IMAGE),
    (0, b"\0\0\1\0", "image/vnd.microsoft.icon", _IMAGE),
    (0, b"icns", "image/x-icns", _IMAGE),
    (0, b"qoif", "image/x-qoi", _IMAGE),
    (0, b"DDS ", "image/x-dds", _IMAGE),
    (0, b"\x76\x2f\x31\x01", "image/x-exr", _IMAGE),
    (0, b"#?RADIANCE", "image/vnd.radiance", _IMAGE),
    (0, b"%PDF-", "application/pdf", _DOCUMENT),
    (0, b"{\\rtf", "application/rtf", _DOCUMENT),
    (0, b"PAR1", "application/vnd.apache.parquet", _TABLE),
    (0, b"ARROW1", "application/vnd.apache.arrow.file", _TABLE),
    (0, b"fLaC", "audio/flac", _AUDIO),
    (0, b"MThd", "audio/midi", _AUDIO),
    (0, b"#!AMR", "audio/amr", _AUDIO),
    (0, b"caff\0\1", "audio/x-caf", _AUDIO),
    (0, b".snd\0\0\0", "audio/basic", _AUDIO),
    (0, b"MAC ", "audio/x-ape", _AUDIO),
    (0, b"wvpk", "audio/x-wavpack", _AUDIO),
    (0, b"TTA1", "audio/x-tta", _AUDIO),
    (0, b"MPCK", "audio/x-musepack", _AUDIO),
    (0, b"DSD \x1c\0\0\0", "audio/x-dsf", _AUDIO),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "audio/x-w64", _AUDIO),
    (0, b"\x7f\xfe\x80\x01", "audio/vnd.dts", _AUDIO),
    (0, b"FLV\1", "video/x-flv", _VIDEO),
    (0, b"\x1f\x07\0\x3f", "video/x-dv", _VIDEO),  # a tape of 525 lines, and one of 625
    (0, b"\x1f\x07\0\xbf", "video/x-dv", _VIDEO),
    (0, b"\x06\x0e\x2b\x34\2\5\1\1\r\1\2\1\1", "application/mxf", _VIDEO),
    (0, b"\0\0\1\xba", "video/mpeg", _VIDEO),
    (0, b"\0\0\1\xb3", "video/mpeg", _VIDEO),
    (0, b"\x1f\x8b", "application/gzip", _OTHER),
    (0, b"BZh", "application/x-bzip2", _OTHER),
    (0, b"\xfd7zXZ\0", "application/x-xz", _OTHER),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd", _OTHER),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", _OTHER),
    (0, b"Rar!\x1a\x07", "application/vnd.rar", _OTHER),
    (0, b"\x04\x22\x4d\x18", "application/x-lz4", _OTHER),
    (0, b"\x1f\x9d", "application/x-compress", _OTHER),
    (0, b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed", _OTHER),
    (0, b"xar!", "application/x-xar", _OTHER),
    (0, b"!<arch>\n", "application/x-archive", _OTHER),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm", _OTHER),
    (0, b"070701", "application/x-cpio", _OTHER),
    (2, b"-lh", "application/x-lzh-compressed", _OTHER),
    (0x8001, b"CD001", "application/x-iso9660-image", _OTHER),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3", _TABLE),
    (0, b"\x7fELF", "application/x-executable", _OTHER),
    (257, b"ustar", "application/x-tar", _OTHER),
)

_RAW_MAKERS = {
    ".nef": "nikon-nef", ".arw": "sony-arw", ".dng": "adobe-dng", ".cr2": "canon-cr2", ".pef": "pentax-pef",
    ".srw": "samsung-srw", ".nrw": "nikon-nrw", ".sr2": "sony-sr2", ".3fr": "hasselblad-3fr", ".fff": "hasselblad-fff",
    ".iiq": "phaseone-iiq", ".erf": "epson-erf", ".kdc": "kodak-kdc", ".dcr": "kodak-dcr", ".rwl": "leica-rwl",
    ".mef": "mamiya-mef", ".mos": "leaf-mos", ".srf": "sony-srf",
}  # fmt: skip
"""Raw photos that are TIFF files by their first bytes."""
RAW_PHOTOS = frozenset({
    *(f"image/x-{maker}" for maker in _RAW_MAKERS.values()), "image/x-olympus-orf", "image/x-panasonic-rw2",
    "image/x-fuji-raf", "image/x-canon-cr3", "image/x-sigma-x3f", "image/x-minolta-mrw",
})  # fmt: skip

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_ZIPPED: dict[str, tuple[str, Kind]] = {
    ".docx": (_OOXML + "wordprocessingml.document", _DOCUMENT),
    ".pptx": (_OOXML + "presentationml.presentation", _DOCUMENT),
    ".xlsx": (_OOXML + "spreadsheetml.sheet", _TABLE),
    ".xlsm": (_OOXML + "spreadsheetml.sheet", _TABLE),
    ".xlsb": ("application/vnd.ms-excel.sheet.binary.macroenabled.12", _TABLE),
    ".odt": (_ODF + "text", _DOCUMENT),
    ".odp": (_ODF + "presentation", _DOCUMENT),
    ".odg": (_ODF + "graphics", _DOCUMENT),
    ".ods": (_ODF + "spreadsheet", _TABLE),
    ".epub": ("application/epub+zip", _DOCUMENT),
    ".cbz": ("application/vnd.comicbook+zip", _DOCUMENT),
    ".xps": ("application/vnd.ms-xpsdocument", _DOCUMENT),
    ".pages": ("application/vnd.apple.iwork", _DOCUMENT),
}
_SAME_AS = {
    ".docm": ".docx", ".dotx": ".docx", ".dotm": ".docx", ".pptm": ".pptx", ".ppsx": ".pptx", ".potx": ".pptx",
    ".xltx": ".xlsx", ".ott": ".odt", ".otp": ".odp", ".oxps": ".xps", ".key": ".pages",
    ".numbers": ".pages", ".dot": ".doc", ".pps": ".ppt", ".pot": ".ppt", ".mhtml": ".mht", ".emlx": ".eml",
}  # fmt: skip
_MEMBERS = ((b"word/document.xml", ".docx"), (b"ppt/presentation.xml", ".pptx"), (b"xl/workbook.xml", ".xlsx"))
"""What lies in a ZIP file near its beginning, whatever its name."""
_COMPOUND: dict[str, tuple[str, Kind]] = {
    ".doc": ("application/msword", _DOCUMENT),
    ".ppt": ("application/vnd.ms-powerpoint", _DOCUMENT),
    ".xls": ("application/vnd.ms-excel", _TABLE),
    ".msg": ("application/vnd.ms-outlook", _DOCUMENT),
}
_STREAMS = (("WordDocument", ".doc"), ("PowerPoint Document", ".ppt"), ("Workbook", ".xls"), ("__properties_v", ".msg"))
"""Names in the directory of a compound file, where that lies near its beginning."""

XMP, AAE = "application/rdf+xml", "application/x-apple-adjustments"
TAKEOUT = "application/vnd.google-takeout+json"
"""Sidecars: what programs write beside a picture (:mod:`.sidecar`)."""
_GZIP = ("application/gzip", _OTHER)
_PACKED_TABLE = re.compile(r"\.(?:csv|tsv|tab|psv)\.gz\Z", re.IGNORECASE)
"""Read where it lies, as if it were not packed."""

ZIP = "application/zip"
PACKED = {
    "application/gzip": "gzip",
    "application/x-bzip2": "bzip2",
    "application/x-xz": "xz",
    "application/zstd": "Zstandard",
    "application/x-lz4": "LZ4",
    "application/x-compress": "compress",
}
"""One file, which may be an archive."""
ARCHIVES = {
    **PACKED,
    ZIP: "ZIP",
    "application/x-tar": "TAR",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "RAR",
    "application/vnd.ms-cab-compressed": "CAB",
    "application/x-xar": "XAR",
    "application/x-archive": "AR, as in Debian packages",
    "application/x-rpm": "RPM",
    "application/x-cpio": "CPIO",
    "application/x-lzh-compressed": "LHA",
    "application/x-iso9660-image": "ISO 9660",
}
"""Listed by :mod:`.archives`, under these names."""
OTHERS_READ: frozenset[str] = frozenset((XMP, AAE, TAKEOUT, *ARCHIVES))
"""What is of no kind that people look at, and is looked into all the same, such as archives."""

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
    ".xmp": (XMP, _OTHER),
    ".aae": (AAE, _OTHER),
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
    ".mht": ("multipart/related", _DOCUMENT),
    ".mbox": ("application/mbox", _DOCUMENT),
    ".ics": ("text/calendar", _DOCUMENT),
    ".vcf": ("text/vcard", _DOCUMENT),
    ".ass": ("text/x-ssa", _DOCUMENT),
    ".ssa": ("text/x-ssa", _DOCUMENT),
    ".fb2": ("application/x-fictionbook+xml", _DOCUMENT),
    ".fodt": (_ODF + "flat", _DOCUMENT),
    ".fodp": (_ODF + "flat", _DOCUMENT),
    ".ipynb": ("application/x-ipynb+json", _DOCUMENT),
    ".csv": ("text/csv", _TABLE),
    ".tsv": ("text/tab-separated-values", _TABLE),
    ".tab": ("text/tab-separated-values", _TABLE),
    ".psv": ("text/csv", _TABLE),
    ".json": ("application/json", _DOCUMENT),
    ".geojson": ("application/geo+json", _TABLE),
    ".jsonl": ("application/x-ndjson", _TABLE),
    ".ndjson": ("application/x-ndjson", _TABLE),
}
_CODE = {
    "ruby": ".rb", "perl": ".pl .pm", "php": ".php", "lua": ".lua", "kotlin": ".kt .kts", "swift": ".swift",
    "scala": ".scala", "csharp": ".cs", "c++": ".cc .cxx .hpp .hh", "objective-c": ".m .mm", "r": ".r",
    "julia": ".jl", "haskell": ".hs", "ocaml": ".ml .mli", "elixir": ".ex .exs", "erlang": ".erl", "clojure": ".clj",
    "lisp": ".lisp .el .scm", "powershell": ".ps1", "batch": ".bat .cmd", "shellscript": ".bash .zsh .fish",
    "javascript": ".mjs .cjs .jsx", "typescript": ".tsx", "vue": ".vue", "dart": ".dart", "zig": ".zig", "nim": ".nim",
    "fortran": ".f .f90 .f95", "pascal": ".pas", "assembly": ".asm .s", "cmake": ".cmake", "makefile": ".mk",
    "groovy": ".groovy .gradle", "protobuf": ".proto", "ini": ".ini .cfg .conf .properties", "diff": ".diff .patch",
    "scss": ".scss .less", "bibtex": ".bib", "python": ".pyi .pyx", "verilog": ".v", "vhdl": ".vhd",
}  # fmt: skip
_TEXTS |= {extension: (f"text/x-{name}", _DOCUMENT) for name, found in _CODE.items() for extension in found.split()}


def kind_of(head: bytes, name: str) -> tuple[str, Kind]:
    """``(mime, kind)`` of a file that starts with ``head``: its first :data:`HEAD_BYTES`, or all of it."""
    if not head:
        return EMPTY
    extension = posixpath.splitext(name)[1].lower()
    extension = _SAME_AS.get(extension, extension)
    found = _by_container(head, extension) or _by_signature(head) or _by_frame(head, extension)
    if found == _GZIP and _PACKED_TABLE.search(name):
        return ("application/gzip", _TABLE)
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
        return _iso_media(head, extension)
    if head[4:8] in (b"moov", b"wide", b"mdat") and b"\0" in head[:4]:  # QuickTime before it said so in "ftyp"
        return ("video/quicktime", _VIDEO)
    if head[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return ("audio/aiff", _AUDIO)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(head, extension)
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return _compound(head, extension)
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


def _iso_media(head: bytes, extension: str) -> tuple[str, Kind]:
    size = min(int.from_bytes(head[:4]), 256)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
    major = head[8:12]
    if brands & {b"avif", b"avis"}:
        return ("image/avif", _IMAGE)
    if major in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        return ("image/heic", _IMAGE)
    if major == b"crx ":
        return ("image/x-canon-cr3", _IMAGE)
    if major in (b"M4A ", b"M4B ") or extension in (".m4a", ".m4b", ".3ga"):  # recorders of phones say only "MP4"
        return ("audio/mp4", _AUDIO)
    if major.startswith(b"3g"):
        return ("video/3gpp", _VIDEO)
    return ("video/quicktime", _VIDEO) if major == b"qt  " else ("video/mp4", _VIDEO)


def _zip(head: bytes, extension: str) -> tuple[str, Kind]:
    if head[30:38] == b"mimetype":  # OpenDocument and EPUB put their type first, uncompressed
        declared = head[38:102]
        for mime, kind in _ZIPPED.values():
            if declared.startswith(mime.encode()):
                return (mime, kind)
    if extension not in (*_ZIPPED, ".zip", ".jar", ".apk"):
        extension = next((known for member, known in _MEMBERS if member in head), extension)
    return _ZIPPED.get(extension, ("application/zip", _OTHER))


def _compound(head: bytes, extension: str) -> tuple[str, Kind]:
    if extension not in _COMPOUND:
        extension = next((known for name, known in _STREAMS if name.encode("utf-16-le") in head), extension)
    if extension in (".docx", ".pptx"):  # locked by a password
        return _ZIPPED[extension]
    return _COMPOUND.get(extension, ("application/x-ole-storage", _OTHER))


def _matroska(head: bytes, extension: str) -> tuple[str, Kind]:
    if extension == ".mka":
        return ("audio/x-matroska", _AUDIO)
    if extension == ".weba":
        return ("audio/webm", _AUDIO)
    return ("video/webm", _VIDEO) if b"webm" in head[:64] else ("video/x-matroska", _VIDEO)


def _by_signature(head: bytes) -> tuple[str, Kind] | None:
    for at, magic, mime, kind in _SIGNATURES:
        if head.startswith(magic, at):
            return (mime, kind)
    return None


def _by_frame(head: bytes, extension: str) -> tuple[str, Kind] | None:
    """Formats without a name in them, told by the shape of their first header."""
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[14:18] in _BMP_HEADERS:
        return ("image/bmp", _IMAGE)
    if head[:1] == b"\n" and head[1:2] in _PCX_VERSIONS and head[2:3] == b"\1" and head[3:4] in _PCX_DEPTHS:
        return ("image/x-pcx", _IMAGE)
    if head[:2] == b"\x01\xda" and head[2:3] in (b"\0", b"\1") and head[3:4] in (b"\1", b"\2"):
        return ("image/x-sgi", _IMAGE)
    if _PORTABLE.match(head):
        return ("image/x-portable-anymap", _IMAGE)
    if extension == ".tga" and _TARGA.match(head):
        return ("image/x-tga", _IMAGE)
    if _has_packets(head, 188, 0) or _has_packets(head, 192, 4):  # as broadcast; with times, as camcorders write it
        return ("video/mp2t", _VIDEO)
    if len(head) > 4 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:  # ADTS: sync word, layer 0
            return ("audio/aac", _AUDIO)
        if head[1] & 0xE6 in (0xE2, 0xE4) and head[2] >> 4 not in (0, 15) and head[2] & 12 != 12:  # layer 3 or 2
            return ("audio/mpeg", _AUDIO)
    if head[:2] == b"\x0b\x77" and len(head) > 5 and (version := head[5] >> 3) <= 16:  # Dolby Digital, Digital Plus
        return ("audio/eac3" if version > 10 else "audio/ac3", _AUDIO)
    return _behind_id3(head) if head[:3] == b"ID3" and len(head) >= 10 else None


def _behind_id3(head: bytes) -> tuple[str, Kind]:
    """MP3 files begin with such a tag, and some others too."""
    rest = head[_id3_bytes(head) :]
    if rest.startswith(b"fLaC"):
        return ("audio/flac", _AUDIO)
    found = None if rest.startswith(b"ID3") else _by_frame(rest, "")
    return found if found is not None and found[1] is _AUDIO else ("audio/mpeg", _AUDIO)


def _id3_bytes(head: bytes) -> int:
    """Length of the tag: seven bits in each byte."""
    a, b, c, d = head[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _has_packets(head: bytes, size: int, sync: int) -> bool:
    """Of an MPEG transport stream: packets of ``size`` bytes, with a mark at ``sync``."""
    marks = [head[at : at + 1] for at in range(sync, sync + 3 * size, size)]
    return marks[:2] == [b"\x47", b"\x47"] and marks[2] in (b"\x47", b"")


_PCX_VERSIONS, _PCX_DEPTHS = (b"\0", b"\2", b"\3", b"\5"), (b"\1", b"\2", b"\4", b"\x08")
_PORTABLE = re.compile(rb"P[1-6](?:\s+#[^\n]{0,200}\n)?\s+\d{1,9}(?:\s+#[^\n]{0,200}\n)?\s+\d{1,9}\s")
"""PBM, PGM and PPM: a letter, a digit, then the size. Comments may stand between them."""
_TARGA = re.compile(rb".[\0\1][\1-\3\x09-\x0b].{13}[\x08\x0f\x10\x18\x20]", re.DOTALL)
"""Nothing in it names it, so its extension must, and its header fit: palette, kind and depth."""
_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


def _raw_photo(mime: str, kind: Kind, head: bytes, extension: str) -> tuple[str, Kind]:
    """Raw photos are TIFF files whose first picture is a stamp: they must not pass for that picture."""
    if mime != "image/tiff":
        return (mime, kind)
    if head[8:10] == b"CR":
        return ("image/x-canon-cr2", kind)
    maker = _RAW_MAKERS.get(extension)
    return (f"image/x-{maker}", kind) if maker else (mime, kind)


_TAKEOUT = frozenset((b"title", b"photoTakenTime"))
"""What Google Takeout says of every picture, and nobody else does."""

_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.{0,200}?\?>\s*)?(?:<!--.{0,500}?-->\s*)?"
    rb"(?:<!DOCTYPE\s+svg.{0,2000}?>\s*)?<(?:svg:)?svg[\s>]",
    re.DOTALL,
)
_HTML = re.compile(rb"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)


_SCALAR = rb"\s*(?:\"[^\"]{0,500}\"|[-+.\w]{1,40})\s*"
_JSON_RECORDS = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?(?:\[\s*\{|\{(?:\s*\"[^\"]{0,100}\"\s*:" + _SCALAR + rb",){0,8}\s*\"[^\"]{0,100}\"\s*:\s*\[)"
)
"""A list of objects, or an object in which a list follows on single values: records, rather than settings."""

_BEGINNINGS = (
    (re.compile(rb"BEGIN:VCALENDAR\r?\n", re.IGNORECASE), ".ics"),
    (re.compile(rb"BEGIN:VCARD\r?\n", re.IGNORECASE), ".vcf"),
    (re.compile(rb"WEBVTT[ \t\r\n]"), ".vtt"),
    (re.compile(rb"From \S{1,200} .{10,60}\d{4}.{0,20}\r?\n[\w-]{1,60}:"), ".mbox"),
    (re.compile(rb"<\?xml[^>]{0,100}\?>\s*<FictionBook\s"), ".fb2"),
    (re.compile(rb"<\?xml[^>]{0,100}\?>\s*<office:document\s"), ".fodt"),
    (_SVG, ".svg"),
    (_HTML, ".html"),
)
_MAIL = re.compile(rb"(?:return-path|received|delivered-to|message-id|mime-version|date|from|subject|x-[\w-]+):", re.I)
_MAIL_HEADERS = (
    re.compile(rb"^from:", re.I | re.M),
    re.compile(rb"^(?:message-id|received|mime-version):", re.I | re.M),
)


def _text_flavour(head: bytes, extension: str) -> tuple[str, Kind]:
    if extension == ".json" and _TAKEOUT.issubset(re.findall(rb'"([A-Za-z]{1,32})":', head)):
        return (TAKEOUT, _OTHER)
    by_name = _TEXTS.get(extension)
    if extension == ".json" and _JSON_RECORDS.match(head):
        return ("application/json", _TABLE)
    if by_name is not None:
        return by_name
    if _is_mail(head):  # what lies in a Maildir has no extension
        return _TEXTS[".eml"]
    begins = head.removeprefix(codecs.BOM_UTF8)
    return next((_TEXTS[known] for pattern, known in _BEGINNINGS if pattern.match(begins)), PLAIN)


def _is_mail(head: bytes) -> bool:
    if not _MAIL.match(head):
        return False
    headers = re.split(rb"\r?\n\r?\n", head[:16_384], maxsplit=1)[0]
    return all(header.search(headers) for header in _MAIL_HEADERS)
