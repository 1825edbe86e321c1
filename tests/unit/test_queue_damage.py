"""Whatever became of the queue's file: it is moved aside, another takes its place, and a person is told."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lakewatchd import config as configuration
from lakewatchd import errors
from lakewatchd.config import Config, DaemonConfig
from lakewatchd.core.asset import Occurrence, PathKey, Version
from lakewatchd.core.job import JobSpec
from lakewatchd.daemon import repair
from lakewatchd.queue import damage
from lakewatchd.testing import FakeClock

CLOCK = FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(daemon=DaemonConfig(state_dir=tmp_path))


@pytest.fixture(autouse=True)
def _searched_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the seconds that a start takes for it may pass before anything was read."""
    monkeypatch.setattr(repair, "CHECK_S", 250.0)


@pytest.fixture
def filled(config: Config) -> Path:
    """A queue of some hundred pages, closed."""
    with closing(repair.open_queue(config, CLOCK)) as queue:
        queue.put(JobSpec("ingest", f"{n}", {"path": "x" * 99}) for n in range(5000))
        queue.seen.record([Occurrence(PathKey("r", f"d/{n}"), "aa", Version(1, 2, 3, 4)) for n in range(500)])
    return config.queue_path


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    noise = random.Random(7)
    with path.open("r+b") as file:
        for page in noise.sample(range(1, path.stat().st_size // 4096), 9):
            file.seek(page * 4096)
            file.write(noise.randbytes(4096))


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def another_file(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 999)


def another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE moz_places (id, url)")


@pytest.mark.parametrize("harm", [truncated, overwritten, header, another_file, another_program])
def test_a_damaged_queue_is_moved_aside_and_made_again(config: Config, filled: Path, harm) -> None:  # type: ignore[no-untyped-def]
    harm(filled)
    before = filled.read_bytes()
    with closing(repair.open_queue(config, CLOCK)) as queue:
        assert queue.counts().jobs() == 0
        assert queue.put([JobSpec("ingest", "a")]) == 1
    (problem,) = repair.damages(config)
    assert "nothing is lost" in problem.message
    (kept,) = damage.damages(filled)
    assert (kept.directory / "queue.db").read_bytes() == before
    with closing(repair.open_queue(config, CLOCK)) as queue:  # once is enough
        assert queue.counts().jobs() == 1


@pytest.mark.parametrize("size", [0, None])
def test_an_empty_or_missing_queue_is_made(config: Config, filled: Path, size: int | None) -> None:
    if size is None:
        filled.unlink()
    else:
        os.truncate(filled, size)
    with closing(repair.open_queue(config, CLOCK)) as queue:
        assert queue.seen.root_state("") is None  # which is how the daemon notices that the lake knows more
    assert repair.damages(config) == ()


def test_a_torn_log_costs_only_what_was_not_acknowledged(config: Config, tmp_path: Path) -> None:
    path = config.queue_path
    queue = repair.open_queue(config, CLOCK)
    queue.put([JobSpec("ingest", "first")])
    whole = path.with_name("queue.db-wal").stat().st_size
    queue.put([JobSpec("ingest", "second")])
    copies = {name: path.with_name(name).read_bytes() for name in ("queue.db", "queue.db-wal")}
    queue.close()
    for name, content in copies.items():
        path.with_name(name).write_bytes(content)
    os.truncate(path.with_name("queue.db-wal"), whole + 100)
    with closing(repair.open_queue(config, CLOCK)) as queue:
        assert [job.key for job in queue.pending()] == ["first"]
    assert damage.damages(path) == []


def test_what_was_condemned_while_in_use_is_not_opened_again(config: Config, filled: Path) -> None:
    repair.condemn(config, errors.QueueDamaged("a row was nonsense"), CLOCK)
    repair.condemn(config, errors.QueueDamaged("and another"), CLOCK)
    with closing(repair.open_queue(config, CLOCK)) as queue:
        assert queue.counts().jobs() == 0
    assert [kept.why for kept in damage.damages(filled)] == ["a row was nonsense"]


def test_moving_aside_that_was_cut_off_is_finished(
    config: Config, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log went, the file did not: the next start must not open a file without its log, nor lose the reason."""
    filled.with_name("queue.db-wal").write_bytes(b"log")
    damage.condemn(filled, "torn", CLOCK.now())

    class PowerCut(Exception):
        pass

    def replace(path: Path, target: Path, real=Path.replace) -> Path:  # type: ignore[no-untyped-def]
        if path == filled:
            raise PowerCut
        return real(path, target)

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(Path, "replace", replace)
        damage.set_aside(filled)
    with closing(repair.open_queue(config, CLOCK)):
        (kept,) = damage.damages(filled)
    assert sorted(path.name for path in kept.directory.iterdir()) == ["queue.db", "queue.db-wal", "why.txt"]
    assert (kept.directory / "queue.db-wal").read_bytes() == b"log"


def test_only_the_newest_are_kept(config: Config) -> None:
    for n in range(5):
        config.queue_path.write_bytes(b"%d" % n * 9999)
        repair.open_queue(config, FakeClock(CLOCK.now() + 60 * n)).close()
    kept = damage.damages(config.queue_path)
    assert [(place.directory / "queue.db").read_bytes()[:1] for place in kept] == [b"4", b"3", b"2"]


def test_a_payload_that_nobody_wrote_is_damage_too(config: Config, filled: Path) -> None:
    """Pages that are in order may hold nonsense."""
    from lakewatchd.core.job import Lane

    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("UPDATE job SET payload = x'00ff' WHERE id = 1")
    with closing(repair.open_queue(config, CLOCK)) as queue, pytest.raises(errors.QueueDamaged, match="nobody wrote"):
        queue.claim(Lane.FAST, 1)


def test_the_search_for_damage_ends_in_time(config: Config, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "CHECK_S", 0.0)
    monkeypatch.setattr("lakewatchd.queue.database._CHECK_STEPS", 10)
    with closing(repair.open_queue(config, CLOCK)) as queue:
        assert queue.counts().jobs() == 5000


def test_parked_jobs_are_tried_with_other_settings_once(config: Config) -> None:
    from lakewatchd.core.job import Lane
    from lakewatchd.queue.retry import Park

    def park_and_reopen(config: Config, after: Config) -> int:
        with closing(repair.open_queue(config, CLOCK)) as queue:
            queue.put([JobSpec("ingest", "a")])
            (job,) = queue.claim(Lane.FAST, 1)
            queue.ack([(job, Park("too-large", "x"))])
        with closing(repair.open_queue(after, CLOCK)) as queue:
            return len(queue.parked())

    assert park_and_reopen(config, config) == 1
    decode = configuration.DecodeConfig(max_pixels=1_000_000_000)
    assert park_and_reopen(config, Config(daemon=config.daemon, decode=decode)) == 0
