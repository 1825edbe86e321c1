"""Raw photos: the picture that the camera put beside its raw data, else a quick development of these (LibRaw).

The camera's own picture is what its owner saw, and costs a hundredth of developing one. LibRaw reads all of the file
into memory; what it takes to develop is known from the header and refused before it is taken.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from lakewatchd import errors
from lakewatchd.media import exif

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 512 << 20
_ENOUGH_PX = 640
"""Long side of a camera's picture that is worth showing; smaller ones are stamps."""
_TURNS = {3: 3, 5: 8, 6: 6}
"""LibRaw's way to say how the camera was held -> orientation as EXIF counts them."""
_TIFF = (b"II*\0", b"MM\0*")
_BOX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Negative:
    image: Image
    """Not yet loaded, if it is the camera's own."""
    size: tuple[int, int]
    """Of the raw data, as stored."""
    turn: int
    """How to get from ``size`` to what is seen, 1..8 as EXIF counts them."""
    image_turn: int
    """The same for ``image``: a camera may have turned its own picture already."""
    facts: exif.Facts


@contextlib.contextmanager
def opened(stream: BinaryIO, max_pixels: int) -> Iterator[Negative]:
    """Raises :class:`errors.UnsupportedMedia`, :class:`errors.TooLarge` and :class:`errors.DamagedMedia`."""
    import rawpy

    try:
        with _negative(stream, max_pixels) as negative:
            yield negative
    except rawpy.LibRawFileUnsupportedError as exc:
        raise errors.UnsupportedMedia(
            "LibRaw knows no camera that writes such files", hint="a newer rawpy may know it: pip install -U rawpy"
        ) from exc
    except rawpy.LibRawError as exc:
        words = exc.args[0] if exc.args else ""
        raise errors.DamagedMedia(
            f"LibRaw: {exif.clean(words.decode() if isinstance(words, bytes) else str(words))}"
        ) from exc


@contextlib.contextmanager
def _negative(stream: BinaryIO, max_pixels: int) -> Iterator[Negative]:
    import rawpy

    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise errors.TooLarge(f"a raw photo of more than {MAX_BYTES >> 20} MB")
    with rawpy.imread(io.BytesIO(data)) as raw:
        size, turn = (raw.sizes.width, raw.sizes.height), _TURNS.get(raw.sizes.flip, 1)
        if min(size) < 1 or size[0] * size[1] > max_pixels:
            raise errors.TooLarge(f"{size[0]} x {size[1]} pixels, {max_pixels} are allowed")
        image, image_turn = _own_picture(raw, size, turn) or (_developed(raw), 1)
        own = image.getexif()
        facts = _facts(data) or exif.facts(own, own.get_ifd(exif.EXIF_IFD), own.get_ifd(exif.GPS_IFD))
        yield Negative(image, size, turn, image_turn, facts)


def _own_picture(raw: Any, size: tuple[int, int], turn: int) -> tuple[Image, int] | None:
    import rawpy
    from PIL import Image as Images

    try:
        found = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if found.format is rawpy.ThumbFormat.JPEG:
        image: Image = Images.open(io.BytesIO(found.data), formats=("JPEG", "MPO"))
        said = image.getexif().get(exif.ORIENTATION)
        turn = said if isinstance(said, int) and 1 <= said <= 8 else turn
    else:
        image = Images.fromarray(found.data)
    if max(image.size) < min(_ENOUGH_PX, max(size) // 2):
        return None
    is_turned_already = turn >= 5 and (image.width > image.height) != (size[0] > size[1])
    return image, 1 if is_turned_already else turn


def _developed(raw: Any) -> Image:
    """Half as wide and high, upright."""
    from PIL import Image as Images

    return Images.fromarray(raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8))


def _facts(data: bytes) -> exif.Facts | None:
    """What the file itself says, where it is a TIFF (most) or a Canon CR3; None where only its picture may know."""
    from PIL.Image import Exif

    if data.startswith(_TIFF):
        tags = Exif()
        tags.load_from_fp(io.BytesIO(data))
        return exif.facts(tags, tags.get_ifd(exif.EXIF_IFD), tags.get_ifd(exif.GPS_IFD))
    if data[4:12] == b"ftypcrx ":
        main, detail, gps = (_box(data, name) for name in (b"CMT1", b"CMT2", b"CMT4"))
        return exif.facts(main, detail, gps)
    return None


def _box(data: bytes, name: bytes) -> exif.Tags:
    """The TIFF directory in a box near the beginning."""
    from PIL.Image import Exif

    tags = Exif()
    at = data.find(name, 0, _BOX_BYTES)
    if at >= 4:
        size = int.from_bytes(data[at - 4 : at])
        body = data[at + 4 : at - 4 + min(size, _BOX_BYTES)]
        if body.startswith(_TIFF):
            tags.load_from_fp(io.BytesIO(body))
    return tags
