"""A small real lake and a real server for tests of the API: a daemon of its own, without models."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lakewatchd.testing import LiveDaemon, make_tree, wait_until

TOKEN = "the-token-of-the-tests"
ODD_NAME = 'notes/näme "quoted"; é.txt'
FILES: dict[str, bytes | str] = {
    "notes/boats.txt": "Sailing boats on the lake. " * 40,
    "notes/boats copy.txt": "Sailing boats on the lake. " * 40,
    "notes/page.html": "<!doctype html><title>Harbour</title><p>Masts and ropes.<script>alert(1)</script>",
    "notes/drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>',
    ODD_NAME: "Umlauts in names.",
    "notes/long.txt": "\n\n".join(f"Of the {number}th mooring: {'rope and tar ' * 30}" for number in range(60)),
    "long.bin": b"\x00\x01\x02\x03" * (8 << 20),
    "table.csv": "city,people\nBerlin,3700000\nWien,1900000\n",
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Lake:
    daemon: LiveDaemon
    url: str
    ids: dict[str, str]
    """By path below the root."""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: object, caller: str = "", **headers: str) -> Answer:
        said = {"Content_Type": "application/json", **headers}
        return self.ask("POST", path, json.dumps(body).encode(), caller, **said)

    def ask(self, method: str, path: str, body: bytes | None = None, caller: str = "", **headers: str) -> Answer:
        """One request on a connection of its own. In names of headers ``_`` is ``-``.

        ``caller`` is a loopback address: what is allowed is counted by address, and other tests have used up theirs.
        """
        source = (caller, 0) if caller else None
        with contextlib.closing(http.client.HTTPConnection(*self.address, 60, source)) as connection:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            said = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, said, answer.read())


@contextlib.contextmanager
def lake(base: Path, web: str = "") -> Iterator[Lake]:
    """Indexed and answering. ``web`` is more TOML for ``[web]``."""
    root = make_tree(base / "nas", FILES)
    for number in range(6):
        Image.new("RGB", (320, 240 + number), (40 * number, 90, 120)).save(root / f"photo {number}.jpg")
    settings = "[watch]\nsettle_s = 0.1\n[sql]\ntimeout_s = 120.0\n[search]\nwarm = false\n"
    settings += f'[web]\nlisten = "127.0.0.1:0"\n{web}'
    daemon = LiveDaemon(base / "daemon", root, settings=settings)
    daemon.start()
    try:
        daemon.ask("wait_idle")
        url = wait_until(lambda: daemon.ask("status")["web"], 60, "the web process answers")
        from lakewatchd.unixhttp import get_json

        socket = base / "daemon" / "run" / "web.sock"
        items = get_json(socket, "/api/assets", {"limit": 100, "folded": False})["items"]
        ids = {}
        for item in items:
            for place in get_json(socket, f"/api/assets/{item['id']}")["places"]:
                ids[place["path"]] = item["id"]
        yield Lake(daemon, url, ids)
    finally:
        daemon.stop()
