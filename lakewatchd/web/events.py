"""``POST /events/ROOT``: where object stores tell what happened to their objects. 200 says that it is durable.

A bare ASGI application: it is asked thousands of times a second, by whom it knows and by whom it does not.

====  ==========================================================================================================
200   durable; or nothing to keep: an empty body (a probe), events that do not concern us
400   no JSON at all. What is JSON and makes no sense gets 200: MinIO sends again what was refused, for ever, and all
      that comes after it waits
401   wrong token, 429 after many from one address; before anything else is looked at
404   no root of that name has a token
405   only POST, and GET and HEAD, which say that this is the place
413   too long: more than one message of MinIO can be, by far
415   compressed: what is short here may be endless there
429   so many wait already; again later
503   the daemon, the queue or its disk cannot take it now; again later
====  ==========================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

from lakewatchd.buckets.records import Encoding, Notice, parse
from lakewatchd.web.answer import Answer, Message, Receive, Send
from lakewatchd.web.courier import Courier, Full, NotDurable
from lakewatchd.web.tokens import Strikes, Tokens
from lakewatchd.web.wire import Recipient, Settings

PATH = b"/events/"
MAX_HELD_BYTES = 32 << 20
"""Of bodies that are being read or wait, of all requests together."""

DURABLE = Answer(HTTPStatus.OK)
NOTHING_TO_KEEP = Answer(HTTPStatus.OK, "nothing to keep")
HERE = Answer(HTTPStatus.OK, "events are received here: POST them")
NOT_JSON = Answer(HTTPStatus.BAD_REQUEST, "not JSON: a record of an event is expected")
WRONG_TOKEN = Answer(HTTPStatus.UNAUTHORIZED, "wrong or missing token", (b"www-authenticate", b"Bearer"))
STOP_GUESSING = Answer(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens", (b"retry-after", b"10"))
NO_SUCH_ROOT = Answer(HTTPStatus.NOT_FOUND, "no root of this name has a webhook_token")
WRONG_METHOD = Answer(HTTPStatus.METHOD_NOT_ALLOWED, "POST events here", (b"allow", b"POST, GET, HEAD"))
TOO_LONG = Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long: see web.max_body_kb")
COMPRESSED = Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it without Content-Encoding")
FULL = Answer(HTTPStatus.TOO_MANY_REQUESTS, "too many requests wait: see web.max_waiting", (b"retry-after", b"1"))
AWAY = Answer(HTTPStatus.SERVICE_UNAVAILABLE, "cannot be kept now", (b"retry-after", b"3"))


class Events:
    def __init__(self, settings: Settings, courier: Courier, strikes: Strikes) -> None:
        self._recipients = {root.name: root for root in settings.recipients}
        self._tokens = Tokens({root.name: bytes.fromhex(root.token_sha256) for root in settings.recipients})
        self._strikes = strikes
        self._max_body_bytes = settings.max_body_bytes
        self._courier = courier
        self._held_bytes = 0

    def refuse(self, method: bytes, path: bytes, authorization: bytes, address: str) -> Answer | None:
        """What can be said without looking at more than this; None: the application is to be asked.

        ``path`` starts with :data:`PATH` and is as it was sent.
        """
        name = path[len(PATH) :].decode("ascii", "replace")
        roots = self._tokens.roots_of(authorization)
        if name not in roots and (not roots or name in self._recipients):
            # MinIO asks by HEAD, without a token, whether anybody is here when it starts.
            if name in self._recipients and (authorization or method == b"POST"):
                tally = self._courier.tally(name)
                tally.wrong_tokens, tally.wrong_from = tally.wrong_tokens + 1, address.partition("%")[0]
            return STOP_GUESSING if self._strikes.strike(address) else WRONG_TOKEN
        if name not in roots:
            return NO_SUCH_ROOT
        if method == b"POST":
            return None
        return HERE if method in (b"GET", b"HEAD") else WRONG_METHOD

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """By ASGI. Asks :meth:`refuse` itself: nobody is trusted to have done so."""
        headers = dict(scope["headers"])
        path: bytes = scope["raw_path"]
        address = scope["client"][0] if scope["client"] else ""
        answer = self.refuse(scope["method"].encode(), path, headers.get(b"authorization", b""), address)
        if answer is None:
            root = self._recipients[path[len(PATH) :].decode()]
            answer = await self._take(root, headers, receive)
            if answer in (FULL, AWAY, TOO_LONG):
                self._courier.tally(root.name).refused += 1
        await answer.send(send)

    async def _take(self, root: Recipient, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            return COMPRESSED
        length = headers.get(b"content-length", b"0")
        if len(length) > 12 or int(length) > self._max_body_bytes:  # the parser of HTTP lets only digits through
            return TOO_LONG
        if self._courier.is_full:
            return FULL
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return AWAY  # nobody is there to hear it
                piece: bytes = message.get("body", b"")
                body += piece
                self._held_bytes += len(piece)
                if len(body) > self._max_body_bytes:
                    return TOO_LONG
                if self._held_bytes > MAX_HELD_BYTES:
                    return FULL
                if not message.get("more_body"):
                    return await self._keep(root, bytes(body))
        finally:
            self._held_bytes -= len(body)

    async def _keep(self, root: Recipient, body: bytes) -> Answer:
        parsed = parse(body, Encoding.FORM)
        posts = self._addressed(root, parsed.notices)
        tally = self._courier.tally(root.name)
        tally.foreign += len(parsed.notices) - sum(len(notices) for notices in posts.values())
        tally.unknown += parsed.unknown
        tally.bad += parsed.bad
        if not posts:
            return NOT_JSON if parsed.bad and not _is_json(body) else NOTHING_TO_KEEP
        try:
            await self._courier.deliver(list(posts.items()))
        except Full:
            return FULL
        except NotDurable:
            return AWAY
        return DURABLE

    def _addressed(self, door: Recipient, notices: Sequence[Notice]) -> dict[str, list[Notice]]:
        """By the root that the event is in: a server posts at one door, and may have several buckets that are roots."""
        posts: dict[str, list[Notice]] = {}
        neighbours = [root for root in self._recipients.values() if root.endpoint == door.endpoint]
        for notice in notices:
            for root in neighbours:
                if notice.bucket == root.bucket and notice.key.startswith(root.prefix):
                    posts.setdefault(root.name, []).append(notice)
        return posts


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
