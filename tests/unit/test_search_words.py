"""What is read in a question, and what is left alone: the times, the fields, the negations."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakewatchd.core.asset import Kind
from lakewatchd.core.found import Query
from lakewatchd.views.search import calendar, words
from lakewatchd.views.search.calendar import EveryYear, Period
from lakewatchd.views.search.words import Asked

TODAY = dt.date(2026, 11, 21)  # a Saturday


def read(text: str, **given_apart: object) -> Asked:
    return words.read(Query(text=text, **given_apart), TODAY)  # type: ignore[arg-type]


def midnight(year: int, month: int, day: int) -> dt.datetime:
    return dt.datetime.combine(dt.date(year, month, day), dt.time())


def days(text: str) -> tuple[str, str]:
    """The one period in ``text``."""
    (said,) = calendar.find(text, TODAY)
    assert isinstance(said.time, Period)
    return str(said.time.since or ""), str(said.time.until or "")


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2019", "2019-01-01", "2020-01-01"),
        ("dogs in 2019", "2019-01-01", "2020-01-01"),
        ("last summer", "2026-06-01", "2026-09-01"),
        ("letzten Sommer", "2026-06-01", "2026-09-01"),
        ("summer of 2019", "2019-06-01", "2019-09-01"),
        ("Winter 2019", "2019-12-01", "2020-03-01"),
        ("christmas 2021", "2021-12-24", "2021-12-27"),
        ("last christmas", "2025-12-24", "2025-12-27"),  # this year's is not over
        ("Ostern 2024", "2024-03-29", "2024-04-02"),
        ("yesterday", "2026-11-20", "2026-11-21"),
        ("vorgestern", "2026-11-19", "2026-11-20"),
        ("last week", "2026-11-09", "2026-11-16"),
        ("diese Woche", "2026-11-16", "2026-11-23"),
        ("last weekend", "2026-11-14", "2026-11-16"),
        ("this month", "2026-11-01", "2026-12-01"),
        ("vor drei Tagen", "2026-11-18", "2026-11-19"),
        ("2 months ago", "2026-09-01", "2026-10-01"),
        ("the last two weeks", "2026-11-07", "2026-11-22"),
        ("between 2018 and 2020", "2018-01-01", "2021-01-01"),
        ("zwischen Mai 2018 und Juni 2018", "2018-05-01", "2018-07-01"),
        ("2018-2020", "2018-01-01", "2021-01-01"),
        ("since March 2020", "2020-03-01", ""),
        ("after 2019", "2020-01-01", ""),
        ("vor 2015", "", "2015-01-01"),
        ("bis 2015", "", "2016-01-01"),
        ("on 4 March 2021", "2021-03-04", "2021-03-05"),
        ("March 4th, 2021", "2021-03-04", "2021-03-05"),
        ("am 4.3.2021", "2021-03-04", "2021-03-05"),
        ("2021-03-04", "2021-03-04", "2021-03-05"),
        ("juin 2018", "2018-06-01", "2018-07-01"),
        ("the 1990s", "1990-01-01", "2000-01-01"),
        ("in den 90er Jahren", "1990-01-01", "2000-01-01"),
    ],
)
def test_times_in_words(text: str, since: str, until: str) -> None:
    assert days(text) == (since, until)


@pytest.mark.parametrize(
    "text",
    ["may be", "march of the penguins", "christmas tree", "summer dress", "IMG_2019.jpg", "1/2000", "blade runner 2049",
     "version 2019.1", "room 2019b", "31.2.2021", "2021-13-01", "sunday", "90s", "in the house", "fall down"],
)  # fmt: skip
def test_what_only_looks_like_a_time_stays_words(text: str) -> None:
    assert list(calendar.find(text, TODAY)) == []


def test_days_of_any_year() -> None:
    assert read("beach in May").every == (EveryYear((5,)),)
    assert read("im Winter").every == (EveryYear((12, 1, 2)),)
    assert read("at christmas").every == (EveryYear((12,), (24, 25, 26)),)


def test_a_question_is_taken_apart() -> None:
    asked = read('photos of dogs last summer -beach "blue house" tag:Garden not rain')
    assert (asked.words, asked.phrases, asked.without) == (
        ("dogs", "blue", "house"),
        ("blue house",),
        ("beach", "rain"),
    )
    assert asked.query.kinds == (Kind.IMAGE,) and asked.query.tags == ("garden",)
    assert asked.query.since == midnight(2026, 6, 1) and asked.query.until == midnight(2026, 9, 1)
    assert {field for field, _, _ in asked.understood} == {"kinds", "tags", "since", "until", "without"}


@pytest.mark.parametrize("text", ["last summer", "photos of dogs", "-beach", "tag:garden", "not rain", "2019"])
def test_in_quotes_everything_is_only_words(text: str) -> None:
    asked = read(f'"{text}"')
    assert asked.phrases == (text,) and asked.understood == () and asked.query == Query(text=f'"{text}"')


@pytest.mark.parametrize("text", ["to be or not to be", "it is 12:30", "C:\\Users", "x-ray", "e-mail", "nothing: here"])
def test_what_only_looks_like_an_order_stays_words(text: str) -> None:
    assert read(text).understood == ()


def test_one_thing_after_another() -> None:
    asked = read('"goal" after "kick-off" within 2 minutes')
    assert (asked.query.after, asked.query.within_s, asked.phrases) == ("kick-off", 120.0, ("goal",))
    assert read("goal after the break").query.after == ""
    assert read("dinner after 2019").query.after == ""


def test_what_was_given_apart_holds_as_well() -> None:
    asked = read("in 2019", since=midnight(2019, 6, 1), tags=("dog",))
    assert asked.query.since == midnight(2019, 6, 1) and asked.query.until == midnight(2020, 1, 1)
    assert asked.query.tags == ("dog",)
    assert read("in 2018", since=midnight(2019, 6, 1)).understood == ()  # no day would be left


def test_a_kind_or_a_day_that_does_not_exist_is_told() -> None:
    assert "no kind 'flim'" in read("kind:flim").advice[0]
    assert "is no day" in read("since:soon").advice[0]


@given(st.text(max_size=80))
@example('"')
@example('-"')
@example("tag:")
@example("\ud800 \x00\x02\x03")
@example("between 2018 and 31.2.2019")
def test_any_text_can_be_read_and_no_word_is_lost(text: str) -> None:
    asked = read(text)
    said = " ".join([asked.text, *asked.phrases, *asked.without, *(part for told in asked.understood for part in told)])
    cleaned = "".join(char if char.isalnum() else " " for char in words.clean(text))
    for word in cleaned.split():
        assert word in "".join(char if char.isalnum() else " " for char in said), (word, asked)


@given(
    st.dates(dt.date(1900, 1, 1), dt.date(2090, 1, 1)),
    st.sampled_from(
        [
            "last summer",
            "letzten Winter",
            "this week",
            "yesterday",
            "3 months ago",
            "last christmas",
            "last monday",
            "since 2019",
            "last 90 days",
            "the 1980s",
            "letztes Wochenende",
            "vor zwei Jahren",
            "last february",
        ]
    ),
)
def test_every_period_begins_before_it_ends_on_any_day(today: dt.date, text: str) -> None:
    (said,) = calendar.find(text, today)
    assert isinstance(said.time, Period)
    assert said.time.since is not None and (said.time.until is None or said.time.since < said.time.until)
    if text.startswith(("last ", "letzte")) and "days" not in text:
        assert said.time.until is not None and said.time.until <= today


@given(st.integers(1826, 2100))
def test_easter_is_a_sunday_in_spring(year: int) -> None:
    sunday = calendar.easter(year)
    assert sunday.weekday() == 6 and dt.date(year, 3, 22) <= sunday <= dt.date(year, 4, 25)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("IMG_20250830", ("IMG_20250830",)), ("photos of p17.jpg", ("p17.jpg",)), ("bills/2024", ("bills/2024",)),
        ("invoice-2024 of the roof", ("invoice-2024",)), ("ill-disposed young man", ()), ("Mr. John Dashwood", ()),
        ("café in 2019", ()), ("l'été", ()),
    ],
)  # fmt: skip
def test_words_that_look_like_names_of_files(text: str, names: tuple[str, ...]) -> None:
    assert read(text).names == names


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("when was the dog vaccinated", True), ("Wann kommt der Zug?", True), ("how do I bake", True),
        ("a dog on the lawn", False), ("how many photos of dogs", False), ("", False), ("whenever", False),
    ],
)  # fmt: skip
def test_questions_that_no_picture_answers(text: str, asks: bool) -> None:
    assert read(text).asks is asks
