"""A condition in SQL that a person wrote: checked word by word before any database sees it.

Known are the columns of gold and a handful of functions that look at one value; what is not known is refused, with the
nearest name that is. Invariant: what :func:`check` lets through is one expression over one row: it cannot name a table,
call what reads or writes, hold a second statement or a comment, nor grow beyond :data:`MAX_CHARS`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lakewatchd.core.nearest import did_you_mean, nearest
from lakewatchd.errors import BadQuery
from lakewatchd.lake.schema import quoted

MAX_CHARS = 2000
MAX_DEPTH = 16

COLUMNS: Mapping[str, str] = {
    **{name: name for name in (
        "asset_id", "kind", "title", "category", "category_score", "caption", "dated_at", "dated_by", "text",
        "size_bytes", "occurrences", "language", "country", "city", "latitude", "longitude", "duration_s",
        "duplicate_group", "is_representative", "tag_names")},
    "tags": "tag_names", "captured_at": "dated_at", "date": "dated_at", "path": "best_path", "root": "best_root",
    "name": "best_path", "size": "size_bytes", "duration": "duration_s", "lat": "latitude", "lon": "longitude",
    "place": "btrim(concat(city, ', ', country), ', ')",
    "year": "date_part('year', dated_at)", "month": "date_part('month', dated_at)", "day": "date_part('day', dated_at)",
}  # fmt: skip
"""What may be written, and what it is in gold."""
THINGS: Mapping[str, str] = {name: name for name in ("score", "area", "left", "top", "right", "bottom")}
"""Of one thing that was seen: these go with ``object``."""
FUNCTIONS = ("lower", "upper", "length", "abs", "round", "floor", "ceil", "coalesce", "contains", "starts_with",
             "ends_with", "array_has", "array_has_any", "array_has_all", "array_length", "date_part")  # fmt: skip
_WORDS = frozenset(["and", "or", "not", "in", "is", "null", "like", "ilike", "between", "true", "false", "escape"])
_TYPED = frozenset(("date", "timestamp"))
"""Before a text: a moment."""

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><=|>=|<>|!=|=|<|>|\+|-|\*|/|%|\(|\)|,|\[|\]))"
)
_MOMENT = re.compile(r"\d{4}(-\d\d?(-\d\d?([ T]\d\d?:\d\d(:\d\d(\.\d+)?)?)?)?)?")
_EXAMPLE = "for example: kind = 'image' AND dated_at >= '2023-01-01' AND size_bytes < 5000000"


@dataclass(frozen=True, slots=True)
class Condition:
    """Ready for the lake. Empty: nothing is demanded."""

    gold: str = ""
    """Over the columns of gold."""
    thing: str = ""
    """Over one thing that was seen."""


@dataclass(frozen=True, slots=True)
class _Token:
    sort: str
    """``text``, ``number``, ``name`` or ``sign``."""
    text: str


def check(where: str) -> Condition:
    """``where`` as the lake takes it. Raises :class:`BadQuery` that names what is wrong and what is near it."""
    if len(where) > MAX_CHARS:
        raise BadQuery(f"the condition is longer than {MAX_CHARS} characters", _EXAMPLE)
    gold: list[str] = []
    thing: list[str] = []
    for part in _conjuncts(_tokens(where)):
        names = {token.text.lower() for token in part if token.sort == "name"}
        is_thing = bool(names & THINGS.keys())
        if is_thing and names & (COLUMNS.keys() - THINGS.keys() - _TYPED):
            shown = " ".join(token.text for token in part)
            raise BadQuery(f"{shown!r} mixes the file and the thing seen in it", "join the two with AND")
        (thing if is_thing else gold).append(_sql(part))
    return Condition(" AND ".join(f"({part})" for part in gold), " AND ".join(f"({part})" for part in thing))


def _tokens(where: str) -> list[_Token]:
    tokens, at, depth = [], 0, 0
    where = where.rstrip()
    while at < len(where):
        found = _TOKEN.match(where, at)
        if found is None or found.lastgroup is None:
            rest = where[at:].lstrip()
            if rest.startswith("'"):
                raise BadQuery("a quote is not closed", "a quote inside a text is written twice: 'Anna''s'")
            if rest.startswith('"'):
                raise BadQuery('"double quotes" are for names in SQL', "write a text in 'single quotes'")
            raise BadQuery(f"{rest[:12]!r} has no place in a condition", _EXAMPLE)
        token = _Token(found.lastgroup, found[found.lastgroup])
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0 or depth > MAX_DEPTH:
            raise BadQuery("a bracket too many in the condition", _EXAMPLE)
        tokens.append(token)
        at = found.end()
    if depth:
        raise BadQuery("a bracket is not closed in the condition", _EXAMPLE)
    return tokens


def _conjuncts(tokens: list[_Token]) -> list[list[_Token]]:
    """What ``AND`` joins at the top; the ``AND`` of ``BETWEEN`` joins nothing. With an ``OR`` there, all is one."""
    parts: list[list[_Token]] = [[]]
    depth, is_between = 0, False
    for token in tokens:
        word = token.text.lower() if token.sort == "name" else token.text
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "or" and depth == 0:
            return [tokens]
        if word == "between" and depth == 0:
            is_between = True
        elif word == "and" and depth == 0:
            if not is_between:
                parts.append([])
                continue
            is_between = False
        parts[-1].append(token)
    if any(not part for part in parts) and tokens:
        raise BadQuery("AND needs a condition on either side", _EXAMPLE)
    return [part for part in parts if part]


def _sql(part: list[_Token]) -> str:
    """The same for the lake: names replaced, each looked up; times as times."""
    written: list[str] = []
    has_dates = any(COLUMNS.get(token.text.lower()) == "dated_at" for token in part if token.sort == "name")
    for at, token in enumerate(part):
        before = part[at - 1].text.lower() if at else ""
        after = part[at + 1].text if at + 1 < len(part) else ""
        if token.sort == "text":
            is_moment = has_dates and before not in ("like", "ilike", "(") and _MOMENT.fullmatch(token.text[1:-1])
            written.append(_moment(token.text[1:-1]) if is_moment or before in _TYPED else token.text)
        elif token.sort == "name":
            is_type = token.text.lower() in _TYPED and at + 1 < len(part) and part[at + 1].sort == "text"
            written.append("" if is_type else _name(token.text, is_call=after == "("))
        else:
            written.append(token.text)
    return " ".join(word for word in written if word)


def _name(name: str, *, is_call: bool) -> str:
    low = name.lower()
    if is_call and low not in _WORDS:
        if low in FUNCTIONS:
            return low
        raise BadQuery(f"no function {name}", did_you_mean(low, FUNCTIONS, "there are"))
    if low in _WORDS:
        return low.upper()
    if low in THINGS:
        return f'"{low}"' if low in ("left", "right") else low
    if low in COLUMNS:
        return COLUMNS[low]
    known = [*COLUMNS, *THINGS]
    near = nearest(low, known)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
    raise BadQuery(f"no column {name}", f"{hint} (a text is written in 'single quotes')")


def _moment(text: str) -> str:
    """``2023``, ``2023-5``, a day, a time: as a timestamp."""
    if not _MOMENT.fullmatch(text):
        raise BadQuery(f"{text!r} is no time", "write '2024-05-31' or '2024-05-31 18:00'")
    day, _, time = text.replace("T", " ").partition(" ")
    year, month, date = [*(int(number) for number in day.split("-")), 1, 1][:3]
    written = f"{year:04}-{month:02}-{date:02} {time or '00:00'}"
    try:
        when = dt.datetime.fromisoformat(written)
    except ValueError as exc:
        raise BadQuery(f"{text!r} is no time: {exc}", "write '2024-05-31' or '2024-05-31 18:00'") from exc
    return f"timestamp {quoted(when.isoformat(sep=' '))}"
