"""Videos: facts, and one frame that is whole, upright and worth seeing; or an error that says what is wrong."""

import datetime as dt
import struct
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from lakewatchd import errors
from lakewatchd.core.asset import Kind
from lakewatchd.core.content import Content, Picture
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.ranged import RangedFile
from lakewatchd.media.video import describe_video
from tests.films import film, only_sound, scene

Describe = Callable[..., Content]

moment = dt.datetime.fromisoformat
GREENWICH = "2024-07-12T10:15:00.000000Z"


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    def run(data: bytes, name: str = "film", *, max_pixels: int = 50_000_000, is_there: bool = True) -> Content:
        (tmp_path / "original").write_bytes(data)
        mime, kind = kind_of(data[:HEAD_BYTES], name)
        assert kind is Kind.VIDEO
        with (tmp_path / "original").open("rb") as stream:
            file = RangedFile(stream.fileno(), len(data), lambda start, end: is_there)
            return describe_video(file, mime, name, max_pixels=max_pixels, thumbnail_px=160)

    return run


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def colour(picture: Picture | None, x: float, y: float) -> tuple[int, int, int]:
    """At a place given in shares of width and height."""
    assert picture is not None
    image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
    found = image.getpixel((int(x * picture.width), int(y * picture.height)))
    assert isinstance(found, tuple)
    return found


def is_red(found: tuple[int, int, int]) -> bool:
    return found[0] > 150 and found[2] < 100


def halves(at_s: float = 0.0) -> Image.Image:
    """Left half red, right half blue: turning it shows."""
    image = Image.new("RGB", (320, 240), "blue")
    image.paste("red", (0, 0, 160, 240))
    return image


@pytest.mark.parametrize(
    ("form", "codec", "mime"),
    [
        ("mp4", "libx264", "video/mp4"),
        ("mp4", "libx265", "video/mp4"),
        ("mov", "mjpeg", "video/quicktime"),
        ("matroska", "libx264", "video/x-matroska"),
        ("webm", "libvpx-vp9", "video/webm"),
        ("webm", "libvpx", "video/webm"),
        ("avi", "mpeg4", "video/x-msvideo"),
        ("mpegts", "libx264", "video/mp2t"),
        ("mpeg", "mpeg2video", "video/mpeg"),
        ("mpeg2video", "mpeg2video", "video/mpeg"),
        ("flv", "flv", "video/x-flv"),
        ("asf", "wmv2", "video/x-ms-wmv"),
    ],
)
def test_whatever_wrote_it(describe: Describe, form: str, codec: str, mime: str) -> None:
    data = film(form, codec, seconds=3, draw=halves)
    assert kind_of(data[:HEAD_BYTES], "holiday.jpg") == (mime, Kind.VIDEO), "a wrong extension deceives nobody"
    content = describe(data)
    assert (content.width, content.height) == (320, 240)
    assert content.phash is not None and content.thumbnail and content.thumbnail.startswith(b"\xff\xd8")
    assert is_red(colour(content.picture, 0.25, 0.5)) and not is_red(colour(content.picture, 0.75, 0.5))
    assert content.duration_s == pytest.approx(3, abs=0.3) or form == "mpeg2video"  # a bare stream knows no time
    assert content.warnings == ()


def test_a_camcorder_with_times_before_its_packets(describe: Describe) -> None:
    data = film("mpegts", draw=halves, muxing={"mpegts_m2ts_mode": "1"})
    assert data[4] == 0x47 and is_red(colour(describe(data).picture, 0.25, 0.5))


def test_the_frame_is_worth_seeing(describe: Describe) -> None:
    """Not the flash of the first second, not the black after it, not the sky: what has most to see."""

    def draw(at_s: float) -> Image.Image:
        if at_s < 1:
            return scene(1)
        if 4 <= at_s < 6:
            return scene(2)
        return Image.new("RGB", (320, 240), "black" if at_s < 4 else "lightblue")

    content = describe(film(seconds=10, draw=draw))
    assert content.picture_at_s is not None and 4 <= content.picture_at_s < 6


def test_one_keyframe_at_the_beginning_has_to_do(describe: Describe) -> None:
    content = describe(film(seconds=5, keyframe_every=1000))
    assert content.picture is not None and content.picture_at_s == 0


@pytest.mark.parametrize(
    ("degrees", "mirrored", "size", "red"),
    [
        (0, False, (320, 240), (0.25, 0.5)),
        (90, False, (240, 320), (0.5, 0.75)),  # counterclockwise: what was left is below
        (-90, False, (240, 320), (0.5, 0.25)),
        (180, False, (320, 240), (0.75, 0.5)),
        (0, True, (320, 240), (0.75, 0.5)),
    ],
)
def test_it_is_upright(
    describe: Describe, degrees: int, mirrored: bool, size: tuple[int, int], red: tuple[float, float]
) -> None:
    data = film(draw=halves, prepare=lambda stream: stream.set_display_rotation(degrees, hflip=mirrored))
    content = describe(data)
    assert (content.width, content.height) == size
    assert is_red(colour(content.picture, *red))
    assert not is_red(colour(content.picture, 1 - red[0], 1 - red[1]))


def test_pixels_that_are_not_square_make_it_wider(describe: Describe) -> None:
    def prepare(stream: object) -> None:
        stream.sample_aspect_ratio = Fraction(2, 1)  # type: ignore[attr-defined]

    content = describe(film(draw=halves, prepare=prepare))
    assert (content.width, content.height) == (640, 240)
    assert content.picture is not None and content.picture.width == 2.667 * content.picture.height // 1


def test_what_a_phone_says(describe: Describe, in_tokyo: None) -> None:
    tags = {
        "creation_time": GREENWICH,
        "com.apple.quicktime.creationdate": "2024-07-12T12:15:00+0200",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15",
        "com.apple.quicktime.location.ISO6709": "+48.8577-002.2950+035.000/",
    }
    content = describe(film("mov", tags=tags, sound=True, muxing={"movflags": "use_metadata_tags"}))
    assert (content.captured_at, content.captured_from) == (moment("2024-07-12 12:15"), "container")
    assert (content.camera, content.latitude, content.longitude) == ("Apple iPhone 15", 48.8577, -2.295)
    facts = dict(content.exif)
    assert (facts["VideoCodec"], facts["AudioCodec"], facts["FrameRate"]) == ("h264", "aac", "10")


@pytest.mark.parametrize(
    ("told", "name", "expected"),
    [
        (GREENWICH, "film.mp4", (moment("2024-07-12 10:15"), "container-utc")),
        ("1970-01-01T00:00:00Z", "VID_20200102_030405.mp4", (moment("2020-01-02 03:04:05"), "name")),
        ("", "film.mp4", (None, "")),
    ],
)
def test_when_it_was_taken(
    describe: Describe, in_tokyo: None, told: str, name: str, expected: tuple[dt.datetime | None, str]
) -> None:
    content = describe(film(seconds=0.1, tags={"creation_time": told} if told else {}), name)
    assert (content.captured_at, content.captured_from) == expected


def test_titles_are_cleaned(describe: Describe) -> None:
    content = describe(film("matroska", seconds=0.1, tags={"title": "Holi\nday\x1b[31m " + "x" * 500, "artist": "A"}))
    assert content.title.startswith("Holi day [31m xx") and len(content.title) <= 120
    assert ("Artist", "A") in content.exif
    assert describe(film(seconds=0.1), "Summer.mp4").title == "Summer"


def test_a_cover_is_not_the_film(describe: Describe) -> None:
    assert is_red(colour(describe(film(draw=halves, cover=True)).picture, 0.25, 0.5))


def test_sound_without_pictures(describe: Describe) -> None:
    content = describe(only_sound(2))
    assert content.duration_s == pytest.approx(2, abs=0.2)
    assert content.picture is content.thumbnail is content.phash is None
    assert content.warnings == ("no pictures in it, only sound",)


def test_one_frame_is_a_film(describe: Describe) -> None:
    assert is_red(colour(describe(film(seconds=0, draw=halves)).picture, 0.25, 0.5))


@pytest.mark.parametrize("muxing", [{"movflags": "frag_keyframe+empty_moov"}, {"movflags": "faststart"}])
def test_half_of_a_film_that_begins_with_its_index(describe: Describe, muxing: dict[str, str]) -> None:
    data = film(seconds=5, muxing=muxing)
    assert describe(data[: len(data) // 2]).picture is not None


def test_half_of_a_film_without_any_index(describe: Describe) -> None:
    data = film("matroska", seconds=5, draw=halves, muxing={"live": "1"})
    content = describe(data[: len(data) // 2])
    assert content.duration_s is None and is_red(colour(content.picture, 0.25, 0.5))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_film_that_lost_its_index_at_the_end_is_damaged(describe: Describe, share: float) -> None:
    data = film(seconds=5)
    with pytest.raises(errors.DamagedMedia, match="cannot be decoded"):
        describe(data[: int(len(data) * share)])


def test_a_film_of_zeros_is_damaged(describe: Describe) -> None:
    data = bytearray(film(seconds=3, draw=halves))
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    with pytest.raises(errors.DamagedMedia, match="no frame"):
        describe(bytes(data))


def test_frames_at_uneven_times(describe: Describe) -> None:
    import io

    import av

    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 3
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, at_ms in enumerate((0, 1, 700, 4000, 4001, 9000, 30_000)):
            frame = av.VideoFrame.from_image(scene(number))
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = describe(out.getvalue())
    assert content.duration_s == pytest.approx(30, abs=1)
    assert content.picture_at_s in (4.0, 30.0)


# --- hostile -----------------------------------------------------------------------------------------------


def claimed(data: bytes, width: int, height: int) -> bytes:
    """The same film, with another size in the header of its container."""
    at = data.index(b"avc1", data.index(b"stsd")) + 28
    return data[:at] + struct.pack(">HH", width, height) + data[at + 4 :]


def test_more_pixels_than_allowed_are_refused_by_the_header(describe: Describe) -> None:
    with pytest.raises(errors.TooLarge, match="320 x 240"):
        describe(film(seconds=0.1), max_pixels=50_000)


def test_what_the_container_claims_is_not_believed(describe: Describe) -> None:
    content = describe(claimed(film(seconds=0.1, draw=halves), 65_535, 65_535))
    assert content.height == 240 and is_red(colour(content.picture, 0.25, 0.5))


def test_more_pixels_than_the_container_claims_are_refused_too(describe: Describe) -> None:
    with pytest.raises(errors.AssetError):
        describe(claimed(film(seconds=0.1), 16, 16), max_pixels=50_000)


def test_a_decoder_that_nobody_needs_never_sees_it(describe: Describe) -> None:
    content = describe(film("mov", "qtrle", draw=halves))
    assert content.picture is None and content.duration_s == pytest.approx(2, abs=0.3)
    assert content.warnings == ("no decoder for its pictures (qtrle)",)


def test_a_disk_that_fails_is_no_damage(describe: Describe) -> None:
    with pytest.raises(errors.NotReadable, match="EIO"):
        describe(film(), is_there=False)


def test_a_playlist_in_disguise_opens_nothing(describe: Describe, tmp_path: Path) -> None:
    (tmp_path / "other.ts").write_bytes(film("mpegts"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/other.ts\n#EXT-X-ENDLIST\n".encode()
    for head in (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", b"\x1aE\xdf\xa3", b"RIFF\x24\0\0\0AVI "):
        with pytest.raises(errors.DamagedMedia):
            describe(head + playlist)
