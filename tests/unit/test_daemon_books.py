"""What the daemon says of itself: how old that may be, which files that move are gaps, when nothing is left to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lakewatchd.config import RootConfig, defaults
from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.core.status import FileState
from lakewatchd.daemon import orders, report
from lakewatchd.daemon.audit import Auditor, Nobody
from lakewatchd.daemon.judge import Evidence
from lakewatchd.daemon.report import Costly
from lakewatchd.testing import FakeClock


async def test_what_took_long_once_is_not_told_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fact = FakeClock(), Costly[int]()
    monkeypatch.setattr(report, "time", clock)
    asked, takes_s = 0, 5.0

    async def make() -> int:
        nonlocal asked
        clock.advance(takes_s)
        asked += 1
        return asked

    assert await fact.get(make) == 1  # it waited behind others
    clock.advance(5.1)
    takes_s = 0.01
    assert await fact.get(make) == 2
    clock.advance(0.4)
    assert await fact.get(make) == 2
    clock.advance(0.2)
    assert await fact.get(make) == 3
    takes_s = 1.0
    for number in range(4, 8):
        clock.advance(report.STALE_S)
        assert await fact.get(make) == number
    clock.advance(report.STALE_S / 2)
    assert await fact.get(make) == 7, "what is dear each time is asked for seldom"


def test_a_file_that_came_and_went_between_two_looks_is_no_gap() -> None:
    key = PathKey("nas", "a.txt")
    before, after = (Occurrence(key, str(n) * 64, Version(n, n, n, n)) for n in (1, 2))
    for later, state in ((after, FileState.SETTLING), (before, FileState.GAP)):
        auditor = Auditor(defaults(), RootConfig("nas", Path("/nas")), Nobody())
        auditor._first_look({key: Evidence(None, known=before, bronze=("x",))})
        auditor._second_look({key: Evidence(None, known=later, bronze=("x",))})
        assert dict(auditor._counts) == {state: 1}


async def test_who_waits_for_the_end_waits_for_who_looks_for_more_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside all else a start looks for duplicates that a crash left half told, and has them done."""
    monkeypatch.setattr(orders, "IDLE_POLL_S", 0.0)
    queue = SimpleNamespace(counts=None, pending=0, jobs=lambda state: 0)

    async def ask(question: object) -> object:
        return queue

    told: dict[str, Any] = {"sources": {}, "paused": "", "queue_thread": ask, "queue": queue}
    daemon = SimpleNamespace(**told, retag=asyncio.Event(), is_retagging=False, is_catching_up=True)
    waiting = asyncio.ensure_future(orders._wait_idle(cast(Any, daemon)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    queue.pending, daemon.is_catching_up = 1, False
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    queue.pending = 0
    assert await waiting == {"parked": 0}
