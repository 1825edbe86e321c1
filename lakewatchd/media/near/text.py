"""Are two texts the same one, edited here and there? By MinHash: 128 numbers stand for the set of word pairs in each.

The share of equal numbers estimates the share of pairs that two texts have in common (Jaccard), with a standard error
of 0.04. One word in ten replaced leaves 0.68 of them, one in five 0.47; two chapters of one book share 0.05.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = 128
BYTES = 4 * NUMBERS
_ROWS = 3
"""Numbers to a key: texts that share half of their pairs share a key in 99.8 % of cases, those that share one
twentieth in 0.5 %."""
_ENOUGH = 0.4
"""Share of equal numbers from which two texts are one."""
_MIN_WORDS = 20
"""Shorter ones are alike by chance: a greeting, a receipt."""
_MOST_CHARS = 1_000_000
"""From the beginning of a text: a long book takes a second."""
_PAIRS_AT_ONCE = 4096
_SEED = 1

_WORD = re.compile(r"\w+")


def make(text: str) -> bytes | None:
    """The signature of a text; None where it has too few words."""
    import numpy as np

    words = _WORD.findall(text[:_MOST_CHARS].lower())
    if len(words) < _MIN_WORDS:
        return None
    pairs = {zlib.crc32(f"{one} {two}".encode()) for one, two in itertools.pairwise(words)}
    hashes = np.fromiter(pairs, np.uint64)
    scale, shift = _orders()
    least = np.full(NUMBERS, np.iinfo(np.uint64).max, np.uint64)
    for at in range(0, len(hashes), _PAIRS_AT_ONCE):
        least = np.minimum(least, (hashes[at : at + _PAIRS_AT_ONCE, None] * scale + shift).min(0))
    return (least >> np.uint64(32)).astype("<u4").tobytes()


def keys(signature: bytes) -> frozenset[int]:
    """Two texts are compared when they share one."""
    numbers = _read(signature)
    return frozenset(
        at << 32 | zlib.crc32(numbers[at : at + _ROWS].tobytes()) for at in range(0, NUMBERS - _ROWS + 1, _ROWS)
    )


def is_same(one: bytes, other: bytes) -> bool:
    return bool((_read(one) == _read(other)).mean() >= _ENOUGH)


def _read(signature: bytes) -> NDArray[Any]:
    import numpy as np

    if len(signature) != BYTES:
        raise ValueError("not the signature of a text")
    return np.frombuffer(signature, "<u4")


@functools.cache
def _orders() -> tuple[NDArray[Any], NDArray[Any]]:
    """128 ways to put 64-bit numbers in an order by chance: multiply by an odd number, add, forget the overflow."""
    import numpy as np

    draw = random.Random(_SEED)
    scale, shift = (np.array([draw.getrandbits(64) for _ in range(NUMBERS)], np.uint64) for _ in range(2))
    return scale | np.uint64(1), shift
