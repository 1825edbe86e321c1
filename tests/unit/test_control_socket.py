"""The control socket: peers that lie, stall and vanish; sockets that are stale, alive, or too long for the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lakewatchd import control, errors
from lakewatchd.control import MAX_CLIENTS, MAX_REQUEST_BYTES, ControlServer, announced, ask
from lakewatchd.testing import wait_until

Json = dict[str, Any]


async def _echo(args: Json) -> Json:
    return args


async def _refuse(args: Json) -> Json:
    raise errors.RootAway("photos is unmounted", "mount it")


async def _bug(args: Json) -> Json:
    return {"x": 1 / 0}


async def _forever(args: Json) -> Json:
    await asyncio.Event().wait()
    return {}


HANDLERS = {"echo": _echo, "refuse": _refuse, "bug": _bug, "forever": _forever}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(tmp_path / "run" / "control.sock", HANDLERS)
    await server.start()
    yield server
    await server.close()


async def raw(path: Path, data: bytes) -> bytes:
    """What the server says to a peer that sends ``data`` and then listens until it is cut off."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 22)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_asks_and_answers(server: ControlServer) -> None:
    args = {"text": "line\nbreak \udcff €", "number": 7, "nothing": None}
    assert await asyncio.to_thread(ask, server.path, "echo", **args) == args


async def test_an_error_of_the_daemon_reaches_the_asker_with_its_class_and_hint(server: ControlServer) -> None:
    with pytest.raises(errors.RootAway, match="photos is unmounted") as caught:
        await asyncio.to_thread(ask, server.path, "refuse")
    assert caught.value.hint == "mount it"


async def test_a_bug_in_a_handler_is_an_answer_and_the_next_question_works(server: ControlServer) -> None:
    with pytest.raises(errors.LakewatchError, match="internal error"):
        await asyncio.to_thread(ask, server.path, "bug")
    assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}


@pytest.mark.parametrize(
    "garbage",
    [b"\n", b"\xff\xfe\n", b"[]\n", b"7\n", b'{"op": 3}\n', b'{"op": "nope"}\n', b'{"op": ["echo"]}\n',
     b'{"op": "echo", "args": 5}\n', b"[" * 50_000 + b"\n"],
)  # fmt: skip
async def test_garbage_is_refused_in_words(server: ControlServer, garbage: bytes) -> None:
    answer = json.loads(await raw(server.path, garbage))
    assert "not a request" in answer["message"]
    assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}


async def test_an_endless_line_is_cut_off(server: ControlServer) -> None:
    assert b"too long" in await raw(server.path, b"x" * (MAX_REQUEST_BYTES + 2))


async def test_half_a_request_gets_no_answer(server: ControlServer) -> None:
    assert await raw(server.path, b'{"op": "echo"}') == b""


async def test_a_silent_peer_is_cut_off(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / "s", HANDLERS, request_s=0.01)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    assert await reader.read() == b""
    writer.close()
    await server.close()


async def test_close_ends_running_requests(tmp_path: Path) -> None:
    running = asyncio.Event()

    async def forever(args: Json) -> Json:
        running.set()
        return await _forever(args)

    server = ControlServer(tmp_path / "s", {"forever": forever})
    await server.start()
    asking = asyncio.create_task(asyncio.to_thread(ask, server.path, "forever"))
    await running.wait()
    await server.close()
    with pytest.raises(errors.DaemonDown):
        await asking
    assert not server.path.exists()


async def test_only_user_and_group_may_connect(server: ControlServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660


async def test_a_live_socket_is_not_stolen(server: ControlServer) -> None:
    with pytest.raises(errors.AlreadyRunning):
        await ControlServer(server.path, HANDLERS).start()
    assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = ControlServer(path, HANDLERS)
    await server.start()
    assert await asyncio.to_thread(ask, path, "echo", a=1) == {"a": 1}
    await server.close()


async def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(errors.ConfigError):
        await ControlServer(path, HANDLERS).start()
    assert path.read_text() == "mine"


async def test_close_leaves_the_socket_of_a_successor(server: ControlServer) -> None:
    server.path.unlink()
    successor = ControlServer(server.path, HANDLERS)
    await successor.start()
    await server.close()
    assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}
    await successor.close()


async def test_a_path_longer_than_the_kernel_allows(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 200) / "s"
    server = ControlServer(path, HANDLERS)
    await server.start()
    assert len(os.fsencode(path)) > 200
    assert await asyncio.to_thread(ask, path, "echo", a=1) == {"a": 1}
    await server.close()
    with pytest.raises(errors.DaemonDown):
        ask(path, "echo")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(errors.DaemonDown) as caught:
        ask(tmp_path / "none" / "s", "status")
    assert caught.value.exit_code == 3


def test_before_and_after_it_listens_a_daemon_is_not_said_to_be_down(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s"
    # Two of them: the second will be refused in a moment, and does not wait for that.
    with announced(path), announced(path), pytest.raises(errors.DaemonDown, match="starting"):
        ask(path, "status")
    with pytest.raises(errors.DaemonDown, match="not running"):
        ask(path, "status")


def test_many_who_ask_at_once_do_not_take_each_other_for_a_daemon(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with announced(path):
        pass

    def said(_: int) -> set[str]:
        return {control.absence(path).message for _ in range(500)}

    with ThreadPoolExecutor(8) as crowd:
        assert set[str]().union(*crowd.map(said, range(8))) == {f"the daemon is not running (nobody listens on {path})"}


async def test_a_successor_with_the_inode_of_its_predecessor_keeps_its_socket(tmp_path: Path) -> None:
    """File systems give the number of a removed file to the next one."""
    server = ControlServer(tmp_path / "s", HANDLERS)
    await server.start()
    successor = ControlServer(server.path, HANDLERS)

    async def asking(args: Json) -> Json:
        try:
            return await _forever(args)
        finally:  # while the other one closes, and listens no more
            await successor.start()
            server._inode = successor._inode

    server.handlers = {"forever": asking}
    running = asyncio.create_task(asyncio.to_thread(ask, server.path, "forever"))
    await until(lambda: bool(server._clients) and not server._silent)
    await server.close()
    with pytest.raises(errors.DaemonDown):
        await running
    assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}
    await successor.close()


async def test_someone_else_there(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 smtp ready\n")
        writer.close()

    async with await asyncio.start_unix_server(talk, str(tmp_path / "s")):
        with pytest.raises(errors.LakewatchError, match="not lakewatchd"):
            await asyncio.to_thread(ask, tmp_path / "s", "status")


async def test_a_daemon_that_never_answers(server: ControlServer) -> None:
    with pytest.raises(errors.TimedOut):
        await asyncio.to_thread(ask, server.path, "forever", timeout_s=0.01)


# --- many, hostile, gone -------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition)


async def test_whoever_leaves_while_waiting_frees_the_handler_at_once(tmp_path: Path) -> None:
    waiting = set[object]()

    async def forever(args: Json) -> Json:
        waiting.add(me := object())
        try:
            return await _forever(args)
        finally:
            waiting.discard(me)

    server = ControlServer(tmp_path / "s", {"forever": forever, "echo": _echo})
    await server.start()
    for _ in range(3):  # three times as many as there is room for
        peers = [await asyncio.open_unix_connection(str(server.path)) for _ in range(MAX_CLIENTS)]
        for _, writer in peers:
            writer.write(b'{"op": "forever"}\n')
        await until(lambda: len(waiting) == MAX_CLIENTS)
        with pytest.raises(errors.Busy, match="others wait"):
            await asyncio.to_thread(ask, server.path, "echo", a=1)
        for _, writer in peers:
            writer.close()
        await until(lambda: not waiting)
        assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}
    await server.close()


async def test_a_client_that_only_closed_its_sending_side_gets_its_answer(tmp_path: Path) -> None:
    async def slow(args: Json) -> Json:
        await asyncio.sleep(control.GONE_S * 2)
        return {"late": True}

    server = ControlServer(tmp_path / "s", {"slow": slow})
    await server.start()
    assert json.loads(await raw(server.path, b'{"op": "slow"}\n')) == {"ok": {"late": True}}
    await server.close()


async def test_a_crowd_that_says_nothing_keeps_nobody_out(server: ControlServer) -> None:
    """Connections that stay open, each with half a request, many times as many as there is room for."""
    peers = []
    for number in range(10 * MAX_CLIENTS):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(server.path))
        with contextlib.suppress(BrokenPipeError):  # it had to make room already
            peer.send(b'{"op": ')
        peers.append(peer)
        if number % 50 == 0:  # the server runs in this very thread
            await asyncio.sleep(0)
    assert await asyncio.to_thread(ask, server.path, "echo", a=1) == {"a": 1}
    assert len(server._clients) <= MAX_CLIENTS
    for peer in peers:
        peer.close()
    await until(lambda: not server._clients)


async def test_an_answer_that_nobody_reads_costs_a_bounded_time(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def huge(args: Json) -> Json:
        asked.set()
        return {"x": "x" * (8 << 20)}

    server = ControlServer(tmp_path / "s", {"huge": huge, "echo": _echo}, request_s=2.0)
    await server.start()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(server.path))
        deaf.send(b'{"op": "huge"}\n')
        await asked.wait()  # not looked for among the clients: it is there for two seconds only
        await until(lambda: not server._clients)
    await server.close()


async def test_the_socket_is_given_to_the_configured_group(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid())
    server = ControlServer(tmp_path / "run" / "s", HANDLERS, group.gr_name)
    await server.start()
    assert (server.path.group(), server.path.parent.group()) == (group.gr_name, group.gr_name)
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660
    await server.close()
    with pytest.raises(errors.ConfigError, match="no group 'nobody-has-this'"):
        await ControlServer(tmp_path / "t", HANDLERS, "nobody-has-this").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_a_stranger_is_told_whose_daemon_it_is() -> None:
    code = (
        "import grp, os, pwd, sys; from pathlib import Path; from lakewatchd import errors\n"
        "from lakewatchd.control import ask; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: ask(Path(sys.argv[1]), 'echo')\n"
        "except errors.NotReadable as e: print(e.message, '|', e.hint)"
    )
    # Not below tmp_path: pytest closes its own directories whenever another of it starts.
    with tempfile.TemporaryDirectory(prefix="lakewatchd-test-") as base:
        server = ControlServer(Path(base, "run", "control.sock"), HANDLERS)
        await server.start()
        for place in (server.path.parent, Path(base)):
            place.chmod(0o711)
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, server.path], capture_output=True, text=True, check=False
        )
        await server.close()
    assert done.stdout.startswith("nobody may not talk to the daemon at "), done.stderr
    assert "it belongs to root: sudo lakewatchd" in done.stdout
