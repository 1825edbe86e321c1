"""A queue database that cannot be read is moved aside, not deleted: a rescan replaces it, a person may look at it.

::

    queue.db ──condemn──► queue.db.damaged-20250101-120000/condemned.txt ──set_aside──► file and log move in there

Condemning only says so, which works in the middle of anything. The next start does the moving, the database itself
last: cut off half-way, the start after that goes on with it. Invariant: a log never meets another file than its own.
"""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

KEEP = 3
"""So many damaged databases are kept, the newest."""

_CONDEMNED, _WHY = "condemned.txt", "why.txt"
"""The first becomes the second when all is moved."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One database that was moved aside. ``at`` is in words, by the wall clock, UTC."""

    directory: Path
    at: str
    why: str


def condemn(path: Path, why: str, now: float) -> None:
    """From now on the database at ``path`` is to be moved aside before anybody opens it. Raises ``OSError``."""
    if _condemned(path) is not None:
        return
    while (directory := _named(path, now)).exists():
        now += 1
    directory.mkdir()
    (directory / _CONDEMNED).write_text(why + "\n")


def set_aside(path: Path) -> Damage | None:
    """Moves a condemned database away and forgets the oldest of them; None if there is none. Raises ``OSError``."""
    directory = _condemned(path)
    if directory is None:
        return None
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(directory / part.name)
    (directory / _CONDEMNED).replace(directory / _WHY)
    for old in [place for place in _directories(path) if place != directory][KEEP - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return _damage(path, directory)


def damages(path: Path) -> list[Damage]:
    """What was moved aside and is still kept, the newest first."""
    return [_damage(path, directory) for directory in _directories(path) if (directory / _WHY).exists()]


def _condemned(path: Path) -> Path | None:
    """Where the database at ``path`` is still to be moved to."""
    return next((place for place in _directories(path) if (place / _CONDEMNED).exists()), None)


def _named(path: Path, at: float) -> Path:
    return path.with_name(f"{path.name}.damaged-{dt.datetime.fromtimestamp(at, dt.UTC):%Y%m%d-%H%M%S}")


def _directories(path: Path) -> list[Path]:
    return sorted((place for place in path.parent.glob(f"{path.name}.damaged-*") if place.is_dir()), reverse=True)


def _damage(path: Path, directory: Path) -> Damage:
    stamp = directory.name.removeprefix(f"{path.name}.damaged-")
    try:
        at = dt.datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        at = stamp
    try:
        why = (directory / _WHY).read_text(errors="replace").strip()
    except OSError:
        why = "unknown"
    return Damage(directory, at, why)
