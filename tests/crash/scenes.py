"""Faults that need no point: a disk that is full, a database that somebody holds or broke, a view that is killed."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash import corpus
from tests.crash.subject import CHECKOUT, Red, Subject, View, pause

if TYPE_CHECKING:
    from tests.crash.cases import Case

STOPPED_S = 7.0
"""Longer than the leases of these lives."""
FULL = ("no space", "no room", "No space")


# --- signals -----------------------------------------------------------------------------------------------


def wake_later(subject: Subject) -> None:
    """The daemon has stopped itself: continue it after its leases ran out."""
    pause(STOPPED_S)
    assert subject.live.process is not None
    subject.live.process.send_signal(signal.SIGCONT)


def killed_while_it_hangs(subject: Subject, case: Case) -> None:
    """As the watchdog of systemd does."""
    from tests.crash.cases import before_the_fault

    before_the_fault(subject, *case.fault, "--armed", str(subject.armed))
    subject.armed.touch()
    corpus.change(subject.root)
    subject.wait_for(subject.struck, "the fault struck")
    subject.kill()


def kill_view(subject: Subject, case: Case) -> None:
    """The view is killed while everything changes; a new one takes the place over and shows the truth."""
    from tests.crash.cases import before_the_fault

    before_the_fault(subject)
    view = View(subject)
    try:
        view.start(*case.fault, wait=False)
        corpus.change(subject.root)
        if view.wait_dead() != -signal.SIGKILL:
            raise Red("the view was not killed")
        subject.drain()  # indexing does not notice
        view.start()
        view.wait_shows({name: (subject.root / name).read_bytes() for name in corpus.originals(subject.root)})
    finally:
        view.end()


# --- disks -------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(place: Path, megabytes: int = 48) -> Iterator[None]:
    """A file system of its own at ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "lakewatchd-tests", str(place)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def fill(place: Path) -> Path:
    """Write until nothing more fits, to the byte. Remove the returned file to make room."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


@contextmanager
def on_small_disk(subject: Subject, small: str) -> Iterator[Path]:
    """The state, the lake, the queue or the directory for temporary files on a small disk; yields the disk."""
    subject.live.state.mkdir(exist_ok=True)
    match small:
        case "queue":  # the database on the small disk, all else on the large one
            place = subject.live.state
            (subject.base / "large").mkdir()
        case "temp":
            place = subject.base / "temp"
            subject.live.environment = {**subject.live.environment, "TMPDIR": str(place)}
        case "lake":
            place = subject.live.state / "lake"
        case _:
            place = subject.live.state
    with small_disk(place):
        if small == "queue":
            (place / "lake").symlink_to(subject.base / "large")
        yield place


def disk_full(subject: Subject, case: Case) -> None:
    """Full to the byte while everything changes. The daemon waits, says so, and goes on when there is room."""
    from tests.crash.cases import before_the_fault

    disk = subject.live.state / "lake" if case.small == "lake" else subject.live.state
    disk = subject.base / "temp" if case.small == "temp" else disk
    before_the_fault(subject)
    ballast = fill(disk)
    corpus.change(subject.root)
    if case.small != "temp":  # nothing of ours is written there
        subject.wait_for(lambda: any(subject.status_says(text) for text in FULL), "status says that the disk is full")
    pause(2.0)
    ballast.unlink()
    subject.drain()


def disk_full_at_start(subject: Subject, case: Case) -> None:
    """A start on a full disk either waits or ends with a reason; with room it starts."""
    from tests.crash.cases import before_the_fault

    before_the_fault(subject)
    subject.kill()
    ballast = fill(subject.live.state)
    corpus.change(subject.root)
    subject.start(wait=False)
    pause(6.0)
    if (code := subject.exit_code()) is not None:
        subject.deaths += 1
        if code not in (1, 70) or not any(text in subject.live.log for text in FULL):
            raise Red(f"ended with {code}: {subject.last_words()}")
    ballast.unlink()


# --- databases ---------------------------------------------------------------------------------------------


def queue_locked(subject: Subject, case: Case) -> None:
    """Another process holds the write lock for longer than the busy time-out."""
    from tests.crash.cases import before_the_fault

    before_the_fault(subject)
    with closing(sqlite3.connect(subject.live.state / "queue.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        corpus.change(subject.root)
        subject.wait_for(lambda: subject.status_says("locked"), "status says that the queue is locked")
        other.execute("ROLLBACK")
    subject.drain()


def lose_queue(subject: Subject) -> None:
    for path in subject.live.state.glob("queue.db*"):
        path.unlink()


def _while_down(subject: Subject) -> Path:
    from tests.crash.cases import before_the_fault

    before_the_fault(subject)
    subject.stop()
    corpus.change(subject.root)
    return subject.live.state


def queue_missing(subject: Subject, case: Case) -> None:
    _while_down(subject)
    lose_queue(subject)


def queue_truncated(subject: Subject, case: Case) -> None:
    queue = _while_down(subject) / "queue.db"
    with queue.open("r+b") as file:
        file.truncate(queue.stat().st_size // 2 + 100)


def queue_overwritten(subject: Subject, case: Case) -> None:
    queue = _while_down(subject) / "queue.db"
    noise = random.Random(1)
    with queue.open("r+b") as file:
        for page in range(1, queue.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(noise.randbytes(512))


def lake_missing(subject: Subject, case: Case) -> None:
    shutil.rmtree(_while_down(subject) / "lake")


def thumbnails_missing(subject: Subject, case: Case) -> None:
    (_while_down(subject) / "thumbnails.db").unlink()


_RIVAL = """
import sys, lance
while True:
    for name in ("gold_assets", "silver_assets", "bronze_occurrences"):
        try:
            lance.dataset(f"{sys.argv[1]}/{name}.lance").update({"revision": "revision"})
        except Exception as exc:
            print(type(exc).__name__, str(exc)[:200], flush=True)
"""


def rival_writer(subject: Subject, case: Case) -> None:
    """Somebody commits to our tables all the time, without changing what they say."""
    from tests.crash.cases import before_the_fault

    before_the_fault(subject)
    argv = [sys.executable, "-c", _RIVAL, str(subject.live.state / "lake")]
    with (subject.base / "rival.log").open("wb") as log:
        rival = subprocess.Popen(argv, stdout=log, stderr=log, cwd=CHECKOUT)
        try:
            pause(2.5)  # its imports
            corpus.change(subject.root)
            pause(5.0)
        finally:
            rival.kill()
            rival.wait()
    subject.drain()
