"""Times in words: ``last summer``, ``in May``, ``between 2018 and 2020``, ``Weihnachten 2021``, ``vor drei Tagen``.

English and German, months and years in a few languages more. A word that is more often something else (``may``,
``march``, ``summer``, ``christmas``) is a time only beside a year, a preposition or ``last``. Everything that is not
surely a time stays a word. Invariant: what is read covers whole days, begins before it ends, and depends on nothing but
the text and the day it was typed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

_DAY = dt.timedelta(days=1)
FIRST_YEAR, LAST_YEAR = 1826, 2100
"""The first photograph; later than any file."""

MONTHS = (
    "january jan januar jänner janvier enero gennaio januari janeiro",
    "february feb februar février fevrier febrero febbraio februari fevereiro",
    "march mar märz maerz mars marzo maart março",
    "april apr avril abril aprile",
    "may mai mayo maggio mei maio",
    "june jun juni juin junio giugno junho",
    "july jul juli juillet julio luglio julho",
    "august aug août aout agosto augustus",
    "september sep sept septembre septiembre settembre setembro",
    "october oct oktober okt octobre octubre ottobre outubro",
    "november nov novembre noviembre novembro",
    "december dec dezember dez décembre decembre diciembre dicembre dezembro",
)
SEASONS = {"spring": 3, "frühling": 3, "frühjahr": 3, "summer": 6, "sommer": 6,
           "autumn": 9, "fall": 9, "herbst": 9, "winter": 12}  # fmt: skip
"""The month in which each begins, north of the equator; it lasts for three."""
HOLIDAYS = {"christmas": (12, 24, 3), "xmas": (12, 24, 3), "weihnachten": (12, 24, 3), "new year's eve": (12, 31, 1),
            "silvester": (12, 31, 1), "halloween": (10, 31, 1), "easter": (0, -2, 4), "ostern": (0, -2, 4)}  # fmt: skip
"""Month, day, days; easter is counted from its Sunday."""
NUMBERS = (
    "zero null|one a an ein eine einem einer|two zwei|three drei|four vier|five fünf|six sechs|seven sieben|"
    "eight acht|nine neun|ten zehn|eleven elf|twelve zwölf"
)
_MONTH = {name: number for number, names in enumerate(MONTHS, 1) for name in names.split()}
_NUMBER = {name: number for number, names in enumerate(NUMBERS.split("|")) for name in names.split()}
_WEEKDAYS = {name: number for number, names in enumerate((
    "monday montag", "tuesday dienstag", "wednesday mittwoch", "thursday donnerstag", "friday freitag",
    "saturday samstag sonnabend", "sunday sonntag"))
    for name in names.split()}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` until before ``until``; None: open."""

    since: dt.date | None
    until: dt.date | None


@dataclass(frozen=True, slots=True)
class EveryYear:
    """Days of any year."""

    months: tuple[int, ...]
    days: tuple[int, ...] = ()
    """Of the one month; empty: all of them."""


Time = Period | EveryYear


@dataclass(frozen=True, slots=True)
class Said:
    """A time, and where in the text it is."""

    time: Time
    start: int
    end: int
    is_bare_year: bool = False
    """A number that may be part of a name as well."""


def find(text: str, today: dt.date) -> Iterator[Said]:
    """The times in ``text``, from the left, none of them overlapping another."""
    at = 0
    while at < len(text):
        found = _grammar().search(text, at)
        if found is None:
            return
        said = _read(found, today)
        if said is None:
            at = found.end()
            continue
        yield said
        at = said.end


def easter(year: int) -> dt.date:
    """Its Sunday, by the Gregorian calendar (the algorithm of Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    ell = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * ell) // 433
    month = (h + ell - 7 * m + 90) // 25
    return dt.date(year, month, (h + ell - 7 * m + 33 * month + 19) % 32)


# --- the grammar -------------------------------------------------------------------------------------------


def _any(words: Iterator[str] | list[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_YEAR = r"(?:1[89]\d\d|20\d\d|2100)"
_MONTHS_RE, _SEASONS_RE, _HOLIDAYS_RE = _any(list(_MONTH)), _any(list(SEASONS)), _any(list(HOLIDAYS))
_LAST = r"last|past|previous|letzte[nrsm]?|vorige[nrsm]?|vergangene[nrsm]?"
_THIS = r"this|diese[nrsm]?"
_COUNT = rf"\d{{1,3}}|{_any(list(_NUMBER))}"
_UNITS = r"(?:days?|weeks?|months?|years?|tage?n?|wochen?|monate?n?|jahre?n?)"
_MOMENT = (
    rf"(?:{_YEAR}-\d\d?-\d\d?"
    rf"|\d\d?\.\s?\d\d?\.\s?{_YEAR}"
    rf"|{_YEAR}-(?:0[1-9]|1[0-2])(?![\d-])"
    rf"|\d\d?(?:st|nd|rd|th|\.)?\s(?:of\s)?(?:{_MONTHS_RE})\.?,?\s{_YEAR}"
    rf"|(?:{_MONTHS_RE})\.?\s\d\d?(?:st|nd|rd|th)?,?\s{_YEAR}"
    rf"|(?:{_MONTHS_RE})\.?\s(?:of\s)?{_YEAR}"
    rf"|(?:{_SEASONS_RE})\s(?:of\s)?{_YEAR}"
    rf"|(?:{_HOLIDAYS_RE})\s(?:of\s)?{_YEAR}"
    rf"|(?:{_LAST})\s(?:{_COUNT})\s{_UNITS}"
    rf"|(?:{_LAST}|{_THIS})\s(?:week|month|year|weekend|woche|monat|jahr|wochenende|{_MONTHS_RE}|{_SEASONS_RE}|"
    rf"{_HOLIDAYS_RE}|{_any(list(_WEEKDAYS))})"
    rf"|(?:{_COUNT})\s{_UNITS}\sago|vor\s(?:{_COUNT})\s{_UNITS}"
    rf"|day\sbefore\syesterday|yesterday|today|vorgestern|gestern|heute"
    rf"|(?:the\s)?(?:19|20)\d0s|the\s['’]?\d0s|(?:die\s|den\s)?(?:19|20)\d0er|(?:die\s|den\s)?\d0er\sjahren?"
    rf"|{_YEAR})"
)
_WHEN = (
    r"in(?=\sthe\s\d)|in\sthe|in|on|at|during|from|im|am|an|aus\sdem|aus|zu|vom|während\sdes|während|every|jeden|jedes"
)
_LONE = rf"(?:{_MONTHS_RE}|{_SEASONS_RE}|{_HOLIDAYS_RE})"


@cache
def _grammar() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w\-.:/'’])(?:"
        rf"(?:between|from|zwischen|von|vom)\s(?P<from>{_MOMENT})\s(?:and|to|until|till|und|bis)\s(?P<to>{_MOMENT})"
        rf"|(?P<first>{_YEAR})\s?(?:-|–|\.\.|bis|to)\s?(?P<last>{_YEAR})"
        rf"|(?P<open>since|after|before|until|till|up\sto|seit|nach|ab|vor|bis)\s(?P<edge>(?!(?:{_COUNT})\s){_MOMENT})"
        rf"|(?P<when>(?:{_WHEN})\s)?(?P<moment>{_MOMENT})"
        rf"|(?:{_WHEN})\s(?P<lone>{_LONE})"
        rf")(?![\w\-/'’]|[.:]\w)",
        re.IGNORECASE,
    )


def _read(found: re.Match[str], today: dt.date) -> Said | None:
    """None where it only looks like a time: 31 February, a shutter speed."""
    try:
        time = _time(found, today)
    except (ValueError, OverflowError):
        return None
    if time is None or (isinstance(time, Period) and time.since and time.until and time.since >= time.until):
        return None
    is_bare = bool(found["moment"]) and not found["when"] and re.fullmatch(_YEAR, found["moment"]) is not None
    if is_bare and int(found["moment"]) > today.year + 1:
        return None
    return Said(time, found.start(), found.end(), is_bare)


def _time(found: re.Match[str], today: dt.date) -> Time | None:
    if found["from"]:
        return _between(found["from"], found["to"], today)
    if found["first"]:
        return _between(found["first"], found["last"], today)
    if found["lone"]:
        return _every(found["lone"].lower())
    if found["open"]:
        there = _period(found["edge"], today)
        match re.sub(r"\s+", " ", found["open"].lower()):
            case "since" | "seit" | "ab":
                return Period(there.since, None)
            case "after" | "nach":
                return Period(there.until, None)
            case "before" | "vor":
                return Period(None, there.since)
            case _:
                return Period(None, there.until)
    return _period(found["moment"], today)


def _between(first: str, last: str, today: dt.date) -> Period:
    return Period(_period(first, today).since, _period(last, today).until)


def _every(name: str) -> EveryYear | None:
    if name in _MONTH:
        return EveryYear((_MONTH[name],))
    if name in SEASONS:
        return EveryYear(tuple((SEASONS[name] - 1 + offset) % 12 + 1 for offset in range(3)))
    month, day, days = HOLIDAYS[name]
    return EveryYear((month,), tuple(range(day, day + days))) if month else None


def _period(text: str, today: dt.date) -> Period:
    """What one moment covers. Raises ``ValueError`` for one that the calendar does not have."""
    words = re.sub(r"\s+", " ", text.lower()).strip()
    for pattern, read in _MOMENTS:
        if found := pattern.fullmatch(words):
            return read(found, today)
    raise ValueError(words)


def _day(year: str | int, month: str | int, day: str | int) -> Period:
    start = dt.date(int(year), int(month), int(day))
    return Period(start, start + _DAY)


def _month(year: int, month: int, months: int = 1) -> Period:
    last = year * 12 + month - 1 + months
    return Period(dt.date(year, month, 1), dt.date(last // 12, last % 12 + 1, 1))


def _year(year: int, years: int = 1) -> Period:
    return Period(dt.date(year, 1, 1), dt.date(year + years, 1, 1))


def _named(name: str, year: int) -> Period:
    """A month, a season or a holiday of one year."""
    if name in _MONTH:
        return _month(year, _MONTH[name])
    if name in SEASONS:
        return _month(year, SEASONS[name], 3)
    month, day, days = HOLIDAYS[name]
    start = dt.date(year, month, day) if month else easter(year) + day * _DAY
    return Period(start, start + days * _DAY)


def _back(count: int, unit: str, today: dt.date) -> Period:
    """The one day, week, month or year that was ``count`` of them ago."""
    match unit[0]:
        case "d" | "t":
            return Period(today - count * _DAY, today - (count - 1) * _DAY)
        case "w":
            monday = today - (today.weekday() + 7 * count) * _DAY
            return Period(monday, monday + 7 * _DAY)
        case "m":
            months = today.year * 12 + today.month - 1 - count
            return _month(months // 12, months % 12 + 1)
        case _:
            return _year(today.year - count)


def _relative(name: str, is_last: bool, today: dt.date) -> Period:
    if name in ("weekend", "wochenende"):
        saturday = today - (today.weekday() - 5) * _DAY - (7 * _DAY if is_last else 0 * _DAY)
        return Period(saturday, saturday + 2 * _DAY)
    if name in _WEEKDAYS:
        day = today - ((today.weekday() - _WEEKDAYS[name] - 1) % 7 + 1 if is_last else
                       today.weekday() - _WEEKDAYS[name]) * _DAY  # fmt: skip
        return Period(day, day + _DAY)
    if name in _MONTH or name in SEASONS or name in HOLIDAYS:
        return _latest(name, today) if is_last else _named(name, today.year)
    return _back(1 if is_last else 0, name if name != "jahr" else "year", today)


def _latest(name: str, today: dt.date) -> Period:
    """The last one that is over."""
    periods = (_named(name, today.year - back) for back in range(3))
    return next(period for period in periods if period.until is not None and period.until <= today)


def _counted(count: str, unit: str, today: dt.date) -> Period:
    """The last so many, and today."""
    number = int(count) if count.isdigit() else _NUMBER[count]
    days = {"d": 1, "t": 1, "w": 7, "m": 30, "y": 365, "j": 365}[unit[0]]
    return Period(today - number * days * _DAY, today + _DAY)


def _ago(count: str, unit: str, today: dt.date) -> Period:
    return _back(int(count) if count.isdigit() else _NUMBER[count], unit, today)


def _decade(digits: str, today: dt.date) -> Period:
    year = int(digits)
    if year < 100:  # the one that began last
        year += today.year // 100 * 100
        year -= 100 if year > today.year else 0
    return _year(year, 10)


_Reader = Callable[[re.Match[str], dt.date], Period]
_MOMENTS: tuple[tuple[re.Pattern[str], _Reader], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), read)
    for pattern, read in (
        (r"(\d{4})-(\d\d?)-(\d\d?)", lambda m, _: _day(m[1], m[2], m[3])),
        (r"(\d\d?)\. ?(\d\d?)\. ?(\d{4})", lambda m, _: _day(m[3], m[2], m[1])),
        (r"(\d{4})-(\d\d)", lambda m, _: _month(int(m[1]), int(m[2]))),
        (rf"(\d\d?)(?:st|nd|rd|th|\.)? (?:of )?({_MONTHS_RE})\.?,? (\d{{4}})",
         lambda m, _: _day(m[3], _MONTH[m[2]], m[1])),
        (rf"({_MONTHS_RE})\.? (\d\d?)(?:st|nd|rd|th)?,? (\d{{4}})", lambda m, _: _day(m[3], _MONTH[m[1]], m[2])),
        (rf"({_MONTHS_RE}|{_SEASONS_RE}|{_HOLIDAYS_RE})\.? (?:of )?(\d{{4}})", lambda m, _: _named(m[1], int(m[2]))),
        (rf"(?:{_LAST}) ({_COUNT}) ({_UNITS})", lambda m, today: _counted(m[1], m[2], today)),
        (rf"({_LAST}|{_THIS}) (.+)", lambda m, today: _relative(m[2], not m[1].startswith(("this", "dies")), today)),
        (rf"({_COUNT}) ({_UNITS}) ago", lambda m, today: _ago(m[1], m[2], today)),
        (rf"vor ({_COUNT}) ({_UNITS})", lambda m, today: _ago(m[1], m[2], today)),
        (r"today|heute", lambda _, today: Period(today, today + _DAY)),
        (r"yesterday|gestern", lambda _, today: Period(today - _DAY, today)),
        (r"day before yesterday|vorgestern", lambda _, today: Period(today - 2 * _DAY, today - _DAY)),
        (r"(?:the |die |den )?['’]?(\d{2}|\d{4})(?:s|er)(?: jahren?)?", lambda m, today: _decade(m[1], today)),
        (r"(\d{4})", lambda m, _: _year(int(m[1]))),
    )
)  # fmt: skip
