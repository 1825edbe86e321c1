"""Files that belong together: a photo and its sidecar, a Live Photo, RAW and JPEG, a film and its subtitles.

Pure rules on names. What belongs together shares a directory and a stem::

    IMG_1.heic  IMG_1.mov  IMG_1.dng  IMG_1.xmp  IMG_1.heic.xmp  IMG_1.aae  IMG_O1.aae      -> IMG_1
    IMG_1.jpg.json  IMG_1.jpg.supplemental-metadata.json  IMG_1.jpg.suppl.json  IMG_1-edited.jpg     (Google Takeout)
    IMG_1(1).jpg  IMG_1.jpg(1).json  IMG_1.jpg.supplemental-metadata(1).json  -> IMG_1(1)
    film.mkv  film.srt  film.en.srt  film.pt-BR.forced.vtt                    -> film
    GX010123.MP4  GX010123.THM  GL010123.LRV                                  -> GX010123                   (GoPro)

A wrong guess costs a bounded wait and a look, so the rules may be generous: what is a part of what is judged by
:mod:`lakewatchd.stages.family`.
"""

from __future__ import annotations

import posixpath
import re

from lakewatchd.core.asset import PathKey

PRIMARY = frozenset((
    ".jpg", ".jpeg", ".heic", ".heif", ".hif", ".avif", ".png", ".tif", ".tiff", ".webp", ".gif", ".jxl",
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw",
    ".x3f", ".3fr", ".iiq", ".erf", ".mrw", ".rwl",
    ".mov", ".mp4", ".m4v", ".mkv", ".avi", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp", ".wmv", ".mp",
))  # fmt: skip
"""What people look at. ``.mp`` is the moving half of an Android motion photo."""

PROXIES = frozenset((".thm", ".lrv", ".lrf"))
"""Small versions of a film that cameras keep beside it, for their own screens."""
SUBTITLES = frozenset((".srt", ".vtt"))
SIDECARS = frozenset((".xmp", ".aae", ".json")) | SUBTITLES

TAKEOUT_CHARS = 46
"""Google Takeout cuts the name before ``.json`` at so many characters, even in the middle of an extension."""
_TAKEOUT_END = "supplemental-metadata"
_COUNTER = re.compile(r"\(\d+\)$")
_LANGUAGE = re.compile(r"(?:\.(?:[a-z]{2,3}(?:[-_][a-z]{2,4})?|forced|sdh|cc|default))+$", re.IGNORECASE)
_EDITED = re.compile(r"-edited(?=(?:\(\d+\))?$)")
_TAKEOUT_MAX = 51
"""Nor does it write a stem longer than this: other long names are whole, and differ where they differ."""
_GOPRO = re.compile(r"^G[HLX](?=\d{6}$)", re.IGNORECASE)
_APPLE_EDIT = re.compile(r"^IMG_[EO](?=\d)", re.IGNORECASE)


def group_of(path: str) -> str | None:
    """What the path shares with its companions; None for a name that has none."""
    stem, extension = posixpath.splitext(path)
    extension = extension.lower()
    if extension in PRIMARY or extension in PROXIES:
        stem = _without_extension(stem)
    elif extension in SIDECARS:
        stem = _sidecar_stem(stem, extension)
    else:
        return None
    directory, slash, name = stem.rpartition("/")
    name = _GOPRO.sub("GX", _APPLE_EDIT.sub("IMG_", _EDITED.sub("", name)))
    return f"{directory}{slash}{_as_takeout_cuts(name).casefold()}"


def family_of(key: PathKey) -> str:
    """128 bits of hex over root and group; empty for a name without companions.

    Kept with each place in the lake: other rules here need a migration there.
    """
    group = group_of(key.path)
    return "" if group is None else PathKey(key.root, group).occurrence_id


def _as_takeout_cuts(name: str) -> str:
    counter = _COUNTER.search(name)
    stem, number = (name[: counter.start()], counter.group()) if counter else (name, "")
    return stem[:TAKEOUT_CHARS] + number if len(stem) <= _TAKEOUT_MAX else name


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
