"""The threads that fetch from a bucket: work that comes too late is given up, and counts as done."""

from __future__ import annotations

import threading

from lakewatchd.buckets.line import Hands
from lakewatchd.testing import wait_until


def test_what_waits_when_it_is_closed_is_given_up_and_not_unfinished() -> None:
    hands, gate, told = Hands(1, "test"), threading.Event(), list[str]()
    started = threading.Event()

    def work() -> None:
        started.set()
        gate.wait(60)
        told.append("done")

    hands.submit(work, lambda: told.append("given up"))
    assert started.wait(60)
    for _ in range(2):
        hands.submit(lambda: told.append("done too late"), lambda: told.append("given up"))
    assert hands.unfinished == 3
    hands.close()
    assert told == ["given up"] * 2 and hands.unfinished == 1, "one is at work"
    gate.set()
    wait_until(lambda: hands.unfinished == 0)
    hands.submit(work, lambda: told.append("closed"))
    assert told == ["given up", "given up", "done", "closed"] and hands.unfinished == 0
