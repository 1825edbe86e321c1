"""What is written in pictures is found: real files, real models, all the way to gold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lakewatchd.config import parse
from lakewatchd.core.asset import PathKey
from lakewatchd.core.job import Lane, Priority
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.lake.rows import GoldRow, SpanRow
from lakewatchd.models.ocr import RapidReader
from lakewatchd.stages import ingest, ocr
from lakewatchd.testing import config_text
from tests.integration.test_stages_histories import SETTINGS, handle
from tests.photos import encoded, halves, svg

pytestmark = pytest.mark.models


def written(*lines: str) -> Image.Image:
    image = Image.new("RGB", (400, 160), "white")
    font = ImageFont.load_default(26)
    ImageDraw.Draw(image).multiline_text((30, 30), "\n".join(lines), "black", font, spacing=20)
    return image


@asynccontextmanager
async def reading(base: Path, model_dir: Path, reader: str = "embedded") -> AsyncIterator[Daemon]:
    (base / "nas").mkdir(exist_ok=True)
    (base / "state").mkdir(exist_ok=True)
    if not (base / "state/models").exists():
        (base / "state/models").symlink_to(model_dir)
    text = config_text(base, settings=SETTINGS).replace('ocr = "off"', f'ocr = "{reader}"')
    async with open_daemon(parse(text, base / "lakewatchd.toml")) as daemon:
        watching = [asyncio.create_task(source.run()) for source in daemon.sources.values()]
        try:
            yield daemon
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def run(daemon: Daemon, lane: Lane, *paths: str) -> None:
    specs = [ingest.spec(PathKey("nas", path), Priority.FRESH) for path in paths]
    await daemon.queue_thread(daemon.queue.put, specs)
    while jobs := await daemon.queue_thread(daemon.queue.claim, lane, 1):
        outcome = await handle(daemon, jobs[0])
        await daemon.queue_thread(daemon.queue.ack, [(jobs[0], outcome)])


async def found(daemon: Daemon, path: str) -> tuple[GoldRow, list[SpanRow]]:
    rows = {row.best.path: row async for row in daemon.reader.all_gold()}
    spans = await daemon.reader.spans(rows[path].asset_id)
    return rows[path], [span for span in spans if span.kind == "text"]


async def test_text_of_pictures_is_read_after_they_can_be_found(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "AT_ONCE", 2)
    async with reading(tmp_path, model_dir) as daemon:
        nas = tmp_path / "nas"
        (nas / "sign.png").write_bytes(encoded(written("Harbour closed", "until further notice"), "PNG"))
        pages = [written(f"Sheet number {name}", "of the survey") for name in ("one", "two", "three")]
        (nas / "scan.tif").write_bytes(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
        (nas / "letter.pdf").write_bytes(encoded(written("Dear Sirs,", "we regret the delay"), "PDF"))
        (nas / "plan.svg").write_bytes(svg('<text x="20" y="120" font-size="60" fill="white">Kitchen</text>'))
        (nas / "beach.jpg").write_bytes(encoded(halves(), "JPEG"))
        names = ("sign.png", "scan.tif", "letter.pdf", "plan.svg", "beach.jpg")
        await run(daemon, Lane.FAST, *names)
        row, spans = await found(daemon, "sign.png")
        assert spans == [] and "Harbour" not in row.text
        await run(daemon, Lane.HEAVY)
        row, (span,) = await found(daemon, "sign.png")
        assert span.text == "Harbour closed\nuntil further notice" and "Harbour closed" in row.text
        row, spans = await found(daemon, "scan.tif")
        assert [span.page for span in spans] == [1, 2, 3]
        assert spans[2].text == "Sheet number three\nof the survey" and "number two" in row.text
        row, (span,) = await found(daemon, "letter.pdf")
        assert span.page == 1 and "we regret the delay" in row.text
        _, (span,) = await found(daemon, "plan.svg")
        assert span.text == "Kitchen"
        _, spans = await found(daemon, "beach.jpg")
        assert spans == []
        assert await daemon.queue_stale() == 0
    async with reading(tmp_path, model_dir, reader="off") as daemon:
        assert await daemon.queue_stale() == 0, "what was read stays"
        assert "Harbour closed" in (await found(daemon, "sign.png"))[0].text


@pytest.mark.parametrize("size", [(3000, 2), (2, 3000), (1, 1), (8, 3000), (2000, 1), (2000, 10)])
def test_a_picture_that_is_hardly_more_than_a_line_has_no_text(model_dir: Path, size: tuple[int, int]) -> None:
    """Enlarged until letters would fit in, it is a hundred thousand pixels long."""
    line = np.zeros((size[1], size[0], 3), np.uint8)
    assert RapidReader(str(model_dir / "embedded" / "ocr"), 1).read([line]) == [()]
