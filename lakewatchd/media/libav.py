"""What films and sound share: opening a container (PyAV, which is FFmpeg in the process), and what it says of itself.

The invariant: a file meets only the demuxer that its signature promised and decoders that its caller named, it never
leads to another file, and whatever goes wrong in there is an error about it.

PyAV is an extra. It is imported late, so that without it this module still can be.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lakewatchd import errors
from lakewatchd.media import exif, files
from lakewatchd.media.ranged import RangedFile

if TYPE_CHECKING:
    from av.container import InputContainer

_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/3gpp": "mov",
    "video/x-matroska": "matroska",
    "video/webm": "matroska",
    "video/x-msvideo": "avi",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
    "video/ogg": "ogg",
    "video/x-ms-wmv": "asf",
    "video/x-dv": "dv",
    "application/mxf": "mxf",
}
"""Of films. FFmpeg has others that open further files."""

_BUFFER_BYTES = 64 << 10


@contextlib.contextmanager
def decoding(file: RangedFile) -> Iterator[None]:
    """FFmpeg's errors as ours. Hostile bytes make it raise nearly anything; a disk that failed is no damage."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as exc:
        if file.failure is not None:
            raise files.translate(file.failure) from exc
        if isinstance(exc, errors.LakewatchError):
            raise
        raise errors.DamagedMedia(f"cannot be decoded: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    return exif.clean(str(getattr(exc, "strerror", None) or exc)) or type(exc).__name__


def film_demuxer(file: RangedFile, mime: str) -> str | None:
    """As FFmpeg calls it; None for a type that is none of a film."""
    return _mpeg_flavour(file) if mime == "video/mpeg" else _DEMUXERS.get(mime)


def _mpeg_flavour(file: RangedFile) -> str:
    """Streams within a program, or one bare stream."""
    start = file.read(4)
    file.seek(0)
    return "mpeg" if start == b"\0\0\1\xba" else "mpegvideo"


def opened(
    file: RangedFile, mime: str, demuxer: str | None, decoders: frozenset[str], options: Mapping[str, str] | None = None
) -> InputContainer:
    """``options`` are for its decoders. Raises :class:`errors.UnsupportedMedia` without a demuxer for ``mime``."""
    import av

    if demuxer is None:
        raise errors.UnsupportedMedia(f"no decoder for {mime}")
    container: InputContainer = av.open(
        file,
        "r",
        format=demuxer,
        options={"threads": "1", **(options or {})},
        container_options={
            "codec_whitelist": ",".join(sorted(decoders)),
            "protocol_whitelist": "none",  # a file that names others is not followed
            "max_streams": "100",
            "ignore_chapters": "1",
        },
        metadata_errors="replace",
        buffer_size=_BUFFER_BYTES,
    )
    return container


# --- what it says of itself --------------------------------------------------------------------------------

MAX_DURATION_S = 10 * 366 * 86_400.0
_TIMES = ("com.apple.quicktime.creationdate", "creation_time", "date")
_PLACES = ("com.apple.quicktime.location.iso6709", "location")


def words(metadata: Mapping[str, str]) -> dict[str, str]:
    """Keys in lower case, values as clean lines; empty ones are left out."""
    return {key.lower(): text for key, value in metadata.items() if (text := exif.clean(value))}


def first(said: Mapping[str, str], keys: tuple[str, ...]) -> str:
    """The value of the first of ``keys`` that is there."""
    return next((said[key] for key in keys if key in said), "")


def duration_s(container: InputContainer) -> float | None:
    import av

    seconds = container.duration / av.time_base if container.duration is not None else -1.0
    return seconds if 0 <= seconds <= MAX_DURATION_S else None


def captured(said: Mapping[str, str]) -> tuple[dt.datetime | None, str]:
    """When, and by which evidence: ``container`` for wall-clock time, ``container-utc`` for that of Greenwich; None and
    empty without."""
    for key in _TIMES:
        try:
            moment = dt.datetime.fromisoformat(said.get(key, ""))
        except ValueError:
            continue
        if not 1990 <= moment.year < 2100:  # clocks that nobody set say 1904, 1970 or 1980
            continue
        is_greenwich = moment.tzinfo is not None and not moment.utcoffset()
        return moment.replace(tzinfo=None, microsecond=0), "container-utc" if is_greenwich else "container"
    return None, ""


_ISO_6709 = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)(?![\d.])", re.ASCII)


def place(said: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees."""
    match = _ISO_6709.match(first(said, _PLACES))
    if match is None:
        return None, None
    latitude, longitude = float(match[1]), float(match[2])
    is_fix = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude or longitude)
    return (round(latitude, 7), round(longitude, 7)) if is_fix else (None, None)
