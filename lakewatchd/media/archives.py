"""Which archives are listed, and by whom."""

from __future__ import annotations

from lakewatchd.core.content import Content
from lakewatchd.media import exif
from lakewatchd.media.archive import streamed, zipped
from lakewatchd.media.archive.members import Texts
from lakewatchd.media.kinds import ARCHIVES, PACKED, ZIP
from lakewatchd.media.original import Original


def load() -> None:
    import zipfile  # noqa: F401

    if streamed.is_available():
        streamed.load()


def describe(original: Original) -> tuple[Content, str]:
    """What is in an archive. One that cannot be listed, or not to its end, is told of as far as it goes."""
    if original.mime != ZIP and not streamed.is_available():
        return Content(title=exif.title_of(original.name), warnings=(streamed.NOT_INSTALLED,)), ""
    config = original.config
    texts = Texts(config) if config.archive_members else None
    with original.stream() as stream:
        if original.mime == ZIP:
            found = zipped.list_zip(stream, texts)
        else:
            is_packed = original.mime in PACKED
            found = streamed.list_members(stream, ARCHIVES[original.mime], is_packed=is_packed, texts=texts)
    content, text = found.to_content(original.name, config.passage_chars, config.passage_overlap)
    return texts.added_to(content, text) if texts is not None else (content, text)
