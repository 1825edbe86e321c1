"""What a person looks for, and what was found: the nouns that every door to search shares.

A :class:`Query` is a question and a :class:`Found` its answer; command line, HTTP, gallery and folders differ only in
how they show it. Invariant: both survive :mod:`lakewatchd.core.wire`, so an answer that came over a socket is the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lakewatchd.core.asset import AssetId, Kind

MARK_OPENS, MARK_CLOSES = "\x02", "\x03"
"""Around what matched in :attr:`Piece.snippet`: no text that is shown holds them."""


@dataclass(frozen=True, slots=True)
class Query:
    """Empty means "not asked for". All that is given must hold at once."""

    text: str = ""
    """As typed. Dates, "phrases", -words and tag:names in it are told apart by the engine."""
    like: AssetId = ""
    """Similar to this asset."""
    picture: bytes = b""
    """Similar to a file that need not be in the lake: its content."""
    but: str = ""
    """With ``like`` or ``picture``: the same, but "at night"."""
    where: str = ""
    """A condition in SQL over the columns of gold; with ``object`` also over its score and area."""
    kinds: tuple[Kind, ...] = ()
    """Any of these."""
    tags: tuple[str, ...] = ()
    """All of these."""
    any_tags: tuple[str, ...] = ()
    no_tags: tuple[str, ...] = ()
    category: str = ""
    country: str = ""
    city: str = ""
    root: str = ""
    since: dt.datetime | None = None
    """Wall-clock time without a zone, as ``dated_at``."""
    until: dt.datetime | None = None
    """Before this."""
    object: str = ""
    """A thing that a detector saw."""
    after: str = ""
    """``text`` comes within ``within_s`` seconds after this, in one recording."""
    within_s: float = 30.0
    near: tuple[float, ...] | None = None
    """Degrees north, degrees east, kilometres."""
    folded: bool = True
    """Of near-duplicates only the one that stands for them."""
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """One way in which a hit was found."""

    door: str
    """``picture``, ``text``, ``words``, ``object``, ``time``, ..."""
    rank: int
    """From 1, among what this door found."""
    score: float
    """As that door counts: a cosine, a BM25."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The place inside an asset that matches best."""

    span: int
    kind: str
    """Of the span: image, frame, page, passage, clip, text or speech."""
    start_s: float | None = None
    end_s: float | None = None
    page: int | None = None
    box: tuple[float, ...] | None = None
    """Left, top, right, bottom as shares of the picture."""
    snippet: str = ""
    """Plain text on one line, what matched between :data:`MARK_OPENS` and :data:`MARK_CLOSES`."""


@dataclass(frozen=True, slots=True)
class Hit:
    asset_id: AssetId
    score: float
    """Greater is better; means something only beside others of the same answer."""
    kind: Kind
    title: str
    root: str
    path: str
    """Below the root, as ``path_text``."""
    category: str = ""
    tags: tuple[str, ...] = ()
    caption: str = ""
    dated_at: dt.datetime | None = None
    size_bytes: int = 0
    duration_s: float | None = None
    piece: Piece | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    hits: tuple[Hit, ...] = ()
    total: int | None = None
    """How many there are in all, where that can be told."""
    took_s: float = 0.0
    understood: tuple[tuple[str, ...], ...] = ()
    """What was read in the words: (field, value, the words themselves)."""
    advice: tuple[str, ...] = ()
    """What would find more or better: a word that may be misspelt, an extra that is missing."""
    is_partial: tuple[str, ...] = ()
    """Doors that gave no answer."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the words that are being typed may become."""

    text: str
    kind: str
    """``tag``, ``category``, ``place``, ``title``, ``kind`` or ``date``."""
    assets: int = 0
    """How many have it, where that is known."""
