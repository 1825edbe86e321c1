"""Conditions that people write: what they may say, and all that they may not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.core.found import Query
from lakewatchd.errors import BadQuery
from lakewatchd.views.search import filters
from lakewatchd.views.search.condition import MAX_CHARS, Condition, check


@pytest.mark.parametrize(
    ("where", "gold"),
    [
        ("kind = 'image'", "(kind = 'image')"),
        ("captured_at > '2023-01-01'", "(dated_at > timestamp '2023-01-01 00:00:00')"),
        ("date between '2019' and '2020-06'",
         "(dated_at BETWEEN timestamp '2019-01-01 00:00:00' AND timestamp '2020-06-01 00:00:00')"),
        ("path LIKE '%.png' and size<5e6", "(best_path LIKE '%.png') AND (size_bytes < 5e6)"),
        ("place like '%Oslo%'", "(btrim(concat(city, ', ', country), ', ') LIKE '%Oslo%')"),
        ("title = 'Anna''s; DROP TABLE x --'", "(title = 'Anna''s; DROP TABLE x --')"),
        ("array_has(tags, 'dog') OR year = 2019",
         "(array_has ( tag_names , 'dog' ) OR date_part('year', dated_at) = 2019)"),
    ],
)  # fmt: skip
def test_conditions_as_the_lake_takes_them(where: str, gold: str) -> None:
    assert check(where) == Condition(gold)


def test_what_is_said_of_a_thing_is_told_apart() -> None:
    assert check("area > 0.2 AND kind = 'image' AND score >= 0.5") == Condition(
        "(kind = 'image')", "(area > 0.2) AND (score >= 0.5)"
    )
    with pytest.raises(BadQuery, match="mixes the file and the thing"):
        check("area > 0.2 OR kind = 'image'")
    with pytest.raises(BadQuery, match="of which thing"):
        filters.where(Query(where="area > 0.2"))


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        ("kidn = 'image'", "no column kidn", "kind"),
        ("lowr(title) = 'x'", "no function lowr", "lower"),
        ("kind = image", "no column image", "single quotes"),
        ('kind = "image"', "double quotes", "single quotes"),
        ("title = 'x", "a quote is not closed", "twice"),
        ("(kind = 'image'", "a bracket is not closed", ""),
        ("kind = 'image')", "a bracket too many", ""),
        ("kind = 'image' AND", "AND needs", ""),
        ("1=1; DROP TABLE gold", "no place", ""),
        ("kind = 'image' -- hidden", "no column hidden", ""),
        ("kind = 'image' /* x */", "no column x", ""),
        ("asset_id IN (SELECT asset_id FROM gold_assets)", "no function SELECT|no column SELECT", ""),
        ("read_csv('/etc/passwd')", "no function read_csv", ""),
        ("getenv('HOME') = 'x'", "no function getenv", ""),
        ("title = $1", "no place", ""),
        ("title = `x`", "no place", ""),
        ("dated_at > timestamp 'soon'", "is no time", ""),
        ("date > '2020-13'", "is no time", ""),
        ("a" * (MAX_CHARS + 1), "longer than", ""),
    ],
)
def test_what_is_refused_and_how_it_is_told(where: str, message: str, hint: str) -> None:
    with pytest.raises(BadQuery, match=message) as refused:
        check(where)
    assert hint in (refused.value.hint or "")


@given(
    st.lists(
        st.sampled_from(
            [
                "kind",
                "=",
                "'a'",
                "(",
                ")",
                "AND",
                "OR",
                "NOT",
                "select",
                "from",
                ";",
                "--",
                "/*",
                "union",
                "drop",
                "area",
                "1",
                "lower",
                ",",
                "'",
                '"',
                "between",
                "\\",
                "{",
                "x'00'",
                "::",
                "||",
            ]
        ),
        max_size=12,
    )
)
def test_only_known_words_come_through(parts: list[str]) -> None:
    try:
        passed = check(" ".join(parts))
    except BadQuery:
        return
    sql = re.sub("'(?:[^']|'')*'", "", f"{passed.gold} {passed.thing}".lower())  # a text may say anything
    assert not any(bad in sql for bad in ("select", "from", ";", "/*", "union", "drop", "||", "\\", "{"))


def test_values_of_filters_cannot_leave_their_quotes() -> None:
    hostile = "x' OR '1'='1"
    sql = filters.where(Query(tags=(hostile,), category=hostile, city=hostile, root=hostile)).gold
    assert sql.lower().count("'x'' or ''1''=''1'") == 4


@pytest.mark.parametrize("near", [(1.0, 2.0), (91.0, 0.0, 1.0), (0.0, 0.0, -1.0), (float("nan"), 0.0, 1.0)])
def test_a_place_that_is_none_is_refused(near: tuple[float, ...]) -> None:
    with pytest.raises(BadQuery):
        filters.where(Query(near=near))
