"""``lakewatchd run``: the daemon, in the foreground. What systemd starts."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
example:
  lakewatchd run --config ~/.config/lakewatchd/lakewatchd.toml

SIGTERM or Ctrl-C: running jobs are finished (at most daemon.drain_s), the rest is done after the next start.
A second one ends it at once.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "run", help="the daemon, in the foreground", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), help="instead of daemon.log_level"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    import faulthandler

    from lakewatchd import config, control, telemetry

    settings = config.load(args.config)
    telemetry.set_up_logging(args.log_level or settings.daemon.log_level)
    faulthandler.enable()  # systemd ends a daemon that hangs by SIGABRT: the journal then shows where
    with control.announced(settings.socket_path):
        from lakewatchd.daemon.service import run as run_daemon  # takes seconds

        return asyncio.run(run_daemon(settings))
