"""``lakewatchd taxonomy``: is the file of categories and tags right, what is in it, what would an edit change?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, safe, say
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.errors import ConfigError, LakewatchError

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
_PREVIEW_EPILOG = """\
examples:
  lakewatchd taxonomy preview beach                             (edited, and not yet reloaded)
  lakewatchd taxonomy preview --taxonomy ~/my-taxonomy.toml     (all that another file would change)

Nothing is changed. `lakewatchd reload` does it.
"""
MAX_CHARS = 40_000
"""Of a taxonomy that the daemon is asked about."""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "taxonomy",
        help="categories and tags: validate, list, preview",
        description=__doc__,
        epilog=_CHECK_EPILOG,
        formatter_class=EXAMPLES,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    checking = actions.add_parser("check", help="all problems by line", epilog=_CHECK_EPILOG, formatter_class=EXAMPLES)
    checking.set_defaults(func=_check)
    listing = actions.add_parser("list", help="categories and tags", epilog=_LIST_EPILOG, formatter_class=EXAMPLES)
    listing.set_defaults(func=_list)
    previewing = actions.add_parser(
        "preview", help="what an edit would change", epilog=_PREVIEW_EPILOG, formatter_class=EXAMPLES
    )
    previewing.add_argument("tag", nargs="?", metavar="TAG", default="", help="only what becomes of this tag")
    previewing.add_argument("--taxonomy", dest="file", metavar="FILE", help="a taxonomy file (else the configured one)")
    previewing.add_argument("--json", action="store_true", help="for scripts")
    previewing.set_defaults(func=_preview)
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


def _preview(args: argparse.Namespace) -> int:
    from lakewatchd import config, taxonomy
    from lakewatchd.cli import backend

    path = _file(args)
    known = taxonomy.parse(path)  # its problems are told before anybody is asked
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    if len(text) > MAX_CHARS:
        raise LakewatchError(f"{path} is too long to be previewed", "set tags.taxonomy to it: lakewatchd reload")
    told = backend.preview(config.load(args.config), path, text, args.tag)
    names = [tag.name for category in known.categories for tag in category.tags]
    if args.tag and not told.changes and args.tag not in names:
        raise LakewatchError(
            f"{path} has no tag {args.tag!r}, and no file either", did_you_mean(args.tag, names, "tags")
        )
    if args.json:
        print_json(told)
        return 0
    for change in told.changes:
        console().print(safe(f"{change.name}: +{change.gains} -{change.losses}", "bold"))
        for mark, places in (("+", change.gained), ("-", change.lost)):
            for place in places:
                console().print(safe(f"  {mark} {place}"))
    about = f"{told.looked_at:,} of {told.assets:,} files looked at"
    say(about if told.changes else f"nothing would change; {about}")
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
