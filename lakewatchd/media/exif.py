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
from typing import Any

MAX_PAIRS = 64
MAX_CHARS = 200
TITLE_CHARS = 120

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
_TAGS = {
    0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software", 0x0132: "DateTime",
    0x013B: "Artist", 0x8298: "Copyright", 0x829A: "ExposureTime", 0x829D: "FNumber", 0x8822: "ExposureProgram",
    0x8827: "ISO", 0x9003: "DateTimeOriginal", 0x9004: "DateTimeDigitized", 0x9011: "OffsetTimeOriginal",
    0x9204: "ExposureBias", 0x9209: "Flash", 0x920A: "FocalLength", 0x9291: "SubsecTimeOriginal",
    0xA405: "FocalLengthIn35mm", 0xA433: "LensMake", 0xA434: "LensModel",
}  # fmt: skip
_COMMENT = 0x9286
_PNG_TEXTS = {
    "Description": "ImageDescription", "Author": "Artist", "Copyright": "Copyright", "Software": "Software",
    "Comment": "UserComment",
}  # fmt: skip
"""What PNG calls what EXIF knows too."""
_TAKEN = ("DateTimeOriginal", "DateTimeDigitized", "DateTime")
ORIENTATION = 0x0112

CONTENT_ID = "ContentIdentifier"
"""The pair by which the still and the moving half of Apple's live photos name the same moment."""

Tags = Mapping[int, object]


@dataclass(frozen=True, slots=True)
class Facts:
    captured_at: dt.datetime | None = None
    captured_from: str = ""
    """``exif``: wall-clock time by the camera's clock. ``gps``: Greenwich time by satellites."""
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None
    pairs: tuple[tuple[str, str], ...] = ()


def facts(main: Tags, detail: Tags, gps: Tags) -> Facts:
    """What the three EXIF directories say: the main one, the one of the exposure and the one of the place."""
    merged = {**main, **detail}
    pairs = {name: words for tag, name in _TAGS.items() if (words := _words(merged.get(tag)))}
    if comment := _comment(detail.get(_COMMENT)):
        pairs["UserComment"] = comment
    latitude, longitude = _degrees(gps.get(2), gps.get(1), 90.0), _degrees(gps.get(4), gps.get(3), 180.0)
    if latitude is None or longitude is None or latitude == longitude == 0.0:  # 0, 0: no fix, not the Gulf of Guinea
        latitude = longitude = None
    if moment := _apple_moment(detail.get(_MAKER_NOTE)):
        pairs[CONTENT_ID] = moment
    taken, source = _taken(pairs), "exif"
    if taken is None:
        taken, source = _satellite_time(gps), "gps"
    return Facts(
        captured_at=taken,
        captured_from=source if taken else "",
        camera=camera_of(pairs.get("Make", ""), pairs.get("Model", "")),
        latitude=latitude,
        longitude=longitude,
        pairs=tuple(pairs.items())[:MAX_PAIRS],
    )


def png_pairs(texts: Mapping[Any, object]) -> tuple[tuple[str, str], ...]:
    """What the texts of a PNG say, under the names of EXIF."""
    return tuple((name, words) for key, name in _PNG_TEXTS.items() if (words := _words(texts.get(key))))


def _comment(value: object) -> str:
    """It begins with the name of its letters, in eight bytes."""
    if not isinstance(value, bytes):
        return _words(value)
    letters = "utf-16" if value.startswith(b"UNICODE") else "utf-8"
    return clean(value[8 : 8 + 8 * MAX_CHARS].decode(letters, "replace").replace("\0", " "))


_MAKER_NOTE = 0x927C
_APPLE = b"Apple iOS\0\0\1MM"
_APPLE_MOMENT = 0x11


def _apple_moment(note: object) -> str:
    """What Apple's note of the maker calls the moment; empty for any other note."""
    if not isinstance(note, bytes) or not note.startswith(_APPLE):
        return ""
    count = int.from_bytes(note[14:16])
    for at in range(16, 16 + 12 * min(count, 200), 12):
        tag, kind, length, offset = (
            int.from_bytes(note[at + a : at + b]) for a, b in ((0, 2), (2, 4), (4, 8), (8, 12))
        )
        if tag == _APPLE_MOMENT and kind == 2 and 4 < length <= 64:  # text, longer than what would stand in its place
            return _words(note[offset : offset + length])
    return ""


def _taken(pairs: Mapping[str, str]) -> dt.datetime | None:
    """To the part of a second, where the camera tells it: pictures of a burst keep their order."""
    for name in _TAKEN:
        if (time := parse_time(pairs.get(name, ""))) is not None:
            part = pairs.get("SubsecTimeOriginal", "") if name == _TAKEN[0] else ""
            return (
                time.replace(microsecond=int(part[:6].ljust(6, "0"))) if part.isdecimal() and part.isascii() else time
            )
    return None


def _satellite_time(gps: Tags) -> dt.datetime | None:
    """Date and time that came with the position; None for half of it."""
    day, clock = parse_time(_words(gps.get(0x1D))), gps.get(7)
    if day is None or not isinstance(clock, (tuple, list)) or len(clock) != 3:
        return None
    try:
        hour, minute, second = (float(part) for part in clock)
        return day.replace(hour=int(hour), minute=int(minute), second=int(second))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


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
_DATE_HOUR_NAME = re.compile(
    r"(?<!\d)(\d{4})-(\d\d)-(\d\d) (?:at )?(\d{1,2})[.:](\d\d)[.:](\d\d)\s?([AP])M(?![A-Za-z])",
    re.ASCII | re.IGNORECASE,
)
"""As Apple writes it where clocks have twelve hours."""
_DATE_NAME = re.compile(r"(?<![A-Za-z0-9])(\d{4})([-_.]?)(\d\d)\2(\d\d)(?!\d)", re.ASCII)


def time_in_name(name: str) -> dt.datetime | None:
    """The date that cameras, phones and messengers put in a file's name (``IMG_20240712_101500.jpg``)."""
    return moment_in_name(name) or day_in_name(name)


def moment_in_name(name: str) -> dt.datetime | None:
    """A date with a time of the day, to the second."""
    for match in _DATE_HOUR_NAME.finditer(name.replace("\u202f", " ")):
        year, month, day, hour, minute, second, half = match.groups()
        twelve = int(hour) % 12 + (12 if half.upper() == "P" else 0)
        moment = _moment((year, month, day, str(twelve), minute, second), 1990, 2099)
        if moment is not None and 1 <= int(hour) <= 12:
            return moment
    for match in _DATE_TIME_NAME.finditer(name):
        year, _, month, day, hour, _, minute, second = match.groups()
        moment = _moment((year, month, day, hour, minute, second), 1990, 2099)
        if moment is not None:
            return moment
    return None


def day_in_name(name: str) -> dt.datetime | None:
    """A date alone, as its midnight."""
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


def camera_of(make: str, model: str) -> str:
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
    return clean(posixpath.splitext(name)[0], TITLE_CHARS)


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
