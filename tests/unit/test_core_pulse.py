from __future__ import annotations

import pytest

from lakewatchd.core.pulse import Pulse
from lakewatchd.testing import FakeClock


def test_is_not_stuck_while_idle_or_within_its_limit() -> None:
    clock = FakeClock()
    pulse = Pulse("a part", 10, clock)
    clock.advance(1000)
    assert pulse.stuck_s == 0
    with pulse.beat():
        clock.advance(10)
        assert pulse.stuck_s == 0


def test_one_that_does_not_end_is_seen_behind_others_that_do() -> None:
    clock = FakeClock()
    pulse = Pulse("a part", 10, clock)
    with pulse.beat():
        for _ in range(5):
            clock.advance(3)
            with pulse.beat():
                pass
        assert pulse.stuck_s == 15
    assert pulse.stuck_s == 0


def test_work_that_fails_has_ended() -> None:
    clock = FakeClock()
    pulse = Pulse("a part", 10, clock)
    with pytest.raises(OSError), pulse.beat():
        raise OSError
    clock.advance(100)
    assert pulse.stuck_s == 0
