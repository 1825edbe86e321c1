"""Which decoder reads which file: a table to read. Runs in the decoder process only."""

from __future__ import annotations

import dataclasses

from lakewatchd.core.asset import Kind
from lakewatchd.core.content import DESCRIBE, Content, Sound, Task
from lakewatchd.errors import UnsupportedMedia
from lakewatchd.media import archives, clips, decode, document, exif, formats, near, sidecar, tabular, vector, video
from lakewatchd.media import sound as audio
from lakewatchd.media.kinds import ARCHIVES
from lakewatchd.media.original import Original

Described = tuple[Content, str]
"""And the whole text, of which :attr:`Content.passages` are slices."""


READABLE = vector.FONT_DIRS
"""What decoders may read besides the roots."""


def load() -> None:
    """Every library that a decoder here uses: once the process is confined, no code can be loaded."""
    import defusedxml.ElementTree  # noqa: F401
    import numpy  # noqa: F401

    formats.load()
    tabular.load()
    archives.load()
    if video.is_available():
        video.load()
    document.load()


def describe(original: Original, task: Task) -> Described:
    """What ``task`` asks for. Raises ``UnsupportedMedia`` where no decoder does that with such a file."""
    content, text = _decoded(original, task)
    if task == DESCRIBE:
        content = dataclasses.replace(content, signature=near.of_content(original.identity.kind, content, text))
    return content, text


def _decoded(original: Original, task: Task) -> Described:
    match task.name, original.identity.kind:
        case "describe", Kind.IMAGE:
            return _picture(original), ""
        case "describe", Kind.VIDEO:
            return _film(original)
        case "clips", Kind.VIDEO if video.is_available():
            return clips.describe_clips(original.ranged(), original.mime, max_pixels=original.config.max_pixels), ""
        case "describe", Kind.AUDIO:
            return _sound(original)
        case "legible", Kind.IMAGE:
            return _legible(original, task), ""
        case "describe", Kind.TABLE:
            return tabular.describe(original)
        case "describe", Kind.DOCUMENT:
            with original.stream() as stream:
                return document.describe_document(stream, original.mime, original.name, original.config)
        case "describe", _ if sidecar.is_readable(original.mime):
            with original.stream() as stream:
                return sidecar.describe_sidecar(stream, original.mime), ""
        case "describe", Kind.OTHER if original.mime in ARCHIVES:
            return archives.describe(original)
        case "describe", _:
            return Content(title=exif.title_of(original.name)), ""
        case "legible", Kind.DOCUMENT:
            with original.stream() as stream:
                return document.legible(stream, original.mime, task), ""
    raise UnsupportedMedia(f"no decoder does {task.name!r} with {original.mime}")


def sound(original: Original, start_s: float, end_s: float) -> Sound:
    """What is to be heard of it. Raises as :func:`describe`."""
    if not video.is_available():
        raise UnsupportedMedia(audio.NOT_INSTALLED)
    return audio.read_sound(original.ranged(), original.mime, start_s, end_s)


def _picture(original: Original) -> Content:
    config = original.config
    with original.stream() as stream:
        return decode.describe_image(
            stream, original.mime, original.name, max_pixels=config.max_pixels, thumbnail_px=config.thumbnail_px
        )


def _legible(original: Original, task: Task) -> Content:
    with original.stream() as stream:
        max_pixels = original.config.max_pixels
        return decode.read_image(stream, original.mime, first=task.first, count=task.count, max_pixels=max_pixels)


def _film(original: Original) -> Described:
    """A container of films that holds only sound is described as such."""
    if not video.is_available():
        return Content(title=exif.title_of(original.name), warnings=(video.NOT_INSTALLED,)), ""
    file, config = original.ranged(at_most=video.AT_MOST_BYTES), original.config
    content = video.describe_video(
        file, original.mime, original.name, max_pixels=config.max_pixels, thumbnail_px=config.thumbnail_px
    )
    return _sound(original) if video.ONLY_SOUND in content.warnings else (content, "")


def _sound(original: Original) -> Described:
    if not video.is_available():
        return Content(title=exif.title_of(original.name), warnings=(audio.NOT_INSTALLED,)), ""
    file, config = original.ranged(at_most=audio.AT_MOST_BYTES), original.config
    return audio.describe_sound(
        file,
        original.mime,
        original.name,
        max_pixels=config.max_pixels,
        thumbnail_px=config.thumbnail_px,
        passage_chars=config.passage_chars,
        passage_overlap=config.passage_overlap,
    )
