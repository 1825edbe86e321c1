"""What Prometheus can scrape of the daemon itself. Off unless ``daemon.metrics`` names an address.

The numbers (:mod:`lakewatchd.core.measures`) are renewed every two seconds; a scrape costs the daemon's loop nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lakewatchd.core.measures import METRICS
from lakewatchd.core.status import Status
from lakewatchd.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

_log = logging.getLogger(__name__)


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
