"""The HTTP door: a real web process, real HTTP, and whoever may come to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from lakewatchd.buckets.records import Notice
from lakewatchd.child import Child, Json, Limits
from lakewatchd.config import Config, SearchConfig, WebConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change
from lakewatchd.daemon import web as web_module
from lakewatchd.daemon.web import Web, settings_of
from lakewatchd.errors import Busy, FatalError, QueueDamaged
from lakewatchd.sources.bucket.way import Deliver
from lakewatchd.sources.bucket.ways.webhook import Webhook
from lakewatchd.testing import wait_until
from lakewatchd.web import connection as connection_module
from lakewatchd.web.child_main import answer
from lakewatchd.web.events import WRONG_TOKEN
from tests.servers import Hook, free_ports, juicefs_gateway
from tests.webhook_subject import TOKEN, settings

WRONG = "not-the-token-at-all"


class Door:
    """The daemon's half in a thread with a loop of its own; ``deliver`` may be replaced by a test."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.kept: dict[str, list[Notice]] = {root.name: [] for root in config.buckets}
        self.gaps: list[str] = []
        self.before: Callable[[str], None] = lambda root: None
        """Called before events are kept, in the loop; may raise."""
        self.is_shut = False
        """While it is, nothing that was delivered becomes durable."""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseExceptionGroup as exc:
            self.error = exc.exceptions[0]

    async def _serve(self) -> None:
        self.loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.web = Web(self.config, SystemClock())
        self.webhooks = {
            root.name: Webhook(root, self._keeper(root.name), self.gaps.append, self.web, SystemClock())
            for root in self.config.buckets
            if root.webhook_token
        }
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.web.run())]
            running += [tasks.create_task(webhook.run()) for webhook in self.webhooks.values()]
            await self._end.wait()
            for task in running:
                task.cancel()

    def _keeper(self, root: str) -> Deliver:
        async def deliver(notices: Sequence[Notice]) -> None:
            self.before(root)
            while self.is_shut:  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.01)
            self.kept[root] += notices

        return deliver

    def __enter__(self) -> Door:
        self._thread.start()
        wait_until(lambda: hasattr(self, "webhooks") and (self.is_open or self.web.problems or self.error))
        return self

    def __exit__(self, *_: object) -> None:
        self.is_shut = False
        with contextlib.suppress(RuntimeError):  # it has ended by itself, or is about to
            self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def is_open(self) -> bool:
        return self.webhooks["photos"].state.is_connected

    @property
    def address(self) -> tuple[str, int]:
        """Where it was open last."""
        parts = urllib.parse.urlsplit(self.webhooks["photos"].state.detail)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    @property
    def open_at(self) -> tuple[str, int] | None:
        """None while it is closed."""
        state = self.webhooks["photos"].state  # once: it changes in another thread
        parts = urllib.parse.urlsplit(state.detail if state.is_connected else "")
        return (parts.hostname, parts.port) if parts.hostname and parts.port else None

    @property
    def process(self) -> psutil.Process:
        """The one that serves now."""
        _, port = self.address
        children = [one for one in psutil.Process().children() if "lakewatchd.web.child_main" in one.cmdline()]
        return next(one for one in children if port in {socket.laddr.port for socket in one.net_connections("tcp")})

    def names(self, root: str = "photos") -> set[str]:
        return {notice.key for notice in self.kept[root]}

    def post(
        self,
        body: bytes = b"",
        root: str = "photos",
        *,
        token: str = TOKEN,
        method: str = "POST",
        **headers: str,
    ) -> int:
        """One request on a connection of its own; the status."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        with contextlib.closing(connection):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"/events/{root}", body, {"Authorization": f"Bearer {token}", **headers})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def raw(self, data: bytes) -> bytes:
        """All that is answered to ``data``, until the other side closes."""
        with socket.create_connection(self.address, timeout=60) as connection:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # it need not take all of it
                connection.sendall(data)
            answers = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answers += piece
            return answers


def record(key: str, bucket: str = "photos", name: str = "s3:ObjectCreated:Put") -> dict[str, object]:
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "17A0"}}}


def message(*records: dict[str, object]) -> bytes:
    return json.dumps({"Records": records}).encode()


def head(
    *lines: str, token: str = TOKEN, method: str = "POST", path: str = "/events/photos", version: str = "1.1"
) -> bytes:
    first = [f"{method} {path} HTTP/{version}", "Host: nas", f"Authorization: Bearer {token}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


@pytest.fixture(scope="module")
def shared() -> Iterator[Door]:
    with Door(settings(max_body_kb=64)) as door:
        yield door


@pytest.fixture
def door(shared: Door) -> Iterator[Door]:
    for kept in shared.kept.values():
        kept.clear()
    yield shared
    shared.before = lambda root: None
    shared.is_shut = False


# --- what is answered --------------------------------------------------------------------------------------


def test_an_event_is_kept_before_200_is_said(door: Door) -> None:
    door.is_shut = True
    answered: list[int] = []
    sender = threading.Thread(target=lambda: answered.append(door.post(message(record("a+b%2Fc.jpg")))))
    sender.start()
    wait_until(lambda: door.webhooks["photos"].state.last_event_at is not None)
    assert not answered
    door.is_shut = False
    sender.join(30)
    assert answered == [200]
    (kept,) = door.kept["photos"]
    assert (kept.bucket, kept.key, kept.change, kept.sequencer) == ("photos", "a b/c.jpg", Change.ADDED, "17A0")


def test_what_was_posted_before_the_door_was_open_is_a_gap() -> None:
    with Door(settings()) as door:
        wait_until(lambda: len(door.gaps) == 3, what="one for each bucket with a door")


async def test_a_door_that_will_be_open_in_a_moment_has_no_problem_and_is_waited_for() -> None:
    config = settings()
    webhook = Webhook(
        config.buckets[0], lambda notices: asyncio.sleep(0), print, Web(config, SystemClock()), SystemClock()
    )
    running = asyncio.create_task(webhook.run())
    await asyncio.sleep(0)
    assert not webhook.state.is_connected and not webhook.state.problem
    running.cancel()


def test_what_is_odd_and_right_is_taken(door: Door) -> None:
    """As MinIO can be told to send the token, as the probe of its target is, and as HTTP may be written."""
    body = message(record("bare"))
    assert b" 200 " in door.raw(
        f"POST /events/photos?x=1 HTTP/1.0\r\nAUTHORIZATION:  {TOKEN} \r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    assert door.post(message(record("x%FF%00"), record("dir/"), record("../up"), record("k" * 1024))) == 200
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body := message(record("chunked"))), body)
    assert b" 200 " in door.raw(head("Transfer-Encoding: chunked", "Connection: close") + chunks)
    assert door.post(message(record("plain")), Content_Encoding="identity", Content_Type="text/plain") == 200
    assert door.names() == {"bare", "x\udcff\0", "dir/", "../up", "k" * 1024, "chunked", "plain"}
    for method in ("POST", "GET", "HEAD"):
        assert door.post(method=method) == 200


def test_what_waits_goes_together_and_one_connection_serves_many(door: Door) -> None:
    pipelined = b"".join(
        head(f"Content-Length: {len(body)}") + body for body in (message(record(f"p{i}")) for i in range(10))
    )
    last = message(record("last"))
    answers = door.raw(pipelined + head("Connection: close", f"Content-Length: {len(last)}") + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 11
    assert len(door.names()) == 11


def test_events_go_to_the_root_of_their_bucket_and_no_other(door: Door) -> None:
    before = door.webhooks["photos"].state.foreign
    body = message(
        record("a"),
        record("family/b", "films"),
        record("work/c", "films"),
        record("d", "papers"),
        record("e", "elsewhere"),
    )
    assert door.post(body) == 200
    assert [door.names(root) for root in ("photos", "films", "papers", "elsewhere")] == [
        {"a"},
        {"family/b"},
        set(),
        set(),
    ]
    wait_until(lambda: door.webhooks["photos"].state.foreign == before + 3)


def test_each_wrong_request_hears_what_is_wrong(door: Door) -> None:
    big = b"x" * (64 << 10)
    told = {
        "no token": (door.post(token=""), 401),
        "wrong token": (door.post(message(record("a")), token=WRONG), 401),
        "token of another root": (door.post(token=TOKEN[::-1]), 401),
        "wrong token for a root that is none": (door.post(root="nobody", token=WRONG), 401),
        "a root that is none": (door.post(root="nobody"), 404),
        "a root without a door": (door.post(root="papers"), 404),
        "no root": (door.post(root=""), 404),
        "below a root": (door.post(root="photos/x"), 404),
        "method": (door.post(method="DELETE"), 405),
        "compressed": (door.post(b"\x1f\x8b", Content_Encoding="gzip"), 415),
        "too long": (door.post(big + b"x"), 413),
        "much too long": (door.post(b"x" * (512 << 10)), 413),
        "no JSON": (door.post(b"{]"), 400),
        "JSON without sense": (door.post(b'{"Records": [{}, 7, {"eventName": "s3:ObjectCreated:Put"}]}'), 200),
        "a later schema": (door.post(b'[{"eventVersion": "9.0", "eventName": "s3:ObjectCreated:Put"}]'), 200),
    }
    assert {what: status for what, (status, expected) in told.items() if status != expected} == {}
    lying = head("Content-Length: 99999999999999999999") + b"{}"
    assert b" 400 " in door.raw(lying) or b" 413 " in door.raw(lying)
    chunked = head("Transfer-Encoding: chunked") + b"fffff\r\n" + b"x" * 0xFFFFF
    assert b" 413 " in door.raw(chunked + b"\r\n0\r\n\r\n" + head("Connection: close"))
    assert b" 400 " in door.raw(b"\x16\x03\x01 this is TLS, or a joke\r\n\r\n")
    assert b" 404 " in door.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b" 404 " in door.raw(b"GET http://x/events/photos HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b" 431 " in door.raw(b"POST /events/photos HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert door.post(message(record("still there"))) == 200
    state = door.webhooks["photos"].state
    wait_until(
        lambda: (door.webhooks["photos"].state.bad, door.webhooks["photos"].state.unknown) >= (4, 1), what=str(state)
    )


def test_a_wrong_token_is_told_with_who_sent_it_until_a_right_one_comes(door: Door) -> None:
    door.post(token=WRONG)
    wait_until(lambda: "wrong token came from 127.0.0.1" in door.webhooks["photos"].state.problem)
    door.post(message(record("right")))
    wait_until(lambda: not door.webhooks["photos"].state.problem)


def test_who_only_asks_whether_anybody_is_here_guesses_no_token(door: Door) -> None:
    def ask(method: str) -> bytes:
        return door.raw(f"{method} /events/photos HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    def all_is_counted() -> None:
        bad = door.webhooks["photos"].state.bad
        door.post(b"{]")
        wait_until(lambda: door.webhooks["photos"].state.bad > bad)

    all_is_counted()  # the wrong tokens of other tests too
    assert door.post(message(record("right"))) == 200
    wait_until(lambda: not door.webhooks["photos"].state.problem)
    assert b" 401 " in ask("HEAD") and b" 401 " in ask("GET")  # MinIO does, when it starts
    all_is_counted()
    assert not door.webhooks["photos"].state.problem
    assert b" 401 " in ask("POST")
    wait_until(lambda: "wrong token came from" in door.webhooks["photos"].state.problem)


def test_while_events_cannot_be_kept_their_senders_are_told_to_come_again(door: Door) -> None:
    gaps = len(door.gaps)

    def refuse(root: str) -> None:
        if root == "photos":
            raise Busy("the queue is held")

    door.before = refuse
    assert door.post(message(record("a"))) == 503
    assert door.post(message(record("a"), record("family/b", "films"))) == 503
    door.before = lambda root: None
    assert door.post(message(record("a"))) == 200
    wait_until(lambda: len(door.gaps) > gaps)


def test_an_empty_head_of_a_pipeline_of_strangers_ends_it(door: Door) -> None:
    junk = head("Content-Length: 2", token=WRONG) + b"{}"
    answers = door.raw(junk * 100)
    assert answers.count(b"HTTP/1.1 4") <= 16


# --- who would harm ----------------------------------------------------------------------------------------


def test_no_crowd_of_the_silent_keeps_a_sender_out(door: Door) -> None:
    """A thousand connections that say nothing, or half a head, and one that was known before."""
    with contextlib.ExitStack() as crowd:
        known = http.client.HTTPConnection(*door.address, timeout=60)
        crowd.callback(known.close)

        def post_on(connection: http.client.HTTPConnection, key: str) -> int:
            connection.request("POST", "/events/photos", message(record(key)), {"Authorization": TOKEN})
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert post_on(known, "before") == 200
        for number in range(600):
            stranger = crowd.enter_context(socket.create_connection(door.address))
            with contextlib.suppress(OSError):
                stranger.sendall(b"POST /events/photos HTTP/1.1\r\nX: y\r\n" if number % 2 else b"")
        assert post_on(known, "during") == 200
        assert door.post(message(record("new"))) == 200
        assert len(door.process.net_connections()) < 600
    assert door.names() == {"before", "during", "new"}


def test_the_process_can_do_nothing_but_serve_and_knows_no_secret(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [layer.name for layer in door.web.layers if layer.holds] == ["landlock", "seccomp"]
    process = door.process
    assert not any(TOKEN in text for text in (*process.cmdline(), *process.environ().values()))
    assert not {"PYTEST_CURRENT_TEST", "HOME"} & process.environ().keys()
    assert TOKEN not in repr(settings_of(door.config))


def test_a_process_that_died_is_replaced_and_nobody_who_waits_is_turned_away(door: Door) -> None:
    gaps, first, address = len(door.gaps), door.process, door.address
    first.send_signal(signal.SIGKILL)
    assert door.post(message(record("meanwhile"))) == 200
    assert door.address == address
    assert door.process.pid != first.pid
    assert len(door.gaps) > gaps, "a rescan makes up for what it had taken and not told"
    assert door.webhooks["photos"].state.reconnects


# --- a flood -----------------------------------------------------------------------------------------------


def test_in_a_flood_of_junk_all_that_is_right_is_kept(door: Door) -> None:
    """10 000 a second, or as many as this machine can send, of which some hundreds are right."""
    host, port = door.address
    argv = [sys.executable, "-m", "tests.http_flood", f"{host}:{port}", TOKEN, "10000", "1.5", "200"]
    process = door.process
    largest = before = process.memory_info().rss
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as flood:
        while flood.poll() is None:
            largest = max(largest, process.memory_info().rss)
            with contextlib.suppress(subprocess.TimeoutExpired):
                flood.wait(0.05)
        assert flood.stdout is not None
        sent = json.loads(flood.stdout.read())
    print(sent, f"{largest >> 20} MB")
    assert flood.returncode == 0
    assert sent["junk"] > 100
    assert set(sent["answers"]) <= {"200", "400", "401", "404", "405", "413", "415", "429"}
    assert sent["right"] > 5
    assert sent["right_answers"] == {"200": sent["right"]}, "a right token is never turned away for what others do"
    assert {key for key in door.names() if key.startswith("right-")} == {f"right-{i}" for i in range(sent["right"])}
    assert process.is_running() and largest < before + (100 << 20)


def test_when_too_many_wait_the_rest_is_told_to_come_again(tmp_path: Path) -> None:
    with Door(settings(max_waiting=3)) as door:
        door.is_shut = True
        answers: list[int] = []
        senders = [
            threading.Thread(target=lambda i=i: answers.append(door.post(message(record(f"k{i}"))))) for i in range(12)
        ]
        for sender in senders:
            sender.start()
        wait_until(lambda: len(answers) == 9)
        door.is_shut = False
        for sender in senders:
            sender.join(30)
        assert sorted(answers) == [200] * 3 + [429] * 9
        assert len(door.names()) == 3


# --- the daemon's half -------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_a_problem_with_its_fix_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_module, "RETRY_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Door(settings(f"127.0.0.1:{port}")) as door:
            (problem,) = door.web.problems
            assert "already in use" in problem.message and f"sport = :{port}" in problem.hint
            wait_until(lambda: door.webhooks["photos"].state.problem == problem.message)
            taken.close()
            wait_until(lambda: door.is_open)
            assert not door.web.problems and not door.webhooks["photos"].state.problem


def test_other_settings_are_in_use_at_once(door: Door) -> None:
    """Another address, another token; then the ones before, for the other tests."""
    (port,), before = free_ports(1), door.address
    new = tuple(dataclasses.replace(root, webhook_token=TOKEN[::-1] * 2) for root in door.config.buckets[:1])
    other = dataclasses.replace(
        door.config, buckets=(*new, *door.config.buckets[1:]), web=WebConfig(enabled=False, listen=f"127.0.0.1:{port}")
    )
    door.loop.call_soon_threadsafe(door.web.apply, other)
    wait_until(lambda: door.open_at not in (None, before))
    assert door.post(message(record("a"))) == 401
    assert door.post(message(record("a")), token=TOKEN[::-1] * 2) == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(before)
    door.loop.call_soon_threadsafe(door.web.apply, door.config)
    wait_until(lambda: door.open_at not in (None, ("127.0.0.1", port)))
    assert door.post(message(record("b"))) == 200


def test_what_must_end_the_daemon_ends_it_and_no_process_stays() -> None:
    def damaged(root: str) -> None:
        raise QueueDamaged("its file holds no queue any more")

    with Door(settings()) as door:
        process, door.before = door.process, damaged
        with contextlib.suppress(OSError, http.client.HTTPException):
            door.post(message(record("a")))
        wait_until(lambda: door.error is not None)
        error = door.error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, FatalError)
        wait_until(lambda: not process.is_running())


# --- MinIO's own code --------------------------------------------------------------------------------------


def test_a_daemon_killed_before_it_answered_loses_nothing(tmp_path: Path) -> None:
    """The gateway spools what was not acknowledged, and posts it again to the next daemon."""
    listen, file = f"127.0.0.1:{free_ports(1)[0]}", tmp_path / "kept"
    hook = Hook(f"http://{listen}/events/photos", TOKEN, tmp_path / "spool")
    argv = [sys.executable, "-m", "tests.webhook_subject", listen, str(file)]

    def kept() -> list[str]:
        return file.read_text().splitlines() if file.exists() else []

    with subprocess.Popen([*argv, "stall"]) as first:
        try:
            wait_until(lambda: _listens(listen))
            with juicefs_gateway(tmp_path / "gateway", webhook=hook) as gateway:
                client = gateway.client()
                gateway.make_bucket("photos")
                _subscribe(client, hook.arn)
                for number in range(20):
                    _put(client, f"a b/{number}+ü.txt")
                wait_until(kept)
                assert len(kept()) < 20, "the first is not acknowledged, the others wait for it"
                first.send_signal(signal.SIGKILL)
                first.wait()
                wait_until(lambda: not _listens(listen), what="the web process ends with the daemon")
                with subprocess.Popen(argv) as second:
                    try:
                        wait_until(lambda: len(set(kept())) == 20, 60)
                        client.remove_object("photos", "a b/0+ü.txt")
                        wait_until(lambda: kept().count("a b/0+ü.txt") >= 2)
                    finally:
                        second.kill()
        finally:
            first.kill()
    assert set(kept()) == {f"a b/{number}+ü.txt" for number in range(20)}


def _subscribe(client: object, arn: str) -> None:
    from minio.notificationconfig import NotificationConfig, QueueConfig

    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    client.set_bucket_notification(
        "photos", NotificationConfig(queue_config_list=[QueueConfig(queue=arn, events=events)])
    )  # type: ignore[attr-defined]


def _put(client: object, key: str) -> None:
    import io

    client.put_object("photos", key, io.BytesIO(b"x"), 1)  # type: ignore[attr-defined]


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


# --- with deadlines of a test ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, int]]:
    """The web process's half in this loop, and a daemon that keeps everything at once."""

    async def exchange(letter: Json) -> Json:
        return {"failed": []}

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        serving = asyncio.ensure_future(answer(settings_of(settings()), [listener], exchange))
        try:
            yield address
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


async def talk(address: tuple[str, int], *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What is answered to ``pieces``, sent with pauses, until the other side closes."""
    reader, writer = await asyncio.open_connection(*address)

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)

    sending = asyncio.ensure_future(send())
    try:
        return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        sending.cancel()
        writer.close()


def in_haste(monkeypatch: pytest.MonkeyPatch, come: int, have_begun: int, have_sent_heads: int) -> None:
    """Deadlines of moments, but nobody is ended before so many are there, have begun, and have sent a head."""
    monkeypatch.setattr(connection_module, "HEAD_S", 1.0)
    monkeypatch.setattr(connection_module, "REQUEST_S", 2.0)
    monkeypatch.setattr(connection_module, "IDLE_S", 1.5)
    monkeypatch.setattr(connection_module, "LOOK_S", 0.05)
    watch_the_clock = connection_module.Door.watch_the_clock

    def counts(door: connection_module.Door) -> tuple[int, int, int]:
        heads = sum(not one._is_in_head for one in door.connections)
        return len(door.connections), heads + sum(one._head_bytes > 0 for one in door.connections), heads

    async def later(door: connection_module.Door) -> None:
        while counts(door) != (come, have_begun, have_sent_heads):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        await watch_the_clock(door)

    monkeypatch.setattr(connection_module.Door, "watch_the_clock", later)


async def test_whoever_is_slow_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is slow: each of these would otherwise last for ever."""
    in_haste(monkeypatch, come=7, have_begun=6, have_sent_heads=5)
    body = message(record("a"))
    drops = [bytes([byte]) for byte in head(*(f"X-{number}: y" for number in range(10_000)))]
    slow_body = head("Content-Length: 60000")
    refused = head("Content-Length: 60000", token=WRONG)
    async with answering() as address:
        silent, dripping, without_body, slow, wrong, idle, wrong_and_idle = await asyncio.gather(
            talk(address),
            talk(address, *drops, pause_s=0.01),
            talk(address, slow_body),
            talk(address, slow_body, *[b"x"] * 60_000, pause_s=0.01),
            talk(address, refused, *[b"x"] * 60_000, pause_s=0.01),
            talk(address, head(f"Content-Length: {len(body)}") + body),
            talk(address, head("Content-Length: 0", token=WRONG)),
        )
    assert silent == b""
    assert without_body.startswith(b"HTTP/1.1 408 ")
    for still_sending in (dripping, slow):  # then the answer may be lost, as what was sent after it is not read
        assert still_sending.startswith((b"HTTP/1.1 408 ", b"reset"))
    assert wrong.startswith((b"HTTP/1.1 401 ", b"reset")) and wrong.count(b"HTTP/1.1") <= 1
    assert idle.startswith(b"HTTP/1.1 200 ") and idle.count(b"HTTP/1.1") == 1
    assert wrong_and_idle.startswith(b"HTTP/1.1 401 ") and wrong_and_idle.count(b"HTTP/1.1") == 1


async def test_a_stranger_cannot_send_without_end() -> None:
    async with answering() as address:
        endless = await talk(
            address, head("Transfer-Encoding: chunked", token=WRONG), *[b"8000\r\n" + b"x" * 0x8000 + b"\r\n"] * 1000
        )
        _, deaf = await asyncio.open_connection(*address)
        with contextlib.suppress(ConnectionError):
            while True:  # never reads
                deaf.write(head("Content-Length: 0", token=WRONG))
                await deaf.drain()
        deaf.close()
    assert endless in (b"reset", WRONG_TOKEN.raw(False))


# --- a web process that was taken over ---------------------------------------------------------------------

PRISONER = """
import ctypes, os, socket, subprocess, sys
from lakewatchd import confine
from lakewatchd.child import arguments, serve

def operations(parent):
    listener = socket.socket(fileno=int(arguments()[0]))
    host, port = listener.getsockname()
    confine.confine([], is_server=True)
    tries = {
        "reads a file": lambda: open("/etc/passwd"),
        "writes a file": lambda: open("/tmp/prisoner", "w"),
        "opens a socket": lambda: socket.socket(),
        "talks to another process": lambda: socket.socket(socket.AF_UNIX),
        "binds": lambda: listener.bind(("127.0.0.1", 0)),
        "starts a program": lambda: subprocess.run(["/bin/true"]),
        "forks": lambda: os.fork() or os._exit(0),
        "signals": lambda: os.kill(os.getppid(), 0),
        "types into a terminal": lambda: __import__("fcntl").ioctl(2, 0x5412, b"x"),
    }

    def try_all(args, blobs):
        escaped = []
        for name, way in tries.items():
            try:
                way()
                escaped.append(name)
            except OSError:
                pass
        connection, _ = listener.accept()
        connection.sendall(b"served")
        connection.close()
        return {"escaped": escaped}, ()

    return {"try": try_all}

sys.exit(serve(operations))
"""


async def test_a_server_in_its_cell_can_serve_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "prisoner_at_the_door.py").write_text(PRISONER)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        environment = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
        prisoner = Child(
            "prisoner_at_the_door", Limits(), environment, inherits=False, pass_fds=(number,), arguments=(str(number),)
        )
        asked = asyncio.ensure_future(prisoner.call("try"))
        assert await talk(listener.getsockname()) == b"served"
        assert (await asked).header == {"escaped": []}
        await prisoner.close()


LIAR = """
import json, pathlib, struct, sys
from lakewatchd.child import serve

LIES = "length", "notes", "fatal", "done"
turns = pathlib.Path(__file__).with_suffix(".turns")
turns.touch()
turns.write_text(turns.read_text() + ".")

def operations(parent):
    connection = parent._connection

    def frame(header):
        raw = json.dumps({"blobs": [], **header}).encode()
        return struct.pack("!I", len(raw)) + raw

    def lie(args, blobs):
        how = LIES[min(len(turns.read_text()), len(LIES)) - 1]
        parent.ask({"posts": {}, "tallies": {}})
        if how == "length":
            connection.sendall(struct.pack("!I", 100_000_000) + b"[" * 10_000_000)
        elif how == "notes":
            while True:
                connection.sendall(frame({"note": True}) * 1000)
        elif how == "fatal":
            connection.sendall(frame({"error": "QueueDamaged", "message": "end yourself", "hint": None}))
        elif how == "done":
            return {}, ()
        connection.recv(1)

    return {"serve": lie}

sys.exit(serve(operations))
"""


def test_a_web_process_that_was_taken_over_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of them, each lying in its own way; then one that is sound."""
    (tmp_path / "liar.py").write_text(LIAR)
    turns = tmp_path / "liar.turns"
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(web_module, "MODULE", "liar")
    monkeypatch.setattr(web_module, "RETRY_S", 0.01)
    monkeypatch.setattr(web_module, "RETRY_MAX_S", 0.1)
    with Door(settings()) as door:
        wait_until(lambda: turns.exists() and len(turns.read_text()) >= 4)
        monkeypatch.setattr(web_module, "MODULE", "lakewatchd.web.child_main")
        assert door.post(message(record("after"))) == 200, "who comes waits for it"
        assert door.error is None


def test_events_are_kept_by_a_process_that_shows_the_lake_too(tmp_path: Path) -> None:
    config = settings()
    places = dataclasses.replace(config.daemon, state_dir=tmp_path / "state", runtime_dir=tmp_path / "run")
    config = dataclasses.replace(
        config, daemon=places, web=WebConfig(listen="127.0.0.1:0"), search=SearchConfig(warm=False)
    )
    with Door(config) as door:
        assert door.post(json.dumps({"Records": [record("a.jpg")]}).encode()) == 200
        assert door.post(b"{}", token=WRONG) == 401
        assert "a.jpg" in door.names()
        assert door.raw(b"GET /api/timeline HTTP/1.0\r\nHost: localhost\r\n\r\n").endswith(b"\r\n\r\n[]")
        assert door.raw(b"GET /events/photos HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 401")
        assert not any(TOKEN in text for text in (*door.process.cmdline(), *door.process.environ().values()))
        door.process.kill()
        assert door.post(json.dumps({"Records": [record("b.jpg")]}).encode()) == 200, "who comes meanwhile waits"
        assert door.names() == {"a.jpg", "b.jpg"}
    assert not (tmp_path / "run" / "web.sock").exists()
