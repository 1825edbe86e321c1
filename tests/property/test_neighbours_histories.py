"""Groups of near-duplicates depend on which assets there are, not on who came, changed and went before."""

from __future__ import annotations

import dataclasses
import itertools
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.config import DUPLICATE_ORDERS
from lakewatchd.core.asset import Kind
from lakewatchd.lake.neighbours import ALONE, Compared, Entry, Key, Neighbours, Standing

REACH = 12


def _keys(_kind: Kind, signature: bytes) -> tuple[Iterable[Key], Iterable[Key]]:
    cell = signature[0] // REACH
    return [(cell, 0)], [(cell + near, 0) for near in (-1, 0, 1)]


def _is_same(_kind: Kind, one: bytes, other: bytes) -> bool:
    """Near on a line: chains of any length, which is what must not make one group."""
    return abs(one[0] - other[0]) <= REACH


LINE = Compared("a line", _keys, _is_same)


def entry(number: int, at: int, resolution: int = 1) -> Entry:
    return Entry(f"{number:064x}", Kind.IMAGE, bytes([at]), 0, resolution, 0, 0)


class Lake:
    """Runs jobs until none is left, in an order by chance, as the queue would."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        self.path, self.random = path, random.Random(seed)
        self.index = Neighbours(path, LINE, DUPLICATE_ORDERS)
        self.files: dict[str, Entry] = {}
        self.published: dict[str, Standing] = {}
        self.jobs: list[str] = []

    def add(self, *entries: Entry) -> None:
        for item in entries:
            self.files[item.asset_id] = item
            self.jobs.append(item.asset_id)

    def remove(self, asset_id: str) -> None:
        self.files.pop(asset_id, None)
        self.jobs.append(asset_id)

    def step(self, *, is_killed: bool = False) -> None:
        """One job. Killed, what it published stays and it is neither acked nor does anybody hear of it."""
        asset_id = self.jobs.pop(self.random.randrange(len(self.jobs)))
        if asset_id in self.files:
            standing, others = self.index.put(self.files[asset_id])
            self.published[asset_id] = standing
        else:
            others = self.index.remove(asset_id)
            self.published.pop(asset_id, None)
        if is_killed:
            self.jobs.append(asset_id)
            self.start()
        else:
            self.jobs += [other for other in others if other not in self.jobs]

    def start(self) -> None:
        """As a daemon does that starts again."""
        self.index.close()
        self.index = Neighbours(self.path, LINE, DUPLICATE_ORDERS)
        self.jobs += [asset_id for asset_id in self.index.told(self.published.items()) if asset_id not in self.jobs]

    def drain(self) -> dict[str, Standing]:
        for _ in range(10_000):
            if not self.jobs:
                return dict(self.published)
            self.step()
        raise AssertionError("jobs ask for each other for ever")


def fresh(path: Path, entries: Iterable[Entry]) -> dict[str, Standing]:
    lake = Lake(path)
    lake.add(*entries)
    return lake.drain()


def by_hand(entries: Iterable[Entry]) -> dict[str, Standing]:
    """The rule, without an index: from the best to the least."""
    first: list[Entry] = []
    group: dict[str, str] = {}
    for item in sorted(entries, key=lambda item: (-item.resolution, item.asset_id)):
        near = [other for other in first if _is_same(Kind.IMAGE, item.signature or b"", other.signature or b"")]
        if not near:
            first.append(item)
        group[item.asset_id] = (near[0] if near else item).asset_id
    sizes = {name: list(group.values()).count(name) for name in group.values()}
    return {name: ALONE if sizes[of] == 1 else Standing(of, of == name) for name, of in group.items()}


Steps = st.lists(
    st.tuples(st.sampled_from(["add", "change", "remove", "run", "kill"]), st.integers(0, 9), st.integers(0, 99)),
    max_size=40,
)


@given(steps=Steps, seed=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_any_history_ends_as_a_fresh_start(steps: list[tuple[str, int, int]], seed: int) -> None:
    with tempfile.TemporaryDirectory() as base:
        check_history(Path(base), steps, seed)


def check_history(base: Path, steps: list[tuple[str, int, int]], seed: int) -> None:
    lake = Lake(base / "old.db", seed)
    for what, number, at in steps:
        if what in ("add", "change"):
            known = lake.files.get(f"{number:064x}")
            place = known.signature[0] if what == "change" and known and known.signature else at
            lake.add(entry(number, place, resolution=1 + at % 4))
        elif what == "remove":
            lake.remove(f"{number:064x}")
        elif lake.jobs:
            lake.step(is_killed=what == "kill")
    ended = lake.drain()
    assert ended == by_hand(lake.files.values()) == fresh(base / "new.db", lake.files.values())
    lake.index.close()


def test_every_order_of_arrival_gives_the_same_groups(tmp_path: Path) -> None:
    """A chain, each like the next, falls into groups whose members all match the one that stands for them."""
    chain = [entry(number, 10 * number, resolution=number % 3) for number in range(5)]
    ends = {
        str(sorted(fresh(tmp_path / f"{at}.db", order).items()))
        for at, order in enumerate(itertools.islice(itertools.permutations(chain), 0, 120, 7))
    }
    assert len(ends) == 1
    for name, standing in by_hand(chain).items():
        if standing.group:
            assert abs(int(name, 16) - int(standing.group, 16)) * 10 <= REACH


def test_a_long_chain_is_decided_without_recursion(tmp_path: Path) -> None:
    """Each like the next: when the best goes, all that represented do so no more, and the others do."""

    def keys(_kind: Kind, signature: bytes) -> tuple[Iterable[Key], Iterable[Key]]:
        return [(int(signature), 0)], [(int(signature) + near, 0) for near in (-1, 0, 1)]

    chain = Compared("far", keys, lambda _kind, a, b: abs(int(a) - int(b)) <= 1)
    index = Neighbours(tmp_path / "x.db", chain, ("resolution",))
    for number in range(1100):
        index.put(Entry(f"{number:064x}", Kind.IMAGE, b"%d" % number, 0, -number, 0, 0))
    assert len(index.remove(f"{0:064x}")) == 1099
    assert index.put(Entry(f"{1098:064x}", Kind.IMAGE, b"1098", 0, -1098, 0, 0))[0] == Standing(f"{1097:064x}", False)


@pytest.mark.parametrize("is_best_last", [False, True])
def test_members_of_a_large_group_are_not_compared_with_each_other(tmp_path: Path, is_best_last: bool) -> None:
    """Ten thousand copies of one page must not cost a hundred million comparisons."""
    compared = 0

    def is_same(_kind: Kind, _one: bytes, _other: bytes) -> bool:
        nonlocal compared
        compared += 1
        return True

    index = Neighbours(tmp_path / "x.db", Compared("all", lambda _k, _s: ([(0, 0)], [(0, 0)]), is_same), ("quality",))
    for number in range(150):
        index.put(Entry(f"{number:064x}", Kind.IMAGE, b"%d" % number, 0, 0, -number, 0))
    best = Entry(f"{999:064x}", Kind.IMAGE, b"best", 0, 0, 1 if is_best_last else -999, 0)
    assert len(index.put(best)[1]) == (150 if is_best_last else 1)  # the one that stands for all
    assert compared <= 2 * 151


def test_a_job_that_is_done_again_tells_those_who_were_not_told(tmp_path: Path) -> None:
    """Its rows were not committed, because the disk was full: it runs once more, and its neighbours still wait."""
    index = Neighbours(tmp_path / "x.db", LINE, DUPLICATE_ORDERS)
    first, second, third = (entry(number, 5, resolution=9 - number) for number in (1, 2, 3))
    for item in (first, second, third, second, first):
        index.put(item)
    followers = [second.asset_id, third.asset_id]
    assert index.remove(first.asset_id) == index.remove(first.asset_id) == followers
    assert index.put(second) == (Standing(second.asset_id, True), [])
    assert index.remove(first.asset_id) == [third.asset_id]
    index.put(third)
    moved = dataclasses.replace(second, signature=bytes([90]))
    assert index.put(moved)[1] == index.put(moved)[1] == [third.asset_id]
    index.put(third)
    assert index.put(moved)[1] == []


def test_a_damaged_file_is_made_again_and_told_what_is_served(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    lake = Lake(path)
    lake.add(entry(1, 5), entry(2, 6, resolution=2))
    before = lake.drain()
    lake.index.close()
    path.write_bytes(b"no database" * 999)
    lake.index = Neighbours(path, LINE, DUPLICATE_ORDERS)
    assert lake.index.missing(list(lake.files)) == list(lake.files)
    lake.add(*lake.files.values())
    assert lake.drain() == before


def test_other_rules_make_all_anew(tmp_path: Path) -> None:
    first = Neighbours(tmp_path / "x.db", LINE, DUPLICATE_ORDERS)
    first.put(entry(1, 5))
    first.close()
    again = Neighbours(tmp_path / "x.db", dataclasses.replace(LINE, rules="another line"), DUPLICATE_ORDERS)
    assert again.missing([f"{1:064x}"]) == [f"{1:064x}"]
