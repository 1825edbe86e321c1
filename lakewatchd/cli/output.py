"""How commands print: for people on a terminal, for pipes, for scripts. No command talks to rich by itself.

The invariant: text from outside goes through :func:`safe` and is never read as markup or as terminal control.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, cast

from lakewatchd.core.wire import to_json
from lakewatchd.errors import ConfigError, LakewatchError
from lakewatchd.telemetry import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

EXAMPLES = argparse.RawDescriptionHelpFormatter
"""For parsers whose epilog is an example, to be shown as it is written."""

_PIPE_WIDTH = 200
"""Columns when nobody looks: wide enough that grep finds a path on one line."""


def print_json(value: object) -> None:
    """``value`` (a dataclass, or what JSON can hold) for a script. ASCII, so that any file name survives."""
    print(json.dumps(to_json(value), indent=2))


def console(*, stderr: bool = False) -> Console:
    """Colour and width of the terminal; neither when there is none, or NO_COLOR is set."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(file=stream, highlight=False)
    return Console(file=cast("IO[str]", _NoPadding(stream)), width=_PIPE_WIDTH, highlight=False, soft_wrap=True)


class _NoPadding:
    """A stream for pipes: what rich puts at the end of lines so that columns have one width is left out."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def safe(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(one_line(text), style=style)


def say(text: str) -> None:
    """A sentence about the command itself, on stderr: never in the way of its output."""
    print(one_line(text), file=sys.stderr)


def show_error(error: LakewatchError) -> None:
    """``error: …`` and ``fix: …``; a list of problems keeps its lines."""
    lines = [one_line(line) for line in error.message.split("\n")]
    if len(lines) > 1 and isinstance(error, ConfigError):  # its lines are problems; others' are one, told at length
        lines = [f"{len(lines)} problems", *(f"  {line}" for line in lines)]
    red, bold, plain = ("\x1b[31m", "\x1b[1m", "\x1b[0m") if sys.stderr.isatty() else ("", "", "")
    print(f"{red}error:{plain} " + "\n".join(lines), file=sys.stderr)
    if error.hint:
        print(f"{bold}fix:{plain} {one_line(error.hint)}", file=sys.stderr)


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float, float | None, str], None]]:
    """A bar on a terminal's stderr, nothing elsewhere: ``update(done, total, text)``; total None = unknown."""
    if not sys.stderr.isatty():
        yield lambda done, total, text: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(one_line(text), total=None)
        yield lambda done, total, text: progress.update(task, completed=done, total=total, description=one_line(text))


def size_text(size_bytes: int) -> str:
    """``57 bytes``, ``1.2 MB``: decimal, as disks are sold and file managers count."""
    size, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size_bytes} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
