"""Events from a list of Redis, as gateways without an MQTT target append to it (``format=access``). Needs the extra
``bucket``.

Entries are read, made durable, and only then cut off the list: cutting is the acknowledgement. So a list has one
reader. A hash (``format=namespace``) tells what lies in the bucket and not what happened: the listing does that better.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from lakewatchd.buckets.records import MAX_BYTES, Encoding
from lakewatchd.config import BucketConfig
from lakewatchd.core.clock import Clock
from lakewatchd.sources.bucket.way import Deliver, OnGap
from lakewatchd.sources.bucket.ways.reception import Reception
from lakewatchd.sources.bucket.ways.remote import BATCH, Lost, Refused, Remote, parsed

WAIT_S = 5
"""How long the server holds a question that it has no answer to."""

TIMEOUT_S = 10.0

_READ = """
local entries, bytes = redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1), 0
for number, entry in ipairs(entries) do
  if #entry > tonumber(ARGV[2]) then entries[number] = '?' end
  bytes = bytes + #entries[number]
  if bytes > tonumber(ARGV[2]) then
    return {unpack(entries, 1, math.max(1, number - 1))}
  end
end
return entries
"""
"""The first entries, cut to a number and to a sum of bytes; of one that is too long only that it is there."""


class RedisList(Remote):
    """Reads the list that ``settings.redis`` names."""

    def __init__(self, settings: BucketConfig, deliver: Deliver, on_gap: OnGap, clock: Clock) -> None:
        url = urlsplit(settings.redis)
        database, _, key = url.path[1:].partition("/")
        self._key = unquote(key)
        self._host, self._port = url.hostname or "", url.port or 6379
        self._options: dict[str, Any] = {
            "db": int(database),
            "username": unquote(url.username) if url.username else None,
            "password": settings.redis_password or None,
            "ssl": url.scheme == "rediss",
        }
        detail = f"{self._host}:{self._port}, list {self._key}"
        super().__init__(
            settings.name, Reception("redis", detail, settings.bucket, settings.prefix, clock), deliver, on_gap
        )

    async def _session(self) -> None:
        # No timeout and no retry of the library: its reads would swallow a cancel now and then, and how often we try
        # again is told in one place.
        redis = Redis(
            host=self._host,
            port=self._port,
            socket_timeout=None,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            **self._options,
        )
        try:
            async with redis:
                await self._require_list(redis)
                self._stands("a list may have been emptied meanwhile")
                while True:
                    await self._read(redis)
        except (exceptions.RedisError, OSError) as exc:
            raise _told(exc) from exc

    async def _read(self, redis: Redis) -> None:
        if entries := await _answer(redis.eval(_READ, 1, self._key, BATCH, MAX_BYTES)):
            await self._take(await parsed(entries, Encoding.FORM))
            await _answer(redis.ltrim(self._key, len(entries), -1))
        # Taking the first entry and putting it back where it was is how Redis lets one wait for it
        elif await _answer(redis.blmove(self._key, self._key, WAIT_S, "LEFT", "LEFT")) is None:
            await self._require_list(redis)

    async def _require_list(self, redis: Redis) -> None:
        kind = await _answer(redis.type(self._key))
        if kind not in (b"list", b"none"):
            raise Refused(f"{self._key} is no list but a {kind.decode()}", "configure the target with format=access")


async def _answer(question: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await question
    except TimeoutError as exc:
        raise Lost(f"Redis does not answer within {TIMEOUT_S:g} s") from exc


def _told(error: Exception) -> Lost:
    match error:
        case exceptions.AuthenticationError() | exceptions.NoPermissionError():
            return Refused(
                f"Redis says: {error}", "check the user in redis, redis_password, and the rights of the user"
            )
        case exceptions.ResponseError():
            return Refused(f"Redis says: {error}", "Redis 6.2 or later is needed")
        case _ if isinstance(error.__cause__, ssl.SSLError):
            return Refused(f"no TLS with Redis: {error.__cause__}", "use redis:// where the server has no TLS")
    return Lost(str(error) or type(error).__name__, "is Redis running, and reachable from here?")
