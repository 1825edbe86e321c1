"""Events of a bucket into the durable queue: how many a second, by each way in.

    python -m bench.bucket_events [--way webhook|listen|mqtt|redis] [--quick] [--json] [--dir DIR]

The real way, the real source, the real queue database with its fsync; the daemon, the web process and who sends share
the machine. Records are as MinIO writes them, about 1 kB, each of another key. An event counts when its sender was told
that it is durable.

``webhook``: a process posts on many connections, each the next event when the last was acknowledged, as a gateway does
for as many requests as it serves at once; then again beside a flood of 10 000 junk requests a second.
``listen``: a process answers with a stream that never pauses, a chunk for each record, as a gateway writes it.
``mqtt``, ``redis``: a backlog lies in a real Mosquitto, a real Redis; until the last of it is durable and acknowledged.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import multiprocessing
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from redis import Redis

from bench.common import Claim, Report, options, percentile
from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.records import Notice
from lakewatchd.config import BucketConfig, ObjectsConfig, QueueConfig, WatchConfig, WebConfig, defaults
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import FileEvent
from lakewatchd.core.garbage import keep_what_is_here
from lakewatchd.daemon.web import Web
from lakewatchd.daemon.wiring import QueueThread, ScanPast, jobs
from lakewatchd.queue.store import QueueStore
from lakewatchd.sources.bucket.source import BucketSource
from lakewatchd.sources.bucket.way import Deliver, OnGap, Way
from lakewatchd.sources.bucket.ways.listen import Listen
from lakewatchd.sources.bucket.ways.mqtt import Mqtt
from lakewatchd.sources.bucket.ways.redis import RedisList
from lakewatchd.sources.bucket.ways.webhook import Webhook
from lakewatchd.telemetry import LoopLag
from tests.servers import mosquitto
from tests.servers import redis as redis_server

ROOT = BUCKET = "bench"
TOKEN = "a-token-for-the-benchmark"
CONNECTIONS = 256
JUNK_PER_S = 10_000


def record(number: int, *, is_plain: bool = False) -> bytes:
    """As MinIO posts it; plain: as it tells who listens."""
    key = f"2026/holidays/IMG_{number:08d}.jpg"
    s3 = {
        "s3SchemaVersion": "1.0",
        "configurationId": "Config",
        "bucket": {"name": BUCKET, "ownerIdentity": {"principalId": "nas"}, "arn": f"arn:aws:s3:::{BUCKET}"},
        "object": {
            "key": key if is_plain else key.replace("/", "%2F"),
            "size": 4_812_345,
            "eTag": "d41d8cd98f00b204e9800998ecf8427e",
            "contentType": "image/jpeg",
            "userMetadata": {"content-type": "image/jpeg"},
            "sequencer": f"17A0{number:012X}",
        },
    }
    event = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "s3:ObjectCreated:Put",
        "userIdentity": {"principalId": "nas"},
        "requestParameters": {"principalId": "nas", "region": "", "sourceIPAddress": "10.0.0.7"},
        "responseElements": {"x-amz-request-id": "17A0", "x-minio-origin-endpoint": "http://10.0.0.2:9000"},
        "s3": s3,
        "source": {"host": "10.0.0.7", "port": "", "userAgent": "MinIO (linux; amd64) minio-go/v7.0.63"},
    }
    outer = {} if is_plain else {"EventName": event["eventName"], "Key": f"{BUCKET}/{key}"}
    return json.dumps({**outer, "Records": [event]}).encode()


# --- the daemon's half -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Daemon:
    """A bucket that is watched, as far as events are concerned: no health, no rescans, no work."""

    settings: BucketConfig
    deliver: Deliver
    lag: LoopLag


@contextlib.asynccontextmanager
async def daemon(place: Path) -> AsyncIterator[Daemon]:
    settings = BucketConfig(ROOT, BUCKET, "http://127.0.0.1:9", webhook_token=TOKEN)
    clock, objects, taken = SystemClock(), ObjectsConfig(), list[Deliver]()
    queue, thread = QueueStore(place / "queue.db", QueueConfig(), clock), QueueThread(clock)
    known = ScanPast(place / "queue.db", queue.seen, thread)

    async def emit(events: Sequence[FileEvent]) -> None:
        await thread(queue.put, jobs(events))

    def make_ways(deliver: Deliver, on_gap: OnGap) -> list[Way]:
        taken.append(deliver)
        return []

    BucketSource(
        settings, WatchConfig(), objects, Bucket(settings, objects), known, emit, clock, make_ways=make_ways
    )  # its ways are run here
    lag = LoopLag()
    measuring = asyncio.ensure_future(lag.run())
    keep_what_is_here()
    try:
        yield Daemon(settings, taken[0], lag)
    finally:
        measuring.cancel()
        await thread(queue.close)
        thread.close()


@contextlib.asynccontextmanager
async def together(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs beside the block, and ends with it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- webhook -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender saw. ``waited_s``: from the post to its answer, sorted."""

    durable: int
    seconds: float
    others: dict[str, int]
    waited_s: list[float]

    @property
    def per_s(self) -> float:
        return self.durable / self.seconds


def post(address: tuple[str, int], seconds: float, answer: multiprocessing.Queue[Sent], first: int) -> None:
    """In a process of its own."""
    selector = selectors.DefaultSelector()
    numbers = iter(range(first, sys.maxsize))
    sent: dict[socket.socket, float] = {}
    others, waited = collections.Counter[str](), list[float]()

    def send(connection: socket.socket) -> None:
        body = record(next(numbers))
        head = f"POST /events/{ROOT} HTTP/1.1\r\nHost: lake:8420\r\nUser-Agent: Go-http-client/1.1\r\n"
        head += (
            f"Content-Length: {len(body)}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\r\n"
        )
        sent[connection] = time.perf_counter()
        connection.sendall(head.encode() + body)

    for _ in range(CONNECTIONS):
        connection = socket.create_connection(address)
        selector.register(connection, selectors.EVENT_READ, connection)
        send(connection)
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        for key, _ in selector.select(0.1):
            status = key.data.recv(65536)[9:12].decode()  # an answer of 200 is one piece: it has no body
            if status == "200":
                waited.append(time.perf_counter() - sent[key.data])
            else:
                others[status] += 1
            send(key.data)
    answer.put(Sent(len(waited), now - began, dict(others), sorted(waited)))


async def webhook(daemon: Daemon, seconds: float, report: Report) -> None:
    config = dataclasses.replace(defaults(), buckets=(daemon.settings,), web=WebConfig(listen="127.0.0.1:0"))
    web = Web(config, SystemClock())
    way = Webhook(daemon.settings, daemon.deliver, lambda why: None, web, SystemClock())
    async with together(web.run(), way.run()):
        while not way.state.is_connected:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
        parts = urlsplit(way.state.detail)
        assert parts.hostname and parts.port
        address = parts.hostname, parts.port
        await _post(address, min(2.0, seconds), 0)  # warm
        await _measure(daemon, report, "webhook", lambda: _post(address, seconds, 10_000_000), 3000)
        flood = await _flood(address, seconds + 2)
        name = f"webhook, beside {JUNK_PER_S:,} junk requests a second"
        await _measure(daemon, report, name, lambda: _post(address, seconds, 20_000_000))
        report.details.append(f"junk: {(await flood.communicate())[0].decode().strip()}")


async def _measure(
    daemon: Daemon, report: Report, name: str, work: Callable[[], Awaitable[Sent]], aim_per_s: float = 0.0
) -> None:
    daemon.lag.forget()
    before = _cpu_s()
    sent = await work()
    cost = {part: 1e6 * (now - before.get(part, 0.0)) / sent.durable for part, now in _cpu_s().items()}
    durable, pause = f"{name}: events durable", f"{name}: longest pause of the daemon's loop"
    if aim_per_s:
        report.claims.append(Claim.at_least(durable, sent.per_s, "/s", aim_per_s))
        report.claims.append(Claim.at_most(pause, daemon.lag.max_ms, "ms", 50))
    else:
        report.claims += [Claim(durable, sent.per_s, "/s"), Claim(pause, daemon.lag.max_ms, "ms")]
    p50, p99 = (1e3 * percentile(sent.waited_s, share) for share in (0.5, 0.99))
    report.details.append(f"{name}: post to answer p50 {p50:.0f} ms, p99 {p99:.0f} ms; other answers: {sent.others}")
    report.details.append(f"  CPU us an event: {', '.join(f'{part} {us:.0f}' for part, us in cost.items())}")


def _cpu_s() -> dict[str, float]:
    """What the daemon's half and the web process have used so far."""
    import psutil

    us = psutil.Process()
    (web,) = [child for child in us.children() if "lakewatchd.web.child_main" in child.cmdline()]
    used = {"daemon": us.cpu_times(), "web": web.cpu_times()}
    return {part: times.user + times.system for part, times in used.items()}


async def _post(address: tuple[str, int], seconds: float, first: int) -> Sent:
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[Sent] = context.Queue()
    process = context.Process(target=post, args=(address, seconds, answer, first))
    process.start()
    try:
        return await asyncio.to_thread(answer.get)
    finally:
        await asyncio.to_thread(process.join)


async def _flood(address: tuple[str, int], seconds: float) -> asyncio.subprocess.Process:
    argv = [sys.executable, "-m", "tests.http_flood", f"{address[0]}:{address[1]}", "", str(JUNK_PER_S), str(seconds)]
    return await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)


# --- a backlog, or a stream that never pauses --------------------------------------------------------------


async def listen(daemon: Daemon, seconds: float, report: Report) -> None:
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=stream, args=(port, count := _count(seconds)), daemon=True)
    server.start()
    endpoint = f"http://127.0.0.1:{await asyncio.to_thread(port.get)}"
    settings = dataclasses.replace(daemon.settings, endpoint=endpoint)
    bucket = Bucket(settings, ObjectsConfig())
    await _drain(daemon, report, "listen", count, 5000, lambda d, g: Listen(settings, bucket, d, g, SystemClock()))
    server.terminate()


def stream(port: multiprocessing.Queue[int], count: int) -> None:
    """In a process of its own: one answer with all records, then the blanks of a quiet hour."""
    chunks = [line for number in range(count) if (line := record(number, is_plain=True) + b"\n")]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port.put(server.getsockname()[1])
        connection, _ = server.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        while True:
            time.sleep(0.5)
            connection.sendall(b"1\r\n \r\n")


async def mqtt(daemon: Daemon, seconds: float, report: Report) -> None:
    # It writes its file now and then, as brokers do, not after each message, as tests have it
    calm = ["autosave_on_changes false"]
    with (
        tempfile.TemporaryDirectory(prefix="lakewatchd-bench-") as folder,
        mosquitto(Path(folder), options=calm) as broker,
    ):
        settings = dataclasses.replace(daemon.settings, mqtt=broker.url("bench"))

        def make(deliver: Deliver, on_gap: OnGap) -> Way:
            return Mqtt(settings, deliver, on_gap, SystemClock(), "bench")

        async with together((way := make(daemon.deliver, lambda why: None)).run()):  # the broker knows us now
            while not way.state.is_connected:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        sender = multiprocessing.get_context("spawn").Process(
            target=publish, args=(broker.host, broker.port, count := _count(seconds))
        )
        sender.start()
        await asyncio.to_thread(sender.join)
        await _drain(daemon, report, "mqtt", count, 3000, make)


def publish(host: str, port: int, count: int) -> None:
    """In a process of its own."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect(host, port)
    client.loop_start()
    for info in [client.publish("bench", record(number), qos=1) for number in range(count)]:
        info.wait_for_publish()
    client.disconnect()
    client.loop_stop()


async def redis(daemon: Daemon, seconds: float, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-") as folder, redis_server(Path(folder)) as server:
        count = _count(seconds)
        with Redis(host=server.host, port=server.port) as asking:
            for start in range(0, count, 1000):
                asking.rpush("bench", *(record(number) for number in range(start, start + 1000)))
        settings = dataclasses.replace(daemon.settings, redis=server.url("bench"))
        await _drain(daemon, report, "redis", count, 3000, lambda d, g: RedisList(settings, d, g, SystemClock()))


def _count(seconds: float) -> int:
    return int(seconds) * 5000


async def _drain(
    daemon: Daemon, report: Report, name: str, count: int, target: float, make: Callable[[Deliver, OnGap], Way]
) -> None:
    durable, all_durable = 0, asyncio.Event()

    async def deliver(notices: Sequence[Notice]) -> None:
        nonlocal durable
        await daemon.deliver(notices)
        durable += len(notices)
        if durable >= count:
            all_durable.set()

    daemon.lag.forget()
    before, began = time.process_time(), time.perf_counter()
    async with together(make(deliver, lambda why: None).run()):
        await all_durable.wait()
    seconds, used = time.perf_counter() - began, time.process_time() - before
    report.claims.append(Claim.at_least(f"{name}: events durable", count / seconds, "/s", target))
    report.claims.append(Claim.at_most(f"{name}: longest pause of the daemon's loop", daemon.lag.max_ms, "ms", 50))
    report.details.append(f"{name}: {count:,} events, {1e6 * used / count:.0f} us of the daemon's CPU each")


# --- all of it ---------------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[Daemon, float, Report], Awaitable[None]]] = {
    "webhook": webhook,
    "listen": listen,
    "mqtt": mqtt,
    "redis": redis,
}


async def measure(ways: Sequence[str], seconds: float, place: Path | None) -> Report:
    report = Report()
    for name in ways:
        with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=place) as folder:
            async with daemon(Path(folder)) as running:
                await WAYS[name](running, seconds, report)
    return report


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--way", action="append", choices=WAYS, help="only this one; may be given again")
    chosen = parser.parse_args()
    report = asyncio.run(measure(chosen.way or list(WAYS), 2.0 if chosen.quick else 10.0, chosen.dir))
    report.show(chosen.json)


if __name__ == "__main__":
    main()
