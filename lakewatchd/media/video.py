"""Videos: what the container says, and one frame that stands for the whole (PyAV, which is FFmpeg in the process).

Only a few keyframes are decoded, each by itself: of a film of any length a few megabytes are read, wherever its index
lies. The invariant is that of pictures: the frame is whole and upright, with the shape that people see.

PyAV is an extra. It is imported late, so that without it this module still says that it is not there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import pkgutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lakewatchd import errors
from lakewatchd.core.content import Content
from lakewatchd.media import decode, exif, frames, libav
from lakewatchd.media.ranged import Exhausted, RangedFile

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image

AT_MOST_BYTES = 256 << 20
"""Of one file that are looked at. Only one without a usable index gets near."""
NOT_INSTALLED = "videos are not looked into: PyAV is not installed (pip install 'lakewatchd[video]')"

ONLY_SOUND = "no pictures in it, only sound"

_DECODERS = frozenset(
    (
        "h264", "hevc", "libdav1d", "vp8", "vp9", "vp6", "vp6f", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1",
        "msmpeg4v2", "msmpeg4", "mjpeg", "h261", "h263", "h263i", "flv", "theora", "wmv1", "wmv2", "wmv3", "vc1",
        "dvvideo", "prores", "dnxhd", "svq1", "svq3", "cinepak", "rv40", "huffyuv", "ffvhuff", "ffv1", "utvideo",
    )
)  # fmt: skip
"""What cameras, phones, discs and editors write. The other two hundred are for nobody's files but an attacker's."""

SHARES = (0.5, 0.3, 0.7, 0.15)
"""Where in the film frames are looked at, beside the first one."""
_INTRO_S = 1.0
"""What comes before that is a fade-in, a logo or a hand before the lens."""
_ENOUGH_CPU_S = 10.0
"""After that, the best frame so far is good enough."""
_MAX_PACKETS = 5000
"""Without a keyframe among so many there is none to be had here."""


def is_available() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def load() -> None:
    """All of PyAV, which loads parts of itself when they are needed; a confined process cannot. Takes 0.2 s."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in ("av.__main__", "av.datasets"):  # a program; what fetches samples from the network
            importlib.import_module(module.name)


def describe_video(file: RangedFile, mime: str, name: str, *, max_pixels: int, thumbnail_px: int) -> Content:
    """All that can be told of the film in ``file`` without a model. A file that has only sound has no picture.

    Raises :class:`errors.UnsupportedMedia`, :class:`errors.TooLarge` above ``max_pixels``, and
    :class:`errors.DamagedMedia` where no frame can be decoded.
    """
    with opened(file, mime, max_pixels) as (container, stream):
        facts = _facts(container, name)
        if isinstance(stream, str):
            return Content(**facts, warnings=(stream,))
        best = _best(container, stream, file, thumbnail_px)
    picture, thumbnail, fingerprint = decode.looks(best.image, best.size, thumbnail_px)
    return Content(
        **facts,
        width=best.size[0],
        height=best.size[1],
        phash=fingerprint,
        thumbnail=thumbnail,
        picture=picture,
        picture_at_s=best.at_s,
    )


@contextlib.contextmanager
def opened(file: RangedFile, mime: str, max_pixels: int) -> Iterator[tuple[InputContainer, VideoStream | str]]:
    """The film in ``file``, and the stream of its pictures, ready to be decoded, or why there is none.

    Raises as :func:`describe_video`, also for what happens within.
    """
    options = {"max_pixels": str(max_pixels)}
    demuxer = libav.film_demuxer(file, mime)
    with libav.decoding(file), libav.opened(file, mime, demuxer, _DECODERS, options) as container:
        if not container.streams:
            raise errors.DamagedMedia("there is nothing in it")
        stream = _main_stream(container)
        if stream is None:
            yield container, ONLY_SOUND if container.streams.audio else "no pictures in it"
            return
        codec = stream.codec_context
        if codec is None or codec.name not in _DECODERS:
            yield container, f"no decoder for its pictures ({codec.name if codec else 'unknown'})"
            return
        if codec.width and codec.height:  # else the first frame will tell, and ``max_pixels`` holds for it too
            decode.require_pixels((codec.width, codec.height), max_pixels)
        codec.options, codec.thread_count = options, 1
        yield container, stream


def _main_stream(container: InputContainer) -> VideoStream | None:
    """The one that is the film, rather than its cover; packets of all others are passed over."""
    from av.stream import Discard, Disposition

    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    main = max(films, key=lambda stream: bool(stream.disposition & Disposition.default), default=None)
    for stream in container.streams:
        if stream is not main:
            stream.discard = Discard.all
    return main


# --- facts -------------------------------------------------------------------------------------------------


def _facts(container: InputContainer, name: str) -> dict[str, Any]:
    """Fields of :class:`Content` that the container tells."""
    words = libav.words(container.metadata)
    taken, taken_by = libav.captured(words)
    in_name = exif.time_in_name(name) if taken is None else None
    latitude, longitude = libav.place(words)
    return {
        "duration_s": libav.duration_s(container),
        "captured_at": taken or in_name,
        "captured_from": taken_by or ("name" if in_name else ""),
        "camera": exif.camera_of(libav.first(words, _MAKES), libav.first(words, _MODELS)),
        "latitude": latitude,
        "longitude": longitude,
        "title": words.get("title", "")[:TITLE_CHARS] or exif.title_of(name),
        "exif": tuple(_pairs(container, words)),
    }


TITLE_CHARS = 120
_MAKES = ("com.apple.quicktime.make", "com.android.manufacturer", "make")
_MODELS = ("com.apple.quicktime.model", "com.android.model", "model")
_KEPT = {
    "artist": "Artist", "comment": "Comment", "copyright": "Copyright", "encoder": "Software", "genre": "Genre",
    "com.apple.quicktime.content.identifier": exif.CONTENT_ID,
}  # fmt: skip


def _pairs(container: InputContainer, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What EXIF would say if it knew films."""
    for label, streams in (("VideoCodec", container.streams.video), ("AudioCodec", container.streams.audio)):
        codec = next((stream.codec_context for stream in streams), None)
        if codec is not None:
            yield label, exif.clean(codec.codec.canonical_name)
    rate = next((stream.average_rate for stream in container.streams.video), None)
    if rate:
        yield "FrameRate", f"{float(rate):.6g}"
    if container.bit_rate > 0:
        yield "BitRate", str(container.bit_rate)
    for key, label in _KEPT.items():
        if key in words:
            yield label, words[key]


# --- the frame that stands for it --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shot:
    image: Image
    """Upright, reduced to :func:`decode.working_size`."""
    size: tuple[int, int]
    """In pixels as people see it: upright, and with square pixels."""
    at_s: float
    merit: tuple[bool, bool, float]
    """What makes it better than another: not blank, not the very beginning, how much there is to see."""


def _best(container: InputContainer, stream: VideoStream, file: RangedFile, thumbnail_px: int) -> _Shot:
    began, best = time.process_time(), None
    for frame, at_s in _keyframes(container, stream, file):
        image, size = frames.seen(frame, stream, lambda size: decode.working_size(size, thumbnail_px))
        is_visible, detail = frames.interest(image)
        shot = _Shot(image, size, at_s, (is_visible, at_s >= _INTRO_S, detail))
        if best is None or shot.merit > best.merit:
            best = shot
        if time.process_time() - began > _ENOUGH_CPU_S:
            break
    if best is None:
        raise errors.DamagedMedia("no frame of it can be decoded")
    return best


def _keyframes(container: InputContainer, stream: VideoStream, file: RangedFile) -> Iterator[tuple[VideoFrame, float]]:
    """The first one, then some from all over the film, as far as it lets itself be searched; each with its time."""
    from av.error import FFmpegError

    seen = set[int]()
    duration_s, step, start = (
        libav.duration_s(container) or 0.0,
        stream.time_base or Fraction(1),
        stream.start_time or 0,
    )
    for share in (0.0, *SHARES) if duration_s else (0.0,):
        try:
            if share:
                container.seek(start + int(share * duration_s / step), stream=stream)
            frame, at = _next_keyframe(container, stream, seen)
        except MemoryError:  # FFmpeg's own is both
            raise
        except FFmpegError:
            frame = None
        except Exhausted:
            return
        if file.failure is not None:  # FFmpeg takes an unreadable file for one that ends early
            raise file.failure
        if frame is not None:
            yield frame, max(0.0, float((at - start) * step))


def _next_keyframe(container: InputContainer, stream: VideoStream, seen: set[int]) -> tuple[VideoFrame | None, int]:
    """The next one that is whole, and its time; None if that is one of those ``seen``, or if there is none for long."""
    codec = stream.codec_context
    for packet in itertools.islice(container.demux(stream), _MAX_PACKETS):
        if not packet.is_keyframe or not packet.size:
            continue
        at = packet.pts if packet.pts is not None else packet.dts or 0
        if at in seen:
            break
        seen.add(at)
        decoded = [*codec.decode(packet), *codec.decode(None)]
        codec.flush_buffers()
        for frame in decoded:
            if not frame.is_corrupt:
                return frame, at
    return None, 0
