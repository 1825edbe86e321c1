# ruff: noqa: DTZ001  (the dates are wall-clock times, as the rows say)
"""The tree: whatever the history, its answers equal those of a new tree that was given only the present."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.core.asset import Kind, PathKey, Tag, Version
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.catalog import File, Rows
from lakewatchd.views.folders import Folder
from lakewatchd.views.tree import Branch, Entry, Tree

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


def shown(entry: Entry) -> Shown | Branch:
    if isinstance(entry, Branch):
        return entry
    return Shown(entry.asset.asset_id, f"{entry.root}/{entry.path}", entry.size_bytes, entry.mtime_ns, entry.is_away)


def walk(tree: Tree, folder: Folder = ()) -> dict[Folder, Shown | Branch]:
    found: dict[Folder, Shown | Branch] = {}
    listed = tree.entries(folder)
    assert len({name for name, _ in listed}) == len(listed)
    for name, entry in listed:
        assert tree.lookup(folder, name) in (entry, tree.lookup(folder, name))
        found[(*folder, name)] = shown(entry)
        if isinstance(entry, Branch):
            assert tree.folder((*folder, name)) == entry
            found |= walk(tree, (*folder, name))
    return found


@settings(max_examples=60)
@given(st.lists(st.lists(OCCURRENCES | GOLD, max_size=6) | LOOKS, max_size=12), st.sampled_from([1, 10, 10_000]))
def test_incremental_equals_fresh(steps: list[list[OccurrenceRow | GoldRow | str]], listed_max: int) -> None:
    tree = Tree(listed_max=listed_max, recent=2)
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
    fresh = Tree(recent=2)
    fresh.apply(Rows([*places.values()], [*gold.values()]))
    assert walk(tree) == walk(fresh)
    assert (tree.files, tree.total_bytes) == (fresh.files, fresh.total_bytes)


@settings(max_examples=60)
@given(st.lists(st.lists(OCCURRENCES | GOLD, max_size=4), max_size=8), st.sampled_from([1, 10_000]))
def test_whoever_forgets_what_was_touched_remembers_only_the_truth(
    steps: list[list[OccurrenceRow | GoldRow]], listed_max: int
) -> None:
    """The kernel's cache as a model: names and folders it was told of, absent ones included."""
    tree = Tree(listed_max=listed_max, recent=2)
    told: dict[tuple[Folder, bytes], Shown | Branch | None] = {}
    for rows in steps:
        touched = tree.apply(rows_of(rows))
        for folder, name in list(told):
            path, entry = (*folder, name), told[folder, name]
            is_stale = name in touched.entries.get(folder, ()) or folder in touched.dropped
            if is_stale or (isinstance(entry, Branch) and touched.concerns(path)):
                del told[folder, name]
        for (folder, name), entry in told.items():
            now = tree.lookup(folder, name) if is_reachable(tree, folder) else None
            assert (shown(now) if now is not None else None) == entry
        folders: list[Folder] = [(), *(path for path, entry in walk(tree).items() if isinstance(entry, Branch))]
        for folder in folders:
            told |= {(folder, name): shown(entry) for name, entry in tree.entries(folder)}
            for missing in (b"a.jpg", b"sea", b"a~3f2a.jpg", b"c"):
                told.setdefault(
                    (folder, missing), None if tree.lookup(folder, missing) is None else shown_at(tree, folder, missing)
                )


def shown_at(tree: Tree, folder: Folder, name: bytes) -> Shown | Branch:
    entry = tree.lookup(folder, name)
    assert entry is not None
    return shown(entry)


def is_reachable(tree: Tree, folder: Folder) -> bool:
    return tree.folder(folder) is not None


def test_a_row_that_says_nothing_new_touches_nothing() -> None:
    row = occurrence("r", "a", ASSETS[0], 1.0, 1, Presence.PRESENT)
    gold = GoldRow(ASSETS[0], Kind.IMAGE, "", "c", 1.0, (), "", dt.datetime(2020, 1, 1), "", "", None, row.key, 1, 1)
    tree = Tree()
    tree.apply(Rows([row], [gold]))
    before = tree.lookup((b"by-root", b"r"), b"a")
    touched = tree.apply(Rows([row], [gold]))
    assert not touched.entries and not touched.folders and isinstance(before, File)
    assert tree.lookup((b"by-kind", b"image"), b"a") is before
