"""The settler on a clock that stands still until told."""

from __future__ import annotations

from lakewatchd.config import WatchConfig
from lakewatchd.core.asset import PathKey, Version
from lakewatchd.core.event import Change, FileEvent
from lakewatchd.core.job import Priority
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.settle import Settler
from lakewatchd.testing import FakeClock

CONFIG = WatchConfig(settle_s=1.0, settle_open_s=5.0)


class Disk(dict[str, Version | None]):
    def look(self, key: PathKey) -> Version | None:
        return self.get(key.path)

    def write(self, path: str, size: int, mtime_ns: int = 1) -> None:
        self[path] = Version(size, mtime_ns, inode=1)


def make(limit: int = 100) -> tuple[Settler, Disk, FakeClock]:
    disk, clock = Disk(), FakeClock()
    return Settler("r", CONFIG, disk.look, clock, limit), disk, clock


def event(path: str, change: Change = Change.ADDED, is_closed: bool = False) -> FileEvent:
    return FileEvent(PathKey("r", path), change, is_closed=is_closed)


def told(settler: Settler) -> list[tuple[str, Change]]:
    return [(e.key.path, e.change) for e in settler.due()]


def test_a_closed_file_passes_after_settle_s_with_its_version() -> None:
    settler, disk, clock = make()
    disk.write("a", 10)
    settler.add(event("a"))
    settler.add(event("a", Change.MODIFIED, is_closed=True))
    assert told(settler) == []
    clock.advance(0.99)
    assert told(settler) == []
    clock.advance(0.01)
    (passed,) = settler.due()
    assert passed.change is Change.ADDED and passed.version == disk["a"] and passed.is_closed
    assert len(settler) == 0 and settler.next_due() is None


def test_an_open_file_waits_longer_and_a_growing_one_is_looked_at_again() -> None:
    settler, disk, clock = make()
    disk.write("a", 10)
    settler.add(event("a"))
    assert told(settler) == []
    for size in range(11, 20):
        clock.advance(4.9)
        disk.write("a", size)
        clock.advance(0.1)
        assert told(settler) == []
    assert settler.stats.settling == 1 and settler.stats.oldest_s == 45.0
    clock.advance(5.0)
    assert told(settler) == [("a", Change.ADDED)]


def test_same_size_but_another_mtime_is_not_quiet() -> None:
    settler, disk, clock = make()
    disk.write("a", 10, mtime_ns=1)
    settler.add(event("a", is_closed=True))
    settler.due()
    disk.write("a", 10, mtime_ns=2)
    clock.advance(1.0)
    assert told(settler) == []
    clock.advance(1.0)
    assert told(settler) == [("a", Change.ADDED)]


def test_an_mtime_in_the_future_and_a_wall_clock_that_jumps_starve_nothing() -> None:
    settler, disk, clock = make()
    disk.write("a", 10, mtime_ns=2**62)
    settler.add(event("a", is_closed=True))
    settler.due()
    clock.wall_s -= 10**9
    clock.ticks_s += 1.0
    assert told(settler) == [("a", Change.ADDED)]


def test_attributes_of_a_closed_file_do_not_open_it_again() -> None:
    settler, disk, clock = make()
    disk.write("a", 10)
    settler.add(event("a", Change.MODIFIED, is_closed=True))
    settler.add(event("a", Change.MODIFIED, is_closed=False))
    settler.due()
    clock.advance(1.0)
    assert told(settler) == [("a", Change.MODIFIED)]


def test_a_move_is_told_new_place_first() -> None:
    settler, disk, clock = make()
    disk.write("new", 1)
    settler.add(event("old", Change.REMOVED))
    settler.add(event("new", is_closed=True))
    settler.due()
    clock.advance(2.0)
    assert told(settler) == [("new", Change.ADDED), ("old", Change.REMOVED)]


def test_a_removal_of_what_is_there_again_is_a_change() -> None:
    settler, disk, clock = make()
    settler.add(event("a", Change.REMOVED))
    disk.write("a", 1)
    clock.advance(2.0)
    assert told(settler) == []
    clock.advance(5.0)
    assert told(settler) == [("a", Change.MODIFIED)]


def test_what_vanished_while_settling_is_told_as_removed() -> None:
    settler, _, clock = make()
    settler.add(event("a", is_closed=True))
    assert told(settler) == []
    clock.advance(2.0)
    assert told(settler) == [("a", Change.REMOVED)]


def test_what_cannot_be_looked_at_passes_as_it_is() -> None:
    def broken(key: PathKey) -> Version | None:
        raise PermissionError(13, "denied")

    settler = Settler("r", CONFIG, broken, FakeClock())
    settler.add(event("a"))
    assert told(settler) == [("a", Change.ADDED)]


def test_a_dirty_parent_swallows_its_children_and_is_not_put_off() -> None:
    settler, _, clock = make()
    settler.add(event("a/b", Change.DIRTY))
    settler.add(FileEvent(PathKey("r", "a"), Change.DIRTY, Priority.ASKED))
    settler.add(event("ab", Change.DIRTY))
    clock.advance(0.9)
    settler.add(event("a", Change.DIRTY))
    settler.add(event("a/late", Change.DIRTY))
    assert told(settler) == []
    clock.advance(0.1)
    passed = settler.due()
    assert {e.key.path for e in passed} == {"a", "ab"}
    assert len(settler) == 0


def test_too_many_paths_become_their_directories_and_then_the_root() -> None:
    settler, _, clock = make(limit=10)
    for i in range(11):
        settler.add(event(f"d/{i}"))
    assert len(settler) == 1 and settler.stats.collapsed == 11
    for i in range(100):
        settler.add(event(f"d{i}/x"))
        assert len(settler) <= 10
    clock.advance(1.0)
    assert ("", Change.DIRTY) in told(settler)


def test_tickets_tell_when_all_before_came_out() -> None:
    settler, disk, clock = make()
    disk.write("a", 1)
    settler.add(event("a", is_closed=True))
    ticket = settler.last_ticket
    settler.due()
    clock.advance(0.5)
    disk.write("b", 1)
    settler.add(event("b", is_closed=True))
    assert not settler.is_past(ticket)
    clock.advance(0.5)
    settler.due()
    assert settler.is_past(ticket) and not settler.is_past(settler.last_ticket)


def arrive(settler: Settler, disk: Disk, path: str, is_closed: bool = True) -> None:
    disk.write(path, 1)
    settler.add(event(path, is_closed=is_closed))
    settler.due()


def test_a_photo_passes_with_its_sidecar_once_both_are_quiet() -> None:
    settler, disk, clock = make()
    arrive(settler, disk, "d/IMG_1.jpg")
    arrive(settler, disk, "d/other.jpg")
    clock.advance(0.6)
    arrive(settler, disk, "d/img_1.jpg.xmp")
    clock.advance(0.4)
    assert told(settler) == [("d/other.jpg", Change.ADDED)]
    clock.advance(0.6)
    assert told(settler) == [("d/img_1.jpg.xmp", Change.ADDED), ("d/IMG_1.jpg", Change.ADDED)]
    assert len(settler) == 0 and settler.next_due() is not None, "its time may be left in the heap"
    clock.advance(30)
    assert told(settler) == [] and settler.next_due() is None


def test_who_is_written_for_ever_holds_the_others_for_a_while_only() -> None:
    settler, disk, clock = make()
    arrive(settler, disk, "film.srt")
    for second in range(40):
        disk.write("film.mkv", second)
        settler.add(event("film.mkv"))
        due = told(settler)
        clock.advance(1.0)
        if due:
            break
    assert (due, second) == ([("film.srt", Change.ADDED)], 31), "settled after 1 s, waited for 30 s"


def test_two_that_change_for_ever_starve_neither() -> None:
    settler, disk, clock = make()
    passed = 0
    for second in range(300):
        disk.write("a.jpg", second)
        settler.add(event("a.jpg", is_closed=True))
        disk.write("a.xmp", second)
        settler.add(event("a.xmp", is_closed=True))
        settler.due()
        clock.advance(1.0)
        passed += ("a.jpg", Change.ADDED) in told(settler)
        clock.advance(0.5)
        settler.add(event("a.xmp"))
    assert passed > 5


def test_nobody_waits_for_who_has_gone() -> None:
    settler, disk, clock = make()
    arrive(settler, disk, "a.jpg")
    arrive(settler, disk, "a.mov", is_closed=False)
    clock.advance(1.0)
    assert told(settler) == []
    disk["a.mov"] = None
    settler.add(event("a.mov", Change.REMOVED))
    assert told(settler) == [("a.jpg", Change.ADDED)]


def test_a_held_path_that_changes_is_quiet_again_before_it_passes() -> None:
    settler, disk, clock = make()
    arrive(settler, disk, "a.jpg")
    arrive(settler, disk, "a.mov", is_closed=False)
    clock.advance(4.9)
    assert told(settler) == []
    arrive(settler, disk, "a.jpg")
    clock.advance(0.1)
    assert told(settler) == []
    clock.advance(0.9)
    assert told(settler) == [("a.jpg", Change.ADDED), ("a.mov", Change.ADDED)]


def test_many_changes_of_one_path_do_not_pile_up() -> None:
    settler, disk, clock = make()
    disk.write("a", 1)
    for _ in range(10_000):
        settler.add(event("a", Change.MODIFIED, is_closed=True))
        settler.due()
        clock.advance(0.1)
    assert len(settler) == 1 and len(settler._heap) < 200


def test_the_buffer_wakes_once_per_drain() -> None:
    wakes: list[int] = []
    buffer = Buffer("r", 10, lambda: wakes.append(1))
    buffer.add(event("a"))
    buffer.add(event("a", Change.MODIFIED))
    assert [e.change for e in buffer.drain()] == [Change.ADDED]
    buffer.add(event("b"))
    assert len(wakes) == 2 and buffer.seen == 3


def test_what_came_out_waits_until_it_is_delivered() -> None:
    settler, disk, clock = make()
    disk.write("a", 10)
    settler.add(event("a", is_closed=True))
    settler.due()
    clock.advance(1)
    assert [each.key.path for each in settler.due()] == ["a"]
    assert settler.waiting_s(PathKey("r", "a")) == 1.0, "in no queue yet: it would look lost"
    settler.delivered()
    assert settler.waiting_s(PathKey("r", "a")) is None
