#!/usr/bin/env -S python3 -P
"""How long a person waits who names a folder of the view: until ``search/<text>/`` lists, and gives a first byte.

    python -m bench.search_folder [--photos 60] [--looks 40] [--mounted DIR]

A real daemon with the real models has indexed photos, the view is mounted, the server warm. Each look names words that
nobody has looked for yet. ``--mounted`` looks into a view that is there, such as one of a large lake.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

from bench import common
from lakewatchd import unixhttp
from lakewatchd.views.mounted.answers import HITS

SUBJECTS = (
    "cat",
    "dog",
    "cup of coffee",
    "rocket launch",
    "portrait",
    "motorcycle",
    "river",
    "garage",
    "beach",
    "snow",
)
MANNERS = ("a {}", "{} at night", "old photo of a {}", "{} in the garden", "red {}", "two {}", "close-up of {}")
TARGET_MS = 150.0


def first_byte_ms(view: Path, text: str) -> tuple[float, float, int]:
    """Until the folder is listed, until a byte of its first file is here, and how many there were."""
    began = time.perf_counter()
    names = sorted(os.listdir(view / "search" / text))
    listed = time.perf_counter()
    if names and names[0] != "README.txt":
        with (view / "search" / text / names[0]).open("rb", buffering=0) as file:
            file.read(1)
    return (listed - began) * 1e3, (time.perf_counter() - began) * 1e3, len(names)


def asked_ms(socket: Path, text: str) -> float:
    """The same question, without a view."""
    began = time.perf_counter()
    unixhttp.post_json(socket, "/api/search", {"text": text, "limit": HITS})
    return (time.perf_counter() - began) * 1e3


def measure(view: Path, looks: int, socket: Path | None = None) -> common.Report:
    texts = [manner.format(subject) for manner, subject in itertools.product(MANNERS, SUBJECTS)]
    for text in ("warm", "warmer", "as warm as it gets"):
        first_byte_ms(view, text)
    found, without = [], []
    for text in texts[:looks]:
        found.append(first_byte_ms(view, text))
        without += [asked_ms(socket, f"{text}!")] if socket else []
    listed, read = [listed for listed, _, _ in found], [read for _, read, _ in found]
    again = [first_byte_ms(view, text)[1] for text in texts[:looks]]
    claims = [
        common.Claim.at_most("search/<text>: first byte, p50", common.percentile(read, 0.5), "ms", TARGET_MS),
        common.Claim.at_most("search/<text>: first byte, p95", common.percentile(read, 0.95), "ms", TARGET_MS),
        common.Claim("search/<text>: listed, p50", common.percentile(listed, 0.5), "ms"),
        *([common.Claim("the server asked directly, p50", common.percentile(without, 0.5), "ms")] if without else []),
        common.Claim("the same texts again: first byte, p50", common.percentile(again, 0.5), "ms"),
        common.Claim("hits of the median look", common.percentile([hits for _, _, hits in found], 0.5), ""),
    ]
    return common.Report(claims)


def main() -> int:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--mounted", type=Path, metavar="DIR", help="a view that is mounted already")
    chosen = parser.parse_args()
    if chosen.mounted:
        measure(chosen.mounted, chosen.looks).show(chosen.json)
        return 0
    photos = 10 if chosen.quick else chosen.photos
    with common.daemon(chosen.dir, '[web]\nlisten = "127.0.0.1:0"\n') as running, common.view(running) as view:
        for number, photo in enumerate(common.photos(photos, seed=7)):
            common.drop(running.root / f"{number}.jpg", photo)
        running.wait_idle()
        measure(view, chosen.looks, running.base / "run" / "web.sock").show(chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
