"""Near-equality of two assets by their signatures: which are compared, and whether they are the same.

A signature is bytes that a decoder made of the content (:func:`of_content`) and that the lake keeps. Assets of one kind
are compared, by the module of that kind. Invariant: two signatures are enough to decide, and which comes first is all
the same, so what is found does not depend on who arrived when.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakewatchd.core.asset import Kind
from lakewatchd.core.content import Content
from lakewatchd.media.near import film, picture, text

KINDS = frozenset({Kind.IMAGE, Kind.DOCUMENT, Kind.VIDEO})
"""Of recordings only exact copies are found: no fingerprint of sound comes as a package that is kept."""
SLACK_BITS = 13
VERSION = 2
"""Of all rules here: with another one every pair is judged anew."""


@dataclass(frozen=True, slots=True)
class Keys:
    """An asset is compared with those that are found by what it looks for."""

    found_by: frozenset[tuple[int, int]]
    looks_for: frozenset[tuple[int, int]]
    """Numbers that must be equal, each with bits of which up to :data:`SLACK_BITS` may differ."""

    def meet(self, other: Keys) -> bool:
        """The two are to be compared. ``other`` may as well be asked."""
        rests: dict[int, list[int]] = {}
        for number, rest in self.found_by:
            rests.setdefault(number, []).append(rest)
        return any(
            (rest ^ mine).bit_count() <= SLACK_BITS
            for number, rest in other.looks_for
            for mine in rests.get(number, ())
        )


def of_content(kind: Kind, content: Content, words: str) -> bytes | None:
    """The signature of a picture or a text; None for what has none. ``words``: the whole text, if it is one."""
    if kind is Kind.IMAGE and content.picture is not None:
        from PIL import Image

        seen = content.picture
        return picture.make(Image.frombytes("RGB", (seen.width, seen.height), seen.pixels))
    return text.make(words) if kind is Kind.DOCUMENT and words else None


def keys(kind: Kind, signature: bytes) -> Keys:
    """Raises ``ValueError`` for what is no signature of that kind."""
    if kind is Kind.IMAGE:
        return Keys(*picture.keys(signature))
    numbers = text.keys(signature) if kind is Kind.DOCUMENT else film.keys(signature)
    found = frozenset((number, 0) for number in numbers)
    return Keys(found, found)


def is_same(kind: Kind, one: bytes, other: bytes) -> bool:
    if kind is Kind.IMAGE:
        return picture.is_same(one, other)
    return text.is_same(one, other) if kind is Kind.DOCUMENT else film.is_same(one, other)
