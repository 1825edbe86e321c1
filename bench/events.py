"""How much of what happens on disk is heard, and at what cost: our watchers beside watchdog, watchfiles, inotify_simple
and a bare loop over inotify, in one run.

    pip install watchfiles inotify_simple
    python -m bench.events [--quick] [--json] [--dir DIR]

Each listener is a process of its own, taken in turns, several rounds; figures are medians. **flood**: files made as
fast as this machine can, in directories that are watched already; missing is what was neither told nor lies in a
directory that was told to be dirty (which a scan covers). **paced**: 3000 files a second, which all can hear: here CPU
per file is compared, with parsing, Python's objects and the hand-over to the reader's set. **latency**: from close() to
the listener's hand, one file each 20 ms. **tree**: time and memory to watch a tree of directories. Ours are drained
every 50 ms, as the daemon does, and every millisecond where latency is measured.

The peers do less: no ignore rules, no paths kept through renames, no bound.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import Claim, Report, options, percentile

KINDS = ("fanotify", "inotify", "watchdog tier", "watchdog", "watchfiles", "inotify_simple", "bare")
OURS = KINDS[:3]
PACE = 3000
LATENCY_PACE = 50.0


# --- the listening process ---------------------------------------------------------------------------------


class Heard:
    """What came, by name, with the moment it came."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.dirty: set[str] = set()

    def path(self, path: str) -> None:
        self.at.setdefault(path.rpartition("/")[2], time.time())


def directories(base: Path) -> list[Path]:
    return [Path(path) for path, _, _ in os.walk(base)]


def listen_ours(base: Path, heard: Heard, tier: str, pace_s: float) -> Callable[[], None]:
    from lakewatchd.core.event import Change
    from lakewatchd.sources.coalesce import Buffer
    from lakewatchd.sources.ignore import IgnoreRules
    from lakewatchd.sources.roots import Root
    from lakewatchd.sources.watch import start_watcher

    woken = threading.Event()
    rules, buffer = IgnoreRules(base, ("*.part",)), Buffer("r", 50_000, woken.set)
    watcher = start_watcher(Root("r", base), rules, buffer, tier)
    for directory in directories(base):
        relative = directory.relative_to(base)
        watcher.cover("" if relative == Path() else str(relative))

    def drain() -> None:
        while True:
            woken.wait()
            woken.clear()
            for event in buffer.drain():
                if event.change is Change.DIRTY:
                    heard.dirty.add(event.key.path)
                else:
                    heard.path(event.key.path)
            time.sleep(pace_s)

    threading.Thread(target=drain, daemon=True).start()
    return lambda: None


def listen_watchdog(base: Path, heard: Heard) -> None:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type == "closed":
                heard.path(os.fsdecode(event.src_path))

    observer = Observer()
    observer.schedule(Handler(), str(base), recursive=True)
    observer.start()


def listen_watchfiles(base: Path, heard: Heard) -> None:
    from watchfiles import watch

    def follow() -> None:
        for changes in watch(base, debounce=50, step=10, watch_filter=None):
            for _, path in changes:
                heard.path(path)

    threading.Thread(target=follow, daemon=True).start()
    time.sleep(1)  # it does not say when it has begun


def listen_inotify_simple(base: Path, heard: Heard) -> None:
    from inotify_simple import INotify, flags

    inotify = INotify()
    for directory in directories(base):
        inotify.add_watch(directory, flags.CLOSE_WRITE | flags.MOVED_TO | flags.CREATE)

    def follow() -> None:
        while True:
            for event in inotify.read():
                if event.mask & flags.CLOSE_WRITE:
                    heard.path(event.name)

    threading.Thread(target=follow, daemon=True).start()


def listen_bare(base: Path, heard: Heard) -> None:
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    queue, head = libc.inotify_init1(os.O_CLOEXEC), struct.Struct("=iIII")
    for directory in directories(base):
        libc.inotify_add_watch(queue, os.fsencode(directory), 0x8 | 0x80)

    def follow() -> None:
        while True:
            data, offset = os.read(queue, 1 << 16), 0
            while offset < len(data):
                _, _, _, length = head.unpack_from(data, offset)
                name = data[offset + 16 : offset + 16 + length].rstrip(b"\0")
                heard.path(os.fsdecode(name))
                offset += 16 + length

    threading.Thread(target=follow, daemon=True).start()


def listen(kind: str, base: Path, pace_s: float) -> None:
    """The child: says when it is ready, then answers each line of its input with what it heard."""
    heard = Heard()
    memory, begun = _rss(), time.monotonic()
    peers = {
        "watchdog": listen_watchdog,
        "watchfiles": listen_watchfiles,
        "inotify_simple": listen_inotify_simple,
        "bare": listen_bare,
    }
    if kind in peers:
        peers[kind](base, heard)
    else:
        listen_ours(base, heard, kind.removesuffix(" tier"), pace_s)
    if kind in ("watchdog", "watchdog tier"):
        time.sleep(0.5)  # its threads set watches after start() has returned
    print(json.dumps({"ready_s": time.monotonic() - begun, "memory": _rss() - memory}), flush=True)
    cpu = _cpu()
    for line in sys.stdin:
        _until_quiet(heard)
        if line.strip() == "heard":
            told = {"at": heard.at, "dirty": sorted(heard.dirty), "cpu_s": _cpu() - cpu}
            print(json.dumps(told), flush=True)


def _until_quiet(heard: Heard) -> None:
    count = -1
    while count != len(heard.at) + len(heard.dirty):
        count = len(heard.at) + len(heard.dirty)
        time.sleep(0.5)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- the writing process -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    ready_s: float
    memory: int
    missing: int
    single: int
    """Of those heard, how many by their own name."""
    cpu_us: float
    """Per file."""
    rate: float
    latencies: tuple[float, ...]
    """Seconds from close() to the listener."""


def trial(kind: str, place: Path, files: int, dirs: int, per_s: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=place) as name:
        base, pace = Path(name), "0.001" if per_s == LATENCY_PACE else "0.05"
        for i in range(dirs):
            (base / f"a{i // 100}" / f"d{i % 100}").mkdir(parents=True)
        with subprocess.Popen(
            [sys.executable, "-m", "bench.events", "listen", kind, name, pace],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            ready = json.loads(child.stdout.readline())
            closed, took = write(base, files, dirs, per_s)
            child.stdin.write(b"heard\n")
            child.stdin.flush()
            told: dict[str, Any] = json.loads(child.stdout.readline())
            child.kill()
    at, dirty = told["at"], set(told["dirty"])
    missing = sum(file not in at and not _covered(path, dirty) for file, (path, _) in closed.items())
    latencies = tuple(at[file] - when for file, (_, when) in closed.items() if file in at)
    return Outcome(ready["ready_s"], ready["memory"], missing, len(latencies), told["cpu_s"] / max(files, 1) * 1e6,
                   files / took if took else 0, latencies)  # fmt: skip


def _covered(path: str, dirty: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:depth]) in dirty for depth in range(len(parts)))


def write(base: Path, files: int, dirs: int, per_s: float) -> tuple[dict[str, tuple[str, float]], float]:
    """Make the files; which, where, and when each was closed; and how long it took."""
    closed, begun = {}, time.monotonic()
    for i in range(files):
        if per_s and (ahead := i / per_s - (time.monotonic() - begun)) > 0:
            time.sleep(ahead)
        where = i % max(dirs, 1)
        path = f"a{where // 100}/d{where % 100}/f{i}.jpg"
        file = os.open(f"{base}/{path}", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(file, b"x" * 1000)
        os.close(file)
        closed[f"f{i}.jpg"] = (path, time.time())
    return closed, time.monotonic() - begun


# --- saying it ---------------------------------------------------------------------------------------------


def main() -> None:
    if sys.argv[1:2] == ["listen"]:
        listen(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
        return
    chosen = options(__doc__).parse_args()
    place = chosen.dir or Path("/dev/shm")
    rounds, flood, paced, tree = (1, 10_000, 3000, 5000) if chosen.quick else (3, 60_000, 15_000, 50_000)
    jobs = {
        "flood": (flood, 200, 0.0),
        "paced": (paced, 200, float(PACE)),
        "latency": (100, 200, LATENCY_PACE),
        "tree": (0, tree, 0.0),
    }
    found: dict[tuple[str, str], list[Outcome]] = {}
    for _ in range(rounds):
        for job, sizes in jobs.items():
            for kind in KINDS:
                found.setdefault((job, kind), []).append(trial(kind, place, *sizes))
    report = Report(_claims(found), _details(found, jobs))
    report.show(chosen.json)


def _claims(found: dict[tuple[str, str], list[Outcome]]) -> list[Claim]:
    def middle(job: str, kind: str, what: Callable[[Outcome], float]) -> float:
        return statistics.median(what(outcome) for outcome in found[job, kind])

    claims = []
    for kind in OURS:
        worst = max(outcome.missing for outcome in found["flood", kind])
        claims.append(Claim.at_most(f"missing after a flood, {kind}", worst, "files", 0))
    peer = middle("paced", "watchdog", lambda o: o.cpu_us)
    for kind in OURS[:2]:
        ratio = peer / middle("paced", kind, lambda o: o.cpu_us)
        claims.append(Claim.at_least(f"CPU of watchdog alone, as a multiple of {kind}", ratio, "x", 10))
        late = middle("latency", kind, lambda o: percentile(o.latencies or (9.9,), 0.5) * 1000)
        claims.append(Claim.at_most(f"close() to buffer, p50, {kind}", late, "ms", 5))
    return claims


def _details(found: dict[tuple[str, str], list[Outcome]], jobs: dict[str, tuple[int, int, float]]) -> list[str]:
    lines = [
        f"flood: {jobs['flood'][0]:,} files in {jobs['flood'][1]} directories; paced: {jobs['paced'][0]:,} files at "
        f"{PACE:,}/s; tree: {jobs['tree'][1]:,} directories; medians of {len(found['flood', 'bare'])}",
        "",
        "| listener | flood: files/s | missing | told by directory | CPU us/file | paced: CPU us/file | missing "
        "| latency p50 / p99 ms | tree: s | MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        flood, paced, latency, tree = (found[job, kind] for job in jobs)
        late = sorted(value * 1000 for outcome in latency for value in outcome.latencies) or [float("nan")]
        by_directory = max(jobs["flood"][0] - o.missing - o.single for o in flood)
        lines.append(
            f"| {kind} | {_mid(o.rate for o in flood):,.0f} | {max(o.missing for o in flood):,} | {by_directory:,} "
            f"| {_mid(o.cpu_us for o in flood):.1f} | {_mid(o.cpu_us for o in paced):.1f} "
            f"| {max(o.missing for o in paced):,} | {percentile(late, 0.5):.2f} / {percentile(late, 0.99):.2f} "
            f"| {_mid(o.ready_s for o in tree):.2f} | {_mid(o.memory / 1e6 for o in tree):.1f} |"
        )
    return lines


def _mid(values: Any) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
