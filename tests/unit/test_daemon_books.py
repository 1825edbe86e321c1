"""What the daemon says of itself: how old it may be, and what an audit of files that move may call a gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakewatchd.config import RootConfig, defaults
from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.core.status import FileState
from lakewatchd.daemon import report
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
