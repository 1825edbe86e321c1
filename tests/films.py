"""Films made for tests, by PyAV: seconds of them in milliseconds, or hundreds of megabytes in one second."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from PIL import Image

FAST: Mapping[str, Mapping[str, str]] = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
RATE = 48_000
"""Of sound, in samples a second."""
Draw = Callable[[float], Image.Image]
"""Seconds since the beginning -> what is seen then."""


@functools.cache
def scene(seed: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Coarse coloured noise: a lot to see, and no two seeds alike."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.NEAREST)


def film(
    form: str = "mp4",
    codec: str = "libx264",
    *,
    seconds: float = 2.0,
    fps: int = 10,
    keyframe_every: int = 5,
    draw: Draw = lambda at_s: scene(),
    sound: bool = False,
    cover: bool = False,
    tags: Mapping[str, str] | None = None,
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
    muxing: Mapping[str, str] | None = None,
) -> bytes:
    """``form`` is a container as FFmpeg names it. ``prepare`` may change the stream before its first frame."""
    with _written(form, muxing or {}) as (container, out):
        container.metadata.update(tags or {})
        covers = container.add_stream("mjpeg", rate=1) if cover else None
        if covers is not None:
            covers.width, covers.height, covers.pix_fmt = 64, 64, "yuvj420p"
            covers.disposition = av.stream.Disposition.attached_pic
        first = draw(0.0)
        stream = container.add_stream(codec, rate=fps, options=dict(FAST.get(codec, {})))
        stream.width, stream.height = first.size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else stream.codec.video_formats[0].name
        stream.gop_size = keyframe_every
        prepare(stream)
        voice = (
            container.add_stream("libopus" if form == "webm" else "aac", rate=RATE, layout="mono") if sound else None
        )
        if covers is not None:
            container.mux(covers.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 64), "lime"))))
        for number in range(max(1, round(seconds * fps))):
            container.mux(stream.encode(av.VideoFrame.from_image(draw(number / fps))))
        container.mux(stream.encode())
        if voice is not None:
            _speak(container, voice, seconds)
        container.close()
        return out.read_bytes()


def only_sound(seconds: float = 1.0, tags: Mapping[str, str] | None = None) -> bytes:
    with _written("mp4", {}) as (container, out):
        container.metadata.update(tags or {})
        _speak(container, container.add_stream("aac", rate=RATE, layout="mono"), seconds)
        container.close()
        return out.read_bytes()


@contextmanager
def _at_ordinary_priority() -> Iterator[None]:
    """SVT-AV1 makes who calls it a real-time process (FIFO, 99) where it may, and leaves it so: all that is started
    by it later runs before everything else on the machine, and starves it."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@contextmanager
def _written(form: str, muxing: Mapping[str, str]) -> Iterator[tuple[av.container.OutputContainer, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        with _at_ordinary_priority(), av.open(str(path), "w", format=form, options=dict(muxing)) as container:
            yield container, path


def _speak(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    wave = np.sin(np.arange(int(RATE * seconds), dtype=np.float32) / 5)[None, :]
    frame = av.AudioFrame.from_ndarray(wave, format="flt", layout="mono")
    frame.sample_rate = RATE
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_long(path: Path, form: str, piece: bytes, size_bytes: int, muxing: Mapping[str, str] | None = None) -> None:
    """A film of at least ``size_bytes``: ``piece``, a Matroska film of whole seconds, again and again."""
    with av.open(io.BytesIO(piece)) as source, av.open(str(path), "w", format=form, options=dict(muxing or {})) as out:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        assert source.duration is not None
        length = round(source.duration / av.time_base) * 1000  # Matroska counts milliseconds
        target = out.add_stream_from_template(stream)
        written = turn = 0
        while written < size_bytes:
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.stream, copy.time_base, copy.is_keyframe = target, packet.time_base, packet.is_keyframe
                copy.pts, copy.dts = packet.pts + turn * length, packet.dts + turn * length
                out.mux(copy)
                written += packet.size
            turn += 1


def second_of_noise(codec: str) -> bytes:
    """What compresses badly, for :func:`write_long`."""

    def prepare(stream: av.VideoStream) -> None:
        stream.bit_rate = 40_000_000

    def draw(at_s: float) -> Image.Image:
        return scene(int(at_s * 25), (640, 480))

    return film("matroska", codec, seconds=1, fps=25, keyframe_every=25, draw=draw, prepare=prepare)
