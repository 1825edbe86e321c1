# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH118, PTH123, PTH211  (system calls as they are, names as bytes)
"""Promises of the mounted view, asked of the kernel."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.fuse

Lake = Any  # the fixture's class lives in conftest
Wait = Callable[[Callable[[], bool]], None]


def names(folder: Path) -> set[bytes]:
    return set(os.listdir(os.fsencode(folder)))


def inodes(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as listing:
        return {entry.name: entry.inode() for entry in listing}


def tree(folder: Path) -> list[bytes]:
    return [os.path.join(at, name) for at, _, files in os.walk(os.fsencode(folder)) for name in files]


@pytest.mark.parametrize("is_plain", [False, True])
def test_every_file_everywhere_is_its_original_byte_for_byte(lake: Lake, is_plain: bool) -> None:
    lake.is_plain = is_plain
    contents = {f"{'d' * n}/{n}.jpg": os.urandom(n * 70_000) for n in range(1, 6)}
    ids = {lake.add(path, content): content for path, content in contents.items()}
    assert lake.start() == "mounted"
    assert names(lake.mount) == {
        b"by-tag", b"by-category", b"by-date", b"by-kind", b"by-place", b"by-root", b"recent", b"duplicates",
        b"untagged", b"search", b"similar", b".lake",
    }  # fmt: skip
    files = [file for file in tree(lake.mount) if os.listxattr(file)]  # our own texts have none
    assert len(files) == 6 * len(contents)  # tag, category, date, kind, root, recent
    for file in files:
        asset = os.getxattr(file, "user.lakewatchd.asset").decode()
        with open(file, "rb") as opened:
            assert opened.read() == ids[asset]
    for path in contents:
        shown = lake.mount / "by-root" / "photos" / path
        assert subprocess.run(["cmp", shown, lake.root / path], check=False).returncode == 0


def test_attributes_and_extended_attributes(lake: Lake) -> None:
    asset = lake.add("a.jpg", b"12345", tags=["sea", "köln/rhein"])
    lake.start()
    shown = lake.mount / "by-tag" / "sea" / "a.jpg"
    found = shown.stat()
    assert (found.st_size, found.st_mtime_ns, found.st_nlink) == (5, 1_700_000_000_123_456_789, 1)
    assert (found.st_uid, found.st_gid, oct(found.st_mode)) == (os.getuid(), os.getgid(), "0o100444")
    assert found.st_ino == inodes(shown.parent)["a.jpg"]
    assert {name: os.getxattr(shown, name) for name in os.listxattr(shown)} == {
        "user.lakewatchd.asset": asset.encode(),
        "user.lakewatchd.origin": os.fsencode(lake.root / "a.jpg"),
        "user.lakewatchd.tags": "sea,köln/rhein".encode(),
        "user.lakewatchd.category": b"people",
        "user.lakewatchd.caption": b"a dog",
        "user.lakewatchd.score": b"0.875",
    }
    with pytest.raises(OSError, match="No data"):
        os.getxattr(shown, "user.other")
    folder = (lake.mount / "by-root").stat()
    assert (oct(folder.st_mode), folder.st_nlink, folder.st_mtime_ns) == ("0o40555", 3, found.st_mtime_ns)
    assert (lake.mount / "by-tag" / "köln%2Frhein" / "sea" / "a.jpg").read_bytes() == b"12345"
    assert os.statvfs(lake.mount).f_files == 1


def test_nothing_can_be_written(lake: Lake) -> None:
    original = lake.root / "a.jpg"
    lake.add("a.jpg", b"original")
    before = original.parent.stat().st_mtime_ns, original.read_bytes()
    lake.start()
    folder = lake.mount / "by-root" / "photos"
    file, new = folder / "a.jpg", folder / "new"
    attempts: list[Callable[[], object]] = [
        lambda: os.open(file, os.O_RDWR),
        lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
        lambda: os.open(file, os.O_RDONLY | os.O_TRUNC),
        lambda: os.open(new, os.O_CREAT | os.O_RDONLY),
        lambda: os.truncate(file, 0),
        lambda: os.unlink(file),
        lambda: os.rename(file, new),
        lambda: os.link(file, new),
        lambda: os.symlink(file, new),
        lambda: os.mkdir(new),
        lambda: os.rmdir(folder),
        lambda: os.mknod(new),
        lambda: os.mkfifo(new),
        lambda: os.chmod(file, 0o777),
        lambda: os.chown(file, 1, 1),
        lambda: os.utime(file),
        lambda: os.setxattr(file, "user.lakewatchd.tags", b"x"),
        lambda: os.removexattr(file, "user.lakewatchd.tags"),
    ]
    for attempt in attempts:
        with pytest.raises(OSError, match="Read-only") as refused:
            attempt()
        assert refused.value.errno == errno.EROFS
    assert (original.parent.stat().st_mtime_ns, original.read_bytes()) == before


def test_awkward_names_stay_what_they_are(lake: Lake) -> None:
    awkward = ["x\n.jpg", "\udcff\udcfe", "n" * 255, "é" * 127, "a b~3f2a.jpg", "%2F", "back\\slash", " ", "~", "-rf"]
    for number, name in enumerate(awkward):
        lake.add(f"d/{name}", b"%d" % number, tags=["..", "a/b", ""])
    assert lake.start() == "mounted"
    wanted = {os.fsencode(name) for name in awkward}
    assert names(lake.mount / "by-root" / "photos" / "d") == wanted
    assert names(lake.mount / "by-category" / "people") == wanted
    assert names(lake.mount / "by-tag") == {b"%2E%2E", b"a%2Fb", b"%~"}
    for number, name in enumerate(awkward):
        assert (lake.mount / "by-kind" / "image" / name).read_bytes() == b"%d" % number


def test_rows_that_point_outside_of_their_root_show_nothing(lake: Lake) -> None:
    (lake.folder / "secret").write_bytes(b"secret")
    (lake.root / "link").symlink_to(lake.folder / "secret")
    (lake.root / "folder").symlink_to(lake.folder)
    for path in ("../secret", "/etc/passwd", "a/../../secret", "link", "folder/secret", ""):
        lake.index(path, path.encode())
    assert lake.start() == "mounted"
    photos = lake.mount / "by-root" / "photos"
    assert names(photos) == {b"link", b"folder"}
    for path in ("link", "folder/secret"):
        with pytest.raises(OSError, match="Input/output"):
            (photos / path).read_bytes()


def test_two_of_one_name_keep_their_names_for_ever(lake: Lake) -> None:
    lake.add("old/x.jpg", b"old")
    new = lake.add("new/x.jpg", b"new")
    names_then = {b"x.jpg", f"x~{new[:4]}.jpg".encode()}
    found = []
    for _ in range(2):
        assert lake.start() == "mounted"
        folder = lake.mount / "by-tag" / "sea"
        assert names(folder) == names_then
        assert (folder / "x.jpg").read_bytes() == b"old"
        assert (folder / f"x~{new[:4]}.jpg").read_bytes() == b"new"
        found.append(inodes(folder))
        assert lake.end() == 0
        assert names(lake.mount) == set()
    assert found[0] == found[1]


def test_duplicates_are_one_file_by_tag_and_two_by_root(lake: Lake) -> None:
    lake.add("a/x.jpg", b"same")
    asset = lake.add("b/x.jpg", b"same")
    lake.start()
    assert names(lake.mount / "by-tag" / "sea") == {b"x.jpg"}
    assert names(lake.mount / "by-root" / "photos") == {b"a", b"b"}
    group = lake.mount / "duplicates" / asset[:32]
    assert len(names(group)) == 2
    (lake.root / "a" / "x.jpg").unlink()  # the lake does not know yet: the other place will do
    assert (lake.mount / "by-tag" / "sea" / "x.jpg").read_bytes() == b"same"
    with pytest.raises(FileNotFoundError):
        (lake.mount / "by-root" / "photos" / "a" / "x.jpg").read_bytes()


def test_a_new_asset_appears_where_it_was_just_missed(lake: Lake, wait_until: Wait) -> None:
    lake.add("a.jpg", b"a")
    lake.start()
    shown = lake.mount / "by-tag" / "travel" / "b.jpg"
    beside = lake.mount / "by-kind" / "image" / "b.jpg"
    assert not shown.exists() and not beside.exists()  # the kernel remembers both answers for minutes
    lake.add("b.jpg", b"b", tags=["travel"])
    wait_until(lambda: shown.exists() and beside.exists())
    assert shown.read_bytes() == b"b"
    assert names(lake.mount / "by-kind" / "image") == {b"a.jpg", b"b.jpg"}


def test_an_open_file_survives_its_removal_and_its_replacement(lake: Lake, wait_until: Wait) -> None:
    old, new = os.urandom(400_000), os.urandom(300_000)
    lake.add("a.jpg", old)
    lake.start()
    shown = lake.mount / "by-root" / "photos" / "a.jpg"
    with shown.open("rb") as opened:
        assert opened.read(1000) == old[:1000]
        (lake.root / "a.jpg").unlink()  # a new file, as programs save; the old content lives on in the open one
        lake.add("a.jpg", new)
        wait_until(lambda: shown.stat().st_size == len(new))
        assert shown.read_bytes() == new
        assert opened.read() == old[1000:]
        lake.index("a.jpg", new, presence="gone")
        wait_until(lambda: not shown.exists())
        opened.seek(0)
        assert opened.read() == old
        assert os.fstat(opened.fileno()).st_size == len(old)


def test_who_opens_it_while_it_is_replaced_reads_one_of_the_two(lake: Lake) -> None:
    old, new = os.urandom(300_000), os.urandom(200_000)
    lake.add("a.bin", old)
    lake.start()
    shown = lake.mount / "by-root" / "photos" / "a.bin"
    with open(shown, "rb") as first:
        assert first.read(1000) == old[:1000]
        lake.write("b.bin", new).rename(lake.root / "a.bin")
        with open(shown, "rb") as second:  # one inode: the kernel takes one original for all who have it open
            assert second.read() in (old, new)
        assert first.read() in (old[1000:], new[1000:])
    assert shown.read_bytes() == new


def test_what_lies_there_now_is_served_even_if_the_lake_is_behind(lake: Lake) -> None:
    lake.add("a.log", b"one\n")
    lake.start()
    shown = lake.mount / "by-root" / "photos" / "a.log"
    assert shown.read_bytes() == b"one\n"
    with (lake.root / "a.log").open("ab") as grows:
        grows.write(b"two\n" * 3000)
    assert shown.read_bytes() == b"one\n" + b"two\n" * 3000
    assert shown.stat().st_size == 4 + 12000
    lake.write("a.log", b"ONE\n")
    assert shown.read_bytes() == b"ONE\n"


def test_a_file_whose_root_is_not_mounted_is_another_error_than_one_that_was_deleted(lake: Lake) -> None:
    """Who mirrors the view must not take a NAS that is away for files that were deleted."""
    lake.add("a/1.jpg", b"one")
    lake.add("a/2.jpg", b"two")
    lake.start()
    shown, aside = lake.mount / "by-root" / "photos" / "a" / "1.jpg", lake.root.with_name("aside")
    assert shown.read_bytes() == b"one"

    def problem() -> int | None:
        with pytest.raises(OSError) as caught:
            shown.read_bytes()
        return caught.value.errno

    (lake.root / "a" / "1.jpg").unlink()
    assert problem() == errno.ENOENT
    lake.root.rename(aside)
    assert problem() == errno.EIO, "the directory itself is not there"
    lake.root.mkdir()
    assert problem() == errno.EIO, "it is bare, as where nothing is mounted"
    lake.root.rmdir()
    aside.rename(lake.root)
    lake.write("a/1.jpg", b"one")
    assert shown.read_bytes() == b"one"


def test_lies_about_size_and_time_harm_nobody(lake: Lake) -> None:
    lake.index("a.jpg", b"a", size=2**70, mtime_ns=-(10**18))
    lake.index("b.jpg", b"b", size=-5, mtime_ns=2**70)
    for name in ("a.jpg", "b.jpg"):
        os.utime(lake.write(name, b"really"), ns=(0, -(10**18)))
    lake.start()
    folder = lake.mount / "by-root" / "photos"
    assert names(folder) == {b"a.jpg", b"b.jpg"}
    for name in ("a.jpg", "b.jpg"):
        assert (folder / name).read_bytes() == b"really"
        assert (folder / name).stat().st_size == 6


def test_a_pipe_in_place_of_a_file_holds_nobody(lake: Lake) -> None:
    lake.index("pipe", b"a")
    os.mkfifo(lake.root / "pipe")
    lake.start()
    with pytest.raises(OSError, match="Input/output"):
        (lake.mount / "by-root" / "photos" / "pipe").read_bytes()


def test_a_listing_under_way_loses_and_doubles_nothing(lake: Lake, wait_until: Wait) -> None:
    for number in range(2000):
        lake.index(f"{number:04}.jpg", b"%d" % number)
    lake.start()
    folder = lake.mount / "by-root" / "photos"
    with os.scandir(folder) as listing:
        seen = [next(listing).name]
        for number in range(0, 2000, 2):
            lake.index(f"{number:04}.jpg", b"%d" % number, presence="gone")
        wait_until(lambda: len(names(folder)) == 1000)
        seen += [entry.name for entry in listing]
    assert len(seen) == len(set(seen))
    assert set(seen) >= {f"{number:04}.jpg" for number in range(1, 2000, 2)}


def test_a_mountpoint_that_is_not_empty_or_not_there_is_refused(lake: Lake) -> None:
    (lake.mount / "file").write_text("mine")
    assert "not an empty folder | choose" in lake.start()
    assert lake.process.wait() == 78
    (lake.mount / "file").unlink()
    lake.mount.rmdir()
    lake.process.stdout.close()
    assert "does not exist | run: mkdir -p" in lake.start()
    lake.end()


def test_a_killed_view_leaves_an_error_and_the_next_start_mends_it(lake: Lake) -> None:
    lake.add("a.jpg", b"a")
    lake.start()
    lake.mount.stat()  # the kernel remembers the answer, and goes on giving it when nobody is there any more
    lake.end(signal.SIGKILL)
    with pytest.raises(OSError, match="not connected"):  # and not an empty folder, which a mirror would copy
        os.listdir(lake.mount)
    assert lake.start() == "mounted"
    assert (lake.mount / "recent" / "a.jpg").read_bytes() == b"a"
    assert lake.end(signal.SIGINT) == 0
    assert not lake.mount.is_mount()


def test_two_views_do_not_share_a_mountpoint(lake: Lake) -> None:
    lake.start()
    first = lake.process
    assert "something is mounted" in lake.start()
    lake.process.stdout.close()
    lake.process.wait()
    lake.process = first


def test_an_unmount_from_outside_ends_the_view(lake: Lake) -> None:
    lake.start()
    subprocess.run(["fusermount3", "-u", lake.mount], check=True)
    assert lake.process.wait(60) == 0
    lake.end()


@pytest.mark.long
@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(lake: Lake) -> None:
    with lake.log.open("a") as log:
        for number in range(100_000):  # every name twice
            path, asset = f"{number // 50_000}/{number % 50_000}.jpg", hashlib.sha256(b"%d" % number).hexdigest()
            place = {"root": "photos", "path": path, "presence": "present", "size": 1, "mtime_ns": 1}
            fact = {"tags": ["sea"], "category": "", "caption": "", "first_seen": number}
            log.write(json.dumps(place | fact | {"asset": asset}) + "\n")
    lake.start()
    folder = lake.mount / "by-tag" / "sea"
    listed = subprocess.run(["ls", "-l", folder], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(listed) == 100_001
    assert len(set(listed)) == 100_001
