"""Keys and paths: nothing that a key can hold leads out of its root, and no two keys meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.buckets.keys import key_of, path_of, why_left_out

names = st.lists(st.sampled_from(["", ".", "..", "%", "%.", "%%..", "a", "a.b", "%a", "...", "\\", "\n", "\udc80"]))
keys = names.map("/".join) | st.text(max_size=12)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("a//b", "a/%/b"),
        ("/x", "%/x"),
        ("../etc", "%../etc"),
        ("%", "%%"),
        ("a/./b", "a/%./b"),
        ("a/", "a/%"),
        ("100%", "100%"),
        ("%2e%2e/x", "%2e%2e/x"),
        ("a\\..\\b", "a\\..\\b"),
        ("...", "..."),
    ],
)
def test_what_keys_are_called(key: str, path: str) -> None:
    assert path_of(key) == path and key_of(path) == key


@given(keys)
def test_there_and_back(key: str) -> None:
    path = path_of(key)
    assert key_of(path) == key, "so no two keys have one path"
    assert not {"", ".", ".."} & set(path.split("/"))


@given(st.lists(keys, max_size=4))
def test_a_key_below_a_prefix_is_a_path_below_a_path(parts: list[str]) -> None:
    assert path_of("/".join(["p", *parts])) == "/".join(["p", *map(path_of, parts)])


@pytest.mark.parametrize(
    ("key", "size", "why"),
    [
        ("folder/", 0, "a folder marker"),
        ("folder/", None, "a folder marker"),
        ("odd/", 3, None),
        ("empty", 0, None),
        ("p/.lakewatchd-probe-12", 5, "a probe of lakewatchd check"),
        ("a\0b", 1, "a NUL in its key"),
        ("ü" * 512, 1, None),
        ("ü" * 512 + "x", 1, "its key is longer than 1024 bytes"),
        ("\udcff" * 1024, 1, None),
        ("\ud800", 1, "its key is not text"),
    ],
)
def test_what_is_left_out(key: str, size: int | None, why: str | None) -> None:
    assert why_left_out(key, size) == why
