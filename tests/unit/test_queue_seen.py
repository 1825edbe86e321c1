"""What was seen where comes back exactly, whatever the names and numbers are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakewatchd.config import QueueConfig
from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.queue import seen as seen_module
from lakewatchd.queue.seen import PAGE_ROWS, SeenStore
from lakewatchd.queue.store import QueueStore
from lakewatchd.testing import FakeClock


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[SeenStore]:
    with closing(QueueStore(tmp_path / "q.db", QueueConfig(), FakeClock())) as store:
        yield store.seen


SOME = Version(1, 2, 3, 4)


def place(path: str, version: Version = SOME, asset: str = "aa", root: str = "r") -> Occurrence:
    return Occurrence(PathKey(root, path), asset, version)


# Few letters, so that trees share directories; "!" and "0" sort on either side of "/".
_name = st.text(st.sampled_from("a!0\udcff\n"), min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
_paths = st.sets(st.lists(_name, min_size=1, max_size=4).map("/".join), max_size=25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(_paths, st.lists(_name, max_size=3).map("/".join))
def test_trees_are_answered_like_a_walk_over_all_paths(seen: SeenStore, paths: set[str], at: str) -> None:
    seen.forget_root("r")
    seen.record([place(path) for path in paths] + [place("a/elsewhere", root="s")])
    below = {path.removeprefix(f"{at}/") for path in paths if path.startswith(f"{at}/")} if at else paths
    assert set(seen.directory("r", at)) == {path for path in below if "/" not in path}
    assert seen.subdirectories("r", at) == {path.split("/")[0] for path in below if "/" in path}
    prefix = f"{at}/" if at else ""
    assert sorted(key.path for key in seen.under("r", at)) == sorted(prefix + path for path in below)
    assert seen.count("r") == len(paths)


_number = st.integers(-(2**80), 2**80) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.builds(Version, _number, _number, _number, _number, etag=st.sampled_from(["", "0cc1-2", "é"])))
def test_a_version_comes_back_as_stat_said_it(seen: SeenStore, version: Version) -> None:
    seen.forget_root("r")
    seen.record([place("d/x", version)])
    assert seen.get(PathKey("r", "d/x")) == place("d/x", version)
    assert seen.directory("r", "d") == {"x": (version, "aa")}
    assert seen.versions("r", ["d/x", "d/y"]) == {"d/x": version}
    assert seen.by_version("r", version) == (place("d/x", version) if version.inode else None)
    other = Version(version.size_bytes, version.mtime_ns + 1, version.inode, version.device)
    assert seen.by_version("r", other) is None
    assert seen.by_version("s", version) is None


def test_the_newest_record_of_a_place_wins(seen: SeenStore) -> None:
    seen.record([place("x"), place("x", Version(9, 9, 9, 9), "bb")])
    assert seen.get(PathKey("r", "x")) == place("x", Version(9, 9, 9, 9), "bb")
    seen.record(gone=[PathKey("r", "x"), PathKey("r", "never")])
    assert seen.get(PathKey("r", "x")) is None


def test_many_versions_are_looked_up_by_their_places_and_the_inodes_of_objects_by_nothing(seen: SeenStore) -> None:
    objects = [
        place(f"d{number % 7}/{number}\udcff", Version(number, 1, 0, etag="e")) for number in range(PAGE_ROWS + 50)
    ]
    seen.record([*objects, place("d0/0", root="s")])
    asked = [found.key.path for found in objects[::-1]]
    known = seen.versions("r", ["nothing", *asked, "", "/"])
    assert known == {found.key.path: found.version for found in objects}
    assert seen.versions("r", []) == {}
    plans = seen._db.rows("EXPLAIN QUERY PLAN " + seen_module._WANTED.format("(?, ?)"), (b"d0", b"0", "r"))
    assert any("SEARCH seen USING PRIMARY KEY" in row[-1] for row in plans)
    assert seen.by_version("r", objects[0].version) is None
    assert seen.elsewhere(objects[0].key, objects[1].version) == []


def test_under_walks_past_a_page(seen: SeenStore) -> None:
    names = [f"d/{n:05}" for n in range(PAGE_ROWS * 2 + 1)] + ["d/sub/x"]
    seen.record(map(place, [*names, "dd", "d.x/y", "c"]))
    assert sorted(key.path for key in seen.under("r", "d")) == sorted(names)


def test_what_is_below_may_be_removed_while_walking(seen: SeenStore) -> None:
    seen.record(place(f"d/{n}/x") for n in range(PAGE_ROWS + 10))
    for key in seen.under("r", "d"):
        seen.record(gone=[key])
    assert seen.count("r") == 0


def test_subdirectories_cost_seeks_not_a_walk(seen: SeenStore) -> None:
    seen.record(place(f"{top}/{n % 50}/{n}") for top in "ab" for n in range(5000))
    asked = 0
    ask = seen._db.rows

    def counting(*args: object) -> object:
        nonlocal asked
        asked += 1
        return ask(*args)  # type: ignore[arg-type]

    seen._db.rows = counting  # type: ignore[method-assign,assignment]
    assert seen.subdirectories("r", "") == {"a", "b"}
    assert asked <= 2 * 2 + 1


def test_names_of_255_bytes_and_raw_bytes(seen: SeenStore) -> None:
    name = os.fsdecode(b"\xff" * 255)
    seen.record([place(f"{name}/{name}")])
    assert seen.subdirectories("r", "") == {name}
    assert set(seen.directory("r", name)) == {name}


def test_roots_and_their_identity(seen: SeenStore) -> None:
    seen.record([place("x", root="b"), place("x", root="a"), place("y", root="a")])
    assert seen.roots() == ["a", "b"]
    assert seen.root_state("a") is None
    seen.set_root_state("a", '{"device": 1}')
    seen.set_root_state("a", '{"device": 2}')
    assert seen.root_state("a") == '{"device": 2}'
    seen.forget_root("a")
    assert (seen.roots(), seen.root_state("a")) == (["b"], None)
