"""Which formats of pictures can be opened here: those that Pillow brings, and those that the extra ``photo`` adds.

A table of our own instead of Pillow's guessing: only the decoder that a file's signature promised ever sees it.
"""

from __future__ import annotations

import functools
import importlib.util

from lakewatchd.media import vector
from lakewatchd.media.kinds import RAW_PHOTOS

_PILLOW: dict[str, tuple[str, ...]] = {
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/gif": ("GIF",),
    "image/webp": ("WEBP",),
    "image/bmp": ("BMP",),
    "image/tiff": ("TIFF",),
    "image/avif": ("AVIF",),
    "image/jp2": ("JPEG2000",),
    "image/vnd.adobe.photoshop": ("PSD",),
    "image/vnd.microsoft.icon": ("ICO",),
    "image/x-icns": ("ICNS",),
    "image/x-tga": ("TGA",),
    "image/x-pcx": ("PCX",),
    "image/x-portable-anymap": ("PPM",),
    "image/x-qoi": ("QOI",),
    "image/x-sgi": ("SGI",),
    "image/x-dds": ("DDS",),
    "image/heic": ("HEIF",),
    "image/jxl": ("JXL",),
}
HEIF, JXL, SVG, RAW = "pillow_heif", "pylibjxl", "resvg_py", "rawpy"
"""Packages that plug into Pillow, and those that draw and develop what Pillow has no notion of: vector.py, raw.py."""
_NEEDS = {"image/heic": HEIF, "image/jxl": JXL, "image/svg+xml": SVG, **dict.fromkeys(RAW_PHOTOS, RAW)}


def pillow_names(mime: str) -> tuple[str, ...]:
    """What Pillow may take a file of this type for; nothing if it is not for Pillow."""
    return _PILLOW.get(mime, ())


def why_not(mime: str) -> str | None:
    """Why a picture of this type cannot be opened here, in words with the remedy; None if it can."""
    package = _NEEDS.get(mime)
    if package is not None and not is_installed(package):
        return f"{mime} is not read here: pip install 'lakewatchd[photo]'"
    return None if package is not None or mime in _PILLOW else f"pictures of type {mime} are not read yet"


def installed() -> dict[str, bool]:
    """For a stage's settings: what is installed later makes stale what could not be read before."""
    return {package: is_installed(package) for package in (HEIF, JXL, SVG, RAW)}


@functools.cache
def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def load() -> None:
    """Import all of it now, each with one thread per picture: there are several decoders already."""
    from PIL import (  # noqa: F401
        AvifImagePlugin,
        DdsImagePlugin,
        IcnsImagePlugin,
        IcoImagePlugin,
        Image,
        ImageCms,
        Jpeg2KImagePlugin,
        MpoImagePlugin,
        PcxImagePlugin,
        PsdImagePlugin,
        QoiImagePlugin,
        SgiImagePlugin,
        TgaImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    Image.preinit()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    for package, prepare in ((HEIF, _plug_in_heif), (JXL, _plug_in_jxl), (SVG, vector.fonts), (RAW, _import_raw)):
        if is_installed(package):
            prepare()


def _plug_in_heif() -> None:
    """Without what a file holds beside its picture: a thumbnail may show something else."""
    import pillow_heif

    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def _plug_in_jxl() -> None:
    import pylibjxl

    pylibjxl.register_pillow()


def _import_raw() -> None:
    import rawpy  # noqa: F401
