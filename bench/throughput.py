"""A thousand photos at one stroke: images per second, beside what the embedding model does alone.

    .venv/bin/python -m bench.throughput [--quick] [--json] [--dir DIR] [--no-detector]

Claim: end to end (scan, hash, decode, thumbnail, detect, embed, tag, lake, queue) the daemon reaches 0.85 of the rate
of its embedding model alone. Also: what the processes cost in CPU and memory, idle and busy.
Method: 1000 photos of 1024 x 768 (quick 150). The model first, alone: the same worker process that the daemon uses,
kept saturated by ``Inference.embed_picture`` over decoded photos. Then a daemon starts beside a handful of photos,
which load its models; the rest is moved in at one stroke, and the clock runs from that move until nothing is queued.
Then the model again; its rate is the mean of both, since the machine may have changed meanwhile.
On two cores the detector and the decoders share what the embedding has for itself when it is alone: ``core-seconds
per photo`` says what each part takes, and what is left of the machine.
Peers: none; the ratio is to this machine's own model, in one run.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.common import (
    MODELS,
    Claim,
    Report,
    Usage,
    census,
    daemon,
    drop,
    options,
    photos,
    status,
)
from lakewatchd.testing import LiveDaemon

SHARE = 0.85
ALONE_S = 8.0
STATUS_MEMORY_S = 62.0
"""``status`` tells the longest pause of the event loop in the last minute: that of the start is to be forgotten."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--no-detector", action="store_true", help="without the detector: what the rest costs")
    chosen = parser.parse_args()
    count = 150 if chosen.quick else 1000
    settings = '[models]\ndetector = "off"\n' if chosen.no_detector else ""
    with daemon(chosen.dir, settings, start=False) as running:
        aside = running.root.parent / "aside"
        aside.mkdir()
        for number, photo in enumerate(photos(count, seed=2)):
            drop(aside / f"IMG_{number:05}.jpg", photo)
        alone = [asyncio.run(rate_alone(aside, ALONE_S))]
        busy = measure(running, aside, count, rest_s=2.5 if chosen.quick else STATUS_MEMORY_S)
        alone.append(asyncio.run(rate_alone(running.root / "new", ALONE_S)))
    busy.report(alone).show(chosen.json)


async def rate_alone(folder: Path, seconds: float) -> float:
    """Pictures per second of the embedding model in its worker process, with nothing else to do."""
    from lakewatchd.config import DecodeConfig, ModelConfig
    from lakewatchd.core.asset import Kind, Version
    from lakewatchd.core.content import Identity
    from lakewatchd.media.sandbox import Decoders
    from lakewatchd.models.client import Inference
    from lakewatchd.models.resolve import resolve

    decoders, models = Decoders(DecodeConfig(), 2), Inference(ModelConfig(), resolve(ModelConfig(), MODELS))
    pictures = []
    for path in sorted(folder.iterdir())[:64]:  # noqa: ASYNC240 - nothing else runs yet
        what = Identity("0" * 64, Version.of(path.stat()), Kind.IMAGE, "image/jpeg")
        content = await decoders.describe(path.name, what, "", root=str(folder))
        assert content is not None and content.picture is not None
        pictures.append(content.picture)
    await decoders.close()
    await models.embed_picture(pictures[0])  # loads the model
    source, done, start = itertools.cycle(pictures), 0, time.perf_counter()

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() - start < seconds:
            await models.embed_picture(next(source))
            done += 1

    await asyncio.gather(*(ask() for _ in range(48)))
    rate = done / (time.perf_counter() - start)
    await models.close()
    return rate


class Busy:
    """What one indexing of ``count`` photos took."""

    def __init__(self, count: int, idle: Mapping[str, Usage]) -> None:
        self.count, self.idle = count, idle
        self.seconds = self.lag_ms = 0.0
        self.is_lag_ours = False
        self.commits = 0
        self.after: Mapping[str, Usage] = {}
        self.peak_mb: dict[str, float] = {}

    def note(self, parts: Mapping[str, Usage]) -> None:
        self.after = parts
        for name, usage in parts.items():
            self.peak_mb[name] = max(usage.rss_mb, self.peak_mb.get(name, 0.0))

    def report(self, alone: Sequence[float]) -> Report:
        rate, model = self.count / self.seconds, statistics.mean(alone)
        claims = [
            Claim.at_least("images per second, as a share of the model's own", rate / model, "", SHARE),
            Claim("images per second, end to end", rate, "/s"),
            Claim("images per second, embedding alone", model, "/s"),
            Claim("memory, idle with models loaded, all processes", sum(u.rss_mb for u in self.idle.values()), "MB"),
            Claim("memory, busy, all processes at their peaks", sum(self.peak_mb.values()), "MB"),
        ]
        if self.is_lag_ours:
            claims.append(Claim.at_most("longest pause of the event loop", self.lag_ms, "ms", 50.0))
        cost = {name: (u.cpu_s - self.idle.get(name, Usage()).cpu_s) / self.count for name, u in self.after.items()}
        total = sum(cost.values())
        ceiling = (os.cpu_count() or 1) / total
        per_photo = ", ".join(f"{name} {seconds * 1000:.1f}" for name, seconds in sorted(cost.items()))
        memory = ", ".join(
            f"{name} ({usage.processes}) {usage.rss_mb:.0f} / {self.peak_mb[name]:.0f}"
            for name, usage in sorted(self.idle.items())
            if name in self.peak_mb
        )
        return Report(
            claims,
            [
                f"{self.count} photos in {self.seconds:.1f} s; the model alone before and after: "
                + " and ".join(f"{one:.1f}/s" for one in alone),
                f"core-ms per photo: {per_photo}; together {total * 1000:.1f},",
                f"  so {os.cpu_count()} cores with nothing else to do give {ceiling:.1f}/s at best, "
                f"a share of {ceiling / model:.2f}",
                f"{self.commits} commits of gold, {self.count / self.commits:.0f} photos each",
                f"MB idle / busy: {memory}",
            ],
        )


def measure(running: LiveDaemon, aside: Path, count: int, rest_s: float) -> Busy:
    """Start the daemon beside four of the photos, leave it alone for ``rest_s``, then give it the others."""
    for path in sorted(aside.iterdir())[:4]:
        path.rename(running.root / path.name)
    running.start()
    running.wait_idle()
    time.sleep(rest_s)
    assert running.process is not None
    busy = Busy(count - 4, census(running.process.pid))
    commits = _gold(running).version
    start = time.perf_counter()
    aside.rename(running.root / "new")
    while _gold(running).count_rows() < count:
        busy.note(census(running.process.pid))
        time.sleep(0.25)
    busy.seconds = time.perf_counter() - start
    busy.note(census(running.process.pid))
    busy.commits = _gold(running).version - commits
    busy.lag_ms, busy.is_lag_ours = status(running)["loop_lag_ms"], rest_s >= STATUS_MEMORY_S
    return busy


def _gold(running: LiveDaemon) -> Any:
    """What is served; the table itself is asked, so that the daemon is not disturbed."""
    import lance

    return lance.dataset(str(running.state / "lake" / "gold_assets.lance"))


if __name__ == "__main__":
    main()
