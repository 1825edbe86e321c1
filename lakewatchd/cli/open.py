"""``lakewatchd open``: where the gallery is, as an address to open in a browser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = """\
example:
  lakewatchd open               in a terminal of a desktop: xdg-open "$(lakewatchd open)"

Where web.token is set the address holds it, and makes of it a cookie that lasts half a year: pass it on only to who may
look at everything. Exit code 1: nobody answers by HTTP, and why.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "open", help="the address of the gallery", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from urllib.parse import quote

    from lakewatchd import config
    from lakewatchd.control import ask
    from lakewatchd.errors import LakewatchError

    settings = config.load(args.config)
    status = ask(settings.socket_path, "status")
    url = status.get("web")
    if not url:
        hint = "lakewatchd status tells why" if settings.web.enabled else "enabled = true under [web]"
        raise LakewatchError("there is no gallery: nobody answers by HTTP", hint)
    print(f"{url}/login?token={quote(settings.web.token, safe='')}" if settings.web.token else f"{url}/")
    return 0
