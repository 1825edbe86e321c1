"""Long texts cut into passages that a model can read.

The invariant: each character that is not white space lies in at least one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NOT_SPACE = re.compile(r"\S")
_SENTENCE_END = re.compile(r"[.!?…][\"'»”’)\]]*\s|[。！？]|\n")
_SPACE = re.compile(r"\s")
_BORDERS = (re.compile(r"\n[ \t]*\n"), _SENTENCE_END, _SPACE)


def passages(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Cut ``text`` into pieces of at most ``size`` characters, each starting within ``overlap`` before the last end.

    A piece ends at the best border of its second half: paragraph, sentence, word, or just there. Pieces neither
    start nor end with white space, and none lies within another.
    """
    size = max(2, size)
    overlap = max(0, min(overlap, size // 2 - 1))
    start, told = _next_word(text, 0), 0
    while start < len(text):
        end = _end_of_piece(text, start, size)
        last = start + len(text[start:end].rstrip())
        if last > told:  # else it is what was repeated, and white space
            yield start, last
            told = last
        if end >= len(text):
            return
        start = _next_word(text, _start_of_next(text, end, overlap))


def _end_of_piece(text: str, start: int, size: int) -> int:
    if start + size >= len(text):
        return len(text)
    low, high = start + (size + 1) // 2, start + size
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(text, low, high)]
        if ends:
            return ends[-1]
    return high


def _start_of_next(text: str, end: int, overlap: int) -> int:
    """The first sentence, else the first word, that starts within ``overlap`` before ``end``."""
    for border in (_SENTENCE_END, _SPACE):
        match = border.search(text, end - overlap, end)
        if match and match.end() < end:
            return match.end()
    return end - overlap


def _next_word(text: str, at: int) -> int:
    match = _NOT_SPACE.search(text, at)
    return match.start() if match else len(text)
