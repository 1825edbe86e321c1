"""Status as a value: its headline, and its way over the wire and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.core.status import (
    LakeView,
    ModelView,
    ParkedGroup,
    Problem,
    QueueLine,
    RootView,
    Status,
    TableView,
    duration_text,
)
from lakewatchd.core.wire import from_json, to_json

ROOT = RootView("photos", "/srv/photos", "present", files=57)
WORKING = Status(
    version="1",
    pid=7,
    roots=(ROOT,),
    queue=(QueueLine("ingest", "fresh", "ready", 10), QueueLine("tag", "fresh", "leased", 2)),
    rate_per_s=9.13,
    eta_s=2.0,
    parked=(ParkedGroup("damaged-media", 1),),
)


def test_headline_says_it_all() -> None:
    assert WORKING.headline == "watching 1 root, 57 files; 12 queued, 9.1/s, 2 s left; 1 parked"


def test_headline_tells_what_is_looked_for_from_what_is_looked_into_again() -> None:
    deeper = QueueLine("index", "enrichment", "ready", 300)
    both = dataclasses.replace(WORKING, queue=(*WORKING.queue, deeper, QueueLine("index", "enrichment", "parked", 9)))
    assert "; 12 queued, 300 in the background, 9.1/s" in both.headline
    assert "; nothing queued, 300 in the background, 9.1/s" in dataclasses.replace(WORKING, queue=(deeper,)).headline


def test_headline_of_an_idle_and_of_a_stopped_daemon() -> None:
    assert Status("1", pid=1).headline == "watching 0 roots, 0 files; nothing queued"
    away = dataclasses.replace(ROOT, state="away", files=1)
    assert Status("1", roots=(ROOT, away)).headline == "knows 2 roots, 58 files, 1 away; nothing queued"


def test_headline_says_when_and_why_work_rests() -> None:
    assert dataclasses.replace(WORKING, paused="disk full").headline.endswith("1 parked; paused: disk full")


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (2, "2 s"), (89, "89 s"), (180, "3 min"), (15000, "4 h 10 min"), (6e5, "7 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def _values(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind)


statuses = st.builds(
    Status,
    roots=st.lists(_values(RootView), max_size=3).map(tuple),
    queue=st.lists(_values(QueueLine), max_size=3).map(tuple),
    parked=st.lists(_values(ParkedGroup), max_size=3).map(tuple),
    models=st.lists(_values(ModelView), max_size=3).map(tuple),
    lake=st.builds(LakeView, path=st.text(), tables=st.lists(_values(TableView), max_size=2).map(tuple)),
    eta_s=st.none() | st.floats(allow_nan=False),
    pid=st.none() | st.integers(),
    problems=st.lists(_values(Problem), max_size=2).map(tuple),
)


@given(statuses)
def test_a_status_survives_the_wire(status: Status) -> None:
    assert from_json(Status, json.loads(json.dumps(to_json(status)))) == status


def test_a_newer_daemon_may_say_more_and_an_older_one_less() -> None:
    assert from_json(Status, {"version": "9", "mood": "good"}) == Status("9")


@pytest.mark.parametrize(
    "bad", [[], {}, {"version": 3}, {"version": "1", "running": True}, {"version": "1", "roots": [{"name": "x"}]}]
)
def test_other_shapes_are_refused(bad: object) -> None:
    with pytest.raises(ValueError):
        from_json(Status, bad)
