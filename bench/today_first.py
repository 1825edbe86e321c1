"""A photo dropped into a busy daemon: seconds until it is in the view, beside the same in an idle one.

    .venv/bin/python -m bench.today_first [--quick] [--json] [--dir DIR]

Claim: with a backfill of 100 000 files queued, a photo dropped now is in the view within the same few seconds.
Method: five photos (quick 3), one at a time, into a warm daemon with an empty queue. The daemon stops, 100 000 small
texts (quick 20 000) appear below its root, and it starts again: its scan queues them as a backfill. When at least
nine tenths wait in the queue and the workers are at it, the same number of other photos is dropped, one at a time,
after one more that is not counted: it loads the models that the new process has not used yet. The
claim is void, and the run fails, unless the backfill is still going on after the last.
Texts because they cost the most per file here: each has a passage to embed. The root lies on tmpfs where there is one.
Peers: none.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.common import (
    Claim,
    Report,
    Sighting,
    daemon,
    drop,
    options,
    photos,
    spread,
    status,
    view,
    warm_up,
    watch_for,
)
from bench.latency import breakdown
from lakewatchd.testing import LiveDaemon

FEW_S = 4.0
"""What "a few seconds" is for bench/latency.py: its 95th percentile."""
FILES_PER_DIRECTORY = 1000
TMPFS = Path("/dev/shm")


def main() -> None:
    chosen = options(__doc__).parse_args()
    files, drops = (20_000, 3) if chosen.quick else (100_000, 5)
    place = chosen.dir or (TMPFS if TMPFS.is_dir() else None)
    with daemon(place) as running, view(running) as mountpoint:
        warm_up(running, mountpoint)
        pictures = list(photos(2 * drops + 1, seed=3))
        idle = drop_each(running, mountpoint, "idle", pictures[:drops])
        running.stop()
        write_texts(running.root / "old", files)
        running.start()
        wait_for_backfill(running, int(0.9 * files))
        queued_before, before = status(running)["queued"], Progress.of(running)
        (first,) = drop_each(running, mountpoint, "first", pictures[-1:])
        busy = drop_each(running, mountpoint, "busy", pictures[drops:-1])
        left, worked = status(running)["queued"], Progress.of(running).since(before)
        if not left or not worked.looked_at + worked.indexed > len(busy) + 1:
            sys.exit(
                f"the backfill was over, or stood still, during the drops: nothing was shown ({left} left, {worked})"
            )
        parts = breakdown(running, [first, *busy])
    found = report(idle, busy, queued_before, left)
    found.details += [
        f"meanwhile {worked.looked_at:,} files were looked at and {worked.indexed:,} indexed, drops included"
    ]
    found.details += [f"first drop after the start, which loads the models of pictures: {first.by_kind_s:.2f} s"]
    found.details += [f"  {name:24} {', '.join(f'{one:.2f}' for one in spent)} s" for name, spent in parts.items()]
    found.show(chosen.json)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the lake holds: proof that the backfill goes on, as the length of the queue is not.

    A file that was looked at leaves another job behind, so the queue is as long as before.
    """

    looked_at: int
    indexed: int

    @classmethod
    def of(cls, running: LiveDaemon) -> Progress:
        import lance

        lake = running.state / "lake"
        places, gold = (lance.dataset(str(lake / f"{name}.lance")) for name in ("bronze_occurrences", "gold_assets"))
        return cls(places.count_rows(), gold.count_rows())

    def since(self, before: Progress) -> Progress:
        return Progress(self.looked_at - before.looked_at, self.indexed - before.indexed)


def report(idle: list[Sighting], busy: list[Sighting], queued_before: int, left: int) -> Report:
    calm, loaded = ([one.by_kind_s for one in group] for group in (idle, busy))
    claims = [
        Claim("drop to view, queue empty, median", statistics.median(calm), "s"),
        Claim.at_most(f"drop to view, {queued_before:,} jobs queued, median", statistics.median(loaded), "s", FEW_S),
        Claim("the slowest of these", max(loaded), "s"),
    ]
    details = [
        f"idle: {spread(calm)} s",
        f"behind a backfill: {spread(loaded)} s; {queued_before:,} jobs queued before, {left:,} after the last drop",
    ]
    return Report(claims, details)


def drop_each(running: LiveDaemon, mountpoint: Path, prefix: str, pictures: list[bytes]) -> list[Sighting]:
    rng, seen = random.Random(prefix), []
    for number, picture in enumerate(pictures):
        time.sleep(rng.uniform(0.5, 1.5))
        name = f"{prefix}-{number}.jpg"
        seen.append(watch_for(mountpoint, name, drop(running.root / name, picture)))
    return seen


def write_texts(folder: Path, count: int) -> None:
    """Short letters, no two the same."""
    for number in range(count):
        if number % FILES_PER_DIRECTORY == 0:
            directory = folder / f"{number // FILES_PER_DIRECTORY:04}"
            directory.mkdir(parents=True)
        (directory / f"letter-{number:06}.txt").write_text(f"Dear {number}, the river turns and the bell waits.\n")


def wait_for_backfill(running: LiveDaemon, jobs: int) -> None:
    """Until so many are queued and some are worked on."""
    deadline = time.monotonic() + 300
    while True:
        now = status(running)
        if now["queued"] >= jobs and now["running"]:
            return
        if time.monotonic() > deadline:
            sys.exit(f"no backfill of {jobs} jobs within five minutes: {now['queued']} queued")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
