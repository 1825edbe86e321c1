"""Recordings made for tests, by PyAV: any codec and container, with tags and a cover; and where real speech lies."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Wave = NDArray[np.float32]
"""Mono, -1 to 1."""

SPOKEN = Path("/usr/share/pocketsphinx/test/data")
"""Real speech with transcripts, of the Debian package pocketsphinx-testdata (scripts/setup-system --sounds)."""


def spoken(ending: str, rate: int = 16_000) -> Wave:
    """A sentence of a book, read aloud, by the last digits of its file."""
    (path,) = SPOKEN.glob(f"librivox/*-{ending}.wav")
    return decoded(path, rate)


def decoded(path: Path, rate: int = 16_000) -> Wave:
    """Whatever FFmpeg can read, by another way than the project's."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
    return np.concatenate([piece.to_ndarray()[0] for frame in frames for piece in resampler.resample(frame)])


def plain(text: str) -> str:
    """Words only, in lower case: transcripts have no punctuation."""
    return re.sub(r"[^a-z0-9' ]+", " ", text.lower().replace("mr.", "mister")).strip()


def tone(seconds: float = 1.0, rate: int = 44_100, hertz: float = 440.0) -> Wave:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def beeps(at: tuple[float, ...], seconds: float, rate: int = 44_100) -> Wave:
    """Silence with 0.1 s of a tone at each of these seconds: tells where in a recording a sample came from."""
    wave = np.zeros(round(seconds * rate), np.float32)
    for start_s in at:
        short = tone(0.1, rate, 880.0)
        wave[round(start_s * rate) :][: len(short)] = short
    return wave


def cover(size: int = 200) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), (200, 30, 40)).save(out, "JPEG")
    return out.getvalue()


def recording(
    form: str,
    codec: str,
    wave: Wave | None = None,
    *,
    rate: int = 44_100,
    layout: str = "mono",
    tags: Mapping[str, str] | None = None,
    picture: bytes | None = None,
    muxing: Mapping[str, str] | None = None,
    bit_rate: int | None = None,
) -> bytes:
    """``form`` is a container as FFmpeg names it; ``picture`` an encoded JPEG."""
    wave = tone(1.0, rate) if wave is None else wave
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        with av.open(str(path), "w", format=form, options=dict(muxing or {})) as container:
            container.metadata.update(tags or {})
            stream = container.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
            if bit_rate is not None:
                stream.bit_rate = bit_rate
            covers = container.add_stream("mjpeg", rate=1) if picture else None
            if covers is not None:
                covers.width, covers.height, covers.pix_fmt = 200, 200, "yuvj420p"
                covers.disposition = av.stream.Disposition.attached_pic
            resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
            if covers is not None:
                assert picture is not None
                packet = av.Packet(picture)
                packet.stream, packet.pts, packet.dts = covers, 0, 0
                packet.time_base, packet.is_keyframe = Fraction(1, 90_000), True
                container.start_encoding()
                container.mux(packet)
            size = stream.codec_context.frame_size or 1024
            for start in range(0, len(wave), size):
                piece = wave[start : start + size]
                frame = av.AudioFrame.from_ndarray(piece[None, :], format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                for ready in resampler.resample(frame):
                    container.mux(stream.encode(ready))
            container.mux(stream.encode(None))
        return path.read_bytes()


def samples(data: bytes) -> Wave:
    """Of signed 16 bit."""
    return np.frombuffer(data, "<i2").astype(np.float32) / 32_768


def loud_at(data: bytes, rate: int = 16_000) -> list[float]:
    """Where beeps begin, in seconds from the first sample."""
    loud = np.abs(samples(data)) > 0.1
    at = np.flatnonzero(loud)
    starts = at[np.diff(at, prepend=-rate) > rate // 20]
    return [round(float(start) / rate, 2) for start in starts]


def film_that_sounds(form: str, pictures: str, codec: str, wave: Wave, rate: int = 48_000) -> bytes:
    """``wave`` under pictures that do not move, ten a second, interleaved as cameras do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        with av.open(str(path), "w", format=form) as container:
            seen = container.add_stream(pictures, rate=10)
            seen.width, seen.height, seen.pix_fmt, seen.gop_size = 64, 48, "yuv420p", 30
            heard = container.add_stream(codec, rate=rate, layout="mono")
            resampler = av.AudioResampler(format=heard.codec_context.format, layout="mono", rate=rate)
            for start in range(0, len(wave), rate // 10):
                container.mux(seen.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48), "teal"))))
                frame = av.AudioFrame.from_ndarray(wave[None, start : start + rate // 10], format="flt", layout="mono")
                frame.sample_rate, frame.pts = rate, start
                for ready in resampler.resample(frame):
                    container.mux(heard.encode(ready))
            container.mux(seen.encode())
            container.mux(heard.encode(None))
        return path.read_bytes()
