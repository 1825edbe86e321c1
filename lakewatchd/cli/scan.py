"""``lakewatchd scan [ROOT]``: compare a root with what is known of it, now."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, print_json, progress_bar, safe
from lakewatchd.core.status import ScanView, duration_text

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
examples:
  lakewatchd scan
  lakewatchd scan photos --json

Exit code 1 if a root could not be scanned. What is found is queued: `lakewatchd status --wait` waits for it.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "scan",
        help="compare a root with what is known, now",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    parser.add_argument("root", nargs="?", metavar="ROOT", help="the name of a root (default: all)")
    parser.add_argument(
        "--accept-removals",
        action="store_true",
        help="what is missing was deleted on purpose, however much it is, and the root is the right one",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    settings = config.load(args.config)
    with progress_bar("scanning") as update:

        def look() -> None:
            roots = backend.live_status(settings).roots
            update(0, None, "; ".join(f"{root.name}: {root.scanning}" for root in roots if root.scanning) or "scanning")

        listing = backend.meanwhile(
            lambda: backend.scan(settings, args.root, accept_removals=args.accept_removals), look
        )
    if args.json:
        print_json(listing)
    else:
        for scan in listing.scans:
            print(safe(_sentence(scan)).plain)
            if scan.hint:
                print(safe(f"  fix: {scan.hint}").plain)
    return 1 if any(scan.problem for scan in listing.scans) else 0


def _sentence(scan: ScanView) -> str:
    if scan.problem:
        return f"{scan.root}: {scan.problem}"
    found = f"{scan.changed:,} new or changed, {scan.removed:,} gone"
    sentence = f"{scan.root}: {scan.files:,} files in {duration_text(scan.duration_s)}; {found}"
    if scan.held:
        sentence += (
            f"; {scan.held:,} are missing at once and kept: if they were deleted,"
            f" lakewatchd scan {scan.root} --accept-removals"
        )
    return sentence
