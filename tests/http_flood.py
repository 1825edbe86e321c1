"""Junk at full speed, and among it what is right: ``python -m tests.http_flood HOST:PORT TOKEN RATE SECONDS [LEAST]``
(an empty TOKEN: junk only). It takes longer where LEAST requests of junk, and ten that are right, are not sent by then.

Open loop: RATE requests a second are due, whatever is answered; what cannot be sent, as every connection waits for its
answer, is left out and told. What is right is sent again until it is kept, as an object store does. The result is one
line of JSON.
"""

from __future__ import annotations

import collections
import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

CONNECTIONS, RIGHT, RIGHT_LEAST = 96, 4, 10
"""Of strangers, and of the one who means well; and how often this one asks at least."""
SENDER = "127.0.0.2"
"""Where all of them come from, so that other tests do not suffer for it."""
GAP_S = 0.002
"""Between two requests that are right: at most some hundreds a second, among them all the others."""


def request(token: str, body: bytes, *, method: str = "POST", path: str = "/events/photos", more: str = "") -> bytes:
    lines = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n"
    return lines.encode() + more.encode() + b"\r\n" + body


def record(key: str) -> bytes:
    s3 = {"bucket": {"name": "photos"}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": s3}]}).encode()


def junk() -> list[bytes]:
    wrong, forged = "an-attacker-guesses", record("forged")
    return [
        request(wrong, forged),
        request(wrong, b"x" * 2000),
        request("", forged),
        request(wrong, forged, path="/"),
        request(wrong, forged, method="DELETE"),
        request("x" * 4000, forged),
        request(wrong, b"", more="Content-Encoding: gzip\r\n"),
        request(wrong, forged, more="X-Filler: " + "y" * 3000 + "\r\n"),
    ]


@dataclass
class Connection:
    address: tuple[str, int]
    selector: selectors.BaseSelector
    is_right: bool
    waits: bool = False
    sent: bytes = b""
    buffer: bytes = b""
    socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self.address, source_address=(SENDER, 0))
        self.selector.register(self.socket, selectors.EVENT_READ, self)
        self.waits, self.buffer = False, b""

    def send(self, data: bytes) -> None:
        self.sent, self.waits = data, True
        try:
            self.socket.sendall(data)
        except OSError:
            self.reopen()

    def reopen(self) -> None:
        self.selector.unregister(self.socket)
        self.socket.close()
        self.open()

    def answer(self) -> str | None:
        """The status, once it is there whole; ``closed`` without one."""
        try:
            piece = self.socket.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            self.reopen()
            return "closed"
        self.buffer += piece
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return None
        self.waits, self.buffer = False, b""
        return head[9:12].decode()


def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    token, rate, seconds = sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    least = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    selector = selectors.DefaultSelector()
    good = RIGHT if token else 0
    everybody = [Connection((host, int(port)), selector, number < good) for number in range(good + CONNECTIONS)]
    rubbish = junk()
    answers, right_answers = collections.Counter[str](), collections.Counter[str]()
    sent = right = left_out = closed = 0
    began = time.monotonic()
    next_right = began
    is_over = False
    while not is_over or any(one.waits for one in everybody if one.is_right):
        now = time.monotonic()
        is_over = is_over or (now >= began + seconds and sent >= least and (right >= RIGHT_LEAST or not good))
        for one in everybody:
            if one.is_right and not one.waits and not is_over and now >= next_right:
                one.send(request(token, record(f"right-{right}")))
                right += 1
                next_right = now + GAP_S
        due = 0 if is_over else int((now - began) * rate) - sent - left_out
        for one in everybody:
            if due > 0 and not one.is_right and not one.waits:
                one.send(rubbish[sent % len(rubbish)])
                sent, due = sent + 1, due - 1
        left_out += max(0, due)
        for key, _ in selector.select(0.001):
            one = key.data
            if (status := one.answer()) is None:
                continue
            if status == "closed":
                closed += 1
                if one.is_right and one.sent:
                    one.send(one.sent)
                continue
            (right_answers if one.is_right else answers)[status] += 1
            if one.is_right and status != "200":
                one.send(one.sent)
    took = time.monotonic() - began
    print(
        json.dumps(
            {
                "junk": sent,
                "junk_per_s": round(sent / took),
                "left_out": left_out,
                "answers": dict(answers),
                "right": right,
                "right_answers": dict(right_answers),
                "closed": closed,
            }
        )
    )


if __name__ == "__main__":
    main()
