"""A child may crash, hang, lie or be killed: the caller gets an answer, and the next call works."""

import asyncio
import json
import os
import signal
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lakewatchd import child as child_module
from lakewatchd import errors
from lakewatchd.child import Child, ChildPool, Largest, Limits

PROGRAM = """
import os, signal, struct, sys, time
from lakewatchd import errors
from lakewatchd.child import serve

def operations(parent):
    def fail(args, blobs):
        raise getattr(errors, args["name"])("words", hint="do this")
    def say(args, blobs):
        os.write(int(sys.argv[2]), bytes.fromhex(args["frame"]))
        time.sleep(0.1)
    def notes(args, blobs):
        parent.note({"step": 1}), parent.note({"step": 2})
        return {}, ()
    def sums(args, blobs):
        answers = [parent.ask({"number": n})["twice"] for n in range(args["count"])]
        return {"sum": sum(answers)}, ()
    if os.environ.get("NO_START"):
        raise errors.ModelUnavailable("no weights", hint="fetch them")
    if os.environ.get("DIE_AT_START"):
        os._exit(3)
    return {
        "echo": lambda args, blobs: ({"args": args, "pid": os.getpid()}, blobs),
        "fail": fail, "say": say, "notes": notes, "sums": sums,
        "hang": lambda args, blobs: time.sleep(3600),
        "exit": lambda args, blobs: os._exit(7),
        "crash": lambda args, blobs: os.kill(os.getpid(), signal.SIGSEGV),
        "eat": lambda args, blobs: (({}, ()) if bytearray(4 << 30) else None),
        "bug": lambda args, blobs: 1 / 0,
    }

if __name__ == "__main__":
    sys.exit(serve(operations))
"""

MakeChild = Callable[..., Child]


@pytest.fixture
async def make_child(tmp_path: Path) -> AsyncIterator[MakeChild]:
    (tmp_path / "odd_child.py").write_text(PROGRAM)
    children = []

    def make(**env: str) -> Child:
        path = f"{tmp_path}{os.pathsep}{Path(errors.__file__).parents[1]}"
        children.append(Child("odd_child", Limits(memory_bytes=1 << 30), {"PYTHONPATH": path, **env}))
        return children[-1]

    yield make
    for child in children:
        await child.close()


async def is_usable(child: Child) -> bool:
    reply = await child.call("echo", {"a": 1}, (b"blob", b""))
    return reply.header["args"] == {"a": 1} and reply.blobs == (b"blob", b"")


async def test_no_module_is_taken_from_where_somebody_stands(
    make_child: MakeChild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "socket.py").write_text("raise SystemExit('run, because it lay here')")
    monkeypatch.chdir(tmp_path / "downloads")
    assert await is_usable(make_child())


async def test_one_process_answers_many_calls(make_child: MakeChild) -> None:
    child = make_child()
    first, second = [await child.call("echo", {"text": "\udcff\n\\"}) for _ in range(2)]
    assert first.header == second.header
    assert first.header["args"] == {"text": "\udcff\n\\"}


async def test_large_blobs_arrive_whole(make_child: MakeChild) -> None:
    blob = os.urandom(3_000_000)
    reply = await make_child().call("echo", blobs=(blob, memoryview(blob)[::1]))
    assert reply.blobs == (blob, blob)


@pytest.mark.parametrize("name", ["DamagedMedia", "TooLarge", "Busy", "ModelUnavailable"])
async def test_errors_travel_and_the_child_lives_on(make_child: MakeChild, name: str) -> None:
    child = make_child()
    await child.start()
    pid = child.pid
    with pytest.raises(getattr(errors, name)) as caught:
        await child.call("fail", {"name": name})
    assert (caught.value.message, caught.value.hint) == ("words", "do this")
    assert await is_usable(child) and child.pid == pid


async def test_a_hang_ends_at_its_deadline(make_child: MakeChild) -> None:
    child = make_child()
    await child.start()
    pid = child.pid
    with pytest.raises(errors.TimedOut):
        await child.call("hang", deadline_s=0.2)
    assert child.pid is None
    with pytest.raises(ProcessLookupError):
        while True:  # it is killed, which may take a moment
            os.kill(pid or 0, 0)
            await asyncio.sleep(0.01)
    assert await is_usable(child)


@pytest.mark.parametrize(("op", "words"), [("exit", "status 7"), ("crash", "SIGSEGV"), ("bug", "status 1")])
async def test_a_death_says_how(make_child: MakeChild, op: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    child = make_child()
    with pytest.raises(errors.WorkerDied, match=words):
        await child.call(op)
    said = [record.getMessage() for record in caplog.records if record.name == "lakewatchd.child"]
    assert [words in line for line in said] == [True], "and the log says it once"
    assert await is_usable(child)


async def test_killed_from_outside_while_idle_or_busy(make_child: MakeChild) -> None:
    child = make_child()
    for busy in (False, True):
        await child.start()
        call = asyncio.ensure_future(child.call("hang")) if busy else None
        await asyncio.sleep(0)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        if call:
            with pytest.raises(errors.WorkerDied, match="SIGKILL"):
                await call
        while child.pid is not None:  # noqa: ASYNC110 - until it is heard of, the number may be another process's
            await asyncio.sleep(0.01)
        assert await is_usable(child)


async def test_memory_is_limited(make_child: MakeChild) -> None:
    child = make_child()
    with pytest.raises(errors.TooLarge):
        await child.call("eat")
    assert await is_usable(child)


async def test_a_cancelled_call_leaves_no_half_read_answer(make_child: MakeChild) -> None:
    child = make_child()
    await child.start()
    call = asyncio.ensure_future(child.call("hang"))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await is_usable(child)


def frame(header: object) -> str:
    raw = json.dumps(header).encode()
    return (struct.pack("!I", len(raw)) + raw).hex()


@pytest.mark.parametrize(
    "lie",
    [
        "ffffffff",
        frame({"blobs": [Largest().blob_bytes, 1]}),
        frame({"blobs": [-1]}),
        frame({"blobs": "many"}),
        frame({}),
        frame([1]),
        frame("text"),
        struct.pack("!I", 5).hex() + b"\xff\xfe{}x".hex(),
        struct.pack("!I", 100_000).hex() + (b"[" * 100_000).hex(),
    ],
)
async def test_a_child_that_breaks_the_protocol_is_replaced(make_child: MakeChild, lie: str) -> None:
    child = make_child()
    with pytest.raises(errors.WorkerDied):
        await child.call("say", {"frame": lie}, deadline_s=60)
    assert await is_usable(child)


async def test_a_child_may_not_invent_errors(make_child: MakeChild) -> None:
    for name in ("SystemExit", "annotations", "__doc__"):
        child = make_child()
        with pytest.raises(errors.DamagedMedia):
            await child.call("say", {"frame": frame({"error": name, "message": "x", "blobs": []})})


async def test_notes_arrive_before_the_answer(make_child: MakeChild) -> None:
    child, heard = make_child(), []
    child.on_note = lambda note: heard.append(note["step"])
    await child.call("notes")
    assert heard == [1, 2]


async def test_loading_errors_are_told_at_the_start(make_child: MakeChild) -> None:
    child = make_child(NO_START="1")
    for _ in range(2):
        with pytest.raises(errors.ModelUnavailable, match="no weights"):
            await child.start()
    with pytest.raises(errors.WorkerDied, match="status 3"):
        await make_child(DIE_AT_START="1").start()


async def test_sigterm_to_the_group_does_not_end_a_working_child(make_child: MakeChild) -> None:
    child = make_child()
    await child.start()
    pid = child.pid
    os.kill(pid or 0, signal.SIGTERM)
    assert await is_usable(child) and child.pid == pid


async def test_a_child_gains_no_rights(make_child: MakeChild) -> None:
    child = make_child()
    await child.start()
    status = Path(f"/proc/{child.pid}/status").read_text()  # noqa: ASYNC240 - /proc does not block
    assert "NoNewPrivs:\t1" in status


async def test_a_pool_hands_out_idle_children(make_child: MakeChild) -> None:
    pool = ChildPool((make_child(), make_child()))
    async with pool.borrow() as one, pool.borrow() as other:
        assert one is not other
        assert await is_usable(one) and await is_usable(other)
    assert len(pool.pids) == 2
    await pool.close()
    assert pool.pids == []


async def test_who_waits_for_a_child_gets_the_next_one(make_child: MakeChild) -> None:
    pool, turns = ChildPool((make_child(),)), list[str]()

    async def user(name: str, times: int) -> None:
        for _ in range(times):
            async with pool.borrow():
                turns.append(name)
                await asyncio.sleep(0)

    await asyncio.gather(user("greedy", 50), user("patient", 1))
    assert turns[1] == "patient"
    await pool.close()


async def twice(question: dict[str, object]) -> dict[str, object]:
    await asyncio.sleep(0)
    assert isinstance(question["number"], int)
    return {"twice": 2 * question["number"]}


async def test_a_child_asks_back(make_child: MakeChild) -> None:
    child = make_child()
    assert (await child.call("sums", {"count": 100}, responder=twice)).header["sum"] == 9900
    assert (await child.call("echo", {"a": 1})).header["args"] == {"a": 1}


async def test_the_deadline_rests_while_the_child_waits_for_an_answer(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, thought_s = asyncio.get_running_loop(), 0.0
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + thought_s)

    async def slowly(question: dict[str, object]) -> dict[str, object]:
        nonlocal thought_s
        thought_s += 100.0
        return await twice(question)

    child = make_child()
    await child.start()
    assert (await child.call("sums", {"count": 3}, deadline_s=60, responder=slowly)).header["sum"] == 6
    with pytest.raises(errors.TimedOut):
        await child.call("hang", deadline_s=0.1, responder=slowly)


async def test_a_question_where_none_is_answered_breaks_the_protocol(make_child: MakeChild) -> None:
    child = make_child()
    with pytest.raises(errors.WorkerDied, match="protocol"):
        await child.call("sums", {"count": 1})
    assert (await child.call("echo", {"a": 1})).header["args"] == {"a": 1}


async def test_cancelled_while_the_child_waits_for_an_answer(make_child: MakeChild) -> None:
    asked = asyncio.Event()

    async def never(question: dict[str, object]) -> dict[str, object]:
        asked.set()
        await asyncio.sleep(3600)
        raise AssertionError

    child = make_child()
    call = asyncio.ensure_future(child.call("sums", {"count": 1}, responder=never))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert child.pid is None
    assert (await child.call("sums", {"count": 2}, responder=twice)).header["sum"] == 2


async def test_one_that_takes_its_time_to_die_is_not_left_behind(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a busy machine: only what waits in the kernel waits for a disk."""
    monkeypatch.setattr(child_module, "_DEATH_S", 0.0)
    child = make_child()
    with pytest.raises(errors.TimedOut):
        await child.call("hang", deadline_s=0.1)
    assert child.stuck == [] and child.pid is None
