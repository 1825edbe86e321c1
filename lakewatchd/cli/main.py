"""``lakewatchd COMMAND``: parse, dispatch, and turn every error into one sentence, a fix and an exit code.

The invariant: a user's mistake or a machine's state never shows as a traceback; only a bug does.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Sequence

from lakewatchd import __version__
from lakewatchd.cli.output import EXAMPLES, show_error
from lakewatchd.errors import LakewatchError

COMMANDS = ("run", "status", "reload", "scan", "queue", "explain", "check", "mount", "taxonomy", "models")

_EPILOG = """\
exit codes:
  0  done                       3  the daemon is not running
  1  a problem, told on stderr  70 must not continue (damaged, or another daemon owns the lake)
  2  wrong usage                78 the configuration is wrong
  130  interrupted

`lakewatchd COMMAND --help` has an example for each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _tolerate_any_text()
    args = build_parser().parse_args(argv)
    try:
        code = int(args.func(args))
        sys.stdout.flush()  # here, where a reader that left is still ours to deal with
        return code
    except LakewatchError as error:
        if args.debug:
            raise
        show_error(error)
        return error.exit_code
    except BrokenPipeError:  # `lakewatchd … | head`: nobody reads on, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lakewatchd",
        allow_abbrev=False,
        description="Watches directory trees, indexes what is in them, and shows it as folders and answers.",
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"lakewatchd {__version__}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration to use (else $LAKEWATCHD_CONFIG; else ~/.config/lakewatchd/lakewatchd.toml, unless "
        "you are root; else /etc/lakewatchd/lakewatchd.toml)",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"lakewatchd.cli.{name}").add_parser(subparsers)
    _complete(subparsers)
    return parser


def _complete(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What all have in common: ``lakewatchd status --config F`` is ``lakewatchd --config F status``, and docstrings
    are shown without the markup."""
    helps = {choice.dest: choice.help for choice in commands._choices_actions}
    for name, parser in commands.choices.items():
        text = re.sub(r"^``[^`]*``: ", "", parser.description or helps[name] or "").replace("``", "`")
        parser.description = text[:1].upper() + text[1:]
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                _complete(action)
        parser.allow_abbrev = False
        parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def _tolerate_any_text() -> None:
    """A file name that the terminal's encoding cannot show is escaped, never a crash."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # replaced by something that is no text file, as in tests
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
