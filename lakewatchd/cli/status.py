"""``lakewatchd status``: what is watched, queued, running, parked, away."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, progress_bar, say
from lakewatchd.core.status import Status

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config

_EPILOG = """\
examples:
  lakewatchd status
  lakewatchd status --watch
  cp holiday/*.jpg /srv/photos/ && lakewatchd status --wait     (the view follows within a second)
  lakewatchd status --json | jq .headline

When the daemon is down, its files are read instead; the exit code is 3 then.
"""
_REDRAW_S = 1.0
_STARTING_S = 0.2
"""How often a daemon that is starting is asked again."""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "status",
        help="what is watched, queued, parked, away",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="for scripts")
    how.add_argument("--watch", action="store_true", help="redraw every second until Ctrl-C")
    how.add_argument("--wait", action="store_true", help="return when all that is on disk now is indexed or parked")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend

    settings = config.load(args.config)
    if args.watch:
        return _watch(settings)
    if args.wait:
        return _wait(settings)
    status = backend.status_or_files(settings)
    if args.json:
        print_json(as_json(status))
    else:
        from lakewatchd.cli.render import status_view

        console().print(status_view(status))
    return _exit_code(settings, status)


def as_json(status: Status) -> dict[str, object]:
    from lakewatchd.core.wire import to_json

    derived = {"headline": status.headline, "queued": status.queued, "parked_count": status.parked_count}
    return {**to_json(status), **derived}


def _exit_code(settings: Config, status: Status) -> int:
    if status.pid is None:
        from lakewatchd.control import absence

        why = absence(settings.socket_path)
        say(f"{why.message}; this is what its files tell ({why.hint})")
        return why.exit_code
    return 0


def _watch(settings: Config) -> int:
    from rich.live import Live

    from lakewatchd.cli import backend
    from lakewatchd.cli.render import status_view

    if not sys.stdout.isatty():  # a log, not a picture: one sentence a second
        while True:
            print(backend.status_or_files(settings).headline, flush=True)
            time.sleep(_REDRAW_S)
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(status_view(backend.status_or_files(settings)), refresh=True)
            time.sleep(_REDRAW_S)


def _wait(settings: Config) -> int:
    from lakewatchd.cli import backend
    from lakewatchd.control import ask, is_announced
    from lakewatchd.errors import DaemonDown

    def idle() -> None:
        while True:
            try:
                ask(settings.socket_path, "wait_idle", timeout_s=None)
                return
            except DaemonDown:
                if not is_announced(settings.socket_path):
                    raise
                time.sleep(_STARTING_S)

    with progress_bar("waiting") as update:
        most = 1

        def look() -> None:
            nonlocal most
            status = backend.status_or_files(settings)  # it may still be starting
            most = max(most, status.queued)
            update(most - status.queued, most, status.headline)

        backend.meanwhile(idle, look)
    print(backend.live_status(settings).headline)
    return 0
