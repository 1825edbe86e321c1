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
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from lakewatchd.child import Blob, Json, Operation, Parent, arguments, serve
from lakewatchd.config import DecodeConfig
from lakewatchd.confine import confine
from lakewatchd.core.asset import Version
from lakewatchd.core.content import Identity, Sample, Task
from lakewatchd.core.status import Layer
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import DamagedMedia, LakewatchError, TooLarge, UnsupportedMedia
from lakewatchd.media import dispatch, exif, files, fingerprint, wire
from lakewatchd.media.files import OutOfReach, open_regular
from lakewatchd.media.fingerprint import Hasher
from lakewatchd.media.kinds import EMPTY, kind_of
from lakewatchd.media.original import Original

Answer = tuple[Json, Sequence[Blob]]
CHANGED: Answer = ({"changed": True}, ())
GONE: Answer = ({"gone": True}, ())
OUT_OF_REACH: Answer = ({"out_of_reach": True}, ())


def operations(parent: Parent) -> dict[str, Operation]:
    _load_libraries()
    hasher = Hasher()
    parent.note({"layers": [to_json(layer) for layer in _confine(arguments())]})
    return {
        "identify": _guarded(lambda args, blobs: _identify(hasher, args, *blobs)),
        "sample": _guarded(lambda args, blobs: _sample(*blobs)),
        "describe": _guarded(lambda args, blobs: _describe(parent, args, *blobs)),
        "sound": _guarded(lambda args, blobs: _sound(parent, args, *blobs)),
    }


def _load_libraries() -> None:
    """All of them and now: afterwards no code can be loaded, and the deadline of a call is for its file."""
    import blake3  # noqa: F401

    dispatch.load()
    time.localtime()  # reads the zone, which cannot be read later


def _confine(roots: list[str]) -> tuple[Layer, ...]:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # what libraries print of a file would be forged lines in the daemon's log
    os.close(silence)
    layers = confine([*roots, *dispatch.READABLE])
    if not all(layer.holds for layer in layers):  # the next best: no more processes, nor threads, except for root
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return layers


def _guarded(operation: Operation) -> Operation:
    """Not there, or out of reach, is an answer: nothing is wrong with any content. A bug here is about this file."""

    def answer(args: Json, blobs: tuple[bytes, ...]) -> Answer:
        _allow_cpu(args["deadline_s"])
        try:
            return operation(args, blobs)
        except _Changed:
            return CHANGED
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


def _describe(parent: Parent, args: Json, root: bytes, path: bytes, name: bytes) -> Answer:
    task = from_json(Task, args["task"])
    with _opened(parent, args, root, path, os.fsdecode(name)) as original:
        return CHANGED if original is None else wire.content_to_frame(*dispatch.describe(original, task))


def _sound(parent: Parent, args: Json, root: bytes, path: bytes) -> Answer:
    start_s, end_s = (float(str(args[name])) for name in ("start_s", "end_s"))
    with _opened(parent, args, root, path, "") as original:
        return CHANGED if original is None else wire.sound_to_frame(dispatch.sound(original, start_s, end_s))


class _Changed(Exception):
    """While it was being decoded."""


@contextlib.contextmanager
def _opened(parent: Parent, args: Json, root: bytes, path: bytes, name: str) -> Iterator[Original | None]:
    """The file while it is the version that is asked for, else None. Raises :class:`_Changed` if it was, but is not any
    more when all was read."""
    identity, is_supplied = wire.identity_from_json(args), args["is_supplied"] is True

    def is_here(fd: int) -> bool:
        if is_supplied:  # it is being filled, so its times move; that it holds this content is its supplier's word
            return os.fstat(fd).st_size == identity.version.size_bytes
        return identity.version.is_same_as(Version.of(os.fstat(fd)))

    def need(start: int, end: int) -> bool:
        return parent.ask({"need": [start, end]})["have"] is True

    with open_regular(root, path) as fd:
        config = from_json(DecodeConfig, args["config"])
        yield Original(fd, identity, name, config, need if is_supplied else None) if is_here(fd) else None
        if not is_here(fd):
            raise _Changed


if __name__ == "__main__":
    sys.exit(serve(operations))
