"""``lakewatchd COMMAND``: parse, dispatch, and turn every error into one sentence, a fix and an exit code.

The invariant: a user's mistake or a machine's state never shows as a traceback; only a bug does.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lakewatchd import __version__
from lakewatchd.cli.output import EXAMPLES, show_error
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.core.one_thread import calculate_on_one_thread
from lakewatchd.errors import LakewatchError
from lakewatchd.telemetry import one_line

COMMANDS = (
    "run",
    "status",
    "open",
    "reload",
    "scan",
    "queue",
    "explain",
    "tag",
    "audit",
    "dups",
    "search",
    "ask",
    "check",
    "bucket",
    "mount",
    "taxonomy",
    "models",
    "sql",
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk says that takes no more: mostly where the output of a command was sent."""

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
    _have_streams()
    _tolerate_any_text()
    calculate_on_one_thread()
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
    except ModuleNotFoundError as error:  # an installation without its dependencies; what is optional is caught earlier
        if args.debug or error.name is None or error.name.startswith("lakewatchd"):
            raise
        fix = f"{sys.executable} -m pip install --upgrade lakewatchd"
        show_error(LakewatchError(f"lakewatchd is not completely installed: the module {error.name} is missing", fix))
        return 1
    except BrokenPipeError:  # `lakewatchd … | head`: nobody reads on, which is no error
        _write_nowhere()
        return 141
    except OSError as error:
        if args.debug or error.errno not in _FULL:
            raise
        _write_nowhere()
        show_error(LakewatchError(f"cannot be written: {error.strerror}", "make room, or write elsewhere"))
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Says what was probably meant, and where to read on. Wrong usage ends with 2, as everywhere."""

    shield: Callable[[Sequence[str]], list[str]] | None = None
    """What a command makes of its arguments before they are parsed."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        if self.shield is not None:
            args = self.shield(args)
        found, rest = super().parse_known_args(args, namespace)
        for word in (word for word in rest if word.startswith("-")):
            self.error(f"no option {word}; {did_you_mean(word.partition('=')[0], self._options(), 'options')}")
        return found, rest

    def _options(self) -> Iterator[str]:
        shown = (action for action in self._actions if action.help != argparse.SUPPRESS)
        return (option for action in shown for option in action.option_strings if option.startswith("--"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = (action.metavar or action.dest) if isinstance(action.metavar, str | None) else action.dest
            tip = did_you_mean(str(value), map(str, action.choices), "there are")
            raise argparse.ArgumentError(None, f"no {what.lower()} {value!r}; {tip}")

    def error(self, message: str) -> NoReturn:
        print(f"error: {one_line(message)}\nfix: see `{self.prog} --help`", file=sys.stderr)
        sys.exit(2)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lakewatchd",
        allow_abbrev=False,
        description="Watches directory trees, indexes what is in them, and shows it as folders.",
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
    subparsers: Any = parser.add_subparsers(metavar="COMMAND", required=True)
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


def _have_streams() -> None:
    """Started without one (``>&-``), what is printed goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process


def _write_nowhere() -> None:
    """What stdout still holds, and would be written at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tolerate_any_text() -> None:
    """A file name that the terminal's encoding cannot show is escaped, never a crash."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # replaced by something that is no text file, as in tests
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
