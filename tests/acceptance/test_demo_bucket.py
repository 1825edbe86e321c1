"""What a newcomer to buckets does first: ``scripts/demo-bucket --once``, with fewer objects."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakewatchd.testing import wait_until

CHECKOUT = Path(__file__).parents[2]
OBJECTS = 24

pytestmark = [
    pytest.mark.models,
    pytest.mark.fuse,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs /dev/fuse"),
]


def start(place: Path, model_dir: Path, *args: str) -> subprocess.Popen[str]:
    (place / "state").mkdir(parents=True)
    argv = [sys.executable, CHECKOUT / "scripts" / "demo_bucket.py", "--place", place, "--objects", str(OBJECTS), *args]
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "LAKEWATCHD_TEST_MODELS": str(model_dir)}
    return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def mentioning(place: Path) -> list[str]:
    """Processes that work there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(place) in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def test_once_shows_all_of_it_and_leaves_nothing_behind(tmp_path: Path, model_dir: Path) -> None:
    place = tmp_path / "demo"
    demo = start(place, model_dir, "--once")
    told, _ = demo.communicate(timeout=570)
    assert demo.returncode == 0, told
    assert f"put {OBJECTS} objects: all below by-root/ and by-tag/, same bytes" in told
    assert re.findall(r"(overwrote|copied|deleted) 3, one by one: the view follows +[\d.]+ s", told) == [
        "overwrote", "copied", "deleted"
    ]  # fmt: skip
    received = re.search(r"told by listen (\d+), mqtt (\d+), webhook (\d+)", told)
    assert received and all(int(count) >= OBJECTS + 9 for count in received.groups()), told
    assert not (place / "lake").is_mount() and not mentioning(place)


def test_ctrl_c_ends_everything(tmp_path: Path, model_dir: Path) -> None:
    place = tmp_path / "demo"
    demo = start(place, model_dir)
    wait_until((place / "lake").is_mount, 60, "the view is mounted")
    demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0 and "stopped" in told, told
    assert not (place / "lake").is_mount() and not mentioning(place)
