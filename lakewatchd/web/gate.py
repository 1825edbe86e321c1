"""Who may come in to search, gallery and API: told by the head of a request, before anything else of it is looked at.

======================  ============================================================================================
came by the UNIX socket let in: the rights of the file said so
another host's name     421: a page elsewhere may have made its own name point here (DNS rebinding)
page of another site    403, whatever cookie its visitor has (CSRF); only links to pages are followed
right token             let in: ``Authorization: Bearer``, or the cookie that ``/login`` gives for it
none configured         let in where the door is open to this machine only, else 403
wrong or no token       401, 429 after many wrong ones from one address; a browser is sent to ``/login``
======================  ============================================================================================

The invariant: what changes something, or costs more than a look, comes as a content type that no form of another page
can send, or from a page of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from lakewatchd.web.answer import Answer, problem
from lakewatchd.web.head import Head
from lakewatchd.web.tokens import MAX_TOKEN_BYTES, Strikes

COOKIE = b"lakewatchd"
API = b"/api/"
LOGIN = b"/login"
OPEN_PATHS = frozenset({LOGIN, b"/login.css"})
"""What is shown to everybody."""
LOOKING = frozenset({b"GET", b"HEAD"})
_SENDABLE = (b"application/json", b"multipart/form-data")
_FORM = b"application/x-www-form-urlencoded"

WRONG_HOST = problem(
    HTTPStatus.MISDIRECTED_REQUEST,
    "this machine is not known by that name",
    "add it to web.allowed_hosts, or use the machine's address",
)
OTHER_SITE = problem(HTTPStatus.FORBIDDEN, "a page of another site asked for this", "open it by the address bar")
WRONG_TYPE = problem(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "what is posted here is JSON", "send it with: Content-Type: application/json"
)
NO_TOKEN_SET = problem(
    HTTPStatus.FORBIDDEN,
    "other machines may look only with a token, and none is set",
    "set web.token, or let web.listen be an address of this machine only, such as 127.0.0.1:8420",
)
NEEDS_TOKEN = problem(
    HTTPStatus.UNAUTHORIZED,
    "wrong or missing token",
    "send web.token: Authorization: Bearer …, or open /login",
    (b"www-authenticate", b"Bearer"),
)
STOP_GUESSING = problem(
    HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens", "wait some seconds", (b"retry-after", b"10")
)


@dataclass(frozen=True, slots=True)
class Key:
    """What opens the door. Knows the token's hash only; who has the cookie cannot tell the token."""

    token_sha256: bytes

    @property
    def cookie(self) -> bytes:
        return hmac.new(self.token_sha256, b"lakewatchd cookie", hashlib.sha256).hexdigest().encode()

    def fits(self, token: bytes) -> bool:
        return hmac.compare_digest(hashlib.sha256(token[:MAX_TOKEN_BYTES]).digest(), self.token_sha256)

    def fits_cookie(self, said: bytes) -> bool:
        return hmac.compare_digest(said, self.cookie)


class Gate:
    def __init__(self, key: Key | None, listens_at: str, allowed_hosts: Iterable[str], strikes: Strikes) -> None:
        """``listens_at`` is the address of the port without the port."""
        self.key = key
        self.strikes = strikes
        self._is_for_this_machine = is_loopback(listens_at)
        mine = socket.gethostname().lower()
        self._hosts = {"localhost", mine, f"{mine}.local", listens_at.lower(), *map(str.lower, allowed_hosts)}

    def refuse(self, head: Head) -> Answer | None:
        """The answer to who may not come in; None: let in."""
        if head.address is None:
            return None
        if not self._knows(head.get(b"host")):
            return WRONG_HOST
        is_bearer = bool(head.get(b"authorization"))
        if not is_bearer and (refused := _foreign(head)):
            return refused
        if head.path in OPEN_PATHS:
            return None
        return self._let_in(head)

    def _let_in(self, head: Head) -> Answer | None:
        if self.key is None:
            return None if self._is_for_this_machine else NO_TOKEN_SET
        given, cookie = head.get(b"authorization"), head.cookie(COOKIE)
        kind, _, token = given.strip().partition(b" ")
        if given and kind.lower() == b"bearer" and self.key.fits(token.strip()):
            return None
        if cookie and self.key.fits_cookie(cookie):
            return None
        if (given or cookie) and self.strikes.strike(head.address or ""):
            return STOP_GUESSING
        if head.method in LOOKING and not head.path.startswith(API) and b"text/html" in head.get(b"accept"):
            where = quote(head.path.decode("ascii", "replace"), safe="/").encode()
            return Answer(HTTPStatus.SEE_OTHER, "", (b"location", LOGIN + b"?next=" + where))
        return NEEDS_TOKEN

    def _knows(self, host: bytes) -> bool:
        """An address cannot be made to point elsewhere, only a name can."""
        name = host_of(host)
        return name in self._hosts or _is_address(name)


def _foreign(head: Head) -> Answer | None:
    """What a page of another site may not ask a browser for."""
    site, origin = head.get(b"sec-fetch-site"), head.get(b"origin")
    is_ours = site in (b"", b"same-origin", b"none") and (not origin or _is_origin(origin, head.get(b"host")))
    if head.method in LOOKING:
        is_link = head.get(b"sec-fetch-mode") == b"navigate" and not head.path.startswith(API)
        return None if is_ours or is_link else OTHER_SITE
    if not is_ours:
        return OTHER_SITE
    if head.method != b"POST":  # there is no other that changes anything
        return None
    sent = head.get(b"content-type").partition(b";")[0].strip().lower()
    allowed = (_FORM,) if head.path == LOGIN else _SENDABLE
    return None if sent in allowed else WRONG_TYPE


def _is_origin(origin: bytes, host: bytes) -> bool:
    try:
        return urlsplit(origin.decode("ascii")).netloc.lower() == host.decode("ascii").lower()
    except ValueError:
        return False


def host_of(header: bytes) -> str:
    """The name or address in a ``Host`` header, without its port and brackets; empty where there is none."""
    try:
        return (urlsplit(b"//" + header).hostname or b"").decode("ascii").lower().rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
