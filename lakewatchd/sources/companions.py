"""Files that belong together: a photo and its sidecar, a Live Photo, RAW and JPEG, a film and its subtitles.

Pure rules on names, and the bookkeeping of who waits for whom. What belongs together shares a directory and a stem::

    IMG_1.heic  IMG_1.mov  IMG_1.dng  IMG_1.xmp  IMG_1.heic.xmp  IMG_1.aae  IMG_O1.aae      -> IMG_1
    IMG_1.jpg.json  IMG_1.jpg.supplemental-metadata.json  IMG_1.jpg.suppl.json  IMG_1-edited.jpg     (Google Takeout)
    IMG_1(1).jpg  IMG_1.jpg(1).json  IMG_1.jpg.supplemental-metadata(1).json  -> IMG_1(1)
    film.mkv  film.srt  film.en.srt  film.pt-BR.forced.vtt                    -> film

A wrong guess costs a bounded wait, so the rules may be generous.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable

from lakewatchd.core.asset import PathKey

PRIMARY = frozenset((
    ".jpg", ".jpeg", ".heic", ".heif", ".hif", ".avif", ".png", ".tif", ".tiff", ".webp", ".gif", ".jxl",
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw",
    ".x3f", ".3fr", ".iiq", ".erf", ".mrw", ".rwl",
    ".mov", ".mp4", ".m4v", ".mkv", ".avi", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp", ".wmv", ".mp",
))  # fmt: skip
"""What people look at. ``.mp`` is the moving half of an Android motion photo."""

SUBTITLES = frozenset((".srt", ".vtt"))
SIDECARS = frozenset((".xmp", ".aae", ".json")) | SUBTITLES

TAKEOUT_CHARS = 46
"""Google Takeout cuts the name before ``.json`` at so many characters, even in the middle of an extension."""
_TAKEOUT_END = "supplemental-metadata"
_COUNTER = re.compile(r"\(\d+\)$")
_LANGUAGE = re.compile(r"(?:\.(?:[a-z]{2,3}(?:[-_][a-z]{2,4})?|forced|sdh|cc|default))+$", re.IGNORECASE)
_EDITED = re.compile(r"-edited(?=(?:\(\d+\))?$)")
_APPLE_EDIT = re.compile(r"^IMG_[EO](?=\d)", re.IGNORECASE)


def group_of(path: str) -> str | None:
    """What the path shares with its companions; None for a name that has none."""
    stem, extension = posixpath.splitext(path)
    extension = extension.lower()
    if extension in PRIMARY:
        stem = _without_extension(stem)
    elif extension in SIDECARS:
        stem = _sidecar_stem(stem, extension)
    else:
        return None
    directory, slash, name = stem.rpartition("/")
    name = _APPLE_EDIT.sub("IMG_", _EDITED.sub("", name))
    return f"{directory}{slash}{name[:TAKEOUT_CHARS].casefold()}"


def is_sidecar(path: str) -> bool:
    return posixpath.splitext(path)[1].lower() in SIDECARS


def _sidecar_stem(stem: str, extension: str) -> str:
    if extension == ".json":
        return _takeout_stem(stem)
    if extension in SUBTITLES:
        stem = _LANGUAGE.sub("", stem)
    return _without_extension(stem)


def _takeout_stem(stem: str) -> str:
    counter = _COUNTER.search(stem)
    if counter:
        stem = stem[: counter.start()]
    head, dot, tail = stem.rpartition(".")
    if dot and _TAKEOUT_END.startswith(tail.lower()):
        stem = head
    stem = _without_extension(stem, may_be_cut=len(stem.rpartition("/")[2]) >= TAKEOUT_CHARS - 4)
    return stem + (counter.group() if counter else "")


def _without_extension(stem: str, *, may_be_cut: bool = False) -> str:
    """Without those of pictures and films at its end: ``PXL_1.MP.jpg`` has two. ``may_be_cut``: or a part of one."""
    while True:
        head, extension = posixpath.splitext(stem)
        extension = extension.lower()
        if extension not in PRIMARY and not (
            may_be_cut and extension and any(p.startswith(extension) for p in PRIMARY)
        ):
            return stem
        stem = head


class Groups:
    """Paths that settle, by group. A path is in at most one of the two sets of its group."""

    def __init__(self) -> None:
        self._stirring: defaultdict[str, set[PathKey]] = defaultdict(set)
        self._quiet: defaultdict[str, set[PathKey]] = defaultdict(set)

    def stir(self, group: str, key: PathKey) -> None:
        """It is not quiet yet, or not any more."""
        self._drop(self._quiet, group, key)
        self._stirring[group].add(key)

    def rest(self, group: str, key: PathKey) -> None:
        """It is quiet."""
        self._drop(self._stirring, group, key)
        self._quiet[group].add(key)

    def leave(self, group: str, key: PathKey) -> None:
        """It has gone: nobody waits for it."""
        self._drop(self._stirring, group, key)
        self._drop(self._quiet, group, key)

    def stirs(self, group: str) -> bool:
        """Somebody of the group is not quiet yet."""
        return group in self._stirring

    def quiet(self, group: str) -> Iterable[PathKey]:
        return tuple(self._quiet.get(group, ()))

    def take(self, group: str) -> list[PathKey]:
        """All that are quiet, sidecars first: whoever takes up the photo finds them known."""
        return sorted(self._quiet.pop(group, ()), key=lambda key: (not is_sidecar(key.path), key))

    def clear(self) -> None:
        self._stirring.clear()
        self._quiet.clear()

    @staticmethod
    def _drop(sets: defaultdict[str, set[PathKey]], group: str, key: PathKey) -> None:
        members = sets.get(group)
        if members is not None:
            members.discard(key)
            if not members:
                del sets[group]
