"""What somebody probably meant who wrote a name that nobody has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "known here") -> str:
    """``did you mean 'photos'?``, or all there are: ``known here: photos, music``."""
    names = list(known)
    near = nearest(word, names)
    return f"did you mean {near!r}?" if near else f"{otherwise}: {', '.join(names) or 'none'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A name that begins so, or is a slip of the finger away."""
    names = list(known)
    begins = [name for name in names if len(word) > 1 and name.startswith(word)]
    return next(iter(begins or difflib.get_close_matches(word, names, n=1)), None)
