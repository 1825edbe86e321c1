"""From the answer to a PUT of a photo to its appearance in the mounted view: seconds, for a daemon that is warm.

    .venv/bin/python -m bench.bucket_latency [--quick] [--json] [--dir DIR]

As ``bench.latency``, and with its aims, but the photos are put into a bucket of JuiceFS's gateway, which is MinIO's
code, and the daemon hears of them by that server's stream of notifications alone.
Peers: none do this.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
from pathlib import Path

from bench.common import daemon, options, photos, status, view, warm_up, watch_for
from bench.latency import breakdown, report
from lakewatchd.testing import wait_until
from tests.servers import S3Server, juicefs_gateway

ROOT = BUCKET = "bench"


def main() -> None:
    chosen = options(__doc__).parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=chosen.dir) as place,
        juicefs_gateway(Path(place)) as server,
    ):
        server.make_bucket(BUCKET)
        with daemon(chosen.dir, settings=root(server)) as running, view(running) as mountpoint:
            warm_up(running, mountpoint)
            wait_until(lambda: all(way["is_connected"] for way in status(running)["roots"][1]["ways"]), 60)
            sdk, seen, rng = server.client(), [], random.Random(1)
            for number, photo in enumerate(photos(8 if chosen.quick else 40, seed=1)):
                time.sleep(rng.uniform(0.3, 1.3))
                name = f"IMG_{number:04}.jpg"
                sdk.put_object(BUCKET, name, io.BytesIO(photo), len(photo))
                seen.append(watch_for(mountpoint, name, time.time()))
            parts = breakdown(running, seen)
    report(seen, parts, "PUT").show(chosen.json)


def root(server: S3Server) -> str:
    keys = f'access_key = "{server.access_key}"\nsecret_key = "{server.secret_key}"\n'
    return f'[[root]]\nname = "{ROOT}"\nbucket = "{BUCKET}"\nendpoint = "{server.endpoint}"\n{keys}'


if __name__ == "__main__":
    main()
