"""What crosses between the daemon and the web process, as JSON values in the frames of :mod:`lakewatchd.child`.

The daemon has one call for it, to serve, with :class:`Settings`. Meanwhile the web process asks, one thing at a time::

    {"posts": {root: [notice…]}, "tallies": {root: Tally}}     all events that wait, or after a second without any
    {"failed": [root…]}                                        the answer: those of the others are durable

The invariant: whatever the web process sends, :func:`read_letter` gives bounded values of the right types, or raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from lakewatchd.buckets.records import MAX_KEY_BYTES, Notice
from lakewatchd.child import Json
from lakewatchd.config import Config
from lakewatchd.core.event import Change

MAX_NOTICES = 1000
"""Of one frame: so that the daemon's loop reads it in a few milliseconds."""
MAX_FRAME_BYTES = 4 << 20
BACKLOG = 1024
"""Connections that may wait to be accepted; all at once, if it comes to that."""
BEAT_S = 1.0
"""How often the web process is heard of when nothing happens."""

_MAX_COUNT = 1 << 40


@dataclass(frozen=True, slots=True)
class Recipient:
    """A bucket that has a ``webhook_token``, as the web process knows it."""

    name: str
    endpoint: str
    bucket: str
    prefix: str
    token_sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True)
class Settings:
    recipients: tuple[Recipient, ...]
    max_body_bytes: int
    max_waiting: int
    log_level: str = "info"
    token_sha256: str = ""
    """Of ``web.token``, hexadecimal; empty: there is none."""
    config: Config | None = None
    """What search, gallery and API need, with no secret but the keys of buckets. None: only events are received."""


@dataclass(slots=True)
class Tally:
    """What happened at one root's door since the last frame."""

    foreign: int = 0
    unknown: int = 0
    bad: int = 0
    """Events that went no further, as :class:`lakewatchd.core.status.WayState` counts them."""
    refused: int = 0
    """Requests with the right token that were turned away, and may hold events nobody sends again."""
    wrong_tokens: int = 0
    wrong_from: str = ""
    """The address the last wrong token came from."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One frame of the web process. Both by the name of a root; tallies are of the one at whose door it was."""

    posts: dict[str, tuple[Notice, ...]]
    tallies: dict[str, Tally]


@dataclass(slots=True)
class Piece:
    """A part of a frame."""

    notices: list[list[object]]
    weight: int
    """How many bytes it takes at most."""

    def fits(self, weight: int, count: int = 1) -> bool:
        """Whether so much more fits one frame with it."""
        return len(self.notices) + count <= MAX_NOTICES and self.weight + weight <= MAX_FRAME_BYTES // 2

    def add(self, other: Piece) -> None:
        self.notices += other.notices
        self.weight += other.weight


def packed(notice: Notice) -> list[object]:
    return [
        notice.bucket, notice.key, notice.change.value, notice.sequencer, notice.at, notice.size_bytes, notice.etag,
        notice.version_id, notice.name,
    ]  # fmt: skip


def letter(posts: dict[str, list[list[object]]], tallies: dict[str, Tally]) -> Json:
    """The frame: ``posts`` as :func:`packed`."""
    counts = {root: {item.name: getattr(tally, item.name) for item in fields(tally)} for root, tally in tallies.items()}
    return {"posts": posts, "tallies": counts}


def read_letter(frame: Json) -> Letter:
    """Raises ``ValueError`` for what the web process of this version does not send."""
    posts = {root: tuple(map(_notice, _list(items))) for root, items in _table(frame.get("posts")).items()}
    if sum(map(len, posts.values())) > MAX_NOTICES:
        raise ValueError("too many events at once")
    tallies = {root: _tally(_table(counts)) for root, counts in _table(frame.get("tallies")).items()}
    return Letter(posts, tallies)


def read_failed(frame: Json) -> frozenset[str]:
    """In the web process: the roots whose events are not durable."""
    return frozenset(str(root) for root in _list(frame.get("failed")))


def _notice(items: Any) -> Notice:
    bucket, key, change, sequencer, at, size, etag, version, name = _list(items)
    texts = (bucket, key, sequencer, etag, version, name)
    if not all(type(text) is str and len(text) <= MAX_KEY_BYTES for text in texts) or not key:
        raise ValueError("a text that is none, or too long")
    if not (at is None or type(at) is float) or not (size is None or (type(size) is int and 0 <= size < 1 << 63)):
        raise ValueError("a number that is none")
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
        raise ValueError("a key that is too long")
    return Notice(bucket, key, Change(change), sequencer, at, size, etag, version, name)


def _tally(counts: dict[str, Any]) -> Tally:
    address = counts.pop("wrong_from", "")
    if not set(counts) <= _COUNTS or not all(type(n) is int and 0 <= n < _MAX_COUNT for n in counts.values()):
        raise ValueError("counts of something else")
    if not isinstance(address, str) or not set(address) <= _ADDRESS or len(address) > 64:
        raise ValueError("an address that is none")
    return Tally(**counts, wrong_from=address)


_COUNTS = {item.name for item in fields(Tally)} - {"wrong_from"}
_ADDRESS = set("0123456789abcdefABCDEF.:")


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_NOTICES:
        raise ValueError("a table is expected")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is expected")
    return value


def pieces(notices: Iterable[Notice]) -> Iterator[Piece]:
    """``notices`` as :func:`packed`, in lists that fit a frame."""
    piece = Piece([], 0)
    for notice in notices:
        items = packed(notice)
        weight = 64 + 6 * sum(len(item) for item in items if isinstance(item, str))  # a character is \\uXXXX at worst
        if not piece.fits(weight):
            yield piece
            piece = Piece([], 0)
        piece.notices.append(items)
        piece.weight += weight
    if piece.notices:
        yield piece
