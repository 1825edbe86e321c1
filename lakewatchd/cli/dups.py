"""``lakewatchd dups``: which files are the same, byte for byte or saved anew, and what that takes."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, safe, say, size_text

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.core.status import DuplicateListing

_EPILOG = """\
examples:
  lakewatchd dups
  lakewatchd dups --near --kind image --json | jq '.groups[].files[].path'
  lakewatchd dups --exact --print0 | xargs -0 ls -l

Of each group one file is kept: the longest, then the one with most pixels, then the oldest, then the least compressed
(`duplicates.prefer` in the configuration). The rest is what --print0 prints, each path ended by a zero byte.
lakewatchd never deletes anything; look at a near-duplicate before you do: `duplicates/` in the view shows each group.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "dups", help="files that are the same, and what they take", description=__doc__, epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--near", action="store_true", help="only what was saved anew")
    which.add_argument("--exact", action="store_true", help="only copies, byte for byte")
    kinds = ("image", "video", "audio", "document", "table", "other")
    parser.add_argument("--kind", choices=kinds, help="only files of this kind")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for scripts")
    form.add_argument("--print0", action="store_true", help="only the paths that are not kept, for xargs -0")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    found = backend.duplicates(config.load(args.config), near=not args.exact, exact=not args.near, kind=args.kind)
    if args.json:
        print_json(found)
    elif args.print0:
        _print0(found)
    else:
        _show(found)
    return 0


def _print0(found: DuplicateListing) -> None:
    from lakewatchd.core.asset import text_path

    paths = (text_path(file.path) for group in found.groups for file in group.files if not file.is_kept)
    sys.stdout.buffer.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
    sys.stdout.buffer.flush()


def _show(found: DuplicateListing) -> None:
    out = console()
    for group in found.groups:
        out.print(safe(f"{group.kind}, {size_text(group.reclaimable_bytes)} in copies", "bold"))
        for file in group.files:
            word = "keep" if file.is_kept else "copy" if file.is_exact else "near"
            out.print(safe(f"  {word}  {size_text(file.size_bytes):>10}  {file.path}", "" if file.is_kept else "dim"))
    if not found.groups:
        say("no duplicates")
        return
    count = sum(len(group.files) - 1 for group in found.groups)
    said = f"{len(found.groups):,} groups; {count:,} files beside those that are kept take"
    out.print(safe(f"{said} {size_text(found.reclaimable_bytes)}"))
