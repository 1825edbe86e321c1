"""The decoder process: ``python -m lakewatchd.media.child_main``, started by :mod:`.sandbox` only.

It opens what it is told to open and answers in frames. It keeps nothing between calls but one buffer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lakewatchd.child import Blob, Json, Note, Operation, serve
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Content, Identity
from lakewatchd.core.wire import from_json
from lakewatchd.errors import UnsupportedMedia
from lakewatchd.media import decode, document, exif, wire
from lakewatchd.media.files import open_regular
from lakewatchd.media.fingerprint import Hasher
from lakewatchd.media.kinds import EMPTY, kind_of

Answer = tuple[Json, Sequence[Blob]]
CHANGED: Answer = ({"changed": True}, ())


def operations(_note: Note) -> dict[str, Operation]:
    """Loads every library now: the deadline of a call is for its file."""
    import blake3  # noqa: F401
    import numpy  # noqa: F401
    from PIL import AvifImagePlugin, Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    Image.preinit()
    hasher = Hasher()
    return {
        "identify": _or_gone(lambda args, blobs: _identify(hasher, args, *blobs)),
        "describe": _or_gone(lambda args, blobs: _describe(args, *blobs)),
    }


def _or_gone(operation: Operation) -> Operation:
    """A file that is not there is an answer, not an error: nothing is wrong with any content."""

    def answer(args: Json, blobs: tuple[bytes, ...]) -> Answer:
        try:
            return operation(args, blobs)
        except FileNotFoundError:
            return {"gone": True}, ()

    return answer


def _identify(hasher: Hasher, args: Json, root: bytes, path: bytes) -> Answer:
    """Hash everything; a file above ``at_most`` bytes only tells its size, so that it gets a deadline that fits."""
    at_most = args["at_most"]
    with open_regular(root, path) as fd:
        before = Version.of(os.fstat(fd))
        if isinstance(at_most, int) and before.size_bytes > at_most:
            return {"size_bytes": before.size_bytes}, ()
        digest = hasher.digest(fd, before.size_bytes)
        after = Version.of(os.fstat(fd))
    if after != before:
        return CHANGED
    if digest.size_bytes != before.size_bytes:
        raise UnsupportedMedia(
            f"says it has {before.size_bytes} bytes, but reading gives {'more' if digest.head else 'none'}",
            hint="virtual files, as in /proc, have no content to keep; ignore the directory",
        )
    mime, kind = kind_of(digest.head, os.fsdecode(path)) if digest.head else EMPTY
    return wire.identity_to_json(Identity(digest.hex, before, kind, mime)), ()


def _describe(args: Json, root: bytes, path: bytes, name: bytes) -> Answer:
    identity = wire.identity_from_json(args)
    config = from_json(DecodeConfig, args["config"])
    with open_regular(root, path) as fd:
        if not identity.version.is_same_as(Version.of(os.fstat(fd))):
            return CHANGED
        content, text = _decode(fd, identity, os.fsdecode(name), config)
        if not identity.version.is_same_as(Version.of(os.fstat(fd))):
            return CHANGED
    return wire.content_to_frame(content, text)


def _decode(fd: int, identity: Identity, name: str, config: DecodeConfig) -> tuple[Content, str]:
    mime = identity.mime
    if identity.kind is Kind.IMAGE:
        content = decode.describe_image(fd, mime, name, max_pixels=config.max_pixels, thumbnail_px=config.thumbnail_px)
        return content, ""
    if identity.kind is Kind.DOCUMENT and document.is_readable(mime):
        return document.describe_text(
            fd,
            mime,
            name,
            max_bytes=config.max_text_bytes,
            passage_chars=config.passage_chars,
            passage_overlap=config.passage_overlap,
        )
    problems = (f"the text of {mime} is not read yet",) if identity.kind is Kind.DOCUMENT else ()
    return Content(title=exif.title_of(name), warnings=problems), ""


if __name__ == "__main__":
    sys.exit(serve(operations))
