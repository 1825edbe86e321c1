"""Who may come in, by the head of a request alone; and what is a range, a cookie, an address."""

from __future__ import annotations

import hashlib
import itertools
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.config import parse
from lakewatchd.daemon.web import settings_of
from lakewatchd.testing import FakeClock
from lakewatchd.web.content import Range
from lakewatchd.web.gate import COOKIE, Gate, Key, host_of
from lakewatchd.web.head import Head
from lakewatchd.web.login import _here
from lakewatchd.web.tokens import Strikes

TOKEN = b"a-token-of-16-bytes-or-more"
KEY = Key(hashlib.sha256(TOKEN).digest())
BEARER = (b"authorization", b"Bearer " + TOKEN)
HOST = (b"host", b"127.0.0.1:8420")


def gate(key: Key | None = None, listens_at: str = "127.0.0.1", *hosts: str) -> Gate:
    return Gate(key, listens_at, hosts, Strikes(FakeClock().monotonic, allowed=3))


def head(*headers: tuple[bytes, bytes], method: bytes = b"GET", path: bytes = b"/api/assets") -> Head:
    return Head(method, path, headers, "192.168.1.7")


def status(door: Gate, one: Head) -> int:
    answer = door.refuse(one)
    return 200 if answer is None else answer.status.value


@pytest.mark.parametrize("host", [b"localhost", b"127.0.0.1:8420", b"[::1]:8420", b"192.168.1.5:1", b"LocalHost.:8420"])
def test_a_machine_is_known_by_its_addresses_and_names(host: bytes) -> None:
    assert status(gate(), head((b"host", host))) == 200


@pytest.mark.parametrize(
    "host", [b"", b"evil.example", b"127.0.0.1.evil.example", b"localhost.evil.example:8420", b"[", b"\xff"]
)
def test_a_name_that_anybody_could_have_pointed_here_is_refused_even_with_a_token(host: bytes) -> None:
    for path in (b"/", b"/login", b"/api/assets"):
        assert status(gate(KEY), head((b"host", host), BEARER, path=path)) == HTTPStatus.MISDIRECTED_REQUEST
    assert status(gate(None, "127.0.0.1", "Evil.Example"), head((b"host", b"evil.example"))) == 200


def test_without_a_token_only_this_machine_is_let_in() -> None:
    for address in ("127.0.0.1", "::1", "127.8.0.1"):
        assert status(gate(None, address), head(HOST)) == 200
    for address in ("0.0.0.0", "192.168.1.5", "::", "nas.example", ""):
        assert status(gate(None, address), head(HOST)) == HTTPStatus.FORBIDDEN
        assert status(gate(KEY, address), head(HOST, BEARER)) == 200


def test_a_token_opens_as_a_header_or_as_its_cookie_and_nothing_else_does() -> None:
    cookie = COOKIE + b"=" + KEY.cookie
    for headers in (BEARER,), ((b"cookie", cookie),), ((b"cookie", b"a=b; " + cookie + b"; c=d"),):
        assert status(gate(KEY), head(HOST, *headers)) == 200
    wrong = [
        (),
        ((b"authorization", TOKEN),),
        ((b"authorization", b"Basic " + TOKEN),),
        ((b"authorization", b"Bearer " + TOKEN + b"x"),),
        ((b"cookie", COOKIE + b"=" + TOKEN),),
        ((b"cookie", COOKIE + b"=" + hashlib.sha256(TOKEN).hexdigest().encode()),),
        ((b"cookie", b"other=" + KEY.cookie),),
    ]
    for headers in wrong:
        assert status(gate(KEY), head(HOST, *headers)) == HTTPStatus.UNAUTHORIZED
    assert TOKEN not in KEY.cookie and KEY.token_sha256.hex().encode() not in KEY.cookie


def test_who_guesses_is_told_to_stop_and_a_right_token_is_let_in_all_the_same() -> None:
    door = gate(KEY)
    guess = head(HOST, (b"authorization", b"Bearer guess"))
    assert [status(door, guess) for _ in range(4)] == [401, 401, 401, 429]
    assert status(door, head(HOST, BEARER)) == 200


def test_a_browser_is_sent_to_the_login_and_back() -> None:
    answer = gate(KEY).refuse(head(HOST, (b"accept", b"text/html,*/*"), path=b"/asset/ab\r\nX: y"))
    assert answer is not None and answer.status == HTTPStatus.SEE_OTHER
    assert answer.header == (b"location", b"/login?next=/asset/ab%0D%0AX%3A%20y")
    assert status(gate(KEY), head(HOST, (b"accept", b"text/html"))) == 401, "the API answers programs"


ORIGIN = (b"origin", b"http://127.0.0.1:8420")
JSON = (b"content-type", b"application/json; charset=utf-8")


def test_another_site_can_neither_read_nor_change_anything() -> None:
    """For a visitor who is logged in, or needs no token."""
    foreign = [
        ((b"sec-fetch-site", b"cross-site"),),
        ((b"sec-fetch-site", b"same-site"),),
        ((b"origin", b"http://evil.example"),),
        ((b"origin", b"null"),),
        ((b"origin", b"http://127.0.0.1:9999"),),
        ((b"origin", b"http://127.0.0.1:8420.evil.example"),),
        (ORIGIN, (b"sec-fetch-site", b"cross-site")),
    ]
    cookie = (b"cookie", COOKIE + b"=" + KEY.cookie)
    for door, headers, method in itertools.product((gate(), gate(KEY)), foreign, (b"GET", b"POST", b"PUT", b"DELETE")):
        for more in (JSON,), ():
            assert status(door, head(HOST, cookie, *headers, *more, method=method)) == HTTPStatus.FORBIDDEN
    link = ((b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate"))
    assert status(gate(), head(HOST, *link, path=b"/asset/1")) == 200, "a link to a page is followed"
    assert status(gate(), head(HOST, *link)) == HTTPStatus.FORBIDDEN, "but none into the API"


def test_what_a_form_of_any_page_can_send_is_not_taken() -> None:
    for sent in (b"", b"text/plain", b"application/x-www-form-urlencoded", b"application/jsonp"):
        assert status(gate(), head(HOST, (b"content-type", sent), method=b"POST")) == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert status(gate(), head(HOST, JSON, method=b"POST")) == 200
    assert status(gate(), head(HOST, JSON, ORIGIN, (b"sec-fetch-site", b"same-origin"), method=b"POST")) == 200


def test_the_unix_socket_asks_for_nothing() -> None:
    assert gate(KEY, "0.0.0.0").refuse(Head(b"POST", b"/api/sql", (), None)) is None


@given(st.binary(max_size=200))
def test_no_host_is_too_odd_to_be_looked_at(raw: bytes) -> None:
    assert isinstance(host_of(raw), str)


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [("/asset/1?t=2", "/asset/1?t=2"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("https://evil.example", "/"),
     ("javascript:alert(1)", "/"), ("/a\r\nSet-Cookie: x", "/"), ("", "/")],
)  # fmt: skip
def test_the_login_leads_nowhere_else(wanted: str, leads_to: str) -> None:
    assert _here(wanted) == leads_to


@given(st.integers(1, 1000), st.integers(0, 1200), st.integers(0, 1200))
def test_a_range_is_what_lies_there(size: int, first: int, last: int) -> None:
    content = bytes(number % 251 for number in range(size))
    for header, wanted in (
        (f"bytes={first}-{last}", content[first : last + 1] if last >= first else None),
        (f"bytes={first}-", content[first:]),
        (f"bytes=-{last}", content[max(0, size - last) :] if last else b""),
    ):
        try:
            found = Range.of(header, size)
        except ValueError:
            assert wanted == b""
        else:
            assert found is None if wanted is None else content[found.first : found.first + found.length] == wanted


@given(st.text(max_size=40), st.integers(0, 100))
def test_any_other_range_is_the_whole(header: str, size: int) -> None:
    try:
        found = Range.of(header, size)
    except ValueError:
        return
    assert found is None or (found.first >= 0 and 0 < found.length <= size - found.first)


def test_the_process_learns_only_the_keys_that_it_uses() -> None:
    words = '[captions]\napi_key = "of-captions"\n[ask]\napi_key = "of-answers"\n[web]\ntoken = "of-the-page-itself"\n'
    told = settings_of(parse(words, Path("/x"))).config
    assert told is not None
    assert (told.captions.api_key, told.ask.api_key, told.web.token) == ("", "of-answers", "")
