"""From lines that a model read somewhere in a picture to a text in the order in which a person reads.

What is no text is left out: a model that looks for letters finds some in fences, windows and gravel.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence

from lakewatchd.models.base import Line

VERSION = 1
"""Belongs to the settings of what is derived: it changes with any rule of this module."""
SURE = 0.6
"""Below it a line is more often texture than letters."""
LEAST_LETTERS = 3
"""Different ones, in a line of a picture that says anything: ``O``, ``C000`` and ``III`` are rings, coins and railings.
Letters beyond ASCII count twice: many a word has two."""
_COLUMN_LINES, _COLUMN_CHARS = 3, 12
"""What stands beside something else is a column if it has so many lines of such a length: a table has shorter ones."""
_DEEPEST = 50
"""How often a page is divided: a bound, which no page comes near."""
_GUTTER = 0.8
"""Width of the space between two columns, in heights of a line."""


def text_of(lines: Iterable[Line], shape: float = 1.0) -> str:
    """One line of text for each line on the page; empty where nothing is written. ``shape`` is width by height."""
    sure = [line for line in lines if line.score >= SURE and line.text.strip()]
    if not any(_weight(line.text) >= LEAST_LETTERS for line in sure):
        return ""
    return "\n".join(" ".join(line.text.strip() for line in row) for row in _rows(sure, shape))


def _weight(text: str) -> int:
    return sum(1 if letter.isascii() else 2 for letter in set(text.lower()) if letter.isalnum())


def _rows(lines: Sequence[Line], shape: float, depth: int = 0) -> list[list[Line]]:
    """Lines that stand beside each other make one row; columns are read one after the other.

    What has no columns from top to bottom is divided where the most space is above and below: they may be in one half.
    """
    parts: Sequence[Sequence[Line]] | None = _columns(lines, shape)
    bands = _bands(lines)
    if parts is None and (len(lines) < 2 * _COLUMN_LINES or len(bands) < 2 or depth == _DEEPEST):
        return [sorted(band, key=lambda line: line.left) for band in bands]
    if parts is None:
        gap = max(range(1, len(bands)), key=lambda i: _top(bands[i]) - _bottom(bands[i - 1]))
        parts = [[line for band in half for line in band] for half in (bands[:gap], bands[gap:])]
    return [row for part in parts for row in _rows(part, shape, depth + 1)]


def _columns(lines: Sequence[Line], shape: float) -> tuple[list[Line], list[Line]] | None:
    """Left and right of the widest space that goes from top to bottom; None if these are no two columns."""
    if len(lines) < 2 * _COLUMN_LINES:
        return None
    ordered = sorted(lines, key=lambda line: line.left)
    reach = itertools.accumulate((line.right for line in ordered), max)
    spaces = [following.left - right for right, following in zip(reach, ordered[1:], strict=False)]
    widest = max(spaces)
    if widest < _GUTTER * statistics.median(line.bottom - line.top for line in lines) / shape:
        return None
    at = spaces.index(widest) + 1
    return (ordered[:at], ordered[at:]) if _is_column(ordered[:at]) and _is_column(ordered[at:]) else None


def _is_column(lines: Sequence[Line]) -> bool:
    return len(lines) >= _COLUMN_LINES and statistics.mean(len(line.text) for line in lines) >= _COLUMN_CHARS


def _bands(lines: Sequence[Line]) -> list[list[Line]]:
    """From top to bottom, what overlaps in height by more than half of the lower of the two."""
    bands: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.top + line.bottom, line.left)):
        last = bands[-1][-1] if bands else None
        lower = min(line.bottom - line.top, last.bottom - last.top) if last else 0.0
        if last and min(line.bottom, last.bottom) - max(line.top, last.top) > lower / 2:
            bands[-1].append(line)
        else:
            bands.append([line])
    return bands


def _top(band: Sequence[Line]) -> float:
    return min(line.top for line in band)


def _bottom(band: Sequence[Line]) -> float:
    return max(line.bottom for line in band)
