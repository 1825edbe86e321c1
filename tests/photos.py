"""Pictures of every format, made here: what no package carries, and small enough for every day.

:func:`halves` is what all of them show: its left half red, its right half blue, so that turning and colours can be
told. A raw photo is a real DNG: a Bayer mosaic with the tags that a camera writes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

from PIL import Image

SIZE = (320, 200)


def halves(size: tuple[int, int] = SIZE) -> Image.Image:
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Of any format that can be written here; HEIF and JPEG XL by the packages that the decoders use too."""
    if form == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    if form == "JXL":
        import pylibjxl

        pylibjxl.register_pillow()
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def svg(body: str = "", attributes: str = 'width="320" height="200"', head: str = "") -> bytes:
    """A drawing of the two halves, with ``body`` on top of them."""
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 320 200"'
    parts = '<rect width="160" height="200" fill="red"/><rect x="160" width="160" height="200" fill="blue"/>'
    return f"{head}<svg {space} {attributes}>{parts}{body}</svg>".encode()


def psd(image: Image.Image) -> bytes:
    """Photoshop's format with nothing but the flattened picture, uncompressed."""
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, image.height, image.width, 8, 3)
    return header + bytes(12) + b"\0\0" + b"".join(band.tobytes() for band in image.split())


def dng(preview: Image.Image | None = None, *, orientation: int = 1, size: tuple[int, int] = (640, 400)) -> bytes:
    """A raw photo: the mosaic of :func:`halves`, and, as cameras do, a JPEG of ``preview`` beside it."""
    red = struct.pack("<H", 4000) + bytes(2)  # one row of the mosaic RGGB: red, green, red, green …
    blue = bytes(2) + struct.pack("<H", 4000)
    width, height = size
    half = width // 4
    mosaic = (red * half + bytes(4) * half + bytes(4) * half + blue * half) * (height // 2)
    jpeg = encoded(preview, "JPEG", quality=95) if preview else b""
    texts = {271: b"Lakewatch\0", 272: b"Pinhole 1\0", 306: b"2023:05:06 07:08:09\0", 50708: b"Lakewatch Pinhole 1\0"}
    matrix = struct.pack("<18i", *(v for number in (1, 0, 0, 0, 1, 0, 0, 0, 1) for v in (number, 1)))
    raw: dict[int, tuple[int, int, bytes]] = {
        254: (4, 1, _long(0)), 256: (4, 1, _long(width)), 257: (4, 1, _long(height)), 258: (3, 1, _short(16)),
        259: (3, 1, _short(1)), 262: (3, 1, _short(32803)), 274: (3, 1, _short(orientation)), 277: (3, 1, _short(1)),
        278: (4, 1, _long(height)), 279: (4, 1, _long(len(mosaic))), 33421: (3, 2, _short(2) + _short(2)),
        33422: (1, 4, bytes((0, 1, 1, 2))), 50706: (1, 4, bytes((1, 4, 0, 0))), 50714: (3, 1, _short(0)),
        50717: (4, 1, _long(4000)), 50721: (10, 9, matrix), 50728: (5, 3, struct.pack("<6I", 1, 1, 1, 1, 1, 1)),
        50778: (3, 1, _short(21)),
    }  # fmt: skip
    raw |= {tag: (2, len(text), text) for tag, text in texts.items()}
    if not preview:
        return _tiff([raw | {273: (4, 1, b"")}], [mosaic])
    small: dict[int, tuple[int, int, bytes]] = {
        254: (4, 1, _long(1)), 256: (4, 1, _long(preview.width)), 257: (4, 1, _long(preview.height)),
        258: (3, 3, _short(8) * 3), 259: (3, 1, _short(7)), 262: (3, 1, _short(6)), 277: (3, 1, _short(3)),
        278: (4, 1, _long(preview.height)), 279: (4, 1, _long(len(jpeg))), 273: (4, 1, b""),
    }  # fmt: skip
    return _tiff([raw | {273: (4, 1, b"")}, small], [mosaic, jpeg])


def _tiff(directories: list[Mapping[int, tuple[int, int, bytes]]], strips: list[bytes]) -> bytes:
    """One directory after the other; the strip of each, which tag 273 points to, lies behind all of them."""
    sizes = [
        2 + 12 * len(tags) + 4 + sum(len(v) + 1 & ~1 for _, _, v in tags.values() if len(v) > 4) for tags in directories
    ]
    starts = [8 + sum(sizes[:i]) for i in range(len(sizes))]
    strip_at = 8 + sum(sizes)
    out = [b"II*\0" + _long(8)]
    for tags, start, following, strip in zip(directories, starts, [*starts[1:], 0], strips, strict=True):
        entries, more, more_at = [], b"", start + 2 + 12 * len(tags) + 4
        for tag in sorted(tags):
            form, number, value = tags[tag]
            value = _long(strip_at) if tag == 273 else value
            if len(value) > 4:
                value, more = _long(more_at + len(more)), more + value + bytes(len(value) % 2)
            entries.append(struct.pack("<HHI", tag, form, number) + value.ljust(4, b"\0"))
        out.append(_short(len(tags)) + b"".join(entries) + _long(following) + more)
        strip_at += len(strip)
    return b"".join(out + strips)


def _long(value: int) -> bytes:
    return struct.pack("<I", value)


def _short(value: int) -> bytes:
    return struct.pack("<H", value)
