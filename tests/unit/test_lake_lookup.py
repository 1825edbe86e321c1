"""Lookups that are gathered: everybody gets their own answer, and one made after they asked."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

import pytest

from lakewatchd.errors import Busy
from lakewatchd.lake.lookup import REST, REST_MAX_S, Lookup
from lakewatchd.testing import FakeClock


class Table:
    """Answers when told to; a query takes ``query_s`` of the fake clock."""

    def __init__(self, clock: FakeClock, query_s: float = 0.005) -> None:
        self.clock, self.query_s = clock, query_s
        self.queries: list[set[str]] = []
        self.slept: list[float] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def fetch(self, keys: Collection[str]) -> Mapping[str, Sequence[str]]:
        self.queries.append(set(keys))
        await self.may_answer.wait()
        self.clock.advance(self.query_s)
        if self.error is not None:
            raise self.error
        return {key: [key.upper()] for key in keys if key != "missing"}

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def lookup(self) -> Lookup[str]:
        return Lookup(self.fetch, self.clock.monotonic, self.sleep)


@pytest.fixture
def table() -> Table:
    return Table(FakeClock())


async def test_a_lone_lookup_waits_for_nobody(table: Table) -> None:
    lookup = table.lookup()
    assert await lookup.get("a") == ["A"]
    table.clock.advance(1.0)
    assert await lookup.get("missing") == ()
    assert table.slept == []


async def test_what_is_asked_during_a_query_goes_into_the_next_one(table: Table) -> None:
    lookup = table.lookup()
    table.may_answer.clear()
    first = asyncio.create_task(lookup.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(lookup.get(key)) for key in ("a", "b", "b", "missing")]
    await asyncio.sleep(0)
    table.may_answer.set()
    assert [await task for task in (first, *rest)] == [["A"], ["A"], ["B"], ["B"], ()]
    assert table.queries == [{"a"}, {"a", "b", "missing"}], "the second a was asked after its first query had begun"


@pytest.mark.parametrize(("query_s", "rest_s"), [(0.005, REST * 0.005), (5.0, REST_MAX_S)])
async def test_the_pause_between_queries_is_in_proportion_and_bounded(
    table: Table, query_s: float, rest_s: float
) -> None:
    table.query_s = query_s
    lookup = table.lookup()
    await lookup.get("a")
    await lookup.get("b")
    assert table.slept == [pytest.approx(rest_s)]


async def test_an_error_reaches_all_who_asked_each_with_its_own(table: Table) -> None:
    table.error = Busy("the table is locked", "wait")
    lookup = table.lookup()
    answers = await asyncio.gather(*(lookup.get(key) for key in "ab"), return_exceptions=True)
    assert table.queries == [{"a", "b"}]
    assert [type(answer) for answer in answers] == [Busy, Busy]
    assert answers[0] is not answers[1]
    table.error = None
    assert await lookup.get("a") == ["A"]


async def test_who_gives_up_is_not_asked_for(table: Table) -> None:
    lookup = table.lookup()
    await lookup.get("warm")
    gave_up, stayed = (asyncio.create_task(lookup.get(key)) for key in ("gone", "here"))
    await asyncio.sleep(0)
    gave_up.cancel()
    assert await stayed == ["HERE"]
    assert table.queries[-1] == {"here"}
    assert (await asyncio.gather(gave_up, return_exceptions=True))[0].__class__ is asyncio.CancelledError
