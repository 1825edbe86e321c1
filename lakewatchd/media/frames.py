"""A decoded frame of a film as people see it: upright, with square pixels, in the colours of an ordinary screen.

The invariant is that of pictures: what comes out is whole, and has the shape that a player would show.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lakewatchd.media import decode

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from PIL.Image import Image

Size = tuple[int, int]


def seen(frame: VideoFrame, stream: VideoStream, reduce: Callable[[Size], Size]) -> tuple[Image, Size]:
    """RGB, and the size it has for people. ``reduce`` says which size it shall have instead."""
    from PIL import Image as Images

    turn, size = _turn(frame), _square(frame.width, frame.height, stream.sample_aspect_ratio)
    width, height = reduce(size)
    way = "AREA" if frame.width >= 2 * width else "BICUBIC"  # as good for so much, at a fifth of the cost
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=way, threads=1)
    transfer = int(stream.codec_context.color_trc)
    shown = _for_screen(pixels, transfer) if transfer in _NITS else pixels
    return decode.upright(Images.fromarray(shown), turn), decode.turned_size(size, turn)


def _square(width: int, height: int, aspect: Fraction | None) -> Size:
    """The size on a screen, of a frame whose pixels are ``aspect`` times as wide as high; nobody films beyond 4."""
    return (round(width * aspect), height) if aspect and Fraction(1, 4) <= aspect <= 4 else (width, height)


class Interest(NamedTuple):
    """What there is to see. Compared as a tuple, the more interesting picture is greater."""

    is_visible: bool
    """Not blank: not black, not a lens cap, not the sky."""
    detail: float
    """Mean step of grey from pixel to pixel."""


_BLANK = 4.0
"""Standard deviation of grey, of 255: below it there is nothing to see."""


def interest(image: Image) -> Interest:
    import numpy as np
    from PIL.Image import Resampling

    grey = np.asarray(image.convert("L").resize((96, 96), Resampling.BOX), dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    return Interest(float(grey.std()) > _BLANK, float(steps))


# --- turned ------------------------------------------------------------------------------------------------

_MATRIX = struct.Struct("=9i")
_QUARTERS = (1, 8, 3, 6)
_TURNS = {(1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
          (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8}  # fmt: skip
"""Signs of a display matrix -> orientation as EXIF counts them."""


def _turn(frame: VideoFrame) -> int:
    from av.sidedata.sidedata import SideDataContainer

    try:  # not ``frame.side_data``: the frame would keep that, and that the frame, for ever (PyAV 18)
        side_data: Mapping[str, bytes] = cast(Any, SideDataContainer)(frame)
        a, b, _, c, d, *_ = _MATRIX.unpack(side_data["DISPLAYMATRIX"])
    except KeyError:
        return 1
    except ValueError:  # there is other side data, of a kind that PyAV cannot name
        return _QUARTERS[round(frame.rotation / 90) % 4]
    return _TURNS.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def _sign(fixed: int) -> int:
    """Of a 16.16 fixed-point number; what is nearer to zero than to one counts as zero."""
    return (fixed > 1 << 15) - (fixed < -(1 << 15))


# --- brighter than a screen --------------------------------------------------------------------------------

_PQ, _HLG = 16, 18
"""Transfer characteristics, as ITU-T H.273 numbers them: SMPTE ST 2084 and ARIB STD-B67 of BT.2100."""
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
"""Of paper, and of the brightest that is told apart (BT.2408)."""
_TO_709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
"""Linear light in the primaries of BT.2020 -> BT.709 (BT.2087)."""


def _pq_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    root = signal ** (1 / 78.84375)
    return np.asarray(
        10_000 * (np.clip(root - 0.8359375, 0, None) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    )


def _hlg_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return np.asarray(_PEAK_NITS * light**1.2)


_NITS: Mapping[int, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {_PQ: _pq_nits, _HLG: _hlg_nits}


@functools.cache
def _table(transfer: int) -> NDArray[np.float32]:
    """Light for each of 256 signals, in units of paper white."""
    import numpy as np

    return (_NITS[transfer](np.arange(256) / 255.0) / _WHITE_NITS).astype(np.float32)


def _for_screen(pixels: NDArray[Any], transfer: int) -> NDArray[np.uint8]:
    """High dynamic range tone-mapped, roughly (Reinhard): right enough to recognise what is there. (h, w, 3) RGB."""
    import numpy as np

    light = np.clip(_table(transfer)[pixels] @ np.asarray(_TO_709, dtype=np.float32).T, 0, None)
    peak = _PEAK_NITS / _WHITE_NITS
    luma = light @ np.asarray((0.2126, 0.7152, 0.0722), dtype=np.float32)
    light *= ((1 + luma / peak**2) / (1 + luma))[..., None]
    return np.asarray(255 * np.clip(light, 0, 1) ** (1 / 2.2) + 0.5, dtype=np.uint8)
