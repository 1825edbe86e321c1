"""Words that nobody wrote into the taxonomy and that mean what it has: ``automobile`` is filed with ``car``.

Captions, sidecars and keywords use words of their own. What is near another word in the space of the text model is
taken for it, before it is stored: for a name of the taxonomy, else for a word that a better voice has said of the same
asset. Invariant: what a word means depends on the taxonomy, the model and what else is said of this asset, so that it
does not matter which assets came before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Embed = Callable[[Sequence[str]], Awaitable[Vectors]]
    """One unit row for each text."""

NEAR = 0.84
"""A cosine: of pairs tried, football and soccer (0.85) are one thing, tennis and table tennis (0.83) are two."""
KEPT_WORDS = 20_000
"""Whose vectors are kept in memory: 30 MB."""


class Synonyms:
    def __init__(self, names: Sequence[str], embed: Embed) -> None:
        """``names`` are those of the taxonomy, embedded when the first free word comes."""
        self._names = tuple(names)
        self._embed = embed
        self._of_names: Vectors | None = None
        self._words: OrderedDict[str, Vectors] = OrderedDict()

    async def meant(self, words: Sequence[str]) -> dict[str, str]:
        """What those of ``words`` mean that mean another word, a name or an earlier one of ``words``."""
        if not words:
            return {}
        if self._of_names is None:
            self._of_names = await self._embed(self._names)
        vectors = await self._vectors(words)
        same: dict[str, str] = {}
        for at, word in enumerate(words):
            known = (*self._names, *words[:at])
            near = [*(self._of_names @ vectors[at]).tolist(), *(vectors[:at] @ vectors[at]).tolist()]
            best = max(range(len(known)), key=near.__getitem__, default=-1)
            if best >= 0 and near[best] >= NEAR:
                same[word] = same.get(known[best], known[best])
        return same

    async def _vectors(self, words: Sequence[str]) -> Vectors:
        import numpy as np

        found = {word: self._words[word] for word in words if word in self._words}
        missing = [word for word in dict.fromkeys(words) if word not in found]
        if missing:  # meanwhile others of these words may be forgotten for the sake of another asset
            made = await self._embed([word.replace("/", " ") for word in missing])
            found |= zip(missing, made, strict=True)
        for word, vector in found.items():
            self._words[word] = vector
            self._words.move_to_end(word)
        while len(self._words) > KEPT_WORDS:
            self._words.popitem(last=False)
        return np.stack([found[word] for word in words])
