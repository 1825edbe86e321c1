"""Several rankings -> one: reciprocal rank fusion, with a weight for each door.

An asset at rank ``r`` of a door with weight ``w`` gets ``w / (K + r)`` from it; what is found by several doors adds up.
Scores of different doors (a cosine, a BM25) are never compared with each other. Invariant: an asset that is nowhere
worse and somewhere better than another comes first, and no order of the doors or of equals changes the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=str)

K = 20
"""How little the first ranks count more than later ones. Less than the usual 60, since here few doors judge, each with
a gate before it: what one of them puts first is to come before what another puts third."""

WEIGHTS: Mapping[str, float] = {
    "words": 1.2,  # what says it in so many words
    "object": 1.0,
    "picture": 1.0,
    "text": 0.9,  # finds the subject, and its neighbours
    "like": 1.0,
    "parts": 1.0,  # a longer word that holds it
    "letters": 0.6,  # a word that is only spelt nearly so
    "name": 4.0,  # who types the name of a file means that file, whatever others say of it
    "time": 1.0,
}


@dataclass(frozen=True, slots=True)
class Fused(Generic[Key]):
    key: Key
    score: float
    ranks: tuple[tuple[str, int], ...]
    """Door and rank, from 1, the one that gave most first."""


def fuse(rankings: Mapping[str, Sequence[Key]], weights: Mapping[str, float] = WEIGHTS) -> list[Fused[Key]]:
    """All keys, best first; equal scores by key. Each ranking names a key at most once; later ones are ignored."""
    given: dict[Key, dict[str, int]] = {}
    for door, ranking in rankings.items():
        for rank, key in enumerate(ranking, 1):
            given.setdefault(key, {}).setdefault(door, rank)

    def share(door: str, rank: int) -> float:
        return weights.get(door, 1.0) / (K + rank)

    fused = []
    for key, ranks in given.items():
        ordered = sorted(ranks.items(), key=lambda item: (-share(*item), item[0]))
        fused.append(Fused(key, sum(share(*item) for item in ordered), tuple(ordered)))
    return sorted(fused, key=lambda one: (-one.score, one.key))
