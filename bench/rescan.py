#!/usr/bin/env -S python3 -P
"""What a rescan costs beside a bare ``find``: time, memory, and the same after some files changed.

    python -m bench.rescan [--files 500000] [--per-directory 100] [--turns 5] [--dir DIR]

The scanner runs over the real queue database, each scan in a process of its own so that its peak memory is its own.
``find ROOT -printf '%i %s %T@ %P\\n'`` walks the same tree between the scans; ratios are of medians in one run. Needs
about 2 GB below --dir and, with the default size, three minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from lakewatchd.config import IGNORE_DEFAULT, QueueConfig
from lakewatchd.core.asset import Occurrence, PathKey
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change
from lakewatchd.daemon.wiring import QueueThread, ScanPast
from lakewatchd.queue.store import QueueStore
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root
from lakewatchd.sources.scan import Scanner

ROOT = "bench"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one scan. ``peak_mb`` is what it took above what the process had before it."""

    seconds: float
    events: int
    peak_mb: float


def make_tree(base: Path, files: int, per_directory: int) -> None:
    for number in range(0, files, per_directory):
        directory = base / str(number // per_directory // 250) / f"{number // per_directory:06}"
        directory.mkdir(parents=True)
        fd = os.open(directory, os.O_RDONLY)
        for n in range(number, min(files, number + per_directory)):
            os.close(os.open(f"IMG_{n:08}.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)


def change_some(base: Path, files: int, per_directory: int, share: float) -> None:
    """Spread evenly, so that with 1 % every directory of a hundred files has one."""
    for n in range(0, files, int(1 / share)):
        directory = base / str(n // per_directory // 250) / f"{n // per_directory:06}"
        (directory / f"IMG_{n:08}.jpg").write_bytes(b"x" * (n % 7 + 1))


def find_s(base: Path) -> float:
    started = time.perf_counter()
    argv = ["find", str(base), "-printf", r"%i %s %T@ %P\n"]
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def scan(base: Path, database: Path, *, take_in: bool) -> Cost:
    """One scan in this process. ``take_in``: what it tells is then known, as after the jobs it leads to."""
    thread = QueueThread(SystemClock())
    with closing(thread), closing(thread.wait(QueueStore, database, QueueConfig(), SystemClock())) as queue:
        past = ScanPast(database, queue.seen, thread)
        rules = IgnoreRules(base, IGNORE_DEFAULT)
        past.count(ROOT)
        before, started = _peak_mb(), time.perf_counter()
        events = 0
        for batch in Scanner(Root(ROOT, base), rules, past, SystemClock(), memory=past).scan():
            events += len(batch)
            if take_in:
                places = [Occurrence(e.key, "aa", e.version) for e in batch if e.version is not None]
                gone = [PathKey(ROOT, e.key.path) for e in batch if e.change is Change.REMOVED]
                thread.wait(queue.seen.record, places, gone)
        return Cost(time.perf_counter() - started, events, _peak_mb() - before)


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def scan_apart(base: Path, database: Path, *, take_in: bool = False) -> Cost:
    argv = [sys.executable, "-m", "bench.rescan", "--one", str(base), str(database), *(["--take-in"] * take_in)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return Cost(**json.loads(done.stdout))


def bench(place: Path, files: int, per_directory: int, turns: int) -> None:
    base, database = place / "tree", place / "queue.db"
    base.mkdir()
    make_tree(base, files, per_directory)
    first = scan_apart(base, database, take_in=True)
    compared = scan_apart(base, database)
    if (first.events, compared.events) != (files, 0):
        sys.exit(f"wrong: {first.events} events, then {compared.events}")
    finds, unchanged = [], []
    for _ in range(turns):
        finds.append(find_s(base))
        unchanged.append(scan_apart(base, database))
    change_some(base, files, per_directory, 0.01)
    changed = scan_apart(base, database)
    find = statistics.median(finds)
    median = statistics.median(cost.seconds for cost in unchanged)
    print(f"{files:,} files in {files // per_directory:,} directories, {turns} turns, load {os.getloadavg()[0]:.1f}")
    rows = [
        ("find -printf", find, None),
        ("everything new, taken in", first.seconds, first),
        ("compared, digests kept", compared.seconds, compared),
        ("nothing changed", median, max(unchanged, key=lambda cost: cost.peak_mb)),
        ("1 % changed, spread evenly", changed.seconds, changed),
    ]
    print(f"{'':28} {'s':>6} {'x find':>7} {'events':>8} {'peak MB':>8}")
    for name, seconds, cost in rows:
        rest = f"{cost.events:8,} {cost.peak_mb:8.1f}" if cost is not None else ""
        print(f"{name:28} {seconds:6.2f} {seconds / find:7.2f} {rest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--per-directory", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="where to work (default: the temp directory)")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--take-in", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(asdict(scan(*args.one, take_in=args.take_in))))
        return
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=args.dir) as place:
        bench(Path(place), args.files, args.per_directory, args.turns)


if __name__ == "__main__":
    main()
