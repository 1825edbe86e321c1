"""Pictures: whole and upright, or an error. Never half of one, and never more memory than allowed."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lakewatchd import errors
from lakewatchd.core.content import Content
from lakewatchd.media.decode import describe_image, fit

Describe = Callable[..., Content]


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    def run(data: bytes, mime: str = "image/jpeg", name: str = "a.jpg", max_pixels: int = 50_000_000) -> Content:
        (tmp_path / "original").write_bytes(data)
        with (tmp_path / "original").open("rb") as stream:
            return describe_image(stream, mime, name, max_pixels=max_pixels, thumbnail_px=320)

    return run


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def halves(size: tuple[int, int] = (1200, 800)) -> Image.Image:
    """Left half red, right half blue: turning it shows."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return image


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 80).convert("RGB")


def pixel(content: Content, x: int, y: int) -> tuple[int, ...]:
    assert content.picture is not None
    at = (y * content.picture.width + x) * 3
    return tuple(content.picture.pixels[at : at + 3])


def is_near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(found, wanted, strict=True))


def test_sizes(describe: Describe) -> None:
    content = describe(encoded(halves()))
    assert (content.width, content.height) == (1200, 800)
    assert content.picture is not None
    assert (content.picture.width, content.picture.height) == (432, 288)
    assert len(content.picture.pixels) == 432 * 288 * 3
    thumbnail = Image.open(io.BytesIO(content.thumbnail or b""))
    assert thumbnail.size == (320, 213)
    assert not thumbnail.getexif()


@pytest.mark.parametrize(
    ("size", "picture"),
    [((10, 5), (10, 5)), ((20000, 100), (1024, 5)), ((1, 30000), (1, 1024)), ((4000, 3000), (384, 288))],
)
def test_pictures_are_reduced_in_proportion_and_never_enlarged(size: tuple[int, int], picture: tuple[int, int]) -> None:
    assert fit(size, short=288, long=1024) == picture


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_applied_to_everything(describe: Describe, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    content = describe(encoded(halves(), exif=exif, quality=95))
    assert (content.width, content.height) == ((1200, 800) if turn < 5 else (800, 1200))
    assert content.picture is not None
    width, height = content.picture.width, content.picture.height
    red, blue = (254, 0, 0), (0, 0, 254)
    first, last = (red, blue) if turn in (1, 4, 5, 6) else (blue, red)
    assert is_near(pixel(content, 2, 2), first)
    assert is_near(pixel(content, width - 3, height - 3), last)


@pytest.mark.parametrize(
    ("mode", "form"),
    [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG"),
     ("P", "GIF"), ("RGBA", "WEBP"), ("RGB", "BMP"), ("CMYK", "TIFF"), ("F", "TIFF"), ("I", "TIFF"), ("RGB", "AVIF")],
)  # fmt: skip
def test_every_mode_becomes_rgb(describe: Describe, mode: str, form: str) -> None:
    content = describe(encoded(halves((64, 48)).convert(mode), form), f"image/{form.lower()}")
    assert content.picture is not None
    assert len(content.picture.pixels) == 64 * 48 * 3
    rows = [content.picture.pixels[at : at + 64 * 3] for at in range(0, 64 * 48 * 3, 64 * 3)]
    left, right = (sum(sum(row[part]) for row in rows) for part in (slice(0, 96), slice(96, 192)))
    assert left > right or pixel(content, 5, 20)[0] > pixel(content, 60, 20)[0]


def test_sixteen_bits_are_scaled_not_clipped(describe: Describe) -> None:
    image = Image.new("I;16", (40, 40), 0x8000)
    content = describe(encoded(image, "PNG"), "image/png")
    assert is_near(pixel(content, 20, 20), (128, 128, 128))


def test_what_shows_through_is_white(describe: Describe) -> None:
    content = describe(encoded(Image.new("RGBA", (600, 600), (255, 0, 0, 0)), "PNG"), "image/png")
    assert pixel(content, 100, 100) == (255, 255, 255)


def test_date_from_exif_then_from_the_name(describe: Describe) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2020:01:02 03:04:05"
    content = describe(encoded(halves(), exif=exif), name="IMG_20240712_101500.jpg")
    assert (str(content.captured_at), content.captured_from) == ("2020-01-02 03:04:05", "exif")
    content = describe(encoded(halves()), name="IMG_20240712_101500.jpg")
    assert (str(content.captured_at), content.captured_from) == ("2024-07-12 10:15:00", "name")


def test_broken_exif_spoils_no_picture(describe: Describe) -> None:
    for junk in (b"Exif\0\0" + b"\xff" * 60, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40, b"Exif\0\0"):
        assert describe(encoded(halves(), exif=junk)).picture is not None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9])
def test_truncated_is_damaged(describe: Describe, form: str, share: float) -> None:
    whole = encoded(noise((300, 200)), form)
    with pytest.raises(errors.DamagedMedia):
        describe(whole[: int(len(whole) * share)], f"image/{form.lower()}")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_copy_that_was_not_finished_is_damaged(describe: Describe, share: float, progressive: bool) -> None:
    whole = encoded(noise((900, 700)), progressive=progressive)
    kept = int(len(whole) * share)
    with pytest.raises(errors.DamagedMedia):
        describe(whole[:kept] + bytes(len(whole) - kept))


def test_zeros_after_the_end_mark_are_padding(describe: Describe) -> None:
    assert describe(encoded(halves()) + bytes(200_000)).picture is not None


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (10_000, 5_001)])
def test_bombs_are_refused_by_their_header(describe: Describe, size: tuple[int, int]) -> None:
    with pytest.raises(errors.TooLarge):
        describe(png_of(*size), "image/png")


def test_a_picture_of_no_size_is_damaged(describe: Describe) -> None:
    with pytest.raises(errors.DamagedMedia):
        describe(png_of(0, 10), "image/png")


def test_only_the_promised_format_is_decoded(describe: Describe) -> None:
    with pytest.raises(errors.DamagedMedia):
        describe(encoded(halves(), "PNG"), "image/jpeg")


def test_every_flipped_byte_is_an_answer(describe: Describe) -> None:
    whole = bytearray(encoded(halves((64, 48))))
    for at in range(0, len(whole), 7):
        flipped = bytes(whole[:at]) + bytes([whole[at] ^ 0xFF]) + bytes(whole[at + 1 :])
        with contextlib.suppress(errors.AssetError):
            assert describe(flipped).picture is not None
