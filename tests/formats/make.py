"""One of everything: a folder with a file of each format that a household or a small studio keeps.

Pictures show real photos out of packages, films are made of them, recordings speak where real speech is installed
(``scripts/setup-system --sounds``). What no package carries is written here.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from tests import documents, films, photos, sounds
from tests.documents import PROSE

ROWS = [
    ("2024-05-01", "Zürich", "00123", 12.5),
    ("2024-05-02", "Lyon", "00124", 7.25),
    ("2024-05-03", "Porto", "00125", 30.0),
]
COLUMNS = ("date", "city", "ticket", "price")


def make(folder: Path) -> list[Path]:
    """Write them all below ``folder``; the paths, those of sidecars included."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data in (*pictures(), *moving(), *heard(), *read(), *counted(), *packed(), *beside()):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        written.append(path)
    return written


def photo(name: str) -> Image.Image:
    """A real photo of scikit-image, 640 pixels wide at most."""
    import skimage.data

    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    image.thumbnail((640, 640))
    return image


def pictures() -> Iterator[tuple[str, bytes]]:
    cat, coffee, rocket = photo("chelsea"), photo("coffee"), photo("rocket")
    for form, ending in (
        ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp"), ("AVIF", "avif"), ("HEIF", "heic"),
        ("JXL", "jxl"), ("JPEG2000", "jp2"), ("TGA", "tga"), ("PPM", "ppm"), ("PCX", "pcx"), ("ICO", "ico"),
    ):  # fmt: skip
        yield f"pictures/cat.{ending}", photos.encoded(cat, form)
    moments = {"save_all": True, "append_images": [coffee.resize(cat.size)], "duration": 300}
    yield "pictures/moving.gif", photos.encoded(cat, "GIF", **moments)
    yield "pictures/moving.apng", photos.encoded(cat, "PNG", **moments)
    yield "pictures/moving.webp", photos.encoded(cat, "WEBP", **moments)
    yield "pictures/pages.tiff", photos.encoded(cat, "TIFF", save_all=True, append_images=[coffee, rocket])
    yield "pictures/layers.psd", photos.psd(coffee)
    yield "pictures/raw.dng", photos.dng(coffee)
    yield "pictures/drawing.svg", photos.svg('<circle cx="100" cy="90" r="60" fill="gold"/>')


def moving() -> Iterator[tuple[str, bytes]]:
    scenes = [photo(name).resize((320, 240)) for name in ("chelsea", "coffee", "rocket")]

    def draw(at_s: float) -> Image.Image:
        return scenes[int(at_s) % 3]

    for form, codec, ending in (
        ("mp4", "libx264", "mp4"), ("mov", "libx264", "mov"), ("matroska", "libx265", "mkv"),
        ("webm", "libvpx", "webm"),
        ("avi", "mpeg4", "avi"), ("mpegts", "mpeg2video", "ts"), ("mpeg", "mpeg1video", "mpg"), ("flv", "flv", "flv"),
        ("asf", "wmv2", "wmv"), ("3gp", "h263", "3gp"), ("dv", "dvvideo", "dv"), ("mxf", "mpeg2video", "mxf"),
    ):  # fmt: skip
        size = {"h263": (352, 288), "dvvideo": (720, 576)}.get(codec, (320, 240))

        def show(at_s: float, size: tuple[int, int] = size) -> Image.Image:
            return draw(at_s).resize(size)

        seconds = 1 if codec == "dvvideo" else 3  # of 3.6 MB each
        yield f"films/film.{ending}", films.film(form, codec, seconds=seconds, fps=25, keyframe_every=25, draw=show)


def heard() -> Iterator[tuple[str, bytes]]:
    wave = sounds.spoken("0880") if sounds.SPOKEN.exists() else sounds.tone(2.0, 16_000)
    tags = {"title": "Chapter one", "artist": "A reader"}
    for form, codec, ending in (
        ("wav", "pcm_s16le", "wav"), ("mp3", "libmp3lame", "mp3"), ("flac", "flac", "flac"),
        ("ogg", "vorbis", "ogg"),
        ("opus", "libopus", "opus"), ("ipod", "aac", "m4a"), ("adts", "aac", "aac"), ("aiff", "pcm_s16be", "aiff"),
        ("asf", "wmav2", "wma"), ("ac3", "ac3", "ac3"), ("matroska", "flac", "mka"), ("mp4", "aac", "mp4"),
        ("au", "pcm_s16be", "au"), ("caf", "pcm_s16le", "caf"), ("oga", "flac", "oga"),
    ):  # fmt: skip
        layout = "stereo" if codec == "vorbis" else "mono"
        rate = 48_000 if codec == "libopus" else 16_000 if codec not in ("ac3", "wmav2") else 44_100
        spoken = wave if rate == 16_000 else _resampled(wave, rate)
        yield (
            f"recordings/spoken.{ending}",
            sounds.recording(form, codec, spoken, rate=rate, layout=layout, tags=tags, bit_rate=64_000),
        )


def _resampled(wave: sounds.Wave, rate: int) -> sounds.Wave:
    import numpy as np

    at = np.arange(len(wave) * rate // 16_000) * (16_000 / rate)
    return np.interp(at, np.arange(len(wave)), wave).astype(np.float32)


def read() -> Iterator[tuple[str, bytes]]:
    d = documents
    heading = f"# Wind turbines\n\n{PROSE}\n"
    made: dict[str, bytes | str] = {
        "paper.pdf": d.pdf([PROSE, "The second page speaks of batteries."], info="/Title (Wind turbines)"),
        "scan.pdf": d.scan("Invoice for one bicycle", "Thank you"),
        "minutes.docx": d.docx(d.paragraphs(PROSE, "Motion carried.")),
        "talk.pptx": d.pptx(("Wind", "turbines"), ("Noise", "at night")),
        "minutes.odt": d.opendocument(f"<text:p>{PROSE}</text:p>"),
        "minutes.fodt": d.flat_opendocument(f"<text:p>{PROSE}</text:p>"),
        "book.epub": d.epub(f"<p>{PROSE}</p>", "<p>Chapter two.</p>"),
        "book.fb2": d.fiction(PROSE),
        "comic.cbz": d.comic(),
        "page.xps": d.xps(PROSE),
        "letter.doc": d.LETTER_DOC,
        "old.ppt": d.ppt("A slide about turbines", "and another"),
        "mail.msg": d.msg("Invoice", PROSE),
        "mail.eml": d.eml(),
        "mails.mbox": d.mbox(d.eml("One"), d.eml("Two")),
        "letter.rtf": r"{\rtf1\ansi Dear committee,\par " + PROSE + "}",
        "notes.md": heading,
        "notes.txt": PROSE,
        "notes.rst": f"Wind turbines\n=============\n\n{PROSE}\n",
        "page.html": f"<html lang='en'><title>Wind</title><body><main><p>{PROSE}</p></main></body></html>",
        "paper.tex": r"\documentclass{article}\title{Wind}\begin{document}" + PROSE + r"\end{document}",
        "notebook.ipynb": json.dumps({
            "cells": [{"cell_type": "markdown", "metadata": {}, "source": [heading]}], "metadata": {}, "nbformat": 4,
            "nbformat_minor": 5,
        }),
        "calendar.ics": "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:Committee meets\r\n"
                        "DTSTART:20240501T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        "card.vcf": "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada Lovelace\r\nORG:Engines\r\nEND:VCARD\r\n",
        "film.srt": f"1\n00:00:01,000 --> 00:00:04,000\n{PROSE}\n",
        "film.vtt": f"WEBVTT\n\n00:01.000 --> 00:04.000\n{PROSE}\n",
        "program.py": '"""Counts turbines."""\n\ndef count(turbines):\n    return len(turbines)\n',
        "program.c": "/* counts turbines */\nint count(int n) { return n; }\n",
        "settings.toml": 'title = "turbines"\n[noise]\nat_night = true\n',
        "settings.yaml": "title: turbines\nnoise:\n  at_night: true\n",
        "settings.xml": "<settings><title>turbines</title></settings>",
    }  # fmt: skip
    for name, data in made.items():
        yield f"documents/{name}", data.encode() if isinstance(data, str) else data


def counted() -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    from pyarrow import feather, parquet

    records = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    table = pa.Table.from_pylist(records)
    yield "tables/tickets.csv", _delimited(",")
    yield "tables/tickets.tsv", _delimited("\t")
    yield "tables/semicolons.csv", _delimited(";")
    yield "tables/tickets.csv.gz", gzip.compress(_delimited(","), mtime=0)
    yield "tables/tickets.json", json.dumps(records).encode()
    yield "tables/tickets.ndjson", "\n".join(json.dumps(record) for record in records).encode()
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [8.5, 47.4]}, "properties": records[0]}
    ]
    yield "tables/map.geojson", json.dumps({"type": "FeatureCollection", "features": features}).encode()
    yield "tables/tickets.parquet", _written(lambda out: parquet.write_table(table, out))
    yield "tables/tickets.feather", _written(lambda out: feather.write_feather(table, out))
    yield "tables/tickets.sqlite", _database()
    yield "tables/tickets.ods", documents.opendocument(_sheet(), kind="spreadsheet")
    yield "tables/tickets.xlsx", _workbook()


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def _delimited(mark: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=mark).writerows([COLUMNS, *ROWS])
    return out.getvalue().encode()


def _database() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE tickets (date TEXT, city TEXT, ticket TEXT, price REAL)")
        database.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?)", ROWS)
    return database.serialize()


def _sheet() -> str:
    def cell(value: object) -> str:
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    rows = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in (COLUMNS, *ROWS))
    return f'<table:table table:name="Tickets">{rows}</table:table>'


def _workbook() -> bytes:
    """The least that is an XLSX: one sheet with its texts in the cells."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"

    def cell(value: object) -> str:
        number = isinstance(value, float)
        return f"<c><v>{value}</v></c>" if number else f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    rows = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in (COLUMNS, *ROWS))
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    return documents.zipped({
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        f'"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" '
        f'ContentType="{kinds}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" '
        f'ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type='
        f'"{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {space} xmlns:r="{office}"><sheets><sheet name="Tickets" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type='
        f'"{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f"<worksheet {space}><sheetData>{rows}</sheetData></worksheet>",
    })  # fmt: skip


def packed() -> Iterator[tuple[str, bytes]]:
    members = {"holiday/beach.txt": "sand and sea", "holiday/list.txt": "tent, stove, rope"}
    yield "archives/holiday.zip", documents.zipped(members)
    for ending, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")):
        yield f"archives/holiday.{ending}", _tar(members, mode)
    yield "archives/holiday.rar", _rar(members)
    yield "archives/note.txt.gz", gzip.compress(PROSE.encode(), mtime=0)
    yield "archives/note.txt.bz2", bz2.compress(PROSE.encode())
    yield "archives/note.txt.xz", lzma.compress(PROSE.encode())


def _tar(members: dict[str, str], mode: str) -> bytes:
    def write(out: io.BytesIO) -> None:
        with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
            for name, text in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))

    return _written(write)


def _rar(members: dict[str, str]) -> bytes:
    """RAR 5, stored, as its format is described: no program that packs it is free."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        sizes = _vint(len(data)) if data else b""
        head = _vint(kind) + _vint(flags | (2 if data else 0)) + sizes + body
        head = _vint(len(head)) + head
        return zlib.crc32(head).to_bytes(4, "little") + head + data

    def file(name: str, text: str) -> bytes:
        raw, named = text.encode(), name.encode()
        facts = b"".join(map(_vint, (4, len(raw), 0o644))) + zlib.crc32(raw).to_bytes(4, "little")  # 4: with a CRC
        stored, unix = 0, 1
        return block(2, 0, facts + _vint(stored) + _vint(unix) + _vint(len(named)) + named, raw)

    files = b"".join(file(name, text) for name, text in members.items())
    return b"Rar!\x1a\x07\1\0" + block(1, 0, _vint(0)) + files + block(5, 0, _vint(0))


def _vint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _vint(rest) if rest else bytes([low])


def beside() -> Iterator[tuple[str, bytes]]:
    """Photos with what other programs noted of them."""
    yield "family/IMG_0001.jpg", photos.encoded(photo("coffee"), "JPEG", quality=80)
    yield "family/IMG_0001.jpg.json", json.dumps({
        "title": "IMG_0001.jpg", "description": "Breakfast by the harbour", "people": [{"name": "Ada"}],
        "photoTakenTime": {"timestamp": "1714557600"},
        "geoData": {"latitude": 41.1496, "longitude": -8.6109, "altitude": 0.0},
    }).encode()  # fmt: skip
    yield "family/IMG_0002.jpg", photos.encoded(photo("rocket"), "JPEG", quality=80)
    yield (
        "family/IMG_0002.xmp",
        (
            b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>launch</rdf:li>'
            b"</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
        ),
    )
