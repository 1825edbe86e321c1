"""Every format comes to the same: the picture as people see it. What a file points to elsewhere is never looked at."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from lakewatchd import errors
from lakewatchd.core.content import Content, Picture
from lakewatchd.media.decode import describe_image, read_image
from lakewatchd.media.kinds import kind_of
from tests.photos import SIZE, dng, encoded, halves, psd, svg

RED, BLUE = (255, 0, 0), (0, 0, 255)


def describe(data: bytes, name: str = "a", max_pixels: int = 50_000_000) -> Content:
    mime, kind = kind_of(data, name)
    assert kind.value == "image", mime
    return describe_image(io.BytesIO(data), mime, name, max_pixels=max_pixels, thumbnail_px=320)


def corners(picture: Picture | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is near the upper left and the lower right."""
    assert picture is not None
    image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
    left, right = image.getpixel((8, 8)), image.getpixel((image.width - 8, image.height - 8))
    assert isinstance(left, tuple) and isinstance(right, tuple)
    return left, right


def is_near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 60) -> bool:
    return all(abs(a - b) <= by for a, b in zip(found, wanted, strict=True))


def shows_halves(content: Content) -> bool:
    left, right = corners(content.picture)
    return is_near(left, RED) and is_near(right, BLUE)


WRITTEN = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "TGA", "PCX", "PPM", "QOI", "SGI", "DDS")


@pytest.mark.parametrize("form", [*WRITTEN, "HEIF", "JXL"])
def test_every_format_shows_what_it_holds(form: str) -> None:
    content = describe(encoded(halves(), form), f"a.{form.lower()}")
    assert (content.width, content.height) == SIZE
    assert shows_halves(content)
    assert content.thumbnail and content.phash is not None and not content.warnings


@pytest.mark.parametrize(
    ("data", "name", "size"),
    [
        (encoded(halves((64, 40)), "ICO", sizes=[(64, 40)]), "a.ico", (64, 40)),
        (encoded(halves((128, 128)), "ICNS"), "a.icns", (1024, 1024)),
        (psd(halves()), "a.psd", SIZE),
        (svg(), "a.svg", SIZE),
        (svg(head='<?xml version="1.0"?>\n<!-- drawn by hand -->\n'), "no name tells", SIZE),
        (dng(), "developed.dng", (640, 400)),
        (dng(halves((1280, 800))), "with its picture.dng", (640, 400)),
        (dng(halves((64, 40))), "with a stamp.dng", (640, 400)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_needs_more_than_one_call_to_write(data: bytes, name: str, size: tuple[int, int]) -> None:
    content = describe(data, name)
    assert (content.width, content.height) == size
    assert shows_halves(content)


def test_a_raw_photo_is_upright_and_says_who_took_it_when() -> None:
    for preview in (None, halves((1280, 800))):
        content = describe(dng(preview, orientation=6), "a.dng")
        assert (content.width, content.height) == (400, 640)
        assert shows_halves(content)  # turned by a quarter: red above, blue below
        assert content.camera == "Lakewatch Pinhole 1"
        assert str(content.captured_at) == "2023-05-06 07:08:09" and content.captured_from == "exif"


def test_a_raw_photo_of_more_pixels_than_allowed_is_refused_before_it_is_developed() -> None:
    with pytest.raises(errors.TooLarge):
        describe(dng(), "a.dng", max_pixels=100_000)


@pytest.mark.parametrize("form", ["HEIF", "JXL", "AVIF", "WEBP"])
def test_orientation_is_applied_once(form: str) -> None:
    tags = Image.Exif()
    tags[0x0112], tags[0x0110] = 6, "Pinhole"
    content = describe(encoded(halves(), form, exif=tags.tobytes()))
    upright = SIZE if form == "JXL" else SIZE[::-1]  # of JPEG XL the code stream tells, EXIF may be out of date
    assert (content.width, content.height) == upright
    assert shows_halves(content)
    assert content.camera == "Pinhole"


def test_who_made_a_screenshot_is_known() -> None:
    texts = PngInfo()
    texts.add_text("Software", "gnome-screenshot")
    texts.add_text("Nonsense", "not kept")
    assert dict(describe(encoded(halves(), "PNG", pnginfo=texts)).exif) == {"Software": "gnome-screenshot"}
    tags = Image.Exif()
    tags[0x8769] = {0x9286: b"ASCII\0\0\0Screenshot"}
    assert dict(describe(encoded(halves(), "PNG", exif=tags)).exif) == {"UserComment": "Screenshot"}


# --- colours -----------------------------------------------------------------------------------------------


def profile_with_red_and_blue_exchanged() -> bytes:
    """sRGB, but what it calls red is blue: whoever applies it sees the halves exchanged."""
    table = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return table.replace(b"rXYZ", b"?XYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"?XYZ", b"bXYZ", 1)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "HEIF"])
def test_colours_are_those_that_the_profile_means(form: str) -> None:
    content = describe(encoded(halves(), form, icc_profile=profile_with_red_and_blue_exchanged()))
    left, right = corners(content.picture)
    assert is_near(left, BLUE) and is_near(right, RED)


@pytest.mark.parametrize("profile", [b"", b"nonsense", profile_with_red_and_blue_exchanged()[:200], b"\xff" * 5000])
def test_a_broken_profile_spoils_no_picture(profile: bytes) -> None:
    assert shows_halves(describe(encoded(halves(), "PNG", icc_profile=profile)))


def test_a_profile_for_other_pixels_is_left_alone() -> None:
    grey = encoded(halves().convert("L"), "PNG", icc_profile=profile_with_red_and_blue_exchanged())
    left, right = corners(describe(grey).picture)
    assert is_near(left, (76, 76, 76), 3) and is_near(right, (29, 29, 29), 3)


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
def test_pixels_that_are_not_rgb(mode: str) -> None:
    image = halves()
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
        image = converted
    else:
        image = image.convert(mode)
    assert shows_halves(describe(encoded(image, "TIFF")))


# --- pages and moments -------------------------------------------------------------------------------------


def pages(number: int) -> list[Image.Image]:
    return [Image.new("RGB", (300, 200 + i), (i * 10 % 256, 200, 0)) for i in range(number)]


def test_pages_of_a_tiff() -> None:
    first, *others = pages(5)
    content = describe(encoded(first, "TIFF", save_all=True, append_images=others))
    assert content.pages == 5
    assert [frame.page for frame in content.frames] == [2, 3, 4, 5]
    assert [is_near(corners(frame.picture)[0], (10 * i, 200, 0)) for i, frame in enumerate(content.frames, 1)] == [
        True
    ] * 4


def test_pages_are_bounded_and_told() -> None:
    first, *others = pages(40)
    content = describe(encoded(first, "TIFF", save_all=True, append_images=others))
    assert content.pages == 40 and len(content.frames) == 15


def test_a_smaller_copy_is_no_page() -> None:
    tags = {254: 1}
    copy = halves((32, 20))
    copy.encoderinfo = {"tiffinfo": tags}
    content = describe(encoded(halves(), "TIFF", save_all=True, append_images=[copy]))
    assert content.frames == ()


def test_a_page_that_is_cut_spoils_no_other() -> None:
    first, *others = pages(4)
    whole = encoded(first, "TIFF", save_all=True, append_images=others)
    content = describe(whole[:-100_000])
    assert content.picture is not None and len(content.frames) < 3 and content.warnings


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_moments_of_an_animation(form: str) -> None:
    shown = [Image.effect_noise((120, 80), 10 + 8 * i).convert("RGB") for i in range(20)]
    content = describe(encoded(shown[0], form, save_all=True, append_images=shown[1:], duration=100))
    assert content.pages == 20
    assert [frame.start_s for frame in content.frames] == pytest.approx([0.5, 1.0, 1.5])
    assert len({frame.phash for frame in content.frames}) == 3


def test_moments_that_show_nothing_new_are_left_out() -> None:
    still = [halves(), *(halves() for _ in range(9))]
    for i, image in enumerate(still):
        image.putpixel((0, 0), (i, i, i))  # or the writer would leave them out
    content = describe(encoded(still[0], "WEBP", save_all=True, append_images=still[1:], duration=50, lossless=True))
    assert content.pages == 10 and content.frames == ()


# --- drawings ----------------------------------------------------------------------------------------------


def test_a_drawing_shows_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(Image.new("RGB", (50, 50), "lime"), "PNG"))
    place = tmp_path / "secret.png"
    for href in ("href", "xlink:href", "h&#114;ef"):
        for path in (str(place), place.as_uri(), "&outside;"):
            image = f'<image {href}="{path}" width="320" height="200" preserveAspectRatio="none"/>'
            head = f'<!DOCTYPE svg [<!ENTITY outside "{place}"> <!ENTITY i "{place}">]>'
            try:
                assert shows_halves(describe(svg(image, head=head), "a.svg"))
            except errors.DamagedMedia:  # references in names are not well-formed
                assert href.startswith("h&")


def test_a_drawing_shows_what_it_carries() -> None:
    green = base64.b64encode(encoded(Image.new("RGB", (50, 50), "lime"), "PNG")).decode()
    image = f'<image href="data:image/png;base64,{green}" width="320" height="200" preserveAspectRatio="none"/>'
    content = describe(svg(image), "a.svg")
    assert is_near(corners(content.picture)[0], (0, 255, 0))


@pytest.mark.parametrize("attributes", ['width="1e9"', 'width="100%"', 'width="999999999mm"', "", 'height="0"'])
def test_a_drawing_is_as_large_as_is_wanted_here(attributes: str) -> None:
    content = describe(svg(attributes=attributes), "a.svg")
    assert shows_halves(content)
    assert content.width and content.height and max(content.width, content.height) <= 100_000


def laughs() -> bytes:
    """Entities that would grow to 20 ** 9 times ten letters."""
    more = (b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 20) for i in range(9))
    head = b"<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(more) + b"]>"
    return head + b"<svg xmlns='http://www.w3.org/2000/svg'><text>&j;</text></svg>"


@pytest.mark.parametrize("data", [b"<svg", b"<svg width='1'", b"<svg><g></svg>", b"<svg/>" * 2, laughs()])
def test_a_broken_drawing_is_damaged(data: bytes) -> None:
    with pytest.raises(errors.DamagedMedia):
        describe(data, "a.svg")


def test_a_title_in_a_drawing_is_its_title() -> None:
    assert describe(svg("<title>Floor plan</title>"), "a.svg").title == "Floor plan"


# --- to be read --------------------------------------------------------------------------------------------


def test_legible_pictures_are_large_and_chosen() -> None:
    first, *others = pages(5)
    data = encoded(first.resize((3000, 2000)), "TIFF", save_all=True, append_images=others)
    content = read_image(io.BytesIO(data), "image/tiff", first=0, count=2, max_pixels=50_000_000)
    assert [(frame.page, frame.picture.width) for frame in content.frames] == [(1, 2000), (2, 300)]
    assert content.pages == 5
    beyond = read_image(io.BytesIO(data), "image/tiff", first=5, count=2, max_pixels=50_000_000)
    assert beyond.frames == ()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_photo_is_one_legible_picture(form: str) -> None:
    data = encoded(halves((3200, 2000)), form)
    mime, _ = kind_of(data, "a")
    content = read_image(io.BytesIO(data), mime, first=0, count=4, max_pixels=50_000_000)
    assert [(frame.picture.width, frame.picture.height) for frame in content.frames] == [(2000, 1250)]
    assert read_image(io.BytesIO(data), mime, first=1, count=4, max_pixels=50_000_000).frames == ()


# --- what is not there -------------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_known_by_its_name() -> None:
    content = describe(b"\x76\x2f\x31\x01" + bytes(100), "IMG_20240102_030405.exr")
    assert content.title == "IMG_20240102_030405" and str(content.captured_at) == "2024-01-02 03:04:05"
    assert "image/x-exr" in content.warnings[0] and content.picture is None


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakewatchd.media.formats.is_installed", lambda _package: False)
    for data, name in ((encoded(halves(), "HEIF"), "a.heic"), (svg(), "a.svg"), (dng(), "a.dng")):
        content = describe(data, name)
        assert "lakewatchd[photo]" in content.warnings[0] and content.title == "a"


@pytest.mark.parametrize(
    "text", [b"P3 is the name of a format\n", b"P1\nnot 12 a size", b"\n\x05 a list", b"<p>svg</p>"]
)
def test_text_is_no_picture(text: bytes) -> None:
    assert kind_of(text, "a.txt")[1].value in ("document", "other")


@pytest.mark.parametrize("form", ["HEIF", "JXL", "JPEG2000", "QOI", "WEBP", "SGI"])
def test_a_cut_picture_is_damaged(form: str) -> None:
    whole = encoded(Image.effect_noise((300, 200), 80).convert("RGB"), form)
    with pytest.raises(errors.AssetError):
        describe(whole[: len(whole) // 2], "a")
