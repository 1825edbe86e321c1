"""A server that means harm, or is none of S3: the client ends, within bounds, and says what is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from lakewatchd.buckets import client, connection
from lakewatchd.buckets.client import Bucket, ObjectChanged
from lakewatchd.config import BucketConfig, ObjectsConfig
from lakewatchd.errors import LakewatchError, NotReadable, RootAway

OK = b"HTTP/1.1 200 OK\r\n"
LISTING = b'<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>'
ENTRY = b"<Contents><Key>a</Key><Size>1</Size><LastModified>2026-11-21T10:00:00Z</LastModified></Contents>"
SETTINGS = BucketConfig("hostile", "bucket", "http://127.0.0.1:1", access_key="key", secret_key="hush-hush")


class Liar:
    """Answers each request with the bytes that ``answer`` yields for its first line."""

    def __init__(self, answer: Callable[[bytes], Iterator[bytes]]) -> None:
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65_536)
            self.requests.append(request)
            for piece in self.answer(request):
                connection.sendall(piece)

    def bucket(self, timeout_s: float = 60.0) -> Bucket:
        endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        return Bucket(dataclasses.replace(SETTINGS, endpoint=endpoint), ObjectsConfig(timeout_s=timeout_s))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_RETRIES_S", (0.01, 0.01))
    monkeypatch.setattr(client, "PAUSE_S", 0.01)


@pytest.fixture
def liar() -> Iterator[Callable[..., Liar]]:
    with contextlib.ExitStack() as stack:

        def make(*pieces: bytes, answer: Callable[[bytes], Iterator[bytes]] | None = None) -> Liar:
            made = Liar(answer or (lambda _request: iter(pieces)))
            stack.callback(made.listener.close)
            stack.callback(made.listener.shutdown, socket.SHUT_RDWR)  # or the thread that waits there waits for ever
            return made

        yield make


def sized(body: bytes, head: bytes = OK) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def endless(piece: bytes) -> Iterator[bytes]:
    yield OK + b"\r\n"
    while True:
        yield piece


BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
CASES = {
    "a page of HTML": sized(b"<html><body>It works!</body></html>"),
    "nothing": sized(b""),
    "no XML": sized(b"\x00\xff" * 100),
    "cut off": sized(LISTING + ENTRY),
    "entities": sized(BOMB + b"<ListBucketResult>&b;</ListBucketResult>"),
    "deep": sized(LISTING + b"<a>" * 100_000),
    "a size that is none": sized(LISTING + ENTRY.replace(b">1<", b">-5<") + b"</ListBucketResult>"),
    "a size beyond all": sized(LISTING + ENTRY.replace(b">1<", b">" + b"9" * 5000 + b"<") + b"</ListBucketResult>"),
    "a time that is none": sized(LISTING + ENTRY.replace(b"2026", b"soon") + b"</ListBucketResult>"),
    "no key": sized(LISTING + ENTRY.replace(b"<Key>a</Key>", b"") + b"</ListBucketResult>"),
    "too many": sized(LISTING + ENTRY * 5000 + b"</ListBucketResult>"),
    "no next page": sized(LISTING + ENTRY + b"<IsTruncated>true</IsTruncated></ListBucketResult>"),
    "a header without end": OK + b"x: " + b"y" * 1_000_000,
    "a thousand headers": OK + b"x: y\r\n" * 10_000 + b"\r\n",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
    "a redirect": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest/\r\n\r\n",
    "a length that is none": OK + b"Content-Length: -1\r\n\r\n" + LISTING,
    "an error without end": b"HTTP/1.1 418 No\r\n\r\n" + b"<Error><Code>" + b"x" * 1_000_000,
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_answers_is_away_and_never_a_traceback(liar: Callable[..., Liar], case: str) -> None:
    server = liar(CASES[case])
    bucket = server.bucket()
    for ask in (bucket.require, lambda: list(bucket.pages())):
        with pytest.raises(LakewatchError) as caught:
            ask()
        assert isinstance(caught.value, RootAway), caught.value
        assert "hush" not in f"{caught.value.message}{caught.value.hint}" and "\n" not in caught.value.message
    with contextlib.suppress(LakewatchError, FileNotFoundError):
        bucket.head("a")
    with contextlib.suppress(LakewatchError, FileNotFoundError):
        bucket.tags("a")
    assert all(b"hush" not in request for request in server.requests)


@pytest.mark.parametrize("piece", [b"<Key>a</Key>" * 5000, ENTRY * 600, b" " * 65_536, b"x" * 65_536])
def test_an_answer_without_end_costs_bounded_memory(liar: Callable[..., Liar], piece: bytes) -> None:
    bucket = liar(answer=lambda _request: endless(LISTING + piece)).bucket()
    tracemalloc.start()
    try:
        with pytest.raises(RootAway):
            list(bucket.pages())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


def test_a_redirect_is_not_followed(liar: Callable[..., Liar]) -> None:
    other = liar(sized(LISTING + b"</ListBucketResult>"))
    where = b"http://127.0.0.1:%d/bucket" % other.listener.getsockname()[1]
    server = liar(b"HTTP/1.1 301 Moved\r\nLocation: " + where + b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(RootAway, match="sends elsewhere"):
        server.bucket().require()
    with pytest.raises(RootAway, match="sends elsewhere"):
        list(server.bucket().read("a", 0, 1))
    assert not other.requests


def test_a_listing_in_a_circle(liar: Callable[..., Liar]) -> None:
    more = b"<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken></ListBucketResult>"
    with pytest.raises(RootAway, match="does not get on"):
        list(liar(sized(LISTING + ENTRY + more)).bucket().pages())
    with pytest.raises(RootAway, match="does not get on"):
        list(liar(sized(LISTING + more)).bucket().pages())


def test_a_listing_may_have_pages_without_an_object_and_not_for_ever(liar: Callable[..., Liar]) -> None:
    turn = itertools.count()

    def pages(end: int, request: bytes) -> Iterator[bytes]:
        number = next(turn)
        more = b"<IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>" % number
        yield sized(LISTING + (ENTRY if number == end else more) + b"</ListBucketResult>")

    found = liar(answer=functools.partial(pages, 5)).bucket().pages()
    assert [item.key for page in found for item in page] == ["a"]
    with pytest.raises(RootAway, match="does not get on"):
        list(liar(answer=functools.partial(pages, -1)).bucket().pages())


def test_a_404_that_is_not_of_the_server_is_no_removal_of_what_it_lists(liar: Callable[..., Liar]) -> None:
    def proxy(request: bytes) -> Iterator[bytes]:
        is_listing = b"list-type" in request.split(b"\r\n")[0]
        yield (
            sized(LISTING + ENTRY + b"</ListBucketResult>")
            if is_listing
            else sized(b"" if request.startswith(b"HEAD") else b"<html>no</html>", b"HTTP/1.1 404 Not Found\r\n")
        )

    bucket = liar(answer=proxy).bucket()
    with pytest.raises(NotReadable, match="is listed and answers 404"):
        bucket.head("a")
    assert bucket.head("b") is None


def test_keys_outside_of_what_was_asked_for_are_left_out(liar: Callable[..., Liar]) -> None:
    bucket = liar(sized(LISTING + ENTRY + ENTRY.replace(b">a<", b">b%2Fc<") + b"</ListBucketResult>")).bucket()
    assert [[item.key for item in page] for page in bucket.pages(prefix="b/")] == [["b/c"]]


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n", RootAway),
        (b"HTTP/1.1 206 P\r\nContent-Range: bytes nonsense\r\nContent-Length: 5\r\n", RootAway),
        (b"HTTP/1.1 206 P\r\nContent-Length: 5\r\n", RootAway),
        (b"HTTP/1.1 206 P\r\nContent-Range: bytes 2-6/99\r\nContent-Length: 5\r\n", ObjectChanged),
        (b'HTTP/1.1 206 P\r\nContent-Range: bytes 2-6/10\r\nETag: "other"\r\nContent-Length: 5\r\n', ObjectChanged),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", RootAway),
    ],
)
def test_bytes_of_something_else_are_refused(liar: Callable[..., Liar], headers: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(liar(headers + b"\r\nhello").bucket().read("a", 2, 5, etag="mine", size_bytes=10))


def test_more_bytes_than_asked_for_are_cut_and_fewer_are_asked_for_again(liar: Callable[..., Liar]) -> None:
    endless_answer = liar(answer=lambda _request: endless(b"x" * 65_536))
    assert b"".join(endless_answer.bucket().read("a", 0, 100_000)) == b"x" * 100_000
    short = liar(answer=_two_bytes_at_a_time)
    assert b"".join(short.bucket().read("a", 0, 10, size_bytes=10)) == b"0123456789"


def _two_bytes_at_a_time(request: bytes) -> Iterator[bytes]:
    start = int(request.split(b"bytes=")[1].split(b"-")[0])
    yield b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-9/10\r\nContent-Length: %d\r\n\r\n" % (start, 10 - start)
    yield b"0123456789"[start : start + 2]


def test_one_that_trickles_is_given_up(liar: Callable[..., Liar], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in time, and never an end: what has to be short has to come soon as well."""
    monkeypatch.setattr(connection, "SOON_S", 0.4)

    def trickle(_request: bytes) -> Iterator[bytes]:
        yield OK + b"\r\n" + LISTING
        while True:
            time.sleep(0.1)
            yield b" "

    with pytest.raises(RootAway, match="has no end"):
        liar(answer=trickle).bucket().require()


def test_what_stands_in_headers_is_text(liar: Callable[..., Liar]) -> None:
    said = (
        'ETag: W/"e\u00e9"\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\nx-amz-meta-Ort: Z\u00fcrich\r\n'
        "X-AMZ-META-b64: =?UTF-8?B?WsO8cmljaA==?=\r\nx-amz-meta-bad: =?no-such?B?!!?=\r\nx-amz-tagging-count: 3\r\n"
    ).encode()
    raw = b"x-amz-meta-raw: \xff\xfe\r\nx-amz-version-id: null\r\nContent-Length: 5\r\n\r\n"
    found = liar(OK + said + raw).bucket().head("a")
    assert found is not None and (found.etag, found.size_bytes, found.tag_count) == ("e\u00e9", 5, 3)
    assert found.version_id == ""
    expected = {"ort": "Z\u00fcrich", "b64": "Z\u00fcrich", "bad": "=?no-such?B?!!?=", "raw": "\ufffd\ufffd"}
    assert dict(found.metadata) == expected


def test_a_time_beyond_all_is_none(liar: Callable[..., Liar]) -> None:
    headers = b"Last-Modified: Mon, 01 Jan 99999999999 00:00:00 GMT\r\nContent-Length: 5\r\n\r\n"
    with pytest.raises(RootAway, match="what is no object"):
        liar(OK + headers).bucket().head("a")


@pytest.mark.parametrize("metadata", [b"=?utf-8?b?A?=", "=?ü?q?a?=".encode(), b"=?utf-7?q?+2AA-?=", b"=?x?b?%%?="])
def test_metadata_that_claims_to_be_mail_is_text_all_the_same(liar: Callable[..., Liar], metadata: bytes) -> None:
    headers = b"Last-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\nx-amz-meta-a: " + metadata + b"\r\n"
    found = liar(sized(b"", OK + headers)).bucket().head("a")
    assert found is not None
    found.metadata[0][1].encode()


def test_metadata_without_end_is_cut(liar: Callable[..., Liar]) -> None:
    """The last thousand answers are remembered, and each becomes a row of the lake."""
    headers = b"Last-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Type: a/" + b"b" * 60_000 + b"\r\n"
    headers += b"".join(b"x-amz-meta-%d: %s\r\n" % (number, b"m" * 12_000) for number in range(80))
    found = liar(sized(b"", OK + headers)).bucket().head("a")
    assert found is not None and dict(found.metadata) == {"0": "m" * 12_000}
    assert len(repr(found)) < 20_000


@pytest.mark.parametrize("etag", ["äé", 'a"b', "a b", "a\r\nX-Evil: yes"])
def test_an_etag_that_no_header_can_hold_is_compared_and_not_sent(liar: Callable[..., Liar], etag: str) -> None:
    server = liar(sized(b"xyz", OK + b'ETag: "' + etag.split("\r")[0].encode() + b'"\r\n'))
    changed = pytest.raises(ObjectChanged) if "\r" in etag else contextlib.nullcontext()
    with changed:
        assert b"".join(server.bucket().read("a", 0, 3, etag=etag)) == b"xyz"
    assert b"Evil" not in server.requests[0]
