"""The helper near root: whom it serves, what it refuses, and a real daemon without rights that lives on it."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakewatchd.sources.fanotify import ask_helper
from lakewatchd.testing import LiveDaemon, make_tree, wait_until
from tests.contract.event_helper import serving

NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def place() -> Iterator[Path]:
    """Not pytest's own: others may not enter there."""
    with tempfile.TemporaryDirectory(prefix="lakewatchd-test-") as base:
        Path(base).chmod(0o755)
        make_tree(Path(base), {"root/d/a.txt": "hello"})
        Path(base, "root/link").symlink_to("/")
        Path(base, "events.toml").write_text(f'[[root]]\nname = "nas"\npath = "{base}/root"\n')
        yield Path(base)


@pytest.fixture
def helper(place: Path) -> Iterator[Path]:
    with serving(place / "events.toml", place, uid=NOBODY) as path:
        yield path


def test_it_gives_the_queue_of_a_configured_root_and_takes_it_back_for_more(helper: Path) -> None:
    group = ask_helper(helper, "nas", None, b"")
    assert str(Path(f"/proc/self/fd/{group}").readlink()) == "anon_inode:[fanotify]"
    assert ask_helper(helper, "nas", group, b"d") == group
    os.close(group)


@pytest.mark.parametrize(("root", "below"), [("other", b""), ("nas", b".."), ("nas", b"d/../.."), ("nas", b"link")])
def test_it_refuses_what_the_configuration_does_not_name(helper: Path, root: str, below: bytes) -> None:
    with pytest.raises(OSError, match="the helper says"):
        ask_helper(helper, root, None, below)


def test_it_believes_no_configuration_that_others_may_write(helper: Path, place: Path) -> None:
    (place / "events.toml").chmod(0o666)
    with pytest.raises(PermissionError, match="must belong to root"):
        ask_helper(helper, "nas", None, b"")


def test_it_serves_no_stranger(helper: Path) -> None:
    script = f"from lakewatchd.sources.fanotify import *; ask_helper(Path({str(helper)!r}), 'nas', None, b'')"
    stranger = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", sys.executable, "-c", script]
    done = subprocess.run(stranger, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert "user 1 may not ask" in done.stderr


def test_nonsense_is_answered_and_harms_nothing(helper: Path) -> None:
    for request in (b"", b"\0", b"\xff\xfe\0", b"x" * 4000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(60)
            connection.connect(os.fspath(helper))
            connection.send(request or b"\0\0")
            assert connection.recv(4096)[:1] != b"0"


@pytest.mark.slow
def test_a_daemon_without_rights_hears_of_every_file(helper: Path, place: Path) -> None:
    launcher = (
        f"import os, sys; os.execvp('setpriv', ['setpriv', '--reuid={NOBODY}', '--regid={NOBODY}', '--clear-groups', "
        "sys.executable, '-m', 'lakewatchd', *sys.argv[1:]])"
    )
    settings = f'[watch]\nwatcher = "fanotify"\nevents_socket = "{helper}"\nsettle_s = 0.05\n'
    daemon = LiveDaemon(place / "daemon", place / "root", settings=settings, program=("-c", launcher))
    daemon.environment = {"HOME": str(place / "daemon")}
    daemon.write_config()
    for each in (daemon.base, daemon.state, daemon.config):
        os.chown(each, NOBODY, NOBODY)
    with daemon:
        wait_until(lambda: daemon.ask("status")["roots"][0]["watching"].startswith("events (fanotify)"), 60, "fanotify")
        make_tree(place / "root", {f"n{i}/m/{i}.txt": f"text {i}" for i in range(30)})
        # Queued is enough: its decoders need an interpreter that this user may run
        wait_until(lambda: daemon.ask("status")["roots"][0]["files"] + _jobs(daemon) >= 31, 60, "31 files")


def _jobs(daemon: LiveDaemon) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{daemon.state}/queue.db?mode=ro", uri=True)) as queue:
        count: int = queue.execute("SELECT count(*) FROM job").fetchone()[0]
    return count


@pytest.mark.parametrize("answer", [b"", b"0", b"nonsense", b"13 no"])
def test_an_answer_that_is_none_is_an_error_of_the_helper(tmp_path: Path, answer: bytes) -> None:
    """Also one whose queue was dropped on the way, because this process has no descriptor left."""
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(place))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                if answer:
                    connection.send(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(OSError):
            ask_helper(place, "r", None, b"")
        thread.join()
