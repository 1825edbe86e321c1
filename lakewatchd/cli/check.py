"""``lakewatchd check``: config, permissions, models, mounts, limits: every problem at once, each with its fix."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, safe

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.cli.checks import Finding
    from lakewatchd.config import Config

_EPILOG = """\
examples:
  lakewatchd check
  lakewatchd check --write-probe             (with buckets: does an event arrive in each way?)
  lakewatchd check --show-config > lakewatchd.toml
  sudo -u lakewatchd lakewatchd check        (with the rights of the service)
  lakewatchd check --recall                  (do the indexes find what is there? takes a minute for a million files)
  sudo -u lakewatchd lakewatchd check --repair        (after the lake was found damaged; the daemon must be stopped)

Exit code 1 if something is an error or an index finds too little, 70 if --repair cannot (the daemon runs), 78 if the
configuration itself is wrong.
"""


LEAST_RECALL = 0.95
"""Of the nearest, that an index finds; it is built to find 98 of 100."""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "check",
        help="every problem of config and machine, with its fix",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    parser.add_argument("--show-config", action="store_true", help="print the effective configuration and end")
    parser.add_argument(
        "--write-probe",
        action="store_true",
        help="write a small object into each bucket, see its event arrive, and remove it",
    )
    parser.add_argument("--repair", action="store_true", help="mend a damaged lake, and end; says what it did")
    parser.add_argument(
        "--recall",
        nargs="?",
        type=int,
        const=20,
        metavar="N",
        help="compare what the indexes of the lake find with a look at every row, for N vectors (20), and end",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import checks

    settings = config.load(args.config)
    if args.show_config:
        print(config.to_toml(settings), end="")
        return 0
    if args.repair:
        return _repair(settings, args)
    if args.recall is not None:
        return _recall(settings, args)
    findings = checks.check_all(settings, write_probe=args.write_probe)
    if args.json:
        source = str(settings.source) if settings.source else None
        print_json({"config": source, "findings": findings})
    else:
        _show(f"configuration: {settings.source or 'none, all defaults'}", findings)
    return 1 if any(finding.level is checks.Level.ERROR for finding in findings) else 0


def _repair(settings: Config, args: argparse.Namespace) -> int:
    from lakewatchd.daemon import repair

    done = repair.mend_lake(settings)
    if args.json:
        print_json({"repaired": done})
    else:
        for line in done or ["the lake is whole: nothing to mend"]:
            console().print(safe(line))
        if done:
            console().print("start lakewatchd again: a rescan makes up for the rest")
    return 0


def _recall(settings: Config, args: argparse.Namespace) -> int:
    import asyncio
    import tempfile
    from pathlib import Path

    from lakewatchd.lake.files import files_of
    from lakewatchd.lake.recall import measure

    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(files_of(settings, Path(scratch)), max(1, args.recall)))
    is_poor = any(one.recall is not None and one.recall < LEAST_RECALL for one in found)
    if args.json:
        print_json({"indexes": found})
    else:
        for one in found:
            recall = (
                "exact" if one.recall is None else f"finds {one.recall:.1%} of the ten nearest ({one.queries} tried)"
            )
            line = f"{one.table}.{one.index}: {one.rows:,} rows, {one.unindexed:,} not in it yet; {recall}"
            console().print(safe(line))
        if not found:
            console().print("there is no lake yet: lakewatchd run makes it")
        elif is_poor:
            console().print(
                f"less than {LEAST_RECALL:.0%}: searches by meaning miss some, until the lake has grown fourfold"
            )
    return 1 if is_poor else 0


def _show(title: str, findings: tuple[Finding, ...]) -> None:
    style = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
    out = console()
    out.print(safe(title, "dim"))
    for finding in findings:
        sign, colour = style[finding.level]
        line = safe(f"{sign} ", colour).append(safe(f"{finding.about}: ", "bold")).append(safe(finding.text))
        if finding.fix:
            line.append("\n    fix: ").append(safe(finding.fix))
        out.print(line)
