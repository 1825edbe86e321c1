"""When, where and with what a picture was taken: from EXIF, else from its name.

EXIF is written by strangers: every value is checked, shortened and cleaned, and a bad one is dropped on its
own. Times are wall-clock times without a zone, as cameras and people write them.
"""

from __future__ import annotations

import datetime as dt
import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_PAIRS = 64
MAX_CHARS = 200

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
_TAGS = {
    0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software", 0x0132: "DateTime",
    0x013B: "Artist", 0x8298: "Copyright", 0x829A: "ExposureTime", 0x829D: "FNumber", 0x8822: "ExposureProgram",
    0x8827: "ISO", 0x9003: "DateTimeOriginal", 0x9004: "DateTimeDigitized", 0x9011: "OffsetTimeOriginal",
    0x9204: "ExposureBias", 0x9209: "Flash", 0x920A: "FocalLength", 0x9291: "SubsecTimeOriginal",
    0xA405: "FocalLengthIn35mm", 0xA433: "LensMake", 0xA434: "LensModel",
}  # fmt: skip
_TAKEN = ("DateTimeOriginal", "DateTimeDigitized", "DateTime")
ORIENTATION = 0x0112

Tags = Mapping[int, object]


@dataclass(frozen=True, slots=True)
class Facts:
    captured_at: dt.datetime | None = None
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None
    pairs: tuple[tuple[str, str], ...] = ()


def facts(main: Tags, detail: Tags, gps: Tags) -> Facts:
    """What the three EXIF directories say: the main one, the one of the exposure and the one of the place."""
    merged = {**main, **detail}
    pairs = {name: words for tag, name in _TAGS.items() if (words := _words(merged.get(tag)))}
    latitude, longitude = _degrees(gps.get(2), gps.get(1), 90.0), _degrees(gps.get(4), gps.get(3), 180.0)
    if latitude is None or longitude is None or latitude == longitude == 0.0:  # 0, 0: no fix, not the Gulf of Guinea
        latitude = longitude = None
    taken = (parse_time(pairs.get(name, "")) for name in _TAKEN)
    return Facts(
        captured_at=next((time for time in taken if time is not None), None),
        camera=_camera(pairs.get("Make", ""), pairs.get("Model", "")),
        latitude=latitude,
        longitude=longitude,
        pairs=tuple(pairs.items())[:MAX_PAIRS],
    )


_TIME = re.compile(
    r"\s*(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})(?:[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?(?![\d:])", re.ASCII
)


def parse_time(text: str) -> dt.datetime | None:
    """``2024:07:12 10:15:00`` and its common variants; None for zeros, blanks, fragments and impossible dates."""
    match = _TIME.match(text)
    return _moment(match.groups(), 1826, 2100) if match else None


_DATE_TIME_NAME = re.compile(
    r"(?<!\d)(\d{4})([-_.:]?)(\d\d)\2(\d\d)(?:[-_ T.]| at |, )?\s?"
    r"(\d\d)([-_.:h]?)(\d\d)(?:[-_.:m]?)(\d\d)(?:[-_.]?\d{3})?(?!\d)",
    re.ASCII,
)
_DATE_NAME = re.compile(r"(?<![A-Za-z0-9])(\d{4})([-_.]?)(\d\d)\2(\d\d)(?!\d)", re.ASCII)


def time_in_name(name: str) -> dt.datetime | None:
    """The date that cameras, phones and messengers put in a file's name (``IMG_20240712_101500.jpg``)."""
    for match in _DATE_TIME_NAME.finditer(name):
        year, _, month, day, hour, _, minute, second = match.groups()
        moment = _moment((year, month, day, hour, minute, second), 1990, 2099)
        if moment is not None:
            return moment
    for match in _DATE_NAME.finditer(name):
        year, _, month, day = match.groups()
        moment = _moment((year, month, day), 1990, 2099)
        if moment is not None:
            return moment
    return None


def _moment(parts: tuple[str | None, ...], first_year: int, last_year: int) -> dt.datetime | None:
    numbers = [int(part) for part in parts if part is not None]
    year, month, day, hour, minute, second = numbers + [0] * (6 - len(numbers))
    if not first_year <= year <= last_year:
        return None
    try:
        return dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - wall-clock, no zone is known
    except ValueError:
        return None


def _degrees(value: object, reference: object, limit: float) -> float | None:
    """(degrees, minutes, seconds) and N/S/E/W -> signed decimal degrees within ``limit``, else None."""
    if not isinstance(value, (tuple, list)) or not 1 <= len(value) <= 3:
        return None
    try:
        parts = [float(part) for part in value]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    degrees: float = sum(part / (1, 60, 3600)[power] for power, part in enumerate(parts))
    if not math.isfinite(degrees) or min(parts) < 0 or degrees > limit:
        return None
    south_or_west = _words(reference).upper()[:1] in ("S", "W")
    return round(-degrees if south_or_west else degrees, 7)


def _camera(make: str, model: str) -> str:
    """``Canon`` and ``Canon EOS R5`` -> ``Canon EOS R5``."""
    if make and model.lower().startswith(make.split()[0].lower()):
        return model
    return f"{make} {model}".strip()


_UNWANTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def clean(text: str, limit: int = MAX_CHARS) -> str:
    """One line without control characters, at most ``limit`` characters."""
    return " ".join(_UNWANTED.sub(" ", text[: 4 * limit]).split())[:limit]


def title_of(name: str) -> str:
    """A file name as a title: without its extension, fit to print."""
    return clean(posixpath.splitext(name)[0], 120)


def _words(value: object) -> str:
    if isinstance(value, bytes):
        return clean(value[: 4 * MAX_CHARS].split(b"\0")[0].decode("utf-8", "replace"))
    if isinstance(value, str):
        return clean(value.split("\0")[0])
    if isinstance(value, (tuple, list)):
        return clean(" ".join(_words(part) for part in value[:8]))
    if value is None:
        return ""
    return _number(value)


def _number(value: object) -> str:
    """``1/250`` for short exposures, else at most four digits after the point; nothing for NaN and infinity."""
    try:
        number = float(value)  # type: ignore[arg-type]  # int, float or Pillow's IFDRational
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return ""
    if not math.isfinite(number):
        return ""
    if 1e-6 < number < 0.3:
        return f"1/{round(1 / number)}"
    return f"{number:.4f}".rstrip("0").rstrip(".") if abs(number) < 1e12 else f"{number:g}"
