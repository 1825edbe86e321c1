"""Floods through the real daemon: files at full speed, slow copies, rename storms, whole trees. Is anything missing?

Each flood fills a directory of its own. The judge is the disk itself: every file in the lake with its content, and
nothing else; and what was written slowly was taken up once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import Presence
from lakewatchd.testing import LiveDaemon

SETTINGS = (
    '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\nspeech = "off"\nocr = "off"\n'
    "\n[watch]\nsettle_open_s = 20.0\n"
)
SLOW_FILE = "slow.txt"


def at_full_speed(place: Path, size: int) -> None:
    """``size`` small files, a hundred to a directory, as fast as they can be made."""
    for number in range(size):
        directory = place / str(number // 100)
        if number % 100 == 0:
            directory.mkdir(parents=True)
        with (directory / f"{number}.txt").open("wb", buffering=0) as file:
            file.write(b"note %d\n" % number)


def slowly(place: Path, size: int) -> None:
    """One file that grows for a while, open all the time and never quiet for long. ``size`` changes nothing."""
    place.mkdir()
    with (place / SLOW_FILE).open("wb", buffering=0) as file:
        for number in range(25):
            file.write(b"a piece of %d\n" % number)
            time.sleep(0.1)


def rename_storm(place: Path, size: int) -> None:
    """Files that change their names, and the directory above them its own, again and again."""
    place.mkdir()
    for number in range(size // 20):
        (place / f"{number}.txt").write_bytes(b"wanderer %d\n" % number)
    for turn in range(20):
        for number in range(size // 20):
            (place / f"{number}.{turn}.txt" if turn else place / f"{number}.txt").rename(
                place / f"{number}.{turn + 1}.txt"
            )
        place.rename(place.with_name("away"))
        place.with_name("away").rename(place)


def copied(place: Path, size: int) -> None:
    """``cp -a`` of a tree whose files are old."""
    source = place.parent.parent / "to-be-copied"
    at_full_speed(source, size // 2)
    for path in source.rglob("*.txt"):
        path.write_bytes(b"old " + path.read_bytes())
        os.utime(path, (1e9, 1e9))
    subprocess.run(["cp", "-a", str(source), str(place)], check=True)
    shutil.rmtree(source)


def come_and_gone(place: Path, size: int) -> None:
    """Half of the files are deleted while the others still arrive, and a part comes back with other content."""
    place.mkdir()
    for number in range(size // 4):
        (place / f"{number}.txt").write_bytes(b"fleeting %d\n" % number)
        if number % 2:
            (place / f"{number - 1}.txt").unlink()
        if number % 10 == 9:
            (place / f"{number - 5}.txt").write_bytes(b"again %d\n" % number)


FLOODS: Mapping[str, Callable[[Path, int], None]] = {
    "files": at_full_speed,
    "slow": slowly,
    "renames": rename_storm,
    "tree": copied,
    "fleeting": come_and_gone,
}


@dataclass(frozen=True, slots=True)
class Flooded:
    files: int
    """On disk at the end."""
    wrong: list[str]
    """What the lake lacks, has with other content, or should not have."""
    most_looks: int
    """Ingest runs of the place looked at most, of those written once."""
    slow_looks: int
    """The same of the slow file."""
    written_s: float
    drained_s: float
    """From the last write until all was indexed."""


def flood(base: Path, size: int) -> Flooded:
    """All floods at once, on a daemon of their own."""
    root = base / "nas"
    root.mkdir(parents=True)
    with LiveDaemon(base / "d", root, settings=SETTINGS) as daemon:
        began = time.monotonic()
        with ThreadPoolExecutor(len(FLOODS)) as threads:
            for done in [threads.submit(act, root / name, size) for name, act in FLOODS.items()]:
                done.result()
        written = time.monotonic()
        daemon.ask("wait_idle", timeout_s=3600)
        drained = time.monotonic()
        lake = daemon.state / "lake"
        looks = _looks(lake)
        once = [times for place, times in looks.items() if place.startswith(("nas:files/", "nas:tree/"))]
        return Flooded(
            files=sum(len(names) for _, _, names in os.walk(root)),
            wrong=asyncio.run(_wrong(root, lake)),
            most_looks=max(once),
            slow_looks=looks[f"nas:slow/{SLOW_FILE}"],
            written_s=written - began,
            drained_s=drained - written,
        )


async def _wrong(root: Path, lake: Path) -> list[str]:
    reader = LakeReader(lake)
    try:
        rows = [row async for row in reader.all_occurrences() if row.presence is Presence.PRESENT]
    finally:
        reader.close()
    found, there = {row.key.path: row.asset_id for row in rows}, _contents(root)
    doubled = [f"twice: {path}" for path, times in Counter(row.key.path for row in rows).items() if times > 1]
    missing = [f"missing: {path}" for path in sorted(there.keys() - found.keys())]
    too_many = [f"not there: {path}" for path in sorted(found.keys() - there.keys())]
    return doubled + missing + too_many + [
        f"other content: {path}" for path in sorted(there.keys() & found.keys()) if there[path] != found[path]
    ]  # fmt: skip


def _contents(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): blake3(path.read_bytes()).hexdigest() for path in files}


def _looks(lake: Path) -> Counter[str]:
    import lance

    table = lance.dataset(str(lake / "lineage.lance")).to_table(columns=["subject"], filter="stage = 'ingest'")
    return Counter(table.to_pydict()["subject"])
