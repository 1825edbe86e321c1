"""``lakewatchd mount [DIR]``: the read-only view, in the foreground, as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES
from lakewatchd.errors import ConfigError, LakewatchError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config
    from lakewatchd.lake.files import Files
    from lakewatchd.views.mounted.objects import Buckets

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
        from lakewatchd.views.mounted.mountpoint import unmount_stale

        unmount_stale(settings.view.mountpoint)
        return 0
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Config) -> None:
    from lakewatchd import telemetry
    from lakewatchd.lake.files import files_of
    from lakewatchd.lake.past import History
    from lakewatchd.lake.reader import LakeReader
    from lakewatchd.views.mounted.index import opened
    from lakewatchd.views.mounted.mount import serve
    from lakewatchd.views.mounted.server import WebServer

    place = settings.view.mountpoint

    def say_mounted() -> None:
        print(
            f"The lake is at {place}. To unmount: Ctrl-C here, or: fusermount3 -u {shlex.quote(str(place))}", flush=True
        )
        telemetry.notify("READY=1")

    files = files_of(settings)
    reader, server = LakeReader(files), WebServer(settings.web_socket)
    index = opened(_places(settings), await asyncio.to_thread(_identity, files))
    try:
        with _buckets(settings) as buckets:
            await serve(
                reader, settings.view, settings.roots, say_mounted,
                buckets=buckets, server=server, history=History(files), index=index,
            )  # fmt: skip
        telemetry.notify("STOPPING=1")
    finally:
        server.close()
        index.close()
        reader.close()


def _identity(files: Files) -> str:
    """Which lake it is; empty when that cannot be told now."""
    from lakewatchd.lake import durable

    try:
        return durable.read_ledger(files).identity
    except LakewatchError:
        return ""


def _places(settings: Config) -> list[Path]:
    """Where the view's index may be kept: beside the lake, or where who cannot write there has a cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return [settings.daemon.state_dir, home / "lakewatchd"]


@contextlib.contextmanager
def _buckets(settings: Config) -> Iterator[Buckets | None]:
    """To read objects by. Without a cache, if that cannot be had: slower, and all the same."""
    if not settings.buckets:
        yield None
        return
    from lakewatchd.buckets.cache import ObjectCache
    from lakewatchd.buckets.client import Bucket
    from lakewatchd.buckets.reader import Objects
    from lakewatchd.views.mounted.objects import Buckets

    cache = None
    try:
        cache = ObjectCache.of(settings)
    except ConfigError as exc:
        logging.getLogger(__name__).warning("%s; objects are read without being kept (%s)", exc.message, exc.hint)
    buckets = {root.name: Bucket(root, settings.objects) for root in settings.buckets}
    objects = Objects(buckets, cache, settings.objects)
    try:
        yield Buckets({root.name: root for root in settings.buckets}, objects)
    finally:
        objects.close()
        for bucket in buckets.values():
            bucket.close()
