"""``lakewatchd mount [DIR]``: the read-only view, in the foreground, as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES
from lakewatchd.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config

_EPILOG = """\
example:
  lakewatchd mount ~/lake        then, elsewhere:  ls ~/lake/by-tag

Ctrl-C, SIGTERM or `fusermount3 -u DIR` ends it. A view that was killed leaves its mount behind, where every access
is an error; the next start takes it away.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "mount", help="the read-only view as folders", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.add_argument("dir", metavar="DIR", nargs="?", type=Path, help="instead of view.mountpoint; an empty folder")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), help="instead of daemon.log_level"
    )
    parser.add_argument("--clean", action="store_true", help="only take away what a killed view left at DIR")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config, telemetry

    settings = config.load(args.config)
    if args.dir is not None:
        view = dataclasses.replace(settings.view, mountpoint=args.dir.absolute())
        settings = dataclasses.replace(settings, view=view)
    telemetry.set_up_logging(args.log_level or settings.daemon.log_level)
    if args.clean:
        from lakewatchd.views.mount import unmount_stale

        unmount_stale(settings.view.mountpoint)
        return 0
    try:
        import pyfuse3  # noqa: F401
    except ImportError as exc:
        hint = "install libfuse3 (Debian: fuse3 libfuse3-dev), then: pip install 'lakewatchd[view]'"
        raise ConfigError(f"the view needs pyfuse3: {exc}", hint) from exc
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Config) -> None:
    from lakewatchd import telemetry
    from lakewatchd.lake.reader import LakeReader
    from lakewatchd.views.mount import serve

    place = settings.view.mountpoint

    def say_mounted() -> None:
        print(
            f"The lake is at {place}. To unmount: Ctrl-C here, or: fusermount3 -u {shlex.quote(str(place))}", flush=True
        )
        telemetry.notify("READY=1")

    reader = LakeReader(settings.lake_dir)
    try:
        await serve(reader, settings.view, settings.roots, say_mounted)
        telemetry.notify("STOPPING=1")
    finally:
        reader.close()
