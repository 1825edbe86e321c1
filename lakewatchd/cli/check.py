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
  lakewatchd check --show-config > lakewatchd.toml
  sudo -u lakewatchd lakewatchd check        (with the rights of the service)
  sudo -u lakewatchd lakewatchd check --repair        (after the lake was found damaged; the daemon must be stopped)

Exit code 1 if something is an error, 70 if --repair cannot (the daemon runs), 78 if the configuration itself is wrong.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "check",
        help="every problem of config and machine, with its fix",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    parser.add_argument("--show-config", action="store_true", help="print the effective configuration and end")
    parser.add_argument("--repair", action="store_true", help="mend a damaged lake, and end; says what it did")
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
    findings = checks.check_all(settings)
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
