"""The parameters that say which assets are meant, alike for search, lists, counts and the timeline."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.found import Query as Question
from lakewatchd.errors import BadQuery

MAX_NAMES = 50
"""Of each list of names."""


def _plain(text: str) -> str:
    """Control characters and halves of characters are in no name and no word."""
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ValueError("control characters cannot be searched for")
    return text


_DATE = r"^(\d{4}(-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?)?)?)?$"

_DATES = "write 2019, 2019-06 or 2019-06-01"


def _moment(text: str) -> dt.datetime | None:
    """``2019`` and ``2019-06`` are their first day. A zone is passed over: dates are as the clock on the wall said.

    Raises ``BadQuery`` for a day that no calendar has."""
    if not text:
        return None
    if not re.fullmatch(_DATE, text):
        raise BadQuery(f"{text!r} is no date", _DATES)
    try:
        return dt.datetime.fromisoformat(text + "-01-01"[len(text) - 4 :] if len(text) < 10 else text).replace(
            tzinfo=None
        )
    except ValueError as exc:
        raise BadQuery(f"{text!r} is no date", _DATES) from exc


AnAsset = Annotated[AssetId, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Nothing else is taken from the client to say which file is meant."""
Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_plain)]
Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(_plain)]
Date = Annotated[Name, WithJsonSchema({"type": "string", "pattern": _DATE})]
"""Checked by :func:`_moment`: who types a date is not to read a pattern."""
Names = Annotated[list[Name], Query(max_length=MAX_NAMES)]


def _filters(
    kind: Annotated[list[Kind], Query(max_length=10, description="any of these")] = [],  # noqa: B006
    tag: Annotated[list[Name], Query(max_length=MAX_NAMES, description="all of these")] = [],  # noqa: B006
    any_tag: Annotated[list[Name], Query(max_length=MAX_NAMES, description="any of these")] = [],  # noqa: B006
    no_tag: Annotated[list[Name], Query(max_length=MAX_NAMES, description="none of these")] = [],  # noqa: B006
    category: Name = "",
    country: Name = "",
    city: Name = "",
    root: Name = "",
    since: Annotated[Date, Query(description="wall-clock time: 2019, 2019-06, 2019-06-01T18:00")] = "",
    until: Annotated[Date, Query(description="before this")] = "",
    where: Annotated[Text, Query(description="a condition in SQL over the columns of gold")] = "",
    near: Annotated[
        str,
        Query(
            pattern=r"^(-?\d{1,2}(\.\d{1,9})?,-?\d{1,3}(\.\d{1,9})?,\d{1,5}(\.\d{1,9})?)?$",
            description="degrees north, degrees east, kilometres: 48.2,16.37,5",
        ),
    ] = "",
    folded: Annotated[bool, Query(description="of near-duplicates only the one that stands for them")] = True,
) -> Question:
    return Question(
        where=where,
        kinds=tuple(kind),
        tags=tuple(tag),
        any_tags=tuple(any_tag),
        no_tags=tuple(no_tag),
        category=category,
        country=country,
        city=city,
        root=root,
        since=_moment(since),
        until=_moment(until),
        near=tuple(float(part) for part in near.split(",")) if near else None,
        folded=folded,
    )


Filters = Annotated[Question, Depends(_filters)]
"""As the parameter of an endpoint."""
