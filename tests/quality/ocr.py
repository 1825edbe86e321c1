"""``python -m tests.quality.ocr [--json]``: how much of what is written in pictures is read, and what is made up.

Texts, each with what a person reads there: a page that a camera took (scikit-image), pages of manuals as PDF that lie
below ``/usr/share/doc`` (their own text is the truth), drawn pages and a window of a screen, and the same ones as bad
copies: small, as JPEG of low quality, tilted, in weak light. Photos without a letter show what is made up.

The figure is the character error rate: edits to get from what was read to what is written, by the length of what is
written. Blanks count as one, and rows of dots, which lead the eye to a page number, as none.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.config import ModelConfig
from lakewatchd.core.content import Picture
from lakewatchd.media.decode import LEGIBLE_PX, fit
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import resolve
from lakewatchd.stages import page_text

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_ERRORS, MOST_MADE_UP = 0.02, 20
"""Above these it fails: mean error rate, and letters seen in a dozen photos that have none."""
MODELS = Path(os.environ.get("LAKEWATCHD_TEST_MODELS", ".cache/models"))
PAGE = """Region-based segmentation
Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:
>>> markers = np.zeros_like(coins)"""
LETTER = """Rental agreement

Between Anna Lindqvist, Harbour Street 14, and the
Society of Lake Boats, represented by its treasurer.

1. The boat house number 7 is let from 1 May 2023.
2. The rent is 1,250.00 EUR a year, due on 15 April.
3. Keys are handed over on payment of a deposit of 300 EUR.

Signed in Überlingen on 28 March 2023"""
LEFT = """Mussels have come to
the northern bay, where
nobody had seen them
before the dry summer.
Divers counted forty on
a single square metre."""
RIGHT = """The water works now
filter twice as often.
Costs have risen by a
third since the spring,
says the report that the
council will discuss."""
SCREEN = """File Edit View Search Terminal Help
$ systemctl status lakewatchd
Active: active (running) since Tuesday
Indexed 48,211 of 48,230 files, 19 waiting
No files are parked. Nothing to do for you."""
PHOTOS = (
    "astronaut.png", "chelsea.png", "coffee.png", "coins.png", "brick.png", "gravel.png", "grass.png", "camera.png",
    "rocket.jpg", "hubble_deep_field.jpg", "china.jpg", "flower.jpg",
)  # fmt: skip
MANUALS = ("libtasn1-doc/libtasn1.pdf", "shared-mime-info/shared-mime-info-spec.pdf")


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    image: Image
    truth: str


def samples() -> Iterator[Sample]:
    yield Sample("camera: page of a book", _packaged("page.png"), PAGE)
    yield from _manuals()
    letter, columns = _drawn(LETTER, 34, "DejaVuSerif.ttf"), _columns()
    screen = _drawn(SCREEN, 17, "DejaVuSansMono.ttf", ink="#dddddd", paper="#1e1e2e")
    yield Sample("drawn: letter", letter, LETTER)
    yield Sample("drawn: two columns", columns, f"{LEFT}\n{RIGHT}")
    yield Sample("drawn: terminal, light on dark", screen, SCREEN)
    yield Sample("copy: letter at a third", letter.resize((letter.width // 3, letter.height // 3)), LETTER)
    yield Sample("copy: letter as JPEG of quality 15", _jpeg(letter, 15), LETTER)
    yield Sample("copy: letter tilted by 3 degrees", letter.rotate(3, expand=True, fillcolor="white"), LETTER)
    yield Sample("copy: letter in weak light", letter.point(lambda value: 60 + value // 5), LETTER)
    for name in PHOTOS:
        yield Sample(f"photo: {name}", _packaged(name), "")


def _packaged(name: str) -> Image:
    from PIL import Image

    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None, f"{package} is not installed"
        path = Path(spec.origin).parent / folder / name
        if path.is_file():
            return Image.open(path).convert("RGB")
    raise FileNotFoundError(name)


def _manuals() -> Iterator[Sample]:
    """Third, sixth and ninth page of each that is there, drawn as a scanner would: 2000 pixels high."""
    if importlib.util.find_spec("pypdfium2") is None:
        return
    import pypdfium2

    for name in MANUALS:
        path = Path("/usr/share/doc") / name
        if not path.is_file():
            continue
        document = pypdfium2.PdfDocument(path)
        for number in (2, 5, 8):
            page = document[number]
            scale = LEGIBLE_PX / max(page.get_size())
            image = page.render(scale=scale).to_pil().convert("RGB")
            yield Sample(f"manual: {path.stem} {number + 1}", image, page.get_textpage().get_text_bounded())


def _drawn(text: str, size: int, font_name: str, *, ink: str = "black", paper: str = "white") -> Image:
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf" / font_name), size)
    lines = text.split("\n")
    width = max(round(font.getlength(line)) for line in lines) + 4 * size
    image = Image.new("RGB", (width, round((len(lines) + 3) * size * 1.5)), paper)
    ImageDraw.Draw(image).multiline_text((2 * size, 2 * size), text, ink, font, spacing=size * 0.4)
    return image


def _columns() -> Image:
    from PIL import Image

    left, right = (_drawn(text, 30, "DejaVuSerif.ttf") for text in (LEFT, RIGHT))
    page = Image.new("RGB", (left.width + right.width - 60, left.height), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width - 60, 0))
    return page


def _jpeg(image: Image, quality: int) -> Image:
    from PIL import Image as Images

    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Images.open(out).convert("RGB")


_LEADERS = re.compile(r"(?:\s*[.·]){3,}")


def error_rate(truth: str, read: str) -> float:
    from rapidfuzz.distance import Levenshtein

    wanted, got = (" ".join(_LEADERS.sub(" ", text).split()) for text in (truth, read))
    return Levenshtein.distance(wanted, got) / max(1, len(wanted))


async def measure() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    config = ModelConfig()
    models = Inference(config, resolve(config, MODELS))
    try:
        for sample in samples():
            image = sample.image.resize(fit(sample.image.size, long=LEGIBLE_PX))
            started = time.monotonic()
            lines = await models.read(Picture(*image.size, image.tobytes()))
            seconds = time.monotonic() - started
            text = page_text.text_of(lines, image.width / image.height)
            errors = error_rate(sample.truth, text) if sample.truth else None
            rows.append({"name": sample.name, "size": image.size, "errors": errors, "seconds": seconds, "read": text})
    finally:
        await models.close()
    return rows


def main(arguments: list[str]) -> int:
    rows = asyncio.run(measure())
    if "--json" in arguments:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        errors, text = row["errors"], " / ".join(str(row["read"]).split("\n"))
        figure = f"{errors:6.1%}" if isinstance(errors, float) else f"{len(text):3} made up"
        print(f"{row['name']:42} {figure:>11} {row['seconds']:5.1f} s  {text[:70]}")
    rates = [float(str(row["errors"])) for row in rows if row["errors"] is not None]
    mean, made_up = sum(rates) / len(rates), sum(len(str(row["read"])) for row in rows if row["errors"] is None)
    print(
        f"{len(rates)} texts: {mean:.1%} of characters wrong in the mean, {max(rates):.1%} at most; {made_up} made up"
    )
    return int(mean > MOST_ERRORS or made_up > MOST_MADE_UP)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
