"""What files beside a picture say of it: XMP of photo programs, JSON of Google Takeout.

Both are written by strangers: what is read is bounded, cleaned, and a bad fact is dropped on its own. Facts go where
those of a picture go; what has no field of its own is a pair in ``Content.exif``, by the names below, each of which may
come several times. Invariant: equal bytes give equal facts, in an order that is the file's.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from lakewatchd import errors
from lakewatchd.core.content import Content
from lakewatchd.media import exif, files
from lakewatchd.media.kinds import AAE, TAKEOUT, XMP

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 4 << 20
"""Photo programs keep the strokes of a brush in XMP; a larger file is no sidecar that people have."""
MAX_WORDS = 100
"""Keywords, and people, of one picture."""
DESCRIPTION, KEYWORD, PERSON, RATING, LOCATION = "Description", "Keyword", "Person", "Rating", "Location"
"""Names of pairs. A keyword has its place in a hierarchy, ``animal/dog``; a rating is 1 to 5 stars."""
DESCRIPTION_CHARS = 2000


def is_readable(mime: str) -> bool:
    return mime in (XMP, AAE, TAKEOUT)


def describe_sidecar(stream: BinaryIO, mime: str) -> Content:
    """The facts in it. Raises ``DamagedMedia`` for what does not parse, ``TooLarge`` above :data:`MAX_BYTES`."""
    if mime == AAE:  # how Apple's Photos crops and colours a picture
        return Content()
    with files.translated():
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise errors.TooLarge(f"a sidecar of more than {MAX_BYTES >> 20} MiB")
    return xmp_facts(data) if mime == XMP else _takeout(data)


# --- XMP ---------------------------------------------------------------------------------------------------

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_IPTC = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
_NAMED = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}PersonInImage"
_TREES = (
    "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject",
    "{http://www.digikam.org/ns/1.0/}TagsList",
    "{http://ns.microsoft.com/photo/1.0}LastKeywordXMP",
)
_FACES = (
    (
        "{http://www.metadataworkinggroup.com/schemas/regions/}Name",
        "{http://www.metadataworkinggroup.com/schemas/regions/}Type",
    ),
    ("{http://ns.microsoft.com/photo/1.2/t/Region#}PersonDisplayName", ""),
)
"""Where the name of a marked region stands, and what says that it is a face."""
_DATES = (_EXIF + "DateTimeOriginal", _PHOTOSHOP + "DateCreated", _XMP + "CreateDate")
_LOCATIONS = tuple(_IPTC + name for name in ("Location",)) + tuple(
    _PHOTOSHOP + name for name in ("City", "State", "Country")
)


def xmp_facts(data: bytes) -> Content:
    """Of an XMP packet, or a file of one. Raises ``DamagedMedia`` where it is no XML, or XML with entities."""
    properties = _properties(_parse(data))

    def words(name: str) -> list[str]:
        return [text for value in properties.get(name, ()) if (text := exif.clean(value))][:MAX_WORDS]

    def first(name: str) -> str:
        return next(iter(words(name)), "")

    latitude, longitude = (_xmp_degrees(first(f"{_EXIF}GPS{axis}"), most) for axis, most in _AXES)
    taken = next((time for name in _DATES for text in words(name) if (time := exif.parse_time(text))), None)
    return Content(
        captured_at=taken,
        captured_from="sidecar" if taken else "",
        **_fix(latitude, longitude),
        title=first(_DC + "title")[: exif.TITLE_CHARS],
        author=", ".join(words(_DC + "creator")[:5])[: exif.MAX_CHARS],
        exif=_pairs(
            next(iter(properties.get(_DC + "description", ())), ""),
            _keywords(words(_DC + "subject"), [word for name in _TREES for word in words(name)]),
            [*words(_NAMED), *words(_FACE)],
            _stars(first(_XMP + "Rating")),
            ", ".join(dict.fromkeys(word for name in _LOCATIONS for word in words(name))),
        ),
    )


_AXES = (("Latitude", 90.0), ("Longitude", 180.0))
_FACE = "face"


def _parse(data: bytes) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(data.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise errors.DamagedMedia(f"no XMP: {exif.clean(str(exc)) or type(exc).__name__}") from exc
    return root


def _properties(root: Element) -> Mapping[str, list[str]]:
    """Texts of every property of the picture, by name; of one in several languages the default, else the first.

    A property is an attribute or a child of an ``rdf:Description`` that is no part of another property.
    """
    found: dict[str, list[str]] = {}
    for rdf in root.iter(_RDF + "RDF"):
        for description in rdf.findall(_RDF + "Description"):
            for name, value in description.attrib.items():
                found.setdefault(name, []).append(value)
            for child in description:
                found.setdefault(child.tag, []).extend(_values(child))
    found[_FACE] = list(_faces(root))
    return found


def _values(element: Element) -> list[str]:
    texts = [_text(item) for item in element.iterfind(f"*/{_RDF}li")]
    if element.find(_RDF + "Alt") is not None:
        return texts[:1]
    return texts or [_text(element)]


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _faces(root: Element) -> Iterator[str]:
    for element in root.iter():
        for name, type_ in _FACES:
            is_face = not type_ or (element.get(type_) or _text_of(element, type_)).lower() in ("face", "")
            if is_face and (text := element.get(name) or _text_of(element, name)):
                yield text


def _text_of(element: Element, name: str) -> str:
    child = element.find(name)
    return "" if child is None else _text(child)


def _keywords(flat: list[str], trees: list[str]) -> list[str]:
    """With their place in a hierarchy where one is told: programs write each word of it among the flat ones too."""
    paths = ["/".join(filter(None, (part.strip() for part in re.split(r"[|/]", tree)))) for tree in trees]
    told = {part.casefold() for path in paths for part in path.split("/")}
    return [path for path in paths if path] + [word for word in flat if word.casefold() not in told]


_DEGREES = re.compile(r"(\d{1,3}),(\d{1,2})(?:,(\d{1,2})|(\.\d{1,12}))?([NSEW])", re.ASCII)


def _xmp_degrees(text: str, most: float) -> float | None:
    """``47,22.614N`` or ``47,22,37N``, else a plain number -> signed decimal degrees within ``most``."""
    match = _DEGREES.fullmatch(text.upper())
    if match is None:
        return _number(text, most)
    degrees = int(match[1]) + float(match[2] + (match[4] or "")) / 60 + int(match[3] or 0) / 3600
    return round(-degrees if match[5] in "SW" else degrees, 7) if degrees <= most else None


def _number(value: object, most: float) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return None
    return round(number, 7) if math.isfinite(number) and abs(number) <= most else None


# --- Google Takeout ----------------------------------------------------------------------------------------


def _takeout(data: bytes) -> Content:
    """``photoTakenTime`` is in Greenwich; ``title`` is only the name of the file."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise errors.DamagedMedia(f"no JSON: {exif.clean(str(exc))}") from exc
    if not isinstance(said, dict):
        raise errors.DamagedMedia("not what Google Takeout says of a picture")
    taken = _epoch(_part(said, "photoTakenTime").get("timestamp"))
    fixes = (_fix(*(_number(_part(said, name).get(axis), most) for axis, most in _TAKEOUT_AXES)) for name in _GEO)
    people = said.get("people")
    persons = people[:MAX_WORDS] if isinstance(people, list) else []
    names = [exif.clean(_string(person.get("name"))) for person in persons if isinstance(person, dict)]
    return Content(
        captured_at=taken,
        captured_from="takeout" if taken else "",
        **next((fix for fix in fixes if fix), {}),
        exif=_pairs(
            _string(said.get("description")),
            ["favourite"] if said.get("favorited") is True else [],
            [name for name in names if name],
            0,
            "",
        ),
    )


_GEO = ("geoData", "geoDataExif")
_TAKEOUT_AXES = (("latitude", 90.0), ("longitude", 180.0))


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _epoch(value: object) -> dt.datetime | None:
    """Seconds since 1970, perhaps before, as the time in Greenwich."""
    try:
        seconds = int(str(value)[:16])
        return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)  # noqa: DTZ001 - what the zone is, is not known
    except (ValueError, OverflowError):
        return None


# --- both --------------------------------------------------------------------------------------------------


def _fix(latitude: float | None, longitude: float | None) -> dict[str, Any]:
    """The fields of a position; none for half of one, and for 0, 0, which means that there is none."""
    if latitude is None or longitude is None or latitude == longitude == 0.0:
        return {}
    return {"latitude": latitude, "longitude": longitude}


def _stars(text: str) -> int:
    """0: not rated, or rejected."""
    number = _number(text, 5.0) or 0.0
    return max(0, int(number))


def _pairs(
    description: str, keywords: list[str], people: list[str], stars: int, location: str
) -> tuple[tuple[str, str], ...]:
    said = exif.clean(description, DESCRIPTION_CHARS)
    pairs = [(DESCRIPTION, said)] if said else []
    pairs += [(KEYWORD, word) for word in dict.fromkeys(keywords[:MAX_WORDS])]
    pairs += [(PERSON, name) for name in dict.fromkeys(people[:MAX_WORDS])]
    pairs += [(RATING, str(stars))] if stars else []
    pairs += [(LOCATION, location[: exif.MAX_CHARS])] if location else []
    return tuple(pairs)
