"""What decoders answer, as frames: JSON for facts, raw blobs for pixels, thumbnail and text.

The reader trusts nothing: a decoder that a hostile file has taken over must not get more through than wrong
values of the right shape. ``ValueError`` says that an answer has not even that.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Sequence

from lakewatchd.child import Blob, Json, Reply
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Content, Frame, Identity, Passage, Picture, Sample, Sound

_SPAN = struct.Struct("<QQIdd")
"""Of a passage: its characters, its page or 0, and when it is said or twice NaN."""
_HEX = frozenset("0123456789abcdef")
_MAX_SIGNATURE_BYTES = 64 << 10
_OPTIONAL: tuple[tuple[str, type], ...] = (
    ("width", int),
    ("height", int),
    ("duration_s", float),
    ("picture_at_s", float),
    ("latitude", float),
    ("longitude", float),
    ("phash", int),
    ("pages", int),
)
_MOST = {"phash": (1 << 64) - 1, "latitude": 90.0, "longitude": 180.0}
"""Either way; else :data:`_MOST_OF_ANYTHING`. The lake keeps 64 bits with a sign."""
_MOST_OF_ANYTHING = 1 << 53


def identity_to_json(identity: Identity) -> Json:
    version = identity.version
    return {
        "asset": identity.asset_id,
        "version": _numbers(version),
        "kind": identity.kind.value,
        "mime": identity.mime,
        "sample": identity.sample,
    }


def sample_to_json(sample: Sample) -> Json:
    return {"sample": sample.hex, "version": _numbers(sample.version)}


def sample_from_json(header: Json) -> Sample:
    return Sample(_sample(header), _version(header.get("version")))


def _numbers(version: Version) -> list[int]:
    return [version.size_bytes, version.mtime_ns, version.inode, version.device, version.ctime_ns]


def identity_from_json(header: Json) -> Identity:
    asset, mime, kind = (_text(header, name) for name in ("asset", "mime", "kind"))
    if len(asset) != 64 or not _HEX.issuperset(asset) or len(mime) > 200:
        raise ValueError("not an identity")
    return Identity(asset, _version(header.get("version")), Kind(kind), mime, _sample(header))


def _sample(header: Json) -> str:
    sample = _text(header, "sample")
    if len(sample) not in (0, 32) or not _HEX.issuperset(sample):
        raise ValueError("not a sample")
    return sample


def _version(numbers: object) -> Version:
    match numbers:
        case [int(size), int(mtime_ns), int(inode), int(device), int(ctime_ns)]:
            return Version(size, mtime_ns, inode, device, ctime_ns)
    raise ValueError("not a version")


def content_to_frame(content: Content, text: str) -> tuple[Json, Sequence[Blob]]:
    """``text`` is the whole document; passages travel as offsets into it, so that overlaps are sent once."""
    picture, taken = content.picture, content.captured_at
    header: Json = {name: getattr(content, name) for name, _ in _OPTIONAL}
    header |= {
        "captured_at": taken.isoformat() if taken else "",
        "captured_from": content.captured_from,
        "camera": content.camera,
        "title": content.title,
        "language": content.language,
        "author": content.author,
        "frames": [_frame_to_json(frame) for frame in content.frames],
        "exif": content.exif,
        "warnings": content.warnings,
        "picture": [picture.width, picture.height] if picture else None,
        "has_thumbnail": content.thumbnail is not None,
    }
    spans = b"".join(map(_packed, content.passages))
    pixels = picture.pixels if picture else b""
    frames = (frame.picture.pixels for frame in content.frames)
    fixed = (pixels, content.thumbnail or b"", text.encode("utf-8", "replace"), spans, content.signature or b"")
    return header, (*fixed, *frames)


def _frame_to_json(frame: Frame) -> list[object]:
    size = (frame.picture.width, frame.picture.height)
    return [*size, frame.page, frame.start_s, frame.end_s, frame.phash]


def content_from_reply(reply: Reply) -> Content:
    header, blobs = reply.header, reply.blobs
    if len(blobs) < 5:
        raise ValueError("five blobs expected")
    pixels, thumbnail, raw_text, spans, signature, *others = blobs
    if len(signature) > _MAX_SIGNATURE_BYTES:
        raise ValueError("too long a signature")
    text = raw_text.decode()
    taken = _text(header, "captured_at")
    values = {name: _optional(header, name, kind) for name, kind in _OPTIONAL}
    return Content(
        **values,  # type: ignore[arg-type]  # each was just checked against its type
        captured_at=dt.datetime.fromisoformat(taken).replace(tzinfo=None) if taken else None,
        captured_from=_text(header, "captured_from"),
        camera=_text(header, "camera"),
        title=_text(header, "title"),
        language=_text(header, "language"),
        author=_text(header, "author"),
        frames=_frames(_list(header, "frames"), others),
        signature=signature or None,
        exif=tuple(_pair(item) for item in _list(header, "exif")),
        warnings=tuple(_short(item, "warnings") for item in _list(header, "warnings")),
        text_chars=len(text),
        picture=_picture(header.get("picture"), pixels),
        thumbnail=thumbnail if header.get("has_thumbnail") else None,
        passages=_passages(text, spans),
    )


def _picture(size: object, pixels: bytes) -> Picture | None:
    if size is None:
        return None
    match size:
        case [int(width), int(height)] if width > 0 and height > 0 and width * height * 3 == len(pixels):
            return Picture(width, height, pixels)
    raise ValueError("not a picture")


def _frames(said: list[object], pixels: Sequence[bytes]) -> tuple[Frame, ...]:
    if len(said) != len(pixels):
        raise ValueError("another number of frames")
    return tuple(_frame(facts, blob) for facts, blob in zip(said, pixels, strict=True))


def _frame(facts: object, pixels: bytes) -> Frame:
    match facts:
        case [int(), int(), page, start_s, end_s, phash]:
            said: Json = {"page": page, "start_s": start_s, "end_s": end_s, "phash": phash}
            numbers = {"page": int, "start_s": float, "end_s": float, "phash": int}
            values = {name: _optional(said, name, kind) for name, kind in numbers.items()}
            picture = _picture(facts[:2], pixels)
            assert picture is not None
            return Frame(picture, **values)  # type: ignore[arg-type]  # each was just checked against its type
    raise ValueError("not a frame")


def sound_to_frame(sound: Sound) -> tuple[Json, Sequence[Blob]]:
    return {"rate": sound.rate, "start_s": sound.start_s, "is_last": sound.is_last}, (sound.samples,)


def sound_from_reply(reply: Reply) -> Sound:
    match reply.header, reply.blobs:
        case {"rate": int(rate), "start_s": float(start_s), "is_last": bool(is_last)}, (samples,) if (
            rate > 0 and math.isfinite(start_s) and len(samples) % 2 == 0
        ):
            return Sound(samples, rate, start_s, is_last)
    raise ValueError("not a sound")


def _passages(text: str, spans: bytes) -> tuple[Passage, ...]:
    """A span must lie within the text; slicing makes every other one empty, and that is refused."""
    if len(spans) % _SPAN.size:
        raise ValueError("not spans")
    found = tuple(
        Passage(text[start:end], start, end, page or None, *_times(start_s, end_s))
        for start, end, page, start_s, end_s in _SPAN.iter_unpack(spans)
    )
    if not all(passage.end - passage.start == len(passage.text) > 0 for passage in found):
        raise ValueError("spans outside of the text")
    return found


def _packed(passage: Passage) -> bytes:
    times = (math.nan if time is None else time for time in (passage.start_s, passage.end_s))
    return _SPAN.pack(passage.start, passage.end, passage.page or 0, *times)


def _times(start_s: float, end_s: float) -> tuple[float | None, float | None]:
    return (start_s, end_s) if math.isfinite(start_s) and math.isfinite(end_s) else (None, None)


def _optional(header: Json, name: str, kind: type) -> int | float | None:
    value = header.get(name)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{name}: {kind.__name__} expected")
    if not abs(value) <= _MOST.get(name, _MOST_OF_ANYTHING) or (isinstance(value, int) and value < 0):
        raise ValueError(f"{name}: out of range")
    return value


def _text(header: Json, name: str) -> str:
    return _short(header.get(name), name)


def _short(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > 4096:
        raise ValueError(f"{name}: text expected")
    value.encode()  # lone surrogates cannot be stored; UnicodeEncodeError is a ValueError
    return value


def _pair(item: object) -> tuple[str, str]:
    match item:
        case [str(key), str(value)] if len(key) + len(value) <= 4096:
            (key + value).encode()
            return key, value
    raise ValueError("a pair of texts expected")


def _list(header: Json, name: str) -> list[object]:
    value = header.get(name)
    if not isinstance(value, list) or len(value) > 1024:
        raise ValueError(f"{name}: short list expected")
    return value
