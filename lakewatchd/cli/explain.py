"""``lakewatchd explain PATH``: all that is known of one file, and why it is, or is not, in the view."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, say

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
examples:
  lakewatchd explain /srv/photos/2024/IMG_0001.jpg
  lakewatchd explain /srv/photos/2024                  (a directory: how many files in which state)
  lakewatchd explain /mnt/lake/by-tag/cat/IMG_0001.jpg (a file of the view: its original)
  lakewatchd explain s3://photos/2024/IMG_0001.jpg     (an object; or photos:2024/IMG_0001.jpg, by the root's name)

Exit code 1 if there is no such file, it lies in no root, or something of it was lost.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="all that is known of one path, and why",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    what = "a file or directory below a root, an object, or a file of the view; it need not exist any more"
    parser.add_argument("path", metavar="PATH", help=what)
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend
    from lakewatchd.cli.in_view import place_named, shown_at

    settings = config.load(args.config)
    told = backend.explanation(settings, place_named(args.path, settings))
    told = shown_at(told, settings.view.mountpoint)
    if args.json:
        print_json(told)
    else:
        from lakewatchd.cli.render import explanation_view

        console().print(explanation_view(told))
        if told.by_files:
            from lakewatchd.control import absence

            say(f"{absence(settings.socket_path).message}; this is what its files and the disk tell")
    return 1 if told.state in ("outside", "nothing", "gap") else 0
