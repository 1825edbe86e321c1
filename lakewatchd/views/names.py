"""Names in the view: of folders made from text, and of files that must share a folder.

Nothing here knows of assets or FUSE. The invariant: names are a function of *what* is in a folder, never of
the order in which it arrived, so they are the same after a restart; and no two entries of a folder are equal.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

NAME_MAX_BYTES = 255
SUFFIX_MIN_DIGITS = 4
SUFFIX_CUT_DIGITS = 32
"""A cut stem no longer tells two files apart, so the suffix alone must: 128 bits."""
EXTENSION_MAX_BYTES = 32

# What a POSIX or SMB client cannot take, cannot print or silently drops, wherever it stands ...
_ILLEGAL = r'[\x00-\x1f\x7f-\x9f/<>:"|?*\\\u2028\u2029\ud800-\udfff]'
# ... and what it only minds at an end; and a percent sign that would read as one of our escapes.
_ESCAPED = re.compile(rf"{_ILLEGAL}|^[. ]|[. ]\Z|%(?=[0-9A-F]{{2}}|~)")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_CUT = b"%~"
"""Marks the empty text and cut names; never the outcome of escaping, which would write ``%25~``."""


@functools.lru_cache(maxsize=1 << 16)
def folder_name(text: str) -> bytes:
    """A legal folder name for any text: ordinary text in any script is unchanged, the rest becomes ``%HH``.

    Different texts have different names. Reversed by :func:`folder_text`, except for names above 255 bytes,
    which are cut and end in ``%~`` and 128 bits of hash.
    """
    name = _ESCAPED.sub(lambda match: _percent(match.group()), text).encode()
    if not name:
        return _CUT
    if len(name) <= NAME_MAX_BYTES:
        return name
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest().encode()
    return _cut(name, NAME_MAX_BYTES - len(_CUT) - len(digest)) + _CUT + digest


def folder_text(name: bytes) -> str | None:
    """The text that :func:`folder_name` was given, or None when the name was cut and does not tell."""
    if name == _CUT:
        return ""
    if _CUT in name:
        return None
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), name).decode("utf-8", "surrogatepass")


def is_file_name(name: bytes) -> bool:
    """Whether a real file system can hold the name. Rows come from outside: this guards every join of a path."""
    return 0 < len(name) <= NAME_MAX_BYTES and name not in (b".", b"..") and b"/" not in name and b"\0" not in name


def suffixed(plain: bytes, identity: str, digits: int) -> bytes:
    """``name.jpg`` -> ``name~3f2a.jpg`` with that many digits of ``identity``, never above 255 bytes."""
    stem, dot, extension = plain.rpartition(b".")
    if stem.strip(b".") and len(extension) < EXTENSION_MAX_BYTES:
        extension = dot + extension
    else:
        stem, extension = plain, b""
    mark = identity[:digits] if digits <= len(identity) else f"{identity}-{digits}"
    tail = b"~" + mark.encode() + extension
    if len(stem) + len(tail) <= NAME_MAX_BYTES:
        return stem + tail
    if digits < SUFFIX_CUT_DIGITS:
        return suffixed(plain, identity, SUFFIX_CUT_DIGITS)
    return _cut(stem, NAME_MAX_BYTES - len(tail)) + tail


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _cut(name: bytes, size: int) -> bytes:
    """At most ``size`` bytes, not ending inside a UTF-8 character or one of our escapes."""
    while size and name[size : size + 1] and name[size] & 0xC0 == 0x80:
        size -= 1
    return re.sub(rb"%[0-9A-F]?$", b"", name[:size])


def _alike(one: str, other: str) -> int:
    """How many characters two texts have in common at the beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


T = TypeVar("T", bound=Hashable)
K = TypeVar("K", bound=Hashable)


def _take_out(index: dict[K, set[T]], key: K, item: T) -> None:
    index[key].discard(item)
    if not index[key]:
        del index[key]


class Names(Generic[T]):
    """The files of one folder by unique name, kept up to date one file at a time.

    A name asked for by several belongs to the one of lowest rank; the others get a suffix of their identity,
    just long enough to differ. Folders (:meth:`reserve`) come before files. A suffixed name that a file really
    has is left to that file.
    """

    def __init__(self, plain: Callable[[T], bytes], rank: Callable[[T], tuple[float, str]]) -> None:
        """``rank`` gives the age and the identity: hexadecimal, unique among files of one plain name."""
        self.entries: dict[bytes, T] = {}
        self.changed: set[bytes] = set()
        """Names that may mean something else than when the owner last emptied this."""
        self._plain = plain
        self._rank = rank
        self._reserved: set[bytes] = set()
        self._suffixed: dict[T, bytes] = {}
        self._losers: dict[bytes, set[T]] = {}
        self._shelves: dict[tuple[bytes, str], set[T]] = {}
        """Losers of one plain name whose identities begin alike: all that can make each other's suffix longer."""
        self._avoided: dict[bytes, tuple[bytes, str]] = {}
        """Suffixed names left to a real file, and the shelf that wants them back when it goes."""

    def fill(self, items: Iterable[T]) -> None:
        """:meth:`add` for many items at once, while there are none: several times faster where few names clash."""
        clashing = []
        for item in items:
            plain = self._plain(item)
            if plain in self._reserved or self.entries.setdefault(plain, item) is not item:
                clashing.append(item)
        for item in clashing:
            self.add(item)

    def add(self, item: T) -> None:
        plain = self._plain(item)
        owner = self._owner(plain)
        if plain in self._reserved or (owner is not None and self._rank(owner) < self._rank(item)):
            self._shelve(plain, item)
        elif owner is not None:
            self._show(plain, item)
            self._shelve(plain, owner)
        else:
            self._claim(plain, item)

    def discard(self, item: T) -> None:
        plain = self._plain(item)
        if item in self._suffixed:
            self._unshelve(plain, item)
        else:
            self._hide(plain)
            self._inherit(plain)

    def reserve(self, name: bytes) -> None:
        """A folder takes the name."""
        self.changed.add(name)
        owner = self._owner(name)
        squatter = None if owner is not None else self.entries.get(name)
        self._reserved.add(name)
        if owner is not None:
            self._hide(name)
            self._shelve(name, owner)
        elif squatter is not None:
            self._label(self._shelf(squatter))

    def release(self, name: bytes) -> None:
        """The folder that had the name is gone."""
        self.changed.add(name)
        self._reserved.discard(name)
        self._inherit(name)

    def _owner(self, plain: bytes) -> T | None:
        item = self.entries.get(plain)
        return item if item is not None and self._suffixed.get(item) != plain else None

    def _shelf(self, item: T) -> tuple[bytes, str]:
        return self._plain(item), self._rank(item)[1][:SUFFIX_MIN_DIGITS]

    def _show(self, name: bytes, item: T) -> None:
        self.entries[name] = item
        self.changed.add(name)

    def _hide(self, name: bytes) -> None:
        del self.entries[name]
        self.changed.add(name)

    def _claim(self, plain: bytes, item: T) -> None:
        squatter = self.entries.get(plain)
        self._show(plain, item)
        if squatter is not None:
            self._label(self._shelf(squatter))

    def _inherit(self, plain: bytes) -> None:
        """The plain name is free: to the next in age, else to whoever had to avoid it."""
        losers = self._losers.get(plain)
        if losers:
            heir = min(losers, key=self._rank)
            self._unshelve(plain, heir)
            self._show(plain, heir)
        elif plain in self._avoided:
            self._label(self._avoided.pop(plain))

    def _shelve(self, plain: bytes, item: T) -> None:
        self._losers.setdefault(plain, set()).add(item)
        shelf = self._shelf(item)
        self._shelves.setdefault(shelf, set()).add(item)
        self._label(shelf)

    def _unshelve(self, plain: bytes, item: T) -> None:
        shelf = self._shelf(item)
        self._unlabel(item)
        _take_out(self._losers, plain, item)
        _take_out(self._shelves, shelf, item)
        self._label(shelf)

    def _unlabel(self, item: T) -> None:
        name = self._suffixed.pop(item, None)
        if name is not None and self.entries.get(name) == item:
            self._hide(name)

    def _label(self, shelf: tuple[bytes, str]) -> None:
        """Give every loser on the shelf its suffix anew."""
        items = sorted(self._shelves.get(shelf, ()), key=lambda item: self._rank(item)[1])
        for item in items:
            self._unlabel(item)
        identities = [self._rank(item)[1] for item in items]
        for at, item in enumerate(items):
            near = identities[max(0, at - 1) : at] + identities[at + 1 : at + 2]
            alike = max((_alike(identities[at], other) for other in near), default=0)
            self._suffix(shelf, item, max(SUFFIX_MIN_DIGITS, alike + 1))

    def _suffix(self, shelf: tuple[bytes, str], item: T, digits: int) -> None:
        plain, identity = shelf[0], self._rank(item)[1]
        while (name := suffixed(plain, identity, digits)) in self.entries or name in self._reserved:
            self._avoided[name] = shelf
            digits += 1
        self._suffixed[item] = name
        self._show(name, item)
