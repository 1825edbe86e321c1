"""Real files, and a thousand ways to damage them. Pure: the same seed gives the same bytes on the same machine."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import random
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import documents
from tests.films import film, scene
from tests.hostile.cases import prose, zipped
from tests.sheets import xlsx
from tests.sounds import cover, recording, tone

MAX_SEED_BYTES = 200_000
PER_FORMAT = 12
_PACKAGES = ("scipy", "matplotlib", "sklearn", "skimage", "pyarrow")
_FOUND = ("wav", "pdf", "svg", "csv", "json", "html", "md", "rst", "txt", "gz", "parquet", "npz")
_DRAWN = {
    "jpg": ("JPEG", {}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"speed": 10}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "jpeg.tif": ("TIFF", {"compression": "jpeg"}),
    "deflate.tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}
"""Name -> how Pillow writes it."""


@dataclass(frozen=True, slots=True)
class Seed:
    form: str
    """Its extension, perhaps with a variant in front."""
    data: bytes


def seeds() -> list[Seed]:
    """What installed packages and Debian carry, photos in every format we decode, and containers made here."""
    return [*_photos(), *_films(), *_recordings(), *_from_packages(), *_made()]


def _photos() -> list[Seed]:
    from PIL import Image

    found = []
    for package, inside in (("sklearn", "datasets/images/china.jpg"), ("skimage", "data/chelsea.png")):
        with Image.open(_directory(package) / inside) as photo:
            small = photo.convert("RGB").resize((240, 160))
        tags = Image.Exif()
        tags[0x010F], tags[0x0132] = "Maker", "2024:07:12 10:15:00"
        tags.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2)})
        for form, (name, options) in _DRAWN.items():
            out = io.BytesIO()
            more = {"exif": tags} if name in ("JPEG", "PNG", "WEBP", "AVIF") else {}
            small.save(out, name, **options, **more)
            found.append(Seed(form, out.getvalue()))
    return found


def _films() -> list[Seed]:
    def seed(extension: str, form: str, codec: str, **muxing: str) -> Seed:
        has_sound = form not in ("mpeg", "asf")
        data = film(
            form,
            codec,
            seconds=1.5,
            draw=lambda at_s: scene(int(at_s * 10), (160, 120)),
            sound=has_sound,
            muxing=muxing,
        )
        return Seed(extension, data)

    return [
        seed("mp4", "mp4", "libx264"),
        seed("mp4", "mp4", "libx264", movflags="faststart"),
        seed("mp4", "mp4", "libx264", movflags="frag_keyframe+empty_moov"),
        seed("hevc.mp4", "mp4", "libx265"),
        seed("mov", "mov", "mjpeg"),
        seed("mkv", "matroska", "libx264"),
        seed("webm", "webm", "libvpx-vp9"),
        seed("avi", "avi", "mpeg4"),
        seed("ts", "mpegts", "libx264"),
        seed("mpg", "mpeg", "mpeg2video"),
        seed("flv", "flv", "flv"),
        seed("wmv", "asf", "wmv2"),
    ]


def _recordings() -> list[Seed]:
    def seed(extension: str, form: str, codec: str, rate: int = 44_100) -> Seed:
        tags = {"title": "A song", "artist": "Somebody", "date": "2019", "lyrics": "one line\nanother"}
        has_cover = form in ("mp3", "flac")
        data = recording(
            form, codec, tone(1.0, rate), rate=rate, tags=tags, picture=cover() if has_cover else None, bit_rate=64_000
        )
        return Seed(extension, data)

    return [
        seed("mp3", "mp3", "libmp3lame"),
        seed("flac", "flac", "flac"),
        seed("opus", "ogg", "libopus", 48_000),
        seed("m4a", "ipod", "aac"),
        seed("aac", "adts", "aac"),
        seed("aiff", "aiff", "pcm_s16be"),
        seed("amr", "amr", "libopencore_amrnb", 8000),
        seed("ac3", "ac3", "ac3", 48_000),
        seed("mka", "matroska", "flac"),
        seed("wv", "wv", "wavpack"),
    ]


def _from_packages() -> list[Seed]:
    places = [_directory(package) for package in _PACKAGES]
    places += [Path("/usr/share/doc"), Path("/usr/share/common-licenses")]
    found = []
    for form in _FOUND:
        paths = sorted(path for place in places for path in place.rglob(f"*.{form}"))
        fitting = (path for path in paths if path.is_file() and 0 < path.stat().st_size <= MAX_SEED_BYTES)
        found += [Seed(form, path.read_bytes()) for path, _ in zip(fitting, range(PER_FORMAT), strict=False)]
    return found


def _made() -> list[Seed]:
    text = b"<w:document><w:p>" + prose("a letter") * 40 + b"</w:p></w:document>"
    made = [Seed("docx", zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": text}))]
    made += [Seed("xlsx", zipped({"xl/workbook.xml": b"<workbook/>", "xl/sharedStrings.xml": text}))]
    made += [Seed("xlsx", xlsx({"paid": [["who", "amount"], *(["Ann", n / 7] for n in range(50))]}))]
    made += [Seed("db", _database())]
    made += [Seed("odt", zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": text}))]
    made += _documents()
    made += [Seed("mp3", b"ID3\4\0\0\0\0\0\x23" + bytes(35) + (b"\xff\xfb\x90d" + bytes(413)) * 20)]
    made += [Seed("ogg", b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis" + bytes(3000))]
    return made


def _documents() -> list[Seed]:
    prose = documents.PROSE
    body = documents.paragraphs(prose, prose)
    return [
        Seed("pdf", documents.pdf([prose, prose], info="/Title (Noise)")),
        Seed("scan.pdf", documents.scan("HELLO WORLD")),
        Seed("docx", documents.docx(body, footnotes=body)),
        Seed("pptx", documents.pptx((prose, "notes"), ("second", "more"))),
        Seed("odt", documents.opendocument(f"<text:p>{prose}</text:p>")),
        Seed("epub", documents.epub(f"<p>{prose}", "<p>two", cover=documents.picture())),
        Seed("cbz", documents.comic()),
        Seed("doc", documents.LETTER_DOC),
        Seed("ppt", documents.ppt(prose)),
        Seed("msg", documents.msg("Noise", prose, attached="plan.pdf")),
        Seed("eml", documents.eml(html=f"<p>{prose}", attached="plan.pdf")),
        Seed("mbox", documents.mbox(documents.eml(), documents.eml())),
        Seed("rtf", documents.RTF),
        Seed("ipynb", documents.NOTEBOOK),
        Seed("ics", documents.CALENDAR),
    ]


def _database() -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
        made.executemany("INSERT INTO people (name) VALUES (?)", [(f"name {n}",) for n in range(500)])
        return made.serialize()


def _directory(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


# --- damage ------------------------------------------------------------------------------------------------


def mutated(seed: Seed, other: Seed, rng: random.Random) -> tuple[str, bytes]:
    """``seed`` damaged one to three times (``other`` lends pieces): the names of the damages, and the bytes."""
    data, names = bytearray(seed.data), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        damage = rng.choice(_DAMAGES)
        if len(data) > 8:
            damage(data, other.data, rng)
            names.append(damage.__name__.strip("_"))
    return "+".join(names), bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    """Half of all damage is done to headers."""
    return rng.randrange(min(len(data), 512) if rng.random() < 0.5 else len(data))


def _flips(data: bytearray, other: bytes, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 3, 10, 100))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _noise(data: bytearray, other: bytes, rng: random.Random) -> None:
    at = _place(data, rng)
    piece = rng.randbytes(rng.choice((1, 4, 64, 1024)))
    data[at : at + len(piece)] = piece


def _cut(data: bytearray, other: bytes, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def _hole(data: bytearray, other: bytes, rng: random.Random) -> None:
    at, size = _place(data, rng), rng.choice((16, 512, 4096))
    data[at : at + size] = bytes(min(size, len(data) - at))


def _swap(data: bytearray, other: bytes, rng: random.Random) -> None:
    size = min(rng.choice((4, 64, 1024)), len(data) // 2)
    one, two = rng.randrange(len(data) - size), rng.randrange(len(data) - size)
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]


def _length(data: bytearray, other: bytes, rng: random.Random) -> None:
    """What stands there as a number becomes another that programs stumble on."""
    at, form = _place(data, rng), rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    bits = 8 * struct.calcsize(form)
    number = rng.choice((0, 1, 0xFF, 0x7F << (bits - 8), (1 << bits) - 1, (1 << (bits - 1)) - 1, 1 << (bits - 1)))
    data[at : at + bits // 8] = struct.pack(form, number)


def _splice(data: bytearray, other: bytes, rng: random.Random) -> None:
    begin = rng.randrange(len(other))
    data[_place(data, rng) :] = other[begin : begin + MAX_SEED_BYTES]


def _repeat(data: bytearray, other: bytes, rng: random.Random) -> None:
    at, size = _place(data, rng), rng.choice((4, 64, 1024))
    data[at:at] = data[at : at + size] * rng.choice((2, 20, 50))


_DAMAGES: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    _flips, _noise, _cut, _hole, _swap, _length, _splice, _repeat,
)  # fmt: skip
