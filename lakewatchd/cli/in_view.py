"""From a file of the mounted view to its original, and from an original to where the view really shows it.

Asks the mount by extended attributes. Where it is not mounted, or does not answer for this user, nothing is changed:
the names are then those that the file gets unless another one has them.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from lakewatchd.config import Config
from lakewatchd.core.asset import path_text, text_path
from lakewatchd.core.status import Explanation

_ASSET, _ORIGIN = "user.lakewatchd.asset", "user.lakewatchd.origin"
_MOST_DIGITS = 12


def origin_of(path: Path, mountpoint: Path) -> str:
    """The original of a file of the view, a path or ``s3://bucket/key``; any other path is itself."""
    if not path.is_relative_to(mountpoint):
        return str(path)
    try:
        return os.fsdecode(os.getxattr(path, _ORIGIN))
    except OSError:
        return str(path)


def place_named(text: str, settings: Config) -> str:
    """What a person wrote where a place is asked for, as :func:`~lakewatchd.core.asset.path_text` has it: a file, one
    of the view, ``s3://bucket/key``, or ``root:path`` as our own messages write it."""
    if text.startswith("s3://"):
        return path_text(text)
    is_place = any(text.startswith(f"{root.name}:") for root in settings.all_roots)
    # Not resolved: a symbolic link is a place of its own, and the daemon knows places.
    path = Path(text).absolute()
    return text if is_place and not os.path.lexists(path) else path_text(origin_of(path, settings.view.mountpoint))


def shown_at(told: Explanation, mountpoint: Path) -> Explanation:
    """With whole paths, each the one under which the mounted view shows the asset."""
    if not told.view:
        return told
    is_mounted = os.path.ismount(mountpoint)
    paths = (_actual(mountpoint / text_path(place), told.asset) if is_mounted else mountpoint / text_path(place)
             for place in told.view)  # fmt: skip
    return dataclasses.replace(told, view=tuple(path_text(str(path)) for path in paths))


def _actual(path: Path, asset: str) -> Path:
    """A name that clashes with another gets a few digits of its asset or place; these are tried by asking for each."""
    if _is(path, asset):
        return path
    from lakewatchd.views.mounted.names import suffixed

    for digits in range(4, _MOST_DIGITS):
        other = path.with_name(os.fsdecode(suffixed(os.fsencode(path.name), asset, digits)))
        if _is(other, asset):
            return other
    return path


def _is(path: Path, asset: str) -> bool:
    try:
        return os.getxattr(path, _ASSET).decode() == asset
    except OSError:
        return False
