"""Run as a process: read objects at random through a cache that others share, until killed. A line for some reads.

Ends with an error as soon as one byte is wrong.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from fake_bucket import FakeBucket, content_of

from lakewatchd.buckets.cache import ObjectCache
from lakewatchd.buckets.reader import Objects
from lakewatchd.config import ObjectsConfig

SIZES = [40_000 + 190_000 * number for number in range(12)]
READS = 15


def main() -> None:
    directory, limit, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    bucket, rng = FakeBucket(), random.Random(seed)
    refs = [bucket.put(f"{number}", content_of(number, size)) for number, size in enumerate(SIZES)]
    objects = Objects({"photos": bucket}, ObjectCache(directory, limit), ObjectsConfig(read_ahead_mb=1))
    while True:
        for _ in range(READS):
            ref = rng.choice(refs)
            content = bucket.objects[ref.key]
            with objects.open(ref) as opened:
                if rng.random() < 0.3:
                    got = bytearray()
                    opened.stream(got.extend)
                    assert got == content
                start, length = rng.randrange(len(content)), rng.randrange(400_000)
                assert opened.pread(length, start) == content[start : start + length]
        print("read", flush=True)


if __name__ == "__main__":
    main()
