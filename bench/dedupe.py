#!/usr/bin/env -S python3 -P
"""What one more picture costs the index of near-duplicates, by how many there are.

    python -m bench.dedupe [--sizes 10000 100000 1000000] [--new 200] [--dir DIR]

The index is filled with keys as pictures have them: neighbouring windows share most signs, low frequencies are not
evenly spread, and a tenth of all are pages of templates, 25 of each. Then new pictures are put one by one, each with
the real comparison for every candidate. Beside it, in the same run: the distance of one 64-bit hash to all others, by
numpy. A million pictures take some minutes to fill and about 1 GB.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import struct
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lakewatchd.config import DUPLICATE_ORDERS
from lakewatchd.core.asset import Kind
from lakewatchd.lake.neighbours import Compared, Entry, Key, Neighbours
from lakewatchd.media import near
from lakewatchd.media.near import picture

FOUND_BY, TURNED = 25, 14
_BITS = 22
_PAGES = 25
_AT_ONCE = 20_000
_REST_BITS = 41
_KEYS = struct.Struct(f"<{2 * (FOUND_BY + TURNED)}q")

Numbers = Any
"""A numpy array of int64, (pictures, keys, 2)."""


class Pictures:
    """Keys of as many pictures as wanted, of a collection of ``size``, the same for the same seed."""

    def __init__(self, seed: int, size: int) -> None:
        import numpy as np

        self._draw = np.random.default_rng(seed)
        self._templates = np.random.default_rng(0).normal(0, 1.5, (size // 10 // _PAGES, _BITS))
        self._bias = np.random.default_rng(1).normal(0, 0.4, _BITS)

    def keys(self, count: int) -> Numbers:
        import numpy as np

        draw = self._draw
        base = self._bias + draw.normal(0, 1, (count, _BITS))
        pages = draw.random(count) < 0.1
        chosen = self._templates[draw.integers(0, len(self._templates), int(pages.sum()))]
        base[pages] = chosen + draw.normal(0, 0.5, (len(chosen), _BITS))
        signs = self._signs(base)
        signs[:, FOUND_BY:] ^= draw.integers(0, 2, (TURNED, _BITS))  # the picture in its other positions
        rests = self._signs(draw.normal(0, 1, (count, _REST_BITS)))
        kinds = np.array([0] * (FOUND_BY - 2) + [1, 2] + [1, 2] * (TURNED // 2), np.int64) << 32
        powers = 1 << np.arange(_REST_BITS, dtype=np.int64)
        return np.stack([kinds + signs @ powers[:_BITS], rests @ powers], axis=2)

    def _signs(self, base: Numbers) -> Numbers:
        """Of all windows of each picture, which resemble each other."""
        import numpy as np

        noise = self._draw.normal(0, 0.35, (len(base), FOUND_BY + TURNED, base.shape[1]))
        return (base[:, None, :] + noise > 0).astype(np.int64)


class Candidates:
    """Counts how often two are compared, and has each comparison cost what it costs with real pictures."""

    def __init__(self) -> None:
        from PIL import Image

        self.count = 0
        drawn = (
            Image.effect_mandelbrot((256, 256), (-2, -1.5, 1, 1.5), 100),
            Image.effect_mandelbrot((256, 256), (-0.8, 0, -0.7, 0.1), 100),
        )
        self._one, self._other = (picture.make(image.convert("RGB")) or b"" for image in drawn)
        self.compared = Compared("bench", self._keys, self._is_same, near.SLACK_BITS)

    def _keys(self, _kind: Kind, signature: bytes) -> tuple[Iterable[Key], Iterable[Key]]:
        picture.keys(self._one)
        numbers = _KEYS.unpack(signature)
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        return set(pairs[:FOUND_BY]), set(pairs)

    def _is_same(self, _kind: Kind, _one: bytes, _other: bytes) -> bool:
        self.count += 1
        return picture.is_same(self._one, self._other)


def fill(index: Neighbours, count: int) -> None:
    """As :meth:`Neighbours.put` would have left it, were no two the same; in bulk, or it would take an hour."""
    pictures, db = Pictures(2, count), index._db
    db.execute("BEGIN")
    for start in range(0, count, _AT_ONCE):
        keys = pictures.keys(min(_AT_ONCE, count - start))
        assets = [
            (number, f"{number - 1:064x}", "image", _KEYS.pack(*itertools.chain(*row)), 0, 1, 1, 1, number, "", 1, "")
            for number, row in enumerate(keys.tolist(), start + 1)
        ]
        db.executemany("INSERT INTO asset VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", assets)
        found_by = {(key, start + at + 1, rest) for at, row in enumerate(keys.tolist()) for key, rest in row[:FOUND_BY]}
        db.executemany("INSERT INTO found_by VALUES (1, ?, ?, ?)", sorted(found_by))
    db.execute("COMMIT")


def brute_force_ms(count: int, turns: int = 50) -> float:
    import numpy as np

    draw = np.random.default_rng(5)
    hashes = draw.integers(0, 1 << 63, count, np.uint64)
    spent = []
    for wanted in draw.integers(0, 1 << 63, turns, np.uint64):
        since = time.perf_counter()
        np.flatnonzero(np.bitwise_count(hashes ^ wanted) <= 10)
        spent.append(time.perf_counter() - since)
    return statistics.median(spent) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--new", type=int, default=200)
    parser.add_argument("--dir", type=Path)
    args = parser.parse_args()
    print("| pictures | put, median | mean | p99 | compared | 64 bits, brute force | MB |")
    print("|---|---|---|---|---|---|---|")
    for size in args.sizes:
        with tempfile.TemporaryDirectory(dir=args.dir) as base:
            candidates = Candidates()
            index = Neighbours(Path(base) / "neighbours.db", candidates.compared, DUPLICATE_ORDERS)
            fill(index, size)
            spent = []
            for at, row in enumerate(Pictures(3, size).keys(args.new).tolist()):
                entry = Entry(f"{size + at:064x}", Kind.IMAGE, _KEYS.pack(*itertools.chain(*row)), 0, 1, 1, 1)
                since = time.perf_counter()
                index.put(entry)
                spent.append((time.perf_counter() - since) * 1000)
            index.close()
            megabytes = sum(path.stat().st_size for path in Path(base).iterdir()) / 1e6
        median, mean, worst = statistics.median(spent), statistics.mean(spent), statistics.quantiles(spent, n=100)[-1]
        compared = f"{candidates.count / args.new:.1f}"
        brute = brute_force_ms(size)
        cells = f"{median:.2f} ms | {mean:.2f} ms | {worst:.2f} ms | {compared} | {brute:.2f} ms | {megabytes:,.0f}"
        print(f"| {size:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
