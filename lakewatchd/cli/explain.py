"""``lakewatchd explain PATH``: all that is known of one file, and why it is, or is not, in the view."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
example:
  lakewatchd explain /srv/photos/2024/IMG_0001.jpg
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "explain", help="all that is known of one file", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.add_argument("path", metavar="PATH", help="a file below a root; it need not exist any more")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from lakewatchd import config
    from lakewatchd.cli import backend
    from lakewatchd.core.asset import path_text

    # Not resolved: a symbolic link is a place of its own, and the daemon knows places.
    told = backend.explanation(config.load(args.config), path_text(str(Path(args.path).absolute())))
    if args.json:
        print_json(told)
    else:
        from lakewatchd.cli.render import explanation_view

        console().print(explanation_view(told))
    return 0
