"""``lakewatchd audit [ROOT]``: is every file accounted for? Compares disk, queue and lake, file by file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, progress_bar

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
examples:
  lakewatchd audit
  lakewatchd audit photos --json | jq .roots[0].counts

Every file is indexed, queued, settling, parked, ignored by a rule, away with its root, or held until you say that it
was deleted. What is none of these is a gap: it is listed, and queued for a look. Indexing goes on meanwhile.
Exit code 0 if there is no gap, 1 if there is one. After each full rescan the daemon does this by itself.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "audit", help="is every file accounted for?", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.add_argument("root", nargs="?", metavar="ROOT", help="the name of a root (default: all, and the lake)")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="gaps to name (default 50; all are counted)")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend
    from lakewatchd.core.wire import to_json

    settings = config.load(args.config)
    with progress_bar("comparing disk, queue and lake") as update:
        told = backend.meanwhile(
            lambda: backend.audit(settings, args.root, args.limit),
            lambda: update(0, None, "comparing disk, queue and lake"),
        )
    if args.json:
        print_json({**to_json(told), "gap_count": told.gap_count})
    else:
        from lakewatchd.cli.render import audit_view

        console().print(audit_view(told))
    return 1 if told.gap_count else 0
