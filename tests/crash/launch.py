"""The real ``lakewatchd`` with one fault in it: ``python -m tests.crash.launch --at ack.before --do kill -- run``.

Functions of the product are wrapped before its ``main`` runs; nothing else differs. What happened goes to the
``--trail``, a line each, which outlives a ``kill -9``: that a fault struck, and how often each asset was decoded.
"""

from __future__ import annotations

import argparse
import asyncio
import builtins
import errno
import functools
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.points import BY_NAME, Point

Call = tuple[Any, ...]


@dataclass(slots=True)
class Trail:
    """Appended with one write each: lines of several processes and of a killed one stay whole."""

    path: Path

    def note(self, line: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(f"{line}\n".encode())


@dataclass(slots=True)
class Fault:
    do: str
    """``kill``, ``stop``, ``hang``, ``kill-child``, ``raise:NAME``, ``clock:SECONDS``, ``rival``."""
    hit: int
    """The first call to strike, from 1."""
    times: int
    """How many calls from there on."""
    armed: Path | None
    """Calls count once this file exists."""
    label: str
    trail: Trail
    calls: int = 0

    def strike(self, args: Call) -> None:
        if self.armed is not None and not self.armed.exists():
            return
        self.calls += 1
        if self.hit <= self.calls < self.hit + self.times:
            self.trail.note(f"struck {self.label}")
            self._act(args)

    def _act(self, args: Call) -> None:
        kind, _, what = self.do.partition(":")
        match kind:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "hang":
                time.sleep(3600)
            case "kill-child":
                os.kill(args[0].pid, signal.SIGKILL)
            case "raise":
                raise _error(what)
            case "clock":
                _set_clock(float(what))
            case "rival":
                _commit_beside(*args)
            case _:
                raise SystemExit(f"unknown fault {self.do!r}")


def _error(name: str) -> BaseException:
    """``ENOSPC`` as the system raises it, ``Busy`` as lakewatchd does, ``RuntimeError`` as a bug would."""
    from lakewatchd import errors

    if number := getattr(errno, name, None):
        return OSError(number, os.strerror(number))
    kind = getattr(errors, name, None) or getattr(builtins, name)
    error: BaseException = kind("injected by a test")
    return error


def _set_clock(ahead_s: float) -> None:
    """The wall clock jumps; the monotonic one, as in the kernel, does not."""
    from lakewatchd.core.clock import SystemClock

    SystemClock.now = lambda self: time.time() + ahead_s  # type: ignore[method-assign]


def _commit_beside(dataset: Any, *_rest: object) -> None:
    """Another process rewrites rows of the very table, without changing what they say, just before our commit."""
    import lance

    lance.dataset(dataset.uri).update({"revision": "revision"})


def wrap(point: Point, moment: str, strike: Callable[[Call], None]) -> None:
    """Have ``strike`` called with the arguments of each call of the point."""
    holder, name = point.resolve()
    static = inspect.getattr_static(holder, name)
    function = getattr(static, "__func__", static)

    def around(args: Call, at: str) -> None:
        if at == moment and point.which(args):
            strike(args)

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        around(args, "before")
        result = function(*args, **kwargs)
        around(args, "after")
        return result

    @functools.wraps(function)
    async def waited(*args: Any, **kwargs: Any) -> Any:
        around(args, "before")
        result = await function(*args, **kwargs)
        around(args, "after")
        return result

    wrapped: Any = waited if asyncio.iscoroutinefunction(function) else plain
    setattr(holder, name, type(static)(wrapped) if static is not function else wrapped)


def count(trail: Trail) -> None:
    """How often each asset was begun to be decoded, and how often that was done; and all that a model looks at."""
    for moment, word in (("before", "begin"), ("after", "decode")):
        wrap(BY_NAME["decode"], moment, lambda args, word=word: trail.note(f"{word} {args[2].asset_id}"))
    wrap(BY_NAME["embed"], "after", lambda args: trail.note("embed"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trail", type=Path, required=True)
    parser.add_argument("--at", help="POINT.before or POINT.after")
    parser.add_argument("--do", default="kill")
    parser.add_argument("--hit", type=int, default=1)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--armed", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    trail = Trail(args.trail)
    count(trail)
    if args.at:
        name, _, moment = args.at.rpartition(".")
        fault = Fault(args.do, args.hit, args.times, args.armed, args.at, trail)
        wrap(BY_NAME[name], moment, fault.strike)
    from lakewatchd.cli.main import main as lakewatchd

    return lakewatchd(args.command[1:] if args.command[:1] == ["--"] else args.command)


if __name__ == "__main__":
    sys.exit(main())
