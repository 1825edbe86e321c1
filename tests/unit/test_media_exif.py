"""Times and places out of what strangers wrote."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import IFDRational

from lakewatchd.media.exif import MAX_CHARS, facts, parse_time, time_in_name, title_of

NOON = dt.datetime.fromisoformat("2024-07-12T10:15:00")
DAY = NOON.replace(hour=0, minute=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:07:12 10:15:00", NOON),
        ("2024-07-12T10:15:00+02:00", NOON),
        (" 2024:07:12  10:15", NOON),
        ("2024:07:12", DAY),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2024:13:45 10:15:00", None),
        ("2024:07:12 25:00:00", None),
        ("2024:07", None),
        ("2024:07:12 10:", DAY),
        ("9999:01:01 00:00:00", None),
        ("٢٠٢٤:07:12 10:15:00", None),
        ("", None),
    ],
)
def test_exif_times(text: str, expected: dt.datetime | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20240712_101500.jpg", NOON),
        ("PXL_20240712_101500123.MP.jpg", NOON),
        ("2024-07-12 10.15.00.jpg", NOON),
        ("IMG20240712101500.jpg", NOON),
        ("20240712101500.jpg", NOON),
        ("Screenshot_2024-07-12-10-15-00-123_com.app.png", NOON),
        ("Screenshot_20240712-101500.png", NOON),
        ("WhatsApp Image 2024-07-12 at 10.15.00.jpeg", NOON),
        ("signal-2024-07-12-101500.jpg", NOON),
        ("IMG-20240712-WA0001.jpg", DAY),
        ("2024_07_12 picnic.jpg", DAY),
        ("DSC_0001.jpg", None),
        ("IMG_20241345_000000.jpg", None),
        ("1234567890123456789.jpg", None),
        ("photo.jpg", None),
    ],
)
def test_times_in_names(name: str, expected: dt.datetime | None) -> None:
    assert time_in_name(name) == expected


def test_facts_of_a_well_behaved_camera() -> None:
    main = {0x010F: "Canon", 0x0110: "Canon EOS R5\0\0", 0x0132: "2025:01:01 00:00:00"}
    detail = {0x9003: "2024:07:12 10:15:00", 0x829A: IFDRational(1, 250), 0x829D: IFDRational(28, 10), 0x8822: 2}
    place = {1: "N", 2: (47.0, 30.0, 36.0), 3: "W", 4: (8.0, 15.0, 0.0)}
    found = facts(main, detail, place)
    assert (found.captured_at, found.camera) == (NOON, "Canon EOS R5")
    assert (found.latitude, found.longitude) == (47.51, -8.25)
    assert dict(found.pairs)["ExposureTime"] == "1/250"
    assert dict(found.pairs)["FNumber"] == "2.8"


def test_parts_of_a_second_keep_a_burst_in_order() -> None:
    assert facts({}, {0x9003: "2024:07:12 10:15:00", 0x9291: "25"}, {}).captured_at == NOON.replace(microsecond=250_000)


@pytest.mark.parametrize("clock", [(10.0, 15.0, 0.0), (IFDRational(10), IFDRational(15), IFDRational(0))])
def test_satellites_tell_the_time_where_the_camera_does_not(clock: tuple[object, ...]) -> None:
    found = facts({}, {}, {0x1D: "2024:07:12", 7: clock})
    assert (found.captured_at, found.captured_from) == (NOON, "gps")


@pytest.mark.parametrize("clock", [(24.0, 0.0, 0.0), (10.0, 15.0), ("x", 1, 2), (IFDRational(1, 0),) * 3, None])
def test_half_a_time_of_satellites_is_none(clock: object) -> None:
    assert facts({}, {}, {0x1D: "2024:07:12", 7: clock}).captured_at is None


def apple_note(moment: bytes) -> bytes:
    head = b"Apple iOS\0\0\1MM" + (2).to_bytes(2)
    other = (1).to_bytes(2) + (9).to_bytes(2) + (1).to_bytes(4) + (14).to_bytes(4)
    entry = (0x11).to_bytes(2) + (2).to_bytes(2) + len(moment).to_bytes(4) + (len(head) + 24 + 4).to_bytes(4)
    return head + other + entry + b"\0\0\0\0" + moment


def test_the_moment_of_a_live_photo() -> None:
    found = facts({}, {0x927C: apple_note(b"0F3C-AA\0")}, {})
    assert dict(found.pairs)["ContentIdentifier"] == "0F3C-AA"


@pytest.mark.parametrize(
    "note", [b"", b"Apple iOS\0\0\1MM", b"Apple iOS\0\0\1MM\xff\xff" + b"\0\x11\0\2" * 9, b"Nikon", 7]
)
def test_other_notes_name_none(note: object) -> None:
    assert "ContentIdentifier" not in dict(facts({}, {0x927C: note}, {}).pairs)


def test_a_zeroed_original_time_does_not_hide_a_good_one() -> None:
    assert facts({}, {0x9003: "0000:00:00 00:00:00", 0x9004: "2024:07:12 10:15:00"}, {}).captured_at == NOON


@pytest.mark.parametrize(
    "degrees",
    [(91.0, 0.0, 0.0), (float("nan"),) * 3, (IFDRational(1, 0),) * 3, ("x", "y", "z"), 47.5, (), (-1.0, 0.0, 0.0),
     (0.0, 0.0, 0.0)],
)  # fmt: skip
def test_impossible_places_are_no_places(degrees: object) -> None:
    found = facts({}, {}, {1: "N", 2: degrees, 3: "E", 4: (0.0, 0.0, 0.0)})
    assert (found.latitude, found.longitude) == (None, None)


values = st.one_of(
    st.text(max_size=2000), st.binary(max_size=2000), st.floats(), st.integers(), st.none(),
    st.tuples(st.floats(), st.floats(), st.floats()), st.builds(IFDRational, st.integers(0, 9), st.integers(0, 9)),
)  # fmt: skip
TAGS = st.sampled_from([0x010E, 0x010F, 0x0110, 0x0132, 0x829A, 0x829D, 0x9003, 0x9004, 0x920A, 1, 2, 3, 4])


@given(st.dictionaries(TAGS, values), st.dictionaries(TAGS, values), st.dictionaries(TAGS, values))
def test_any_values_give_short_clean_storable_facts(
    main: dict[int, object], detail: dict[int, object], gps: dict[int, object]
) -> None:
    found = facts(main, detail, gps)
    for key, value in found.pairs:
        assert key and 0 < len(value) <= MAX_CHARS
        value.encode()
        assert not any(ord(char) < 32 for char in value)
    assert found.latitude is None or -90 <= found.latitude <= 90
    assert found.longitude is None or -180 <= found.longitude <= 180


@given(st.text(max_size=300))
def test_titles_and_times_come_out_of_any_name(name: str) -> None:
    time_in_name(name)
    title_of(name).encode()
    assert "\n" not in title_of(name)
