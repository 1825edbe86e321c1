"""From close() of a photo to its appearance in the mounted view: seconds, for a daemon that is warm and idle.

    .venv/bin/python -m bench.latency [--quick] [--json] [--dir DIR]

Claim: half of the photos are there within 2 s and 95 of 100 within 4 s, on two cores, tags included.
Method: one photo at a time (40, quick 8) is written into the root of a real daemon with the real models; then
``by-kind/image/`` and all of ``by-tag/`` are looked at, every 10 to 20 ms, through a real FUSE mount. Random pauses
between drops keep them out of step with any clock of the daemon. Where the time went is read from the lineage table,
and from the revision of the gold row, which is when its commit began.
Peers: none do this. The parts have theirs: bench/queue.py, bench/view.py, bench/lake.py.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

from bench.common import (
    Claim,
    Report,
    Sighting,
    daemon,
    drop,
    options,
    percentile,
    photos,
    spread,
    view,
    warm_up,
    watch_for,
)
from lakewatchd.testing import LiveDaemon

P50_S, P95_S = 2.0, 4.0
PARTS = (
    "settle, queue, claim",
    "ingest (hash, MIME)",
    "commit, ack, claim",
    "decode",
    "detect",
    "embed",
    "tag",
    "gold commit, view",
)


def main() -> None:
    chosen = options(__doc__).parse_args()
    with daemon(chosen.dir) as running, view(running) as mountpoint:
        warm_up(running, mountpoint)
        seen, rng = [], random.Random(1)
        for number, photo in enumerate(photos(8 if chosen.quick else 40, seed=1)):
            time.sleep(rng.uniform(0.3, 1.3))
            name = f"IMG_{number:04}.jpg"
            seen.append(watch_for(mountpoint, name, drop(running.root / name, photo)))
        parts = breakdown(running, seen)
    report(seen, parts).show(chosen.json)


def report(seen: list[Sighting], parts: Mapping[str, list[float]], since: str = "close()") -> Report:
    tagged = [one.tagged_s for one in seen if one.tagged_s is not None]
    everywhere = [one.by_kind_s for one in seen]
    claims = [
        Claim.at_most(f"{since} to by-tag/, p50", statistics.median(tagged), "s", P50_S),
        Claim.at_most(f"{since} to by-tag/, p95", percentile(tagged, 0.95), "s", P95_S),
        Claim(f"{since} to by-tag/, slowest", max(tagged), "s"),
        Claim(f"{since} to by-kind/, p50", statistics.median(everywhere), "s"),
    ]
    where = [f"  {name:24} {spread(values)} s" for name, values in parts.items()]
    return Report(claims, [f"{len(tagged)} of {len(seen)} photos were given a tag; of their time took", *where])


def breakdown(running: LiveDaemon, seen: Iterable[Sighting]) -> dict[str, list[float]]:
    """Seconds that each photo spent in each of :data:`PARTS`, by part."""
    import lance

    lake = running.state / "lake"
    gold = lance.dataset(str(lake / "gold_assets.lance")).to_table(columns=["asset_id", "best_path", "revision"])
    rows = {row["best_path"]: row for row in gold.to_pylist()}
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for run in lance.dataset(str(lake / "lineage.lance")).to_table().to_pylist():
        asset = run["detail"] if run["stage"] == "ingest" else run["subject"]
        runs.setdefault(asset, {})[run["stage"]] = run
    times = [list(_moments(one, runs[rows[one.name]["asset_id"]])) for one in seen]
    spent = [[after - before for before, after in itertools.pairwise(moments)] for moments in times]
    return dict(zip(PARTS, map(list, zip(*spent, strict=True)), strict=True))


def _moments(one: Sighting, runs: Mapping[str, Mapping[str, Any]]) -> Iterable[float]:
    """When each part ended, after when the first began."""
    yield one.closed_at
    yield _start(runs["ingest"])
    yield _end(runs["ingest"])
    yield _start(runs["chunk"])
    for stage in ("chunk", "detect", "embed", "tag"):
        yield _end(runs[stage])
    yield one.closed_at + one.by_kind_s


def _start(run: Mapping[str, Any]) -> float:
    at: float = run["started_at"]
    return at


def _end(run: Mapping[str, Any]) -> float:
    took: float = run["duration_s"]
    return _start(run) + took


if __name__ == "__main__":
    main()
