"""Hypothesis chooses a history; a failing one is shrunk to a script that can be read and replayed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from .lab import DAEMON_OPERATIONS, Lab
from .world import FILE_OPERATIONS, Operation

NUMBERS = st.integers(0, 255)
AROUND = ("away", "impostor", "back", "ignore", "unignore")
CHANGES = tuple(name for name in FILE_OPERATIONS if name not in (*AROUND, "pause"))
STEPS = 14

_LINE = re.compile(r"\s*\d+\.\s+(\w+) (\d+) (\d+)")


class Wrong(AssertionError):
    """A history whose lake is not what a fresh one would be. The message is its script and what differs."""


@dataclass(slots=True)
class Tally:
    """What a run of histories did."""

    histories: int = 0
    failures: list[str] = field(default_factory=list)
    """The script of each failing run, as small as it became."""
    scripts: list[str] = field(default_factory=list)
    """Every script that failed, also those that did not fail again."""
    operations: Counter[str] = field(default_factory=Counter)
    in_vain: Counter[str] = field(default_factory=Counter)
    """Operations that found nothing to do."""
    seconds: float = 0.0


@dataclass(slots=True)
class History:
    """Operations done so far in a lab, as the lines of a script."""

    lab: Lab
    tally: Tally
    lines: list[str] = field(default_factory=list)

    def do(self, operation: Operation) -> None:
        told = self.lab.do(operation)
        self.tally.operations[operation.name] += 1
        self.tally.in_vain[operation.name] += told.startswith("nothing")
        self.lines.append(f"{len(self.lines) + 1:3}. {operation!s:24} # {told}")

    def judge(self) -> None:
        """Raises :class:`Wrong`."""
        try:
            wrong = self.lab.verdict()
        except Exception as exc:
            wrong = [f"{type(exc).__name__}: {exc}"]
        if wrong:
            self.lab.is_spoilt = True
            self.tally.scripts.append("\n".join(["", *self.lines, "", *wrong[:30]]))
            raise Wrong(self.tally.scripts[-1])


def read_script(text: str) -> list[Operation]:
    """The operations of a script; lines that are none are passed over."""
    found = (_LINE.match(line) for line in text.splitlines())
    return [Operation(match[1], int(match[2]), int(match[3])) for match in found if match]


def replay(lab: Lab, operations: Iterable[Operation], tally: Tally, say: Callable[[str], None]) -> None:
    """Do the operations one by one; raises :class:`Wrong`."""
    lab.begin()
    history = History(lab, tally)
    for operation in operations:
        history.do(operation)
        say(history.lines[-1])
    tally.histories += 1
    history.judge()


def machine(lab: Lab, tally: Tally, without: Collection[str] = ()) -> type[RuleBasedStateMachine]:
    """The state machine that works in ``lab``."""
    changes = [name for name in CHANGES if name not in without]
    around = [name for name in AROUND if name not in without]

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            lab.begin()
            self.history = History(lab, tally)

        @initialize(files=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6), is_indexed=st.booleans())
        def begin(self, files: list[tuple[int, int]], is_indexed: bool) -> None:
            for a, b in files:
                self.history.do(Operation("create", a, b))
            if is_indexed:
                self.history.do(Operation("drain"))

        @rule(name=st.sampled_from(changes), a=NUMBERS, b=NUMBERS)
        def change(self, name: str, a: int, b: int) -> None:
            self.history.do(Operation(name, a, b))

        @rule(name=st.sampled_from(changes), a=NUMBERS, b=NUMBERS, pause=st.integers(0, 4))
        def change_and_wait(self, name: str, a: int, b: int, pause: int) -> None:
            self.history.do(Operation(name, a, b))
            self.history.do(Operation("pause", pause))

        @rule(name=st.sampled_from(around), a=NUMBERS, b=NUMBERS)
        def change_around(self, name: str, a: int, b: int) -> None:
            self.history.do(Operation(name, a, b))

        @rule(name=st.sampled_from(DAEMON_OPERATIONS))
        def daemon(self, name: str) -> None:
            self.history.do(Operation(name))

        def teardown(self) -> None:
            tally.histories += 1
            self.history.judge()

    return Machine


def run(
    lab: Lab,
    tally: Tally,
    histories: int,
    number: int,
    *,
    shrink: bool = True,
    without: Collection[str] = (),
    steps: int = STEPS,
) -> None:
    """So many histories of one seed; raises :class:`Wrong` with the smallest failing script found."""
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    how = settings(
        max_examples=histories,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    began, known = time.monotonic(), len(tally.scripts)
    try:
        run_state_machine_as_test(seed(number)(machine(lab, tally, without)), settings=how)
    except Exception as exc:
        failed = tally.scripts[known:]
        if not failed:
            raise
        raise Wrong(min(reversed(failed), key=lambda script: script.count("\n"))) from exc
    finally:
        tally.seconds += time.monotonic() - began
