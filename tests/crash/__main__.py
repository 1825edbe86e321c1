"""Every fault at every point: ``python -m tests.crash [--list] [--only PATTERN] [--jobs N] [--random N --seed S]``.

With ``--lake s3`` the lake is in a bucket, and the server fails too. With ``--root bucket`` a bucket is watched.

After each, the daemon is started sound, drained, and compared with a fresh index of the same files. Exit 1 when a cell
is red. A red cell keeps its directory (lake, queue, log) when ``--keep DIR`` is given.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash import cases
from tests.crash.matrix import Cell, Matrix
from tests.servers import juicefs_gateway


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="such as 'kill ack*'; repeatable"
    )
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N kills at later passes, instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what red cells left behind there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lake", choices=("directory", "s3"), default="directory", help="where it is")
    parser.add_argument("--root", choices=("directory", "bucket"), default="directory", help="what is watched")
    args = parser.parse_args(argv)
    if (args.lake, args.root) == ("s3", "bucket"):
        parser.error("one of both at a time")
    whole = cases.in_bucket if args.lake == "s3" else cases.of_bucket if args.root == "bucket" else cases.matrix
    table = tuple(cases.at_random(args.random, args.seed)) if args.random else whole()
    chosen = [case for case in table if not args.only or any(fnmatch.fnmatch(case.name, only) for only in args.only)]
    if args.list:
        print("\n".join(case.name for case in chosen))
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lakewatchd-crash-") as scratch, contextlib.ExitStack() as running:
        is_bucket = args.root == "bucket"
        gateway = running.enter_context(juicefs_gateway(Path(scratch) / "gateway")) if is_bucket else None
        matrix = Matrix(args.keep or Path(scratch), args.keep is not None, args.lake == "s3", gateway)
        with ThreadPoolExecutor(args.jobs) as pool:
            cells = [_told(cell, quiet=args.json) for cell in pool.map(matrix.play, chosen)]
    took = time.monotonic() - began
    print(_as_json(cells, took) if args.json else _summary(cells, took))
    return 1 if any(cell.problem for cell in cells) else 0


def _told(cell: Cell, *, quiet: bool) -> Cell:
    if not quiet:
        print(f"{'RED  ' if cell.problem else 'green'} {cell.took_s:6.1f} s  {cell.name}", flush=True)
        if cell.problem:
            print(f"        {cell.problem[:1500]}", flush=True)
    return cell


def _summary(cells: Iterable[Cell], took_s: float) -> str:
    cells = list(cells)
    red = sum(bool(cell.problem) for cell in cells)
    return f"{len(cells)} cells, {red} red, {took_s:.0f} s"


def _as_json(cells: Iterable[Cell], took_s: float) -> str:
    rows = [{"name": cell.name, "seconds": round(cell.took_s, 1), "problem": cell.problem} for cell in cells]
    return json.dumps({"cells": rows, "red": sum(bool(row["problem"]) for row in rows), "seconds": round(took_s, 1)})


if __name__ == "__main__":
    sys.exit(main())
