"""The units on a real systemd: install, start, drop a photo, status, stop, restart, kill, wrong config, uninstall.

The scenario runs once, in a throw-away box; each test looks at one thing it left behind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from PIL import Image

CHECKOUT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="a box needs root"),
    pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus: scripts/setup-system --systemd"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse"),
]


@pytest.fixture(scope="module")
def told() -> Iterator[Path]:
    out = Path(tempfile.mkdtemp(prefix="lakewatchd-test-", dir="/var/tmp"))  # /tmp is another one inside the box
    out.chmod(0o755)
    photo = out / "red.png"
    Image.new("RGB", (640, 480), "red").save(photo)
    with servers.juicefs_gateway(out / "gateway") as gateway:  # outside of the box, which has our network
        gateway.client().fput_object(gateway.make_bucket("cloud"), "2024/red.png", str(photo))
        keys = f"access_key = {gateway.access_key}\nsecret_key = {gateway.secret_key}\n"
        (out / "cloud.keys").write_text(keys)
        command = ["scripts/systemd-box", "tests/acceptance/systemd_scenario.sh", str(out), str(photo)]
        port = servers.free_ports(1)[0]  # as shipped it is that of any other daemon of this machine
        done = subprocess.run(
            [*command, gateway.endpoint, str(port)],
            cwd=CHECKOUT,
            env={**os.environ, "SYSTEMD_BOX_OUT": str(out)},
            capture_output=True,
            text=True,
            check=False,
        )
    log = (out / "log").read_text(errors="replace")[-4000:] if (out / "log").exists() else ""
    assert done.returncode == 0, f"{done.stderr}\n{log}"
    yield out
    shutil.rmtree(out)


def read(told: Path, name: str) -> str:
    path = told / name
    return path.read_text().strip() if path.exists() else ""


def test_both_units_reach_ready(told: Path) -> None:
    assert read(told, "active").split() == ["active", "active"]


def test_check_finds_no_error_with_the_rights_of_the_service(told: Path) -> None:
    assert "✗" not in read(told, "check")


def test_decoders_are_confined_under_the_unit_too(told: Path) -> None:
    layers = json.loads(read(told, "status.json"))["sandbox"]
    assert layers and all(layer["holds"] for layer in layers), layers


def test_a_dropped_photo_is_in_the_view_for_everybody(told: Path) -> None:
    assert read(told, "view") == "same"
    assert read(told, "view-of-others") == "same"


def test_systemctl_status_says_in_one_line_what_it_is_doing(told: Path) -> None:
    assert read(told, "status-text").startswith("StatusText=watching 1 root, 1 file")
    assert 'Status: "watching 1 root' in read(told, "systemctl-status")
    assert json.loads(read(told, "status.json"))["roots"][0]["files"] == 1


def test_the_helper_near_root_gives_the_daemon_the_events_of_the_file_system(told: Path) -> None:
    assert json.loads(read(told, "status.json"))["roots"][0]["watching"].startswith("events (fanotify)")


def test_stop_is_clean_and_files_still_tell(told: Path) -> None:
    assert set(read(told, "stopped").split()) == {"Result=success", "ExecMainStatus=0"}
    assert read(told, "down-code") == "3"
    assert json.loads(read(told, "down.json"))["pid"] is None
    assert read(told, "view-while-down") == "same"


def test_restart_is_survived(told: Path) -> None:
    assert "1 file" in read(told, "restarted")
    assert read(told, "view-after-kill") == "same"


def test_reload_takes_a_new_root_in_and_refuses_a_wrong_file(told: Path) -> None:
    assert "watching 2 roots, 3 files" in read(told, "reloaded")
    assert read(told, "bad-reload") == "refused"
    before, after = read(told, "reload-pids").split()
    assert before == after


def test_the_journal_can_be_searched_by_root(told: Path) -> None:
    lines = [json.loads(line) for line in read(told, "journal-of-music").splitlines()]
    (failed,) = [line for line in lines if "job failed" in line["MESSAGE"]]
    assert (failed["ROOT"], failed["PATH"], failed["STAGE"]) == ("music", "torn.png", "index")


def test_killed_hung_or_stopped_in_the_middle_of_a_batch_it_finishes(told: Path) -> None:
    """One photo, a torn one, and each time more texts than before."""
    assert "watching 2 roots, 303 files; nothing queued" in read(told, "after-kill")
    assert read(told, "alive-restarts") == "0 0"
    assert "watching 2 roots, 403 files; nothing queued" in read(told, "after-hang")
    assert set(read(told, "stopped-in-batch").split()) == {"Result=success", "ExecMainStatus=0"}
    assert "watching 2 roots, 703 files; nothing queued" in read(told, "after-batch")


def test_the_unit_is_hardened(told: Path) -> None:
    (overall,) = re.findall(r"Overall exposure level for lakewatchd.service: ([0-9.]+)", read(told, "security"))
    assert float(overall) < 3.0


def test_the_view_tells_what_it_shows_and_is_replaced_when_it_hangs(told: Path) -> None:
    assert read(told, "view-status-text") == "StatusText=showing 1 file"
    assert read(told, "view-after-hang") == "same"


def test_both_services_read_a_bucket_with_a_credential_of_systemd(told: Path) -> None:
    assert "watching 3 roots, 704 files; nothing queued" in read(told, "cloud-status")
    assert read(told, "view-of-cloud") == "same"
    found = read(told, "cloud-check")
    assert "✓ bucket cloud: " in found and "keys: systemd credential cloud" in found and "✗" not in found


def test_a_wrong_config_is_not_tried_again(told: Path) -> None:
    assert "ActiveState=failed" in read(told, "bad-config")
    assert "ExecMainStatus=78" in read(told, "bad-config")
    assert "NRestarts=0" in read(told, "bad-config")


def test_uninstall_keeps_data_and_purge_does_not(told: Path) -> None:
    assert read(told, "unmounted") == "unmounted"
    assert read(told, "kept") == "kept"
    assert read(told, "purged") == "purged"
