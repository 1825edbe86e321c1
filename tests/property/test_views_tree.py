# ruff: noqa: DTZ001  (the dates are wall-clock times, as the rows say)
"""The tree: whatever the history, its answers equal those of a new tree that was given only the present."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.core.asset import Kind, PathKey, Tag, Version
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mounted import narrowed
from lakewatchd.views.mounted.catalog import Rows
from lakewatchd.views.mounted.entries import Branch, Entry, Leaf
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.index import Index
from lakewatchd.views.mounted.narrowed import is_told
from lakewatchd.views.mounted.numbers import item_of

ASSETS = [head + "0" * 59 + last for head in ("3f2a", "77aa") for last in "12"]
PATHS = ["a.jpg", "b/a.jpg", "c/d/a.jpg", "c/d", "sea", "b/a~3f2a.jpg", "c/\udcff\n", "x/..", "/etc/passwd", ""]
TAGS = ["sea", "travel", "a.jpg", "50/50", ".."]


def occurrence(root: str, path: str, asset: str, age: float, size: int, presence: Presence) -> OccurrenceRow:
    return OccurrenceRow(
        key=PathKey(root, path),
        asset_id=asset,
        kind=Kind.IMAGE,
        mime="image/jpeg",
        version=Version(size, int(age) * 10**9 + size, 1),
        presence=presence,
        first_seen=age,
        last_seen=age,
    )


OCCURRENCES = st.builds(
    occurrence,
    st.sampled_from(["photos", "nas/2"]),
    st.sampled_from(PATHS),
    st.sampled_from(ASSETS),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.integers(0, 3),
    st.sampled_from([Presence.PRESENT, Presence.PRESENT, Presence.AWAY, Presence.GONE]),
)
GOLD = st.builds(
    lambda asset, category, tags, year: GoldRow(
        asset, Kind.IMAGE, "", category, 0.5, tuple(Tag(tag, 0.5, "model") for tag in tags), "a caption",
        dt.datetime(year, 7, 1), "exif", "", None, PathKey("photos", "elsewhere"), 0, 1,
    ),
    st.sampled_from(ASSETS),
    st.sampled_from(["", "people", "a/b"]),
    st.lists(st.sampled_from(TAGS), max_size=4),
    st.sampled_from([1999, 2023]),
)  # fmt: skip
LOOKS = st.lists(st.sampled_from([*TAGS, "by-tag", "by-root", "photos", "c", "by-date", "recent"]), max_size=4)


def rows_of(rows: list[OccurrenceRow | GoldRow]) -> Rows:
    return Rows([r for r in rows if isinstance(r, OccurrenceRow)], [r for r in rows if isinstance(r, GoldRow)])


@dataclass(frozen=True)
class Shown:
    asset: str
    place: str
    size_bytes: int
    mtime_ns: int
    is_away: bool


def shown(tree: Index, folder: Folder, name: bytes, entry: Entry) -> Shown | Branch:
    if isinstance(entry, Branch):
        return entry
    file = tree.file(folder, name)
    assert file is not None and (file.size_bytes, file.mtime_ns) == entry[1:]
    return Shown(file.asset.asset_id, f"{file.root}/{file.path}", file.size_bytes, file.mtime_ns, file.is_away)


def walk(tree: Index, folder: Folder = ()) -> dict[Folder, Shown | Branch]:
    found: dict[Folder, Shown | Branch] = {}
    listed = list(tree.entries(folder))
    if folder == (b"by-tag",):
        either = [b"sea|travel", b"a.jpg|%2E%2E|sea"]
        listed += [(name, entry) for name in either if (entry := tree.lookup(folder, name)) is not None]
    assert len({name for name, _ in listed}) == len(listed)
    for name, entry in listed:
        assert tree.lookup(folder, name) == entry
        found[(*folder, name)] = shown(tree, folder, name, entry)
        if isinstance(entry, Branch):
            assert tree.folder((*folder, name)) == entry
            found |= walk(tree, (*folder, name))
    return found


@settings(max_examples=60)
@given(st.lists(st.lists(OCCURRENCES | GOLD, max_size=6) | LOOKS, max_size=12), st.sampled_from([1, 10, 10_000]))
def test_incremental_equals_fresh(steps: list[list[OccurrenceRow | GoldRow | str]], files_max: int) -> None:
    tree = Index(files_max=files_max, recent=2)
    places: dict[PathKey, OccurrenceRow] = {}
    gold: dict[str, GoldRow] = {}
    for step in steps:
        rows = [row for row in step if not isinstance(row, str)]
        tree.folder(tuple(look.encode() for look in step if isinstance(look, str)))
        if not rows:
            walk(tree)
        for row in rows:
            if isinstance(row, GoldRow):
                gold[row.asset_id] = row
            else:
                places[row.key] = row
        tree.apply(rows_of(rows))
    fresh = Index(recent=2)
    fresh.apply(Rows([*places.values()], [*gold.values()]))
    assert walk(tree) == walk(fresh)
    assert (tree.files, tree.total_bytes, tree.places) == (fresh.files, fresh.total_bytes, fresh.places)


@settings(max_examples=60)
@given(st.lists(st.lists(OCCURRENCES | GOLD, max_size=4), max_size=8), st.sampled_from([1, 10_000]))
def test_whoever_forgets_what_was_touched_remembers_only_the_truth(
    steps: list[list[OccurrenceRow | GoldRow]], files_max: int
) -> None:
    """The kernel's cache as a model: names and folders it was told of, absent ones included where it may."""
    tree = Index(files_max=files_max, recent=2)
    told: dict[tuple[Folder, bytes], Shown | Branch | None] = {}

    def now(folder: Folder, name: bytes) -> Shown | Branch | None:
        entry = tree.lookup(folder, name)
        return shown(tree, folder, name, entry) if entry is not None else None

    for rows in steps:
        touched = tree.apply(rows_of(rows))
        for folder, name in list(told):
            path, entry = (*folder, name), told[folder, name]
            is_stale = any(path[at] in touched.entries.get(path[:at], ()) for at in range(len(path)))
            if is_stale or (isinstance(entry, Branch) and touched.concerns(path)):
                del told[folder, name]
        for (folder, name), entry in told.items():
            assert now(folder, name) == entry
        folders: list[Folder] = [(), *(path for path, entry in walk(tree).items() if isinstance(entry, Branch))]
        for folder in folders:
            told |= {(folder, name): shown(tree, folder, name, entry) for name, entry in tree.entries(folder)}
            for missing in (b"a.jpg", b"sea", b"a~3f2a.jpg", b"c", b"sea|travel"):
                if (entry := now(folder, missing)) is not None or is_told(folder, missing):
                    told.setdefault((folder, missing), entry)


def test_a_row_that_says_nothing_new_touches_nothing() -> None:
    row = occurrence("r", "a", ASSETS[0], 1.0, 1, Presence.PRESENT)
    gold = GoldRow(ASSETS[0], Kind.IMAGE, "", "c", 1.0, (), "", dt.datetime(2020, 1, 1), "", "", None, row.key, 1, 1)
    tree = Index()
    tree.apply(Rows([row], [gold]))
    before = tree.lookup((b"by-root", b"r"), b"a")
    touched = tree.apply(Rows([row], [gold]))
    assert not touched.entries and not touched.folders
    assert tree.lookup((b"by-root", b"r"), b"a") == before is not None


def test_what_may_be_looked_for_is_not_said_to_be_absent_for_long() -> None:
    """Nobody tells of a folder of either tag when it comes to be."""
    tree = Index()
    row, gold = indexed("a.jpg", ASSETS[0], 1.0, "sea")
    tree.apply(Rows([row], [gold]))
    for folder, name in (((b"by-tag",), b"sun|travel"), ((b"by-tag", b"sea"), b"sun|travel")):
        assert tree.lookup(folder, name) is None and not is_told(folder, name)


def test_a_path_as_deep_as_a_path_can_be_is_shown() -> None:
    tree, deep = Index(), ("d/" * 2040)[:-1]
    row = occurrence("r", f"{deep}/a", ASSETS[0], 1.0, 1, Presence.PRESENT)
    touched = tree.apply(Rows([row]))
    folder = (b"by-root", b"r", *[b"d"] * 2040)
    assert tree.lookup(folder, b"a") is not None and folder in touched.folders
    tree.apply(Rows(gone=[row.key]))
    assert tree.folder((b"by-root", b"r")) is None


def indexed(path: str, asset: str, age: float, *tags: str) -> tuple[OccurrenceRow, GoldRow]:
    row = occurrence("r", path, asset, age, 1, Presence.PRESENT)
    said = tuple(Tag(tag, 0.5, "model") for tag in tags)
    gold = GoldRow(asset, Kind.IMAGE, "", "c", 1.0, said, "", dt.datetime(2020, 1, 1), "", "", None, row.key, 1, 1)
    return row, gold


def steps_of(db: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How much SQLite has to do for that, in hundreds of its instructions."""
    counts = 0

    def count() -> int:
        nonlocal counts
        counts += 1
        return 0

    db.set_progress_handler(count, 100)
    work()
    db.set_progress_handler(None, 0)
    return counts


def test_of_a_thousand_files_of_one_name_each_goes_as_easily_as_of_ten() -> None:
    def cost(files: int) -> tuple[int, int]:
        tree = Index(recent=2)
        pairs = [
            indexed(f"{number}/index.html", hashlib.sha256(b"%d" % number).hexdigest(), float(number), "sea")
            for number in range(files)
        ]
        tree.apply(Rows([row for row, _ in pairs], [gold for _, gold in pairs]))
        look = steps_of(tree._db, lambda: tree.named(b"index.html", 2))
        return look, steps_of(tree._db, lambda: [tree.apply(Rows(gone=[row.key])) for row, _ in pairs[:5]])

    (few_look, few_go), (many_look, many_go) = cost(10), cost(1000)
    assert many_look < 3 * few_look + 3 and many_go < 3 * few_go + 3


def test_of_a_thousand_copies_one_is_looked_at_as_easily_as_one_of_ten() -> None:
    def cost(files: int) -> int:
        tree = Index(recent=2)
        tree.apply(Rows([indexed(f"{number}/empty", ASSETS[0], float(number))[0] for number in range(files)]))
        leaf = tree.lookup((b"by-root", b"r", b"5"), b"empty")
        assert isinstance(leaf, Leaf)
        item = item_of(leaf.number)
        assert item is not None
        return steps_of(tree._db, lambda: [tree.file_of_item(item) for _ in range(9)])

    assert cost(1000) < 3 * cost(10) + 3


def test_folders_of_several_tags_are_made_from_the_rarest_however_large_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(narrowed, "COUNTED_MAX", 10)
    pairs = [
        indexed(f"{number}.jpg", hashlib.sha256(b"%d" % number).hexdigest(), 1.0, "all", *["few"][number % 20 :])
        for number in range(600)
    ]

    def cost(*tags: bytes) -> int:
        tree = Index(recent=2)
        tree.apply(Rows([row for row, _ in pairs], [gold for _, gold in pairs]))
        return steps_of(tree._db, lambda: tree.lookup((b"by-tag", *tags), b"0.jpg"))

    assert cost(b"all", b"few") < 1.5 * cost(b"few", b"all")


@settings(max_examples=30)
@given(st.lists(st.tuples(st.lists(OCCURRENCES | GOLD, max_size=6), st.integers(0, 200)), max_size=6))
def test_a_step_that_could_not_be_written_never_was(steps: list[tuple[list[OccurrenceRow | GoldRow], int]]) -> None:
    """As on a full disk, at any point of it."""
    tree = Index(recent=2)
    places: dict[PathKey, OccurrenceRow] = {}
    gold: dict[str, GoldRow] = {}
    for rows, patience in steps:
        with out_of_patience(tree, patience), contextlib.suppress(sqlite3.OperationalError):
            tree.apply(rows_of(rows))
            walk(tree)
        tree.apply(rows_of(rows))
        for row in rows:
            if isinstance(row, GoldRow):
                gold[row.asset_id] = row
            else:
                places[row.key] = row
    fresh = Index(recent=2)
    fresh.apply(Rows([*places.values()], [*gold.values()]))
    assert walk(tree) == walk(fresh)
    assert (tree.files, tree.total_bytes, tree.places) == (fresh.files, fresh.total_bytes, fresh.places)


@contextlib.contextmanager
def out_of_patience(tree: Index, patience: int) -> Iterator[None]:
    """But for a COMMIT: the handler is asked after it too, and makes an error of one that was done. No disk does."""
    left = itertools.chain(itertools.repeat(0, patience), itertools.repeat(1))
    running = [""]
    tree._db.set_trace_callback(lambda statement: running.insert(0, statement))
    tree._db.set_progress_handler(lambda: next(left) if running[0] != "COMMIT" else 0, 20)
    yield
    tree._db.set_progress_handler(None, 0)
    tree._db.set_trace_callback(None)
