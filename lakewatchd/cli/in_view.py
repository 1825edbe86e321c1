"""From a file of the mounted view to its original, and from an original to where the view really shows it.

Asks the mount by extended attributes. Where it is not mounted, or does not answer for this user, nothing is changed:
the names are then those that the file gets unless another one has them.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from lakewatchd.core.asset import path_text, text_path
from lakewatchd.core.status import Explanation

_ASSET, _ORIGIN = "user.lakewatchd.asset", "user.lakewatchd.origin"
_MOST_DIGITS = 12


def origin_of(path: Path, mountpoint: Path) -> Path:
    """The original of a file of the view; any other path is itself."""
    if not path.is_relative_to(mountpoint):
        return path
    try:
        return Path(os.fsdecode(os.getxattr(path, _ORIGIN)))
    except OSError:
        return path


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
    from lakewatchd.views.names import suffixed

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
