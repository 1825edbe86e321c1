"""Drawings (SVG), drawn by resvg: no scripts, no fonts or pictures from elsewhere, nothing that moves.

What the file asks for is parsed and written anew without a reference to anything outside of it, so nothing it names
can be drawn in. The size it claims costs nothing: it is drawn as large as is wanted here.
"""

from __future__ import annotations

import functools
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.etree import ElementTree

from lakewatchd import errors
from lakewatchd.media import exif

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 16 << 20
FONT_DIRS = ("/usr/share/fonts", "/usr/local/share/fonts")
_FONTS = {
    "serif_family": ("DejaVu Serif", "Liberation Serif", "Noto Serif", "FreeSerif", "Times New Roman"),
    "sans_serif_family": ("DejaVu Sans", "Liberation Sans", "Noto Sans", "FreeSans", "Arial"),
    "monospace_family": ("DejaVu Sans Mono", "Liberation Mono", "Noto Sans Mono", "FreeMono", "Courier New"),
}
"""What is tried for letters whose own font is not there."""
_HINT = "simplify the drawing, or export a PNG beside it"
_LARGEST_PX = 100_000.0
_SVG = "http://www.w3.org/2000/svg"
_LENGTH = re.compile(r"\s*(\d{1,9}(?:\.\d{0,9})?(?:[eE]\d)?)\s*(px|pt|pc|mm|cm|in|)\s*")
_PX = {"px": 1.0, "": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}


@dataclass(frozen=True, slots=True)
class Drawing:
    image: Image
    size: tuple[int, int]
    """As the file says, in pixels."""
    title: str


def draw(stream: BinaryIO, long_px: int) -> Drawing:
    """The drawing, so that its longer side has ``long_px`` pixels.

    Raises :class:`errors.TooLarge` and :class:`errors.DamagedMedia`.
    """
    from PIL import Image as Images
    from resvg_py import svg_to_bytes

    root = _parsed(_read(stream))
    _forget_outside(root)
    size = _size(root)
    _draw_at(root, size, long_px)
    options: dict[str, Any] = {"svg_string": ElementTree.tostring(root, "unicode"), **fonts()}
    try:
        drawn = svg_to_bytes(**options)
    except ValueError as exc:
        raise errors.DamagedMedia(f"cannot be drawn: {exif.clean(str(exc))}") from exc
    title = root.findtext(f"{{{_SVG}}}title") or ""
    return Drawing(Images.open(io.BytesIO(bytes(drawn)), formats=("PNG",)), _whole(size), exif.clean(title, 120))


@functools.cache
def fonts() -> dict[str, str]:
    """Of each kind the first that this machine has: letters in a font that is not there would not be drawn at all."""
    found = {kind: next(filter(_leaves_ink, names), None) for kind, names in _FONTS.items()}
    return {kind: name for kind, name in found.items() if name}


def _leaves_ink(font: str) -> bool:
    from PIL import Image as Images
    from resvg_py import svg_to_bytes

    letter = f'<svg xmlns="{_SVG}" width="9" height="9"><text y="9" font-family="{font}">M</text></svg>'
    drawn = Images.open(io.BytesIO(bytes(svg_to_bytes(svg_string=letter, serif_family=font))))
    return drawn.getbbox() is not None


def _read(stream: BinaryIO) -> bytes:
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise errors.TooLarge(f"a drawing of more than {MAX_BYTES >> 20} MB", hint=_HINT)
    return data


def _parsed(data: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(data)  # expat refuses entities that grow without end
    except (ElementTree.ParseError, ValueError, LookupError) as exc:
        raise errors.DamagedMedia(f"cannot be drawn: {exif.clean(str(exc))}") from exc


def _forget_outside(root: ElementTree.Element) -> None:
    """References stay where they point into the drawing itself or carry their content with them."""
    for element in root.iter():
        for name in [name for name in element.attrib if name.rpartition("}")[2] == "href"]:
            if not element.attrib[name].lstrip().startswith(("#", "data:")):
                del element.attrib[name]


def _draw_at(root: ElementTree.Element, size: tuple[float, float], long_px: int) -> None:
    if _view_box(root.get("viewBox")) is None:
        root.set("viewBox", f"0 0 {size[0]:g} {size[1]:g}")
    for name, side in zip(("width", "height"), size, strict=True):
        root.set(name, str(max(1, round(side * long_px / max(size)))))


def _size(root: ElementTree.Element) -> tuple[float, float]:
    """What it says, else what its coordinates span, else a square."""
    width, height = _length(root.get("width")), _length(root.get("height"))
    span = _view_box(root.get("viewBox"))
    if span is None:
        return width or height or 100.0, height or width or 100.0
    if width and height:
        return width, height
    if height:
        return max(height * span[0] / span[1], 1e-3), height
    return (width, max(width * span[1] / span[0], 1e-3)) if width else span


def _length(text: str | None) -> float | None:
    match = _LENGTH.fullmatch(text or "")
    return min(float(match[1]) * _PX[match[2]], _LARGEST_PX) or None if match else None


def _view_box(text: str | None) -> tuple[float, float] | None:
    try:
        _, _, width, height = (float(part) for part in (text or "").replace(",", " ").split())
    except ValueError:
        return None
    is_sane = math.isfinite(width) and math.isfinite(height) and min(width, height) > 0
    return (min(width, _LARGEST_PX), min(height, _LARGEST_PX)) if is_sane else None


def _whole(size: tuple[float, float]) -> tuple[int, int]:
    return max(1, round(size[0])), max(1, round(size[1]))
