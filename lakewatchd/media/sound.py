"""Sound: what a recording says of itself, its cover and words, and its samples window by window (PyAV).

Describing reads the header, the tags and the end, of a file of any length. Samples come as speech models want them,
16 kHz and mono, for as long a stretch as was asked for and never more. The invariant: a sample's place in a window is
its time in the recording, whatever gaps, errors and jumps of clocks lie before it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lakewatchd import errors
from lakewatchd.core.content import Content, Passage, Sound
from lakewatchd.media import decode, exif, libav, midi
from lakewatchd.media.kinds import kind_of
from lakewatchd.media.ranged import Exhausted, RangedFile
from lakewatchd.media.text.passages import passages as cut

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

AT_MOST_BYTES = 64 << 20
"""Of one file that are looked at to describe it."""
RATE = 16_000
"""Samples a second, of what :func:`read_sound` gives."""
MAX_WINDOW_S = 600.0
NOT_INSTALLED = "recordings are not looked into: PyAV is not installed (pip install 'lakewatchd[video]')"

_DEMUXERS = {
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/x-w64": "w64",
    "audio/ogg": "ogg",
    "audio/mp4": "mov",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/x-ms-wma": "asf",
    "audio/amr": "amr",
    "audio/ac3": "ac3",
    "audio/eac3": "eac3",
    "audio/vnd.dts": "dts",
    "audio/x-matroska": "matroska",
    "audio/webm": "matroska",
    "audio/x-caf": "caf",
    "audio/basic": "au",
    "audio/x-ape": "ape",
    "audio/x-wavpack": "wv",
    "audio/x-tta": "tta",
    "audio/x-musepack": "mpc8",
    "audio/x-dsf": "dsf",
}
"""Only these ever see a recording, and each only what its signature promised."""

_PCM = (
    "s8", "u8", "s16le", "s16be", "u16le", "u16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le",
    "f64be", "alaw", "mulaw", "s16le_planar", "s24le_planar", "dvd", "bluray", "s24daud", "lxf",
)  # fmt: skip
_ADPCM = ("ms", "ima_wav", "ima_qt", "swf", "g722", "g726", "g726le", "yamaha")
_DECODERS = frozenset(
    (
        "mp3float", "mp3", "mp2float", "mp2", "mp1float", "mp1", "aac", "aac_latm", "flac", "alac", "vorbis", "opus",
        "wmav1", "wmav2", "wmapro", "wmavoice", "wmalossless", "amrnb", "amrwb", "ac3", "eac3", "dca", "truehd", "mlp",
        "ape", "wavpack", "tta", "mpc7", "mpc8", "gsm", "gsm_ms", "speex", "libspeex", "nellymoser", "cook", "sipr",
        "dsd_lsbf", "dsd_msbf", "dsd_lsbf_planar", "dsd_msbf_planar", "qdm2", "mace3", "mace6",
        *(f"pcm_{form}" for form in _PCM), *(f"adpcm_{form}" for form in _ADPCM),
    )
)  # fmt: skip
"""What recorders, phones, rippers and cameras write."""


def describe_sound(
    file: RangedFile,
    mime: str,
    name: str,
    *,
    max_pixels: int,
    thumbnail_px: int,
    passage_chars: int,
    passage_overlap: int,
) -> tuple[Content, str]:
    """All that can be told of the recording in ``file`` without a model, and the lyrics that its tags hold.

    Raises :class:`errors.UnsupportedMedia`, and :class:`errors.DamagedMedia` where there is no sound.
    """
    if mime == midi.MIME:
        return midi.describe(file, name), ""
    with libav.decoding(file), libav.opened(file, mime, _demuxer(file, mime), _DECODERS) as container:
        stream = _main_stream(container)
        if stream is None:
            raise errors.DamagedMedia("there is no sound in it")
        facts = _facts(container, stream, name)
        lyrics = _lyrics(container)
        cover = _cover(container)
        if mime in _UNMEASURED:
            facts["duration_s"] = _counted_s(container, stream) or facts["duration_s"]
    problems = []
    if stream.codec_context is None:
        problems.append("no decoder for its sound")
    thumbnail = None
    if cover:
        try:
            thumbnail = _thumbnail(cover, max_pixels, thumbnail_px)
        except errors.AssetError as exc:
            problems.append(f"its cover: {exc.message}")
    spans = cut(lyrics, passage_chars, passage_overlap)
    return (
        Content(
            **facts,
            thumbnail=thumbnail,
            passages=tuple(Passage(lyrics[start:end], start, end) for start, end in spans),
            text_chars=len(lyrics),
            warnings=tuple(problems),
        ),
        lyrics,
    )


def _demuxer(file: RangedFile, mime: str) -> str | None:
    return _DEMUXERS.get(mime) or libav.film_demuxer(file, mime)


def _main_stream(container: InputContainer) -> AudioStream | None:
    """The one that is listened to, where there are several languages or comments."""
    from av.stream import Disposition

    return max(container.streams.audio, key=lambda stream: bool(stream.disposition & Disposition.default), default=None)


# --- facts -------------------------------------------------------------------------------------------------

_TITLE_CHARS = 120
_AUTHORS = ("artist", "album_artist", "author", "composer", "performer", "iart")
_KEPT = {
    "artist": "Artist", "album_artist": "AlbumArtist", "album": "Album", "track": "Track", "disc": "Disc",
    "date": "Date", "genre": "Genre", "composer": "Composer", "performer": "Performer", "publisher": "Publisher",
    "show": "Show", "comment": "Comment", "description": "Description", "copyright": "Copyright",
    "encoder": "Software", "encoded_by": "EncodedBy", "originator": "Originator",
}  # fmt: skip


def _facts(container: InputContainer, stream: AudioStream, name: str) -> dict[str, Any]:
    """Fields of :class:`Content` that container and stream tell. In Ogg the tags are the stream's."""
    said = {**libav.words(stream.metadata), **libav.words(container.metadata)}
    taken, taken_by = _recorded(said)
    in_name = exif.time_in_name(name) if taken is None else None
    latitude, longitude = libav.place(said)
    return {
        "duration_s": _duration_s(container, stream),
        "captured_at": taken or in_name,
        "captured_from": taken_by or ("name" if in_name else ""),
        "latitude": latitude,
        "longitude": longitude,
        "title": said.get("title", "")[:_TITLE_CHARS] or exif.title_of(name),
        "author": libav.first(said, _AUTHORS),
        "exif": tuple(_pairs(container, stream, said)),
    }


def _recorded(said: Mapping[str, str]) -> tuple[dt.datetime | None, str]:
    """A release has a year, or the day on which it was sold; a recorder notes the minute."""
    day, clock = said.get("date", ""), said.get("creation_time", "")
    if len(day) == 10 and len(clock) == 8:  # a broadcast WAV tells them apart
        return libav.captured({"date": f"{day} {clock}"})
    return libav.captured({key: value for key, value in said.items() if key != "date" or len(value) > 10})


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
        if 0 < seconds <= libav.MAX_DURATION_S:
            return seconds
    return libav.duration_s(container)


_UNMEASURED = ("audio/aac",)
"""Frames of any length, one behind the other: FFmpeg guesses from the first few, and may be out by half."""


def _counted_s(container: InputContainer, stream: AudioStream) -> float | None:
    """How long all packets take together; None where there are too many to be read for that."""
    try:
        ticks = sum(packet.duration or 0 for packet in container.demux(stream))
    except Exhausted:
        return None
    return float(ticks * (stream.time_base or Fraction(1)))


def _pairs(container: InputContainer, stream: AudioStream, said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    codec = stream.codec_context
    if codec is not None:
        yield "AudioCodec", exif.clean(codec.codec.canonical_name)
        if codec.sample_rate:
            yield "SampleRate", str(codec.sample_rate)
        if codec.channels:
            yield "Channels", str(codec.channels)
    rate = stream.bit_rate or container.bit_rate
    if rate and rate > 0:
        yield "BitRate", str(rate)
    for key, label in _KEPT.items():
        if key in said:
            yield label, said[key]


_LYRICS = ("lyrics", "unsyncedlyrics", "unsynced lyrics", "uslt")
MAX_LYRICS_CHARS = 100_000


def _lyrics(container: InputContainer) -> str:
    """Several lines, as they are sung. ID3 adds a language to the name: ``lyrics-eng``."""
    tags = [container.metadata, *(stream.metadata for stream in container.streams.audio[:1])]
    for key, value in itertools.chain.from_iterable(tag.items() for tag in tags):
        if key.lower().partition("-")[0] in _LYRICS:
            lines = (exif.clean(line, 1000) for line in value[:MAX_LYRICS_CHARS].splitlines())
            return "\n".join(lines).strip()
    return ""


# --- the cover ---------------------------------------------------------------------------------------------

_MAX_COVER_BYTES = 16 << 20


def _cover(container: InputContainer) -> bytes:
    """The encoded picture that comes with it; FFmpeg hands it out before anything else. Empty without one."""
    from av.stream import Discard, Disposition

    covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    if not covers:
        return b""
    for stream in container.streams:
        if stream is not covers[0]:
            stream.discard = Discard.all
    packet = next(iter(container.demux(covers[0])), None)
    return bytes(packet) if packet is not None and packet.size <= _MAX_COVER_BYTES else b""


def _thumbnail(cover: bytes, max_pixels: int, thumbnail_px: int) -> bytes | None:
    mime, _ = kind_of(cover, "cover")
    found = decode.describe_image(io.BytesIO(cover), mime, "", max_pixels=max_pixels, thumbnail_px=thumbnail_px)
    return found.thumbnail


# --- samples -----------------------------------------------------------------------------------------------

_PREROLL_S = 0.5
"""Decoders need some packets before they give what was recorded."""
_MAX_GAP_S = 0.25
"""Clocks of containers jitter; a larger step is a gap, and stays one."""
_MAX_BROKEN = 2000
"""Packets in a row that cannot be decoded: after so many, the rest is taken for broken too."""


def read_sound(file: RangedFile, mime: str, start_s: float, end_s: float) -> Sound:
    """The samples from ``start_s`` to ``end_s`` of the main sound of a recording or a film; fewer at its end, and none
    of what has no sound. At most :data:`MAX_WINDOW_S`.

    Raises :class:`errors.UnsupportedMedia`, and :class:`errors.DamagedMedia` for what cannot be opened.
    """
    if mime == midi.MIME:
        return Sound(b"", RATE, start_s, True)
    end_s = min(end_s, start_s + MAX_WINDOW_S)
    with libav.decoding(file), libav.opened(file, mime, _demuxer(file, mime), _DECODERS) as container:
        stream = _main_stream(container)
        if stream is None or stream.codec_context is None:
            return Sound(b"", RATE, start_s, True)
        _only(container, stream)
        window = _Window(start_s, end_s)
        is_last = window.fill(_mono(_frames(container, stream, file, start_s)), _began_s(container, stream))
        if file.failure is not None:  # FFmpeg takes an unreadable file for one that ends early
            raise file.failure
    return Sound(bytes(window.samples), RATE, start_s, is_last)


def _only(container: InputContainer, stream: AudioStream) -> None:
    from av.stream import Discard

    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all


def _began_s(container: InputContainer, stream: AudioStream) -> float:
    """Where its clock stood at the beginning: that of the film, so that what is said matches what is seen."""
    import av

    if container.start_time is not None:
        return float(Fraction(container.start_time, av.time_base))
    return float((stream.start_time or 0) * (stream.time_base or Fraction(1)))


def _frames(
    container: InputContainer, stream: AudioStream, file: RangedFile, start_s: float
) -> Iterator[AudioFrame | None]:
    """Decoded from shortly before ``start_s``, without what is broken. None where a packet gave nothing."""
    import av
    from av.error import FFmpegError

    if start_s > _PREROLL_S:
        at_s = start_s - _PREROLL_S + _began_s(container, stream)
        with contextlib.suppress(FFmpegError):  # what cannot be searched is read from its beginning
            container.seek(int(at_s * av.time_base))
    broken = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
            broken = 0
        except MemoryError:
            raise
        except FFmpegError:
            broken += 1
            if broken > _MAX_BROKEN:
                raise
        if file.failure is not None:
            raise file.failure


def _mono(frames: Iterable[AudioFrame | None]) -> Iterator[tuple[float | None, bytes]]:
    """16 kHz, mono, 16 bit; with the time at which each piece begins, where its frame knew."""
    import av

    resampler, shape = None, None
    for frame in frames:
        if frame is None or not frame.samples or not frame.sample_rate:
            continue
        at_s = frame.time
        if shape != (shape := (frame.format.name, frame.layout.name, frame.sample_rate)):
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        assert resampler is not None
        frame.pts = None  # its clock is looked at here
        for piece in resampler.resample(frame):
            yield at_s, bytes(piece.planes[0])[: 2 * piece.samples]
            at_s = None
    if resampler is not None:
        for piece in resampler.resample(None):
            yield None, bytes(piece.planes[0])[: 2 * piece.samples]


class _Window:
    """A stretch of the recording that is being filled from its start."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self.samples = bytearray()
        self._start, self._end = round(start_s * RATE), round(end_s * RATE)

    def fill(self, pieces: Iterable[tuple[float | None, bytes]], began_s: float) -> bool:
        """Whether the recording ended before the window was full."""
        at: int | None = None
        for at_s, piece in pieces:
            if at_s is not None:
                told = round((at_s - began_s) * RATE)
                if at is None or abs(told - at) > _MAX_GAP_S * RATE:
                    at = told
            at = at or 0
            self._put(at, piece)
            at += len(piece) // 2
            if at >= self._end:
                return False
        return True

    def _put(self, at: int, piece: bytes) -> None:
        """Lay ``piece`` down where it belongs. What lies outside, or was said before, is left out; gaps are silent."""
        have = self._start + len(self.samples) // 2
        if at > have:
            self.samples += bytes(2 * (min(at, self._end) - have))
            have = max(have, min(at, self._end))
        keep = piece[2 * max(0, have - at) : 2 * max(0, self._end - at)]
        self.samples += keep
