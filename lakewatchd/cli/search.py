"""``lakewatchd search TEXT``: find files by what they say, show or sound like."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, print_json

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config
    from lakewatchd.core.found import Found, Query

_DENIED = re.compile(r"-[^\W\d_]\w")

_EPILOG = """\
examples:
  lakewatchd search red car in the snow
  lakewatchd search 'photos of dogs last summer -beach'
  lakewatchd search '"exact words"' --kind document --explain
  lakewatchd search --like holiday.jpg --but 'at night'
  lakewatchd search --like /srv/photos/cat.jpg --limit 50
  lakewatchd search '"goal" after "kick-off" within 30s'
  lakewatchd search --object dog --where 'area > 0.2 AND score > 0.8'
  lakewatchd search --where "kind = 'video' AND duration_s > 600" --since 2023
  lakewatchd search invoice --print0 | xargs -0 ls -l

in the text: "exact words", -word, tag:name, -tag:name, kind:video, category:name, in:berlin, object:dog, since:2019,
and dates in words (last summer, in May 2019, between 2018 and 2020, gestern). What is in quotes is only words.

exit codes: 0 something was found, 1 nothing was, 2 it cannot be asked so, others as of every command
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "search", help="find files by what they say or show", description=__doc__, epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )  # fmt: skip
    kinds = ("image", "video", "audio", "document", "table", "other")
    parser.add_argument("text", metavar="TEXT", nargs="*", help="what to look for, in your words")
    like = parser.add_argument_group("by example")
    like.add_argument("--like", metavar="FILE", help="files like this one: a path (of the lake or not) or an asset id")
    like.add_argument("--but", metavar="WORDS", default="", help="with --like: the same, but so")
    only = parser.add_argument_group("only")
    only.add_argument("--kind", action="append", choices=kinds, default=[], help="of this kind (may be repeated)")
    only.add_argument("--tag", action="append", default=[], metavar="TAG", help="with this tag (all of them)")
    only.add_argument("--any-tag", action="append", default=[], metavar="TAG", help="with any of these tags")
    only.add_argument("--no-tag", action="append", default=[], metavar="TAG", help="without this tag")
    only.add_argument("--category", default="", help="of this category")
    only.add_argument("--country", default="", help="taken in this country")
    only.add_argument("--city", default="", help="taken in this city")
    only.add_argument("--near", metavar="LAT,LON,KM", help="taken within so many kilometres of a place")
    only.add_argument("--root", default="", help="that lies in this root")
    only.add_argument("--since", metavar="WHEN", help="dated so or later: 2019, 2019-05, 'last summer'")
    only.add_argument("--until", metavar="WHEN", help="dated earlier than this")
    only.add_argument("--where", metavar="SQL", default="", help="that fulfil a condition over the columns of gold")
    only.add_argument("--object", metavar="THING", default="", help="in which a detector saw this thing")
    only.add_argument("--after", metavar="WORDS", default="", help="where TEXT comes after this, in one recording")
    only.add_argument("--within", metavar="SECONDS", type=float, default=30.0, help="with --after (%(default)g)")
    parser.add_argument("--all", action="store_true", help="every near-duplicate, not one of each group")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="at most so many (%(default)s)")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="after so many")
    parser.add_argument("--words-only", action="store_true", help="compare words, not meaning: needs no models")
    parser.add_argument("--explain", action="store_true", help="why each was found, and what was read in the text")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for scripts")
    form.add_argument("--paths", action="store_true", help="only paths, one on each line")
    form.add_argument("--print0", action="store_true", help="only paths, each ended by a zero byte, for xargs -0")
    parser.set_defaults(func=run)
    parser.shield = _shielded  # type: ignore[attr-defined]


def _shielded(args: Sequence[str]) -> list[str]:
    """``-cat`` is a word that must not be there. No option has a single dash and more than a letter; what holds a space
    is an option to no parser."""
    return [f" {arg}" if _DENIED.match(arg) else arg for arg in args]


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    settings = config.load(args.config)
    found = backend.search(settings, query_of(args, settings), words_only=args.words_only)
    if args.json:
        print_json(found)
    elif args.paths or args.print0:
        _print_paths(found, settings, b"\0" if args.print0 else b"\n")
    else:
        from lakewatchd.cli.found import show

        show(found, settings, explain=args.explain, first=args.offset + 1)
    return 0 if found.hits else 1


def query_of(args: argparse.Namespace, settings: Config) -> Query:
    """Raises :class:`BadQuery`."""
    from lakewatchd.cli import backend
    from lakewatchd.core.asset import Kind
    from lakewatchd.core.found import Query

    backend.require_root(settings, args.root)
    query = Query(
        text=" ".join(args.text).strip(),
        but=args.but,
        where=args.where,
        kinds=tuple(Kind(kind) for kind in args.kind),
        tags=tuple(args.tag),
        any_tags=tuple(args.any_tag),
        no_tags=tuple(args.no_tag),
        category=args.category,
        country=args.country,
        city=args.city,
        root=args.root,
        since=_day(args.since, "since"),
        until=_day(args.until, "until"),
        object=args.object,
        after=args.after,
        within_s=args.within,
        near=_near(args.near),
        folded=not args.all,
        limit=args.limit,
        offset=args.offset,
    )
    return _with_example(query, args.like, settings) if args.like else query


def _with_example(query: Query, like: str, settings: Config) -> Query:
    """An asset by its id, a file that the lake knows by its place, any other by its content."""
    from lakewatchd.cli import backend
    from lakewatchd.errors import BadQuery

    if re.fullmatch("[0-9a-f]{64}", like):
        return dataclasses.replace(query, like=like)
    if asset_id := backend.asset_at(settings, like):
        return dataclasses.replace(query, like=asset_id)
    path, most = Path(like), settings.search.like_mb << 20
    try:
        if not path.is_file():
            raise BadQuery(f"{like} is no file", "give a path, or the id of an asset: 64 hex digits")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as exc:
        raise BadQuery(f"{like} cannot be read: {exc.strerror}", "give a file that you can read") from exc
    if not 0 < len(content) <= most:
        raise BadQuery(f"{like} is {'empty' if not content else f'larger than {most >> 20} MB'}",
                       "raise like_mb in [search], or index the file first")  # fmt: skip
    return dataclasses.replace(query, picture=content)


def _day(text: str | None, option: str) -> dt.datetime | None:
    from lakewatchd.errors import BadQuery
    from lakewatchd.views.search import calendar

    if text is None:
        return None
    said = next(calendar.find(text, dt.date.today()), None)  # noqa: DTZ011 - the day of whoever types
    if said is None or not isinstance(said.time, calendar.Period) or said.time.since is None:
        raise BadQuery(f"--{option} {text!r} is no day", "write 2024, 2024-05, 2024-05-31, 'last summer'")
    return dt.datetime.combine(said.time.since, dt.time())


def _near(text: str | None) -> tuple[float, ...] | None:
    from lakewatchd.errors import BadQuery

    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as exc:
        raise BadQuery(f"--near {text!r} is no place", "for example: --near 52.52,13.40,10") from exc


def _print_paths(found: Found, settings: Config, end: bytes) -> None:
    from lakewatchd.cli import backend

    paths = (backend.place_text(settings, hit.root, hit.path) for hit in found.hits)
    sys.stdout.buffer.write(b"".join(os.fsencode(path) + end for path in paths))
    sys.stdout.buffer.flush()
