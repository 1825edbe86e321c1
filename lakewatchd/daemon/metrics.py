"""What Prometheus can scrape: the daemon's status, as numbers. Off unless ``daemon.metrics`` names an address.

Every number comes from the same :class:`~lakewatchd.core.status.Status` that ``lakewatchd status`` shows, renewed
every two seconds; a scrape costs the daemon's loop nothing. docs/operations.md lists them all.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakewatchd.core.status import Status
from lakewatchd.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

_log = logging.getLogger(__name__)

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


class Exporter:
    """Collects :attr:`latest` when scraped. Give it each new status."""

    def __init__(self) -> None:
        self.latest: Status | None = None

    def collect(self) -> Iterator[Family]:
        """For prometheus_client, in the thread of a scrape."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        status = self.latest
        for metric in METRICS if status is not None else ():
            kind = CounterMetricFamily if metric.name.endswith("_total") else GaugeMetricFamily
            family = kind(f"lakewatchd_{metric.name}", metric.help, labels=metric.labels)
            for labels, value in metric.read(status):  # type: ignore[arg-type]  # it is not None here
                family.add_metric(labels, value)
            yield family


@contextlib.contextmanager
def serving(address: str) -> Iterator[Exporter]:
    """Answer scrapes at ``host:port`` for as long as the block lasts; with an empty address, nobody.

    Raises :class:`ConfigError` if the extra is missing or the address cannot be used.
    """
    exporter = Exporter()
    if not address:
        yield exporter
        return
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as exc:
        raise ConfigError("daemon.metrics needs prometheus-client", "pip install 'lakewatchd[metrics]'") from exc
    registry = CollectorRegistry()
    registry.register(exporter)
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as exc:
        raise ConfigError(f"daemon.metrics: cannot listen on {address}: {exc}", "choose another port") from exc
    _log.info("metrics at http://%s/metrics", address)
    try:
        yield exporter
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
