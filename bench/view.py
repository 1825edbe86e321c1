"""The view beside the directory it shows: 100 000 files in one folder, listed, looked at and read.

    .venv/bin/python -m bench.view [--files N] [--rounds N] [--megabytes N]

Needs /dev/fuse. Prints the median of each over some rounds, native and view interleaved, and their ratio. Before a
*cold* figure the view is mounted anew, so the kernel knows nothing of it; the native directory stays in the page cache
throughout, which is the harder comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from lakewatchd.config import RootConfig, ViewConfig
from lakewatchd.core.asset import Kind, PathKey, Tag, Version
from lakewatchd.lake.reader import Changes
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence

STATS = 5_000


class DirectoryFeed:
    """A lake that says of every file in a directory that it is there, with one tag."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        if revision:
            yield Changes(revision, False)
            return
        occurrences, gold = [], []
        with os.scandir(self._root) as listing:
            for number, entry in enumerate(listing):
                key, asset, found = PathKey("bench", entry.name), f"{number:064x}", Version.of(entry.stat())
                place = (asset, Kind.IMAGE, "image/jpeg", found, Presence.PRESENT, float(number), 0.0)
                occurrences.append(OccurrenceRow(key, *place))
                gold.append(_gold(asset, key))
        yield Changes(1, True, tuple(occurrences), tuple(gold))


def _gold(asset: str, key: PathKey) -> GoldRow:
    when = dt.datetime(2023, 7, 1)  # noqa: DTZ001 (wall-clock time, as the row says)
    return GoldRow(asset, Kind.IMAGE, "", "", 0.0, (Tag("all", 1.0, "model"),), "", when, "exif", "", None, key, 0, 1)


def serve(root: Path, mountpoint: Path) -> None:
    from lakewatchd.views.mount import serve as serve_view

    view, roots = ViewConfig(mountpoint=mountpoint), [RootConfig("bench", root)]
    asyncio.run(serve_view(DirectoryFeed(root), view, roots, lambda: print("mounted", flush=True)))


class Mounted:
    """The view in a process of its own; ``folder`` is what to compare with the root."""

    def __init__(self, root: Path, mountpoint: Path) -> None:
        self.folder = mountpoint / "by-tag" / "all"
        command = [sys.executable, "-m", "bench.view", "--serve", str(root), str(mountpoint)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline().strip() == "mounted"

    def end(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ls(flags: str, folder: Path) -> float:
    command = ["ls", flags, str(folder)]
    return seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))


def stat_some(folder: Path, names: list[str]) -> float:
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 (the loop is what is measured)
    return seconds(lambda: [os.stat(path) for path in paths]) / len(paths)  # noqa: PTH116


def read(file: Path) -> float:
    def all_of_it() -> None:
        with file.open("rb", buffering=0) as opened:
            while opened.read(1 << 20):
                pass

    return seconds(all_of_it)


Figures = dict[str, dict[str, list[float]]]


def one_round(figures: Figures, root: Path, mountpoint: Path, names: list[str], big: str) -> None:
    """Every figure once, for both sides; each cold one on a view that was just mounted."""

    def note(what: str, side: str, value: float) -> None:
        figures.setdefault(what, {}).setdefault(side, []).append(value)

    some = random.sample(names, min(STATS, len(names)))
    listings = ("ls -f", "-f"), ("ls -l", "-l")
    for what, flags in listings:
        view = Mounted(root, mountpoint)
        for when in ("cold", "again"):
            note(f"{what}, {when}: s", "native", ls(flags, root))
            note(f"{what}, {when}: s", "view", ls(flags, view.folder))
        view.end()
    view = Mounted(root, mountpoint)
    (view.folder / some[0]).stat()  # the first look at a folder names its files: that is in "ls, cold"
    for when in ("cold", "again"):
        note(f"stat, {when}: us", "native", stat_some(root, some) * 1e6)
        note(f"stat, {when}: us", "view", stat_some(view.folder, some) * 1e6)
    size_mb = (root / big).stat().st_size / 1e6
    for when in ("cold", "again"):
        note(f"read, {when}: MB/s", "native", size_mb / read(root / big))
        note(f"read, {when}: MB/s", "view", size_mb / read(view.folder / big))
    view.end()


def table(figures: Figures) -> str:
    lines = ["| | native | view | view / native | range of the ratio |", "|---|---|---|---|---|"]
    for what, sides in figures.items():
        native, view = (statistics.median(sides[side]) for side in ("native", "view"))
        ratios = [v / n for n, v in zip(sides["native"], sides["view"], strict=True)]
        lines.append(
            f"| {what} | {native:.3g} | {view:.3g} | {view / native:.2f} | {min(ratios):.2f}-{max(ratios):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--serve", nargs=2, type=Path, metavar=("ROOT", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(*args.serve)
        return
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-") as place:
        root, mountpoint = Path(place, "root"), Path(place, "view")
        root.mkdir()
        mountpoint.mkdir()
        names = [f"IMG_{number:06}.jpg" for number in range(args.files)]
        for name in names:
            (root / name).touch()
        with (root / "big.bin").open("wb") as big:
            for _ in range(args.megabytes):
                big.write(os.urandom(1 << 20))
        figures: Figures = {}
        for _ in range(args.rounds):
            one_round(figures, root, mountpoint, names, "big.bin")
        print(f"{args.files} files in one folder, median of {args.rounds} rounds\n")
        print(table(figures))


if __name__ == "__main__":
    main()
