"""``lakewatchd taxonomy``: is the file of categories and tags right, and what is in it?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, safe, say
from lakewatchd.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from rich.table import Table

    from lakewatchd.taxonomy import Taxonomy

_CHECK_EPILOG = """\
examples:
  lakewatchd taxonomy check
  lakewatchd taxonomy check ~/my-taxonomy.toml --json

Exit code 78 if there is a problem.
"""
_LIST_EPILOG = """\
example:
  lakewatchd taxonomy list --json
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "taxonomy",
        help="categories and tags: validate, list",
        description=__doc__,
        epilog=_CHECK_EPILOG,
        formatter_class=EXAMPLES,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    checking = actions.add_parser("check", help="all problems by line", epilog=_CHECK_EPILOG, formatter_class=EXAMPLES)
    checking.set_defaults(func=_check)
    listing = actions.add_parser("list", help="categories and tags", epilog=_LIST_EPILOG, formatter_class=EXAMPLES)
    listing.set_defaults(func=_list)
    for action in (checking, listing):
        action.add_argument("file", nargs="?", metavar="FILE", help="a taxonomy file (else the configured one)")
        action.add_argument("--json", action="store_true", help="for scripts")


def _check(args: argparse.Namespace) -> int:
    from lakewatchd import taxonomy

    path = _file(args)
    found, problems = taxonomy.check(path)
    if args.json:
        counts = {"categories": len(found.categories), "tags": len(found.tags)}
        listed = [{"line": problem.line, "message": problem.message} for problem in problems]
        print_json({"file": str(path), "problems": listed, **counts})
    else:
        for problem in problems:
            console().print(safe(f"{path}:{problem.line}: {problem.message}"))
        summary = f"{len(problems)} to fix" if problems else "no problem"
        say(f"{path}: {len(found.categories)} categories, {len(found.tags)} tags, {summary}")
    return ConfigError.exit_code if problems else 0


def _list(args: argparse.Namespace) -> int:
    from lakewatchd import taxonomy

    found = taxonomy.parse(_file(args))
    if args.json:
        print_json({category.name: [tag.name for tag in category.tags] for category in found.categories})
    else:
        console().print(_table(found))
    return 0


def _file(args: argparse.Namespace) -> Path:
    from lakewatchd import config

    return Path(args.file) if args.file else config.load(args.config).tags.taxonomy


def _table(taxonomy: Taxonomy) -> Table:
    from rich.table import Table

    table = Table("category", "tags", box=None, padding=(0, 2, 0, 0))
    for category in taxonomy.categories:
        table.add_row(safe(category.name, "bold"), safe(", ".join(tag.name for tag in category.tags)))
    return table
