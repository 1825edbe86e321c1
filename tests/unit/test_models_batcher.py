"""The batcher: urgent first, nobody forgotten, nobody dragged along."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd import errors
from lakewatchd.models.batcher import Batcher


class Recorder:
    """Answers ``-item``; remembers the batches; waits at ``gate`` if it is closed; fails on items in ``lethal``."""

    def __init__(self, lethal: Sequence[int] = (), error: type[Exception] = errors.WorkerDied) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._lethal, self._error = lethal, error

    async def __call__(self, operation: str, items: Sequence[int]) -> Sequence[int]:
        self.batches.append((operation, list(items)))
        await self.gate.wait()
        if any(item in self._lethal for item in items):
            raise self._error("died")
        return [-item for item in items]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def ask_all(batcher: Batcher, count: int) -> list[object]:
    return await asyncio.gather(*(batcher.ask("a", n, 1) for n in range(count)), return_exceptions=True)


async def test_what_waits_together_goes_together_up_to_the_limit():
    run = Recorder()
    batcher = Batcher(run, {"a": 4})
    assert await asyncio.gather(*(batcher.ask("a", n, 1) for n in range(10))) == [-n for n in range(10)]
    assert [len(items) for _, items in run.batches] == [4, 4, 2]
    assert (batcher.batches, batcher.items, batcher.waiting) == (3, 10, 0)


async def test_an_urgent_request_waits_for_one_batch_at_most():
    run = Recorder()
    run.gate.clear()
    batcher = Batcher(run, {"a": 2, "b": 2})
    backfill = [asyncio.create_task(batcher.ask("a", n, 3)) for n in range(6)]
    await settle()
    urgent = asyncio.create_task(batcher.ask("b", 99, 0))
    await settle()
    run.gate.set()
    assert await urgent == -99
    assert run.batches[:2] == [("a", [0, 1]), ("b", [99])]
    assert await asyncio.gather(*backfill) == [-n for n in range(6)]


async def test_equal_priorities_are_served_in_order():
    run = Recorder()
    batcher = Batcher(run, {"a": 3})
    await asyncio.gather(*(batcher.ask("a", n, n % 2) for n in range(6)))
    assert [items for _, items in run.batches] == [[0, 2, 4], [1, 3, 5]]


async def test_a_withdrawn_request_is_not_computed():
    run = Recorder()
    run.gate.clear()
    batcher = Batcher(run, {"a": 1})
    first = asyncio.create_task(batcher.ask("a", 1, 1))
    second = asyncio.create_task(batcher.ask("a", 2, 1))
    await settle()
    second.cancel()
    await settle()
    run.gate.set()
    assert await first == -1
    await settle()
    assert run.batches == [("a", [1])]


async def test_what_kills_the_worker_fails_alone():
    run = Recorder(lethal=[2])
    results = await ask_all(Batcher(run, {"a": 4}), 6)
    assert [type(result) for result in results] == [int, int, errors.WorkerDied, int, int, int]
    assert [items for _, items in run.batches] == [[0, 1, 2, 3], [0], [1], [2], [3], [4, 5]]


async def test_a_worker_that_always_dies_is_not_started_for_every_item():
    run = Recorder(lethal=range(8))
    results = await ask_all(Batcher(run, {"a": 8}), 8)
    assert [type(result) for result in results] == [errors.WorkerDied] * 8
    assert len(run.batches) == 3


async def test_a_deadline_is_not_waited_for_item_by_item():
    run = Recorder(lethal=[0], error=errors.TimedOut)
    results = await ask_all(Batcher(run, {"a": 8}), 8)
    assert [type(result) for result in results] == [errors.TimedOut] * 8
    assert len(run.batches) == 1


async def test_every_caller_gets_an_error_of_its_own():
    batcher = Batcher(Recorder(lethal=[0, 1], error=errors.ModelUnavailable), {"a": 4})
    one, two = await asyncio.gather(*(batcher.ask("a", n, 1) for n in range(2)), return_exceptions=True)
    assert type(one) is type(two) is errors.ModelUnavailable
    assert one is not two


async def test_a_bug_reaches_who_asked_and_stops_nothing():
    batcher = Batcher(Recorder(lethal=[1], error=ZeroDivisionError), {"a": 1})
    with pytest.raises(ZeroDivisionError):
        await batcher.ask("a", 1, 1)
    assert await batcher.ask("a", 2, 1) == -2


async def test_too_few_answers_are_an_error_and_not_a_hang():
    async def run(_operation: str, items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    batcher = Batcher(run, {"a": 4})
    results = await asyncio.gather(*(batcher.ask("a", n, 1) for n in range(2)), return_exceptions=True)
    assert any(isinstance(result, ValueError) for result in results)


async def test_closing_tells_who_waits():
    run = Recorder()
    run.gate.clear()
    batcher = Batcher(run, {"a": 1})
    asked = [asyncio.create_task(batcher.ask("a", n, 1)) for n in range(3)]
    await settle()
    await batcher.close()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [errors.WorkerDied] * 3


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.booleans()), max_size=40))
def test_every_request_is_answered_once_with_its_own_answer(requests: list[tuple[str, int, bool]]):
    async def check() -> None:
        run = Recorder()
        batcher = Batcher(run, {"a": 3, "b": 5})
        tasks = [asyncio.create_task(batcher.ask(op, n, priority)) for n, (op, priority, _) in enumerate(requests)]
        await asyncio.sleep(0)
        for task, (_, _, is_withdrawn) in zip(tasks, requests, strict=True):
            if is_withdrawn:
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for n, (result, (_, _, is_withdrawn)) in enumerate(zip(results, requests, strict=True)):
            assert result == -n or (is_withdrawn and isinstance(result, asyncio.CancelledError))
        computed = [item for _, items in run.batches for item in items]
        assert len(computed) == len(set(computed))
        assert batcher.waiting == 0

    asyncio.run(check())
