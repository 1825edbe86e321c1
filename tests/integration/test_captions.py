"""Captions by a model on a server: both protocols, a server that fails and comes back, answers that mean nothing."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image
from servers import free_ports
from vlm_server import MODEL, Flood, VlmServer, serving

from lakewatchd.cli.checks import Level, check_captions
from lakewatchd.config import CaptionConfig, Config
from lakewatchd.core.clock import Clock
from lakewatchd.errors import ServiceAway, UnsupportedMedia
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import AssetRow, GoldRow
from lakewatchd.models import captioner as models_captioner
from lakewatchd.models import transport
from lakewatchd.models.captioner import Caption, Captioner, read
from lakewatchd.models.chat import Breaker, Turn
from lakewatchd.testing import LiveDaemon, wait_until


class Hand(Clock):
    """A clock that somebody turns."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture(scope="module")
def server() -> Iterator[VlmServer]:
    with serving() as running:
        yield running


def wall(colour: str, size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_either_protocol_brings_a_caption(server: VlmServer, suffix: str) -> None:
    captioner = Captioner(CaptionConfig(MODEL, server.url + suffix), Hand())
    assert await captioner.describe(wall("blue")) == Caption("A wall that is blue.", ("blue wall", "paint"))


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_a_server_without_the_model_is_told_by_name(server: VlmServer, suffix: str) -> None:
    captioner = Captioner(CaptionConfig("llava:7b", server.url + suffix), Hand())
    with pytest.raises(ServiceAway, match=r"llava:7b on http.*not found"):
        await captioner.describe(wall("blue"))


async def test_who_fails_is_left_alone_for_a_while_and_asked_again(server: VlmServer) -> None:
    clock = Hand()
    captioner = Captioner(CaptionConfig(MODEL, f"{server.url}/v1"), clock)
    server.failing = True
    try:
        for _ in range(Breaker.PATIENCE):
            assert captioner.is_there
            with pytest.raises(ServiceAway, match="out of memory"):
                await captioner.describe(wall("red"))
        assert not captioner.is_there and "out of memory" in captioner.problem
        asked = server.asked
        assert not await captioner.probe(), "too early"
        clock.at += Breaker.FIRST_S
        assert not await captioner.probe(), "it still fails"
        server.failing = False
        assert not await captioner.probe(), "and is left alone for longer"
        clock.at += 2 * Breaker.FIRST_S
        assert await captioner.probe()
        assert captioner.is_there and not captioner.problem and server.asked == asked
    finally:
        server.failing = False


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_a_picture_that_the_server_refuses_is_parked_and_the_server_stays(server: VlmServer, suffix: str) -> None:
    captioner = Captioner(CaptionConfig(MODEL, server.url + suffix), Hand())
    server.refused = (7, 5)
    try:
        with pytest.raises(ServiceAway):  # nothing shows yet that it would take another one
            await captioner.describe(wall("red", (7, 5)))
        await captioner.describe(wall("red"))
        for _ in range(2 * Breaker.PATIENCE):
            with pytest.raises(UnsupportedMedia, match="no picture for me"):
                await captioner.describe(wall("red", (7, 5)))
        assert captioner.is_there and (await captioner.describe(wall("red"))).text
    finally:
        server.refused = None


async def test_a_server_that_is_there_and_never_describes_is_asked_less_and_less(server: VlmServer) -> None:
    """It lists its models, and lacks the one that is wanted: each time it is back, all of the lake would be queued."""
    clock = Hand()
    captioner = Captioner(CaptionConfig("llava:7b", f"{server.url}/v1"), clock)
    back = 0
    for _ in range(2 * 3600):
        clock.at += 1.0
        back += await captioner.probe() if not captioner.is_there else 0
        if captioner.is_there:
            with pytest.raises(ServiceAway):
                await captioner.describe(wall("red"))
    assert 7200 / Breaker.LAST_S - 2 < back < 7200 / Breaker.LAST_S + 10


async def test_an_answer_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_captioner, "PROBE_S", 0.01)

    class Dripping:
        async def say(self, turns: Sequence[Turn], **_: object) -> AsyncGenerator[str]:
            await asyncio.Event().wait()
            yield ""

        async def probe(self) -> None:
            await asyncio.Event().wait()

    clock = Hand()
    captioner = Captioner(CaptionConfig(MODEL, timeout_s=0.01), clock, Dripping())
    for _ in range(Breaker.PATIENCE):
        with pytest.raises(ServiceAway, match="TimeoutError"):
            await captioner.describe(wall("red"))
    clock.at += Breaker.FIRST_S
    assert not await captioner.probe()


@pytest.mark.parametrize("suffix", ["", "/v1"])
@pytest.mark.parametrize("flood", [Flood(), Flood(500), Flood(400), Flood(encoding="gzip")], ids=str)
async def test_a_server_that_talks_without_end_is_cut_off(suffix: str, flood: Flood) -> None:
    """Neither a line that never ends, nor the text of an error, nor a few bytes that unpack to many fill the memory."""
    with serving() as server:
        server.flood = flood
        captioner = Captioner(CaptionConfig(MODEL, server.url + suffix), Hand())
        with pytest.raises(ServiceAway, match=r"does not end|packs its answer|HTTP"):
            await captioner.describe(wall("red"))
        assert server.sent_bytes < 4 * transport.MAX_BYTES  # what sockets hold comes on top


def test_check_says_whether_the_server_is_there(server: VlmServer) -> None:
    there = Config(captions=CaptionConfig(MODEL, server.url))
    assert [(found.level, found.text) for found in check_captions(there)] == [(Level.OK, f"{MODEL} on {server.url}")]
    (wrong,) = check_captions(Config(captions=CaptionConfig("llava:7b", server.url)))
    assert wrong.level is Level.WARNING and "not found" in wrong.text and "ollama pull llava:7b" in wrong.fix
    far = next(iter(check_captions(Config(captions=CaptionConfig(MODEL, "http://photos.invalid:1")))))
    assert far.level is Level.WARNING and "leave this machine" in far.text


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no JSON",
        "[1]",
        "null",
        '{"caption": 3, "tags": []}',
        '{"caption": "x", "tags": "y"}',
        "[" * 9000,
        '{"caption"',
    ],
)
def test_nonsense_is_no_caption(answer: str) -> None:
    assert read(answer) == Caption()


def test_what_a_model_says_is_bounded_and_printable() -> None:
    tags = ["A" * 50, "by/the/sea", "#Beach.", "beach", "x", 7, *(f"tag {n}" for n in range(20))]
    caption = read(json.dumps({"caption": "a\x1b[31m\nb" + "c" * 9000, "tags": tags}))
    assert caption.text.startswith("a [31m bccc") and len(caption.text) == 400
    assert caption.tags == ("beach", *(f"tag {n}" for n in range(7)))


def test_pictures_are_found_before_they_are_described_and_described_when_the_server_comes_back(tmp_path: Path) -> None:
    """A daemon whose server is not there indexes all the same, has nothing left to do, and goes on when it comes."""
    (port,) = free_ports(1)  # none that the kernel gives to somebody else meanwhile
    url = f"http://127.0.0.1:{port}"
    daemon = LiveDaemon(tmp_path / "d", tmp_path / "nas")
    daemon.root.mkdir()
    daemon.settings = f'[queue]\nbackoff_s = 0.05\n[captions]\nmodel = "{MODEL}"\nserver = "{url}"\n'
    daemon.write_config()
    for colour in ("red", "blue", "green"):
        (daemon.root / f"{colour}.jpg").write_bytes(wall(colour, (1600, 1200)))
    with daemon:
        daemon.wait_idle()
        assert sorted(row.best.path for row in gold(daemon)) == ["blue.jpg", "green.jpg", "red.jpg"]
        wait_until(lambda: "stand-in:1b on http" in json.dumps(daemon.ask("status")["problems"]))
        with serving(port) as server:
            # The longer it was away, the longer until it is asked again
            wait_until(lambda: all(row.caption for row in gold(daemon)), 180)
            daemon.wait_idle()
            assert {row.best.path: row.caption for row in gold(daemon)}["red.jpg"] == "A wall that is red."
            assert server.asked == 3 and set(server.sizes) <= {(768, 576), (384, 288)}
            assert {row.caption_tags for row in assets(daemon)} == {
                (f"{colour} wall", "paint") for colour in ("red", "blue", "green")
            }
            assert MODEL not in json.dumps(daemon.ask("status")["problems"])
        (daemon.root / "later.jpg").write_bytes(wall("red", (400, 300)))
        wait_until(lambda: len(gold(daemon)) == 4)


def gold(daemon: LiveDaemon) -> list[GoldRow]:
    return asyncio.run(_all(daemon, "all_gold"))


def assets(daemon: LiveDaemon) -> list[AssetRow]:
    return asyncio.run(_all(daemon, "all_assets"))


async def _all(daemon: LiveDaemon, what: str) -> list:
    reader = LakeReader(daemon.base / "state" / "lake")
    try:
        return [row async for row in getattr(reader, what)()]
    finally:
        reader.close()
