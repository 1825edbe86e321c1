"""Films scene by scene, whatever wrote them: clips without a gap, begun where scenes begin, however broken they are."""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lakewatchd import errors
from lakewatchd.core.content import Content
from lakewatchd.media import clips
from lakewatchd.media.clips import describe_clips
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.ranged import RangedFile
from lakewatchd.media.scenes import seen_of
from tests.films import film, only_sound, scene

Describe = Callable[..., Content]
HUES = ("firebrick", "seagreen", "goldenrod", "navy", "orchid", "sienna", "teal")


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    def run(data: bytes, *, max_pixels: int = 50_000_000, is_there: bool = True) -> Content:
        (tmp_path / "original").write_bytes(data)
        with (tmp_path / "original").open("rb") as stream:
            file = RangedFile(stream.fileno(), len(data), lambda start, end: is_there)
            return describe_clips(file, kind_of(data[:HEAD_BYTES], "")[0], max_pixels=max_pixels)

    return run


def drawn(*begins_s: float) -> Callable[[float], Image.Image]:
    """A scene of another colour from each of these moments on."""

    def draw(at_s: float) -> Image.Image:
        number = sum(at_s >= begin for begin in begins_s)
        return Image.blend(scene(int(at_s)), Image.new("RGB", (320, 240), HUES[number]), 0.8)

    return draw


def borders(content: Content) -> list[float]:
    """Where clips begin, and the end of the last; that they leave no gap is seen on the way."""
    found = list(dict.fromkeys((frame.start_s, frame.end_s) for frame in content.frames))
    assert all(one[1] == other[0] for one, other in itertools.pairwise(found))
    return [start for start, _ in found if start is not None] + [found[-1][1] or 0.0]


THREE = drawn(12.0, 25.0)


@pytest.mark.parametrize(
    ("form", "codec", "fps", "muxing"),
    [
        ("mp4", "libx264", 5, {}),
        ("mp4", "libx264", 5, {"movflags": "frag_keyframe+empty_moov"}),
        ("mp4", "libx265", 5, {}),
        ("mp4", "libsvtav1", 5, {}),
        ("matroska", "libx264", 5, {}),
        ("matroska", "libx264", 5, {"live": "1"}),  # no index, no length
        ("webm", "libvpx-vp9", 5, {}),
        ("avi", "mpeg4", 5, {}),
        ("avi", "mjpeg", 5, {}),  # every frame is a keyframe
        ("mpegts", "libx264", 5, {}),
        ("mpeg", "mpeg2video", 25, {}),
        ("mpeg2video", "mpeg2video", 25, {}),  # a bare stream: no clock at all
        ("flv", "flv", 5, {}),
        ("asf", "wmv2", 5, {}),
    ],
)
def test_whatever_wrote_it(describe: Describe, form: str, codec: str, fps: int, muxing: dict[str, str]) -> None:
    content = describe(film(form, codec, seconds=38, fps=fps, keyframe_every=fps, draw=THREE, muxing=muxing))
    assert borders(content) == pytest.approx([0, 12, 25, 38], abs=1.1)
    assert len(content.frames) == 9 and all(frame.picture.height == 224 for frame in content.frames)
    assert content.signature is not None and len(seen_of(content.signature)) >= 36
    assert content.warnings == ()


def test_an_encoder_of_a_test_leaves_the_tests_as_they_were() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    film("mp4", "libsvtav1", seconds=1, fps=5, draw=THREE)
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before


def test_a_short_film_with_one_keyframe_is_decoded_as_a_whole(describe: Describe) -> None:
    content = describe(film(seconds=38, fps=5, keyframe_every=1000, draw=THREE))
    assert borders(content) == pytest.approx([0, 12, 25, 38], abs=1.1)


def test_a_long_film_with_one_keyframe_only_as_far_as_that_goes(
    describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "MOST_FRAMES", 120)
    content = describe(film(seconds=150, fps=5, keyframe_every=1000, draw=THREE))
    assert borders(content) == pytest.approx([0, 12, 23], abs=1.1)
    assert content.warnings and "hardly any keyframes" in content.warnings[0]


def test_a_film_that_claims_to_last_for_days_is_seen_all_the_same(describe: Describe) -> None:
    data = film("matroska", seconds=38, fps=5, keyframe_every=5, draw=THREE)
    at = data.index(b"\x44\x89\x88") + 3  # the length in milliseconds
    content = describe(data[:at] + struct.pack(">d", 500_000_000.0) + data[at + 8 :])
    assert borders(content) == pytest.approx([0, 12, 25, 37], abs=1.1) and content.warnings


@pytest.mark.parametrize("seconds", [0, 0.5, 9])
def test_a_very_short_film_is_one_clip(describe: Describe, seconds: float) -> None:
    content = describe(film(seconds=seconds, draw=drawn(4.0)))
    assert len(borders(content)) == 2 and 1 <= len(content.frames) <= 3


def test_a_clip_shows_what_there_is_to_see(describe: Describe) -> None:
    def draw(at_s: float) -> Image.Image:
        return scene(1) if 5 <= at_s < 7 else Image.new("RGB", (320, 240))

    content = describe(film(seconds=12, fps=5, draw=draw))
    (frame,) = content.frames
    assert max(frame.picture.pixels) > 200
    assert content.signature is not None and [at_s for at_s, _ in seen_of(content.signature)] == [5.0, 6.0]


def test_it_is_upright(describe: Describe) -> None:
    content = describe(film(seconds=3, draw=THREE, prepare=lambda stream: stream.set_display_rotation(90)))
    assert content.frames[0].picture.width == 224 and content.frames[0].picture.height == 299


def test_of_a_long_film_there_are_not_more_looks(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "MOST_LOOKS", 10)
    monkeypatch.setattr(clips, "MOST_PICTURES", 2)
    content = describe(film(seconds=38, fps=5, keyframe_every=5, draw=THREE))
    assert content.signature is not None and len(seen_of(content.signature)) <= 10
    assert len(content.frames) == len(borders(content)) - 1, "one picture for each clip, where there are many"


def test_frames_are_let_go_once_they_were_looked_at(describe: Describe) -> None:
    """40 of them have 120 MB. PyAV makes it easy to keep them."""
    data = film(seconds=40, fps=1, keyframe_every=1, draw=lambda at_s: scene(0, (1920, 1080)))
    before = _resident_bytes()
    content = describe(data)
    assert content.signature is not None and len(seen_of(content.signature)) == 40
    assert _resident_bytes() - before < 60 << 20


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_of_one_that_does_not_say_how_long_it_is_neither(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "MOST_LOOKS", 10)
    content = describe(film("matroska", seconds=90, fps=2, keyframe_every=2, muxing={"live": "1"}))
    assert content.signature is not None
    times = [at_s for at_s, _ in seen_of(content.signature)]
    assert 10 <= len(times) < 20 and times[0] == 0 and times[-1] > 80
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 12


# --- broken and hostile ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "muxing"), [("mpegts", {}), ("matroska", {"live": "1"})])
def test_half_of_it_is_half_of_the_clips(describe: Describe, form: str, muxing: dict[str, str]) -> None:
    data = film(form, seconds=48, fps=5, keyframe_every=5, draw=THREE, muxing=muxing)
    assert borders(describe(data[: len(data) // 2])) == pytest.approx([0, 12, 24], abs=2.1)


def test_what_is_broken_in_the_middle_is_passed_over(describe: Describe) -> None:
    data = bytearray(film("mpegts", seconds=38, fps=5, keyframe_every=5, draw=THREE))
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
    assert borders(describe(bytes(data))) == pytest.approx([0, 12, 25, 38], abs=2.1)


def test_a_film_of_zeros_is_damaged(describe: Describe) -> None:
    data = bytearray(film(seconds=3))
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    with pytest.raises(errors.DamagedMedia, match="no frame"):
        describe(bytes(data))


def test_a_disk_that_fails_is_no_damage(describe: Describe) -> None:
    with pytest.raises(errors.NotReadable, match="EIO"):
        describe(film(), is_there=False)


def test_too_many_pixels_are_refused(describe: Describe) -> None:
    with pytest.raises(errors.TooLarge, match="320 x 240"):
        describe(film(seconds=0.1), max_pixels=50_000)


def test_sound_has_no_clips(describe: Describe) -> None:
    assert describe(only_sound()) == Content()
