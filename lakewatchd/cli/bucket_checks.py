"""What ``lakewatchd check`` looks at in buckets. Changes nothing, unless a probe object was asked for.

The invariant: a probe that was written is removed again, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lakewatchd.cli import backend
from lakewatchd.cli.checks import Finding, Level
from lakewatchd.config import BucketConfig, Config
from lakewatchd.core.asset import path_text
from lakewatchd.core.status import WayState
from lakewatchd.errors import DaemonDown, LakewatchError

if TYPE_CHECKING:
    from lakewatchd.buckets.client import Bucket

ARRIVE_S = 15.0
"""How long an event may take to come: MinIO asks a target that was away again every three seconds."""
_LOOK_S = 0.25
_SKEW_S = 60
"""Servers refuse requests that are off by 15 minutes."""


def check_buckets(config: Config, *, write_probe: bool = False) -> Iterator[Finding]:
    """Keys, listing, reading, tags, clock and rules of each bucket; with ``write_probe`` whether an event arrives."""
    from lakewatchd.buckets.client import Bucket

    for root in config.buckets:
        about = f"bucket {root.name}"
        try:
            with contextlib.closing(Bucket(root, config.objects)) as bucket:
                yield from _rights(about, root, bucket)
                yield from _rules(about, root, config, bucket)
                if write_probe:
                    yield from _probe(about, root, config, bucket)
        except LakewatchError as exc:
            yield Finding(Level.ERROR, about, exc.message, exc.hint or "")


def _rights(about: str, root: BucketConfig, bucket: Bucket) -> Iterator[Finding]:
    """What the keys allow. Raises where the bucket cannot even be listed."""
    origin = bucket.origin
    bucket.require()
    yield Finding(Level.OK, about, f"{root.bucket} at {root.endpoint} is listed; keys: {origin}")
    ahead_s = bucket.clock_ahead_s()
    if abs(ahead_s) > _SKEW_S:
        text = f"the server's clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
        yield Finding(Level.WARNING, f"{about} clock", text, "timedatectl set-ntp true   (on both)")
    first = next((item for page in bucket.pages() for item in page if item.size_bytes), None)
    if first is None and root.prefix.startswith("/"):
        text = f"no object is below {path_text(root.prefix)}: most servers keep no key that begins with /"
        fix = f"prefix = {json.dumps(root.prefix.lstrip('/'))}"
        yield Finding(Level.WARNING, f"{about} prefix", text, fix)
        return
    if first is None:
        yield Finding(Level.OK, f"{about} reading", "there is nothing in it yet to try with")
        return
    try:
        bucket.head(first.key)
        for _piece in bucket.read(first.key, 0, 1):
            break
    except LakewatchError as exc:
        yield Finding(Level.ERROR, f"{about} reading", exc.message, exc.hint or "")
    except (FileNotFoundError, OSError) as exc:
        yield Finding(Level.WARNING, f"{about} reading", f"{path_text(first.key)} went away: {exc}", "ask again")
    else:
        yield Finding(Level.OK, f"{about} reading", f"{path_text(first.key)} can be read")
    if root.object_tags and not bucket.may_read_tags(first.key):
        fix = "allow s3:GetObjectTagging (docs/howto/minio.md), or object_tags = false"
        yield Finding(Level.WARNING, f"{about} tags", "tags of objects may not be read", fix)


def _rules(about: str, root: BucketConfig, config: Config, bucket: Bucket) -> Iterator[Finding]:
    """Does the server tell of changes, in each way that is configured?"""
    from lakewatchd.buckets import notifications

    vias = notifications.vias_of(root)
    if not vias:
        text = "no way is configured: only rescans find changes"
        yield Finding(Level.WARNING, f"{about} events", text, "listen = true, webhook_token, mqtt or redis")
    if "listen" in vias:
        try:
            with bucket.stream([("events", event) for event in notifications.EVENTS], config.objects.timeout_s):
                yield Finding(Level.OK, f"{about} listen", "the server has a stream of events")
        except LakewatchError as exc:
            yield Finding(Level.WARNING, f"{about} listen", exc.message, exc.hint or "")
    rules: tuple[notifications.Rule, ...] = ()
    told = [via for via in vias if via != "listen"]
    if told:
        try:
            rules = notifications.rules_of(bucket)
        except LakewatchError as exc:
            yield Finding(Level.WARNING, f"{about} {' '.join(told)}", f"not to be seen: {exc.message}", exc.hint or "")
            return
    for via in told:
        # Its target may be called anything.
        arns = {rule.arn for rule in rules if rule.arn.endswith(f":{via}")}
        targets = [notifications.target_of(root, config.web, via, arn.split(":")[-2]) for arn in sorted(arns)]
        if any(rule.tells_all(target, root.prefix) for target in targets for rule in rules):
            yield Finding(Level.OK, f"{about} {via}", "the bucket has a rule for it")
        else:
            fix = f"lakewatchd bucket setup {root.name} --via {via}"
            yield Finding(Level.WARNING, f"{about} {via}", "the bucket has no rule that tells it of every change", fix)


def _probe(about: str, root: BucketConfig, config: Config, bucket: Bucket) -> Iterator[Finding]:
    """Write an object, see its event arrive, remove it."""
    from lakewatchd.buckets.keys import PROBE

    try:
        before = _ways(root, config)
    except DaemonDown as exc:
        yield Finding(Level.WARNING, f"{about} probe", "events are not tried while no daemon runs", exc.hint or "")
        return
    key = f"{root.prefix}{PROBE}{secrets.token_hex(8)}"
    try:
        bucket.put(key, b"lakewatchd check --write-probe\n")
    except LakewatchError as exc:
        with contextlib.suppress(LakewatchError):  # a put without an answer may have been done all the same
            bucket.remove(key)
        fix = "none is needed: reading is enough. To try it all the same, allow s3:PutObject and s3:DeleteObject"
        yield Finding(Level.WARNING, f"{about} probe", f"events cannot be tried: {exc.message}", fix)
        return
    began, took = time.monotonic(), dict[str, float]()
    try:
        while len(took) < len(before) and time.monotonic() - began < ARRIVE_S:
            time.sleep(_LOOK_S)
            for name, way in _ways(root, config).items():
                if way.received > (before[name].received if name in before else 0):
                    took.setdefault(name, time.monotonic() - began)
    finally:
        bucket.remove(key)
    for name, way in before.items():
        if name in took:
            yield Finding(Level.OK, f"{about} {name} probe", f"an event arrived after {took[name]:.1f} s")
        else:
            fix = way.hint or f"lakewatchd bucket setup {root.name} --via {name}"
            problem = f": {way.problem}" if way.problem else ""
            yield Finding(Level.ERROR, f"{about} {name} probe", f"no event within {ARRIVE_S:g} s{problem}", fix)


def _ways(root: BucketConfig, config: Config) -> dict[str, WayState]:
    """What the running daemon says. Raises :class:`DaemonDown`."""
    views = (view for view in backend.live_status(config).roots if view.name == root.name)
    return {way.name: way for view in views for way in view.ways}
