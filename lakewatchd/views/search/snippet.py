"""A line of a passage around the words that were looked for.

The line shows as many different ones as fit, whole words, and marks each. Invariant: plain text on one line, at most
:data:`MAX_CHARS` without the marks, whatever the passage holds; without the marks and the dots it is a part of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lakewatchd.core.found import MARK_CLOSES, MARK_OPENS

MAX_CHARS = 160
_READ_CHARS = 20_000
"""Of a passage."""
_STEM = 4
"""Letters that two words must share at their beginning to be forms of one, where they differ in an ending."""
_HEAD = 2
"""Letters that all forms of a word have in common at least."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\s]+")
_WORD = re.compile(r"\w+(?:['’]\w+)?")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_NO_SPACES = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts that put no spaces between words."""


def snippet(text: str, words: Sequence[str], phrases: Sequence[str] = ()) -> str:
    """The best line of ``text``; its beginning where none of the words is in it."""
    line = _UNSAFE.sub(" ", text[:_READ_CHARS]).strip()
    matches = find(line, words, phrases)
    start = _best_start(line, matches)
    end = min(len(line), start + MAX_CHARS)
    if end < len(line) and " " in line[start:end]:
        end = start + line[start:end].rindex(" ")
    shown = []
    at = start
    for first, last, _ in matches:
        if first >= at and last <= end:
            shown += [line[at:first], MARK_OPENS, line[first:last], MARK_CLOSES]
            at = last
    shown.append(line[at:end])
    return ("…" if start else "") + "".join(shown).strip() + ("…" if end < len(line) else "")


def find(line: str, words: Sequence[str], phrases: Sequence[str] = ()) -> list[tuple[int, int, str]]:
    """Where the words are (from, to, which), in order, none overlapping. Case, accents and endings do not matter."""
    folded = fold(line)
    if len(folded) != len(line):  # a letter that folds to two: marks would slip
        folded = line.lower()
    found: list[tuple[int, int, str]] = []
    for phrase in phrases:
        pattern = r"\W+".join(re.escape(part) for part in _WORD.findall(fold(phrase)))
        if pattern:
            found += [(m.start(), m.end(), phrase) for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", folded)]
    wanted = {part: word for word in words for part in _WORD.findall(fold(word))}
    for part, word in wanted.items():
        if _NO_SPACES.search(part):
            found += [(m.start(), m.end(), word) for m in re.finditer(re.escape(part), folded)]
    heads = {part[:_HEAD] for part in wanted}
    for m in _WORD.finditer(folded):
        if m.group()[:_HEAD] not in heads:
            continue
        form_of = next((word for part, word in wanted.items() if is_form_of(m.group(), part)), None)
        if form_of is not None:
            found.append((m.start(), m.end(), form_of))
    kept: list[tuple[int, int, str]] = []
    for match in sorted(found, key=lambda match: (match[0], -match[1])):
        if not kept or match[0] >= kept[-1][1]:
            kept.append(match)
    return kept


def is_form_of(word: str, wanted: str) -> bool:
    """Equal but for an ending: dog and dogs, walk and walking. Both folded."""
    if word == wanted:
        return True
    short, long = sorted((word, wanted), key=len)
    stem = short[:-1] if short[-1:] in "ey" else short
    return len(short) >= _STEM - 1 and long.startswith(stem) and long[len(stem) :] in _ENDINGS


_ENDINGS = frozenset(("s", "es", "ed", "d", "ing", "er", "ers", "ly", "ies", "ied", "y", "e", "n", "en", "'s", "’s"))


def fold(text: str) -> str:
    """Lower case, without accents."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return _FOREIGN.sub(lambda m: "" if unicodedata.combining(m[0]) else m[0], apart)


def _best_start(line: str, matches: Sequence[tuple[int, int, str]]) -> int:
    """Where the line begins in which most different words are seen; ties to the earlier."""
    if not matches or len(line) <= MAX_CHARS:
        return 0
    best, best_count = 0, 0
    for at, (first, _, _) in enumerate(matches):
        seen = {word for start, last, word in matches[at:] if last <= first + MAX_CHARS - MAX_CHARS // 4}
        count = sum(1 + word.count(" ") * 2 for word in seen)  # a phrase before its words, each alone
        if count > best_count:
            best, best_count = first, count
    start = max(0, best - MAX_CHARS // 4)
    if start and (space := line.rfind(" ", 0, start + 20)) >= max(0, start - 20):
        start = space + 1
    return min(start, best)
