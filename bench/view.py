"""The view beside the directory it shows, and beside other file systems in user space.

    .venv/bin/python -m bench.view [--files N] [--tree N] [--rounds N] [--megabytes N]
    .venv/bin/python -m bench.view --files 20000 --rounds 2 --megabytes 256 --tree 400000   # some minutes

Needs /dev/fuse, and root for what it shows at its best: files that the kernel reads by itself (--plain: without).

Two tables. First one folder of 100 000 files: listed, looked at, opened and read; native, by the view, by bindfs (C)
and by ``rclone mount`` (Go), where these are installed, in turns within each round. Before a *cold* figure the mount is
made anew, so the kernel knows nothing of it; the native directory stays in the page cache throughout, which is the
harder comparison. Beside the time there is what of a core the process spends that answers, which says more on a busy
machine. Then a lake of a million assets, 400 000 of them with one tag, without files behind them: what the index costs
to make and to open again, what listing costs, the memory of the process, how soon a new asset is seen where it was just
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from lakewatchd.config import RootConfig, ViewConfig
from lakewatchd.core.asset import Kind, PathKey, Tag, Version
from lakewatchd.lake.reader import Changes
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mounted.feed import Feed

STATS = 5_000
PART = 4_000
FOLDER_FILES = 1_000
TAGGED = 0.4


class DirectoryFeed:
    """A lake that says of every file in a directory that it is there, with one tag."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        if revision:
            yield Changes(revision, False)
            return
        with os.scandir(self._root) as listing:
            rows = [
                _rows(PathKey("bench", entry.name), Version.of(entry.stat()), number, ("all",))
                for number, entry in enumerate(listing)
            ]
        yield Changes(1, True, *zip(*rows, strict=True))


class ManyFeed:
    """A lake of so many assets in folders of a thousand; one more comes when the file ``news`` does."""

    def __init__(self, assets: int, news: Path) -> None:
        self._assets = assets
        self._news = news

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        for start in range(0, 0 if revision else self._assets, PART):
            rows = [self._row(number) for number in range(start, min(start + PART, self._assets))]
            yield Changes(1, True, *zip(*rows, strict=True))
        if revision:
            news = [self._row(self._assets)] if revision == 1 and self._news.exists() else []
            yield Changes(revision + len(news), False, *(zip(*news, strict=True) if news else ()))

    def _row(self, number: int) -> tuple[OccurrenceRow, GoldRow]:
        key = PathKey("bench", f"{number // FOLDER_FILES:04}/IMG_{number:07}.jpg")
        common = ("many",) if number % 10 < TAGGED * 10 else ()
        tags = (*common, f"tag {number % 97}", f"tag {100 + number % 31}")
        return _rows(key, Version(1_000_000 + number, 10**18 + number, 1), number, tags)


def _rows(key: PathKey, version: Version, number: int, tags: tuple[str, ...]) -> tuple[OccurrenceRow, GoldRow]:
    asset = hashlib.sha256(key.path.encode()).hexdigest()
    place = OccurrenceRow(key, asset, Kind.IMAGE, "image/jpeg", version, Presence.PRESENT, float(number), 0.0)
    when = dt.datetime(2000 + number % 24, 1 + number % 12, 1)  # noqa: DTZ001 (wall-clock time, as the row says)
    said = tuple(Tag(tag, 1.0, "model") for tag in tags)
    return place, GoldRow(asset, Kind.IMAGE, "", "people", 0.5, said, "", when, "exif", "", None, key, 0, 1)


def serve(feed: Feed, root: Path, mountpoint: Path, *, is_plain: bool) -> None:
    from lakewatchd.views.mounted.device import Device
    from lakewatchd.views.mounted.index import Index
    from lakewatchd.views.mounted.mount import serve as serve_view
    from lakewatchd.views.mounted.store import open_store

    if is_plain:
        Device.pass_through = lambda *_: 0  # type: ignore[method-assign]
    view, roots = ViewConfig(mountpoint=mountpoint), [RootConfig("bench", root)]
    index = Index(open_store([mountpoint.parent / "state"], "bench"))
    asyncio.run(serve_view(feed, view, roots, lambda: print("mounted", flush=True), index=index))
    index.close()


class View:
    """The view in a process of its own."""

    def __init__(self, root: Path, mountpoint: Path, assets: int = 0, *, is_plain: bool = False) -> None:
        self._command = [
            sys.executable,
            "-m",
            "bench.view",
            "--serve",
            str(root),
            str(mountpoint),
            "--tree",
            f"{assets}",
            *(["--plain"] if is_plain else []),
        ]
        self.folder = mountpoint / "by-tag" / "all"

    def begin(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline().strip() == "mounted"

    def end(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=60)

    @property
    def memory_mb(self) -> float:
        """What of its own it holds in memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) / 1024

    @property
    def cpu_s(self) -> float:
        return cpu_s_of(self._process)


def cpu_s_of(process: subprocess.Popen[str]) -> float:
    """Of all its threads, to the nanosecond where it counts in ticks elsewhere."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


class Mounted:
    """Another file system in user space, in the foreground."""

    def __init__(self, root: Path, mountpoint: Path, command: list[str]) -> None:
        self.folder = mountpoint
        self._command = [*command, str(root), str(mountpoint)]

    def begin(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        while not self.folder.is_mount():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._command[0]} ended at once")
            time.sleep(0.02)

    def end(self) -> None:
        subprocess.run(["fusermount3", "-u", str(self.folder)], check=True)
        self._process.wait(60)

    @property
    def cpu_s(self) -> float:
        return cpu_s_of(self._process)


class Native:
    def __init__(self, root: Path) -> None:
        self.folder = root

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    cpu_s = 0.0


Side = View | Mounted | Native


def sides_of(root: Path, place: Path, *, is_plain: bool) -> dict[str, Side]:
    """Those that are installed; the mountpoints lie in ``place``."""
    rclone = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
    commands = {
        "bindfs": ["bindfs", "-f", "-r"],
        "rclone": [rclone, "mount", "--read-only", "--config", str(place / "rclone.conf")],
    }
    sides: dict[str, Side] = {"native": Native(root), "view": View(root, place / "view", is_plain=is_plain)}
    for name, command in commands.items():
        if shutil.which(command[0]):
            sides[name] = Mounted(root, place / name, command)
    for name in sides:
        (place / name).mkdir(exist_ok=True)
    return sides


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(*command: str | Path) -> float:
    return seconds(lambda: subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True))


def stat_some(folder: Path, names: list[str]) -> float:
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 (the loop is what is measured)
    return seconds(lambda: [os.stat(path) for path in paths]) / len(paths)  # noqa: PTH116


def miss_some(folder: Path, names: list[str]) -> float:
    paths = [os.path.join(folder, f"no {name}") for name in names]  # noqa: PTH118
    return seconds(lambda: [os.path.exists(path) for path in paths]) / len(paths)  # noqa: PTH110


def open_some(folder: Path, names: list[str]) -> float:
    def read_one(path: str) -> None:
        file = os.open(path, os.O_RDONLY)
        os.read(file, 4096)
        os.close(file)

    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118
    return seconds(lambda: [read_one(path) for path in paths]) / len(paths)


def read(file: Path) -> float:
    def all_of_it() -> None:
        with file.open("rb", buffering=0) as opened:
            while opened.read(1 << 20):
                pass

    return seconds(all_of_it)


Figures = dict[str, dict[str, list[float]]]


def one_round(figures: Figures, sides: dict[str, Side], names: list[str], big: str, size_mb: float) -> None:
    """Every figure once, for all sides; each cold one on a mount that was just made."""
    some = random.sample(names, min(STATS, len(names)))
    works: dict[str, Callable[[Path], float]] = {
        "ls -f: s": lambda folder: run("ls", "-f", folder),
        "ls -l: s": lambda folder: run("ls", "-l", folder),
        "find -type f: s": lambda folder: run("find", folder, "-type", "f"),
        "stat: us": lambda folder: stat_some(folder, some) * 1e6,
        "stat of what is not there: us": lambda folder: miss_some(folder, some) * 1e6,
        "open and read 4 KiB: us": lambda folder: open_some(folder, some) * 1e6,
        "read from front to back: MB/s": lambda folder: size_mb / read(folder / big),
    }
    for what, work in works.items():
        for name, side in random.sample(list(sides.items()), len(sides)):
            side.begin()
            for when in ("cold", "again"):
                before_s = side.cpu_s
                figures.setdefault(f"{what}, {when}", {}).setdefault(name, []).append(work(side.folder))
                spent_ms = (side.cpu_s - before_s) * 1e3
                figures.setdefault(f"{what.partition(':')[0]}, {when}: ms of a core", {}).setdefault(name, []).append(
                    spent_ms
                )
            side.end()


def table(figures: Figures) -> str:
    names = sorted(next(iter(figures.values())), key=["native", "view", "bindfs", "rclone"].index)
    lines = [f"| | {' | '.join(names)} | view / native | view / bindfs |", "|---" * (len(names) + 3) + "|"]
    for what in sorted(figures):
        medians = {name: statistics.median(values) for name, values in figures[what].items()}
        ratios = [
            f"{medians['view'] / medians[name]:.2f}" if medians.get(name) else "" for name in ("native", "bindfs")
        ]
        cells = [f"{medians[name]:.3g}" for name in names]
        lines.append(f"| {what} | {' | '.join([*cells, *ratios])} |")
    return "\n".join(lines)


def many(place: Path, assets: int) -> Iterator[tuple[str, float]]:
    """Figures of a lake that large."""
    root, mountpoint = place / "empty", place / "many"
    for folder in (root, mountpoint):
        folder.mkdir()
    view = View(root, mountpoint, assets)
    yield "made, s", seconds(view.begin)
    yield "made, s of a core", view.cpu_s
    yield "memory when made, MB", view.memory_mb
    view.end()
    yield "index on disk, MB", sum(file.stat().st_size for file in (place / "state").iterdir()) / 1e6
    yield "opened again, s", seconds(view.begin)
    yield "memory when opened again, MB", view.memory_mb
    tagged = int(assets * TAGGED)
    yield f"ls -f of a tag of {tagged}, s", run("ls", "-f", mountpoint / "by-tag" / "many")
    yield f"ls -l of a tag of {tagged}, s", run("ls", "-l", mountpoint / "by-tag" / "many")
    yield (
        f"ls -f of two tags, of {tagged} and of {assets // 97}, s",
        run("ls", "-f", mountpoint / "by-tag" / "many" / "tag 5"),
    )
    before_s = view.cpu_s
    new = mountpoint / "by-tag" / "many" / f"IMG_{assets:07}.jpg"
    yield "a new asset is seen after, s", seconds(lambda: wait_for_news(new, place / "news"))
    yield "and costs, ms of a core", (view.cpu_s - before_s) * 1e3
    yield f"find through by-root, {assets} files, s", run("find", mountpoint / "by-root", "-type", "f")
    yield "memory after that, MB", view.memory_mb
    yield f"ls -l of by-kind/image, {assets} files, s", run("ls", "-l", mountpoint / "by-kind" / "image")
    yield "memory after that too, MB", view.memory_mb
    view.end()


def wait_for_news(name: Path, news: Path) -> None:
    """The kernel remembers that there is no such name, until it is told."""
    assert not name.exists()
    news.touch()
    while not name.exists():
        time.sleep(0.005)


def one_folder(place: Path, files: int, rounds: int, megabytes: int, *, is_plain: bool) -> None:
    root = place / "root"
    root.mkdir()
    names = [f"IMG_{number:06}.jpg" for number in range(files)]
    for name in names:
        (root / name).write_bytes(b"x" * 100)
    with (root / "big.bin").open("wb") as big:
        for _ in range(megabytes):
            big.write(os.urandom(1 << 20))
    sides = sides_of(root, place, is_plain=is_plain)
    sides["view"].begin()  # its index is made
    sides["view"].end()
    figures: Figures = {}
    for _ in range(rounds):
        one_round(figures, sides, names, "big.bin", megabytes * 1.048576)
    print(f"{files} files in one folder, median of {rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print(table(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000, help="in one folder; 0 leaves that out")
    parser.add_argument("--tree", type=int, default=1_000_000, help="assets of a lake; 0 leaves that out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--plain", action="store_true", help="the view reads all originals, as where it is not root")
    parser.add_argument("--serve", nargs=2, type=Path, metavar=("ROOT", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        root, mountpoint = args.serve
        feed = ManyFeed(args.tree, mountpoint.parent / "news") if args.tree else DirectoryFeed(root)
        serve(feed, root, mountpoint, is_plain=args.plain)
        return
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-") as made:
        place = Path(made)
        if args.files:
            one_folder(place, args.files, args.rounds, args.megabytes, is_plain=args.plain)
            shutil.rmtree(place / "state")
        if args.tree:
            print(f"\nA lake of {args.tree} assets, load {os.getloadavg()[0]:.1f}\n\n| | |\n|---|---|")
            with contextlib.closing(many(place, args.tree)) as figures:
                for what, figure in figures:
                    print(f"| {what} | {figure:.3g} |", flush=True)


if __name__ == "__main__":
    main()
