#!/usr/bin/env -S python3 -P
"""What the rescan of a bucket costs beside ``rclone lsf`` of the same bucket: objects a second, and memory.

    python -m bench.bucket_rescan [--objects 20000] [--turns 5] [--server juicefs|weed] [--dir DIR]

A real server, small objects in folders of a thousand, the real client and the real queue database. rclone lists the
same bucket between the rescans in both of its ways, folder by folder and all at once (``--fast-list``); the claim is
about the faster of them. It is told to take times from the listing: by itself it asks for each object. Ratios are of
medians in one run. Putting the objects takes most of the time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.common import Claim, Report, options
from lakewatchd.buckets.client import Bucket
from lakewatchd.config import BucketConfig, ObjectsConfig, QueueConfig, WatchConfig
from lakewatchd.core.asset import Occurrence
from lakewatchd.core.clock import SystemClock
from lakewatchd.daemon.wiring import QueueThread, ScanPast
from lakewatchd.queue.store import QueueStore
from lakewatchd.sources.bucket.compare import Comparer
from lakewatchd.sources.bucket.names import Names
from lakewatchd.sources.bucket.told import Told
from lakewatchd.sources.known import ScanOptions
from lakewatchd.sources.missing import RemovalGuard
from tests.servers import S3Server, juicefs_gateway, seaweedfs

ROOT = BUCKET = "bench"
RCLONE = Path(sys.prefix, "bin", "rclone")
SERVERS = {"juicefs": juicefs_gateway, "weed": seaweedfs}
PUTTERS = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one rescan. ``peak_mb`` is what it took above what the process had before it."""

    seconds: float
    seen: int
    events: int
    peak_mb: float


def fill(server: S3Server, objects: int) -> None:
    client = server.client()
    client.make_bucket(BUCKET)

    def put(number: int) -> None:
        name = f"{number // 1000:04}/IMG_{number:08}.jpg"
        client.put_object(BUCKET, name, io.BytesIO(b"%d" % number), len(b"%d" % number))

    with ThreadPoolExecutor(PUTTERS) as pool:
        for _ in pool.map(put, range(objects)):
            pass


def rescan(endpoint: str, access_key: str, secret_key: str, database: Path, *, take_in: bool) -> Cost:
    """One rescan in this process. ``take_in``: what it tells is then known, as after the jobs it leads to."""
    settings = BucketConfig(ROOT, BUCKET, endpoint, access_key=access_key, secret_key=secret_key)
    thread, names = QueueThread(SystemClock()), Names(settings, WatchConfig())
    with closing(thread), closing(thread.wait(QueueStore, database, QueueConfig(), SystemClock())) as queue:
        past = ScanPast(database, queue.seen, thread)
        past.count(ROOT)
        bucket = Bucket(settings, ObjectsConfig())
        bucket.require()
        comparer = Comparer(ROOT, bucket, names, past, Told(), RemovalGuard(), SystemClock())
        before, started, events = _peak_mb(), time.perf_counter(), 0
        comparison = comparer.compare("", ScanOptions(), lambda summary: None)
        for batch in comparison:
            events += len(batch)
            if take_in:
                places = [Occurrence(event.key, "aa", event.version) for event in batch if event.version is not None]
                thread.wait(queue.seen.record, places)
        return Cost(time.perf_counter() - started, comparison.summary.seen, events, _peak_mb() - before)


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def rescan_apart(server: S3Server, database: Path, *, take_in: bool = False) -> Cost:
    argv = [sys.executable, "-P", "-m", "bench.bucket_rescan", "--one", server.endpoint, server.access_key,
            server.secret_key, str(database), *(["--take-in"] * take_in)]  # fmt: skip
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return Cost(**json.loads(done.stdout))


def rclone_s(server: S3Server, *more: str) -> float:
    remote = f":s3,provider=Minio,endpoint='{server.endpoint}':{BUCKET}"
    environ = {**os.environ, "RCLONE_S3_ACCESS_KEY_ID": server.access_key, "RCLONE_CONFIG": os.devnull,
               "RCLONE_S3_SECRET_ACCESS_KEY": server.secret_key}  # fmt: skip
    started = time.perf_counter()
    argv = [str(RCLONE), "lsf", "-R", "--files-only", "--format", "pst", "--use-server-modtime", *more, remote]
    listed = subprocess.run(argv, stdout=subprocess.PIPE, check=True, env=environ).stdout.count(b"\n")
    took = time.perf_counter() - started
    if not listed:
        sys.exit("rclone listed nothing")
    return took


def bench(place: Path, server: S3Server, objects: int, turns: int) -> Report:
    fill(server, objects)
    database = place / "queue.db"
    first = rescan_apart(server, database, take_in=True)
    costs: list[Cost] = []
    listings: dict[str, list[float]] = {"folder by folder": [], "--fast-list": []}
    for _ in range(turns):
        costs.append(rescan_apart(server, database))
        listings["folder by folder"].append(rclone_s(server))
        listings["--fast-list"].append(rclone_s(server, "--fast-list"))
    if (first.seen, first.events, costs[-1].seen, costs[-1].events) != (objects, objects, objects, 0):
        sys.exit(f"wrong: {first}, then {costs[-1]}")
    ours = objects / statistics.median(cost.seconds for cost in costs)
    theirs = {name: objects / statistics.median(found) for name, found in listings.items()}
    report = Report()
    report.claims.append(Claim("rescan of a bucket where nothing changed", ours, "objects/s"))
    report.claims.append(Claim.at_least("the same as a share of rclone lsf", ours / max(theirs.values()), "x", 1.0))
    report.claims.append(Claim("memory of a rescan", max(cost.peak_mb for cost in costs), "MB"))
    report.details = [
        f"everything new, taken in: {objects / first.seconds:,.0f} objects/s",
        *(f"rclone lsf, {name}: {rate:,.0f} objects/s" for name, rate in theirs.items()),
    ]
    return report


def main(args: Sequence[str] | None = None) -> None:
    parser = options(__doc__)
    parser.add_argument("--objects", type=int)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--server", choices=SERVERS, default="juicefs")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--take-in", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(args)
    if chosen.one:
        *server, database = chosen.one
        print(json.dumps(asdict(rescan(*server, Path(database), take_in=chosen.take_in))))
        return
    objects = chosen.objects or (5000 if chosen.quick else 20_000)
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=chosen.dir) as place:
        (Path(place) / "server").mkdir()
        with SERVERS[chosen.server](Path(place) / "server") as server:
            bench(Path(place), server, objects, chosen.turns).show(chosen.json)


if __name__ == "__main__":
    main()
