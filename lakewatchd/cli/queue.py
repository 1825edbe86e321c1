"""``lakewatchd queue``: what waits, what is parked and why, and what to do about it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
examples:
  lakewatchd queue list              (what runs, what is next, what needs a person)
  lakewatchd queue list --parked
  lakewatchd queue retry --reason damaged-media
  lakewatchd queue pause      (and: lakewatchd queue resume)
"""
_RETRY_EPILOG = """\
examples:
  lakewatchd queue retry /srv/photos/2024/broken.jpg     (a file, or all that lies below a directory)
  lakewatchd queue retry --reason damaged-media --stage index
  lakewatchd queue retry --all

What is given together must all fit. Exit code 1 if nothing matched.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "queue",
        help="what waits and what is parked; retry, pause, resume",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", help="jobs: at work, waiting, parked, each with its reason", epilog=_EPILOG, formatter_class=EXAMPLES
    )
    listing.add_argument("--parked", action="store_true", help="only what needs a person")
    listing.add_argument("--reason", help="only what was parked for it, such as damaged-media")
    listing.add_argument("--stage", help="only this stage")
    listing.add_argument(
        "--limit", type=int, default=50, metavar="N", help="jobs to name (default 50; all are counted)"
    )
    listing.add_argument("--json", action="store_true", help="for scripts")
    listing.set_defaults(func=_list)
    retry = actions.add_parser("retry", help="try parked jobs again", epilog=_RETRY_EPILOG, formatter_class=EXAMPLES)
    retry.add_argument("path", nargs="?", metavar="PATH", help="the jobs of one file, or below one directory")
    retry.add_argument("--reason", help="what was parked for it, such as damaged-media")
    retry.add_argument("--stage", help="jobs of this stage: ingest or index")
    retry.add_argument("--all", action="store_true", help="every parked job")
    retry.add_argument("--json", action="store_true", help="for scripts")
    retry.set_defaults(func=_retry, parser=retry)
    for verb, text in (("pause", "finish running jobs, start no more"), ("resume", "go on")):
        epilog = f"example:\n  lakewatchd queue {verb}"
        action = actions.add_parser(verb, help=text, description=text, epilog=epilog, formatter_class=EXAMPLES)
        action.set_defaults(func=_pause_or_resume, verb=verb)


def _list(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    listing = backend.queue_listing(
        config.load(args.config), parked=args.parked, reason=args.reason, stage=args.stage, limit=args.limit
    )
    if args.json:
        print_json(listing)
    else:
        from lakewatchd.cli.render import queue_view

        console().print(queue_view(listing))
    return 0


def _retry(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend
    from lakewatchd.cli.in_view import place_named

    if args.all == any((args.path, args.reason, args.stage)):
        args.parser.error("say which: a PATH, --reason or --stage; or --all of them")
    settings = config.load(args.config)
    path = place_named(args.path, settings) if args.path else None
    count = backend.order(settings, "queue_retry", reason=args.reason, stage=args.stage, path=path)
    if args.json:
        print_json({"count": count})
    else:
        print(f"{count:,} queued again" if count else "nothing parked matches")
    return 0 if count else 1


def _pause_or_resume(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    backend.order(config.load(args.config), f"queue_{args.verb}")
    print("paused; go on with: lakewatchd queue resume" if args.verb == "pause" else "working")
    return 0
