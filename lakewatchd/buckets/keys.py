"""What a key of a bucket is called here: keys are any text, paths are made of names.

A key is split at "/". A part that is no name (empty, ``.``, ``..``, or one of these with ``%`` before it) gets a ``%``
in front; all others stay as they are: ``a//b`` is ``a/%/b``, ``/x`` is ``%/x``, ``../etc`` is ``%../etc``.

The invariant: :func:`key_of` undoes :func:`path_of`, two keys never share a path, and a path neither begins with "/"
nor has an empty, ``.`` or ``..`` part.
"""

from __future__ import annotations

import re

PROBE = ".lakewatchd-probe-"
"""How the objects begin that `lakewatchd check` writes and removes to see whether events arrive."""
MAX_BYTES = 1024
"""As long as a key may be in S3, in UTF-8."""

_NO_NAME = re.compile(r"%*(?:|\.|\.\.)")
_MAY_HAVE_ONE = re.compile(r"(?:^|/)%*\.{0,2}(?:/|$)")
"""A quick look at a whole key or path: nearly all of them are made of names."""
_SLASHES = re.compile(r"//+")


def path_of(key: str) -> str:
    """The path of a key, below its root. What is no UTF-8 in the key stands there by ``surrogateescape``."""
    if not _MAY_HAVE_ONE.search(key):
        return key
    return "/".join(f"%{part}" if _NO_NAME.fullmatch(part) else part for part in key.split("/"))


def key_of(path: str) -> str:
    """The key that :func:`path_of` made this path from."""
    if not _MAY_HAVE_ONE.search(path):
        return path
    return "/".join(part[1:] if part[:1] == "%" and _NO_NAME.fullmatch(part) else part for part in path.split("/"))


def kept_as(key: str) -> str:
    """What a server that keeps objects as files makes of it: ``a//b`` lies at ``a/b``, ``/x`` at ``x``."""
    return _SLASHES.sub("/", key).removeprefix("/")


def why_left_out(key: str, size_bytes: int | None) -> str | None:
    """Why an object is not indexed, or None. ``size_bytes`` None: not known."""
    if key.endswith("/") and not size_bytes:
        return "a folder marker"
    if key.rpartition("/")[2].startswith(PROBE):
        return "a probe of lakewatchd check"
    if "\0" in key:
        return "a NUL in its key"
    try:
        is_too_long = len(key.encode(errors="surrogateescape")) > MAX_BYTES
    except UnicodeEncodeError:
        return "its key is not text"
    return f"its key is longer than {MAX_BYTES} bytes" if is_too_long else None
