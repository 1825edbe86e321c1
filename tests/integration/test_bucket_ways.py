"""The ways in which a bucket's events come, against the servers that send them: what is lost, doubled, forged."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import redis
from minio.notificationconfig import NotificationConfig
from minio.notificationconfig import QueueConfig as TargetConfig
from one_root import until
from paho.mqtt.publish import multiple
from servers import Broker, Hook, Redis, S3Server, juicefs_gateway, make_tls, mosquitto
from servers import redis as redis_of

from lakewatchd.buckets.client import Bucket
from lakewatchd.buckets.records import MAX_BYTES, Notice
from lakewatchd.config import BucketConfig, ObjectsConfig, QueueConfig
from lakewatchd.core.asset import PathKey
from lakewatchd.core.clock import SystemClock
from lakewatchd.core.event import Change
from lakewatchd.core.job import Lane, Priority
from lakewatchd.errors import OutOfSpace, QueueUnusable
from lakewatchd.queue.store import QueueStore
from lakewatchd.sources.bucket.way import Way
from lakewatchd.sources.bucket.ways import listen, mqtt, remote
from lakewatchd.sources.bucket.ways.listen import Listen
from lakewatchd.sources.bucket.ways.mqtt import Mqtt, identity_in
from lakewatchd.sources.bucket.ways.redis import RedisList
from lakewatchd.stages import ingest


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RETRY_S", 0.02)
    monkeypatch.setattr(remote, "RETRY_MAX_S", 0.1)
    monkeypatch.setattr(remote, "REFUSED_S", 0.2)


def message(key: str, name: str = "ObjectCreated:Put", bucket: str = "photos", **thing: object) -> bytes:
    """As MinIO sends it through MQTT."""
    told = {"eventVersion": "2.0", "eventName": f"s3:{name}", "eventTime": "2026-11-21T09:55:25.440Z"}
    s3 = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, errors="surrogateescape"), **thing}}
    return json.dumps(
        {"EventName": told["eventName"], "Key": f"{bucket}/{key}", "Records": [told | {"s3": s3}]}
    ).encode()


@dataclass
class Follower:
    """Stands for the source: remembers what it was handed, and says when that is durable."""

    notices: list[Notice] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    is_durable: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.is_durable.set()

    async def deliver(self, notices: Sequence[Notice]) -> None:
        self.notices += notices
        if self.error is not None:
            raise self.error
        await self.is_durable.wait()

    @property
    def keys(self) -> list[str]:
        return [notice.key for notice in self.notices]


@asynccontextmanager
async def alive(way: Way) -> AsyncIterator[None]:
    task = asyncio.create_task(way.run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


# --- MQTT --------------------------------------------------------------------------------------------------


def by_mqtt(
    broker: Broker, follower: Follower, topic: str = "minio/photos", bucket: str = "photos", **more: Any
) -> Mqtt:
    more = {"mqtt": broker.url(topic), "mqtt_password": broker.password, **more}
    settings = BucketConfig(name="cloud", bucket=bucket, endpoint="http://127.0.0.1:1", **more)
    identity = topic.replace("/", "-")  # one broker serves many tests
    return Mqtt(settings, follower.deliver, follower.gaps.append, SystemClock(), identity)


async def publish(broker: Broker, *payloads: bytes, topic: str = "minio/photos", **how: Any) -> None:
    await send(broker, *({"topic": topic, "payload": payload, "qos": 1, **how} for payload in payloads))


async def send(broker: Broker, *sent: dict[str, Any]) -> None:
    """As MinIO does it: MQTT 3.1.1, a clean session. In this order."""
    who = {"username": broker.username, "password": broker.password} if broker.username else None
    tls = {"ca_certs": str(broker.tls.ca)} if broker.tls else None
    await asyncio.to_thread(multiple, list(sent), broker.host, broker.port, auth=who, tls=tls)


async def left(broker: Broker, topic: str) -> None:
    """The broker has read all that the listener said, goodbye included. Who comes back sooner is told more again."""
    await until(lambda: f"Client lakewatchd-cloud-{topic} disconnected" in broker.log.read_text())


async def test_what_comes_while_nobody_listens_is_kept_by_the_broker(broker: Broker) -> None:
    first, second = Follower(), Follower()
    async with alive(way := by_mqtt(broker, first, "kept")):
        await until(lambda: way.state.is_connected)
        await publish(broker, message("a b+c%20ü.jpg", size=5, sequencer="A1"), topic="kept")
        await until(lambda: first.notices)
    assert first.notices[0].key == "a b+c%20ü.jpg"
    assert first.gaps == ["the broker kept nothing for us"], "and that was worth a rescan"
    await left(broker, "kept")
    await publish(broker, *(message(f"{number}.jpg") for number in range(300)), topic="kept")
    async with alive(way := by_mqtt(broker, second, "kept")):
        await until(lambda: len(second.notices) == 300)
        assert second.keys == [f"{number}.jpg" for number in range(300)], "in order, and not what was acknowledged"
        assert second.gaps == ["the broker may have dropped some"]
        assert way.state.received == 300 and way.state.lag_s is not None and way.state.last_event_at


async def test_nothing_is_acknowledged_before_it_is_durable(broker: Broker) -> None:
    follower, after = Follower(), Follower()
    follower.is_durable.clear()
    async with alive(way := by_mqtt(broker, follower, "durable")):
        await until(lambda: way.state.is_connected)
        await publish(broker, *(message(f"{number}.jpg") for number in range(500)), topic="durable")
        await until(lambda: follower.notices)
        assert way.state.received <= mqtt.WINDOW, "the broker holds the rest"
    async with alive(by_mqtt(broker, after, "durable")):
        await until(lambda: len(after.notices) == 500)
        assert after.keys == [f"{number}.jpg" for number in range(500)]


async def test_no_room_is_told_and_costs_nothing(broker: Broker) -> None:
    follower = Follower(error=OutOfSpace("no room in /state", "make some"))
    async with alive(way := by_mqtt(broker, follower, "full")):
        await until(lambda: follower.gaps)
        await publish(broker, message("a.jpg"), topic="full")
        await until(lambda: way.state.problem)
        assert (way.state.problem, way.state.hint) == ("no room in /state", "make some")
        follower.error = None
        follower.notices.clear()
        await until(lambda: follower.keys == ["a.jpg"] and way.state.is_connected and not way.state.problem)


async def test_what_must_end_the_daemon_does(broker: Broker) -> None:
    follower = Follower(error=QueueUnusable("the disk failed"))
    task = asyncio.create_task(by_mqtt(broker, follower, "fatal").run())
    await until(lambda: follower.gaps)
    await publish(broker, message("a.jpg"), topic="fatal")
    with pytest.raises(QueueUnusable):
        await task


async def test_a_defect_ends_no_way(broker: Broker) -> None:
    follower = Follower(error=ZeroDivisionError())
    async with alive(way := by_mqtt(broker, follower, "defect")):
        await until(lambda: follower.gaps)
        await publish(broker, message("a.jpg"), topic="defect")
        await until(lambda: "ZeroDivisionError" in way.state.problem)
        follower.error = None
        await until(lambda: way.state.is_connected)


async def test_a_broker_killed_with_a_thousand_unacknowledged_messages(tmp_path: Path) -> None:
    store = QueueStore(tmp_path / "queue.db", QueueConfig(), SystemClock())
    follower = Follower()
    follower.is_durable.clear()

    async def deliver(notices: Sequence[Notice]) -> None:
        await follower.deliver(notices)
        store.put([ingest.spec(PathKey("cloud", notice.key), Priority.FRESH) for notice in notices])

    # It writes its file when it is told to, and not for each of a thousand messages
    with mosquitto(tmp_path, options=["autosave_interval 1000000"]) as broker:
        way = by_mqtt(broker, follower)
        way._deliver = deliver
        async with alive(way):
            await until(lambda: way.state.is_connected)
            await publish(broker, *(message(f"{number}.jpg", sequencer="A") for number in range(1000)))
            await until(lambda: follower.notices)
            os.kill(broker.pid, signal.SIGUSR1)
            await until((tmp_path / "db" / "mosquitto.db").exists)
            broker.restart()
            follower.is_durable.set()
            await until(lambda: len(set(follower.keys)) == 1000)
            assert way.state.reconnects == 1 and len(follower.gaps) == 2
            assert len(follower.keys) > 1000, "what was not acknowledged came again"
        jobs = store.claim(Lane.FAST, 5000)
        assert sorted(str(job.payload["path"]) for job in jobs) == sorted(f"{number}.jpg" for number in range(1000))
    store.close()


@pytest.mark.parametrize("moment", ["delivering", "durable"])
async def test_killed_between_receiving_and_the_acknowledgement(broker: Broker, tmp_path: Path, moment: str) -> None:
    """Another process listens, and is killed by itself: before its events are durable, or right after."""
    topic, heard = f"killed/{moment}", tmp_path / "heard"
    await publish_to_a_session(broker, topic, 50)

    async def listen(when: str) -> int:
        argv = sys.executable, str(Path(__file__).with_name("mqtt_listener.py")), broker.url(topic), str(heard), when
        process = await asyncio.create_subprocess_exec(*argv)
        return await process.wait()

    assert await listen(moment) == -signal.SIGKILL
    before = heard.read_text().splitlines()
    assert bool(before) == (moment == "durable")
    assert await listen("never") == 0
    assert set(heard.read_text().splitlines()) == {f"{number}.jpg" for number in range(50)}
    assert len(heard.read_text().splitlines()) == 50 + len(before), "what was not acknowledged came again, all of it"


async def publish_to_a_session(broker: Broker, topic: str, count: int) -> None:
    """Messages that wait for a listener of this identity."""
    async with alive(way := by_mqtt(broker, Follower(), topic)):
        await until(lambda: way.state.is_connected)
    await publish(broker, *(message(f"{number}.jpg") for number in range(count)), topic=topic)


async def test_hostile_messages_are_counted_and_acknowledged(broker: Broker) -> None:
    follower, after = Follower(), Follower()
    await publish(broker, message("stale.jpg"), topic="hostile", retain=True)
    async with alive(way := by_mqtt(broker, follower, "hostile")):
        await until(lambda: way.state.is_connected)
        hostile = [b"", b"\0", b"{", b"[" * 100_000, b"x" * (MAX_BYTES + 1), b"x" * (8 << 20), message("k" * 1025)]
        hostile += [
            message("a.jpg", bucket="other"),
            message("a.jpg", "ObjectGlanced:At"),
            message("a.jpg", "ObjectAccessed:Get"),
        ]
        await publish(broker, *hostile, message("good.jpg"), topic="hostile")
        await until(lambda: follower.notices)
        state = way.state
        assert follower.keys == ["good.jpg"], "nothing that was retained: a listing tells what lies there"
        assert (state.bad, state.foreign, state.unknown, state.received) == (5, 1, 1, 9), "8 MB do not even come"
        await publish(broker, message("new.jpg"), topic="hostile", retain=True)
        await until(lambda: "new.jpg" in follower.keys)
    await left(broker, "hostile")
    async with alive(way := by_mqtt(broker, after, "hostile")):
        await publish(broker, message("last.jpg"), topic="hostile")
        await until(lambda: after.notices)
        assert after.keys == ["last.jpg"] and not way.state.bad


async def test_doubles_and_reversals_are_counted_and_passed_on(broker: Broker) -> None:
    follower = Follower()
    async with alive(way := by_mqtt(broker, follower, "order")):
        await until(lambda: way.state.is_connected)
        told = [("a", "F"), ("a", "F"), ("a", "10"), ("a", "0F"), ("b", "1"), ("a", ""), ("a", "zz")]
        tagging = message("a", "ObjectCreated:PutTagging", sequencer="10")
        await publish(broker, *(message(key, sequencer=place) for key, place in told), tagging, topic="order")
        await until(lambda: len(follower.notices) == 8)
        assert (way.state.duplicates, way.state.reordered) == (1, 1)


async def test_a_window_full_of_large_messages_is_delivered_a_part_at_a_time(broker: Broker) -> None:
    record = json.loads(message("a.jpg"))["Records"][0]
    large = json.dumps({"Records": [record] * 2000}).encode()
    follower, parts = Follower(), list[int]()
    follower.is_durable.clear()

    async def deliver(notices: Sequence[Notice]) -> None:
        parts.append(len(notices))
        await follower.is_durable.wait()

    follower.deliver = deliver  # type: ignore[method-assign]
    async with alive(way := by_mqtt(broker, follower, "large")):
        await until(lambda: way.state.is_connected)
        await publish(broker, *[large] * 30, topic="large")
        await asyncio.sleep(0.5)  # so that all of them have come
        follower.is_durable.set()
        await until(lambda: sum(parts) == 30 * 2000)
        assert max(parts) <= 2000 * (MAX_BYTES // len(large) + 1)


async def test_a_flood_that_nobody_waits_for_is_bounded(broker: Broker) -> None:
    way = by_mqtt(broker, Follower(), "flood")
    connection = mqtt._Connection(way._client())
    try:
        await connection.open(broker.host, broker.port)
        await connection.subscribe("flood")
        flood = {"topic": "flood", "payload": message("x.jpg"), "qos": 0}
        await send(broker, *[flood] * (2 * mqtt.WINDOW), {**flood, "payload": message("waited-for.jpg"), "qos": 1})
        await until(lambda: connection._inbox and b"waited-for" in connection._inbox[-1].payload)
        assert len(connection._inbox) == mqtt.WINDOW + 1
        assert connection.take_dropped() == mqtt.WINDOW and connection.take_dropped() == 0
    finally:
        connection.close()


async def test_a_broker_that_speaks_nonsense() -> None:
    """Whatever it sends, the way says that it has no connection, and tries again."""
    calls, talking = 0, 0
    connack = b"\x20\x03\x00\x00\x00"
    nonsense = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 100, b"\x20\x02\x00", b"\x20\xff\xff\xff\xff\xff",
                b"\x20\x03\x00\x87\x00", connack + b"\x90\x04\x00\x01\x00\x87", connack + b"\x32\xff\xff\xff\x7f",
                connack + b"\x90\x02\x00\x01", connack + b"\x90\x04\x00\x01\x00\x01\x32\x01\xff"]  # fmt: skip

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls, talking
        calls += 1
        talking += 1
        with contextlib.suppress(ConnectionError):
            await reader.read(100)
            writer.write(nonsense[calls % len(nonsense)])
            await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        talking -= 1

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with alive(way := by_mqtt(Broker((), Path(), lambda: True, port=port), Follower())):
            await until(lambda: calls > 2 * len(nonsense))
            assert not way.state.received
        await until(lambda: not talking)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_password_and_tls(tmp_path: Path) -> None:
    secret = "correct horse"
    tls = make_tls(tmp_path / "tls")
    with mosquitto(tmp_path, password=secret, tls=tls) as broker:
        follower = Follower()
        async with alive(way := by_mqtt(broker, follower, mqtt_ca=str(tls.ca))):
            await until(lambda: way.state.is_connected)
            await publish(broker, message("a.jpg"))
            await until(lambda: follower.keys == ["a.jpg"])
            assert secret not in repr(way.state)
        wrong: list[tuple[dict[str, str], str, str]] = [
            ({"mqtt_ca": str(tls.ca), "mqtt_password": "wrong-" + secret}, "not authori", "mqtt_password"),
            ({"mqtt_ca": str(tls.ca), "mqtt": broker.url("t").replace("lakewatchd@", "")}, "not authori", ""),
            ({}, "not trusted", "mqtt_ca"),
            ({"mqtt_ca": str(tmp_path / "nothing.pem")}, "no certificate", "mqtt_ca"),
        ]
        for settings, problem, hint in wrong:
            async with alive(way := by_mqtt(broker, follower, **settings)):
                await until(lambda: way.state.problem)
                assert problem in way.state.problem.lower() and hint in way.state.hint, way.state
                assert secret not in repr(way.state)
        gc.collect()  # paho leaves the socket of a handshake that failed to the collector


@pytest.mark.parametrize(("granted", "problem"), [(0, "QoS 0"), (128, "subscribe"), (135, "subscribe")])
def test_a_subscription_that_is_worth_nothing(granted: int, problem: str) -> None:
    with pytest.raises(remote.Refused, match=problem) as refused:
        mqtt.require_granted(granted)
    assert refused.value.hint


async def test_nobody_there(tmp_path: Path) -> None:
    broker = mosquitto(tmp_path)
    async with alive(way := by_mqtt(broker, Follower())):
        await until(lambda: way.state.problem)
        assert "refused" in way.state.problem and "running" in way.state.hint and not way.state.reconnects
        with broker:
            await until(lambda: way.state.is_connected and not way.state.problem)


async def test_two_of_one_identity_say_why_they_lose_each_other(broker: Broker) -> None:
    async with alive(first := by_mqtt(broker, Follower(), "twins")):
        await until(lambda: first.state.is_connected)
        async with alive(by_mqtt(broker, Follower(), "twins")):
            await until(lambda: "copy of this state directory" in first.state.hint)


def test_the_identity_is_made_once(tmp_path: Path) -> None:
    assert identity_in(tmp_path) == identity_in(tmp_path) != ""
    assert os.listdir(tmp_path) == ["mqtt-identity"]


# --- Redis -------------------------------------------------------------------------------------------------


def by_redis(server: Redis, follower: Follower, key: str, bucket: str = "photos", **more: Any) -> RedisList:
    more = {"redis": server.url(key), "redis_password": server.password, **more}
    settings = BucketConfig(name="cloud", bucket=bucket, endpoint="http://127.0.0.1:1", **more)
    return RedisList(settings, follower.deliver, follower.gaps.append, SystemClock())


def asked(server: Redis) -> redis.Redis:
    return redis.Redis(host=server.host, port=server.port, password=server.password or None)


async def test_a_list_that_a_gateway_appends_to(redis_server: Redis, tmp_path: Path) -> None:
    follower = Follower()
    with juicefs_gateway(tmp_path, redis=f"{redis_server.host}:{redis_server.port}") as gateway:
        bucket = gateway.make_bucket()
        notify(gateway, bucket, "arn:minio:sqs::PRIMARY:redis")
        async with alive(way := by_redis(redis_server, follower, "events", bucket)):
            await until(lambda: way.state.is_connected)
            await asyncio.to_thread(put_and_remove, gateway, bucket)
            await until(lambda: len(follower.notices) == 2 * len(ODD_KEYS))
    removed = [notice.key for notice in follower.notices if notice.change is Change.REMOVED]
    assert sorted(removed) == sorted(ODD_KEYS) and not way.state.bad
    with asked(redis_server) as server:
        await until(lambda: not server.exists("events"))


async def test_entries_are_cut_off_when_they_are_durable_and_not_before(redis_server: Redis) -> None:
    follower = Follower(error=OutOfSpace("no room", "make some"))
    with asked(redis_server) as server:
        server.rpush("cut", *(message(f"{number}.jpg") for number in range(1200)))
        async with alive(way := by_redis(redis_server, follower, "cut")):
            await until(lambda: way.state.problem == "no room")
            assert server.llen("cut") == 1200
            follower.error, follower.notices = None, []
            await until(lambda: server.llen("cut") == 0)
            assert follower.keys == [f"{number}.jpg" for number in range(1200)]
            server.rpush("cut", message("later.jpg"))
            await until(lambda: follower.keys[-1] == "later.jpg" and not server.llen("cut"))


async def test_a_list_of_hostile_entries(redis_server: Redis) -> None:
    follower = Follower()
    large = message("large.jpg") + b" " * (MAX_BYTES - 1000)
    with asked(redis_server) as server:
        server.rpush("odd", b"", b"\0", b"x" * (MAX_BYTES + 1), large, large, b"[1, 2]", message("good.jpg"))
        async with alive(way := by_redis(redis_server, follower, "odd")):
            await until(lambda: not server.exists("odd"))
            assert follower.keys == ["large.jpg", "large.jpg", "good.jpg"] and way.state.bad == 3


async def test_redis_killed_and_started_again(tmp_path: Path) -> None:
    follower = Follower()
    with redis_of(tmp_path, password="hunter2-hunter2") as server:
        async with alive(way := by_redis(server, follower, "events")):
            await until(lambda: way.state.is_connected)
            server.kill()
            await until(lambda: not way.state.is_connected)
            assert "running" in way.state.hint
            server.start()
            await until(lambda: way.state.is_connected)
            with asked(server) as asking:
                asking.rpush("events", message("a.jpg"))
            await until(lambda: follower.keys == ["a.jpg"])
            assert way.state.reconnects == 1 and len(follower.gaps) == 2
        async with alive(way := by_redis(server, follower, "events", redis_password="wrong-hunter2")):
            await until(lambda: way.state.problem)
            assert "redis_password" in way.state.hint and "hunter2" not in repr(way.state)


async def test_a_hash_is_no_list(redis_server: Redis) -> None:
    with asked(redis_server) as server:
        server.hset("hash", "photos/a.jpg", message("a.jpg"))
    async with alive(way := by_redis(redis_server, Follower(), "hash")):
        await until(lambda: way.state.problem)
        assert "hash" in way.state.problem and "format=access" in way.state.hint


# --- listen ------------------------------------------------------------------------------------------------

ODD_KEYS = [
    "plain.jpg",
    "a b+c%20ü/é&=?#.jpg",
    "nl\nx",
    "back\\slash",
    'q"uote',
    "日本/x",
    "a~!@$^*()_-.jpg",
    "k" * 200,
]


def put_and_remove(gateway: S3Server, bucket: str, keys: Sequence[str] = ODD_KEYS) -> None:
    sdk = gateway.client()
    for key in keys:
        sdk.put_object(bucket, key, io.BytesIO(b"hello"), 5)
    for key in keys:
        sdk.remove_object(bucket, key)


def notify(gateway: S3Server, bucket: str, arn: str) -> None:
    rule = TargetConfig(["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], queue=arn)
    gateway.client().set_bucket_notification(bucket, NotificationConfig(queue_config_list=[rule]))


def by_listen(settings: BucketConfig, follower: Follower) -> Listen:
    return Listen(settings, Bucket(settings, ObjectsConfig()), follower.deliver, follower.gaps.append, SystemClock())


async def test_the_stream_of_a_gateway(gateway: S3Server) -> None:
    bucket, follower = gateway.make_bucket(), Follower()
    async with alive(way := by_listen(gateway.settings(bucket), follower)):
        await until(lambda: way.state.is_connected)
        await asyncio.to_thread(put_and_remove, gateway, bucket)
        await until(lambda: len(follower.notices) == 2 * len(ODD_KEYS))
    added = [notice for notice in follower.notices if notice.change is Change.ADDED]
    assert [notice.key for notice in added] == ODD_KEYS
    assert all(notice.size_bytes == 5 and notice.etag and notice.sequencer for notice in added)
    assert not (way.state.bad or way.state.foreign or way.state.unknown)


async def test_only_what_lies_below_the_prefix(gateway: S3Server) -> None:
    bucket, follower = gateway.make_bucket(), Follower()
    async with alive(way := by_listen(gateway.settings(bucket, prefix="in side/"), follower)):
        await until(lambda: way.state.is_connected)
        await asyncio.to_thread(put_and_remove, gateway, bucket, ["out/a", "in side/b", "in sid"])
        await until(lambda: len(follower.notices) == 2)
    assert set(follower.keys) == {"in side/b"}


async def test_a_gateway_killed_and_started_again(tmp_path: Path) -> None:
    follower = Follower()
    with juicefs_gateway(tmp_path) as gateway:
        bucket = gateway.make_bucket()
        async with alive(way := by_listen(gateway.settings(bucket), follower)):
            await until(lambda: way.state.is_connected)
            gateway.kill()
            await until(lambda: not way.state.is_connected)
            assert way.state.problem
            gateway.start()
            await until(lambda: way.state.is_connected)
            await asyncio.to_thread(put_and_remove, gateway, bucket, ["a.jpg"])
            await until(lambda: follower.keys == ["a.jpg"] * 2)
            assert len(follower.gaps) == way.state.reconnects + 1 >= 2


async def test_a_server_that_falls_silent(gateway: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "SILENCE_S", 1.0)
    bucket, follower = gateway.make_bucket(), Follower()
    async with alive(way := by_listen(gateway.settings(bucket), follower)):
        await until(lambda: way.state.is_connected)
        gateway.freeze()
        try:
            await until(lambda: not way.state.is_connected)
        finally:
            gateway.thaw()
        await until(lambda: way.state.is_connected)


@dataclass
class Stream:
    """What a server might answer, in pieces, from another thread; then silence, until it is shut."""

    told: Iterable[bytes]
    is_shut: threading.Event = field(default_factory=threading.Event)
    passed: int = 0

    def stream(self, query: Sequence[tuple[str, str]], timeout_s: float) -> Stream:
        return self

    def pieces(self) -> Iterator[bytes]:
        for piece in self.told:
            if self.is_shut.is_set():
                return
            yield piece
            self.passed += 1
        self.is_shut.wait()

    def shut(self) -> None:
        self.is_shut.set()

    def close(self) -> None:
        pass


def by_stream(stream: Stream, follower: Follower) -> Listen:
    settings = BucketConfig(name="cloud", bucket="photos", endpoint="http://127.0.0.1:1")
    return Listen(settings, stream, follower.deliver, follower.gaps.append, SystemClock())


def told(key: str) -> bytes:
    s3 = {"bucket": {"name": "photos"}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": s3}]}).encode() + b"\n"


async def test_a_hostile_stream() -> None:
    follower = Follower()
    endless = (b"x" * 100_000 for _ in range(50))
    pieces = itertools.chain([b" ", b" " + told("a")[:20], told("a")[20:] + told("b")], endless, [b"x\n" + told("c")],
                             [b"\n\n{\n\0\n"], (bytes([byte]) for byte in told("d")), [b" "] * 10)  # fmt: skip
    async with alive(way := by_stream(Stream(pieces), follower)):
        await until(lambda: len(follower.notices) == 4)
        assert follower.keys == ["a", "b", "c", "d"] and way.state.bad == 3


async def test_who_listens_reads_ahead_and_no_further() -> None:
    follower = Follower()
    follower.is_durable.clear()
    stream = Stream(told(str(number)) for number in itertools.count())
    async with alive(by_stream(stream, follower)):
        await until(lambda: stream.passed >= listen.AHEAD)
        await asyncio.sleep(0.05)
        assert stream.passed <= listen.AHEAD + 2 * remote.BATCH
        follower.is_durable.set()
        await until(lambda: len(follower.notices) > 2 * listen.AHEAD)
        assert follower.keys == [str(number) for number in range(len(follower.keys))]
    assert stream.is_shut.is_set()


async def test_a_server_without_such_a_stream() -> None:
    listing = b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult></ListBucketResult>'
    async with alive(way := by_stream(Stream([listing + b"\n"]), Follower())):
        await until(lambda: way.state.problem)
        assert "listen = false" in way.state.hint


# --- one event, every way ----------------------------------------------------------------------------------


async def test_the_records_of_a_webhook_through_the_broker(broker: Broker, tmp_path: Path) -> None:
    """What a gateway posts is what MinIO publishes; heard by listening at the same time, it says the same."""
    posted: list[bytes] = []

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if body := self.rfile.read(int(self.headers.get("Content-Length", 0))):
                posted.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    by_broker, by_stream = Follower(), Follower()
    with juicefs_gateway(tmp_path, webhook=Hook(f"http://127.0.0.1:{door.server_port}/")) as gateway:
        bucket = gateway.make_bucket()
        notify(gateway, bucket, Hook.arn)
        async with (
            alive(first := by_mqtt(broker, by_broker, "from/webhook", bucket=bucket)),
            alive(second := by_listen(gateway.settings(bucket), by_stream)),
        ):
            await until(lambda: first.state.is_connected and second.state.is_connected)
            await asyncio.to_thread(put_and_remove, gateway, bucket)
            await until(lambda: len(posted) == 2 * len(ODD_KEYS))
            await publish(broker, *posted, topic="from/webhook")
            await until(lambda: len(by_broker.notices) == len(by_stream.notices) == 2 * len(ODD_KEYS))
    door.shutdown()
    door.server_close()

    def facts(follower: Follower) -> set[tuple[object, ...]]:
        # The time and the sequencer are those of each sending
        return {(n.bucket, n.key, n.change, n.size_bytes, n.etag, n.name) for n in follower.notices}

    assert facts(by_broker) == facts(by_stream)
    assert {notice.key for notice in by_broker.notices} == set(ODD_KEYS)
