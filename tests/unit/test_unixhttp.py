"""Asking over a UNIX socket, of whoever listens there: an answer, or an error that says what to do, within bounds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lakewatchd import errors, unixhttp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


def listening(
    path: Path, respond: Callable[[socket.socket], None], heads: list[bytes] | None = None
) -> threading.Thread:
    """A server for one request, whose head goes to ``heads``."""
    heard = [] if heads is None else heads
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            heard.append(connection.recv(65536))
            respond(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def saying(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(answer)


def test_an_answer_is_the_json_that_was_sent(tmp_path: Path) -> None:
    listening(tmp_path / "s", saying(OK % (9, b'{"a": 10}')))
    assert unixhttp.get_json(tmp_path / "s", "/api/x", {"tag": ["a b", "c&d"], "limit": 3}) == {"a": 10}


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (OK % (3, b"abc"), errors.LakewatchError, "is not lakewatchd"),
        (b"SSH-2.0-OpenSSH\r\n", errors.DaemonDown, "nobody answers"),
        (b"", errors.DaemonDown, "nobody answers"),
        (OK % (90, b"{}"), errors.ServiceAway, "cut off"),
        (b'HTTP/1.1 400 Bad\r\nContent-Length: 32\r\n\r\n{"error": "odd", "hint": "mend"}', errors.BadQuery, "odd"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n[]", errors.ServiceAway, "503"),
    ],
)
def test_what_is_no_answer_is_an_error(tmp_path: Path, answer: bytes, error: type[Exception], said: str) -> None:
    listening(tmp_path / "s", saying(answer))
    with pytest.raises(error, match=said):
        unixhttp.get_json(tmp_path / "s", "/api/x")


def test_an_answer_without_end_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unixhttp, "MAX_BYTES", 1000)

    def respond(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        with pytest.raises(OSError):
            while True:
                connection.sendall(b" " * 65536)

    thread = listening(tmp_path / "s", respond)
    with pytest.raises(errors.LakewatchError, match="is not lakewatchd"):
        unixhttp.get_json(tmp_path / "s", "/api/x")
    thread.join(20)
    assert not thread.is_alive()


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    enough = threading.Event()
    listening(tmp_path / "s", lambda connection: (enough.wait(60), None)[1])
    with pytest.raises(errors.TimedOut, match="no answer"):
        unixhttp.get_json(tmp_path / "s", "/api/x", timeout_s=0.1)
    enough.set()


def test_nobody_there_says_how_to_change_that(tmp_path: Path) -> None:
    with pytest.raises(errors.DaemonDown) as down:
        unixhttp.get_json(tmp_path / "s", "/api/x")
    assert "lakewatchd[web]" in str(down.value.hint)


def test_lines_come_as_they_are_sent(tmp_path: Path) -> None:
    first_read = threading.Event()

    def respond(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"n": 1}\r\n1\r\n\n\r\n')
        assert first_read.wait(60)
        connection.sendall(b'9\r\n{"n": 2}\n\r\n0\r\n\r\n')

    listening(tmp_path / "s", respond)
    lines = unixhttp.stream_lines(tmp_path / "s", "/api/ask", {})
    assert next(lines) == {"n": 1}
    first_read.set()
    assert list(lines) == [{"n": 2}]


def test_no_file_can_end_the_form_it_is_sent_in(tmp_path: Path) -> None:
    """Where it ends is said anew each time: what a file would have to hold cannot be known before."""
    heads = list[bytes]()

    def respond(connection: socket.socket) -> None:
        connection.sendall(OK % (2, b"{}"))
        while connection.recv(65536):
            pass

    for name in ("one", "other"):
        listening(tmp_path / name, respond, heads)
        assert unixhttp.post_file(tmp_path / name, "/api/search", {}, b"content") == {}
    one, other = (head.partition(b"boundary=")[2].partition(b"\r\n")[0] for head in heads)
    assert one and one != other
