"""Which evidence wins, and what no evidence is good enough for."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from lakewatchd.core.asset import Kind, PathKey, Version
from lakewatchd.lake.rows import AssetRow, OccurrenceRow, Presence
from lakewatchd.stages.dated import dated

NOW_S = dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()
MTIME = dt.datetime(2023, 5, 6, 7, 8, 9)  # noqa: DTZ001 - wall clock, as everything here
ZURICH = "Europe/Zurich"


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def row(taken: str = "", by: str = "", kind: Kind = Kind.IMAGE) -> AssetRow:
    return AssetRow("0" * 64, kind, "", 1, captured_at=at(taken) if taken else None, captured_from=by)


def place(path: str, mtime: dt.datetime = MTIME) -> OccurrenceRow:
    version = Version(1, int(mtime.timestamp()) * 10**9, 1)
    return OccurrenceRow(PathKey("nas", path), "0" * 64, Kind.IMAGE, "", version, Presence.PRESENT, 0.0, 0.0)


CASES = [
    # path, what the content says, what sidecars say, the zone, and what it comes to
    ("a.jpg", [("", "")], "", "2023-05-06T07:08:09 mtime"),
    ("a.jpg", [("2019-07-12T10:15:00", "exif")], "", "2019-07-12T10:15:00 exif"),
    ("a.jpg", [("2019-07-12T10:15:00", "exif"), ("2018-01-02", "sidecar")], "", "2018-01-02 sidecar"),
    ("a.jpg", [("2019-07-12T10:15:00", "exif"), ("2018-01-02", "takeout")], "", "2019-07-12T10:15:00 exif"),
    ("2017/a.jpg", [("", ""), ("2018-01-02T12:00:00", "takeout")], ZURICH, "2018-01-02T13:00:00 sidecar"),
    ("a.mov", [("2019-07-12T22:15:00", "container-utc")], ZURICH, "2019-07-13T00:15:00 container"),
    ("a.mov", [("2019-07-12T22:15:00", "container")], ZURICH, "2019-07-12T22:15:00 container"),
    ("a.jpg", [("2019-07-12T22:15:00", "gps")], "Asia/Tokyo", "2019-07-13T07:15:00 gps"),
    ("a.jpg", [("2019-07-12T22:15:00", "gps")], "Not/AZone", "2019-07-12T22:15:00 gps"),
    (
        "a.pdf",
        [("2019-07-12T22:15:00", "a word of another decoder")],
        "",
        "2019-07-12T22:15:00 a word of another decoder",
    ),
    ("IMG_20240712_101500.jpg", [("", "")], "", "2024-07-12T10:15:00 name"),
    ("Screenshot 2024-07-12 at 3.15.00 PM.png", [("", "")], "", "2024-07-12T15:15:00 name"),
    ("Screenshot 2024-07-12 at 12.15.00\u202fAM.png", [("", "")], "", "2024-07-12T00:15:00 name"),
    ("DJI_20240712101500_0001_D.JPG", [("", "")], "", "2024-07-12T10:15:00 name"),
    ("signal-2024-07-12-10-15-00-123.jpg", [("", "")], "", "2024-07-12T10:15:00 name"),
    ("2024-07-12T10:15:00.jpg", [("", "")], "", "2024-07-12T10:15:00 name"),
    ("IMG-20240712-WA0001.jpg", [("", "")], "", "2024-07-12 name"),
    ("IMG-20230506-WA0001.jpg", [("", "")], "", "2023-05-06T07:08:09 name"),
    ("IMG-20240712-WA0001.jpg", [("", ""), ("2024-07-12T08:00:00", "takeout")], ZURICH, "2024-07-12T10:00:00 sidecar"),
    # folders
    ("2019/a.jpg", [("", "")], "", "2019-01-01 folder"),
    ("2023/a.jpg", [("", "")], "", "2023-05-06T07:08:09 folder"),
    ("2019/07/a.jpg", [("", "")], "", "2019-07-01 folder"),
    ("2019/07/12/a.jpg", [("", "")], "", "2019-07-12 folder"),
    ("x/2019-07 Italy/raw/a.jpg", [("", "")], "", "2019-07-01 folder"),
    ("2019/2019-07-12 Italy/a.jpg", [("", "")], "", "2019-07-12 folder"),
    ("2019 Italy/a.jpg", [("", "")], "", "2019-01-01 folder"),
    ("20190712/a.jpg", [("", "")], "", "2019-07-12 folder"),
    ("2019/13/a.jpg", [("", "")], "", "2019-01-01 folder"),
    ("1920x1080/a.jpg", [("", "")], "", "2023-05-06T07:08:09 mtime"),
    ("2019a/201907123/a.jpg", [("", "")], "", "2023-05-06T07:08:09 mtime"),
    ("2099/a.jpg", [("", "")], "", "2023-05-06T07:08:09 mtime"),
    # absurd
    ("IMG_20240712_101500.jpg", [("1980-01-01T00:03:00", "exif")], "", "2024-07-12T10:15:00 name"),
    ("a.jpg", [("1970-01-01T00:00:00", "takeout")], "America/New_York", "2023-05-06T07:08:09 mtime"),
    ("a.jpg", [("2031-01-01T00:00:00", "exif")], "", "2023-05-06T07:08:09 mtime"),
    ("a.jpg", [("1904-01-01T00:00:00", "container-utc")], "", "2023-05-06T07:08:09 mtime"),
    ("a.jpg", [("1955-06-07T00:00:00", "exif")], "", "1955-06-07 exif"),
]


@pytest.mark.parametrize(("path", "said", "zone", "expected"), CASES)
def test_the_best_evidence_wins(path: str, said: list[tuple[str, str]], zone: str, expected: str) -> None:
    own, *sidecars = (row(*one) for one in said)
    when, _, by = expected.partition(" ")
    assert dated(own, sidecars, place(path), zone, NOW_S) == (at(when), by)


def test_greenwich_time_of_an_unknown_place_is_told_by_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        taken = row("2019-07-12T22:15:00", "container-utc", Kind.VIDEO)
        assert dated(taken, (), place("a.mov"), "", NOW_S) == (at("2019-07-13T07:15:00"), "container")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_folder_says_nothing_of_a_letter() -> None:
    assert dated(row(kind=Kind.DOCUMENT), (), place("2019/a.txt"), "", NOW_S) == (MTIME, "mtime")


def test_there_is_always_a_date() -> None:
    """Even where the clock of the disk was never set."""
    reset = dt.datetime(1980, 1, 1)  # noqa: DTZ001
    assert dated(row(), (), place("a.jpg", reset), "", NOW_S) == (reset, "mtime")


def test_the_order_of_sidecars_does_not_matter() -> None:
    told = [row("2019-01-02", "sidecar"), row("2018-01-02", "takeout")]
    assert dated(row(), told, place("a.jpg"), "", NOW_S) == dated(row(), told[::-1], place("a.jpg"), "", NOW_S)
