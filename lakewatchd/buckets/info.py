"""What a server says of an object, in the same words whether it was asked for one (HEAD) or for all (a listing).

Everything here comes from outside: what cannot be is left out, and no text is longer than a server may send.
"""

from __future__ import annotations

import email.errors
import email.header
import email.utils
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

_META = "x-amz-meta-"
_MAX_ETAG = 256
_MAX_TEXT = 1024
"""Characters of a media type or of a version's name."""
_MAX_METADATA = 16_384
"""Characters of all metadata together: eight times what S3 takes. What comes after, by name, is left out."""
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as it was when the server was asked. Of a listing, what follows ``modified_ns`` is not known."""

    key: str
    """Bytes that are no UTF-8 by ``surrogateescape``."""
    size_bytes: int
    etag: str
    """Without quotes, ``""`` where the server has none. Not a hash of the content for uploads in parts."""
    modified_ns: int
    """Cut to whole seconds: HEAD knows no more, and so both agree."""
    version_id: str = ""
    """Empty where the bucket keeps no versions."""
    content_type: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    """``x-amz-meta-*`` without that, names in lower case, sorted."""
    tag_count: int | None = None
    """None: the server does not say."""


def from_headers(key: str, headers: Mapping[str, str]) -> ObjectInfo:
    """What HEAD and GET answer. Raises ``ValueError`` where size or time are none."""
    size_bytes = whole_number(headers["content-length"]) if "content-length" in headers else -1
    if size_bytes < 0:
        raise ValueError("no size")
    version = headers.get("x-amz-version-id", "")
    count = headers.get("x-amz-tagging-count", "")
    names = sorted({name.lower() for name in headers if name.lower().startswith(_META)})
    return ObjectInfo(
        key,
        size_bytes,
        etag_of(headers),
        of_http_date(headers.get("last-modified", "")),
        "" if version == "null" else _text(version)[:_MAX_TEXT],
        _text(headers.get("content-type", ""))[:_MAX_TEXT],
        tuple(_that_fit((_text(name.removeprefix(_META)), _meta(headers[name])) for name in names)),
        whole_number(count) if count else None,
    )


def etag_of(headers: Mapping[str, str]) -> str:
    """As :func:`plain_etag`."""
    return plain_etag(_text(headers.get("etag", "")))


def plain_etag(text: str) -> str:
    """As one compares it: without quotes. A weak one (``W/…``) is one all the same."""
    return text.removeprefix("W/").strip('"')[:_MAX_ETAG]


def of_http_date(text: str) -> int:
    """Nanoseconds of whole seconds. Raises ``ValueError``."""
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp()) * _SECOND_NS
    except OverflowError as exc:
        raise ValueError(f"{text:.80} is no time") from exc


def of_iso_date(text: str) -> int:
    """As :func:`of_http_date`, of ``2026-11-21T09:51:00.123Z``."""
    return int(datetime.fromisoformat(text).timestamp()) * _SECOND_NS


def whole_number(text: str) -> int:
    """A number that a size can be. Raises ``ValueError``."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"{text!r:.40} is no whole number")
    return int(text)


def _that_fit(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    left = _MAX_METADATA
    for name, value in pairs:
        left -= len(name) + len(value)
        if left < 0:
            return
        yield name, value


def _text(header: str) -> str:
    """Headers are read as Latin-1; servers mean UTF-8. What is neither, or a lone surrogate, is replaced."""
    return header.encode("latin-1", "replace").decode("utf-8", "replace")


def _meta(header: str) -> str:
    """AWS writes what is not ASCII as mail does (RFC 2047); so may anybody, in encodings that know lone surrogates."""
    text = _text(header)
    if not text.startswith("=?"):
        return text
    try:
        decoded = str(email.header.make_header(email.header.decode_header(text)))
    except (ValueError, LookupError, email.errors.MessageError):  # no such encoding, or not what it says
        return text
    return decoded.encode("utf-8", "replace").decode()
