"""One page of a listing (ListObjectsV2): XML -> :class:`~lakewatchd.buckets.info.ObjectInfo`.

Keys are asked for as forms encode them (a space is ``+``), as XML cannot hold all that a key can.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from lakewatchd.buckets import markup
from lakewatchd.buckets.info import ObjectInfo, of_iso_date, plain_etag, whole_number
from lakewatchd.buckets.markup import BadMarkup

MAX_KEYS = 1000
"""Asked for; a server that sends many more is not believed."""
MAX_BYTES = 16_777_216


@dataclass(slots=True)
class Page:
    objects: list[ObjectInfo] = field(default_factory=list)
    next_token: str = ""
    """Empty: this was the last page."""


def read(pieces: Iterable[bytes]) -> Page:
    """Raises :class:`BadMarkup`, and what ``pieces`` raises."""
    page, about_page, entry = Page(), dict[str, str](), dict[str, str]()
    entries: list[dict[str, str]] = []
    tags: list[str] = []

    def on_start(tag: str) -> None:
        nonlocal entry
        if not tags and tag != "ListBucketResult":
            raise BadMarkup(f"<{tag:.40}> is no listing")
        tags.append(tag)
        if tag == "Contents":
            entry = {}

    def on_end(tag: str, text: str) -> None:
        tags.pop()
        if tag == "Contents":
            entries.append(entry)
            if len(entries) > 2 * MAX_KEYS:
                raise BadMarkup(f"more than {2 * MAX_KEYS} objects on a page")
        elif len(tags) == 1:
            about_page[tag] = text
        elif len(tags) == 2 and tags[1] == "Contents":
            entry[tag] = text

    markup.read(pieces, on_start, on_end)
    is_encoded, times = about_page.get("EncodingType") == "url", dict[str, int]()
    page.objects = [_info(entry, is_encoded, times) for entry in entries]
    if about_page.get("IsTruncated") == "true":
        page.next_token = about_page.get("NextContinuationToken", "")
        if not page.next_token:
            raise BadMarkup("a page that is not the last and names no next")
    return page


def _info(entry: dict[str, str], is_encoded: bool, times: dict[str, int]) -> ObjectInfo:
    """``times``: those of this page so far. Many objects are put in one second, and reading it is what costs most."""
    try:
        key, modified = entry["Key"], entry["LastModified"]
        if (modified_ns := times.get(modified)) is None:
            modified_ns = times[modified] = of_iso_date(modified)
        size_bytes = whole_number(entry["Size"])
    except KeyError as exc:
        raise BadMarkup(f"an object without {exc}") from exc
    except ValueError as exc:
        raise BadMarkup(str(exc)[:200]) from exc
    return ObjectInfo(_decoded(key) if is_encoded else key, size_bytes, plain_etag(entry.get("ETag", "")), modified_ns)


def _decoded(key: str) -> str:
    plain = key.replace("+", " ")
    return unquote_to_bytes(plain).decode(errors="surrogateescape") if "%" in plain else plain
