"""Events through an MQTT broker, as MinIO's MQTT target publishes them. Needs the extra ``bucket``.

MQTT 5, QoS 1 and a session that outlives the connection: the broker keeps what comes while nobody listens. A message
is acknowledged, in the order in which it came, after its events are durable; no more than :data:`WINDOW` are on their
way to us, so that it is the broker that holds the backlog.

On paho and not on aiomqtt, which is built on it: that one tells nobody whether the broker kept a session, and has no
way to acknowledge a message later.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from lakewatchd.buckets.records import MAX_BYTES, Encoding
from lakewatchd.config import BucketConfig
from lakewatchd.core.clock import Clock
from lakewatchd.sources.bucket.way import Deliver, OnGap
from lakewatchd.sources.bucket.ways.reception import Reception
from lakewatchd.sources.bucket.ways.remote import BATCH, Lost, Refused, Remote, parsed
from lakewatchd.sources.worker import Worker

T = TypeVar("T")

WINDOW = 256
"""Messages that the broker may send before we acknowledge one."""

SESSION_S = 7 * 86_400
"""For how long a broker keeps what comes while we are away. A rescan makes up for what is older."""

KEEPALIVE_S = 20
"""A broker that says nothing for twice as long is lost."""

ANSWER_S = 10.0
"""How long a broker may take to let us in."""

_PACKET_BYTES = MAX_BYTES + (64 << 10)
"""A broker sends us nothing larger. What is just too large to be read is counted, and acknowledged."""

_TICK_S = 1.0
_PACKETS = 32
"""How many the event loop reads in one turn: waiting for each costs more than reading it."""

_REFUSALS = {
    130: "the broker does not speak MQTT 5 well: see its log",
    132: "the broker does not speak MQTT 5; Mosquitto does from 1.6 on",
    133: "the broker does not accept the client's name: see its log",
    134: "check the user in mqtt, and mqtt_password",
    135: "check the user in mqtt, mqtt_password, and the broker's ACL",
    138: "this client was banned: see the broker's log",
    142: "another lakewatchd uses a copy of this state directory",
    149: "the broker does not take what we ask for: see its log",
}
"""What may be done about a reason code (MQTT 5, 2.4) with which a broker says no for good."""

_CONNECTION_LOST = 128
"""What paho makes of a connection that ended without a word."""


class Mqtt(Remote):
    """Listens to ``settings.mqtt``. ``identity`` is of this installation, see :func:`identity_in`: the broker knows
    the session by it."""

    def __init__(self, settings: BucketConfig, deliver: Deliver, on_gap: OnGap, clock: Clock, identity: str) -> None:
        url = urlsplit(settings.mqtt)
        self._host, self._is_tls = url.hostname or "", url.scheme == "mqtts"
        self._port = url.port or (8883 if self._is_tls else 1883)
        self._topic = unquote(url.path[1:])
        self._user = unquote(url.username) if url.username else None
        self._password = settings.mqtt_password or None
        self._ca = settings.mqtt_ca
        self._client_id = f"lakewatchd-{settings.name}-{identity}"
        detail = f"{self._host}:{self._port}, topic {self._topic}"
        super().__init__(
            settings.name, Reception("mqtt", detail, settings.bucket, settings.prefix, clock), deliver, on_gap
        )

    async def _session(self) -> None:
        connection = _Connection(self._client())
        try:
            has_session = await connection.open(self._host, self._port)
            await connection.subscribe(self._topic)
            self._stands("the broker may have dropped some" if has_session else "the broker kept nothing for us")
            while True:
                batch = await connection.batch()
                await self._take(await parsed((bytes(message.payload) for message in batch), Encoding.FORM))
                connection.acknowledge(batch)
                if dropped := connection.take_dropped():
                    self._reception.dropped(dropped)
                    self._on_gap("messages of QoS 0 came faster than they could be read")
        finally:
            connection.close()

    def _client(self) -> Client:
        version = CallbackAPIVersion.VERSION2
        client = Client(version, self._client_id, protocol=MQTTv5, reconnect_on_failure=False, manual_ack=True)
        if self._user:
            client.username_pw_set(self._user, self._password)
        if self._is_tls:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=self._ca or None))
            except OSError as exc:
                raise Refused(f"{self._ca} holds no certificate that can be read: {exc}", "correct mqtt_ca") from exc
        return client


class _Connection:
    """One connection of a client, served by the event loop.

    The invariant: whatever the broker, the network or a packet does is told to who waits, as :class:`Lost`.
    """

    def __init__(self, client: Client) -> None:
        self._mqtt = client
        self._loop = asyncio.get_running_loop()
        self._worker = Worker("mqtt-connect")
        self._news = asyncio.Event()
        """One of these changed:"""
        self._has_session: bool | None = None
        self._granted: int | None = None
        self._inbox: deque[MQTTMessage] = deque()
        self._end: Lost | None = None
        self._dropped = 0
        self._tick: asyncio.TimerHandle | None = None

    async def open(self, host: str, port: int) -> bool:
        """Whether the broker knew us, and so kept what came meanwhile."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = WINDOW
        properties.MaximumPacketSize = _PACKET_BYTES
        more: dict[str, Any] = {"clean_start": False, "properties": properties}
        try:
            await self._worker.run_within(ANSWER_S, self._mqtt.connect, host, port, KEEPALIVE_S, **more)
        except ssl.SSLCertVerificationError as exc:
            hint = "put the CA that signed it into mqtt_ca"
            raise Refused(f"the broker's certificate is not trusted: {exc.verify_message}", hint) from exc
        except OSError as exc:
            raise Lost(str(exc) or type(exc).__name__, "is the broker running, and reachable from here?") from exc
        self._attach()
        return await self._answer(lambda: self._has_session)

    async def subscribe(self, topic: str) -> None:
        """With QoS 1, and without what is retained: a listing tells what lies there already."""
        self._mqtt.subscribe(topic, options=SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND))
        require_granted(await self._answer(lambda: self._granted))

    async def batch(self) -> list[MQTTMessage]:
        """What has come, in its order, and at least one; :meth:`acknowledge` it when it is durable.

        No more than the event loop digests at once: a message may hold thousands of events.
        """
        await self._until(lambda: self._inbox or None)
        taken, taken_bytes = list[MQTTMessage](), 0
        while self._inbox and len(taken) < BATCH and taken_bytes < MAX_BYTES:
            taken.append(self._inbox.popleft())
            taken_bytes += len(taken[-1].payload)
        return taken

    def acknowledge(self, batch: Sequence[MQTTMessage]) -> None:
        """The broker may forget them. Of a connection that is lost it sends them again."""
        for message in batch:
            self._mqtt.ack(message.mid, message.qos)

    def take_dropped(self) -> int:
        """Messages that were dropped since this was last asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def close(self) -> None:
        """Say goodbye, if that can be said at once."""
        self._worker.close()
        if self._tick is None:  # a connect that goes on in its thread is forgotten there
            return
        self._tick.cancel()
        with contextlib.suppress(OSError, ValueError):
            self._mqtt.disconnect()
            self._mqtt.loop_write()
        if (sock := self._mqtt.socket()) is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()

    # --- the client's side -----------------------------------------------------------------------------------

    def _attach(self) -> None:
        """From here on the client is touched by the event loop only."""
        mqtt, sock = self._mqtt, self._mqtt.socket()
        if sock is None:
            raise Lost("the broker hung up at once")
        mqtt.on_connect = self._on_connect
        mqtt.on_subscribe = self._on_subscribe
        mqtt.on_message = self._on_message
        mqtt.on_disconnect = self._on_disconnect
        mqtt.on_socket_register_write = self._on_register_write
        mqtt.on_socket_unregister_write = self._on_unregister_write
        mqtt.on_socket_close = self._on_close
        self._loop.add_reader(sock.fileno(), self._guarded, self._read)
        self._on_tick()

    def _read(self) -> None:
        for _ in range(_PACKETS):
            before = len(self._inbox)
            self._mqtt.loop_read()
            sock = self._mqtt.socket()
            if len(self._inbox) == before and not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                break  # where one message lay there may be more, else let the loop wait

    def _on_tick(self) -> None:
        self._tick = self._loop.call_later(_TICK_S, self._on_tick)
        self._guarded(self._mqtt.loop_misc)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as exc:  # what paho raises for a packet that is none
            self._fail(Lost(f"the broker sent what cannot be read: {exc!r}"))
            if (sock := self._mqtt.socket()) is not None:
                self._loop.remove_reader(sock.fileno())

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._fail(_told(reason))
        else:
            self._has_session = bool(flags.session_present)
            self._news.set()

    def _on_subscribe(self, client: Client, data: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        self._granted = reasons[0].value
        self._news.set()

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        if message.qos == 0 and len(self._inbox) >= WINDOW:  # of the others the broker sends no more than that
            self._dropped += 1
        else:
            self._inbox.append(message)
            self._news.set()

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._fail(_told(reason))

    def _on_register_write(self, client: Client, data: Any, sock: Any) -> None:
        self._loop.add_writer(sock.fileno(), self._guarded, self._mqtt.loop_write)

    def _on_unregister_write(self, client: Client, data: Any, sock: Any) -> None:
        self._loop.remove_writer(sock.fileno())

    def _on_close(self, client: Client, data: Any, sock: Any) -> None:
        self._loop.remove_reader(sock.fileno())

    def _fail(self, error: Lost) -> None:
        self._end = self._end or error
        self._news.set()

    # --- waiting ---------------------------------------------------------------------------------------------

    async def _answer(self, value: Callable[[], T | None]) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._until(value)
        except TimeoutError as exc:
            raise Lost(f"the broker does not answer within {ANSWER_S:g} s") from exc

    async def _until(self, value: Callable[[], T | None]) -> T:
        while self._end is None:
            if (found := value()) is not None:
                return found
            self._news.clear()
            await self._news.wait()
        raise self._end


def require_granted(code: int) -> None:
    """Raises :class:`Refused` for a subscription that brings nothing, or nothing that is kept."""
    if code == 0:
        raise Refused("the broker grants QoS 0 only, so it would keep nothing for us", "use one that grants QoS 1")
    if code >= 128:
        reason = ReasonCode(PacketTypes.SUBACK, identifier=code)
        hint = "let this user read the topic, in the broker's ACL"
        raise Refused(f"the broker does not let us subscribe: {reason}", hint)


def _told(reason: ReasonCode) -> Lost:
    if reason.value == _CONNECTION_LOST:
        hint = "if that repeats: does another lakewatchd use a copy of this state directory?"
        return Lost("the connection was lost", hint)
    kind, hint = (Refused, _REFUSALS[reason.value]) if reason.value in _REFUSALS else (Lost, "see the broker's log")
    return kind(f"the broker says: {reason}", hint)


def identity_in(state_dir: Path) -> str:
    """What tells this installation from others that listen to the same broker: made once, kept in ``state_dir``."""
    path = state_dir / "mqtt-identity"
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text(encoding="ascii", errors="ignore").strip():
            return kept[:32]
    made = secrets.token_hex(4)
    temporary = path.with_suffix(".new")
    temporary.write_text(made + "\n", encoding="ascii")
    temporary.replace(path)
    return made
