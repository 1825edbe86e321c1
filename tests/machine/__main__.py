"""The soak: hundreds of random histories, each compared with a fresh index; a table at the end.

python -m tests.machine --sequences 500 [--seed 1]
python -m tests.machine --replay FILE
python -m tests.machine --flood 20000       files at full speed, slow copies, rename storms, trees; all at once

Exit 0 if nothing differed, 1 if something did; its scripts are printed, and can be replayed from a file.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from .floods import flood
from .lab import Lab
from .machine import Tally, Wrong, read_script, replay, run

CHUNK = 25
"""Histories of one Hypothesis run: after a failure the next chunk begins with another seed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, help="a script, as a failure prints it")
    parser.add_argument("--flood", type=int, metavar="FILES", help="instead of histories")
    parser.add_argument("--times", type=int, default=1, help="of the replay: some failures need luck")
    parser.add_argument("--no-shrink", action="store_true", help="report a failure as it was found")
    parser.add_argument("--without", default="", help="operations to leave out, with commas between them")
    args = parser.parse_args()
    if args.flood:
        return _flood(args.flood)
    tally = Tally()
    with Lab() as lab:
        if args.replay is not None:
            _replay(lab, tally, args.replay.read_text(), args.times)
        else:
            with contextlib.suppress(KeyboardInterrupt):  # the table tells what was done until then
                _soak(lab, tally, args)
    print(table(tally))
    return 1 if tally.failures else 0


def _soak(lab: Lab, tally: Tally, args: argparse.Namespace) -> None:
    seed, without = args.seed, args.without.split(",")
    while tally.histories < args.sequences:
        wanted = min(CHUNK, args.sequences - tally.histories)
        try:
            run(lab, tally, wanted, seed, shrink=not args.no_shrink, without=without)
        except Wrong as exc:
            tally.failures.append(str(exc))
            print(f"--- seed {seed} failed: {exc}\n", flush=True)
        seed += 1
        each = tally.seconds / max(1, tally.histories)
        print(f"{tally.histories} histories, {len(tally.failures)} failures, {each:.1f} s each", flush=True)


def _replay(lab: Lab, tally: Tally, script: str, times: int) -> None:
    for _ in range(times):
        try:
            replay(lab, read_script(script), tally, print)
        except Wrong as exc:
            tally.failures.append(str(exc))
            print(exc)


def _flood(size: int) -> int:
    with tempfile.TemporaryDirectory(prefix="lw-flood-") as base:
        told = flood(Path(base), size)
    print(f"{told.files} files written in {told.written_s:.1f} s, indexed {told.drained_s:.1f} s later")
    print(f"most looks at a file that was written once: {told.most_looks}; at the slow copy: {told.slow_looks}")
    print(f"missing or wrong: {len(told.wrong)}", *told.wrong[:20], sep="\n  ")
    return 1 if told.wrong else 0


def table(tally: Tally) -> str:
    lines = [f"{name:18} {count:7} {tally.in_vain[name]:9}" for name, count in sorted(tally.operations.items())]
    total = f"{'all':18} {tally.operations.total():7} {tally.in_vain.total():9}"
    head = f"{'operation':18} {'done':>7} {'in vain':>9}"
    verdict = f"{tally.histories} histories in {tally.seconds:.0f} s, {len(tally.failures)} with differences"
    return "\n".join([head, *lines, total, verdict])


if __name__ == "__main__":
    sys.exit(main())
