"""Names in the view: of folders made from text, and suffixed ones of files that must share a folder.

Pure functions; nothing here knows of assets or FUSE. Who gets which is for :mod:`lakewatchd.views.mounted.naming`.
"""

from __future__ import annotations

import functools
import hashlib
import re

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
    """Whether it names something in a folder. Rows come from outside: this guards every join of a path."""
    return len(name) > 0 and name not in (b".", b"..") and b"/" not in name and b"\0" not in name


def file_name(part: bytes) -> bytes:
    """The name of a part of a path: itself. A key of a bucket may have parts above 255 bytes: these are cut, and
    ``%~`` and 128 bits of hash stand before the extension."""
    if len(part) <= NAME_MAX_BYTES:
        return part
    return suffixed(part, hashlib.blake2b(part, digest_size=16).hexdigest(), SUFFIX_CUT_DIGITS, _CUT)


def suffixed(plain: bytes, identity: str, digits: int, mark: bytes = b"~") -> bytes:
    """``name.jpg`` -> ``name~3f2a.jpg`` with that many digits of ``identity``, never above 255 bytes."""
    stem, dot, extension = plain.rpartition(b".")
    if stem.strip(b".") and len(extension) < EXTENSION_MAX_BYTES:
        extension = dot + extension
    else:
        stem, extension = plain, b""
    shown = identity[:digits] if digits <= len(identity) else f"{identity}-{digits}"
    tail = mark + shown.encode() + extension
    if len(stem) + len(tail) <= NAME_MAX_BYTES:
        return stem + tail
    if digits < SUFFIX_CUT_DIGITS:
        return suffixed(plain, identity, SUFFIX_CUT_DIGITS, mark)
    return _cut(stem, NAME_MAX_BYTES - len(tail)) + tail


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _cut(name: bytes, size: int) -> bytes:
    """At most ``size`` bytes, not ending inside a UTF-8 character or one of our escapes."""
    while size and name[size : size + 1] and name[size] & 0xC0 == 0x80:
        size -= 1
    return re.sub(rb"%[0-9A-F]?$", b"", name[:size])
