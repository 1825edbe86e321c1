"""S3 event records, schema 2.x, as MinIO and its kin send them -> :class:`Notice`. Pure.

A notice is a hint that something lies, or lies no more, at a key; the bucket is the truth. So whatever is hostile,
unknown or broken in a payload is counted and passed over, and no field but bucket, key and event name is relied on.

Three traps (``internal/event`` of MinIO):

* Keys are form-encoded (a space is ``+``) for every target, and plain in the listen stream.
* ``sequencer`` orders the events of one key, after padding; a put and the tagging of its version share one. JuiceFS
  puts there when it *sent* the event, so two ways tell different ones of the same event.
* Records come alone, as ``{"Records": […]}``, in a Redis log as ``[{"Event": […], "EventTime": …}]``, or, as its text
  says, as ``[time, event]``.
"""

from __future__ import annotations

import enum
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any
from urllib.parse import unquote_plus

from lakewatchd.core.event import Change

MAX_BYTES = 1 << 20
"""A longer payload is not read. One record is about 1 kB."""

MAX_RECORDS = 2000
"""Of one payload; what comes after is bad as a whole. More real ones than fit, and few enough to block nobody."""

MAX_KEY_BYTES = 1024
"""As S3 has it."""

_MAX_SIZE = 1 << 63
_DEPTH = 4
"""How deep records may lie in lists and envelopes."""

_SEQUENCER = re.compile(r"[0-9A-Fa-f]{1,64}")

_CHANGES: dict[str, Change | None] = {
    "ObjectCreated": Change.ADDED,
    "ObjectRemoved": Change.REMOVED,
    "LifecycleExpiration": Change.REMOVED,
    "LifecycleDelMarkerExpiration": Change.REMOVED,
    "ObjectTagging": Change.MODIFIED,
    "ObjectAcl": Change.MODIFIED,
    "ObjectRestore": Change.MODIFIED,
    # What changes nothing here. The first is answered with silence for a second reason: our own reading causes it.
    "ObjectAccessed": None,
    "ObjectTransition": None,
    "LifecycleTransition": None,
    "IntelligentTiering": None,
    "Replication": None,
    "Scanner": None,
    "BucketCreated": None,
    "BucketRemoved": None,
    "TestEvent": None,
}
_LABELS_ONLY = frozenset({"PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold", "PutAcl"})
"""Of ``ObjectCreated``: the content is as it was."""


class Encoding(enum.Enum):
    """How the keys of a channel are written."""

    FORM = "form"
    """``application/x-www-form-urlencoded``: MQTT, webhook, Redis."""
    PLAIN = "plain"
    """As they are: the listen stream."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Look at this key. ``key`` is decoded with ``surrogateescape``, and at most :data:`MAX_KEY_BYTES` long."""

    bucket: str
    key: str
    change: Change
    """``ADDED``, ``MODIFIED`` (only its labels) or ``REMOVED``."""
    sequencer: str = ""
    """Hexadecimal, or empty: see :func:`rank`."""
    at: float | None = None
    """Seconds since the epoch, by the server's clock."""
    size_bytes: int | None = None
    etag: str = ""
    version_id: str = ""
    name: str = ""
    """The event, without ``s3:``: ``ObjectCreated:Put``."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a payload held. Everything in it is in one of the four."""

    notices: tuple[Notice, ...] = ()
    bad: int = 0
    """Records, or the payload as a whole, that make no sense."""
    unknown: int = 0
    """Records of a schema or an event that nobody here knows. They are no hints: what they tell of may be our own
    reading, which would then be answered with more of it."""
    ignored: int = 0
    """Records of events that change no content and no labels."""


def parse(payload: bytes, encoding: Encoding) -> Parsed:
    """The notices in one message, line or value. Never raises for what is in it; a blank one holds nothing.

    Bounded: :data:`MAX_BYTES` of JSON, however deep, and :data:`MAX_RECORDS`.
    """
    if len(payload) > MAX_BYTES:
        return Parsed(bad=1)
    if not payload.strip():
        return Parsed()
    try:
        value = json.loads(payload.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return Parsed(bad=1)
    notices: list[Notice] = []
    others: Counter[_Other] = Counter()
    records = _records(value, _DEPTH)
    for record in islice(records, MAX_RECORDS):
        read = _read(record, encoding)
        if isinstance(read, Notice):
            notices.append(read)
        else:
            others[read] += 1
    others[_Other.BAD] += next(records, records) is not records
    return Parsed(tuple(notices), others[_Other.BAD], others[_Other.UNKNOWN], others[_Other.IGNORED])


def merged(parts: Sequence[Parsed]) -> Parsed:
    """What several payloads held, in their order."""
    return Parsed(
        tuple(chain.from_iterable(part.notices for part in parts)),
        sum(part.bad for part in parts),
        sum(part.unknown for part in parts),
        sum(part.ignored for part in parts),
    )


def rank(sequencer: str) -> int | None:
    """Where the event stands among those of its key: left-padding to one length and comparing is comparing numbers."""
    return int(sequencer, 16) if _SEQUENCER.fullmatch(sequencer) else None


class _Other(enum.Enum):
    """What a record is that is no notice."""

    BAD = enum.auto()
    UNKNOWN = enum.auto()
    IGNORED = enum.auto()


def _records(value: Any, depth: int) -> Iterator[Any]:
    """Each record, wherever in lists and envelopes it lies; and what cannot be one."""
    if isinstance(value, list) and value and depth:
        is_timed = len(value) == 2 and isinstance(value[0], (str, int, float))
        for item in value[1:] if is_timed else value:
            yield from _records(item, depth - 1)
    elif isinstance(value, dict) and "s3" not in value and depth and ("Records" in value or "Event" in value):
        inner = value["Records"] if "Records" in value else value["Event"]
        if isinstance(inner, str):  # the test message of S3 itself: {"Service": …, "Event": "s3:TestEvent", …}
            yield {"eventName": inner}
        elif inner:  # null is how Go writes an empty list
            yield from _records(inner, depth - 1)
    else:
        yield value


def _read(record: Any, encoding: Encoding) -> Notice | _Other:
    if not isinstance(record, dict) or not isinstance(name := record.get("eventName"), str):
        return _Other.BAD
    version = record.get("eventVersion", "2.0")
    group, _, detail = name.removeprefix("s3:").partition(":")
    if not isinstance(version, str) or not version.startswith("2.") or group not in _CHANGES:
        return _Other.UNKNOWN
    change = Change.MODIFIED if detail in _LABELS_ONLY else _CHANGES[group]
    if change is None:
        return _Other.IGNORED
    try:
        bucket, thing = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key = thing["key"]
        if len(key) > 3 * MAX_KEY_BYTES:
            return _Other.BAD
        if encoding is Encoding.FORM:
            key = unquote_plus(key, errors="surrogateescape")
        raw = key.encode("utf-8", "surrogateescape")
    except (LookupError, TypeError, AttributeError, UnicodeEncodeError):
        return _Other.BAD
    if not isinstance(bucket, str) or not 0 < len(bucket) <= 255 or not 0 < len(raw) <= MAX_KEY_BYTES:
        return _Other.BAD
    sequencer = _text(thing, "sequencer")
    return Notice(
        bucket=bucket,
        key=raw.decode("utf-8", "surrogateescape"),  # half a character in each of two notations is one character
        change=change,
        sequencer=sequencer.upper() if _SEQUENCER.fullmatch(sequencer) else "",
        at=_seconds(record.get("eventTime")),
        size_bytes=None if change is Change.REMOVED else _size(thing.get("size")),
        etag=_text(thing, "eTag").strip('"'),
        version_id=_text(thing, "versionId"),
        name=f"{group}:{detail[:64]}",
    )


def _text(thing: Any, name: str) -> str:
    value = thing.get(name)
    return value if isinstance(value, str) and len(value) <= MAX_KEY_BYTES and value.isprintable() else ""


def _size(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_SIZE else None


def _seconds(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
