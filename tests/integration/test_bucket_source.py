"""A bucket as a root: whatever its events and its listing do, what is told leads to what lies in it."""

from __future__ import annotations

import asyncio
import random
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn

import pytest

from lakewatchd.buckets.client import ObjectInfo
from lakewatchd.buckets.records import Notice
from lakewatchd.config import ObjectsConfig, WatchConfig
from lakewatchd.core.asset import Version
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change
from lakewatchd.daemon import orders
from lakewatchd.errors import Busy, OutOfSpace, QueueDamaged, RootAway
from lakewatchd.sources.bucket.compare import Comparer
from lakewatchd.sources.bucket.names import Names
from lakewatchd.sources.bucket.source import BucketSource
from lakewatchd.sources.bucket.told import Told
from lakewatchd.sources.known import ScanOptions
from lakewatchd.sources.missing import RemovalGuard
from tests.one_bucket import SETTINGS, FakeBucket, FakeWay, Lake, Late, alive, until

FEW = WatchConfig(removal_share=0.2, removal_files=5)


def filled(count: int, **more: int) -> tuple[FakeBucket, Lake]:
    bucket = FakeBucket(**more)
    for number in range(count):
        bucket.put(f"trip/{number:04}.jpg", b"%d" % number)
    return bucket, Lake(bucket)


def holds_the_same(bucket: FakeBucket, lake: Lake) -> bool:
    return set(lake.files) == set(bucket.objects)


@pytest.mark.parametrize("seed", range(4))
async def test_a_listing_in_any_order_and_of_any_page_finds_every_difference(seed: int) -> None:
    rng = random.Random(seed)
    bucket, lake = filled(120, page=rng.choice([1, 7, 50, 1000]))
    bucket.rng = rng
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        assert holds_the_same(bucket, lake)
        for number in rng.sample(range(120), 20):
            bucket.delete(f"trip/{number:04}.jpg")
        for number in rng.sample(range(200), 30):
            bucket.put(f"trip/{number:04}.jpg", b"new", at=1_700_000_100)
        lake.events.clear()
        await source.wait_caught_up()
        assert holds_the_same(bucket, lake)
        assert all(lake.files[path].etag == info.etag for path, info in bucket.objects.items())
        lake.events.clear()
        await source.wait_caught_up()
        assert not lake.events, "what is known was told again"


async def test_keys_that_are_no_paths_are_told_apart_and_found_again() -> None:
    keys = ["../etc/passwd", "/x", "a//b", "a/%/b", "%", ".", "a/./b", "new\nline", "back\\slash", "é+ %20", "a", "a/b",
            "\udcff", "x" * 1024]  # fmt: skip
    bucket, left_out = FakeBucket(), ["folder/", "nul\0", "y" * 1025]
    for key in keys + left_out:
        bucket.put(key, b"" if key.endswith("/") else key.encode(errors="surrogateescape"))
    lake = Lake(bucket)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        assert len(lake.files) == len(keys)
        assert {source.key(path) for path in lake.files} == set(keys)
        for path in lake.files:
            assert not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))
            version = await source.look(path)
            assert version is not None and version.etag == bucket.objects[source.key(path)].etag
        summary = source.status.last_scan
        assert summary is not None and summary.ignored_count == 3


async def test_what_the_server_keeps_under_another_key_than_it_tells_of_is_found() -> None:
    bucket, lake = filled(1)
    ways: list[FakeWay] = []
    async with alive(bucket, lake, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        await source.wait_caught_up()
        bucket.put("a/b.jpg")
        bucket.put("lead.jpg")
        await ways[0].tell(Change.ADDED, "a//b.jpg", "//lead.jpg")
        assert {"a/b.jpg", "lead.jpg"} < lake.files.keys() and holds_the_same(bucket, lake)
        bucket.delete("a/b.jpg")
        await ways[0].tell(Change.REMOVED, "a//b.jpg")
        assert holds_the_same(bucket, lake)


async def test_only_keys_below_the_prefix_belong_to_the_root() -> None:
    bucket = FakeBucket()
    for key in ("in/a", "in/b/c", "in/", "inn/x", "out"):
        bucket.put(key)
    lake = Lake(FakeBucket())
    ways: list[FakeWay] = []
    settings = replace(SETTINGS, prefix="in/")
    async with alive(bucket, lake, settings, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        await source.wait_caught_up()
        await ways[0].tell(Change.ADDED, "out", "in/late", "in/", "inn/x")
        await ways[0].deliver([Notice("another", "in/stranger", Change.ADDED)])
        assert {event.key.path for event in lake.events} == {"a", "b/c", "late"}
        assert await source.look("a") is not None and await source.look("out") is None


async def test_rules_leave_out_what_lies_below_a_directory_and_what_was_known_goes() -> None:
    bucket = FakeBucket()
    for key in ("a.jpg", "b.tmp", ".git/x/y.jpg", "deep/.git/z.jpg", ".lakeignore"):
        bucket.put(key)
    lake = Lake(bucket)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        assert set(lake.files) == {"a.jpg", ".lakeignore"}
        assert source.why_ignored("deep/.git/z.jpg") and await source.look("b.tmp") is None
        assert "*.tmp" in (await source.explain("b.tmp") or "")
    lake.events.clear()
    async with alive(bucket, lake, watch=WatchConfig(ignore=("*.jpg",))) as source:
        await source.wait_caught_up()
        assert lake.changes("a.jpg")[0] is Change.REMOVED


async def test_a_great_loss_waits_for_a_person_and_a_small_one_does_not() -> None:
    bucket, lake = filled(100)
    async with alive(bucket, lake, watch=FEW) as source:
        await source.wait_caught_up()
        for number in range(20):
            bucket.delete(f"trip/{number:04}.jpg")
        await source.wait_caught_up()
        assert len(lake.files) == 80
        for number in range(20, 60):
            bucket.delete(f"trip/{number:04}.jpg")
        assert (await source.request_scan()).held_back == 40
        assert len(lake.files) == 80 and "--accept-removals" in source.status.hint
        assert (await source.request_scan(accept_removals=True)).removed == 40
        assert holds_the_same(bucket, lake) and not source.status.problem


async def test_a_bucket_that_is_empty_all_of_a_sudden_loses_nothing_however_few_it_held() -> None:
    bucket, lake = filled(3)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        bucket.objects.clear()
        assert (await source.request_scan()).held_back == 3
        assert len(lake.files) == 3
        assert (await source.request_scan(accept_removals=True)).removed == 3
        assert not lake.files


async def test_deletions_that_events_told_of_are_no_surprise_even_while_their_jobs_wait() -> None:
    bucket, lake = filled(100)
    ways: list[FakeWay] = []
    async with alive(bucket, lake, watch=FEW, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        await source.wait_caught_up()
        lake.is_slow = True
        gone = [f"trip/{number:04}.jpg" for number in range(90)]
        for key in gone:
            bucket.delete(key)
        await ways[0].tell(Change.REMOVED, *gone)
        for _ in range(3):
            summary = await source.request_scan()
            assert summary.held_back == 0 and summary.removed == 90
        forged = [f"nothing/{number}" for number in range(1000)]
        await ways[0].tell(Change.REMOVED, *forged)
        lake.work()
        bucket.objects.clear()
        assert (await source.request_scan()).held_back == 10, "forged deletions hid real losses"


async def test_a_prefix_that_was_renamed_is_no_loss() -> None:
    bucket, lake = filled(100)
    async with alive(bucket, lake, watch=FEW) as source:
        await source.wait_caught_up()
        for number in range(100):
            bucket.delete(f"trip/{number:04}.jpg")
            bucket.put(f"journey/{number:04}.jpg", b"%d" % number, at=1_700_000_500)
        assert (await source.request_scan()).held_back == 0
        assert holds_the_same(bucket, lake)


async def test_what_is_put_while_the_listing_runs_is_not_counted_as_lost() -> None:
    bucket, lake = filled(20, page=5)
    ways: list[FakeWay] = []
    loop = asyncio.get_running_loop()

    def put_behind_its_back(page: int) -> None:
        if page == 2:
            for number in range(10):
                bucket.put(f"aaa/{number}")
            news = ways[0].tell(Change.ADDED, *(f"aaa/{number}" for number in range(10)))
            asyncio.run_coroutine_threadsafe(news, loop).result(60)

    async with alive(bucket, lake, watch=FEW, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        await source.wait_caught_up()
        bucket.on_page = put_behind_its_back
        summary = await source.request_scan()
        assert summary.held_back == 0 and holds_the_same(bucket, lake)


async def test_a_listing_that_breaks_off_removes_nothing_and_the_root_is_away_until_it_is_back() -> None:
    bucket, lake = filled(100, page=10)
    async with alive(bucket, lake, watch=WatchConfig(removal_share=1.0)) as source:
        await source.wait_caught_up()
        lake.events.clear()

        def fail(page: int) -> None:
            bucket.away = "does not answer" if page == 3 else bucket.away

        bucket.on_page = fail
        for number in range(100):
            bucket.delete(f"trip/{number:04}.jpg") if number % 2 else None
        with pytest.raises(RootAway):
            await source.wait_caught_up()
        assert not lake.events and source.status.state == "away" and "does not answer" in source.status.reason
        with pytest.raises(RootAway):
            await source.look("trip/0000.jpg")
        bucket.on_page, bucket.away = lambda page: None, ""
        await until(lambda: source.status.state == "present")
        await source.wait_caught_up()
        assert holds_the_same(bucket, lake)


async def test_an_object_is_not_said_to_be_gone_by_a_bucket_that_is_gone() -> None:
    bucket, lake = filled(1)
    async with alive(bucket, lake, present_s=60) as source:
        await source.wait_caught_up()
        bucket.head = lambda key: None  # type: ignore[method-assign]  # what a server says of a bucket it does not have
        bucket.away = "does not exist"
        with pytest.raises(RootAway):
            await source.look("trip/0000.jpg")
        await until(lambda: source.status.state == "away")


async def test_another_bucket_under_the_same_name_is_away_until_a_person_says_so() -> None:
    bucket, lake = filled(10)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
    other = FakeBucket()
    other.put("else.txt")
    moved = replace(SETTINGS, bucket="others")
    async with alive(other, lake, moved) as source:
        await until(lambda: source.status.state == "away")
        assert len(lake.files) == 10 and "--accept-removals" in source.status.hint
        lake.bucket = other
        await source.request_scan(accept_removals=True)
        assert holds_the_same(other, lake)
    async with alive(other, lake, replace(moved, endpoint="http://127.0.0.1:2")) as source:
        await source.wait_caught_up()  # the same objects at another address are the same bucket


async def test_whoever_waits_to_hear_of_a_bucket_hears_when_it_is_not_watched_any_more() -> None:
    bucket, lake = filled(1)
    is_over = threading.Event()
    bucket.require = is_over.wait  # type: ignore[method-assign, assignment]  # its server takes long to answer
    async with alive(bucket, lake) as source:
        asked = asyncio.create_task(source.look("trip/0000.jpg"))
        await asyncio.sleep(0.05)
        assert not asked.done()
    is_over.set()
    async with asyncio.timeout(60):
        with pytest.raises(RootAway):
            await asked
        with pytest.raises(RootAway):
            await source.wait_caught_up()


async def test_who_says_that_files_were_deleted_is_not_kept_waiting_by_a_bucket_that_is_not_watched_any_more() -> None:
    """A reload that stops another root, which hangs, still lists this one for seconds."""
    bucket, lake = filled(1)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
    async with asyncio.timeout(60):
        with pytest.raises(RootAway):
            await source.request_scan(accept_removals=True)


async def test_what_is_lost_from_a_part_while_all_keys_are_listed_counts_for_the_next_loss() -> None:
    bucket, lake = filled(20)
    for number in range(10):
        bucket.put(f"other/{number}.jpg")
    async with alive(bucket, lake, watch=FEW) as source:
        await source.wait_caught_up()
        has_begun, may_go_on, is_first = threading.Event(), threading.Event(), iter([True])

        def stop_the_first(number: int) -> None:
            if next(is_first, False):
                has_begun.set()
                assert may_go_on.wait(60)

        bucket.on_page = stop_the_first
        listing = asyncio.create_task(source.request_scan())
        assert await asyncio.to_thread(has_begun.wait, 60)
        for number in range(5):
            bucket.delete(f"trip/{number:04}.jpg")
        assert (await source.request_scan("trip")).removed == 5
        may_go_on.set()
        assert (await listing).held_back == 0
        for number in range(5):
            bucket.delete(f"other/{number}.jpg")
        assert (await source.request_scan("other")).held_back == 5
        assert len(lake.files) == 25


async def test_a_persons_word_is_good_for_now_and_not_for_the_day_the_bucket_is_back() -> None:
    bucket, lake = filled(10)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        bucket.away = "does not answer"
        await until(lambda: source.status.state == "away")
        async with asyncio.timeout(60):
            with pytest.raises(RootAway, match="does not answer"):
                await source.request_scan(accept_removals=True)
        bucket.objects.clear()
        bucket.away = ""
        await until(lambda: source.status.state == "present")
        assert (await source.request_scan()).held_back == 10 and len(lake.files) == 10


async def test_a_bucket_that_is_busy_is_there_and_its_listing_goes_on() -> None:
    bucket, lake = filled(30, page=10)

    def busy() -> None:
        raise Busy("has too much to do")

    async with alive(bucket, lake, present_s=0.01) as source:
        await source.wait_caught_up()
        bucket.put("late.jpg")
        go_on = threading.Event()
        bucket.on_page = lambda number: go_on.wait(60) and None
        listing, quiet = asyncio.create_task(source.request_scan()), bucket.require
        bucket.require = busy  # type: ignore[method-assign]
        await asyncio.sleep(0.2)
        assert source.status.state == "present" and not listing.done()
        bucket.require = quiet  # type: ignore[method-assign]
        go_on.set()
        assert (await listing).added == 1


@pytest.mark.parametrize("where", ["versions", "count"])
async def test_a_queue_that_is_damaged_is_no_bucket_that_is_away(where: str) -> None:
    bucket, lake = filled(3)
    lake.files["old"] = Version(1, 1, 0)
    lake.identities["b"] = "another"

    def damaged(*_: object) -> NoReturn:
        raise QueueDamaged("not a database")

    setattr(lake, where, damaged)
    if where == "versions":
        lake.identities.clear()
    source = BucketSource(
        SETTINGS, WatchConfig(), ObjectsConfig(timeout_s=5), bucket, lake, lake.emit, SystemClock(), memory=lake
    )  # type: ignore[arg-type]
    with pytest.RaisesGroup(QueueDamaged, flatten_subgroups=True):
        async with asyncio.timeout(60):
            await source.run()


async def test_a_gap_leads_to_one_rescan_however_often_a_way_flaps() -> None:
    bucket, lake = filled(1)
    ways: list[FakeWay] = []
    async with alive(bucket, lake, gap_s=0.3, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        await until(lambda: source.status.last_scan is not None)
        assert bucket.listings == 1, "the first rescan covers the first connect"
        bucket.put("unheard.jpg")
        for _ in range(100):
            ways[0].connect()
        assert source.scan_due("unheard.jpg")
        await until(lambda: holds_the_same(bucket, lake))
        assert bucket.listings == 2


async def test_what_no_way_told_of_counts_as_missed_if_one_was_connected() -> None:
    bucket, lake = filled(3)
    ways: list[FakeWay] = []
    async with alive(bucket, lake, late_s=0.0, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        late = Late(source)
        await source.wait_caught_up()
        assert source.status.missed is None
        await source.wait_caught_up()
        bucket.put("told.jpg")
        lake.is_slow = True
        await ways[0].tell(Change.ADDED, "told.jpg")
        bucket.put("untold.jpg")
        bucket.put("late.jpg")
        await source.wait_caught_up()
        await ways[0].tell(Change.ADDED, "late.jpg")
        await late.is_over(2)
        assert source.status.missed == 1
        await source.wait_caught_up()  # all of them still wait for their jobs: they are not counted twice
        await late.is_over(1)
        assert source.status.missed == 1


async def test_what_was_removed_in_silence_is_missed_however_lately_it_was_put() -> None:
    bucket, lake = filled(3)
    ways: list[FakeWay] = []
    async with alive(bucket, lake, late_s=0.0, make_ways=lambda *to: ways.append(FakeWay(*to)) or ways) as source:
        late = Late(source)
        await source.wait_caught_up()
        await source.wait_caught_up()
        new = ("silent.jpg", "also.jpg", "told.jpg", "late.jpg")
        for key in new:
            bucket.put(key)
        await ways[0].tell(Change.ADDED, *new)
        for key in new:
            bucket.delete(key)
        await ways[0].tell(Change.REMOVED, "told.jpg")
        assert (await source.request_scan()).removed == 3
        await ways[0].tell(Change.REMOVED, "late.jpg")
        await late.is_over(2)
        assert source.status.missed == 2


def test_an_event_that_comes_after_yet_another_rescan_began_is_late_and_not_missed() -> None:
    told = Told()
    told.hear("put before", is_removal=False)
    told.turn()
    began = told.turns
    told.hear("late", is_removal=False)
    told.turn()
    assert told.was_heard(hash("late"), began) and not told.was_heard(hash("put before"), began)


async def test_a_sender_hears_ok_only_when_its_events_are_durable() -> None:
    bucket, lake = filled(1)
    ways: list[FakeWay] = []
    is_full = True

    async def emit(events: object) -> None:
        if is_full:
            raise OutOfSpace("the disk is full")

    make_ways = lambda *to: ways.append(FakeWay(*to)) or ways  # noqa: E731
    lake.emit = emit  # type: ignore[method-assign, assignment]
    async with alive(bucket, lake, emit_retry_s=0.02, make_ways=make_ways) as source:
        await until(lambda: ways[0].state.is_connected)
        told = asyncio.create_task(ways[0].tell(Change.ADDED, "trip/0000.jpg"))
        await until(lambda: source.waiting("trip/0000.jpg"))
        assert not told.done() and "full" in source.status.problem
        is_full = False
        await told
        assert not source.waiting("trip/0000.jpg")


async def test_the_answer_to_a_scan_of_an_away_root_names_it_once() -> None:
    bucket, lake = filled(1)
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        bucket.away = "is off"
        assert (await orders._scan_one(source, False)).problem.startswith("is away: ")


async def test_a_scan_of_a_directory_looks_at_nothing_else() -> None:
    bucket, lake = filled(4)
    bucket.put("other/x")
    async with alive(bucket, lake) as source:
        await source.wait_caught_up()
        for key in ("trip/0000.jpg", "other/x"):
            bucket.delete(key)
        bucket.put("trip/new.jpg")
        bucket.put("other/new")
        assert (await source.request_scan("trip")).removed == 1
        assert "trip/new.jpg" in lake.files and "trip/0000.jpg" not in lake.files
        assert "other/x" in lake.files and "other/new" not in lake.files


async def test_labels_are_those_of_the_version_that_was_looked_at() -> None:
    bucket, lake = filled(1)
    path = "trip/0000.jpg"
    async with alive(bucket, lake) as source:
        before = await source.look(path)
        bucket.label[path] = (("album", "summer"),)
        after = await source.look(path)
        assert before and after and before.is_like(after) and not before.is_same_as(after)
        assert (await source.labels(path)).tags == (("album", "summer"),)
        assert (await source.labels("trip/nothing.jpg")).tags == ()


def test_memory_of_what_was_told_is_bounded_and_says_when_it_forgot() -> None:
    told = Told(limit=10)
    for number in range(10):
        told.hear(str(number), is_removal=True)
    assert told.is_whole and "3" in told and "x" not in told
    told.hear("x", is_removal=True)
    assert not told.is_whole and "x" not in told
    told.turn()
    assert "3" in told and told.is_no_surprise("3") and not told.is_whole
    told.turn()
    assert "3" not in told and told.is_whole


def test_memory_grows_by_a_few_bytes_for_each_key() -> None:
    class Endless(FakeBucket):
        def pages(self, *, prefix: str | None = None) -> Iterator[list[ObjectInfo]]:
            for at in range(0, 100_000, 1000):
                yield [ObjectInfo(f"flat-{at + n:060}", 1, "e", 1) for n in range(1000)]

    bucket = Endless()
    lake = Lake(bucket)
    lake.files["another"] = Version(1, 1, 0)
    names = Names(SETTINGS, WatchConfig())
    tracemalloc.start()
    try:
        comparer = Comparer("b", bucket, names, lake, Told(), RemovalGuard(), SystemClock())  # type: ignore[arg-type]
        comparison = comparer.compare("", ScanOptions(), lambda summary: None)
        assert sum(map(len, comparison)) == 100_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20, f"{peak:,} bytes; their paths alone are 12 MB"
