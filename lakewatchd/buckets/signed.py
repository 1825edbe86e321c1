"""One signed request to an S3 server: for what the SDK has no call for, above all writes under a condition.

The invariant: every request ends, within :data:`TRIES` tries of at most ``timeout_s`` without a byte each; and no error
repeats what a server said of the keys.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from lakewatchd.buckets.access import Credentials
from lakewatchd.errors import ConfigError

TRIES = 3
PAUSE_S = 0.2
MAX_ANSWER_BYTES = 64 << 20

_PASSING = frozenset({500, 502, 503, 504, 409})
"""Answers after which a request is worth another try. 409: two conditional writes met."""


class NoAnswer(Exception):
    """The server cannot be reached, or stopped in the middle."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "").strip('"')

    @property
    def code(self) -> str:
        """What the server calls its error, such as ``AccessDenied``; the number where it does not say."""
        _before, found, rest = self.body.partition(b"<Code>")
        name = rest.partition(b"</Code>")[0].decode("ascii", "replace") if found else ""
        return name if name.isalnum() and len(name) < 100 else str(self.status)


class Signed:
    """The requests to one bucket. May be used from any thread."""

    def __init__(
        self, bucket: str, endpoint: str, region: str, credentials: Credentials, tls_ca: str = "", timeout_s: float = 10
    ) -> None:
        """An empty ``endpoint`` is AWS. Raises ``ConfigError`` where the extra is missing."""
        try:
            import urllib3
            from minio.credentials.credentials import Credentials as Keys
            from minio.signer import sign_v4_s3
        except ImportError as exc:
            raise ConfigError(f"buckets need the MinIO SDK: {exc}", "pip install 'lakewatchd[bucket]'") from exc
        self._sign = sign_v4_s3
        self._keys = Keys(credentials.access_key, credentials.secret_key) if credentials.are_given else None
        self._region = region or "us-east-1"
        aws = f"https://{bucket}.s3.{self._region}.amazonaws.com"
        self._base = f"{endpoint.rstrip('/')}/{bucket}" if endpoint else aws
        self._failed = urllib3.exceptions.HTTPError
        self._http = urllib3.PoolManager(
            maxsize=8,
            timeout=urllib3.Timeout(connect=min(timeout_s, 5.0), read=timeout_s),
            retries=False,
            ca_certs=tls_ca or None,
        )

    def send(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """The answer, whatever its status. Raises :class:`NoAnswer`.

        What the server failed at is tried again, so that a write under a condition may be refused because of itself:
        who gets 412 looks what is there.
        """
        for turn in range(TRIES):
            try:
                answer = self._send_once(method, key, query or {}, headers or {}, body)
            except self._failed as exc:
                if turn == TRIES - 1:
                    raise NoAnswer(f"{urlsplit(self._base).netloc}: {_reason(exc)}") from exc
            else:
                if answer.status not in _PASSING or turn == TRIES - 1:
                    return answer
            time.sleep(PAUSE_S * 2**turn)
        raise AssertionError("unreachable")

    def _send_once(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        path = f"/{quote(key, safe='/~')}" if key else ""
        asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
        url = urlsplit(f"{self._base}{path or '/'}{'?' if asked else ''}{asked}")
        now, digest = dt.datetime.now(dt.UTC), hashlib.sha256(body).hexdigest()
        told: dict[str, Any] = {
            "Host": url.netloc, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"), "x-amz-content-sha256": digest, **headers,
        }  # fmt: skip
        if self._keys is not None:
            told = self._sign(
                method=method, url=url, region=self._region, headers=told, credentials=self._keys,
                content_sha256=digest, date=now,
            )  # fmt: skip
        answer = self._http.request(
            method, url.geturl(), body=body, headers=told, redirect=False, preload_content=False
        )
        try:
            found = answer.read(MAX_ANSWER_BYTES + 1)
        finally:
            answer.release_conn()
        if len(found) > MAX_ANSWER_BYTES:
            raise self._failed("an answer without end")
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, found)

    def close(self) -> None:
        self._http.clear()


def _reason(exc: BaseException) -> str:
    """The innermost reason: urllib3 wraps it several times."""
    while isinstance(inner := getattr(exc, "reason", None), BaseException):
        exc = inner
    text = str(exc)
    return (text.partition("): ")[2] or text or type(exc).__name__)[:200]
