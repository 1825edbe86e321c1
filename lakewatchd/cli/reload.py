"""``lakewatchd reload``: have the daemon read its configuration again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, print_json, safe

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
example:
  lakewatchd reload        the same as: systemctl reload lakewatchd

Roots, watch settings, ignore rules, the taxonomy and the numbers of workers change at once, and no work is lost. What
needs a restart is said, here and in `lakewatchd status`. Exit code 78: the new configuration is wrong, the old one
stays in use.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "reload", help="read the configuration again", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    # Checked here first: the daemon may be told by another file, but this one must be read to find its socket.
    done = backend.reload(config.load(args.config))
    if args.json:
        print_json(done)
        return 0
    print(safe(f"applied: {', '.join(done.applied)}" if done.applied else "nothing to apply").plain)
    if done.needs_restart:
        print(safe(f"needs a restart: {', '.join(done.needs_restart)}").plain)
    return 0
