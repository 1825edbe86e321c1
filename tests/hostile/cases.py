"""Files that hurt, each with the answer it must get. Pure data and writers; ``make`` writes them, ``table`` asks.

Every case has content of its own, so that no two are one asset. An answer is one of

* ``indexed KIND``: in the lake, and no job of it is parked
* ``parked REASON``: in the lake as bytes without meaning, its job waits for a person
* ``ignored``: neither; it is no file, or no file of ours
"""

from __future__ import annotations

import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import photos

DAMAGED, TOO_LARGE, NOT_READABLE = "parked damaged-media", "parked too-large", "parked not-readable"
UNSUPPORTED = "parked unsupported-media"
IMAGE, DOCUMENT, TABLE, OTHER = "indexed image", "indexed document", "indexed table", "indexed other"
VIDEO, AUDIO, IGNORED = "indexed video", "indexed audio", "ignored"

Content = bytes | Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    """Path below the corpus, as ``os.fsdecode`` makes it."""
    expected: str
    content: Content
    """Bytes, or what makes the thing at its path."""

    def make(self, base: Path) -> None:
        path = base / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)


def cases() -> Iterator[Case]:
    """All of them. Cheap to list; contents are made one at a time."""
    families = (
        _fine,
        _truncated,
        _empty,
        _liars,
        _bombs,
        _films,
        _sounds,
        _tables,
        _archives,
        _polyglots,
        _deep,
        _metadata,
        _names,
        _places,
    )
    for family in (*families, _no_files):
        yield from family()


# --- bytes -------------------------------------------------------------------------------------------------


def picture(form: str, seed: int, size: tuple[int, int] = (160, 120), **options: object) -> bytes:
    """A real picture like no other."""
    from PIL import Image

    out = io.BytesIO()
    noise = Image.effect_noise(size, 60 + seed)
    Image.merge("RGB", (noise, noise.rotate(90).resize(size), Image.new("L", size, seed * 7 % 256))).save(
        out, form, **options
    )
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    """A PNG that claims ``width`` x ``height`` and holds ``rows``, already compressed."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """``count`` zeros, deflated, in a thousandth of that."""
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join((*parts, packer.compress(bytes(count & ((1 << 20) - 1))), packer.flush()))


def wav(claimed: int, data: bytes) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return b"RIFF" + struct.pack("<I", claimed) + b"WAVE" + form + b"data" + struct.pack("<I", claimed) + data


def mp4(words: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2" + struct.pack(">I", 8 + len(words)) + b"mdat" + words


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def gif(frames: int) -> bytes:
    one = b"\x21\xf9\x04\0\1\0\0\0" + b"\x2c\0\0\0\0\1\0\1\0\0" + b"\x02\x02\x44\x01\0"
    return b"GIF89a\1\0\1\0\x80\0\0" + b"\0\0\0\xff\xff\xff" + one * frames + b";"


def prose(seed: str) -> bytes:
    return f"The case of {seed!a}: words that can be read, and found again.\n".encode() * 4


# --- families ----------------------------------------------------------------------------------------------


def _fine() -> Iterator[Case]:
    """What must not suffer from its neighbours."""
    yield Case("fine/photo.jpg", IMAGE, picture("JPEG", 1))
    yield Case("fine/photo.png", IMAGE, picture("PNG", 2))
    yield Case("fine/photo.webp", IMAGE, picture("WEBP", 3))
    yield Case("fine/photo.avif", IMAGE, picture("AVIF", 4))
    yield Case("fine/photo.tif", IMAGE, picture("TIFF", 5))
    yield Case("fine/photo.gif", IMAGE, picture("GIF", 6))
    yield Case("fine/photo.heic", IMAGE, photos.encoded(photos.halves((161, 120)), "HEIF"))
    yield Case("fine/photo.jxl", IMAGE, photos.encoded(photos.halves((162, 120)), "JXL"))
    yield Case("fine/photo.dng", IMAGE, photos.dng())
    yield Case("fine/drawing.svg", IMAGE, photos.svg())
    yield Case("fine/text.md", DOCUMENT, b"# A title\n\n" + prose("fine"))
    yield Case("fine/page.html", DOCUMENT, b"<!doctype html><title>t</title><p>" + prose("page"))
    yield Case("fine/rows.csv", TABLE, b"a,b\n1,2\n3,4\n")


_EXTENSIONS = ("jpg", "png", "webp", "tif", "avif", "gif", "bmp")


def _truncated() -> Iterator[Case]:
    for form, extension in zip(("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"), _EXTENSIONS, strict=True):
        data = picture(form, 20)
        yield Case(f"truncated/{extension}.{extension}", DAMAGED, data[: len(data) // 2])
    data = picture("JPEG", 21)
    yield Case("truncated/half copied.jpg", DAMAGED, data[: len(data) // 2] + bytes(len(data) // 2))
    yield Case("truncated/header only.png", DAMAGED, picture("PNG", 22)[:30])
    for form, name in (("HEIF", "photo.heic"), ("JXL", "photo.jxl")):
        data = photos.encoded(photos.halves((200, 140)), form)
        yield Case(f"truncated/{name}", DAMAGED, data[: len(data) // 2])
    yield Case("truncated/photo.dng", DAMAGED, photos.dng(size=(640, 404))[:2000])
    yield Case("truncated/drawing.svg", DAMAGED, photos.svg("<g>")[:200])
    yield Case("truncated/film.mp4", DAMAGED, mp4(b"film" * 99)[:200])
    yield Case("truncated/film.mkv", DAMAGED, b"\x1aE\xdf\xa3" + b"matroska" * 9)
    yield Case("truncated/sound.mp3", DAMAGED, b"ID3\4\0\0\0\0\x7f\x7f" + b"mp3" * 9)
    yield Case("truncated/sound.wav", AUDIO, wav(1000, b"wav" * 9))
    yield Case("truncated/paper.pdf", DAMAGED, b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R")
    for name, expected in (("letter.docx", DAMAGED), ("sheet.xlsx", DAMAGED), ("all.zip", OTHER)):
        yield Case(f"truncated/{name}", expected, zipped({"word/document.xml": prose(name) * 50})[:120])
    yield Case("truncated/data.json", TABLE, b'{"truncated": [1, 2, {"a":')
    yield Case("truncated/rows.csv", TABLE, b'a,b\n1,"never closed')
    yield Case("truncated/table.parquet", DAMAGED, b"PAR1" + bytes(range(50)))
    yield Case("truncated/page.html", DOCUMENT, b"<html><body><p>cut in the middle of a <a hre")
    yield Case("truncated/letters.txt", DOCUMENT, "cut in the middle of an é".encode()[:-1])


def _empty() -> Iterator[Case]:
    yield Case("empty/nothing.jpg", OTHER, b"")  # all empty files are one asset: one name is enough
    yield Case("empty/one byte.png", OTHER, b"\x01")
    yield Case("empty/zeros.jpg", OTHER, bytes(5000))
    yield Case("empty/only a mark.txt", DOCUMENT, b"\xef\xbb\xbf")


def _liars() -> Iterator[Case]:
    yield Case("liars/100000x100000.png", TOO_LARGE, png(100_000, 100_000, zlib.compress(b"\0" * 999)))
    yield Case("liars/0x0.png", DAMAGED, png(0, 0, zlib.compress(b"zero")))
    yield Case("liars/taller.png", IMAGE, png(64, 6400, zlib.compress(b"\0" * 64 * 193)))
    data = bytearray(picture("JPEG", 30))
    at = data.index(b"\xff\xc0") + 5
    yield Case("liars/wider.jpg", IMAGE, bytes(data[:at] + struct.pack(">HH", 60_000, 60) + data[at + 4 :]))
    yield Case("liars/huge.jpg", TOO_LARGE, bytes(data[:at] + struct.pack(">HH", 65_500, 65_500) + data[at + 4 :]))
    yield Case("liars/4 GB.wav", AUDIO, wav(0xFFFFFFF0, b"sound" * 99))
    yield Case("liars/chunk of 2 GB.png", TOO_LARGE, picture("PNG", 31)[:33] + b"\x7f\xff\xff\xffIDAT" + b"x" * 99)
    yield Case("liars/strip of 4 GB.tif", DAMAGED, _lying_tiff())
    yield Case("liars/text.jpg", DOCUMENT, prose("a picture by name only"))
    yield Case("liars/picture.txt", IMAGE, picture("PNG", 32))
    yield Case("liars/program.jpg", OTHER, b"\x7fELF\2\1\1" + b"program" * 30)
    yield Case("liars/box of 16 EB.mp4", DAMAGED, b"\0\0\0\x18ftypisom\0\0\2\0isomiso2\0\0\0\1moov" + b"\xff" * 8)


def _lying_tiff() -> bytes:
    tags = ((256, 3, 100), (257, 3, 100), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 100),
            (279, 4, 0xFFFFFFF0))  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, form, 1, value) for tag, form, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def _lying_dng() -> bytes:
    data = photos.dng(size=(640, 408))
    return data.replace(struct.pack("<HHII", 256, 4, 1, 640), struct.pack("<HHII", 256, 4, 1, 60_000)).replace(
        struct.pack("<HHII", 257, 4, 1, 408), struct.pack("<HHII", 257, 4, 1, 60_000)
    )


def _uses(depth: int) -> str:
    """A drawing that shows a rectangle 2 ** depth times."""
    twice = (f'<g id="g{i}"><use href="#g{i - 1}"/><use href="#g{i - 1}"/></g>' for i in range(1, depth))
    return '<defs><g id="g0"><rect width="1" height="1"/></g>' + "".join(twice) + f'</defs><use href="#g{depth - 1}"/>'


def _laughs() -> str:
    more = "".join(f"<!ENTITY l{i} '{f'&l{i - 1};' * 30}'>" for i in range(1, 10))
    return f"<!DOCTYPE svg [<!ENTITY l0 'ha'>{more}]>"


def _tables() -> Iterator[Case]:
    packer = zlib.compressobj(9, wbits=31)
    rows = f"1,{'long ' * 200}\n".encode() * 1000
    unpacked = (packer.compress(b"a,b\n"), *(packer.compress(rows) for _ in range(200)), packer.flush())
    yield Case("tables/200 MB.csv.gz", TABLE, b"".join(unpacked))
    yield Case(
        "tables/100000 columns.csv", TABLE, b",".join(b"c%d" % n for n in range(100_000)) + b"\n" + b"," * 99_999
    )
    yield Case("tables/one quote.csv", TABLE, b'a,b\n1,"' + b"x,y\n" * 1_000_000)
    yield Case("tables/one cell.csv", TABLE, b"a,b\n1," + b"x" * (5 << 20))
    yield Case("tables/all delimiters.csv", TABLE, b",;|\t^~ " * 500_000)
    yield Case("tables/a number of a million digits.csv", TABLE, b"a,b\n" + b"1" * 1_000_000 + b",2\n")
    yield Case("tables/a number of a million digits.json", TABLE, b'[{"a": ' + b"1" * 1_000_000 + b"}]")
    yield Case("tables/100000 keys.json", TABLE, b"[{" + b",".join(b'"k%d": 1' % n for n in range(100_000)) + b"}]")
    yield Case("tables/100000 lists.json", TABLE, b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]")
    yield Case("tables/only a head.db", DAMAGED, b"SQLite format 3\0" + bytes(range(256)) * 20)
    yield Case("tables/only a head.feather", DAMAGED, b"ARROW1\0\0" + bytes(range(256)) + b"\xff\xff\xff\x7fARROW1")
    yield Case("tables/a footer of 2 GB.parquet", DAMAGED, b"PAR1" + bytes(100) + b"\xf0\xff\xff\x7fPAR1")
    yield Case("tables/strings of 210 MB.xlsx", TOO_LARGE, zipped({"xl/sharedStrings.xml": bytes(210 << 20)}))


def _archives() -> Iterator[Case]:
    def header(name: bytes, size: bytes) -> bytes:
        fields = name.ljust(100, b"\0") + b"0000644\0" + bytes(16) + size + b"00000000000\0"
        summed = sum(fields + b" " * 8 + b"0") + sum(b"ustar\x0000")
        return (fields + b"%06o\0 0" % summed + bytes(100) + b"ustar\x0000").ljust(512, b"\0")

    terabyte = header(b"terabyte", b"\x80" + (1 << 40).to_bytes(11, "big"))
    yield Case("archives/a terabyte in nothing.tar", OTHER, terabyte)
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    parts = [packer.compress(terabyte), *(packer.compress(block) for _ in range(100)), packer.flush()]
    yield Case("archives/a terabyte in zeros.tar.gz", OTHER, b"".join(parts))
    yield Case("archives/20000 members.tar", OTHER, header(b"again", b"00000000000\0") * 20_000)
    yield Case("archives/only a head.7z", OTHER, b"7z\xbc\xaf\x27\x1c" + b"\xff" * 64)
    yield Case("archives/only a head.rar", OTHER, b"Rar!\x1a\x07\x01\0" + b"\xff" * 64)
    yield Case("archives/only a head.iso", OTHER, bytes(0x8001) + b"CD001\1" + b"\xff" * 4000)
    yield Case("archives/a directory of 4 GB.zip", OTHER, zipped({"x": b"x"})[:-10] + b"\xff\xff\xff\xfe" + bytes(6))


def _bombs() -> Iterator[Case]:
    row = (50_000 + 7) // 8 + 1
    yield Case("bombs/50000x50000.png", TOO_LARGE, png(50_000, 50_000, zeros(50_000 * row), depth=1, colour=0))
    yield Case("bombs/15000x15000.png", IMAGE, png(15_000, 15_000, zeros(15_000 * 1876), depth=1, colour=0))
    yield Case("bombs/100000 frames.gif", IMAGE, gif(100_000))
    yield Case("bombs/text of 200 MB.png", DAMAGED, png(1, 1, zlib.compress(b"\0" * 4), more=_ztxt(200 << 20)))
    yield Case("bombs/1000 texts.png", DAMAGED, png(1, 1, zlib.compress(b"\0" * 4), more=_ztxt(1 << 20) * 1000))
    yield Case("bombs/zeros.zip", OTHER, zipped({"zeros": bytes(50 << 20)}))
    yield Case("bombs/zeros.docx", DAMAGED, zipped({"word/document.xml": b"<a>" + bytes(50 << 20)}))
    nested = b"innermost"
    for _ in range(50):
        nested = zipped({"nested.zip": nested})
    yield from _heavy_documents()
    yield Case("bombs/nested.zip", OTHER, nested)
    yield Case("bombs/zeros.gz", OTHER, b"\x1f\x8b\x08\0\0\0\0\0\0\3" + zeros(50 << 20))
    yield Case("bombs/drawing of itself.svg", DAMAGED, photos.svg(_uses(30)))
    yield Case("bombs/laughs.svg", DAMAGED, photos.svg("&l9;", head=_laughs()))
    yield Case("bombs/1000000 km.svg", IMAGE, photos.svg(attributes='width="1e9mm" height="1e9mm"'))
    yield Case("bombs/photo of 100 GB.dng", TOO_LARGE, _lying_dng())
    lol = b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 12))
    yield Case("bombs/laughs.xml", DOCUMENT, b"<!DOCTYPE a [<!ENTITY l0 'ha'>" + lol + b"]><a>&l11;</a>")
    yield Case("bombs/outside.xml", DOCUMENT, b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>")
    yield Case("bombs/one line.txt", DOCUMENT, b"x" * (25 << 20))
    yield Case("bombs/references.html", DOCUMENT, b"<html>" + b"&#x41;" * 1_000_000)
    yield Case("bombs/open tags.html", DOCUMENT, b"<html>" + b"<" * 200_000)
    yield Case("bombs/open comments.html", DOCUMENT, b"<html>" + b"<!--" * 200_000)
    for number, opened in enumerate((b"<?", b"</", b"<![CDATA[", b"<!a", b"</a", b"<a b=", b"&a", b"<script></")):
        yield Case(f"bombs/open {number}.html", DOCUMENT, b"<html>" + opened * 200_000)
        yield Case(f"bombs/open, closed once {number}.html", DOCUMENT, b"<html>" + opened * 200_000 + b">")
    yield Case("bombs/open attributes.html", DOCUMENT, b"<html><a " + b"a='" * 200_000)


def _heavy_documents() -> Iterator[Case]:
    from tests import documents as made

    yield Case("bombs/100000 pages.docx", DOCUMENT, made.docx("<w:lastRenderedPageBreak/><w:t>x</w:t>" * 100_000))
    yield Case(
        "bombs/spaces.odt", DOCUMENT, made.opendocument("<text:p>" + '<text:s text:c="99999"/>' * 20_000 + "</text:p>")
    )
    yield Case("bombs/6000 pages.pdf", DOCUMENT, made.pdf(["a page of words"] * 6000))
    yield Case("bombs/huge page.pdf", DOCUMENT, made.pdf(["words"]).replace(b"0 0 595 842", b"0 0 9e9 9e9"))
    yield Case("bombs/laughs.fodt", DAMAGED, b"<!DOCTYPE a [<!ENTITY l 'ha'>]><office:document>&l;</office:document>")
    yield Case(
        "bombs/parts.eml", DAMAGED, b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 500_000
    )
    yield Case("bombs/braces.rtf", DOCUMENT, b"{\\rtf1 " + b"{" * 200_000)
    yield Case("bombs/secret.pdf", DOCUMENT, made.pdf(["secret"], encrypt=True))
    yield Case("truncated/letter.doc", DAMAGED, made.LETTER_DOC[:3000])


def _ztxt(size: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zeros(size))


def _films() -> Iterator[Case]:
    from tests.films import film, only_sound, scene

    def half(data: bytes) -> bytes:
        return data[: len(data) // 2]

    def seed(number: int, form: str = "mp4", codec: str = "libx264", **options: Any) -> bytes:
        return film(form, codec, draw=lambda at_s: scene(number), **options)

    yield Case("films/fine.mp4", VIDEO, seed(50))
    yield Case("films/fine.webm", VIDEO, seed(51, "webm", "libvpx"))
    yield Case("films/fine.txt", VIDEO, seed(52, "mpegts"))
    yield Case("films/only sound.mp4", VIDEO, only_sound())
    yield Case("films/one frame.mkv", VIDEO, seed(53, "matroska", seconds=0))
    yield Case("films/half with its index.mp4", VIDEO, half(seed(54, muxing={"movflags": "faststart"})))
    yield Case("films/half without.mp4", DAMAGED, half(seed(55)))
    yield Case("films/half.mkv", VIDEO, half(seed(56, "matroska")))
    yield Case("films/no decoder.mov", VIDEO, seed(57, "mov", "qtrle"))
    data = seed(58)
    at = data.index(b"mdat") + 4
    yield Case(
        "films/zeros.mp4", DAMAGED, data[:at] + bytes(data.index(b"moov") - 4 - at) + data[data.index(b"moov") - 4 :]
    )
    data = seed(59, "avi", "utvideo")
    for pixels, expected in ((15_000, VIDEO), (65_535, DAMAGED), (0x7FFF_FFFF, DAMAGED)):
        size = struct.pack("<II", pixels, pixels)
        yield Case(f"films/{pixels} x {pixels}.avi", expected, data.replace(struct.pack("<II", 320, 240), size))
    data = seed(60)
    at = data.index(b"stsz") + 12
    yield Case("films/4 billion frames.mp4", DAMAGED, data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
    at = data.index(b"mvhd") + 16
    yield Case("films/since the big bang.mp4", VIDEO, data[:at] + b"\0\0\0\1\x7f\xff\xff\xff" + data[at + 8 :])


def _sounds() -> Iterator[Case]:
    from tests.sounds import cover, recording, tone

    def half(data: bytes) -> bytes:
        return data[: len(data) // 2]

    yield Case("sounds/fine.mp3", AUDIO, recording("mp3", "libmp3lame", tone(1, 44_100, 300), picture=cover()))
    yield Case("sounds/fine.flac", AUDIO, recording("flac", "flac", tone(1, 44_100, 301)))
    yield Case("sounds/fine.txt", AUDIO, recording("ogg", "libopus", tone(1, 48_000, 302), rate=48_000))
    yield Case("sounds/half.m4a", DAMAGED, half(recording("ipod", "aac", tone(1, 44_100, 303))))
    yield Case("sounds/half.mp3", AUDIO, half(recording("mp3", "libmp3lame", tone(1, 44_100, 304))))
    data = recording("wav", "pcm_s16le", tone(1, 44_100, 305))
    at = data.index(b"fmt ") + 8
    yield Case("sounds/65535 channels.wav", AUDIO, data[: at + 2] + b"\xff\xff" + data[at + 4 :])
    yield Case("sounds/never a sample.wav", DAMAGED, data[: at + 4] + bytes(4) + data[at + 8 :])
    bomb = cover_bomb(50_000)
    yield Case(
        "sounds/cover of 50000 x 50000.flac", AUDIO, flac_with(bomb, recording("flac", "flac", tone(1, 44_100, 306)))
    )
    yield Case("sounds/tag of 256 MB.mp3", DAMAGED, b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(5000))
    yield Case("sounds/notes without end.mid", AUDIO, midi(b"\0\x90\x40\x40" + b"\0\x40\x40" * 900_000))
    yield Case(
        "sounds/4 GB of tracks.mid", AUDIO, struct.pack(">4sIHHH", b"MThd", 6, 1, 65_535, 480) + b"MTrk\xff\xff\xff\xff"
    )


def cover_bomb(side: int) -> bytes:
    """A PNG that says how large it is, and has nothing to show for it."""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    )


def flac_with(picture: bytes, data: bytes) -> bytes:
    """A block of a picture behind the first block of a FLAC."""
    mime = b"image/png"
    block = struct.pack(">II", 3, len(mime)) + mime + struct.pack(">IIIIII", 0, 10, 10, 24, 0, len(picture)) + picture
    end = 4 + 4 + 34
    return data[:end] + b"\6" + len(block).to_bytes(3) + block + data[end:]


def midi(track: bytes) -> bytes:
    head = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, 480)
    return head + struct.pack(">4sI", b"MTrk", len(track)) + track


def _polyglots() -> Iterator[Case]:
    yield Case("polyglots/script.gif", IMAGE, gif(1) + b"/*\n*/=1;alert('gif and script');")
    yield Case("polyglots/paper.pdf.zip", DAMAGED, b"%PDF-1.4\n%%EOF\n" + zipped({"inside": b"pdf and zip"}))
    yield Case("polyglots/page.jpg", IMAGE, picture("JPEG", 40) + b"<html><script>alert('jpeg and page')</script>")
    yield Case("polyglots/page.png.html", IMAGE, picture("PNG", 41) + b"<html><script>alert(1)</script>")
    yield Case("polyglots/archive.jpg", IMAGE, picture("JPEG", 42) + zipped({"inside": b"jpeg and zip"}))


def _deep() -> Iterator[Case]:
    yield Case("deep/100000 levels.json", DOCUMENT, b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    yield Case("deep/100000 lists.json", DOCUMENT, b"[" * 100_000 + b"]" * 100_000)
    yield Case("deep/100000 blocks.html", DOCUMENT, b"<html>" + b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000)
    yield Case("deep/100000 elements.xml", DOCUMENT, b"<a>" * 100_000 + b"deep" + b"</a>" * 100_000)
    yield Case("deep/100000 quotes.md", DOCUMENT, b"> " * 100_000 + b"deep")
    yield Case("deep/" + "d/" * 300 + "leaf.txt", DOCUMENT, prose("a leaf 300 directories down"))


def _metadata() -> Iterator[Case]:
    plain = picture("JPEG", 50)
    app1 = b"\xff\xe1\xff\xff" + b"http://ns.adobe.com/xmp/extension/\0" + b"x" * (65_533 - 35)
    yield Case("metadata/100 MB of XMP.jpg", IMAGE, plain[:2] + app1 * 1600 + plain[2:])
    yield Case("metadata/big profile.jpg", IMAGE, picture("JPEG", 51, icc_profile=os.urandom(5 << 20)))
    yield Case("metadata/big profile.png", DAMAGED, picture("PNG", 52, icc_profile=bytes(90 << 20)))
    yield Case("metadata/noise as EXIF.jpg", IMAGE, picture("JPEG", 53, exif=b"Exif\0\0" + os.urandom(60_000)))
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    yield Case("metadata/EXIF in a circle.jpg", IMAGE, picture("JPEG", 54, exif=loop))
    yield Case("metadata/lies.jpg", IMAGE, picture("JPEG", 55, exif=_exif()))


def _exif() -> bytes:
    """Every field we read, filled with what no camera writes."""
    from PIL import Image

    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "\x1b[31mred\n" * 5000, "\u202e\0\u200b" * 100
    tags[0x0132], tags[0x0112] = "9999:99:99 99:99:99", 99
    tags[0x8825] = {1: "N", 2: (1e9, 0.0, 99.0), 3: "?", 4: (float(2**31), 1.0, 1.0)}
    return tags.tobytes()


_NAMES = (
    b"new\nline.txt", b"2030-01-01 00:00:00,000 ERROR   forged\n2030-01-01 root=x.txt", b"\x1b[31mred\x1b[0m.txt",
    b"\x07bell \x08back\rreturn.txt", b"x" * 251 + b".txt", b"\xd0\xb6" * 125 + b".txt", b"-rf.txt", b"--help",
    "gpj.\u202etxt.txt".encode(), b"trailing space ", b"trailing dot.", b" leading", b"...", b"..a", b"~a",
    b"\xff\xfe\x80.txt", b"caf\xe9.txt", b"\\xff.txt", b"\\u000a.txt", "\U0001f468\u200d\U0001f469.txt".encode(),
    "caf\u00e9.txt".encode(), "cafe\u0301.txt".encode(), b"%s%n%00.txt", b"$(touch pwned).txt", b"a\\b.txt", b"CON",
    b"'; DROP TABLE jobs; --.txt", b"<b>&amp;.txt", b"[red]rich[/red].txt", b"*.txt", b"tab\t.txt", b"root:colon.txt",
    "\u2028separator\u2029.txt".encode(), "\ufeffmark.txt".encode(), "zero\u200bwidth.txt".encode(),
    b"?query#fragment.txt", b"\xed\xa0\x80surrogate.txt",
)  # fmt: skip


def _names() -> Iterator[Case]:
    for name in map(os.fsdecode, _NAMES):
        yield Case(f"names/{name}", DOCUMENT, prose(name))
    yield Case(os.fsdecode(b"names/dir\n\x1b[0m\xff/inside.txt"), DOCUMENT, prose("an ugly directory"))


def _places() -> Iterator[Case]:
    """Odd places for odd files; what can be made at all differs by who makes them."""
    yield Case("places/sparse terabyte.txt", TOO_LARGE, _sparse(1 << 40))
    yield Case("places/sparse gigabyte.txt", OTHER, _sparse(1 << 30))
    yield Case("places/denied.txt", NOT_READABLE, _mode(0o000))
    yield Case("places/immutable.txt", DOCUMENT, _immutable)
    yield Case("places/hard link.txt", DOCUMENT, _hard_link)


def _no_files() -> Iterator[Case]:
    yield Case("no files/pipe.jpg", IGNORED, os.mkfifo)
    yield Case("no files/socket.jpg", IGNORED, _socket)
    yield Case("no files/null.jpg", IGNORED, lambda path: os.mknod(path, 0o020666, os.makedev(1, 3)))
    yield Case("no files/endless.jpg", IGNORED, lambda path: os.mknod(path, 0o020666, os.makedev(1, 5)))
    yield Case("no files/disk.jpg", IGNORED, lambda path: os.mknod(path, 0o060666, os.makedev(7, 99)))
    links = {"up": "..", "itself": "itself", "there": "back", "back": "there", "nowhere": "/nonexistent/file",
             "shadow.txt": "/etc/shadow", "passwd.txt": "/etc/passwd", "everything": "/"}  # fmt: skip
    for name, target in links.items():
        yield Case(f"no files/{name}", IGNORED, lambda path, target=target: path.symlink_to(target))
    yield Case("no files/up/fine/photo.jpg", IGNORED, lambda path: None)
    yield Case("no files/directory.jpg", IGNORED, lambda path: path.mkdir())
    yield Case("no files/half.txt.part", IGNORED, prose("an unfinished download"))


def _sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as stream:
            stream.write(prose(f"{size} bytes"))
            stream.truncate(size)

    return make


def _mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(prose(f"mode {mode:o}"))
        path.chmod(mode)

    return make


def _immutable(path: Path) -> None:
    path.write_bytes(prose("what nobody may change"))
    set_immutable(path, True)


def set_immutable(path: Path, wanted: bool) -> None:
    """``chattr +i`` or ``-i``; raises ``OSError`` where that is not allowed or not known."""
    import fcntl

    with path.open("rb") as stream:
        fcntl.ioctl(stream, 0x40086602, struct.pack("l", 0x10 if wanted else 0))  # FS_IOC_SETFLAGS, FS_IMMUTABLE_FL


def _hard_link(path: Path) -> None:
    """To a file outside of the corpus: it is a file here as well as there, and no way out."""
    outside = path.parents[2] / "outside.txt"
    outside.write_bytes(prose("outside"))
    os.link(outside, path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)
