"""Where a path lies, read from the kernel's list alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakewatchd.sources import mounts


def test_the_mount_is_the_innermost_and_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:40 / {tmp_path}/my\\040nas rw shared:1 - nfs4 srv:/x rw\n"
        f"3 1 0:41 / {tmp_path}/twice rw - ext4 a rw\n"
        f"4 1 0:42 / {tmp_path}/twice rw - fuse.rclone b rw\n"
    )
    monkeypatch.setattr(mounts, "MOUNTINFO", table)
    assert mounts.mount_of(tmp_path).file_system == "ext4"
    assert mounts.mount_of(tmp_path / "my nas" / "a") == mounts.Mount(2, f"{tmp_path}/my nas", "nfs4", "srv:/x")
    assert mounts.mount_of(tmp_path / "my nas2").file_system == "ext4"
    assert mounts.mount_of(tmp_path / "twice").id == 4


def test_without_a_list_statfs_tells_what_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "nothing")
    assert mounts.mount_of(tmp_path).file_system == ""
    monkeypatch.setattr(mounts, "MAGIC", {mounts._magic(tmp_path): "nfs"})
    assert mounts.mount_of(tmp_path).is_remote
    assert mounts.mount_of(tmp_path / "missing").file_system == ""


@pytest.mark.parametrize(
    ("kind", "remote"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("fuse.juicefs", True), ("fuse.mergerfs", True),
     ("virtiofs", True), ("9p", True), ("ext4", False), ("btrfs", False), ("zfs", False), ("fuseblk", False),
     ("overlay", False), ("", False)],
)  # fmt: skip
def test_who_may_change_files_unseen(kind: str, remote: bool) -> None:
    assert mounts.is_remote(kind) is remote
