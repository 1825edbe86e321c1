"""Threads that may be left behind, and scans that wait for their turn."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lakewatchd.core.job import Priority
from lakewatchd.errors import RootAway, TimedOut
from lakewatchd.sources.known import ScanSummary
from lakewatchd.sources.requests import ScanRequests
from lakewatchd.sources.worker import Worker


async def test_calls_share_one_thread_and_keep_their_order() -> None:
    worker, order = Worker("t"), list[int]()
    threads = await asyncio.gather(
        *(worker.run(lambda i=i: (order.append(i), threading.get_ident())[1]) for i in range(50))
    )
    assert len(set(threads)) == 1 and order == list(range(50))
    worker.close()


async def test_a_hung_call_is_left_behind() -> None:
    worker, release = Worker("t"), threading.Event()
    with pytest.raises(TimedOut):
        await worker.run_within(0.01, release.wait)
    assert await worker.run_within(60, lambda: 7) == 7
    release.set()
    worker.close()


async def test_errors_go_to_the_caller_and_the_thread_lives_on() -> None:
    worker = Worker("t")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    with pytest.raises(RuntimeError):
        await worker.run(next, iter(()))
    assert await worker.run(lambda: 1) == 1
    worker.close()


async def test_the_most_urgent_first_and_one_scan_for_all_who_ask() -> None:
    requests = ScanRequests()
    slow = requests.add("a", Priority.BACKFILL)
    first = requests.add("b", Priority.FRESH)
    assert requests.add("a", Priority.CHANGED, accept_removals=True) is slow and requests.accepts_removals
    assert await requests.next() is first
    again = requests.add("b", Priority.FRESH)
    assert again is not first  # that scan began before this was asked
    requests.finish(first, ScanSummary("r", "b", 0.0))
    assert first.done.done() and not again.done.done()
    assert await requests.next() is again and await requests.next() is slow
    assert await requests.next(0.0) is None


async def test_a_broken_off_scan_is_run_again_for_the_same_waiters() -> None:
    requests = ScanRequests()
    first = requests.add("", Priority.ASKED)
    await requests.next()
    requests.requeue()
    second = await requests.next()
    assert second is not None
    requests.finish(second, ScanSummary("r", "", 0.0))
    assert (await first.done).root == "r"


async def test_a_root_that_goes_away_fails_all_but_the_answer_to_it() -> None:
    requests = ScanRequests()
    plain, answer = requests.add("a", Priority.ASKED), requests.add("", Priority.ASKED, accept_removals=True)
    requests.fail_all(RootAway("gone"), keep_accepting=True)
    with pytest.raises(RootAway):
        await plain.done
    assert not answer.done.done() and requests.open == [answer]
    requests.fail_all(RootAway("gone"))
    assert requests.open == []


async def test_what_hangs_is_counted_and_bounded() -> None:
    release, begun = threading.Event(), list[int]()
    worker = Worker("stuck", limit=2)

    def hang() -> None:
        begun.append(1)
        release.wait()

    while len(begun) < 2:  # a thread that had not begun in time does not begin any more, and ends
        with pytest.raises(TimedOut):
            await worker.run_within(0.02, hang)
    assert worker.left_behind == 2 and worker.is_exhausted
    with pytest.raises(TimedOut, match="2 calls hang already"):
        await worker.run_within(60, lambda: 1)
    worker.forgive()
    assert await worker.run_within(60, lambda: 1) == 1
    release.set()
