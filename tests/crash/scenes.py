"""Faults that need no point: a disk that is full, a database that somebody holds or broke, a view that is killed."""

from __future__ import annotations

import os
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

from lakewatchd.testing import wait_until
from tests.crash import corpus
from tests.crash.oracle import parked, shown
from tests.crash.subject import CHECKOUT, SHORT_PATIENCE, WAIT_S, Red, Subject, View, pause
from tests.servers import S3Server

if TYPE_CHECKING:
    from tests.crash.cases import Case

STOPPED_S = 7.0
"""Longer than the leases of these lives."""
FULL = ("no space", "no room", "MB free")


def before_the_fault(subject: Subject, *fault: str) -> None:
    """Files are there and indexed, and one of them has gone again."""
    subject.begin()
    subject.start(*fault)
    subject.drain()
    subject.leave()
    subject.drain()


# --- signals -----------------------------------------------------------------------------------------------


def wake_later(subject: Subject) -> None:
    """The daemon has stopped itself: continue it after its leases ran out."""
    pause(STOPPED_S)
    assert subject.live.process is not None
    subject.live.process.send_signal(signal.SIGCONT)


def killed_while_it_hangs(subject: Subject, case: Case) -> None:
    """As the watchdog of systemd does."""
    before_the_fault(subject, *case.fault, "--armed", str(subject.armed))
    subject.armed.touch()
    subject.change()
    subject.wait_for(subject.struck, "the fault struck")
    subject.kill()


def kill_view(subject: Subject, case: Case) -> None:
    """The view is killed while everything changes; a new one takes the place over and shows the truth."""
    before_the_fault(subject)
    view = View(subject)
    try:
        view.start(*case.fault, wait=False)
        subject.change()
        if view.wait_dead() != -signal.SIGKILL:
            raise Red("the view was not killed")
        subject.drain()  # indexing does not notice
        view.start()
        view.wait_shows({name: (subject.files / name).read_bytes() for name in corpus.originals(subject.files)})
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


def fill(place: Path, leave_mb: int = 0) -> Path:
    """Write until nothing more fits, to the byte, or so much is left. Remove the returned file to make room."""
    ballast = place / "ballast"
    if leave_mb:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(place).free - (leave_mb << 20))
        return ballast
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


@contextmanager
def on_small_disk(subject: Subject, what: str, reserve_mb: int = 0) -> Iterator[Path]:
    """The state, the lake, the queue or the directory for temporary files on a small disk; yields the disk."""
    subject.live.daemon_settings = f"min_free_mb = {reserve_mb}"
    disk = _disk(subject, what)
    subject.live.state.mkdir(parents=True)
    with small_disk(disk):
        if what == "queue":  # the database on the small disk, the lake on the large one
            (subject.base / "large").mkdir()
            (disk / "lake").symlink_to(subject.base / "large")
        if what == "temp":
            subject.live.environment = {**subject.live.environment, "TMPDIR": str(disk)}
        yield disk


def _disk(subject: Subject, what: str) -> Path:
    places = {"temp": subject.base / "temp", "lake": subject.live.state / "lake"}
    return places.get(what, subject.live.state)


def disk_full(subject: Subject, case: Case, what: str, leave_mb: int = 0) -> None:
    """Full to the byte, or below the reserve, while everything changes. The daemon waits, says so, and goes on when
    there is room."""
    before_the_fault(subject)
    ballast = fill(_disk(subject, what), leave_mb)
    subject.change()
    if what == "temp":  # nothing of ours is written there
        subject.drain()
    else:
        subject.wait_for(lambda: _says_full(str(subject.ask("status"))), "status says that the disk is full")
    pause(2.0)
    ballast.unlink()
    subject.drain()


def disk_full_at_start(subject: Subject, case: Case) -> None:
    """A start on a full disk either waits or ends with a reason; with room it starts."""
    before_the_fault(subject)
    subject.kill()
    ballast = fill(subject.live.state)
    subject.change()
    subject.start(wait=False)
    wait_until(lambda: subject.exit_code() is not None or _says_full(subject.live.log), WAIT_S, "the log says so")
    ballast.unlink()
    if (code := subject.exit_code()) is None:
        subject.wait_for(subject.is_up, "the daemon goes on")
        return
    subject.deaths += 1
    if code not in (1, 70) or not _says_full(subject.live.log):
        raise Red(f"ended with {code}: {subject.last_words()}")


def _says_full(text: str) -> bool:
    return any(sign in text for sign in FULL)


# --- databases ---------------------------------------------------------------------------------------------


def queue_locked(subject: Subject, case: Case) -> None:
    """Another process holds the write lock for longer than the busy time-out."""
    before_the_fault(subject)
    with closing(sqlite3.connect(subject.live.state / "queue.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        subject.change()
        subject.wait_for(lambda: subject.status_says("locked"), "status says that the queue is locked")
        other.execute("ROLLBACK")
    subject.drain()


def lose_queue(subject: Subject) -> None:
    for path in subject.live.state.glob("queue.db*"):
        path.unlink()


def _while_down(subject: Subject) -> Path:
    before_the_fault(subject)
    subject.stop()
    subject.change()
    with closing(sqlite3.connect(subject.live.state / "queue.db")) as queue:  # all of it in the one file
        queue.execute("PRAGMA wal_checkpoint(TRUNCATE)")
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
    before_the_fault(subject)
    argv = [sys.executable, "-c", _RIVAL, str(subject.live.state / "lake")]
    with (subject.base / "rival.log").open("wb") as log:
        rival = subprocess.Popen(argv, stdout=log, stderr=log, cwd=CHECKOUT)
        try:
            pause(2.5)  # its imports
            subject.change()
            pause(5.0)
        finally:
            rival.kill()
            rival.wait()
    subject.drain()


# --- originals ---------------------------------------------------------------------------------------------


@contextmanager
def bad_file_system(subject: Subject) -> Iterator[Path]:
    """The root is a pass-through whose faults :func:`switch` turns on; changes are made behind it."""
    subject.files = subject.base / "source"
    subject.files.mkdir()
    switch(subject)
    argv = [sys.executable, "-m", "tests.crash.badfs", str(subject.files), str(subject.root), str(_switch(subject))]
    with (subject.base / "badfs.log").open("wb") as log:
        served = subprocess.Popen(argv, cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        wait_until(subject.root.is_mount, WAIT_S, "the bad file system is mounted")
        yield subject.root
    finally:
        subprocess.run(["umount", "-l", str(subject.root)], check=False)
        served.kill()
        served.wait()


def _switch(subject: Subject) -> Path:
    return subject.base / "switch"


def switch(subject: Subject, fault: str = "") -> None:
    fresh = _switch(subject).with_suffix(".new")
    fresh.write_text(fault)
    fresh.replace(_switch(subject))


def _parks(subject: Subject, name: str) -> bool:
    return any(name in key for key, _ in parked(subject))


def bad_file(subject: Subject, case: Case, fault: str) -> None:
    """One file cannot be read: it is parked with a reason, or its storage is said not to answer."""
    subject.use(SHORT_PATIENCE)
    before_the_fault(subject)
    switch(subject, f"{fault} poem.txt")
    subject.change()
    subject.ask("scan")
    if fault == "hang":
        subject.wait_for(lambda: subject.status_says("does not answer"), "status says that the storage hangs")
    else:
        subject.wait_for(lambda: _parks(subject, "poem.txt"), "the file is parked")
        subject.drain()
    switch(subject)
    subject.drain()


def cut_while_read(subject: Subject, case: Case) -> None:
    """Half of it was read, then it was cut by somebody: what is indexed is what lies there in the end."""
    before_the_fault(subject)
    switch(subject, "truncate poem.txt")
    subject.change()
    whole = (subject.files / "new/poem.txt").read_bytes()
    before = (subject.files / "new/poem.txt").stat()
    subject.drain()
    switch(subject)
    if (subject.files / "new/poem.txt").read_bytes() == whole:
        raise Red("the file was not cut")
    (subject.files / "new/poem.txt").write_bytes(whole)
    os.utime(subject.files / "new/poem.txt", ns=(before.st_atime_ns, before.st_mtime_ns))


def bad_directory(subject: Subject, case: Case) -> None:
    """What lies in a directory that cannot be listed is not gone."""
    before_the_fault(subject)
    shown_before = shown(subject.lake)
    switch(subject, "eio-list /a")
    subject.ask("scan")
    subject.drain()
    if shown(subject.lake) != shown_before:
        raise Red("something was taken out of the view")
    subject.change()
    switch(subject)


def stale_root(subject: Subject, case: Case) -> None:
    """As after a server's restart: the root is away and nothing is gone."""
    before_the_fault(subject)
    shown_before = shown(subject.lake)
    switch(subject, "estale")
    subject.wait_for(lambda: subject.ask("status")["roots"][0]["state"] == "away", "the root is away")
    if shown(subject.lake) != shown_before:
        raise Red("something was taken out of the view")
    subject.change()
    switch(subject)
    subject.wait_for(lambda: subject.ask("status")["roots"][0]["state"] != "away", "the root is back")
    subject.drain()


# --- a lake in a bucket ------------------------------------------------------------------------------------


def _server(subject: Subject) -> S3Server:
    assert subject.server is not None
    return subject.server


def server_killed(subject: Subject, case: Case) -> None:
    """In the middle of commits. Work rests, says so, and goes on."""
    before_the_fault(subject)
    subject.change()
    pause(1.0)
    _server(subject).kill()
    subject.wait_for(lambda: subject.status_says("does not answer"), "status says that the server is away")
    _server(subject).start()
    subject.drain()


def server_frozen(subject: Subject, case: Case) -> None:
    before_the_fault(subject)
    subject.change()
    pause(1.0)
    _server(subject).freeze()
    pause(5.0)
    _server(subject).thaw()
    subject.drain()


def server_away_at_start(subject: Subject, case: Case) -> None:
    before_the_fault(subject)
    subject.stop()
    subject.change()
    _server(subject).kill()
    subject.start(wait=False)
    wait_until(lambda: "waiting: the server of the lake" in subject.live.log, WAIT_S, "the log says what it waits for")
    _server(subject).start()
    subject.wait_for(subject.is_up, "the daemon goes on")


def second_daemon(subject: Subject, case: Case) -> None:
    """With a state directory of its own, as on another machine: it ends, and says who was first."""
    before_the_fault(subject)
    other = Subject(subject.base / "other", server=_server(subject))
    try:
        other.start(wait=False)
        if (code := other.wait_dead()) != 70 or "writes to s3://" not in other.live.log:
            raise Red(f"ended with {code}: {other.last_words()}")
    finally:
        other.end()
    subject.change()
    subject.drain()


def state_lost(subject: Subject, case: Case) -> None:
    """A new disk in the machine: all files are read again, none is decoded or embedded."""
    before_the_fault(subject)
    subject.change()
    subject.drain()
    subject.stop()
    _work_nothing_twice(subject)


def another_machine(subject: Subject, case: Case) -> None:
    """The first was killed and signed nothing off: the other waits until it surely is gone."""
    before_the_fault(subject)
    subject.change()
    subject.drain()
    subject.kill()
    (subject.live.state / "lake").rename(subject.base / "keeps its inode")
    _work_nothing_twice(subject)
    if "has not signed off" not in subject.live.log:
        raise Red("it did not wait")


def _work_nothing_twice(subject: Subject) -> None:
    done = {line for line in subject.lines() if line.startswith("decode ")}
    before = subject.lines()
    shutil.rmtree(subject.live.state)
    subject.start(wait=False)
    wait_until(subject.is_up, 2 * WAIT_S, "the daemon answers")
    subject.drain()
    again = {line: times - before[line] for line, times in subject.lines().items() if times > before[line]}
    if not done or (worked := [line for line in again if line in done or line.startswith("embed")]):
        raise Red(f"worked again: {worked[:5]}")
