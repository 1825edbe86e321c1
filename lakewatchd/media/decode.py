"""Pictures: one decode gives the pixels for the models, the thumbnail and the fingerprint (Pillow).

JPEG is decoded at reduced size from the start. Dimensions are checked in the header, before any pixel is. The
invariant: a picture is whole and upright, or it is an error; never half grey.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from lakewatchd import errors
from lakewatchd.core.content import Content, Picture
from lakewatchd.media import exif, files
from lakewatchd.media.fingerprint import phash

if TYPE_CHECKING:
    from PIL.Image import Image

SHORT_PX = 288
"""Shortest side of the picture for the models: enough for a 224 or 256 pixel crop of any of them."""
LONG_PX = 1024
_DRAFT = 2
"""JPEG may be decoded at a reduced size that is at least this multiple of what is kept."""

_FORMATS: dict[str, tuple[str, ...]] = {
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/gif": ("GIF",),
    "image/webp": ("WEBP",),
    "image/bmp": ("BMP",),
    "image/tiff": ("TIFF",),
    "image/avif": ("AVIF",),
}
"""Only these decoders ever see a file, and each only what its signature promised."""

_HINTS = {
    "image/heic": "HEIC needs a HEVC decoder (libheif, Python package pillow-heif), which is not built in",
    "image/jxl": "JPEG XL needs libjxl (Python package pillow-jxl-plugin), which is not built in",
    "image/svg+xml": "vector graphics are not drawn; export a PNG beside it to find it by its look",
}
_RAW_HINT = "raw photos need LibRaw (Python package rawpy), which is not built in; a JPEG beside it is indexed"


def describe_image(fd: int, mime: str, name: str, *, max_pixels: int, thumbnail_px: int) -> Content:
    """All that can be told of the picture in ``fd`` without a model.

    Raises :class:`errors.UnsupportedMedia`, :class:`errors.TooLarge` above ``max_pixels``, and
    :class:`errors.DamagedMedia` for whatever the decoder does not finish.
    """
    formats = _FORMATS.get(mime)
    if formats is None:
        raise errors.UnsupportedMedia(f"no decoder for {mime}", hint=_HINTS.get(mime, _RAW_HINT))
    with _decoding(max_pixels), open(fd, "rb", closefd=False) as stream:
        if mime == "image/jpeg":
            _require_end_of_jpeg(stream)
        return _describe(stream, formats, name, max_pixels, thumbnail_px)


def _describe(stream: BinaryIO, formats: tuple[str, ...], name: str, max_pixels: int, thumbnail_px: int) -> Content:
    from PIL import Image

    with Image.open(stream, formats=formats) as image:
        size = image.size
        _require_pixels(size, max_pixels)
        work_size = max(fit(size, short=SHORT_PX, long=LONG_PX), fit(size, long=thumbnail_px))
        image.draft(None, (work_size[0] * _DRAFT, work_size[1] * _DRAFT))
        image.load()
        found, turn, problems = _metadata(image)
        upright = _turned(_shrunk(_plain(image), work_size), turn)
    captured_at, captured_from = _captured(found, name)
    width, height = (size[1], size[0]) if turn >= 5 else size
    picture = _shrunk(upright, fit((width, height), short=SHORT_PX, long=LONG_PX))
    return Content(
        width=width,
        height=height,
        captured_at=captured_at,
        captured_from=captured_from,
        camera=found.camera,
        latitude=found.latitude,
        longitude=found.longitude,
        title=exif.title_of(name),
        exif=found.pairs,
        phash=phash(picture),
        thumbnail=_thumbnail(upright, fit((width, height), long=thumbnail_px)),
        picture=Picture(*picture.size, picture.tobytes()),
        warnings=problems,
    )


def fit(size: tuple[int, int], *, short: int | None = None, long: int) -> tuple[int, int]:
    """``size`` in proportion, so that the shorter side is ``short`` and the longer at most ``long``; never larger."""
    scale = min(1.0, long / max(size))
    if short is not None:
        scale = min(scale, short / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@contextlib.contextmanager
def _decoding(max_pixels: int) -> Iterator[None]:
    """Pillow's errors as ours. Hostile bytes make it raise nearly anything, hence the broad net."""
    from PIL import Image, UnidentifiedImageError

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (errors.LakewatchError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as exc:
        raise errors.TooLarge(f"more than {max_pixels} pixels", hint=_MAX_PIXELS_HINT) from exc
    except UnidentifiedImageError as exc:
        raise errors.DamagedMedia("cannot be decoded: a damaged header, or a rare variant of its format") from exc
    except Exception as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise files.translate(exc) from exc
        reason = exif.clean(str(exc)) or type(exc).__name__
        raise errors.DamagedMedia(f"cannot be decoded: {reason}") from exc
    finally:
        Image.MAX_IMAGE_PIXELS = before


_MAX_PIXELS_HINT = "raise max_pixels in [decode] if the picture is wanted and memory_mb allows it"


def _require_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise errors.DamagedMedia(f"says it is {width} x {height} pixels")
    if width * height > max_pixels:
        raise errors.TooLarge(f"{width} x {height} pixels, {max_pixels} are allowed", hint=_MAX_PIXELS_HINT)


_TAIL_BYTES = 64 << 10


def _require_end_of_jpeg(stream: BinaryIO) -> None:
    """Refuse a JPEG that ends in zeros without an end mark: a broken copy, which libjpeg decodes to grey."""
    end = size = stream.seek(0, io.SEEK_END)
    data = b""
    while end > 0 and not data:
        start = max(0, end - _TAIL_BYTES)
        stream.seek(start)
        data = stream.read(end - start).rstrip(b"\0")
        end = start
    zeros = size - end - len(data)
    stream.seek(0)
    if zeros > 16 and not data.endswith(b"\xff\xd9"):
        raise errors.DamagedMedia(f"its last {zeros} bytes are zeros: a copy that was not finished")


def _metadata(image: Image) -> tuple[exif.Facts, int, tuple[str, ...]]:
    """EXIF facts, orientation 1..8, and what was wrong with them. Unreadable EXIF spoils no picture."""
    try:
        tags = image.getexif()
        turn = tags.get(exif.ORIENTATION, 1)
        found = exif.facts(tags, tags.get_ifd(exif.EXIF_IFD), tags.get_ifd(exif.GPS_IFD))
    except MemoryError:
        raise
    except Exception as exc:
        return exif.Facts(), 1, (f"EXIF cannot be read: {exif.clean(str(exc))}",)
    return found, turn if isinstance(turn, int) and 1 <= turn <= 8 else 1, ()


def _captured(found: exif.Facts, name: str) -> tuple[dt.datetime | None, str]:
    if found.captured_at is not None:
        return found.captured_at, "exif"
    in_name = exif.time_in_name(name)
    return (in_name, "name") if in_name is not None else (None, "")


def _plain(image: Image) -> Image:
    """RGB, or RGBA where something shows through."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _eight_bit(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _eight_bit(image: Image) -> Image:
    """16-bit grey by its high byte; 32-bit and float, which have no fixed white, stretched to their range."""
    import numpy as np
    from PIL import Image as Images

    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey = (values >> 8).astype(np.uint8)
    else:
        finite = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
        span = max(float(np.ptp(finite)), 1e-12)
        grey = ((finite - finite.min()) * (255.0 / span)).astype(np.uint8)
    return Images.fromarray(grey).convert("RGB")


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    """Resized with alpha taken into account, then flattened on white: RGB."""
    from PIL import Image as Images

    if image.size != size:
        image = image.resize(size, Images.Resampling.BICUBIC, reducing_gap=2.0)
    if image.mode == "RGBA":
        paper = Images.new("RGBA", image.size, "white")
        image = Images.alpha_composite(paper, image).convert("RGB")
    return image


def _turned(image: Image, turn: int) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[turn]) if turn in turns else image


def _thumbnail(image: Image, size: tuple[int, int]) -> bytes:
    """JPEG without metadata: it encodes several times faster than WebP, and everything shows it."""
    out = io.BytesIO()
    small = _shrunk(image, size)
    small.info.clear()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()
