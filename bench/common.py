"""What the end-to-end benchmarks share: photos like no other, a mounted view, a census of processes, a way to say it.

Nothing is measured here. Photos are crops of the real ones that scikit-image carries, so content differs from file
to file while a person, and so a model, still sees the cat.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakewatchd.testing import LiveDaemon, wait_until

MODELS = Path(os.environ.get("LAKEWATCHD_TEST_MODELS", Path(__file__).resolve().parent.parent / ".cache" / "models"))
SUBJECTS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png")
"""A cat, a cup, a launch, a portrait, a garage: each is given tags by the embedded models."""


def photos(count: int, seed: int, size: tuple[int, int] = (1024, 768)) -> Iterator[bytes]:
    """JPEGs of ``size``, all different: a random crop of a real photo, flipped or not, lighter or darker."""
    from PIL import Image, ImageEnhance

    rng = random.Random(seed)
    originals = [Image.open(io.BytesIO(_subject(name))).convert("RGB") for name in SUBJECTS]
    for number in range(count):
        original = originals[number % len(originals)]
        crop = original.crop(_window(original.size, size, rng)).resize(size)
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
            crop = enhance(crop).enhance(rng.uniform(0.85, 1.15))
        out = io.BytesIO()
        crop.save(out, "JPEG", quality=90)
        yield out.getvalue()


def _subject(name: str) -> bytes:
    import skimage

    return (Path(skimage.__file__).parent / "data" / name).read_bytes()


def _window(original: tuple[int, int], wanted: tuple[int, int], rng: random.Random) -> tuple[int, int, int, int]:
    """Four fifths or more of the largest window of the wanted shape, somewhere."""
    scale = min(original[0] / wanted[0], original[1] / wanted[1]) * rng.uniform(0.8, 1.0)
    width, height = int(wanted[0] * scale), int(wanted[1] * scale)
    left, top = rng.randint(0, original[0] - width), rng.randint(0, original[1] - height)
    return left, top, left + width, top + height


def drop(path: Path, content: bytes) -> float:
    """Write a file in one go; the moment its close() returned, seconds since the epoch."""
    with path.open("wb") as file:
        file.write(content)
    return time.time()


@contextlib.contextmanager
def daemon(place: Path | None = None, settings: str = "", *, start: bool = True) -> Iterator[LiveDaemon]:
    """A real daemon with the real models on an empty root, and its directory, gone afterwards."""
    if not MODELS.is_dir():
        sys.exit(f"no models at {MODELS}: run scripts/test once, or set LAKEWATCHD_TEST_MODELS")
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=place) as base:
        root = Path(base, "root")
        root.mkdir()
        running = LiveDaemon(Path(base, "daemon"), root, models=MODELS, settings=settings)
        if start:
            running.start()
        try:
            yield running
        finally:
            running.__exit__()


@contextlib.contextmanager
def view(running: LiveDaemon) -> Iterator[Path]:
    """The mounted view of that daemon: ``lakewatchd mount`` in a process of its own."""
    mountpoint = running.base / "mnt"
    mountpoint.mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "lakewatchd", "--config", str(running.config), "mount"]
    with (running.base / "view.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: mountpoint.is_mount() or process.poll() is not None, 60, "the view is mounted")
        if process.poll() is not None:
            sys.exit(f"no view: {(running.base / 'view.log').read_text(errors='replace')}")
        yield mountpoint
    finally:
        process.terminate()
        process.wait(30)


def warm_up(running: LiveDaemon, mountpoint: Path) -> None:
    """Load every model and fill every cache that a daemon of some age has: one photo of each subject, seen through."""
    names = [f"warm-{number}.jpg" for number in range(len(SUBJECTS))]
    for name, photo in zip(names, photos(len(names), seed=999), strict=True):
        drop(running.root / name, photo)
    (running.root / "warm.txt").write_text("The river turns, the bell waits. " * 40)
    running.wait_idle()
    wait_until(lambda: all((mountpoint / "by-kind" / "image" / name).exists() for name in names), 60)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One photo on its way into the view. Seconds since close(); ``tagged_s`` is None when no tag was said of it."""

    name: str
    closed_at: float
    by_kind_s: float
    tagged_s: float | None


def watch_for(mountpoint: Path, name: str, closed_at: float, timeout_s: float = 120.0) -> Sighting:
    """Look every 10 ms until the photo lies below ``by-kind`` and, at once or within 0.3 s, below a tag."""
    image = mountpoint / "by-kind" / "image" / name
    wait_until(image.exists, timeout_s, f"{name} in the view")
    by_kind_s = time.time() - closed_at
    tagged_s = None
    while tagged_s is None and time.time() - closed_at < by_kind_s + 0.3:
        with contextlib.suppress(FileNotFoundError):
            if any((tag / name).exists() for tag in (mountpoint / "by-tag").iterdir()):
                tagged_s = time.time() - closed_at
    return Sighting(name, closed_at, by_kind_s, tagged_s)


# --- processes ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Usage:
    """What the processes of one part took: CPU seconds since they started, resident memory together."""

    processes: int = 0
    cpu_s: float = 0.0
    rss_mb: float = 0.0


def census(pid: int) -> dict[str, Usage]:
    """The daemon and its children, by part."""
    import psutil

    parts: dict[str, Usage] = {}
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            part = "daemon" if process.pid == pid else _part(process.cmdline())
            usage = parts.setdefault(part, Usage())
            times = process.cpu_times()
            usage.processes += 1
            usage.cpu_s += times.user + times.system
            usage.rss_mb += process.memory_info().rss / 1e6
    return parts


def _part(command: Sequence[str]) -> str:
    line = " ".join(command)
    return "decoders" if "media.child_main" in line else "models" if "models.worker" in line else "other"


# --- saying it ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the table: what was promised and what was found. ``target`` is in words, empty for a bare figure."""

    what: str
    figure: float
    unit: str
    target: str = ""
    is_met: bool | None = None

    @classmethod
    def at_most(cls, what: str, figure: float, unit: str, target: float) -> Claim:
        return cls(what, figure, unit, f"at most {target:g}", figure <= target)

    @classmethod
    def at_least(cls, what: str, figure: float, unit: str, target: float) -> Claim:
        return cls(what, figure, unit, f"at least {target:g}", figure >= target)


@dataclass(slots=True)
class Report:
    """What a benchmark found: claims for the table, and details for who wants to know why."""

    claims: list[Claim] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def show(self, as_json: bool) -> None:
        if as_json:
            print(json.dumps({**dataclasses.asdict(self), "machine": machine()}))
            return
        print(machine())
        print(table(self.claims))
        print("\n".join(["", *self.details]))


def table(claims: Sequence[Claim]) -> str:
    verdicts = {True: "met", False: "**missed**", None: ""}
    rows = [f"| {c.what} | {c.figure:.3g} {c.unit} | {c.target} | {verdicts[c.is_met]} |" for c in claims]
    return "\n".join(["| what | figure | target | |", "|---|---|---|---|", *rows])


def options(doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer photos: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--dir", type=Path, help="where the root, the queue and the lake lie: the disk that is used")
    return parser


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def spread(values: Sequence[float]) -> str:
    return f"p50 {statistics.median(values):.2f}, p95 {percentile(values, 0.95):.2f}, max {max(values):.2f}"


def machine() -> str:
    """So that a figure can be judged: processors, memory, and how busy they were with other things."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs ({_cpu_name()}), {memory:.0f} GiB, Linux {platform.release()}, load {load:.1f}"


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def status(running: LiveDaemon) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(running.run("status", "--json").stdout)
    return answer
