"""What labels of objects say: the few things meant, and nothing that hostile ones try."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake_rows import occurrence

from lakewatchd.core.asset import NO_LABELS, Labels, Tag
from lakewatchd.lake.rows import OccurrenceRow
from lakewatchd.stages import labelled
from lakewatchd.views.mounted.names import folder_name, is_file_name


def placed(**labels: object) -> OccurrenceRow:
    return dataclasses.replace(occurrence(1), labels=Labels(**labels))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("place", "Köln", "place=Köln"), ("family", "", "family"), ("family", "TRUE", "family"), ("a", "yes", "a"),
        ("family", " 1 ", "family"), ("family", "no", "family=no"), (" a b ", "c", "a b=c"), ("k=v", "w", "k=v=w"),
    ],
)  # fmt: skip
def test_an_object_tag_is_called(key: str, value: str, name: str) -> None:
    assert labelled.tags([placed(tags=((key, value),))]) == (Tag(name, 1.0, "bucket"),)


def test_tags_of_all_places_count_once_whatever_the_order_of_the_places() -> None:
    places = [placed(tags=(("b", ""), ("a", ""))), placed(tags=(("a", "yes"), ("c", "d"))), placed()]
    told = {labelled.tags(order) for order in itertools.permutations(places)}
    assert [[tag.name for tag in tags] for tags in told] == [["a", "b", "c=d"]]


hostile = st.text(max_size=300) | st.sampled_from(
    ["", " ", "/", "..", "../..", "\n", "a/b", "\0", "%2F", "." * 300, "\ud800"]
)


@given(st.lists(st.tuples(hostile, hostile), max_size=80).map(tuple))
def test_any_tag_makes_one_folder(pairs: tuple[tuple[str, str], ...]) -> None:
    tags = labelled.tags([placed(tags=pairs)])
    assert len(tags) <= labelled.MAX_TAGS
    assert len({folder_name(tag.name) for tag in tags}) == len(tags)
    for tag in tags:
        assert tag.name and len(tag.name) <= labelled.MAX_TAG_CHARS
        assert is_file_name(folder_name(tag.name))


@given(st.lists(st.tuples(hostile, hostile), max_size=20).map(tuple), hostile)
def test_whatever_metadata_says_is_bounded(pairs: tuple[tuple[str, str], ...], content_type: str) -> None:
    place = placed(metadata=pairs, content_type=content_type)
    assert len(labelled.words([place] * 40)) <= labelled.MAX_WORDS_CHARS
    assert isinstance(labelled.modified_s(place), int)
    assert len(labelled.mime("application/octet-stream", place.labels)) < 200


def test_user_metadata_is_searchable_and_times_are_not() -> None:
    said = (("camera", "Leica"), ("mtime", "5"), ("note", "for  grandma"), ("s3cmd-attrs", "mtime:1"), ("x", "Leica"))
    assert labelled.words([placed(metadata=said), placed(metadata=said)]) == "Leica for  grandma"


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({"mtime": "1354040105.123456789"}, 1_354_040_105),
        ({"mtime": "1354040105"}, 1_354_040_105),
        ({"mtime": "-86400.5"}, -86_400),
        ({"s3cmd-attrs": "atime:1571148000/ctime:1/gid:0/mode:33188/mtime:1571147000/uname:root"}, 1_571_147_000),
        ({"mc-attrs": "atime:1611594184#3/gid:0/mtime:1611594183#268553000/uid:0"}, 1_611_594_183),
        ({"mtime": "yesterday", "mc-attrs": "mtime:7"}, 7),
        ({"mtime": "1" * 400}, None),
        ({"mtime": "１３"}, None),
        ({}, None),
    ],
)
def test_a_time_that_a_tool_noted_is_the_modification_time(metadata: dict[str, str], seconds: int | None) -> None:
    place = placed(metadata=tuple(metadata.items()))
    assert labelled.modified_s(place) == (place.version.mtime_ns // 10**9 if seconds is None else seconds)


@pytest.mark.parametrize(
    ("found", "claimed", "mime"),
    [
        ("application/octet-stream", "Application/X-Own; charset=utf-8", "application/x-own"),
        ("image/jpeg", "text/html", "image/jpeg"),
        ("application/octet-stream", "no type at all", "application/octet-stream"),
        ("application/octet-stream", "", "application/octet-stream"),
    ],
)
def test_a_claimed_type_counts_where_content_says_nothing(found: str, claimed: str, mime: str) -> None:
    assert labelled.mime(found, Labels(content_type=claimed)) == mime


def test_labels_differ_by_their_mark_and_none_are_no_unknown_ctime() -> None:
    some = [
        NO_LABELS, Labels((("a", "b"),)), Labels((("ab", ""),)), Labels(metadata=(("a", "b"),)),
        Labels(content_type="a"), Labels(version_id="a"), Labels((("a", "\udcff"),)),
    ]  # fmt: skip
    marks = {labels.mark for labels in some}
    assert len(marks) == len(some)
    assert all(0 < mark < 1 << 63 for mark in marks)
