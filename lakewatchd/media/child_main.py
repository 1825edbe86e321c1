"""The decoder process: ``python -m lakewatchd.media.child_main``, started by :mod:`.sandbox` only.

It loads its libraries, confines itself to reading below the roots it was started with, and only then opens
what it is told to and answers in frames. It keeps nothing between calls but one buffer.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import sys
import sysconfig
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from lakewatchd.child import Blob, Json, Note, Operation, arguments, serve
from lakewatchd.config import DecodeConfig
from lakewatchd.confine import confine
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Content, Identity, Sample
from lakewatchd.core.status import Layer
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import DamagedMedia, LakewatchError, TooLarge, UnsupportedMedia
from lakewatchd.media import decode, document, exif, files, fingerprint, wire
from lakewatchd.media.files import OutOfReach, open_regular
from lakewatchd.media.fingerprint import Hasher
from lakewatchd.media.kinds import EMPTY, kind_of

Answer = tuple[Json, Sequence[Blob]]
CHANGED: Answer = ({"changed": True}, ())
GONE: Answer = ({"gone": True}, ())
OUT_OF_REACH: Answer = ({"out_of_reach": True}, ())


def operations(note: Note) -> dict[str, Operation]:
    _load_libraries()
    hasher = Hasher()
    note({"layers": [to_json(layer) for layer in _confine(arguments())]})
    return {
        "identify": _guarded(lambda args, blobs: _identify(hasher, args, *blobs)),
        "sample": _guarded(lambda args, blobs: _sample(*blobs)),
        "describe": _guarded(lambda args, blobs: _describe(args, *blobs)),
    }


def _load_libraries() -> None:
    """All of them and now: afterwards no code can be loaded, and the deadline of a call is for its file."""
    import blake3  # noqa: F401
    import numpy  # noqa: F401
    from PIL import AvifImagePlugin, Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    Image.preinit()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there are several decoders already


def _confine(roots: list[str]) -> tuple[Layer, ...]:
    """Roots, and Python's own directories, as a codec may be looked up later; a root that is away is left out."""
    library = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    with contextlib.ExitStack() as held:
        folders = []
        for place in (*roots, *sorted(library), str(Path(__file__).parents[1])):
            with contextlib.suppress(OSError):
                folders.append(os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
                held.callback(os.close, folders[-1])
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)  # what libraries print of a file would be forged lines in the daemon's log
        os.close(silence)
        layers = confine(folders)
    if not all(layer.holds for layer in layers):  # the next best: no more processes, nor threads, except for root
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return layers


def _guarded(operation: Operation) -> Operation:
    """Not there, or out of reach, is an answer: nothing is wrong with any content. A bug here is about this file."""

    def answer(args: Json, blobs: tuple[bytes, ...]) -> Answer:
        _allow_cpu(args["deadline_s"])
        try:
            return operation(args, blobs)
        except FileNotFoundError:
            return GONE
        except OutOfReach:
            return OUT_OF_REACH
        except (LakewatchError, MemoryError):
            raise
        except Exception as exc:
            where = traceback.extract_tb(exc.__traceback__)[-1]
            words = f"{type(exc).__name__} in {Path(where.filename).name}:{where.lineno}: {exif.clean(str(exc))}"
            raise DamagedMedia(f"the decoder failed: {words}") from exc

    return answer


def _allow_cpu(deadline_s: object) -> None:
    """No call works longer than it may take. The daemon watches that too, but it may sleep or be stopped itself."""
    if isinstance(deadline_s, (int, float)):
        _, at_most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + deadline_s) + 1, at_most))


def _identify(hasher: Hasher, args: Json, root: bytes, path: bytes) -> Answer:
    """Hash everything; a file above ``at_most`` bytes only tells its size, so that it gets a deadline that fits."""
    at_most = args["at_most"]
    with open_regular(root, path) as fd:
        before = Version.of(os.fstat(fd))
        if isinstance(at_most, int) and before.size_bytes > at_most:
            return {"size_bytes": before.size_bytes}, ()
        _require_substance(fd, before.size_bytes)
        digest = hasher.digest(fd, before.size_bytes)
        sampled = fingerprint.sample(fd, before.size_bytes)
        after = Version.of(os.fstat(fd))
    if not after.is_like(before):  # a new owner or link meanwhile is seen by the next look: what is kept is ``before``
        return CHANGED
    if digest.size_bytes != before.size_bytes:
        raise UnsupportedMedia(
            f"says it has {before.size_bytes} bytes, but reading gives {'more' if digest.head else 'none'}",
            hint="virtual files, as in /proc, have no content to keep; ignore the directory",
        )
    mime, kind = kind_of(digest.head, os.fsdecode(path)) if digest.head else EMPTY
    return wire.identity_to_json(Identity(digest.hex, before, kind, mime, sampled)), ()


def _sample(root: bytes, path: bytes) -> Answer:
    with open_regular(root, path) as fd:
        before = Version.of(os.fstat(fd))
        sampled = fingerprint.sample(fd, before.size_bytes)
        if not Version.of(os.fstat(fd)).is_like(before):
            return CHANGED
    return wire.sample_to_json(Sample(sampled, before)), ()


_MOST_HOLES_BYTES = 16 << 30
"""Of zeros that nobody wrote. To hash so many takes seconds; a sparse file may promise hours of them for free."""


def _require_substance(fd: int, size_bytes: int) -> None:
    if size_bytes > _MOST_HOLES_BYTES and (holes := files.hole_bytes(fd, size_bytes)) > _MOST_HOLES_BYTES:
        raise TooLarge(
            f"a sparse file: of {size_bytes} bytes nobody ever wrote {holes}",
            hint="leave it out with a .lakeignore file; if it is a disk image, its files can be copied out of it",
        )


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
