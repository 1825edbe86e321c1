"""A film of ten minutes: seconds and bytes to find out what it is, and to see it scene by scene, beside FFmpeg alone.

    .venv/bin/python -m bench.video [--quick] [--json] [--dir DIR]

Claim: a decoder process says all of a 1080p film in at most 1.5 times what PyAV alone takes to open it and decode the
same keyframes, and reads at most 2 % of it. Seen scene by scene, it takes at most 1.3 times the CPU that FFmpeg
takes to decode and reduce all keyframes.
Method: H.264 at 1920 x 1080, 25 frames a second, a keyframe every 2 s, about 8 Mbit/s, panning over a real photo; its
index lies at the end, as cameras write it. Ten turns (quick 3), medians; the file is in the page cache for all.
Peers: PyAV in this process, which opens the file by name, seeks to the same places, decodes one keyframe at each and
reduces it; then PyAV and the program ``ffmpeg -skip_frame nokey`` decoding every keyframe to pixels of the same size in
one thread (of the PATH, or from ``pip install imageio-ffmpeg``; left out without).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
from PIL import Image

from bench.common import Claim, Report, options, photos
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Content, Identity, Task
from lakewatchd.media.sandbox import Decoders
from lakewatchd.media.video import SHARES
from tests.films import film, write_long

SIZE = (1920, 1080)
RATE = 8_000_000


def main() -> None:
    chosen = options(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=chosen.dir) as base:
        path = Path(base, "film.mp4")
        write_long(path, "mp4", _piece(), RATE // 8 * 600)
        turns = 3 if chosen.quick else 10
        ours, content = asyncio.run(_ours(path, turns))
        alone = statistics.median(_timed(lambda: _alone(path)) for _ in range(turns))
        scenes = _scenes(path, turns)
        fetched = asyncio.run(_fetched(path))
        size = path.stat().st_size
    assert content.picture is not None
    Report(
        [
            Claim.at_most("seconds, as a multiple of PyAV alone", ours / alone, "x", 1.5),
            Claim("seconds for a film", ours, "s"),
            Claim("seconds, PyAV alone, the same keyframes", alone, "s"),
            Claim.at_most("bytes read, as a share of the film", 100 * fetched / size, "%", 2.0),
            Claim("bytes read", fetched / 1e6, "MB"),
            *scenes,
        ]
    ).show(chosen.json)


def _piece() -> bytes:
    """Two seconds: a window that moves over a photo."""
    import io

    wide = Image.open(io.BytesIO(next(photos(1, 4, (2200, 1240)))))

    def draw(at_s: float) -> Image.Image:
        left, top = int(at_s * 100), int(at_s * 60)
        return wide.crop((left, top, left + SIZE[0], top + SIZE[1]))

    def prepare(stream: av.VideoStream) -> None:
        stream.bit_rate = RATE
        stream.options = {"preset": "veryfast", "tune": "zerolatency"}

    return film("matroska", "libx264", seconds=2, fps=25, keyframe_every=50, draw=draw, prepare=prepare)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _identity(path: Path) -> Identity:
    return Identity("0" * 64, Version.of(path.stat()), Kind.VIDEO, "video/mp4")


def _scenes(path: Path, turns: int) -> list[Claim]:
    """Ours and the peers take turns. CPU seconds: the program spreads over cores what we do on one."""
    program = _ffmpeg()
    ours, pyav, ffmpeg = [], [], []
    for _ in range(turns):
        ours.append(asyncio.run(_scene_by_scene(path)))
        pyav.append(_cpu_of(resource.RUSAGE_SELF, lambda: _keyframes(path)))
        if program:
            ffmpeg.append(_cpu_of(resource.RUSAGE_CHILDREN, lambda: _alone_by_ffmpeg(program, path)))
    took = statistics.median(ours)
    claims = [
        Claim("scene by scene: CPU seconds for an hour of 1080p", took * 6, "s"),
        Claim("scene by scene, as a multiple of PyAV alone, all keyframes", took / statistics.median(pyav), "x"),
    ]
    if not ffmpeg:
        print("no ffmpeg here: pip install imageio-ffmpeg", file=sys.stderr)
        return claims
    ratio = took / statistics.median(ffmpeg)
    return [*claims, Claim.at_most("scene by scene, as a multiple of ffmpeg -skip_frame nokey", ratio, "x", 1.3)]


async def _scene_by_scene(path: Path) -> float:
    decoders = Decoders.deep(DecodeConfig(), 1)
    await decoders.start()
    before = _cpu_of_process(decoders.pids[0])
    content = await decoders.describe(path.name, _identity(path), "", root=str(path.parent), task=Task("clips"))
    took = _cpu_of_process(decoders.pids[0]) - before
    await decoders.close()
    assert content is not None and len(content.frames) >= 10
    return took


def _cpu_of_process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_of(whom: int, work: Callable[[], object]) -> float:
    before = resource.getrusage(whom)
    work()
    after = resource.getrusage(whom)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ffmpeg() -> str | None:
    if found := shutil.which("ffmpeg"):
        return found
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return None
    return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())


def _alone_by_ffmpeg(program: str, path: Path) -> None:
    before, after = ["-threads", "1", "-skip_frame", "nokey"], ["-vf", "scale=398:224", "-fps_mode", "passthrough"]
    pixels = ["-pix_fmt", "rgb24", "-f", "rawvideo", "-y", "/dev/null"]
    argv = [program, "-v", "error", "-nostdin", *before, "-i", str(path), "-an", *after, *pixels]
    subprocess.run(argv, check=True)


async def _ours(path: Path, turns: int) -> tuple[float, Content]:
    decoders, identity, took = Decoders(DecodeConfig(), 1), _identity(path), []
    await decoders.start()
    for _ in range(turns):
        start = time.perf_counter()
        content = await decoders.describe(path.name, identity, "", root=str(path.parent))
        took.append(time.perf_counter() - start)
    await decoders.close()
    assert content is not None
    return statistics.median(took), content


async def _fetched(path: Path) -> int:
    """Bytes, where each has to be fetched first."""
    decoders, total = Decoders(DecodeConfig(), 1), 0

    async def provide(start: int, end: int) -> None:
        nonlocal total
        total += end - start

    await decoders.describe(path.name, _identity(path), "", root=str(path.parent), provide=provide)
    await decoders.close()
    return total


def _alone(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.codec_context.skip_frame = 1, "NONKEY"
        assert stream.duration is not None
        for share in (0.0, *SHARES):
            container.seek(int(share * stream.duration), stream=stream)
            next(container.decode(stream)).to_image(width=512, height=288)


def _keyframes(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.codec_context.skip_frame = 1, "NONKEY"
        for frame in container.decode(stream):
            frame.to_ndarray(format="rgb24", width=398, height=224)


if __name__ == "__main__":
    main()
