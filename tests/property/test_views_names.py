"""Names: legal, reversible, unique, and the same whatever the order in which files came and went."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakewatchd.views.mounted import store
from lakewatchd.views.mounted.names import folder_name, folder_text, is_file_name, suffixed
from lakewatchd.views.mounted.naming import Member, Naming
from lakewatchd.views.mounted.numbers import asset_slot

ANY_TEXT = st.text(st.characters(codec=None), max_size=300) | st.text("%~.0A2E /\\", max_size=8)


@given(ANY_TEXT)
@example("")
@example(".")
@example("..")
@example("%2F")
@example("%%2F/")
@example("%~")
@example("a.\n")
@example("é" * 127 + "x")
def test_a_folder_name_is_legal_everywhere_and_tells_its_text(text: str) -> None:
    name = folder_name(text)
    assert is_file_name(name)
    assert not set(name.decode()) & set('<>:"|?*\\\x00\n\x7f')
    assert not name.startswith((b".", b" ")) and not name.endswith((b".", b" "))
    assert folder_text(name) in (text, None)
    if len(text) < 20:
        assert folder_text(name) == text


@given(ANY_TEXT, ANY_TEXT)
@example("/", "%2F")
@example("", "%~")
@example("x" * 300, "x" * 301)
def test_two_texts_never_share_a_folder_name(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["travel", "Köln 2023", "家族", "100%", "a&b (c) [d] 'e'", "🚗", "rock'n'roll, 50 % off"]
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert folder_name(text) == text.encode()


@given(st.binary(min_size=1, max_size=255), st.integers(4, 70))
def test_a_suffixed_name_fits_and_keeps_the_extension(plain: bytes, digits: int) -> None:
    plain = plain.replace(b"/", b"_").replace(b"\0", b"_")
    name = suffixed(plain, "3f2a" * 16, digits)
    assert is_file_name(name) and name != plain


def test_a_long_name_is_cut_between_characters() -> None:
    name = suffixed(("é" * 125 + ".jpg").encode(), "3f2a" * 16, 4)
    assert len(name) <= 255
    assert name.decode().endswith("~" + "3f2a" * 8 + ".jpg")


@dataclass(frozen=True)
class Item:
    name: bytes
    age: float
    identity: str


FOLDER = 7


class Named:
    """One folder of an index, whose items are assets."""

    def __init__(self) -> None:
        self.db = store.open_store()
        self.naming = Naming(self.db)
        self.items: dict[int, Item] = {}

    def add(self, item: Item) -> None:
        number = next(number for number in itertools.count(asset_slot(item.identity)) if number not in self.items)
        self.items[number] = item
        self.db.execute("INSERT INTO asset VALUES (?, ?, ?, NULL)", (number, item.identity, item.age))
        self.naming.add(FOLDER, item.name, Member(number, 0, 0))

    def discard(self, item: Item) -> None:
        number = next(number for number, known in self.items.items() if known == item)
        self.naming.discard(FOLDER, item.name, number)
        self.db.execute("DELETE FROM asset WHERE item = ?", (number,))
        del self.items[number]

    @property
    def entries(self) -> dict[bytes, Item]:
        rows = self.db.execute("SELECT name, item FROM member WHERE folder = ? AND item >= 0", (FOLDER,))
        return {name: self.items[number] for name, number in rows}


def fresh(items: set[Item], folders: set[bytes]) -> dict[bytes, Item]:
    names = Named()
    for folder in folders:
        names.naming.reserve(FOLDER, folder)
    for item in random.Random(len(items)).sample(sorted(items, key=repr), len(items)):
        names.add(item)
    return names.entries


# Few names, identities that begin alike, and real files that look like suffixed ones: as hostile as it gets.
PLAIN = st.sampled_from(
    [b"a.jpg", b"a~3f2a.jpg", b"a~3f2a0.jpg", b"a~3f2a~3f2a.jpg", b"a", b"a~3f2a", b"b" * 255, b".a"]
)
ITEMS = st.builds(
    Item, PLAIN, st.sampled_from([1.0, 2.0]), st.sampled_from([head + "0" * 60 for head in ("3f2a", "3f2b", "4444")])
    | st.sampled_from(["3f2a" + "0" * 59 + last for last in "123"])
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), ITEMS | PLAIN), max_size=40))
def test_names_depend_on_what_is_there_and_not_on_how_it_came(steps: list[tuple[bool, Item | bytes]]) -> None:
    names = Named()
    items: set[Item] = set()
    folders: set[bytes] = set()
    for is_added, thing in steps:
        before = names.entries
        names.naming.changed.clear()
        if isinstance(thing, bytes):
            if is_added == (thing in folders):
                continue
            (names.naming.reserve if is_added else names.naming.release)(FOLDER, thing)
            folders ^= {thing}
        else:
            twin = any((item.name, item.identity) == (thing.name, thing.identity) for item in items - {thing})
            if is_added == (thing in items) or twin:
                continue
            (names.add if is_added else names.discard)(thing)
            items ^= {thing}
        assert set(names.entries.values()) == items and not names.entries.keys() & folders
        differ = {n for n in before.keys() | names.entries.keys() if before.get(n) != names.entries.get(n)}
        assert differ <= names.naming.changed[FOLDER]
    assert names.entries == fresh(items, folders)


def test_the_oldest_has_the_plain_name() -> None:
    old, new = Item(b"x.jpg", 1.0, "bb" * 32), Item(b"x.jpg", 2.0, "aa" * 32)
    assert fresh({old, new}, set()) == {b"x.jpg": old, b"x~aaaa.jpg": new}
