"""The matrix: what is struck where, and what the daemon is expected to do about it before it is made sound again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.crash import scenes
from tests.crash.points import ASKED, MOMENTS, NOT_OF_OBJECTS, OBJECTS, POINTS, Point
from tests.crash.scenes import before_the_fault
from tests.crash.subject import OTHER_SETTINGS, Red, Subject

KILLED = -9
ALWAYS = 1_000_000

Play = Callable[[Subject, "Case"], None]
"""Brings the fault about and returns with a daemon that runs or has ended."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    play: Play
    walk: str = "live"
    """As in :class:`~tests.crash.points.Point`."""
    at: str = ""
    do: str = "kill"
    hit: int = 1
    times: int = 1
    ends: int | None = None
    """The exit status that the fault causes; None if the daemon goes on by itself."""
    tolerated: int = 0
    """More decodes of one asset than the deaths explain."""
    models: bool = False
    set_aside: str = ""
    """What is damaged, and kept under a name that begins so."""
    retry: bool = False
    """What the fault parked is asked for again by a person."""
    world: Callable[[Subject], AbstractContextManager[Path]] | None = None
    """What is special about the places the daemon works with; yields the special one."""

    @property
    def decodes(self) -> int:
        """How often one asset is decoded in such a life: once, once more with other settings, and a file that cannot
        be decoded once more by who does not know that it was tried."""
        return self.tolerated + (2 if self.walk in ("stale", "lost") else 1)

    @property
    def fault(self) -> tuple[str, ...]:
        return ("--at", self.at, "--do", self.do, "--hit", str(self.hit), "--times", str(self.times))


# --- lives -------------------------------------------------------------------------------------------------


def live(subject: Subject, case: Case) -> None:
    """Everything changes under a daemon that runs."""
    before_the_fault(subject, *case.fault, "--armed", str(subject.armed))
    subject.armed.touch()
    subject.change()
    _suffer(subject, case)


def start(subject: Subject, case: Case) -> None:
    """Everything changed while the daemon was down."""
    before_the_fault(subject)
    subject.stop()
    subject.change()
    _prepare_start(subject, case.walk)
    subject.start(*case.fault, wait=False)
    _suffer(subject, case)


def stop(subject: Subject, case: Case) -> None:
    """Struck in an orderly stop."""
    before_the_fault(subject, *case.fault, "--armed", str(subject.armed))
    subject.change()
    subject.drain()
    subject.armed.touch()
    assert subject.live.process is not None
    subject.live.process.terminate()
    _suffer(subject, case)


def sound(subject: Subject, case: Case) -> None:
    """The same life without a fault, which must pass the same examination."""
    before_the_fault(subject)
    if case.walk == "live":
        subject.change()
    else:
        subject.stop()
        subject.change()
        _prepare_start(subject, case.walk)
        subject.start()
    subject.drain()


def _prepare_start(subject: Subject, walk: str) -> None:
    if walk == "stale":
        subject.use(OTHER_SETTINGS)
    if walk == "lost":
        scenes.lose_queue(subject)


def _suffer(subject: Subject, case: Case) -> None:
    if case.ends is not None:
        if (code := subject.wait_dead()) != case.ends:
            raise Red(f"ended with {code}, not {case.ends}: {subject.last_words()}")
    else:
        subject.wait_for(subject.struck, "the fault struck")
        if case.do == "stop":
            scenes.wake_later(subject)
        subject.wait_for(subject.is_up, "the daemon answers")
        subject.drain()
    if not subject.struck():
        raise Red("the point was not reached")


WALKS: dict[str, Play] = {"live": live, "start": start, "stale": start, "lost": start, "seeing": live, "stop": stop}

# --- the table ---------------------------------------------------------------------------------------------


def kills(points: Iterable[Point] = POINTS) -> Iterator[Case]:
    """``kill -9`` of the daemon before and after every step."""
    for point in points:
        for moment in point.moments:
            at = f"{point.name}.{moment}"
            if point.walk == "view":
                yield Case(f"kill view {at}", scenes.kill_view, at=at)
            else:
                yield Case(f"kill {at}", WALKS[point.walk], point.walk, at, ends=KILLED, models=point.walk == "seeing")


def _raised(at: str, what: str, ends: int | None = None, walk: str = "", times: int = 1, tolerated: int = 0) -> Case:
    walk = walk or next(point.walk for point in POINTS if point.name == at.split(".")[0])
    return Case(
        f"{what} {at}" + ("" if times == 1 else f" x{times}"),
        WALKS[walk], walk, at, f"raise:{what}", 1, times, ends, tolerated,
    )  # fmt: skip


def errors() -> Iterator[Case]:
    """What the system, a room or a bug may raise."""
    for step in ("put", "claim", "ack", "promote", "heartbeat", "expire"):
        yield _raised(f"{step}.before", "Busy", times=2)
        yield _raised(f"{step}.before", "OutOfSpace")
    for step in ("reclaim", "queue_stale", "agree_rows"):
        yield _raised(f"{step}.before", "OutOfSpace")
    yield _raised("thumbnails.before", "OutOfSpace", tolerated=1)
    for step in ("fsync", "ledger"):
        yield _raised(f"{step}.before", "ENOSPC", tolerated=1)
        yield _raised(f"{step}.before", "EIO", ends=70)
    yield replace(_raised("ack.before", "QueueDamaged", ends=70), set_aside="queue.db.damaged-")
    yield _raised("clean.before", "Busy")
    yield _raised("compact_plan.before", "OutOfSpace")
    yield _raised("identify.before", "TimedOut", times=2)
    yield _raised("decode.before", "WorkerDied", times=2, tolerated=2)
    yield _raised("publish.before", "RuntimeError", tolerated=1)
    yield _raised("ingest.before", "MemoryError")
    yield _raised("index_updates.before", "RuntimeError", ends=1)  # the writer's task ends by a bug


def hangs() -> Iterator[Case]:
    for at in ("gold_assets.after", "ack_settle.after", "sync.before"):
        yield Case(f"stopped and continued {at}", live, at=at, do="stop")
        yield Case(f"hangs and is killed {at}", scenes.killed_while_it_hangs, at=at, do="hang")


def children() -> Iterator[Case]:
    for name in ("decoder", "hasher"):
        at = f"{ASKED[name].name}.before"
        yield Case(f"kill {name} once", live, at=at, do="kill-child")
        yield Case(f"kill {name} always", live, at=at, do="kill-child", times=ALWAYS, retry=True, tolerated=6)
    yield Case("kill embedder once", live, at="asked_embedder.before", do="kill-child", models=True, tolerated=1)


def clocks() -> Iterator[Case]:
    for name, ahead_s in (("ten years ahead", 3.2e8), ("ten years back", -3.2e8)):
        for at in ("put.after", "ack.before"):
            yield Case(f"clock {name} {at}", live, at=at, do=f"clock:{ahead_s}", tolerated=1)


def places() -> Iterator[Case]:
    """Disks, databases and other writers."""
    for what in ("state", "lake", "queue", "temp"):
        disk = partial(scenes.on_small_disk, what=what)
        yield Case(f"disk full: {what}", partial(scenes.disk_full, what=what), world=disk, tolerated=2)
    disk = partial(scenes.on_small_disk, what="state", reserve_mb=20)
    nearly = partial(scenes.disk_full, what="state", leave_mb=10)
    yield Case("disk full but for less than the reserve: state", nearly, world=disk, tolerated=2)
    disk = partial(scenes.on_small_disk, what="state")
    yield Case("disk full at the start", scenes.disk_full_at_start, "start", world=disk, tolerated=2)
    yield Case("queue locked by another process", scenes.queue_locked)
    yield Case("queue missing", scenes.queue_missing, "lost")
    yield Case("queue truncated", scenes.queue_truncated, "lost", set_aside="queue.db.damaged-")
    yield Case("queue overwritten", scenes.queue_overwritten, "lost", set_aside="queue.db.damaged-")
    yield Case("lake missing", scenes.lake_missing, "start", tolerated=1)
    yield Case("thumbnails missing", scenes.thumbnails_missing, "start")
    yield Case("rival commit: compaction", live, at="compact_commit.before", do="rival")
    yield Case("rival writer on every table", scenes.rival_writer, tolerated=2)


def originals() -> Iterator[Case]:
    """A root on a file system that fails. What it does to one file concerns that file only."""
    bad = partial(Case, world=scenes.bad_file_system, retry=True, tolerated=2)
    for fault in ("eio-read", "short", "hang"):
        yield bad(f"originals: {fault}", partial(scenes.bad_file, fault=fault))
    yield bad("originals: truncated while read", scenes.cut_while_read)
    yield bad("originals: a directory cannot be listed", scenes.bad_directory)
    yield bad("originals: ESTALE everywhere", scenes.stale_root)


def no_fault() -> Iterator[Case]:
    return (Case(f"no fault: {walk}", sound, walk) for walk in ("live", "start", "stale", "lost"))


def matrix() -> tuple[Case, ...]:
    return (*no_fault(), *kills(), *errors(), *hangs(), *children(), *clocks(), *places(), *originals())


def of_bucket() -> tuple[Case, ...]:
    """All that may happen to a daemon that watches a bucket. What the server of the bucket does is in
    ``tests/acceptance/test_bucket_faults.py``."""
    return (*no_fault(), *kills((*(point for point in POINTS if point.name not in NOT_OF_OBJECTS), *OBJECTS)))


def servers() -> Iterator[Case]:
    """What may happen to a lake in a bucket, and to nothing else."""
    yield Case("bucket: the server is killed", scenes.server_killed, tolerated=2)
    yield Case("bucket: the server is frozen", scenes.server_frozen)
    yield Case("bucket: the server is away at the start", scenes.server_away_at_start, "start", tolerated=1)
    yield Case("bucket: a second daemon", scenes.second_daemon)
    yield Case("bucket: the state directory is lost", scenes.state_lost, "lost", models=True)
    yield Case("bucket: killed, and another machine goes on", scenes.another_machine, "lost")
    yield _raised("ledger.before", "LakeAway", tolerated=1)


def in_bucket() -> tuple[Case, ...]:
    """All that a lake in a bucket has in common with one in a directory, and its own.

    Where commits take longer, content that was replaced is looked at once more before the lake knows of it.
    """
    elsewhere = {"sync", "fsync"}
    shared = (*no_fault(), *kills())
    own = (*(case for case in shared if case.at.partition(".")[0] not in elsewhere), *servers())
    return tuple(replace(case, tolerated=case.tolerated + 1) for case in own)


def at_random(count: int, seed: int) -> Iterator[Case]:
    """More kills, each at a later pass of a point."""
    rng = random.Random(seed)
    points: list[Point] = [point for point in POINTS if point.walk == "live"]
    for number in range(count):
        point, moment, hit = rng.choice(points), rng.choice(MOMENTS), rng.randint(2, 6)
        at = f"{point.name}.{moment}"
        yield replace(Case(f"kill {at}", live, at=at, ends=KILLED), name=f"kill {at} #{hit} ({number})", hit=hit)
