"""The parts that need no kernel: who is local, what is refused as a mountpoint, following a feed, inode numbers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lakewatchd.config import RootConfig, ViewConfig
from lakewatchd.core.asset import AssetId, Kind, PathKey, Version
from lakewatchd.errors import Busy, ConfigError, LakeDamaged
from lakewatchd.lake.rows import GoldRow, OccurrenceRow, Presence
from lakewatchd.views.mounted import mountpoint
from lakewatchd.views.mounted.catalog import Asset, File
from lakewatchd.views.mounted.follow import Follower
from lakewatchd.views.mounted.inodes import ROOT, Inodes
from lakewatchd.views.mounted.originals import Originals, is_local, open_below

MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:30 / /mnt/nas rw - nfs4 nas:/export rw
24 22 0:31 / /data/with\\040space rw - fuse.sshfs host: rw
25 22 8:2 / /data/disk rw - xfs /dev/sdb1 rw
26 25 0:32 / /data/disk rw - cifs //nas/share rw
"""


@pytest.mark.parametrize(
    ("path", "local"),
    [("/home/me", True), ("/mnt/nas/photos", False), ("/data/with space/x", False), ("/data/disk", False),
     ("/data", False), ("/mnt/nasty", True), ("/", False)],
)  # fmt: skip
def test_local_means_everything_below_too(path: str, local: bool) -> None:
    assert is_local(Path(path), MOUNTS) is local


def test_a_root_lies_where_its_link_leads(tmp_path: Path) -> None:
    for name in ("nas", "disk"):
        (tmp_path / name / "photos").mkdir(parents=True)
    (tmp_path / "hop").symlink_to("nas")
    (tmp_path / "far").symlink_to(tmp_path / "hop" / "photos")
    (tmp_path / "near").symlink_to("disk/../disk/photos")
    (tmp_path / "ring").symlink_to("ring")
    mounts = f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:50 / {tmp_path}/nas rw - nfs4 server:/ rw\n"
    found = {name: is_local(tmp_path / name, mounts) for name in ("far", "near", "disk", "nas")}
    assert found == {"far": False, "near": True, "disk": True, "nas": False}
    is_local(tmp_path / "ring", mounts)  # ends


def test_open_below_follows_no_link_and_no_dots(tmp_path: Path) -> None:
    (tmp_path / "root" / "d").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "up").symlink_to(tmp_path)
    for path in ("link", "up/secret", "../secret", "d/../../secret", "d", ""):
        with pytest.raises(OSError, match=r"\w"):
            os.close(open_below(tmp_path / "root", path))


def opened() -> list[str]:
    """What this process has open. How many that is is changed by threads of others."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.append(str(Path("/proc/self/fd", name).readlink()))
    return found


async def test_storage_that_does_not_answer_is_an_error_and_leaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    originals = Originals({"nas": tmp_path}, deadline_s=0.0)  # not looked around: nothing is known to be local
    gate, seen = threading.Event(), list[bool]()

    def slow() -> int:
        gate.wait()
        fd = os.open(tmp_path / "a", os.O_RDONLY)
        seen.append(str(tmp_path / "a") in opened())
        return fd

    with pytest.raises(TimeoutError):
        await originals.do("nas", slow, os.close)
    gate.set()
    await asyncio.to_thread(originals.close_threads)  # the late answer has come ...
    await asyncio.sleep(0)  # ... and the loop has thrown it away
    await asyncio.sleep(0)
    assert seen == [True] and str(tmp_path / "a") not in opened()


def test_a_device_that_is_there_and_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """As where a container has the node and the machine has not the module."""
    with pytest.raises(ConfigError, match="cannot be used: Is a directory"):
        mountpoint.prepare(ViewConfig(mountpoint=tmp_path), [], device=tmp_path)


@pytest.mark.parametrize("place", ["root", "root/inside", "."])
def test_a_view_inside_of_a_root_would_show_itself(tmp_path: Path, place: str) -> None:
    (tmp_path / "root" / "inside").mkdir(parents=True)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing: it is refused first")
    with pytest.raises(ConfigError, match="in one another"):
        mountpoint.prepare(ViewConfig(mountpoint=tmp_path / place), [RootConfig("r", tmp_path / "root")])


def test_inodes_are_unique_even_if_the_hash_is_not() -> None:
    inodes = Inodes(digest=len)
    files = [File(Asset(f"{n:064x}"), "r", "a", 0, 0, 0.0, False) for n in range(40)]
    numbers = [inodes.file(ROOT, (), b"a", file) for file in files]
    assert len(set(numbers)) == len(files) and ROOT not in numbers and 0 not in numbers
    assert [inodes.file(ROOT, (), b"a", file) for file in files] == numbers
    for number in numbers:
        inodes.forget(number, 2)
    assert set(inodes.nodes) == {ROOT}


@dataclass
class Part:
    revision: int
    is_full: bool
    occurrences: tuple[OccurrenceRow, ...] = ()
    gold: tuple[GoldRow, ...] = ()
    gold_gone: tuple[AssetId, ...] = ()


def place(path: str, presence: Presence = Presence.PRESENT) -> OccurrenceRow:
    return OccurrenceRow(
        key=PathKey("r", path), asset_id="ab" * 32, kind=Kind.IMAGE, mime="", version=Version(1, 2, 3),
        presence=presence, first_seen=1.0, last_seen=1.0,
    )  # fmt: skip


class Script:
    """Answers with one prepared answer a call; an error is raised after the parts before it."""

    def __init__(self, *answers: list[Part | Exception]) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def changes(self, revision: int) -> AsyncIterator[Part]:
        self.asked.append(revision)
        for part in self.answers.pop(0):
            if isinstance(part, Exception):
                raise part
            yield part


def shown(follower: Follower) -> set[bytes]:
    return {name for name, _ in follower.index.entries((b"by-root", b"r"))}


async def test_what_a_full_answer_does_not_name_is_no_more() -> None:
    feed = Script(
        [Part(5, True, (place("a"), place("b")))],
        [Part(900, True, (place("b"),)), Part(900, True, (place("c"),))],
    )
    follower = Follower(feed)
    assert await follower.refresh() and shown(follower) == {b"a", b"b"}
    assert await follower.refresh() and shown(follower) == {b"b", b"c"}
    assert feed.asked == [0, 5]


async def test_an_answer_cut_short_is_asked_for_again() -> None:
    feed = Script([Part(5, True, (place("a"),)), Busy("later")], [Part(5, True, (place("a"), place("b")))])
    follower = Follower(feed)
    assert not await follower.refresh()
    assert await follower.refresh() and shown(follower) == {b"a", b"b"}
    assert feed.asked == [0, 0]


async def test_a_view_outlives_a_damaged_lake_and_its_repair() -> None:
    damaged = LakeDamaged("lake.json is missing")
    feed = Script([Part(5, True, (place("a"),))], [damaged], [Part(6, False, (place("b"),))], [damaged])
    follower = Follower(feed)
    assert await follower.refresh()
    assert not await follower.refresh() and follower.is_behind and shown(follower) == {b"a"}
    assert await follower.refresh() and shown(follower) == {b"a", b"b"}
    with pytest.raises(LakeDamaged):
        await Follower(feed).refresh()  # nothing to show: an empty view would lie


async def test_a_younger_lake_is_another_lake() -> None:
    feed = Script([Part(5, True, (place("a"),))], [Part(2, False)], [Part(2, True, (place("b"),))])
    follower = Follower(feed)
    for _ in range(3):
        assert await follower.refresh()
    assert shown(follower) == {b"b"} and feed.asked == [0, 5, 0]


async def test_what_moves_is_never_absent() -> None:
    feed = Script([Part(1, True, (place("a"),))], [Part(2, False, (place("a", Presence.GONE), place("b")))])
    follower = Follower(feed)
    await follower.refresh()
    seen: list[set[bytes]] = []

    async def note(_: object) -> None:
        seen.append(shown(follower))

    await follower.refresh(note)
    assert seen == [{b"a", b"b"}, {b"b"}]
