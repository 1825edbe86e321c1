"""The daemon's status as numbers, for Prometheus: names, labels, and where each is found.

Every number comes from the same :class:`~lakewatchd.core.status.Status` that ``lakewatchd status`` shows.
docs/operations.md lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lakewatchd.core.status import Status, WayState

Sample = tuple[tuple[str, ...], float]
"""Values of the labels, and the number."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    """Without ``lakewatchd_``. Counters end in ``_total``."""
    help: str
    labels: tuple[str, ...]
    read: Callable[[Status], Iterable[Sample]]


def _one(name: str, help: str, read: Callable[[Status], float | None]) -> Metric:
    def sample(status: Status) -> Iterator[Sample]:
        value = read(status)
        if value is not None:
            yield (), value

    return Metric(name, help, (), sample)


def _per_root(name: str, help: str, field: Callable[[Any], float | None]) -> Metric:
    def samples(status: Status) -> Iterator[Sample]:
        for root in status.roots:
            value = field(root)
            if value is not None:
                yield (root.name,), value

    return Metric(name, help, ("root",), samples)


def _per_way(name: str, help: str, field: Callable[[WayState], float | None]) -> Metric:
    def samples(status: Status) -> Iterator[Sample]:
        for root in status.roots:
            for way in root.ways:
                value = field(way)
                if value is not None:
                    yield (root.name, way.name), value

    return Metric(name, help, ("root", "way"), samples)


ODD = ("duplicates", "reordered", "bad", "unknown", "foreign", "dropped")
"""Counts of events that are not as they should be."""


def _odd_events(status: Status) -> Iterator[Sample]:
    for root in status.roots:
        for way in root.ways:
            yield from (((root.name, way.name, kind), getattr(way, kind)) for kind in ODD)


METRICS = (
    _one("daemon_uptime_seconds", "Since the start.", lambda s: s.uptime_s),
    _one("daemon_loop_lag_seconds", "Longest silence of the event loop, last minute.", lambda s: s.loop_lag_ms / 1000),
    _one("daemon_problems", "Problems that `lakewatchd status` shows.", lambda s: len(s.problems)),
    _one("daemon_paused", "1 while nothing is worked on.", lambda s: float(bool(s.paused))),
    _per_root("sources_files", "Files known to lie there.", lambda r: r.files),
    _per_root("sources_present", "1 while the root is there.", lambda r: float(r.state == "present")),
    _per_root("sources_settling_files", "Files that wait until they are quiet.", lambda r: r.settling),
    _per_root("sources_polled_directories", "Directories visited on a schedule.", lambda r: r.polled),
    _per_root("sources_stuck_calls", "Calls that hang in the root's file system.", lambda r: r.stuck),
    _per_root("sources_events_total", "Changes heard of since the start.", lambda r: r.events),
    _per_root("sources_overflows_total", "Times that events were lost; each led to a scan.", lambda r: r.overflows),
    _per_root("sources_scanned_timestamp_seconds", "When the last full scan ended.", lambda r: r.last_scan),
    _per_root(
        "sources_gaps", "Files the last audit could not account for.", lambda r: r.audit.gap_count if r.audit else None
    ),
    _per_root("bucket_missed_total", "Changes that a rescan found and no event told of.", lambda r: r.missed),
    _per_way("bucket_way_connected", "1 while events can come this way.", lambda w: float(w.is_connected)),
    _per_way("bucket_way_reconnects_total", "Times that it was connected anew.", lambda w: w.reconnects),
    _per_way("bucket_way_lag_seconds", "How long the last event was on its way.", lambda w: w.lag_s),
    _per_way("bucket_way_event_timestamp_seconds", "When the last event came.", lambda w: w.last_event_at),
    _per_way("bucket_way_events_total", "Events that came.", lambda w: w.received),
    Metric(
        "bucket_way_odd_events_total", "Events that are not as they should be.", ("root", "way", "kind"), _odd_events
    ),
    _one("bucket_cache_bytes", "Bytes of objects kept on the disk.", lambda s: s.cache.used_bytes),
    _one("sources_watches_needed", "Directories that need a watch each.", lambda s: s.watches.needed),
    _one("sources_watches_used", "Directories that have one.", lambda s: s.watches.used),
    _one("sources_watches_limit", "Watches the kernel allows this user.", lambda s: s.watches.limit),
    _one(
        "queue_oldest_unprocessed_seconds", "Age of the change that waits longest; 0 when none does.",
        lambda s: s.oldest_unprocessed_s or 0.0,
    ),
    Metric(
        "queue_jobs", "Jobs, by what they are and how they stand.", ("stage", "priority", "state"),
        lambda s: (((line.stage, line.priority, line.state), line.count) for line in s.queue),
    ),
    Metric(
        "queue_parked_jobs", "Jobs that wait for a person, another file or a resource.", ("reason",),
        lambda s: (((group.reason,), group.count) for group in s.parked),
    ),
    _one("queue_jobs_done_total", "Jobs finished since the start.", lambda s: s.done),
    _one("queue_jobs_failed_total", "Tries that failed since the start.", lambda s: s.failed),
)  # fmt: skip


def exposition(status: Status) -> Iterator[str]:
    """All of them as Prometheus reads them, line by line."""
    for metric in METRICS:
        samples = list(metric.read(status))
        if samples:
            name = f"lakewatchd_{metric.name}"
            yield f"# HELP {name} {metric.help}"
            yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
            yield from (sample_line(name, zip(metric.labels, labels, strict=True), value) for labels, value in samples)


def sample_line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    """One number. Any text may be the value of a label."""
    said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{said}}} {float(value)!r}" if said else f"{name} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
