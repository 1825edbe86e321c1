"""S3 event records: what is in them is found, and what is hostile is counted."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.buckets.records import MAX_BYTES, MAX_KEY_BYTES, MAX_RECORDS, Encoding, Notice, Parsed, parse, rank
from lakewatchd.core.event import Change

FORM, PLAIN = Encoding.FORM, Encoding.PLAIN


def record(key: object = "a.jpg", name: object = "s3:ObjectCreated:Put", **thing: object) -> dict[str, Any]:
    return {
        "eventVersion": "2.0",
        "eventTime": "2026-11-21T09:55:25.440Z",
        "eventName": name,
        "s3": {"bucket": {"name": "photos"}, "object": {"key": key, **thing}},
    }


def read(value: object, encoding: Encoding = FORM) -> Parsed:
    return parse(json.dumps(value).encode("utf-8", "surrogateescape"), encoding)


def one(value: object, encoding: Encoding = FORM) -> Notice:
    (notice,) = read(value, encoding).notices
    return notice


def test_all_that_a_record_says() -> None:
    told = record("b%2Fa+1%2B.jpg", size=5, eTag='"5d41"', versionId="v1", sequencer="18ea06d7d02ce073")
    assert one({"EventName": "s3:ObjectCreated:Put", "Key": "photos/b/a 1+.jpg", "Records": [told]}) == Notice(
        "photos", "b/a 1+.jpg", Change.ADDED, "18EA06D7D02CE073", 1795254925.44, 5, "5d41", "v1", "ObjectCreated:Put"
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("s3:ObjectCreated:Put", Change.ADDED),
        ("ObjectCreated:CompleteMultipartUpload", Change.ADDED),  # S3 itself leaves the prefix out
        ("s3:ObjectCreated:PutTagging", Change.MODIFIED),
        ("s3:ObjectCreated:DeleteTagging", Change.MODIFIED),
        ("s3:ObjectCreated:PutRetention", Change.MODIFIED),
        ("ObjectTagging:Delete", Change.MODIFIED),
        ("s3:ObjectRestore:Completed", Change.MODIFIED),
        ("s3:ObjectRemoved:Delete", Change.REMOVED),
        ("s3:ObjectRemoved:DeleteMarkerCreated", Change.REMOVED),
        ("s3:ObjectRemoved:NoOP", Change.REMOVED),
        ("s3:LifecycleExpiration:Delete", Change.REMOVED),
        ("s3:LifecycleDelMarkerExpiration:Delete", Change.REMOVED),
    ],
)
def test_events_that_change_something(name: str, change: Change) -> None:
    assert one(record(name=name, size=7)).change is change
    assert one(record(name=name, size=7)).size_bytes == (None if change is Change.REMOVED else 7)


@pytest.mark.parametrize(
    "name", ["s3:ObjectAccessed:Head", "s3:Replication:OperationCompletedReplication", "s3:BucketCreated:*",
             "s3:ObjectTransition:Complete", "s3:TestEvent"],
)  # fmt: skip
def test_events_that_change_nothing(name: str) -> None:
    assert read(record(name=name)) == Parsed(ignored=1)


def test_what_is_not_known_is_no_hint() -> None:
    assert read(record(name="s3:ObjectGlanced:At")) == Parsed(unknown=1)
    assert read(record() | {"eventVersion": "3.0"}) == Parsed(unknown=1)
    assert read(record() | {"eventVersion": "2.6"}).notices
    assert read({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}) == Parsed(ignored=1)


@pytest.mark.parametrize(
    "shape",
    [
        lambda r: r,
        lambda r: [r],
        lambda r: {"Records": [r]},
        lambda r: [{"Event": [r], "EventTime": r["eventTime"]}],
        lambda r: [r["eventTime"], r],
        lambda r: [r["eventTime"], {"Records": [r]}],
        lambda r: [r["eventTime"], [r]],
        lambda r: [1795254925440, r],
    ],
)
def test_every_shape(shape: Any) -> None:
    assert [notice.key for notice in read(shape(record())).notices] == ["a.jpg"]


def test_good_records_among_bad_ones_are_kept() -> None:
    told = [record("1"), {}, None, 7, "x", [], record(""), record("2", name="s3:ObjectRemoved:Delete"), record(name=3)]
    parsed = read({"Records": told})
    assert ([notice.key for notice in parsed.notices], parsed.bad) == (["1", "2"], 7)


@pytest.mark.parametrize("payload", [b"", b" ", b"\n", b'{"Records":[]}', b'{"Records":null}', b'[{"Records":[]}]'])
def test_nothing_is_not_bad(payload: bytes) -> None:
    assert parse(payload, PLAIN) == Parsed()


@pytest.mark.parametrize(
    "payload",
    [
        b"\0",
        b"{",
        b"{}",
        b"null",
        b'"Records"',
        b"\xff\xfe{\0}\0",
        b"[" * 500_000,
        b'{"Records":' * 50_000,
        b"[" * 10 + b"]" * 10,
        b'{"Records":' + b"9" * 5000 + b"}",
        b'{"Records":{"Records":{"Records":{"Records":{"Records":{}}}}}}',
        b" " * (10 << 20),
        b"<Event/>",
    ],
)
def test_garbage_is_counted_once(payload: bytes) -> None:
    assert parse(payload, FORM) == Parsed(bad=1)


@pytest.mark.parametrize(
    "key", ["", None, 3, ["a"], {}, True, "\ud800", "a" * (MAX_KEY_BYTES + 1), "ü" * 513, "%ff" * 1025]
)
def test_keys_that_no_object_has(key: object) -> None:
    assert read(record(key)) == Parsed(bad=1)


@pytest.mark.parametrize("size", [-1, 1 << 63, 1.5, "5", True, None, float("nan"), float("inf"), [], 10**400])
def test_sizes_that_lie(size: object) -> None:
    assert one(record(size=size)).size_bytes is None


@pytest.mark.parametrize("value", [None, 1, [], "\n", "x" * 5000, "\ud800"])
def test_other_fields_that_lie(value: object) -> None:
    told = record(eTag=value, versionId=value, sequencer=value) | {"eventTime": value}
    assert one(told) == Notice("photos", "a.jpg", Change.ADDED, name="ObjectCreated:Put")


def test_the_last_of_two_equal_names_counts_and_nothing_breaks() -> None:
    text = json.dumps(record("first")).replace('"key": "first"', '"key": "first", "key": "second"')
    assert [notice.key for notice in parse(text.encode(), FORM).notices] == ["second"]


def test_a_bucket_without_a_name() -> None:
    for name in ("", None, 3, "x" * 300):
        told = copy.deepcopy(record())
        told["s3"]["bucket"]["name"] = name
        assert read(told) == Parsed(bad=1)


KEYS = st.binary(min_size=1, max_size=MAX_KEY_BYTES).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(KEYS)
def test_every_key_arrives_by_every_channel(key: str) -> None:
    assert one(record(quote_plus(key, errors="surrogateescape")), FORM).key == key
    assert one(record(key), PLAIN).key == key
    raw = json.dumps(record(key), ensure_ascii=False).encode("utf-8", "surrogateescape")
    assert [notice.key for notice in parse(raw, PLAIN).notices] == [key]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["Records", "Event", "s3", "bucket", "object", "name", "key", "eventName"]), inner
        )
    ),
    max_leaves=20,
)


@given(JSON | st.builds(record, JSON, JSON, size=JSON, eTag=JSON, sequencer=JSON), st.sampled_from(Encoding))
def test_nothing_raises(value: object, encoding: Encoding) -> None:
    for notice in read(value, encoding).notices:
        assert notice.bucket and 0 < len(notice.key.encode("utf-8", "surrogateescape")) <= MAX_KEY_BYTES


@given(st.binary(max_size=200), st.sampled_from(Encoding))
def test_no_bytes_raise(payload: bytes, encoding: Encoding) -> None:
    parse(payload, encoding)


def test_as_many_records_as_fit_and_no_more() -> None:
    real = json.dumps(record("k" * 700))
    count = MAX_BYTES // (len(real) + 2)
    payload = ("[" + ",".join([real] * count) + "]").encode()
    assert len(parse(payload, FORM).notices) == count
    assert parse(payload + b" " * MAX_BYTES, FORM) == Parsed(bad=1)
    for junk in ("1", "[]", "{}", '""', "null"):
        flood = ("[1," + ",".join([junk] * (MAX_BYTES // (len(junk) + 1) - 2)) + "]").encode()
        assert parse(flood, FORM) == Parsed(bad=MAX_RECORDS + 1)


def test_sequencers_compare_after_padding() -> None:
    assert rank("9") == rank("0009") and rank("10") > rank("9")  # type: ignore[operator]
    assert rank("18EA06D7D02CE073") == rank("18ea06d7d02ce073")
    assert rank("") is None and rank("0x10") is None and rank("1_0") is None and rank("-1") is None
