"""The table of states: whatever is known of a place, it is in exactly one, and the right one."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.core.job import JobState, Priority
from lakewatchd.core.status import FileState
from lakewatchd.daemon.judge import Evidence, judge
from lakewatchd.queue.book import JobFact

KEY = PathKey("nas", "a.jpg")
V = Version(5, 1, 2)
KNOWN = Occurrence(KEY, "aa", V)


def job(state: JobState, reason: str = "") -> JobFact:
    return JobFact(state, Priority.FRESH, 0, 0.0, None, None, reason, "", "")


READY, PARKED = job(JobState.READY), job(JobState.PARKED, "damaged-media")
FINE = Evidence(V, known=KNOWN, bronze=("aa",), gold=1)


@pytest.mark.parametrize(
    ("changes", "state", "detail"),
    [
        ({}, "indexed", ""),
        ({"waiting": "changed 2 s ago", "disk": None}, "settling", "changed 2 s ago"),
        ({"ingest": READY, "known": None, "bronze": (), "gold": 0}, "queued", "ready"),
        ({"ingest": PARKED, "known": None, "bronze": (), "gold": 0}, "parked", "damaged-media"),
        ({"index": READY, "gold": 0}, "queued", "ready"),
        ({"index": PARKED}, "parked", "damaged-media"),
        ({"disk": None}, "gap", "in the lake, but not on disk"),
        ({"disk": None, "is_held": True}, "held", ""),
        ({"known": None, "bronze": (), "gold": 0}, "gap", "on disk, but in no table"),
        ({"known": None}, "gap", "in the lake, but not known to the queue"),
        ({"bronze": ()}, "gap", "known to the queue, but not in the lake"),
        ({"bronze": ("aa", "aa")}, "gap", "2 times in the lake"),
        ({"bronze": ("bb",)}, "gap", "the lake says that other content lies there"),
        ({"gold": 0}, "gap", "indexed, but not published"),
        ({"gold": 2}, "gap", "published 2 times"),
        ({"disk": Version(6, 1, 2)}, "gap", "changed on disk since it was indexed"),
        ({"disk": Version(6, 1, 2), "scan_due": "a scan comes"}, "queued", "a scan comes"),
        ({"disk": Version(5, 1, 9)}, "gap", "changed on disk since it was indexed"),
        ({"disk": Version(5, 1, 9), "has_stable_inodes": False}, "indexed", ""),
        ({"disk": Version(5, 1, 2, ctime_ns=7)}, "indexed", ""),
    ],
)
def test_states(changes: dict[str, object], state: str, detail: str) -> None:
    verdict = judge(dataclasses.replace(FINE, **changes))  # type: ignore[arg-type]
    assert (verdict.state, verdict.detail) == (state, detail)


def test_only_what_is_whole_is_indexed_and_every_combination_has_a_state() -> None:
    choices = {
        "disk": (V, Version(6, 1, 2), None), "waiting": ("", "x"), "ingest": (None, READY, PARKED),
        "known": (KNOWN, None), "bronze": (("aa",), (), ("aa", "aa"), ("bb",)), "index": (None, READY, PARKED),
        "gold": (0, 1, 2), "is_held": (False, True), "scan_due": ("", "x"),
    }  # fmt: skip
    for values in itertools.product(*choices.values()):
        found = Evidence(**dict(zip(choices, values, strict=True)))  # type: ignore[arg-type]
        if found.is_nowhere:
            continue
        state = judge(found).state
        assert state in FileState
        whole = found.known and found.disk == V and found.bronze == ("aa",) and found.gold == 1
        if state is FileState.INDEXED:
            assert whole
        elif whole:
            assert found.ingest or found.index or found.waiting, found
