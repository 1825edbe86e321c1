"""How a server is told to tell of changes: what is to be set up there for each way, and the bucket's own part of it.

The server's part (a *target*: where to send events, with what password) is set by whoever runs the server, in its
environment. The bucket's part (which events go to which target) can be set by anybody with the right to.

The invariant: rules of others stay as they are, and a secret is never in what is shown; a placeholder stands for it.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from lakewatchd.buckets.client import Bucket
from lakewatchd.config import BucketConfig, WebConfig
from lakewatchd.errors import ConfigError, LakewatchError, RootAway
from lakewatchd.telemetry import one_line

VIAS = ("listen", "webhook", "mqtt", "redis")
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
"""Not ``s3:ObjectAccessed:*``: what lakewatchd reads would be told to it."""
QUEUE_DIR = "/var/lib/minio-events"
"""Where the server keeps what it could not deliver yet; on its own disk."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
_ANY = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Target:
    """A way as its server sees it."""

    via: str
    arn: str
    """Empty for ``listen``, which needs no set-up."""
    environ: tuple[tuple[str, str], ...]
    """For the process of the server. Secrets stand there as ``<name of the key>``."""
    mc: tuple[str, ...]
    """The same by MinIO's client: the target, then the rule. ``ALIAS`` is what it calls the server."""
    note: str = ""
    """What a person has to know besides."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events of a bucket go where."""

    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def tells_all(self, target: Target, prefix: str) -> bool:
        """Does the target hear of every change below ``prefix``?"""
        covers = prefix.startswith(self.prefix) and not self.suffix
        return self.arn == target.arn and covers and set(EVENTS) <= set(self.events)

    def is_part_of(self, target: Target, prefix: str) -> bool:
        """Would a rule that tells the target of every change below ``prefix`` say all that this one does?"""
        kinds = tuple(event.removesuffix("*") for event in EVENTS)
        return (
            self.arn == target.arn
            and self.prefix.startswith(prefix)
            and all(event.startswith(kinds) for event in self.events)
        )


def vias_of(settings: BucketConfig) -> tuple[str, ...]:
    """The ways that the configuration asks for."""
    asked = {
        "listen": settings.listen,
        "webhook": bool(settings.webhook_token),
        "mqtt": bool(settings.mqtt),
        "redis": bool(settings.redis),
    }
    return tuple(via for via in VIAS if asked[via])


def target_of(settings: BucketConfig, web: WebConfig, via: str, name: str = "") -> Target:
    """What the server needs for a way. ``name``: what the target is called there, by default like the root.

    Raises :class:`ConfigError` for a way that the root does not have.
    """
    if via not in vias_of(settings):
        key = {"webhook": "webhook_token", "listen": "listen = true"}.get(via, via)
        raise ConfigError(f"root {settings.name}: has no {via}", f"add {key} to its [[root]], then ask again")
    name = name or settings.name.upper().replace("-", "_")
    if via == "listen":
        return Target(via, "", (), (), "nothing to set up: the keys need s3:ListenBucketNotification, or MinIO's root")
    note, values = {"webhook": _webhook, "mqtt": _mqtt, "redis": _redis}[via](settings, web)
    arn = f"arn:minio:sqs::{name}:{via}"
    start = f"MINIO_NOTIFY_{via.upper()}"
    values |= {"queue_dir": QUEUE_DIR, "queue_limit": "100000"}
    environ = [(f"{start}_ENABLE_{name}", "on"), *((f"{start}_{key.upper()}_{name}", values[key]) for key in values)]
    # Without it MinIO may drop events that it has not written to its queue_dir yet.
    environ.append(("MINIO_API_SYNC_EVENTS", "on"))
    given = " ".join(f"{key}={shlex.quote(value)}" for key, value in values.items())
    prefix = f" --prefix {shlex.quote(settings.prefix)}" if settings.prefix else ""
    mc = (
        f"mc admin config set ALIAS notify_{via}:{name} {given}",
        "mc admin config set ALIAS api sync_events=on",
        "mc admin service restart ALIAS",
        f"mc event add ALIAS/{settings.bucket} {arn} --event put,delete{prefix}",
    )
    return Target(via, arn, tuple(environ), mc, note)


def rules_of(bucket: Bucket) -> tuple[Rule, ...]:
    """What the bucket tells to whom. Raises :class:`LakewatchError` where that may not be asked."""
    bucket.require()
    with _spoken(bucket, "s3:GetBucketNotification"):
        found = bucket.sdk().get_bucket_notification(bucket.settings.bucket)
    return tuple(_rule(item) for item in found.queue_config_list)


def apply(bucket: Bucket, target: Target) -> bool:
    """Have the bucket tell the target of every change; whether anything had to be changed. Other rules stay.

    Raises :class:`LakewatchError` where the server knows no such target, has no notifications, or does not allow it.
    """
    prefix = bucket.settings.prefix
    if not target.arn or any(rule.tells_all(target, prefix) for rule in rules_of(bucket)):
        return False
    from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig

    sdk, name = bucket.sdk(), bucket.settings.bucket
    with _spoken(bucket, "s3:PutBucketNotification", target):
        now = sdk.get_bucket_notification(name)
        # Two rules of one target may not speak of the same keys: one that says nothing more than ours gives way.
        kept = [item for item in now.queue_config_list if not _rule(item).is_part_of(target, prefix)]
        added = QueueConfig(
            queue=target.arn,
            events=list(EVENTS),
            config_id=f"lakewatchd-{bucket.settings.name}-{target.via}",
            prefix_filter_rule=PrefixFilterRule(prefix) if prefix else None,
        )
        rules = NotificationConfig(now.cloud_func_config_list, [*kept, added], now.topic_config_list)
        sdk.set_bucket_notification(name, rules)
    if not any(rule.tells_all(target, prefix) for rule in rules_of(bucket)):
        raise LakewatchError(f"{bucket.about}: the server took the rule and does not have it", "see its log")
    return True


# --- the targets, key by key -------------------------------------------------------------------------------


def _webhook(settings: BucketConfig, web: WebConfig) -> tuple[str, dict[str, str]]:
    host, _, port = web.listen.rpartition(":")
    host, server = host.strip("[]"), urlsplit(settings.endpoint).hostname or ""
    note = ""
    if host in _LOCAL and server not in _LOCAL:
        note = f"only this machine reaches {web.listen}: set web.listen, such as 0.0.0.0:{port}, and guard that port"
    if host in (*_ANY, *_LOCAL):
        host = "127.0.0.1" if server in _LOCAL else _address_towards(server)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/events/{settings.name}"
    return note, {"endpoint": url, "auth_token": "<webhook_token>"}


def _mqtt(settings: BucketConfig, _web: WebConfig) -> tuple[str, dict[str, str]]:
    url = urlsplit(settings.mqtt)
    is_tls = url.scheme == "mqtts"
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    broker = f"{'ssl' if is_tls else 'tcp'}://{host}:{url.port or (8883 if is_tls else 1883)}"
    values = {"broker": broker, "topic": unquote(url.path[1:])}
    if url.username:
        values |= {"username": unquote(url.username), "password": "<mqtt_password>"}
    note = "put the broker's CA into the server's certs/CAs directory" if settings.mqtt_ca else ""
    # QoS 1: the broker keeps what it took; MinIO demands it for a queue_dir too.
    return note, {**values, "qos": "1"}


def _redis(settings: BucketConfig, _web: WebConfig) -> tuple[str, dict[str, str]]:
    url = urlsplit(settings.redis)
    database, _, key = url.path[1:].partition("/")
    values = {"address": f"{url.hostname}:{url.port or 6379}", "format": "access", "key": unquote(key)}
    if settings.redis_password:
        values["password"] = "<redis_password>"
    return "" if int(database) == 0 else f"MinIO writes to database 0, this root reads {database}", values


def _address_towards(host: str) -> str:
    """The address by which that host would see us; our name where it cannot be told."""
    with contextlib.suppress(OSError):
        for family, kind, _protocol, _name, address in socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind) as probe:
                probe.connect(address)  # of datagrams: nothing is sent
                return str(probe.getsockname()[0])
    return socket.gethostname()


# --- the bucket's part -------------------------------------------------------------------------------------


def _rule(item: Any) -> Rule:
    """Of the SDK's kind."""
    prefix, suffix = item.prefix_filter_rule, item.suffix_filter_rule
    events = tuple(item.events)
    return Rule(item.queue or "", events, prefix.value if prefix else "", suffix.value if suffix else "")


@contextlib.contextmanager
def _spoken(bucket: Bucket, right: str, target: Target | None = None) -> Iterator[None]:
    """Errors of the SDK in our words."""
    import urllib3.exceptions
    from minio.error import MinioException, S3Error

    try:
        yield
    except S3Error as exc:
        said = one_line(f"{exc.code}: {exc.message}")[:300]
        # The last one: of SeaweedFS, which takes it for the making of a bucket.
        if exc.code in ("NotImplemented", "MethodNotAllowed", "XMinioNotImplemented", "BucketAlreadyOwnedByYou"):
            message, hint = "this server keeps no rules of notifications", "listen = true may do; a rescan always does"
        elif exc.code in ("AccessDenied", "AllAccessDisabled"):
            message, hint = f"not allowed ({right})", "docs/howto/minio.md has the policy; or do it as MinIO's admin"
        elif exc.code == "InvalidArgument" and target and "ARN" in (exc.message or ""):
            message = f"the server knows no target {target.arn}"
            hint = f"set it up there and restart it: lakewatchd bucket setup {bucket.settings.name} says how"
        else:
            message, hint = said, "see the log of the server"
        raise LakewatchError(f"{bucket.about}: {message}", hint) from exc
    except (MinioException, urllib3.exceptions.HTTPError, ValueError, SyntaxError) as exc:  # the last two: of its XML
        raise RootAway(f"{bucket.about}: {one_line(str(exc))[:200]}", "see the log of the server") from exc
