"""Cutting a film into clips, on looks that are made up; and what is seen of a frame of high dynamic range."""

import io
import itertools

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorTrc
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from lakewatchd.media import decode, frames, scenes
from lakewatchd.media.scenes import CUT, LONGEST_S, MOST_CLIPS, SHORTEST_S, changes, clips, colours
from tests.films import FAST, scene


def lengths(times: list[float], found: list[tuple[int, int]], end_s: float) -> list[float]:
    borders = [0.0, *(times[until] for _, until in found[:-1]), max(end_s, times[-1])]
    return [later - earlier for earlier, later in itertools.pairwise(borders)]


looks = st.lists(st.tuples(st.floats(0.5, 20), st.floats(0, 1)), min_size=1, max_size=150)


@given(looks, st.floats(0, 100_000))
def test_clips_are_all_of_the_film_and_not_too_many(steps: list[tuple[float, float]], after_s: float) -> None:
    times = [0.0, *itertools.accumulate(step for step, _ in steps)]
    changed = np.array([0.0, *(much for _, much in steps)])
    end_s = times[-1] + after_s
    found = clips(times, changed, end_s)
    assert [first for first, _ in found] == [0, *(until for _, until in found[:-1])] and found[-1][1] == len(times)
    assert all(first < until for first, until in found) and len(found) <= MOST_CLIPS


@pytest.mark.parametrize("end_s", [1, 9, 15, 61, 119, 600, 2399, 7200, 86_400])
@pytest.mark.parametrize("is_calm", [True, False])
def test_they_last_as_long_as_they_should(end_s: int, is_calm: bool) -> None:
    times = [end_s * i / 1800 for i in range(1800)] if end_s > 1800 else [float(i) for i in range(end_s)]
    rng = np.random.default_rng(end_s)
    changed = np.zeros(len(times)) if is_calm else rng.uniform(0, 1, len(times))
    found = lengths(times, clips(times, changed, end_s), end_s)
    shortest = max(SHORTEST_S, end_s / MOST_CLIPS)
    assert sum(found) == pytest.approx(end_s)
    assert end_s < 2 * SHORTEST_S or all(shortest - 1e-6 <= length <= max(LONGEST_S, 2 * shortest) for length in found)


def test_they_begin_where_scenes_do() -> None:
    times = [float(i) for i in range(0, 200, 2)]
    changed = np.full(len(times), 0.15)
    for begins_s in (24, 60, 104, 150):
        changed[begins_s // 2] = 2 * CUT
    found = clips(times, changed, 200.0)
    assert [times[first] for first, _ in found] == [0, 24, 60, 104, 150]


def test_a_flash_or_a_camera_that_moves_is_no_new_scene() -> None:
    wide = scene(3, (640, 480)).filter(ImageFilter.GaussianBlur(6))
    panned = [wide.crop((x, x // 2, x + 400, x // 2 + 225)) for x in range(0, 220, 20)]
    panned[5] = ImageEnhance.Brightness(panned[5]).enhance(3)
    seen = changes(np.stack([colours(image) for image in panned]))
    assert seen.max() < CUT
    other = [ImageOps.invert(image).point(lambda value: value // 2) for image in panned]
    seen = changes(np.stack([colours(image) for image in panned[:5] + other[:5]]))
    assert seen.argmax() == 5 and seen[5] > CUT


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))))
def test_a_signature_can_be_read_again(seen: list[tuple[int, int]]) -> None:
    assert scenes.seen_of(scenes.signature([(at_ms / 1000, found) for at_ms, found in seen])) == [
        (at_ms / 1000, found) for at_ms, found in seen
    ]


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_high_dynamic_range_looks_like_the_scene(transfer: ColorTrc) -> None:
    """Grey paper at 58 % of the signal of PQ (203 nits), or 75 % of that of HLG, is bright, and not washed out; red is
    red, black is black."""
    signal = 148 if transfer is ColorTrc.SMPTE2084 else 191
    image = Image.new("RGB", (96, 64), (signal, signal, signal))
    image.paste((signal, 20, 20), (32, 0, 64, 64))
    image.paste((0, 0, 0), (64, 0, 96, 64))
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("libx265", rate=5, options=dict(FAST["libx265"]))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = transfer, ColorPrimaries.BT2020
        frame = av.VideoFrame.from_image(image)
        frame.pts = 0
        for packet in (*stream.encode(frame), *stream.encode()):
            packet.dts = packet.pts  # of a single frame x265 leaves there what lay in memory
            container.mux(packet)
    out.seek(0)
    with av.open(out) as container:
        stream = container.streams.video[0]
        shown, size = frames.seen(next(container.decode(stream)), stream, lambda size: decode.fit(size, long=96))
    assert size == (96, 64)
    paper, red, black = (shown.getpixel((x, 32)) for x in (16, 48, 80))
    assert isinstance(paper, tuple) and isinstance(red, tuple) and isinstance(black, tuple)
    assert min(paper) > 170 and max(paper) - min(paper) < 12
    assert red[0] > 150 and max(red[1:]) < 60 and max(black) < 20
