"""What Prometheus scrapes is what status shows, each metric is documented, and a wrong address is a clear error."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import free_ports

from lakewatchd.core.measures import METRICS
from lakewatchd.core.status import ParkedGroup, QueueLine, RootView, Status, WatchBudget, WayState
from lakewatchd.daemon.metrics import serving
from lakewatchd.errors import ConfigError

WAYS = (WayState("mqtt", is_connected=True, received=9, bad=1, lag_s=0.5),)
STATUS = Status(
    "1",
    roots=(RootView("nas", "/nas", "present", files=7, events=3), RootView("usb", "/usb", "away", missed=2, ways=WAYS)),
    watches=WatchBudget(5, 4, 100),
    queue=(QueueLine("ingest", "fresh", "ready", 12),),
    parked=(ParkedGroup("damaged-media", 2),),
    done=41,
)


def scrape(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_a_scrape_shows_the_latest_status() -> None:
    (port,) = free_ports(1)
    with serving(f"127.0.0.1:{port}") as exporter:
        assert scrape(port) == {}, "nothing is known yet, and nothing is made up"
        exporter.latest = STATUS
        told = scrape(port)
    assert told["lakewatchd_sources_present", "nas"] == 1
    assert told["lakewatchd_sources_present", "usb"] == 0
    assert told["lakewatchd_sources_files", "nas"] == 7
    assert told["lakewatchd_sources_events_total", "nas"] == 3
    assert told["lakewatchd_queue_jobs", "fresh", "ingest", "ready"] == 12
    assert told["lakewatchd_queue_parked_jobs", "damaged-media"] == 2
    assert told["lakewatchd_queue_jobs_done_total",] == 41
    assert told["lakewatchd_sources_watches_limit",] == 100
    assert told["lakewatchd_bucket_missed_total", "usb"] == 2
    assert told["lakewatchd_bucket_way_connected", "usb", "mqtt"] == 1
    assert told["lakewatchd_bucket_way_lag_seconds", "usb", "mqtt"] == 0.5
    assert told["lakewatchd_bucket_way_odd_events_total", "bad", "usb", "mqtt"] == 1
    assert ("lakewatchd_bucket_way_event_timestamp_seconds", "usb", "mqtt") not in told
    assert ("lakewatchd_sources_gaps", "nas") not in told, "no audit, no number"


def test_nobody_listens_afterwards_and_without_an_address() -> None:
    (port,) = free_ports(1)
    with serving(f"127.0.0.1:{port}"):
        pass
    with serving(""), pytest.raises(OSError):
        scrape(port)


def test_a_port_that_is_taken_is_a_wrong_configuration() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=address), serving(address):
            pass


def test_every_metric_is_documented_once() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    assert [metric.name for metric in METRICS if page.count(f"`lakewatchd_{metric.name}`") < 1] == []
    assert len({metric.name for metric in METRICS}) == len(METRICS)
