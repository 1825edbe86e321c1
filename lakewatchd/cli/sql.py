"""``lakewatchd sql``: ask the tables of the lake, and those that lie in files, with DuckDB."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, say

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config

FORMATS = ("table", "csv", "json", "parquet")

_EPILOG = """\
examples:
  lakewatchd sql "SELECT kind, count(*), sum(size_bytes) FROM gold GROUP BY kind"
  lakewatchd sql "FROM 'reports/paid.csv' WHERE amount > 100" --format csv
  lakewatchd sql "SELECT * FROM lineage WHERE state = 'failed'" --out failed.parquet
  lakewatchd sql "DESCRIBE gold"

tables: gold, assets, spans, occurrences; whole as gold_assets, silver_assets, silver_spans, bronze_occurrences,
lineage, person_words. `tables` lists those that lie in files; each is named by its path, in quotes. Nothing can be
written.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "sql", help="ask the tables in SQL", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.add_argument("query", metavar="QUERY", help="one statement that reads; - takes it from the input")
    parser.add_argument("--format", choices=FORMATS, help="else by the ending of --out, else a table")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write there; replaced only when all is there")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.errors import BadQuery

    form = args.format or _by_name(args.out)
    if form == "parquet" and args.out is None and sys.stdout.isatty():
        raise BadQuery("a Parquet file is nothing for a terminal", "add --out FILE, or send it on with |")
    query = sys.stdin.read() if args.query == "-" else args.query
    rows = asyncio.run(_write(config.load(args.config), query, form, args.out))
    if args.out is not None:
        say(f"{rows:,} {'row' if rows == 1 else 'rows'} in {args.out}")
    return 0


def _by_name(out: Path | None) -> str:
    ending = out.suffix.lstrip(".").lower() if out is not None else ""
    return ending if ending in FORMATS else "table"


async def _write(settings: Config, query: str, form: str, out: Path | None) -> int:
    from lakewatchd.cli import backend
    from lakewatchd.cli.rows import writing
    from lakewatchd.views.sql.session import Sql

    async with Sql(settings).ask(query, backend.away_roots(settings)) as rows:
        with writing(form, out, rows.schema) as writer:
            async for batch in rows.batches():
                writer.write(batch)
        return writer.rows
