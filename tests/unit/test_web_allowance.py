"""An address may ask so often, and no other suffers for it."""

from __future__ import annotations

from lakewatchd.testing import FakeClock
from lakewatchd.web import allowance as allowance_module
from lakewatchd.web.allowance import Allowance
from lakewatchd.web.traffic import BOUNDS_S, Traffic


def test_so_many_at_once_and_then_one_at_a_time() -> None:
    clock = FakeClock()
    allowance = Allowance(clock.monotonic, burst=3, every_s=10)
    assert [allowance.wait_s("10.0.0.1") for _ in range(4)] == [0, 0, 0, 10]
    assert allowance.wait_s("10.0.0.2") == 0
    clock.advance(4)
    assert allowance.wait_s("10.0.0.1") == 6, "asking in vain costs nothing"
    clock.advance(6)
    assert [allowance.wait_s("10.0.0.1") for _ in range(2)] == [0, 10]
    clock.advance(1000)
    assert [allowance.wait_s("10.0.0.1") for _ in range(4)] == [0, 0, 0, 10], "what was not used is not piled up"


def test_a_crowd_of_addresses_is_forgotten() -> None:
    allowance = Allowance(FakeClock().monotonic, burst=1, every_s=10)
    for number in range(allowance_module.ADDRESSES + 50):
        allowance.wait_s(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(allowance._left) == allowance_module.ADDRESSES


def test_a_histogram_adds_up() -> None:
    traffic = Traffic()
    for seconds in (0.001, 0.01, 0.02, 4.0, 1000.0):
        traffic.count("/api/search", 200, seconds)
    lines = dict(line.rsplit(" ", 1) for line in traffic.exposition() if not line.startswith("#"))
    name = "lakewatchd_http_answer_seconds"
    counts = [float(lines[f'{name}_bucket{{path="/api/search",le="{bound}"}}']) for bound in (*BOUNDS_S, "+Inf")]
    assert counts == sorted(counts) and (counts[0], counts[1], counts[-2], counts[-1]) == (2, 3, 4, 5)
    assert float(lines[f'{name}_sum{{path="/api/search"}}']) == 1004.031
