"""The filters of a question -> one SQL condition over gold.

Parts of other files (sidecars, the moving half of a live photo) are never found, and of near-duplicates the one that
stands for them, unless all are asked for. Invariant: whatever is in a :class:`Query`, what comes out is one condition
over one row, with every value a quoted literal.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Iterable, Iterator

from lakewatchd.core.found import Query
from lakewatchd.errors import BadQuery
from lakewatchd.lake.schema import is_in, quoted
from lakewatchd.views.search import condition
from lakewatchd.views.search.calendar import EveryYear
from lakewatchd.views.search.condition import Condition
from lakewatchd.views.search.words import Asked

KM_PER_DEGREE = 111.2


def where(query: Query) -> Condition:
    """Of the filters that are given apart from the text. Raises :class:`BadQuery`."""
    return _joined(query, _conditions(query))


def where_of(asked: Asked, *, dated: bool = True) -> Condition:
    """With what was read in the text; without any period if not ``dated``."""
    query = asked.query if dated else dataclasses.replace(asked.query, since=None, until=None)
    conditions = [*_conditions(query), *(_every(every) for every in asked.every if dated)]
    if asked.no_kinds:
        conditions.append(f"NOT {is_in('kind', asked.no_kinds)}")
    if asked.place:
        place = quoted(asked.place.lower())
        conditions.append(f"(lower(city) = {place} OR lower(country) = {place})")
    return _joined(query, conditions)


def _joined(query: Query, conditions: Iterable[str]) -> Condition:
    checked = condition.check(query.where) if query.where.strip() else Condition()
    if checked.thing and not query.object:
        raise BadQuery(f"of which thing? {checked.thing} is said of things seen", "add --object dog, or object:dog")
    return Condition(" AND ".join((*conditions, *filter(None, (checked.gold,)))), checked.thing)


def _conditions(query: Query) -> Iterator[str]:
    yield "(family IS NULL OR family = '')"
    if query.folded:
        yield "(is_representative IS NULL OR is_representative)"
    if query.kinds:
        yield is_in("kind", query.kinds)
    for tag in query.tags:
        yield _has(tag)
    if query.any_tags:
        yield f"({' OR '.join(map(_has, query.any_tags))})"
    for tag in query.no_tags:
        yield f"NOT {_has(tag)}"
    for column, value in (("category", query.category), ("best_root", query.root)):
        if value:
            yield f"{column} = {quoted(value)}"
    for column, value in (("country", query.country), ("city", query.city)):
        if value:
            yield f"lower({column}) = {quoted(value.lower())}"
    if query.since:
        yield f"dated_at >= {moment(query.since)}"
    if query.until:
        yield f"dated_at < {moment(query.until)}"
    if query.near:
        yield _near(query.near)


def moment(when: dt.datetime) -> str:
    """An SQL literal. Lake times have no zone, so one is left out."""
    return f"timestamp '{when.replace(tzinfo=None).isoformat(sep=' ')}'"


def _has(tag: str) -> str:
    return f"array_has(tag_names, {quoted(tag)})"


def _every(every: EveryYear) -> str:
    months = ", ".join(map(str, every.months))
    days = ", ".join(map(str, every.days))
    condition = f"date_part('month', dated_at) IN ({months})"
    return f"({condition} AND date_part('day', dated_at) IN ({days}))" if every.days else condition


def _near(near: tuple[float, ...]) -> str:
    """Within a circle, on a map that is flat around its middle: off by less than 1 % below 500 km."""
    if len(near) != 3 or not all(map(math.isfinite, near)) or abs(near[0]) > 90 or near[2] <= 0:
        raise BadQuery("near is a latitude, a longitude and kilometres", "for example: 52.52,13.40,10")
    north, east, km = near
    east = (east + 180) % 360 - 180
    wide = max(math.cos(math.radians(north)), 0.01)
    radius = km / KM_PER_DEGREE
    up = f"(latitude - ({north!r}))"
    along = f"((180 - abs(abs(longitude - ({east!r})) - 180)) * {wide!r})"
    return f"({up} * {up} + {along} * {along} <= {radius * radius!r})"
