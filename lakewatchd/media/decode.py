"""Pictures: one decode gives the pixels for the models, the thumbnail and the fingerprint (Pillow).

Whatever the format, it comes to the same in :func:`_opened`. What comes after decoding is the same for a frame of a
video: :func:`upright` and :func:`looks`.

JPEG is decoded at reduced size from the start. Dimensions are checked in the header, before any pixel is. The
invariant: a picture is whole and upright, or it is an error; never half grey.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lakewatchd import errors
from lakewatchd.core.content import Content, Frame, Picture
from lakewatchd.media import colour, exif, files, formats, pages, raw, sidecar, vector
from lakewatchd.media.fingerprint import phash
from lakewatchd.media.kinds import RAW_PHOTOS

if TYPE_CHECKING:
    from PIL.Image import Image

SHORT_PX = 288
"""Shortest side of the picture for the models: enough for a 224 or 256 pixel crop of any of them."""
LONG_PX = 1024
LEGIBLE_PX = 2000
"""Longer side of a picture that text is read from: a page at 170 dots per inch."""
_DRAFT = 2
"""JPEG may be decoded at a reduced size that is at least this multiple of what is kept."""


def describe_image(stream: BinaryIO, mime: str, name: str, *, max_pixels: int, thumbnail_px: int) -> Content:
    """All that can be told of the picture in ``stream`` without a model.

    Of a format that cannot be opened here only its name is told, with a warning. Raises
    :class:`errors.UnsupportedMedia`, :class:`errors.TooLarge` above ``max_pixels``, and
    :class:`errors.DamagedMedia` for whatever the decoder does not finish.
    """
    lack = formats.why_not(mime)
    if lack is not None:
        captured_at, captured_from = _captured(exif.Facts(), name)
        title = exif.title_of(name)
        return Content(title=title, captured_at=captured_at, captured_from=captured_from, warnings=(lack,))
    with _decoding(max_pixels), _opened(stream, mime, max_pixels, LONG_PX) as original:
        return _describe(original, name, max_pixels, thumbnail_px)


def read_image(stream: BinaryIO, mime: str, *, first: int, count: int, max_pixels: int) -> Content:
    """Its pages from ``first``, counted from 0, ``count`` at most, large enough to read text in them: as ``frames``.

    What is not of pages is one. Nothing where the format cannot be opened here. Raises as :func:`describe_image`.
    """
    if formats.why_not(mime) is not None:
        return Content()
    with _decoding(max_pixels), _opened(stream, mime, max_pixels, LEGIBLE_PX) as original:
        return Content(frames=tuple(_legible(original, first, count, max_pixels)), pages=_pages(original.image))


@dataclass(frozen=True, slots=True)
class _Original:
    """A picture whose header was read, and what is known of it apart from that."""

    image: Image
    size: tuple[int, int] | None = None
    """As seen; None: that of ``image``, which is no reduced one of it."""
    facts: exif.Facts | None = None
    """None: ``image`` itself tells, and its orientation too, once it is loaded."""
    turn: int = 1
    title: str = ""


@contextlib.contextmanager
def _opened(stream: BinaryIO, mime: str, max_pixels: int, drawn_px: int) -> Iterator[_Original]:
    """``drawn_px`` is the longer side of what has no size of its own."""
    from PIL import Image

    if mime == "image/svg+xml":
        drawing = vector.draw(stream, drawn_px)
        with drawing.image as image:
            yield _Original(image, drawing.size, exif.Facts(), title=drawing.title)
    elif mime in RAW_PHOTOS:
        with raw.opened(stream, max_pixels) as negative, negative.image as image:
            require_pixels(image.size, max_pixels)
            size = turned_size(negative.size, negative.turn)
            yield _Original(image, size, negative.facts, negative.image_turn)
    else:
        if mime == "image/jpeg":
            _require_end_of_jpeg(stream)
        with Image.open(stream, formats=formats.pillow_names(mime)) as image:
            require_pixels(image.size, max_pixels)
            yield _Original(image)


def _describe(original: _Original, name: str, max_pixels: int, thumbnail_px: int) -> Content:
    image = original.image
    size, work_size = image.size, working_size(image.size, thumbnail_px)
    image.draft(None, (work_size[0] * _DRAFT, work_size[1] * _DRAFT))
    image.load()
    found, turn, problems = _metadata(original)
    seen = upright(colour.on_screen(image, work_size), turn)
    captured_at, captured_from = _captured(found, name)
    upright_size = turned_size(size, turn)
    width, height = original.size or upright_size
    picture, thumbnail, fingerprint = looks(seen, upright_size, thumbnail_px)
    further, lost = _further(image, turn, fingerprint, max_pixels)
    return Content(
        width=width,
        height=height,
        captured_at=captured_at,
        captured_from=captured_from,
        camera=found.camera,
        latitude=found.latitude,
        longitude=found.longitude,
        title=original.title or exif.title_of(name),
        exif=found.pairs,
        phash=fingerprint,
        thumbnail=thumbnail,
        picture=picture,
        frames=further,
        pages=_pages(image),
        warnings=problems + lost,
    )


def _pages(image: Image) -> int | None:
    number = pages.count(image)
    return number if number > 1 else None


_ALIKE = 4
"""Bits of 64 in which the fingerprints of two moments may differ that show the same."""


def _further(image: Image, turn: int, first: int, max_pixels: int) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    """The other pages or moments in its file, and what was wrong with them. A moment that shows nothing new is left
    out."""
    found: list[Frame] = []
    seen = [first]
    try:
        for place in pages.more(image):
            require_pixels(image.size, max_pixels)
            image.load()
            size = fit(image.size, short=SHORT_PX, long=LONG_PX)
            picture = upright(colour.on_screen(image, size), turn)
            fingerprint = phash(picture)
            if place.page is None and any((fingerprint ^ other).bit_count() <= _ALIKE for other in seen):
                continue
            seen.append(fingerprint)
            pixels = Picture(*picture.size, picture.tobytes())
            found.append(Frame(pixels, place.page, place.at_s, place.at_s, fingerprint))
    except MemoryError:
        raise
    except Exception as exc:  # as in _decoding: anything may come out of hostile bytes
        reason = exc.reason if isinstance(exc, errors.LakewatchError) else exif.clean(str(exc)) or type(exc).__name__
        return tuple(found), (f"of its {pages.count(image)} pictures, some cannot be decoded: {reason}",)
    return tuple(found), ()


def _legible(original: _Original, first: int, count: int, max_pixels: int) -> Iterator[Frame]:
    image = original.image
    places = pages.pages_of(image, first, count) if image.format == "TIFF" else _only_one(first)
    for place in places:
        require_pixels(image.size, max_pixels)
        size = fit(image.size, long=LEGIBLE_PX)
        image.draft(None, size)
        image.load()
        _, turn, _ = _metadata(original)
        seen = upright(colour.on_screen(image, size), turn)
        yield Frame(Picture(*seen.size, seen.tobytes()), place.page)


def _only_one(first: int) -> Iterator[pages.Place]:
    return iter([pages.Place()] if first == 0 else [])


def working_size(size: tuple[int, int], thumbnail_px: int) -> tuple[int, int]:
    """What a picture of ``size`` is reduced to first: enough for :func:`looks`."""
    return max(fit(size, short=SHORT_PX, long=LONG_PX), fit(size, long=thumbnail_px))


def looks(image: Image, size: tuple[int, int], thumbnail_px: int) -> tuple[Picture, bytes, int]:
    """Of an upright RGB image, which was ``size`` originally: what the models look at, thumbnail, perceptual hash."""
    picture = colour.reduced(image, fit(size, short=SHORT_PX, long=LONG_PX))
    thumbnail = _thumbnail(image, fit(size, long=thumbnail_px))
    return Picture(*picture.size, picture.tobytes()), thumbnail, phash(picture)


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


def require_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Of what a header says, before memory is taken for it."""
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


def _metadata(original: _Original) -> tuple[exif.Facts, int, tuple[str, ...]]:
    """EXIF facts, orientation 1..8, and what was wrong with them. Unreadable EXIF spoils no picture."""
    if original.facts is not None:
        return original.facts, original.turn, ()
    image = original.image
    try:
        tags = image.getexif()
        turn = tags.get(exif.ORIENTATION, 1)
        found = exif.facts(tags, tags.get_ifd(exif.EXIF_IFD), tags.get_ifd(exif.GPS_IFD))
    except MemoryError:
        raise
    except Exception as exc:
        return exif.Facts(), 1, (f"EXIF cannot be read: {exif.clean(str(exc))}",)
    if image.format == "PNG":
        known = dict(found.pairs)
        further = tuple(pair for pair in exif.png_pairs(image.info) if pair[0] not in known)
        found = dataclasses.replace(found, pairs=(*found.pairs, *further))
    found = _with_packet(found, image.info.get("xmp"))
    is_turned = image.format == "JXL"  # its decoder did, and what EXIF says of it is out of date
    return found, turn if isinstance(turn, int) and 1 <= turn <= 8 and not is_turned else 1, ()


def _with_packet(found: exif.Facts, packet: object) -> exif.Facts:
    """What EXIF leaves open, and what people wrote, by the XMP inside the picture. A bad packet says nothing."""
    if not isinstance(packet, bytes) or len(packet) > sidecar.MAX_BYTES:
        return found
    try:
        said = sidecar.xmp_facts(packet)
    except errors.DamagedMedia:
        return found
    found = dataclasses.replace(found, pairs=(*found.pairs, *said.exif))
    if found.captured_at is None and said.captured_at is not None:
        found = dataclasses.replace(found, captured_at=said.captured_at, captured_from="exif")
    if found.latitude is None and said.latitude is not None:
        found = dataclasses.replace(found, latitude=said.latitude, longitude=said.longitude)
    return found


def _captured(found: exif.Facts, name: str) -> tuple[dt.datetime | None, str]:
    if found.captured_at is not None:
        return found.captured_at, found.captured_from
    in_name = exif.time_in_name(name)
    return (in_name, "name") if in_name is not None else (None, "")


def turned_size(size: tuple[int, int], turn: int) -> tuple[int, int]:
    return (size[1], size[0]) if turn >= 5 else size


def upright(image: Image, turn: int) -> Image:
    """``turn`` is an orientation as EXIF counts them, 1..8: how to get from the image as stored to the one as seen."""
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
    small = colour.reduced(image, size)
    small.info.clear()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()
