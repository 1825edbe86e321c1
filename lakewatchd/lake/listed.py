"""All assets that fulfil a condition, unranked: how many, page by page, by month, and of what.

``where`` is always a condition in SQL over the columns of ``gold_assets``, checked by who took it from a person; empty
means all that is served. Invariant: pages that follow each other by :class:`Cursor` hold each asset once, whatever is
added meanwhile.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lakewatchd.core.asset import AssetId
from lakewatchd.lake import codec
from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.reader import GOLD_VIEW, LakeReader
from lakewatchd.lake.rows import GoldRow
from lakewatchd.lake.schema import GOLD, quoted

if TYPE_CHECKING:
    import pyarrow as pa

Order = Literal["newest", "oldest"]

_WIDER = 16
"""Times as many assets as the last stretch of time had, where it held too few for a page."""
_FRESH_S = 30.0
"""As old as the counts may be that a stretch of time is chosen by."""


@dataclass(frozen=True, slots=True)
class Facets:
    """How many of the assets have what, most first."""

    total: int = 0
    kinds: tuple[tuple[str, int], ...] = ()
    categories: tuple[tuple[str, int], ...] = ()
    tags: tuple[tuple[str, int], ...] = ()
    countries: tuple[tuple[str, int], ...] = ()
    cities: tuple[tuple[str, str, int], ...] = ()
    """Country, city, assets."""
    months: tuple[tuple[int, int, int], ...] = ()
    """Year, month, assets; newest first."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last asset of a page: the next one begins after it."""

    dated_at: dt.datetime
    asset_id: AssetId


class Listing:
    def __init__(self, lake: LakeReader) -> None:
        self._lake = lake
        self._months: list[tuple[int, int, int]] = []
        self._counted_at = float("-inf")

    async def count(self, where: str = "") -> int:
        return await self._lake.count(GOLD, where or "true")

    async def page(
        self, where: str = "", *, order: Order = "newest", after: Cursor | None = None, limit: int = 100
    ) -> list[GoldRow]:
        """A page of a list by date, less ``text`` and ``vector``; equal dates by id."""
        from lancedb.query import ColumnOrdering

        table = await self._lake.table(GOLD)
        if table is None:
            return []
        is_newest = order == "newest"
        parts = [f"({where})"] if where else []
        if after is not None:
            at, beyond = _moment(after.dated_at), "<" if is_newest else ">"
            parts.append(f"(dated_at {beyond} {at} OR (dated_at = {at} AND asset_id > {quoted(after.asset_id)}))")
        by = [ColumnOrdering(column_name="dated_at", ascending=not is_newest), ColumnOrdering(column_name="asset_id")]
        has = (await table.schema()).names
        for stretch in await self._stretches(is_newest, after, limit):
            with translated("listing assets"):
                query = table.query().select([name for name in GOLD_VIEW if name in has]).order_by(by).limit(limit)
                conditions = " AND ".join([*stretch, *parts])
                rows = await (query.where(conditions) if conditions else query).to_arrow()
            if len(rows) >= limit or not stretch:
                return list(codec.gold(rows))
        return []

    async def _stretches(self, is_newest: bool, after: Cursor | None, limit: int) -> list[list[str]]:
        """Conditions for ever longer stretches of time, from the begin of a page on; the last one is none.

        Sorting a stretch that holds the page costs what it holds; sorting the whole lake, what that holds.
        """
        months = await self._known_months()
        if not is_newest:
            months = months[::-1]
        if after is not None:
            at = (after.dated_at.year, after.dated_at.month)
            months = [one for one in months if (one[:2] <= at if is_newest else one[:2] >= at)]
        found, enough, held = [], 2 * limit, 0
        for year, month, count in months:
            if is_newest:
                held += count
            if held >= enough:
                enough = held * _WIDER
                edge = _moment(dt.datetime(year, month, 1))  # noqa: DTZ001 - wall-clock time
                stretch = [f"dated_at {'>=' if is_newest else '<'} {edge}"]
                if after is not None:
                    stretch.append(f"dated_at {'<=' if is_newest else '>='} {_moment(after.dated_at)}")
                found.append(stretch)
            if not is_newest:  # the begin of a month bounds what came before it
                held += count
        return [*found, []]

    async def _known_months(self) -> list[tuple[int, int, int]]:
        if time.monotonic() - self._counted_at > _FRESH_S:
            self._months, self._counted_at = await self.timeline(), time.monotonic()
        return self._months

    async def facets(self, where: str = "", *, top: int = 100) -> Facets:
        """Of all assets that are so: kinds, categories, the ``top`` tags and cities, countries and months."""
        kinds, categories, tags, places, months = (Counter[Any]() for _ in range(5))
        names = ["kind", "category", "tag_names", "country", "city", "dated_at"]
        async for rows in self._lake.batches(GOLD, names, where or None):
            counted = await asyncio.to_thread(_values, rows)
            for counts, more in zip((kinds, categories, tags, places, months), counted, strict=True):
                counts.update(more)
        countries = Counter[str]()
        for place, count in places.items():
            countries[place.partition(_SEPARATOR)[0]] += count
        named = ((*place.split(_SEPARATOR, 1), count) for place, count in places.most_common())
        cities = ((country, city, count) for country, city, count in named if city)
        return Facets(
            total=kinds.total(),
            kinds=_counted(kinds),
            categories=_counted(categories),
            tags=_counted(tags)[:top],
            countries=_counted(countries),
            cities=tuple(cities)[:top],
            months=tuple((year, month, count) for (year, month), count in sorted(months.items(), reverse=True)),
        )

    async def timeline(self, where: str = "") -> list[tuple[int, int, int]]:
        """Year, month, how many assets; newest first."""
        months = Counter[tuple[int, int]]()
        async for rows in self._lake.batches(GOLD, ["dated_at"], where or None):
            months.update(_months(rows["dated_at"]))
        return [(year, month, count) for (year, month), count in sorted(months.items(), reverse=True)]


def _moment(when: dt.datetime) -> str:
    return f"timestamp '{when.isoformat(sep=' ')}'"


_SEPARATOR = "\x1f"


def _values(rows: pa.RecordBatch) -> Iterator[dict[Any, int]]:
    """How often each kind, category, tag, country with city, and month is there."""
    import pyarrow.compute as pc

    yield _tally(rows["kind"])
    yield _tally(rows["category"])
    yield _tally(pc.list_flatten(rows["tag_names"]))
    yield _tally(pc.binary_join_element_wise(rows["country"], rows["city"], _SEPARATOR, null_handling="replace"))
    yield _months(rows["dated_at"])


def _months(dates: pa.Array) -> dict[tuple[int, int], int]:
    import pyarrow.compute as pc

    numbers = pc.add(pc.multiply(pc.year(dates), 12), pc.subtract(pc.month(dates), 1))
    return {(number // 12, number % 12 + 1): count for number, count in _tally(numbers).items() if number is not None}


def _tally(values: pa.Array) -> dict[Any, int]:
    import pyarrow.compute as pc

    counted = pc.value_counts(values)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _counted(counts: Counter[Any]) -> tuple[tuple[str, int], ...]:
    named = ((name, count) for name, count in counts.items() if name)
    return tuple(sorted(named, key=lambda item: (-item[1], item[0])))
