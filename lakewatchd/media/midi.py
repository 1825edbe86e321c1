"""Standard MIDI files: notes rather than sound. Their names, size and length, told by the file alone."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.core.content import Content
from lakewatchd.media import exif
from lakewatchd.media.ranged import RangedFile

MIME = "audio/midi"
_MAX_BYTES = 4 << 20
_MAX_TRACKS = 256
_MAX_EVENTS = 500_000
_HEADER = struct.Struct(">4sIHHH")
_CHUNK = struct.Struct(">4sI")
_TRACK_NAME, _COPYRIGHT, _TEMPO = 0x03, 0x02, 0x51
_USUAL_TEMPO_US = 500_000


def describe(file: RangedFile, name: str) -> Content:
    """Title, number of tracks and length of the piece. Raises :class:`errors.DamagedMedia`."""
    stream = io.BytesIO(io.BufferedReader(file).read(_MAX_BYTES))
    try:
        magic, _, form, tracks, division = _HEADER.unpack(stream.read(_HEADER.size))
    except struct.error as exc:
        raise errors.DamagedMedia("ends within its header") from exc
    if magic != b"MThd":
        raise errors.DamagedMedia("no MIDI header")
    words, tempos, ends = dict[int, str](), list[tuple[int, int]](), [0]
    budget = itertools.count()
    for track in _tracks(stream):
        at = 0
        for delta, kind, data in _events(track):
            at += delta
            if kind in (_TRACK_NAME, _COPYRIGHT) and (text := exif.clean(data.decode("utf-8", "replace"))):
                words.setdefault(kind, text)
            elif kind == _TEMPO and len(data) == 3:
                tempos.append((at, int.from_bytes(data)))
            if next(budget) > _MAX_EVENTS:
                break
        ends.append(at)
    pairs = [("MidiFormat", str(form)), ("Tracks", str(tracks))]
    if _COPYRIGHT in words:
        pairs.append(("Copyright", words[_COPYRIGHT]))
    title = words.get(_TRACK_NAME) or exif.title_of(name)
    return Content(title=title, duration_s=_seconds(max(ends), division, tempos), exif=tuple(pairs))


def _tracks(stream: BinaryIO) -> Iterator[bytes]:
    for _ in range(_MAX_TRACKS):
        head = stream.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            return
        kind, size = _CHUNK.unpack(head)
        data = stream.read(size)
        if kind == b"MTrk":
            yield data


def _events(track: bytes) -> Iterator[tuple[int, int, bytes]]:
    """``(ticks since the one before, kind, data)``; ``kind`` is 0 for what is played. Ends where it makes no sense."""
    stream, status = io.BytesIO(track), 0
    try:
        while stream.tell() < len(track):
            delta, first = _number(stream), stream.read(1)[0]
            if first == 0xFF:
                kind = stream.read(1)[0]
                yield delta, kind, stream.read(_number(stream))
            elif first in (0xF0, 0xF7):
                stream.seek(_number(stream), io.SEEK_CUR)
                yield delta, 0, b""
            else:
                if first & 0x80:
                    status = first
                else:  # as the last one: this byte was its data
                    stream.seek(-1, io.SEEK_CUR)
                stream.seek(1 if status >> 4 in (0xC, 0xD) else 2, io.SEEK_CUR)
                yield delta, 0, b""
    except IndexError:
        return


def _number(stream: BinaryIO) -> int:
    """Of variable length: seven bits in each byte, at most four of them."""
    value = 0
    for _ in range(4):
        byte = stream.read(1)[0]
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            break
    return value


def _seconds(ticks: int, division: int, tempos: list[tuple[int, int]]) -> float | None:
    """A beat has ``division`` ticks and takes as long as the last tempo said, in microseconds."""
    if division & 0x8000:  # frames of film and ticks of a frame
        rate = (256 - (division >> 8)) * (division & 0xFF)
        return ticks / rate if rate else None
    if not division:
        return None
    total, before, tempo = 0, 0, _USUAL_TEMPO_US
    for at, next_tempo in sorted(tempos):
        total += (min(at, ticks) - before) * tempo
        before, tempo = min(at, ticks), next_tempo
    total += (ticks - before) * tempo
    return total / division / 1e6
