"""What is asked of a bucket: what is there, what is said of it, what it holds.

Blocking, for threads; an event loop must not call it. Any number of threads may.

The invariant: every call ends, within seconds where nobody answers; and bytes of another content than the one that was
named are never handed out as if they were its.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lakewatchd.buckets import info, listing, markup
from lakewatchd.buckets.connection import Answer, Connection, Pairs, Refusal
from lakewatchd.buckets.info import ObjectInfo
from lakewatchd.buckets.keys import MAX_BYTES
from lakewatchd.buckets.listing import Page
from lakewatchd.buckets.markup import BadMarkup
from lakewatchd.config import BucketConfig, ObjectsConfig
from lakewatchd.core.asset import path_text
from lakewatchd.errors import Busy, LakewatchError, NotReadable, RootAway, TransientError

if TYPE_CHECKING:
    from minio import Minio

__all__ = ["Bucket", "ObjectChanged", "ObjectInfo"]

_TRIES = 4
"""How often what was begun (a listing, a long read) is gone on with in vain."""
_MAX_EMPTY = 100
"""Pages in a row without an object that a listing may have: of a server that passes over what was deleted."""
PAUSE_S = 0.5
"""Before the first time; doubled for each further one."""
_ODD = re.compile(r"(^|/)\.{0,2}(/|$)|[\\\x00-\x1f\udc80-\udcff]|[^/]{256}")
"""Of keys that some servers refuse, or take for others: ``a//b`` for ``a/b``, ``a\\b`` for ``a/b``, ``/`` for the
bucket itself; and of one that is no UTF-8 MinIO says that its signature is wrong."""
_SENDABLE = re.compile(r"[!#-~]+")
"""What may stand in the quotes of an etag (RFC 9110), less what is not ASCII."""
_NO_S3 = "is the endpoint one of S3?"
_POLICY = "allow it to the user of these keys; docs/howto/minio.md has the policy"


class ObjectChanged(Exception):
    """Another content lies under this key now: look again."""


class Bucket:
    """One bucket; of it, what lies below ``settings.prefix``. Keys are whole keys, with the prefix.

    Every method may raise ``RootAway`` (nobody there, no such bucket, keys that are not accepted), ``TimedOut``
    (silence) and ``Busy`` (all connections in use, or the server has too much to do).
    """

    def __init__(self, settings: BucketConfig, objects: ObjectsConfig) -> None:
        self.settings, self.objects = settings, objects
        self._connection = Connection(settings, objects)
        self.about = self._connection.about

    def close(self) -> None:
        self._connection.close()

    # --- what is there -------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo | None:
        """None: it is not there, or its latest version says that it was deleted. Raises ``NotReadable`` too."""
        try:
            with self._connection.open("HEAD", key) as answer:
                found = self._info(key, answer)
        except Refusal as refusal:
            self._require_gone(key, refusal)
            return None
        return found if not _ODD.search(key) or self._lists(key) else None

    def tags(self, key: str) -> tuple[tuple[str, str], ...]:
        """Its tags, sorted. None where it is gone, and where tags may not be read or are not known."""
        try:
            with self._connection.open("GET", key, [("tagging", "")]) as answer:
                texts = markup.texts_of(answer.bounded())
        except Refusal as refusal:
            if away := self._connection.away(refusal):
                raise away from refusal
            if refusal.status < 500 or refusal.status == 501:
                return ()
            raise self._trouble(key, refusal) from refusal
        except BadMarkup as exc:
            raise RootAway(f"{self.about}: answers what is no list of tags: {exc}", _NO_S3) from exc
        names, values = ([text for tag, text in texts if tag == wanted] for wanted in ("Key", "Value"))
        return tuple(sorted(zip(names, values, strict=False)))

    def pages(self, start_after: str = "", prefix: str | None = None) -> Iterator[list[ObjectInfo]]:
        """All objects whose keys begin with ``prefix`` (None: that of the settings), at most 1000 at once, in the order
        of the server: that of UTF-8 where it keeps to the protocol, folder by folder with SeaweedFS.

        A listing that has begun outlives a page that fails, for some seconds. Raises ``RootAway`` too where it does not
        get on.
        """
        prefix = self.settings.prefix if prefix is None else prefix
        token, failures, empty, has_begun = "", 0, 0, False
        while True:
            try:
                page = self._page(prefix, start_after, token)
            except (RootAway, TransientError):
                if not has_begun or (failures := failures + 1) >= _TRIES:
                    raise
                token = ""  # the server may have been started anew, and know nothing of it
                _pause(failures)
                continue
            empty = 0 if page.objects else empty + 1
            if page.next_token and (page.next_token == token or empty > _MAX_EMPTY):
                raise RootAway(f"{self.about}: its listing does not get on", _NO_S3)
            if found := [item for item in page.objects if item.key.startswith(prefix)]:
                yield found
            if not page.next_token:
                return
            token, failures, has_begun = page.next_token, 0, True
            start_after = page.objects[-1].key if page.objects else start_after

    # --- what it holds -------------------------------------------------------------------------------------

    def read(
        self,
        key: str,
        start: int,
        length: int,
        *,
        etag: str = "",
        size_bytes: int | None = None,
        modified_ns: int | None = None,
    ) -> Iterator[bytes]:
        """``length`` bytes from ``start``, in pieces. A connection that breaks is taken up again where it stopped, for
        some seconds.

        ``etag``, ``size_bytes``, ``modified_ns``: of the content that is meant, as far as they are known; what the
        first answer says holds for the rest. Raises :class:`ObjectChanged`, ``FileNotFoundError``, ``NotReadable`` too.
        """
        done = failures = 0
        meant = _Content(etag, size_bytes, modified_ns)
        while done < length:
            try:
                with self._range(key, start + done, start + length, meant.etag) as answer:
                    meant.require(key, answer, start + done)
                    for piece in answer.pieces():
                        wanted = piece[: length - done]
                        done, failures = done + len(wanted), 0
                        yield wanted
                        if done == length:
                            return
                raise RootAway(f"{self.about}: the answer ended before its end", _NO_S3)
            except (RootAway, TransientError):
                # Where nothing has come yet, whoever asked decides; what has begun is worth some patience.
                if not done or (failures := failures + 1) >= _TRIES:
                    raise
                _pause(failures)

    # --- whether it is well --------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """Where the keys were found. Raises ``RootAway`` where they should be and are not."""
        return self._connection.credentials().origin

    def require(self) -> None:
        """Raises ``RootAway`` with the fix where the bucket cannot be listed."""
        self._listing([("prefix", self.settings.prefix), ("max-keys", "1")])

    def accepts(self, within_s: float) -> bool:
        """Whether anybody takes a connection there; says nothing of the bucket. Raises nothing."""
        return self._connection.accepts(within_s)

    def may_read_tags(self, key: str) -> bool:
        """Whether tags of an object may be asked for; also where it has none."""
        try:
            with self._connection.open("GET", key, [("tagging", "")]):
                return True
        except Refusal as refusal:
            if away := self._connection.away(refusal):
                raise away from refusal
            return refusal.status not in (401, 403)

    def clock_ahead_s(self) -> float:
        """How far the server's clock is ahead of ours; negative: behind. Whole seconds."""
        with self._answered([("list-type", "2"), ("max-keys", "1")]) as answer:
            date = answer.headers.get("date", "")
        with contextlib.suppress(ValueError):
            return email.utils.parsedate_to_datetime(date).timestamp() - int(time.time())
        return 0.0

    def versioning(self) -> str:
        """``Enabled``, ``Suspended``, or nothing: also where the server knows of no versions, or may not tell."""
        try:
            with self._connection.open("GET", None, [("versioning", "")]) as answer:
                return dict(markup.texts_of(answer.bounded())).get("Status", "")
        except Refusal as refusal:
            if away := self._connection.away(refusal):
                raise away from refusal
            return ""
        except BadMarkup as exc:
            raise RootAway(f"{self.about}: answers what tells of no versions: {exc}", _NO_S3) from exc

    # --- for those who set it up ---------------------------------------------------------------------------

    def put(self, key: str, data: bytes) -> None:
        """Write a small object. Only for probes: originals are never written. Raises ``NotReadable`` where that is not
        allowed."""
        try:
            with self._connection.open("PUT", key, body=data):
                pass
        except Refusal as refusal:
            raise self._trouble(key, refusal) from refusal

    def remove(self, key: str) -> None:
        """As :meth:`put`."""
        try:
            with self._connection.open("DELETE", key):
                pass
        except Refusal as refusal:
            raise self._trouble(key, refusal) from refusal

    def stream(self, query: Pairs, timeout_s: float) -> Answer:
        """A GET of the bucket itself whose body goes on and on: MinIO's notifications. ``timeout_s``: the silence after
        which it counts as broken."""
        return self._answered(query, timeout_s)

    def sdk(self) -> Minio:
        """The SDK for the same server, for requests that are not here. Its errors are its own."""
        return self._connection.sdk()

    # --- parts ---------------------------------------------------------------------------------------------

    def _info(self, key: str, answer: Answer) -> ObjectInfo:
        try:
            return info.from_headers(key, answer.headers)
        except ValueError as exc:
            raise RootAway(f"{self.about}: answers what is no object: {exc}", _NO_S3) from exc

    def _page(self, prefix: str, start_after: str, token: str) -> Page:
        query = [("prefix", prefix), ("max-keys", str(listing.MAX_KEYS))]
        # After a token start-after says nothing new, but servers may differ in which of the two they believe.
        if token:
            query.append(("continuation-token", token))
        elif start_after:
            query.append(("start-after", start_after))
        return self._listing(query)

    def _lists(self, key: str) -> bool:
        """Does a listing know just this key? Whoever takes it for another answers HEAD all the same."""
        page = self._listing([("prefix", key), ("max-keys", "1")])
        return any(item.key == key for item in page.objects)

    def _listing(self, query: Pairs) -> Page:
        try:
            with self._answered([("list-type", "2"), ("encoding-type", "url"), *query]) as answer:
                return listing.read(answer.bounded(listing.MAX_BYTES))
        except BadMarkup as exc:
            raise RootAway(f"{self.about}: answers what is no listing: {exc}", _NO_S3) from exc
        except RootAway as exc:
            prefix = dict(query)["prefix"]
            is_refused = isinstance(exc.__cause__, Refusal) and exc.__cause__.status == 400
            if not is_refused or prefix == self.settings.prefix or not _ODD.search(prefix):
                raise
            self.require()
            return Page()  # a server that takes no such prefix has no such keys

    def _answered(self, query: Pairs, timeout_s: float | None = None) -> Answer:
        """A question about the bucket itself, where a refusal means that it is of no use."""
        try:
            return self._connection.open("GET", None, query, timeout_s=timeout_s)
        except Refusal as refusal:
            if away := self._connection.away(refusal):
                raise away from refusal
            asked = "events" if ("events" in dict(query)) else "listing"
            if refusal.status in (401, 403):
                raise RootAway(f"{self.about}: {asked} is not allowed", _POLICY) from refusal
            if asked == "events" and refusal.status in (400, 405, 501):
                raise RootAway(f"{self.about}: this server has no stream of events", "listen = false") from refusal
            raise RootAway(f"{self.about}: {asked} failed: {refusal}", "see the log of the server") from refusal

    def _range(self, key: str, start: int, end: int, etag: str) -> Answer:
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if _SENDABLE.fullmatch(etag):  # any other is compared with what the answer says, and that is all
            headers["If-Match"] = f'"{etag}"'
        try:
            return self._connection.open("GET", key, headers=headers, bytes_wanted=True)
        except Refusal as refusal:
            if refusal.status in (412, 416):
                raise ObjectChanged(path_text(key)) from refusal
            if refusal.status == 404 and refusal.code != "NoSuchBucket":
                raise FileNotFoundError(path_text(key)) from refusal
            raise self._trouble(key, refusal) from refusal

    def _require_gone(self, key: str, refusal: Refusal) -> None:
        """Raises unless the refusal of a HEAD says that there is no such object. HEAD has no words, so GET is asked."""
        if refusal.status == 404 and (refusal.headers.get("x-amz-delete-marker") or refusal.code == "NoSuchKey"):
            return
        if not refusal.code:
            try:
                with self._connection.open("GET", key, headers={"Range": "bytes=0-0"}):
                    raise Busy(f"{self.about}: {path_text(key)}: refused and granted") from refusal
            except Refusal as spoken:
                refusal = spoken
        if refusal.status == 404 and refusal.code != "NoSuchBucket":
            # Else it is some other page that is not there: of a proxy, of another program.
            if refusal.code not in ("NoSuchKey", "NoSuchVersion") and self._lists(key):
                hint = "what answers there besides the server: a proxy, with a rule of its own?"
                raise NotReadable(f"{self.about}: {path_text(key)}: is listed and answers 404", hint) from refusal
            return
        is_impossible = _ODD.search(key) or len(key.encode(errors="surrogateescape")) > MAX_BYTES
        is_misread = refusal.status in (400, 404) or refusal.code == "SignatureDoesNotMatch"
        if is_impossible and is_misread and not refusal.is_about_encryption:
            self.require()  # what it says of the bucket or of the keys may be due to this one key
            return
        raise self._trouble(key, refusal) from refusal

    def _trouble(self, key: str, refusal: Refusal) -> LakewatchError:
        """What a refusal says of one object. Asks whether the bucket is well otherwise, and raises what that does."""
        if away := self._connection.away(refusal):
            return away
        about = f"{self.about}: {path_text(key)}"
        if refusal.is_about_encryption:
            hint = "copy it without a key of its own (SSE-S3 and SSE-KMS are fine)"
            return NotReadable(f"{about}: encrypted with a key that only its writer has (SSE-C)", hint)
        if refusal.code == "InvalidObjectState":
            return NotReadable(f"{about}: archived by its server", "restore it there")
        self.require()
        if refusal.status in (401, 403):
            return NotReadable(f"{about}: not allowed", _POLICY)
        if refusal.status >= 500:
            return Busy(f"{about}: the server fails at it: {refusal}", "see the log of the server")
        return NotReadable(f"{about}: {refusal}", "see the log of the server")


class _Content:
    """What is known of the content that is meant; what nobody knows yet, the first answer says."""

    def __init__(self, etag: str, size_bytes: int | None, modified_ns: int | None) -> None:
        self.etag, self.size_bytes, self.modified_ns = etag, size_bytes, modified_ns

    def require(self, key: str, answer: Answer, start: int) -> None:
        """Raises :class:`ObjectChanged` where the answer is of another, ``RootAway`` where it begins elsewhere."""
        ranged = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", answer.headers.get("content-range", ""))
        begins = (int(ranged[1]) if ranged else -1) if answer.status == 206 else 0
        if begins != start:
            raise RootAway(f"{path_text(key)}: the server cannot read from the middle of an object", _NO_S3)
        etag = info.etag_of(answer.headers)
        size_bytes = int(ranged[2]) if ranged else _or_none(info.whole_number, answer.headers.get("content-length", ""))
        modified_ns = _or_none(info.of_http_date, answer.headers.get("last-modified", ""))
        pairs = (self.etag, etag), (self.size_bytes, size_bytes), (self.modified_ns, modified_ns)
        if any(known != said for known, said in pairs if known not in (None, "") and said not in (None, "")):
            raise ObjectChanged(path_text(key))
        self.etag = self.etag or etag
        self.size_bytes = size_bytes if self.size_bytes is None else self.size_bytes
        self.modified_ns = modified_ns if self.modified_ns is None else self.modified_ns


def _or_none(convert: Callable[[str], int], text: str) -> int | None:
    try:
        return convert(text)
    except ValueError:
        return None


def _pause(failures: int) -> None:
    time.sleep(PAUSE_S * 2 ** (failures - 1) * random.uniform(0.5, 1.5))
