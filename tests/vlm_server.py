"""A stand-in for a vision-language model behind the two protocols it is asked by: Ollama's and OpenAI's.

No weights of such a model come as a package, so what it sees is the mean colour. All else is checked as a real server
would: the routes, the model's name, a JPEG in base64, a schema for the answer. It can be told to fail, to be slow, to
talk nonsense.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

MODEL = "stand-in:1b"


@dataclass(frozen=True, slots=True)
class Flood:
    status: int = 200
    encoding: str = ""


class VlmServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.asked = 0
        self.sizes: list[tuple[int, int]] = []
        self.failing = False
        self.refused: tuple[int, int] | None = None
        """The size of pictures that it does not take."""
        self.saying: str | None = None
        """Instead of an honest answer."""
        self.flood: Flood | None = None
        """An answer without end and without a line's end, until the client hangs up."""
        self.sent_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(port: int = 0) -> Iterator[VlmServer]:
    server = VlmServer(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: VlmServer

    def do_GET(self) -> None:
        self._send(200 if self.path == "/v1/models" and not self.server.failing else 503, {"data": [{"id": MODEL}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.flood:
            self._flood(self.server.flood)
        elif self.server.failing:
            self._send(500, {"error": "out of memory"})
        elif body["model"] != MODEL:
            self._send(404, {"error": f"model {body['model']!r} not found"})
        elif self.path == "/api/show":
            self._send(200, {"details": {}, "model_info": {}})
        elif self.path == "/api/chat":
            (message,) = body["messages"]
            assert body["format"]["required"] == ["caption", "tags"]
            answer = self._answer(message["images"][0])
            self._send_answer(answer, {"model": MODEL, "message": _said(answer), "done": True})
        elif self.path == "/v1/chat/completions":
            (message,) = body["messages"]
            text, image = message["content"]
            assert text["type"] == "text" and body["response_format"]["type"] == "json_schema"
            answer = self._answer(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
            self._send_answer(answer, {"choices": [{"message": _said(answer)}]})
        else:
            self._send(404, {"error": "no such route"})

    def _answer(self, encoded: str) -> str | None:
        image = Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)), formats=("JPEG",))
        self.server.asked += 1
        if image.size == self.server.refused:
            return None
        self.server.sizes.append(image.size)
        if self.server.saying is not None:
            return self.server.saying
        red, green, blue = image.resize((1, 1)).getpixel((0, 0))
        colour = max((red, "red"), (green, "green"), (blue, "blue"))[1]
        return json.dumps({"caption": f"A wall that is {colour}.", "tags": [f"{colour} wall", "Paint"]})

    def _send_answer(self, answer: str | None, value: Any) -> None:
        self._send(*((400, {"error": "no picture for me"}) if answer is None else (200, value)))

    def _send(self, status: int, value: Any) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _flood(self, flood: Flood) -> None:
        self.send_response(flood.status)
        if flood.encoding:
            self.send_header("Content-Encoding", flood.encoding)
        self.end_headers()
        more = b"x" * 65536 if not flood.encoding else gzip.compress(bytes(1 << 24))
        with contextlib.suppress(ConnectionError):
            self.wfile.write(b'{"message": "')
            while True:
                self.wfile.write(more)
                self.server.sent_bytes += len(more)

    def log_message(self, *_: object) -> None:
        """Silence."""


def _said(answer: str | None) -> dict[str, str | None]:
    return {"role": "assistant", "content": answer}
