"""A stand-in for a language model behind the two protocols it is asked by: it says what a test has it say, bit by bit.

Routes, names and the form of a stream are as real servers have them (tests/quality/ask.py asks a real one).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat

MODEL = "stand-in:1b"
Messages = list[dict[str, str]]


class LlmServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Messages] = []
        self.says: Callable[[Messages], str] = lambda _: "NO ANSWER"
        self.is_endless = False
        self.ending = b""
        """Before the end of a stream, as it is."""
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[LlmServer]:
    server = LlmServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: LlmServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["model"] == MODEL and body["stream"] is True
        self.server.asked.append(body["messages"])
        self.send_response(self.server.status)
        is_openai = self.path == "/v1/chat/completions"
        assert is_openai or self.path == "/api/chat", self.path
        self.send_header("Content-Type", "text/event-stream" if is_openai else "application/x-ndjson")
        self.end_headers()
        if self.server.status != 200:
            self.wfile.write(b'{"error": "out of memory"}')
            return
        with suppress(OSError):  # who has heard enough leaves
            self._stream(is_openai)

    def _stream(self, is_openai: bool) -> None:
        said = self.server.says(body := self.server.asked[-1])
        assert body[0]["role"] == "system"
        pieces = [said[at : at + 7] for at in range(0, len(said), 7)]
        for piece in repeat("and so on, ") if self.server.is_endless else pieces:
            if is_openai:
                line = "data: " + json.dumps({"choices": [{"delta": {"content": piece}}]}) + "\n\n"
            else:
                line = json.dumps({"model": MODEL, "message": {"role": "assistant", "content": piece}}) + "\n"
            self.wfile.write(line.encode())
        self.wfile.write(self.server.ending)
        self.wfile.write(
            b"data: [DONE]\n\n" if is_openai else b'{"model": "x", "message": {"role": "assistant"}, "done": true}\n'
        )

    def log_message(self, *_: object) -> None:
        """Silence."""
