"""Promises of the view to which daemon, server and lake belong: all of them real, each a process of its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lakewatchd.lake.files import dataset, files_at
from lakewatchd.lake.schema import GOLD
from lakewatchd.testing import LiveDaemon, wait_until

pytestmark = pytest.mark.fuse

TEXTS = {
    "harbour.txt": "Fishing boats return to the harbour at dusk. The lighthouse keeper counts them.",
    "battery.txt": "Notes on battery chemistry: lithium iron phosphate ages slower than cobalt cells.",
    "bread.txt": "Sourdough bread needs flour, water, salt and two days of patience.",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing: nothing can be mounted here")
    base = tmp_path_factory.mktemp("whole")
    (base / "nas").mkdir()
    (base / "mnt").mkdir()
    for name, text in TEXTS.items():
        (base / "nas" / name).write_text(text)
    with LiveDaemon(base, base / "nas", settings='[web]\nlisten = "127.0.0.1:0"\n') as running:
        running.wait_idle()
        command = [sys.executable, "-m", "lakewatchd", "--config", running.config, "mount"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as view:
            assert view.stdout is not None and "The lake is at" in view.stdout.readline()
            yield running
            view.terminate()
            assert view.wait(60) == 0


def test_one_lake_found_as_it_was_and_without_its_daemon(daemon: LiveDaemon) -> None:
    nas, view = daemon.root, daemon.base / "mnt"
    wait_until(lambda: "0001 harbour.txt" in os.listdir(view / "search" / "lighthouse"), 60, "the server answers")
    assert (view / "search" / "lighthouse" / "0001 harbour.txt").read_text() == TEXTS["harbour.txt"]
    hit = view / "search" / '"battery chemistry"' / "0001 battery.txt"
    wait_until(lambda: hit.name in os.listdir(hit.parent), what="the server answers")
    assert b"words" in os.getxattr(hit, "user.lakewatchd.doors")
    assert "Nothing" in (view / "search" / "%22quantum accordion%22" / "README.txt").read_text()
    wait_until(lambda: "headline" in json.loads((view / ".lake" / "status.json").read_text())["daemon"])

    table = dataset(files_at(daemon.state / "lake"), GOLD.name)
    table.tags.create("spring", table.version)
    (nas / "moved").mkdir()
    (nas / "harbour.txt").rename(nas / "moved" / "harbour.txt")
    (nas / "bread.txt").write_text("Crackers.")
    daemon.wait_idle()
    then = view / "at" / "spring"
    wait_until(then.is_dir, 60, "the tag is seen")
    now = ["battery.txt", "bread.txt", "moved"]
    wait_until(lambda: sorted(os.listdir(view / "by-root" / "nas")) == now, 60, "the view follows")
    assert os.listdir(view / "at") == ["README.txt", "spring"]
    assert sorted(os.listdir(then / "by-root" / "nas")) == sorted(TEXTS)
    assert (then / "by-kind" / "document" / "harbour.txt").read_text() == TEXTS["harbour.txt"]  # where it lies now
    with pytest.raises(OSError, match="Stale") as refused:
        (then / "by-kind" / "document" / "bread.txt").read_text()  # other content lies there now
    assert refused.value.errno == errno.ESTALE
    versions = [line.split("at/")[1] for line in (view / "at" / "README.txt").read_text().splitlines() if "at/" in line]
    for version in versions:  # more than are kept
        os.listdir(view / "at" / version / "by-kind")
    assert not (view / "at" / "autumn").exists()
    assert sorted(os.listdir(then / "by-root" / "nas")) == sorted(TEXTS)

    daemon.kill()
    assert (view / "by-root" / "nas" / "battery.txt").read_text() == TEXTS["battery.txt"]
    unasked = view / "search" / "accordion"

    def is_said() -> bool:
        """By each listing, as its server may outlive the daemon for a moment."""
        assert os.listdir(unasked) == ["README.txt"]
        return "nobody answers" in (unasked / "README.txt").read_text()

    wait_until(is_said)
    wait_until(lambda: "error" in json.loads((view / ".lake" / "status.json").read_text())["daemon"], 60, "it says so")
