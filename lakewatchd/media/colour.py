"""Pixels of any kind as a screen shows them: 8 bit, RGB, in the colours that their profile means, on white.

Reduced before anything else is done to them, so that a profile costs the same for every picture. A broken profile
spoils no picture.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PROFILE_BYTES = 4 << 20
"""Those of printing machines have about 2 MB."""


def on_screen(image: Image, size: tuple[int, int]) -> Image:
    """RGB, reduced to ``size``."""
    said = image.info.get("icc_profile")
    profile = said if isinstance(said, bytes) and len(said) <= MAX_PROFILE_BYTES else b""
    return flat(_in_srgb(reduced(_plain(image, ("CMYK", "L", "LAB") if profile else ("LAB",)), size), profile))


def reduced(image: Image, size: tuple[int, int]) -> Image:
    """Resized, with alpha taken into account."""
    from PIL.Image import Resampling

    return image if image.size == size else image.resize(size, Resampling.BICUBIC, reducing_gap=2.0)


def flat(image: Image) -> Image:
    """Without alpha: on white."""
    from PIL import Image as Images

    if image.mode != "RGBA":
        return image
    paper = Images.new("RGBA", image.size, "white")
    return Images.alpha_composite(paper, image).convert("RGB")


def _plain(image: Image, kept: tuple[str, ...]) -> Image:
    """RGB, or RGBA where something shows through, or one of the modes that are ``kept``."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _eight_bit(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in kept else image.convert("RGB")


def _eight_bit(image: Image) -> Image:
    """16-bit grey by its high byte; 32-bit and float, which have no fixed white, stretched to their range."""
    import numpy as np
    from PIL import Image as Images

    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey = (values >> 8).astype(np.uint8)
    else:
        finite = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
        span = max(float(np.ptp(finite)), 1e-12)
        grey = ((finite - finite.min()) * (255.0 / span)).astype(np.uint8)
    return Images.fromarray(grey).convert("RGB")


_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY", "LAB": "Lab"}


def _in_srgb(image: Image, profile: bytes) -> Image:
    """RGB or RGBA. A profile that cannot be read, or is about other pixels, counts as none."""
    from PIL import ImageCms

    shown = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        if image.mode == "LAB":
            own = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif profile:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return image
        if own.profile.xcolor_space.strip() != _SPACES[image.mode]:
            return image.convert(shown)
        srgb = ImageCms.createProfile("sRGB")
        done = ImageCms.profileToProfile(image, own, srgb, outputMode=shown)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return image.convert(shown)
    return image.convert(shown) if done is None else done
