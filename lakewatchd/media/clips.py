"""A film as clips: where each begins and ends, and a picture or a few of what is seen in it.

A film is looked at once a second, or :data:`MOST_LOOKS` times in all, by its keyframes alone, and what lies between two
looks is not read where the container has an index. One that has hardly any keyframes is decoded from its beginning, up
to :data:`MOST_FRAMES`. So the time, the memory and the bytes that a film takes are bounded, however long it is.

The invariant: what is found depends on the content only, never on how fast this machine is or where the file lies.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakewatchd import errors
from lakewatchd.core.content import Content, Frame, Picture
from lakewatchd.media import decode, frames, libav, scenes, video
from lakewatchd.media.fingerprint import phash
from lakewatchd.media.ranged import RangedFile

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from PIL.Image import Image

MOST_LOOKS = 1800
"""Of a film: one of an hour is seen every two seconds, as often as most have a keyframe."""
LEAST_STEP_S = 1.0
MOST_FRAMES = 9000
"""Decoded of a film with hardly any keyframes: five minutes of it."""
_CLOSE_S = 0.01
"""Clocks of containers are rounded; what comes so much early is in time."""
_FEW_S, _HARDLY_ANY_S = 3.0, 60.0
"""Between keyframes: then a short film is decoded as a whole, and a long one as far as that goes."""
_INDEXED = frozenset(("mov", "matroska", "avi"))
"""Demuxers that know where keyframes are."""
_SEARCH_BYTES = 8 << 20
MOST_PICTURES = 240
"""In all; one for each clip at least, and :data:`PICTURES_PER_CLIP` where there are few clips. 64 MiB of pixels."""
PICTURES_PER_CLIP = 3
_SHORT_PX, _LONG_PX = 224, 416
"""Sides of a picture: what the models look at."""


def describe_clips(file: RangedFile, mime: str, *, max_pixels: int) -> Content:
    """``frames``: the pictures of the clips, one clip after the other, each with the clip's beginning and end; and
    ``signature``, see :func:`scenes.signature`. Nothing of a file that has no picture or no decoder for them.

    Raises as :func:`video.describe_video`.
    """
    looks, end_s, problems = looked_at(file, mime, max_pixels=max_pixels)
    if not looks:
        return Content(warnings=problems)
    return Content(frames=tuple(_pictures(looks, end_s)), signature=scenes.signature(_seen(looks)), warnings=problems)


def looked_at(file: RangedFile, mime: str, *, max_pixels: int) -> tuple[list[Look], float, tuple[str, ...]]:
    """What was seen of the film, in order; where it ends, in seconds; and what was wrong with it but bearable. Nothing
    is seen where there is no picture or no decoder. Raises as :func:`video.describe_video`."""
    with video.opened(file, mime, max_pixels) as (container, stream):
        if isinstance(stream, str):
            return [], 0.0, ()
        walk = _Walk(container, stream, file)
        looks = _looks(walk, walk.by_keyframes())
        end_s = walk.duration_s or (looks[-1].at_s if looks else 0.0)
        problems: tuple[str, ...] = ()
        if walk.is_worth_decoding_all(len(looks), end_s):
            looks = _looks(walk, walk.by_decoding_all()) or looks
            if looks and end_s - looks[-1].at_s > _HARDLY_ANY_S:
                end_s = looks[-1].at_s
                problems = (f"it has hardly any keyframes: only its first {end_s:.0f} s were looked at",)
    if not looks:
        raise errors.DamagedMedia("no frame of it can be decoded")
    return looks, end_s, problems


@dataclass(frozen=True, slots=True)
class Look:
    at_s: float
    jpeg: bytes
    """A tenth of the pixels: hundreds of looks wait until it is known which will be needed."""
    colours: NDArray[np.float32]
    phash: int
    interest: frames.Interest


def _looks(walk: _Walk, frames: Iterator[tuple[VideoFrame, float]]) -> list[Look]:
    """Of a film that is longer than it says, every second one is let go whenever there are twice too many."""
    looks = list[Look]()
    for frame, at_s in frames:
        looks.append(_look(frame, walk.stream, at_s))
        if len(looks) == 2 * MOST_LOOKS:
            del looks[1::2]
            walk.step_s *= 2
    return looks


def _look(frame: VideoFrame, stream: VideoStream, at_s: float) -> Look:
    image, _ = frames.seen(frame, stream, lambda size: decode.fit(size, short=_SHORT_PX, long=_LONG_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return Look(at_s, out.getvalue(), scenes.colours(image), phash(image), frames.interest(image))


def _seen(looks: Sequence[Look]) -> list[tuple[float, int]]:
    """Times and hashes of what shows something: all that is blank looks alike."""
    return [(look.at_s, look.phash) for look in looks if look.interest.is_visible]


# --- from looks to clips -----------------------------------------------------------------------------------


def _pictures(looks: Sequence[Look], end_s: float) -> Iterator[Frame]:
    import numpy as np

    times = [look.at_s for look in looks]
    found = scenes.clips(times, scenes.changes(np.stack([look.colours for look in looks])), end_s)
    each = max(1, min(PICTURES_PER_CLIP, MOST_PICTURES // len(found)))
    for first, until in found:
        start_s, stop_s = times[first] if first else 0.0, times[until] if until < len(times) else max(end_s, times[-1])
        for look in _best(looks[first:until], each):
            yield Frame(_picture(look.jpeg), start_s=start_s, end_s=stop_s, phash=look.phash)


def _best(looks: Sequence[Look], count: int) -> list[Look]:
    """The most interesting one of the first, the second … part of them. A blank one only if there is no other."""
    count = min(count, len(looks))
    parts = [looks[len(looks) * i // count : len(looks) * (i + 1) // count] for i in range(count)]
    best = [max(part, key=lambda look: look.interest) for part in parts]
    return [look for look in best if look.interest.is_visible] or best[:1]


def _picture(jpeg: bytes) -> Picture:
    from PIL import Image as Images

    image: Image = Images.open(io.BytesIO(jpeg), formats=("JPEG",)).convert("RGB")
    return Picture(*image.size, image.tobytes())


# --- from the film to looks --------------------------------------------------------------------------------


class _Walk:
    """Through a film from its beginning to its end. Yields whole frames and their times, which rise."""

    def __init__(self, container: InputContainer, stream: VideoStream, file: RangedFile) -> None:
        self._container, self.stream, self._file = container, stream, file
        self._tick = float(stream.time_base or 1)
        self._origin = stream.start_time or 0
        self._rate = float(stream.average_rate or 25)
        self._packets = 0
        self._delay_s = 0.0
        """From when a frame is decoded, which is what some indexes know, to when it is shown."""
        self.duration_s = libav.duration_s(container) or 0.0
        self.step_s = max(LEAST_STEP_S, self.duration_s / MOST_LOOKS)
        self._latest_s = 1.1 * self.duration_s + 60 if self.duration_s else float("inf")
        """What claims to be after that has a broken clock."""

    def is_worth_decoding_all(self, looks: int, end_s: float) -> bool:
        """After so many looks at keyframes: were there fewer than wanted, and is the film short, or were there hardly
        any?"""
        gap_s = end_s / max(1, looks)
        few = gap_s > max(_FEW_S, 1.5 * self.step_s)
        return few and (gap_s > _HARDLY_ANY_S or (self.stream.frames or end_s * self._rate) <= MOST_FRAMES)

    def by_keyframes(self) -> Iterator[tuple[VideoFrame, float]]:
        """Keyframes, each decoded by itself, a step or more apart."""
        next_s, can_hop = 0.0, self._gains_by_hops()
        while (packet := self._next_key(next_s)) is not None:
            at_s = self._time(packet)
            frame = self._decoded_alone(packet)
            if frame is not None:
                yield frame, at_s
            next_s = at_s + self.step_s - _CLOSE_S
            can_hop = can_hop and self._sought(self._origin + round((next_s - self._delay_s) / self._tick))

    def _gains_by_hops(self) -> bool:
        """Where nothing but the times in packets tells where they are, to search costs megabytes, and keyframes may be
        passed over."""
        if _INDEXED.intersection(self._container.format.name.split(",")):
            return True
        return self.step_s * self._file.size_bytes > _SEARCH_BYTES * self.duration_s > 0

    def by_decoding_all(self) -> Iterator[tuple[VideoFrame, float]]:
        """Frames a step or more apart of those that others are made from, of the first :data:`MOST_FRAMES`. The step
        is for as long as these last: what the container says of its length may be why so little was found."""
        if not self._sought(self._origin):
            return
        codec, next_s = self.stream.codec_context, 0.0
        self.step_s = max(LEAST_STEP_S, min(self.step_s, MOST_FRAMES / self._rate / MOST_LOOKS))
        codec.flush_buffers()
        codec.skip_frame = "NONREF"
        self._packets = 0
        for packet in self._demuxed():
            for frame in self._decoded(packet):
                at_s = self._time(frame)
                if next_s <= at_s <= self._latest_s and not frame.is_corrupt:
                    next_s = at_s + self.step_s - _CLOSE_S
                    yield frame, at_s
            if self._packets >= MOST_FRAMES:
                return

    def _next_key(self, from_s: float) -> Packet[Any] | None:
        for packet in self._demuxed():
            if packet.is_keyframe and packet.size and from_s <= self._time(packet) <= self._latest_s:
                return packet
        return None

    def _demuxed(self) -> Iterator[Packet[Any]]:
        """Packets from here on; to the first that is broken, if what follows cannot be found."""
        from av.error import FFmpegError

        try:
            for packet in self._container.demux(self.stream):
                self._packets += bool(packet.size)
                if packet.pts is not None and packet.dts is not None:
                    self._delay_s = max(self._delay_s, (packet.pts - packet.dts) * self._tick)
                yield packet
        except MemoryError:  # FFmpeg's own is both
            raise
        except FFmpegError:
            pass
        if self._file.failure is not None:  # FFmpeg takes an unreadable file for one that ends early
            raise self._file.failure

    def _sought(self, at: int) -> bool:
        """Whether the next packets are those from the first keyframe at or after ``at``, a time in ticks, without what
        lies between being read. If not, nothing is lost."""
        from av.error import FFmpegError

        try:
            self._container.seek(at, backward=False, stream=self.stream)
        except MemoryError:
            raise
        except FFmpegError:
            return False
        return True

    def _decoded_alone(self, packet: Packet[Any]) -> VideoFrame | None:
        frames = [*self._decoded(packet), *self._decoded(None)]
        self.stream.codec_context.flush_buffers()
        return next((frame for frame in frames if not frame.is_corrupt), None)

    def _decoded(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        """Nothing of what is broken."""
        from av.error import FFmpegError

        try:
            return list(self.stream.codec_context.decode(packet))
        except MemoryError:
            raise
        except FFmpegError:
            return []

    def _time(self, of: Packet[Any] | VideoFrame) -> float:
        """Seconds from the beginning; where nothing tells, by what was seen so far."""
        at = of.pts if of.pts is not None else of.dts
        return max(0.0, (at - self._origin) * self._tick) if at is not None else (self._packets - 1) / self._rate
