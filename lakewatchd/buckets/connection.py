"""Signed requests to the server of one bucket, and what goes wrong with them, in words.

The SDK signs; the requests are our own, because it has no conditional reads, follows redirects, and keeps trying for
minutes where a person waits for an answer.

The invariant: a request ends. Silence for ``objects.timeout_s`` ends it, so does an answer that is longer than agreed
on; nothing is ever sent to another host than the configured one, and no secret is in what is raised.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import math
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, quote, urlsplit

from lakewatchd.buckets import markup
from lakewatchd.buckets.access import Credentials, credentials_of
from lakewatchd.config import BucketConfig, ObjectsConfig
from lakewatchd.errors import Busy, ConfigError, LakewatchError, RootAway, TimedOut
from lakewatchd.telemetry import one_line

if TYPE_CHECKING:
    import ssl

    from minio import Minio
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

MAX_ANSWER = 65_536
"""Bytes of an error or of anything else that is small."""
PIECE = 262_144
CONNECT_S = 5.0
SOON_S = 60.0
"""Within which an answer that has to be short has to be whole."""
_WORTH_READING = 16_384
_RETRIES_S = (0.2, 0.6)
"""Waits before a server that says it cannot just now is asked again."""
_NOT_MADE = 501
_SMALL_REQUESTS = 4
"""Connections besides those for bytes: who asks for a size does not wait for somebody's film."""
_NOBODY = hashlib.sha256(b"").hexdigest()

Pairs = Sequence[tuple[str, str]]


@dataclass(eq=False)
class Refusal(Exception):
    """The server answered, and not with what was asked for."""

    status: int
    code: str = ""
    """As S3 names it, empty where the answer had no body (HEAD)."""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""

    def __str__(self) -> str:
        return f"{self.status} {self.code or ''} {self.message}".strip()

    @property
    def is_about_encryption(self) -> bool:
        return self.status == 400 and "ncrypt" in self.message


class Answer:
    """What a server answered. A context manager: whatever was not read is given up when it ends."""

    def __init__(self, response: BaseHTTPResponse, about: str) -> None:
        self._response, self._about = response, about
        self.status, self.headers = response.status, response.headers

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """The body as it comes, at most ``size`` bytes at once. Raises ``RootAway`` or ``TimedOut``, also where it ends
        before its announced length."""
        while True:
            try:
                with _translated(self._about):
                    piece = self._response.read1(size, decode_content=False)
            except _Broken as exc:
                raise RootAway(f"{self._about}: {exc}", "is the server on and well? see its log") from exc
            if not piece:
                return
            yield piece

    def bounded(self, limit: int = MAX_ANSWER, within_s: float | None = None) -> Iterator[bytes]:
        """The same for an answer that has to be short and to come soon. Raises ``RootAway`` where it is not."""
        left, until = limit, time.monotonic() + (within_s or SOON_S)
        for piece in self.pieces(PIECE):
            left -= len(piece)
            if left < 0 or time.monotonic() > until:
                raise RootAway(f"{self._about}: the answer has no end", "is this a server of S3?")
            yield piece

    def shut(self) -> None:
        """From another thread: whoever reads now gets an end."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._response.shutdown()

    def close(self) -> None:
        # A connection that was read empty can be used again; what is left may also be the rest of a film.
        if (self._response.length_remaining or 0) <= _WORTH_READING:
            with contextlib.suppress(_Broken, LakewatchError), _translated(self._about):
                self._response.read1(_WORTH_READING, decode_content=False)
        self._response.close()
        self._response.release_conn()  # closed or not, it is one of so many

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Connection:
    """May be used by any number of threads."""

    def __init__(self, settings: BucketConfig, objects: ObjectsConfig) -> None:
        """Raises ``ConfigError`` where the extra is missing."""
        if any(importlib.util.find_spec(name) is None for name in ("minio", "urllib3")):
            raise ConfigError("buckets need the extra 'bucket'", f"{sys.prefix}/bin/pip install 'lakewatchd[bucket]'")
        self.settings, self.objects = settings, objects
        parts = urlsplit(settings.endpoint)
        host = parts.hostname or ""
        self.is_virtual = settings.addressing == "virtual" or (
            settings.addressing == "auto" and host.endswith(".amazonaws.com") and "." not in settings.bucket
        )
        self._scheme = parts.scheme
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._name = f"{settings.bucket}.{host}" if self.is_virtual else host
        shown = f"[{self._name}]" if ":" in self._name else self._name
        is_usual = self._port == {"http": 80, "https": 443}[parts.scheme]
        self.host = shown if is_usual else f"{shown}:{self._port}"
        self._base = "" if self.is_virtual else f"/{settings.bucket}"
        self.about = f"bucket {settings.bucket} at {settings.endpoint.rstrip('/')}"
        self._region = settings.region or "us-east-1"
        self._credentials: Credentials | None = None
        self._pools: dict[str, HTTPConnectionPool] = {}
        self._lock = threading.Lock()

    def open(
        self,
        method: str,
        key: str | None = None,
        query: Pairs = (),
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        bytes_wanted: bool = False,
        timeout_s: float | None = None,
    ) -> Answer:
        """Ask. ``key`` None: the bucket itself. ``bytes_wanted``: by one of ``objects.connections``, the others are
        few and for short questions. ``timeout_s``: the silence allowed, if not ``objects.timeout_s``.

        A server that cannot just now is asked twice more, within a second. Raises :class:`Refusal` where it answered
        with anything but success, ``RootAway`` where there is nobody or the keys are missing, ``TimedOut`` where it
        says nothing, ``Busy`` where all connections are in use or it has too much to do.
        """
        waits = iter(_RETRIES_S)
        is_corrected = False
        while True:
            asked_by = self.credentials(), self._region
            try:
                answer = self._once(method, key, query, headers or {}, body, bytes_wanted, timeout_s)
            except _Broken as exc:
                # Also where the server closed an idle connection just as it was used.
                if (wait := next(waits, None)) is None:
                    raise RootAway(f"{self.about}: {exc}", "is the server on and well? see its log") from exc
            else:
                if answer.status < 300:
                    return answer
                refusal = self._refusal(answer)
                if not is_corrected and self._corrects(refusal, *asked_by):
                    is_corrected = True
                    continue
                is_passing = refusal.status == 429 or (refusal.status >= 500 and refusal.status != _NOT_MADE)
                if not is_passing or (wait := next(waits, None)) is None:
                    raise refusal
            time.sleep(wait * random.uniform(0.5, 1.5))

    def accepts(self, within_s: float) -> bool:
        """Whether anybody takes a connection there. A server whose disks have to start first does, one that is off or
        cut off does not."""
        host = "localhost" if self._name.endswith(".localhost") else self._name
        with contextlib.suppress(OSError), socket.create_connection((host, self._port), within_s):
            return True
        return False

    def credentials(self) -> Credentials:
        """Raises ``RootAway``: keys that cannot be read now may be readable later."""
        with self._lock:
            if self._credentials is None:
                try:
                    self._credentials = credentials_of(self.settings)
                except ConfigError as exc:
                    raise RootAway(f"{self.about}: {exc.message}", exc.hint) from exc
            return self._credentials

    def sdk(self) -> Minio:
        """The SDK for the same server, with the same patience. Raises ``RootAway``."""
        import urllib3
        from minio import Minio

        keys, silence = self.credentials(), self.objects.timeout_s
        timeout = urllib3.Timeout(connect=min(CONNECT_S, silence), read=silence)
        http = urllib3.PoolManager(timeout=timeout, retries=False)
        if self._scheme == "https":
            http = urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=self._trust())
        sdk = Minio(
            urlsplit(self.settings.endpoint).netloc,
            keys.access_key or None,
            keys.secret_key or None,
            secure=self._scheme == "https",
            region=self._region,
            http_client=http,
        )
        if self.is_virtual:
            sdk.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        return sdk

    def close(self) -> None:
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def _once(
        self,
        method: str,
        key: str | None,
        query: Pairs,
        headers: Mapping[str, str],
        body: bytes,
        bytes_wanted: bool,
        timeout_s: float | None,
    ) -> Answer:
        import urllib3

        path = f"{self._base}/{_quoted(key)}" if key is not None else self._base or "/"
        text = "&".join(f"{_quoted(name, '')}={_quoted(value, '')}" for name, value in sorted(query))
        signed = self._signed(method, path, text, headers, body)
        silence = timeout_s or self.objects.timeout_s
        timeout = urllib3.Timeout(connect=min(CONNECT_S, silence), read=silence)
        with _translated(self.about):
            response = self._pool(bytes_wanted).urlopen(
                method,
                f"{path}?{text}" if text else path,
                body=body or None,
                headers=signed,
                retries=False,
                redirect=False,
                timeout=timeout,
                pool_timeout=math.ceil(self.objects.timeout_s),
                preload_content=False,
                decode_content=False,
            )
        return Answer(response, self.about)

    def _signed(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        digest = hashlib.sha256(body).hexdigest() if body else _NOBODY
        now = datetime.now(UTC)
        own = {"Host": self.host, "x-amz-content-sha256": digest, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ")}
        sent = {**headers, **own}
        keys = self.credentials()
        if not keys.are_given:
            return sent
        from minio.credentials.credentials import Credentials as SdkCredentials
        from minio.signer import sign_v4_s3

        signed = sign_v4_s3(
            method=method,
            url=SplitResult(self._scheme, self.host, path, query, ""),
            region=self._region,
            headers=dict(sent),
            credentials=SdkCredentials(keys.access_key, keys.secret_key),
            content_sha256=digest,
            date=now,
        )
        return {name: str(value) for name, value in signed.items()}

    def _pool(self, bytes_wanted: bool) -> HTTPConnectionPool:
        kind = "bytes" if bytes_wanted else "small"
        with self._lock:
            if kind not in self._pools:
                # As many objects are read whole, and beside them as many pieces (``reader.Line``).
                self._pools[kind] = self._make_pool(2 * self.objects.connections if bytes_wanted else _SMALL_REQUESTS)
            return self._pools[kind]

    def _make_pool(self, size: int) -> HTTPConnectionPool:
        import urllib3

        # Every name below localhost is this machine, whatever its resolver knows (RFC 6761).
        host = "localhost" if self._name.endswith(".localhost") else self._name
        if self._scheme == "http":
            return urllib3.HTTPConnectionPool(host, self._port, maxsize=size, block=True)
        return urllib3.HTTPSConnectionPool(
            host, self._port, maxsize=size, block=True, ssl_context=self._trust(), assert_hostname=self._name
        )

    def _trust(self) -> ssl.SSLContext:
        import ssl

        try:
            return ssl.create_default_context(cafile=self.settings.tls_ca or None)
        except OSError as exc:  # also where no certificate is in the file
            raise RootAway(
                f"{self.about}: tls_ca: {self.settings.tls_ca}: {exc.strerror}", "name a file in PEM"
            ) from exc

    def _refusal(self, answer: Answer) -> Refusal:
        with answer:
            said: dict[str, str] = {}
            # A server that explains itself badly has refused all the same.
            with contextlib.suppress(markup.BadMarkup, LakewatchError):
                said = dict(markup.texts_of(answer.bounded(within_s=self.objects.timeout_s)))
            headers = {name.lower(): value for name, value in answer.headers.items()}
        if region := said.get("Region"):
            headers.setdefault("x-amz-bucket-region", region)
        code = said.get("Code") or headers.get("x-minio-error-code", "")
        return Refusal(answer.status, code[:80], one_line(said.get("Message", "")[:200]), headers)

    def _corrects(self, refusal: Refusal, keys: Credentials, region_then: str) -> bool:
        """Is it worth asking again, with what the server said or with keys that were changed since? Another thread may
        have found out first."""
        region = refusal.headers.get("x-amz-bucket-region", "")
        if not self.settings.region and region not in ("", region_then) and refusal.status in (301, 307, 400, 403):
            self._region = region[:64]
            return True
        if refusal.code in ("InvalidAccessKeyId", "SignatureDoesNotMatch") or refusal.status in (401, 403):
            with self._lock:
                if self._credentials == keys:
                    self._credentials = None
            return self.credentials() != keys
        return False

    def away(self, refusal: Refusal) -> RootAway | Busy | None:
        """What a refusal says of the whole bucket, or None: it is about what was asked for."""
        code, status = refusal.code, refusal.status
        origin = self._credentials.origin if self._credentials else "nowhere"
        text, hint = "", ""
        if code == "NoSuchBucket":
            text, hint = "there is no such bucket", "name one that is there, or make it"
        elif code in ("InvalidAccessKeyId", "InvalidAccessKey"):
            text, hint = f"the server does not know the access key ({origin})", "give the keys of a user of this server"
        elif code == "SignatureDoesNotMatch":
            text, hint = f"the secret key is wrong ({origin})", "give both keys as the server shows them"
        elif code == "RequestTimeTooSkewed":
            text, hint = "the clocks of server and this machine differ", "timedatectl set-ntp true   (on both)"
        elif code == "AuthorizationHeaderMalformed":
            text, hint = f"the region is not {self._region!r}", "name the server's: region = …"
        elif 300 <= status < 400:
            where = one_line(refusal.headers.get("location", "")[:200])
            text, hint = f"sends elsewhere ({where or status})", "make that the endpoint, or name the region"
        elif code in ("SlowDown", "SlowDownRead", "TooManyRequests", "RequestLimitExceeded") or status == 429:
            return Busy(f"{self.about}: has too much to do: {code or status}")
        if not text:
            return None
        return RootAway(f"{self.about}: {text}", hint)


class _Broken(Exception):
    """The connection ended where an answer was due."""


@contextlib.contextmanager
def _translated(about: str) -> Iterator[None]:
    """Errors of urllib3 as ours. The order matters: several of them are kinds of one another."""
    import urllib3.exceptions as their

    try:
        yield
    except their.EmptyPoolError as exc:
        raise Busy(f"{about}: all connections are in use", "objects.connections allows more") from exc
    except (their.ConnectTimeoutError, their.NameResolutionError, their.NewConnectionError) as exc:
        raise RootAway(f"{about}: {_reason(exc)}", "is the server on, and the endpoint right?") from exc
    except their.ReadTimeoutError as exc:
        raise TimedOut(f"{about}: says nothing", "is the server overloaded? objects.timeout_s allows more") from exc
    except their.SSLError as exc:
        reason = one_line(str(exc.args[0] if exc.args else exc))[:200]
        if "WRONG_VERSION_NUMBER" in reason:
            raise RootAway(f"{about}: what answers there is not TLS", "write http:// in the endpoint") from exc
        raise RootAway(f"{about}: no trust: {reason}", "tls_ca names the certificates to trust") from exc
    except (their.ProtocolError, their.HTTPError, OSError) as exc:
        raise _Broken(f"the connection broke: {_reason(exc)}") from exc


_IN_WORDS = {"ConnectTimeoutError": "does not answer"} | dict.fromkeys(
    ("ProtocolError", "IncompleteRead", "InvalidChunkLength"), "the answer ended too early, or is no HTTP"
)
"""By the names of their classes, since urllib3 is imported on use."""


def _reason(exc: BaseException) -> str:
    """The innermost cause: libraries wrap it in sentences of their own."""
    for inner in (exc.__cause__, exc.__context__, *exc.args):
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
    name = type(exc).__name__
    return _IN_WORDS.get(name, one_line(name))


def _quoted(text: str, safe: str = "/") -> str:
    return quote(text.encode(errors="surrogateescape"), safe=safe)
