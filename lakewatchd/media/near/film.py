"""Are two films the same one, encoded anew, scaled or trimmed? From the sequence of moments that
:func:`lakewatchd.media.scenes.signature` keeps: seconds, and the perceptual hash of the frame.

Frames of the same moment have near-equal hashes, and the distance between the two clocks is the same for all of them.
Invariant: what decides depends on the two sequences only, not on their order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from lakewatchd.media.scenes import seen_of

_BANDS = 3
_BAND_BITS = 21
_KEYS = 192
"""Of a long film those that come first in an order by chance: two films keep the same of what they share."""
_NEAR_BITS = 10
"""Of 64 that may differ between two encodings of a frame."""
_DRIFT_S = 1.5
"""Key frames of two encodings lie apart by this much and may still show the same."""
_SHARE = 0.6
"""Of the moments of the shorter film that the longer one must have, in step,"""
_MOMENTS = 3
"""and of them so many that look different: two talks in one room share a picture, not a sequence."""
_SCENE_BITS = 16
_SAME_LENGTH_S = 0.7
"""A film of a single scene is another's copy only if it also lasts as long."""


def keys(signature: bytes) -> frozenset[int]:
    """Two films are compared when they share one."""
    found = {
        band << _BAND_BITS | (fingerprint >> (band * _BAND_BITS)) & ((1 << _BAND_BITS) - 1)
        for _, fingerprint in seen_of(signature)
        for band in range(_BANDS)
    }
    return frozenset(sorted(found, key=lambda key: (zlib.crc32(key.to_bytes(4)), key))[:_KEYS])


def is_same(one: bytes, other: bytes) -> bool:
    """One is a copy of the other or of a stretch of it."""
    longer, shorter = (seen_of(signature) for signature in sorted((one, other), key=lambda s: (-len(s), s)))
    if not shorter:
        return False
    in_step = _in_step(longer, shorter)
    if len(in_step) < _SHARE * len(shorter):
        return False
    if _scenes(shorter[place][1] for place in in_step) >= _MOMENTS:
        return True
    return abs(longer[-1][0] - shorter[-1][0]) <= _SAME_LENGTH_S and len(in_step) == len(shorter)


_MOST_STARTS, _GRID_S = 20_000, 0.1
"""Of two films of one still picture each moment is near to all of the other: then only so many distances are tried."""


def _in_step(longer: Sequence[tuple[float, int]], shorter: Sequence[tuple[float, int]]) -> list[int]:
    """The places in ``shorter`` of those moments that ``longer`` has too, at the distance most of them agree on."""
    import numpy as np

    there = np.array([at for at, _ in longer])
    candidates = np.array([fingerprint for _, fingerprint in longer], dtype=np.uint64)
    bits = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)
    found, places = [], []
    for place, (at, fingerprint) in enumerate(shorter):
        differ = bits[(candidates ^ np.uint64(fingerprint)).view(np.uint8)].reshape(-1, 8).sum(axis=1)
        near = there[differ <= _NEAR_BITS] - at
        found.append(near)
        places.append(np.full(len(near), place, dtype=np.int32))
    offsets, of = np.concatenate(found), np.concatenate(places)
    order = np.argsort(offsets, kind="stable")
    offsets, of = offsets[order], of[order]
    starts = np.unique(offsets)
    if len(starts) > _MOST_STARTS:
        starts = starts[np.unique(np.floor(starts / _GRID_S), return_index=True)[1]]
    best = np.empty(0, dtype=np.int32)
    ends = np.searchsorted(offsets, starts + 2 * _DRIFT_S, side="right")
    for first, until in zip(np.searchsorted(offsets, starts), ends, strict=True):
        if until - first > len(best) and len(distinct := np.unique(of[first:until])) > len(best):
            best = distinct
    return [int(place) for place in best]


def _scenes(fingerprints: Iterable[int]) -> int:
    """How many of them differ from all before."""
    found: list[int] = []
    for fingerprint in fingerprints:
        if all((fingerprint ^ other).bit_count() > _SCENE_BITS for other in found):
            found.append(fingerprint)
    return len(found)
